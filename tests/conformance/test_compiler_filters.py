"""Every filter operator on every type, run by a real engine over rows with NULLs, against plain Python."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from queryfleet.compiler.context import Context
from queryfleet.compiler.filters import FilterGroup, FilterTarget, condition
from queryfleet.compiler.grains import cut
from queryfleet.model import ColumnType
from queryfleet.semantic.filter_rule import FilterOperator, FilterRule, UnitOfTime
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.sql_engines import SqlEngine

O = FilterOperator  # noqa: E741 - a table of them follows
U = UnitOfTime
NOW = dt.datetime(2025, 5, 20, 10, 5, tzinfo=dt.UTC)  # a Tuesday
TEXTS = [None, "", "a", "A", "ab", "a%b", "a_b", "a!b", "a\\b", "axb", "a--b", "it's", "é", "'; drop table t; --"]
NUMBERS = [None, -2, 0, 1, 2, 9, 10]
DAYS = [None, *(dt.date(2024, 12, 25) + dt.timedelta(days=step) for step in range(0, 300, 2)), dt.date(2025, 5, 20)]


def _context(engine: SqlEngine, **changes: object) -> Context:
    return replace(Context(dialect=engine.dialect, now=NOW), **changes)


def _matching(engine: SqlEngine, literals: list[str], asked: str | None) -> list[int]:
    """Return the numbers of the rows that pass."""
    values = ", ".join(f"({number}, {literal})" for number, literal in enumerate(literals))
    where = "" if asked is None else f" WHERE {asked}"
    return engine.column(f"SELECT q.n FROM (VALUES {values}) AS q(n, c){where} ORDER BY q.n")


def _expected(values: list, holds: Callable[[object], bool], *, null: bool = False) -> list[int]:
    return [number for number, value in enumerate(values) if (null if value is None else holds(value))]


def _rule(operator: FilterOperator, *values: object, unit: UnitOfTime | None = None, **more: object) -> FilterRule:
    return FilterRule(field_id="t_c", operator=operator, values=values, unit_of_time=unit, **more)


def _asked(rule: FilterRule | FilterGroup, type_: ColumnType, context: Context, **more: object) -> str | None:
    return condition(rule, lambda _: FilterTarget(sql="q.c", type=type_, **more), context)


def _text_literals(engine: SqlEngine) -> list[str]:
    return ["CAST(NULL AS VARCHAR)" if each is None else engine.dialect.text(each) for each in TEXTS]


@pytest.mark.parametrize(
    ("operator", "values", "holds", "null"),
    [
        (O.EQUALS, ["a"], lambda v: v == "a", False),
        (O.EQUALS, ["a", "it's", "a\\b"], lambda v: v in ("a", "it's", "a\\b"), False),
        (O.EQUALS, ["a--b"], lambda v: v == "a--b", False),
        (O.EQUALS, ["", "a"], lambda v: v in ("", "a"), False),
        (O.NOT_EQUALS, ["a", "'; drop table t; --"], lambda v: v not in ("a", "'; drop table t; --"), True),
        (O.INCLUDE, ["b"], lambda v: "b" in v, False),
        (O.INCLUDE, ["%", "'"], lambda v: "%" in v or "'" in v, False),
        (O.INCLUDE, ["_"], lambda v: "_" in v, False),
        (O.INCLUDE, ["!"], lambda v: "!" in v, False),
        (O.INCLUDE, ["\\"], lambda v: "\\" in v, False),
        (O.DOES_NOT_INCLUDE, ["%", "x"], lambda v: "%" not in v and "x" not in v, True),
        (O.STARTS_WITH, ["a_", "it"], lambda v: v.startswith(("a_", "it")), False),
        (O.ENDS_WITH, ["b", "A"], lambda v: v.endswith(("b", "A")), False),
        (O.IS_NULL, [], lambda v: False, True),
        (O.NOT_NULL, [], lambda v: True, False),
    ],
)
def test_text_rule_passes_exactly_the_rows_it_means(sql_engine: SqlEngine, operator, values, holds, null) -> None:
    """Values are compared as they are: wildcards, quotes, backslashes and comments in them are ordinary characters."""
    asked = _asked(_rule(operator, *values), ColumnType.STRING, _context(sql_engine))
    assert _expected(TEXTS, holds, null=null) == _matching(sql_engine, _text_literals(sql_engine), asked)


@pytest.mark.parametrize(
    "operator", [O.EQUALS, O.NOT_EQUALS, O.INCLUDE, O.DOES_NOT_INCLUDE, O.STARTS_WITH, O.ENDS_WITH]
)
def test_text_rule_without_case_treats_both_sides_alike(sql_engine: SqlEngine, operator: FilterOperator) -> None:
    """Insensitive, a rule with `A` passes what it passes with `a`, and not what a sensitive one does."""
    context = _context(sql_engine, case_sensitive=False)

    def found(value: str, **more: object) -> list[int]:
        asked = _asked(_rule(operator, value, **more), ColumnType.STRING, context)
        return _matching(sql_engine, _text_literals(sql_engine), asked)

    assert found("A") == found("a") != found("a", case_sensitive=True)


@pytest.mark.parametrize(
    ("operator", "values", "holds", "null"),
    [
        (O.EQUALS, [1, "9"], lambda v: v in (1, 9), False),
        (O.NOT_EQUALS, [1], lambda v: v != 1, True),
        (O.GREATER_THAN, [1, 100], lambda v: v > 1, False),
        (O.GREATER_THAN_OR_EQUAL, ["1.0"], lambda v: v >= 1, False),
        (O.LESS_THAN, [-1.5], lambda v: v < -1.5, False),
        (O.LESS_THAN_OR_EQUAL, ["-2e0"], lambda v: v <= -2, False),
        (O.IN_BETWEEN, [1, 9], lambda v: 1 <= v <= 9, False),
        (O.NOT_IN_BETWEEN, [1, 9], lambda v: v < 1 or v > 9, False),
        (O.IS_NULL, [], lambda v: False, True),
        (O.NOT_NULL, [], lambda v: True, False),
    ],
)
def test_number_rule_passes_exactly_the_rows_it_means(sql_engine: SqlEngine, operator, values, holds, null) -> None:
    """Numbers and texts that spell them are compared as numbers."""
    literals = ["CAST(NULL AS INTEGER)" if each is None else str(each) for each in NUMBERS]
    asked = _asked(_rule(operator, *values), ColumnType.NUMBER, _context(sql_engine))
    assert _expected(NUMBERS, holds, null=null) == _matching(sql_engine, literals, asked)


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        (O.EQUALS, ["yes"], [1]),
        (O.EQUALS, [False], [2]),
        (O.EQUALS, [True, "false"], [1, 2]),
        (O.NOT_EQUALS, [1], [0, 2]),
        (O.NOT_EQUALS, [1, 0], [0]),
        (O.IS_NULL, [], [0]),
        (O.NOT_NULL, [], [1, 2]),
    ],
)
def test_boolean_rule_passes_exactly_the_rows_it_means(sql_engine: SqlEngine, operator, values, expected) -> None:
    """True and false are understood in the words clients use."""
    asked = _asked(_rule(operator, *values), ColumnType.BOOLEAN, _context(sql_engine))
    assert expected == _matching(sql_engine, ["CAST(NULL AS BOOLEAN)", "TRUE", "FALSE"], asked)


def _d(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


DAY_CASES = [
    (_rule(O.EQUALS, "2025-01-02"), lambda v: v == _d("2025-01-02"), False),
    (_rule(O.EQUALS, "2025-01-02", "2025-01-04T00:00:00Z"), lambda v: v in (_d("2025-01-02"), _d("2025-01-04")), False),
    (_rule(O.NOT_EQUALS, "2025-01-02"), lambda v: v != _d("2025-01-02"), True),
    (_rule(O.NOT_EQUALS, "2025-01-02", "2025-01-04"), lambda v: v not in (_d("2025-01-02"), _d("2025-01-04")), True),
    (_rule(O.GREATER_THAN, "2025-05-20"), lambda v: v > _d("2025-05-20"), False),
    (_rule(O.GREATER_THAN_OR_EQUAL, "2025-05-20"), lambda v: v >= _d("2025-05-20"), False),
    (_rule(O.LESS_THAN, "2025-05-20"), lambda v: v < _d("2025-05-20"), False),
    (_rule(O.LESS_THAN_OR_EQUAL, "2025-05-20"), lambda v: v <= _d("2025-05-20"), False),
    (_rule(O.IN_BETWEEN, "2025-05-01", "2025-05-20"), lambda v: _d("2025-05-01") <= v <= _d("2025-05-20"), False),
    (
        _rule(O.NOT_IN_BETWEEN, "2025-01-02", "2025-09-01"),
        lambda v: v < _d("2025-01-02") or v > _d("2025-09-01"),
        False,
    ),
    (_rule(O.IN_THE_PAST, 2), lambda v: _d("2025-05-18") <= v <= _d("2025-05-20"), False),
    (_rule(O.IN_THE_PAST, "6", unit=U.WEEKS), lambda v: _d("2025-04-08") <= v <= _d("2025-05-20"), False),
    (
        _rule(O.IN_THE_PAST, 2, unit=U.MONTHS, is_completed=True),
        lambda v: _d("2025-03-01") <= v < _d("2025-05-01"),
        False,
    ),
    (_rule(O.NOT_IN_THE_PAST, 1, unit=U.YEARS), lambda v: not _d("2024-05-20") <= v <= _d("2025-05-20"), False),
    (_rule(O.IN_THE_NEXT, 1, unit=U.QUARTERS), lambda v: _d("2025-05-20") <= v <= _d("2025-08-20"), False),
    (
        _rule(O.IN_THE_NEXT, 1, unit=U.QUARTERS, is_completed=True),
        lambda v: _d("2025-07-01") <= v < _d("2025-10-01"),
        False,
    ),
    (_rule(O.IN_THE_CURRENT, unit=U.WEEKS), lambda v: _d("2025-05-19") <= v <= _d("2025-05-25"), False),
    (_rule(O.IN_THE_CURRENT), lambda v: v == _d("2025-05-20"), False),
    (_rule(O.NOT_IN_THE_CURRENT, unit=U.MONTHS), lambda v: (v.year, v.month) != (2025, 5), False),
    (_rule(O.IN_PERIOD_TO_DATE, unit=U.WEEKS), lambda v: v.weekday() <= 1, False),
    (_rule(O.IN_PERIOD_TO_DATE, unit=U.MONTHS), lambda v: v.day <= 20, False),
    (_rule(O.IN_PERIOD_TO_DATE, unit=U.QUARTERS), lambda v: (v - _quarter(v)).days <= 49, False),
    (_rule(O.IN_PERIOD_TO_DATE, unit=U.YEARS), lambda v: v.timetuple().tm_yday <= 140, False),
    (_rule(O.IS_NULL), lambda v: False, True),
    (_rule(O.NOT_NULL), lambda v: True, False),
]


def _quarter(day: dt.date) -> dt.date:
    return dt.date(day.year, (day.month - 1) // 3 * 3 + 1, 1)


@pytest.mark.parametrize(("rule", "holds", "null"), DAY_CASES, ids=lambda each: getattr(each, "operator", None))
def test_day_rule_passes_exactly_the_rows_it_means(sql_engine: SqlEngine, rule, holds, null) -> None:
    """Rules on a date count whole days, and `today` is among them."""
    literals = ["CAST(NULL AS DATE)" if each is None else f"DATE '{each}'" for each in DAYS]
    asked = _asked(rule, ColumnType.DATE, _context(sql_engine))
    assert _expected(DAYS, holds, null=null) == _matching(sql_engine, literals, asked)


@pytest.mark.parametrize("rule", [case[0] for case in DAY_CASES if case[0].operator is not O.IS_NULL])
def test_include_null_adds_the_rows_without_a_value_to_every_operator(sql_engine: SqlEngine, rule: FilterRule) -> None:
    """What passes with the flag is what passes without, and NULL."""
    literals = ["CAST(NULL AS DATE)" if each is None else f"DATE '{each}'" for each in DAYS]
    context = _context(sql_engine)
    plain = _matching(sql_engine, literals, _asked(rule, ColumnType.DATE, context))
    flagged = _asked(replace(rule, includes_null=True), ColumnType.DATE, context)
    expected = plain if rule.operator is O.NOT_NULL else sorted({0, *plain})
    assert expected == _matching(sql_engine, literals, flagged)


MOMENTS = [
    None,
    *(
        dt.datetime(*start, tzinfo=dt.UTC) + dt.timedelta(minutes=45 * step, microseconds=step % 3 * 999_500)
        for start in ((2025, 5, 18, 0, 0, 59), (2025, 3, 8, 22, 0, 0), (2025, 11, 1, 22, 0, 0), (2024, 12, 28, 0, 0, 0))
        for step in range(80)
    ),
    NOW,
]


def _moment_literals(sql_type: str) -> list[str]:
    texts = ["NULL" if each is None else f"TIMESTAMP '{each.replace(tzinfo=None)}'" for each in MOMENTS]
    return [f"CAST({text} AS {sql_type})" for text in texts]


def _utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)


@pytest.mark.parametrize("sql_type", ["TIMESTAMP", "TIMESTAMPTZ"])
@pytest.mark.parametrize(
    ("rule", "zone", "holds"),
    [
        (_rule(O.EQUALS, "2025-05-20T10:05:00Z"), "UTC", lambda v: v == NOW),
        (_rule(O.EQUALS, "2025-05-20 06:05:00"), "America/New_York", lambda v: v == NOW),
        (_rule(O.EQUALS, "2025-05-20T12:05:00+02:00", "2025-05-18 00:00:59"), "UTC",
         lambda v: v in (NOW, _utc(2025, 5, 18, 0, 0, 59))),
        (_rule(O.GREATER_THAN, "2025-05-18T00:45:59.999499Z"), "UTC",
         lambda v: v > _utc(2025, 5, 18, 0, 45, 59, 999_499)),
        (_rule(O.IN_BETWEEN, "2025-05-18T00:45:59.998Z", "2025-05-19"), "UTC",
         lambda v: _utc(2025, 5, 18, 0, 45, 59, 998_000) <= v <= _utc(2025, 5, 19)),
        (_rule(O.NOT_IN_BETWEEN, "2025-01-01", "2025-06-01"), "UTC",
         lambda v: v < _utc(2025, 1, 1) or v > _utc(2025, 6, 1)),
        (_rule(O.IN_THE_PAST, 2), "UTC", lambda v: _utc(2025, 5, 18, 10, 5) <= v <= NOW),
        (_rule(O.IN_THE_PAST, 90, unit=U.MINUTES), "UTC", lambda v: _utc(2025, 5, 20, 8, 35) <= v <= NOW),
        (_rule(O.IN_THE_PAST, 1, unit=U.DAYS, is_completed=True), "America/New_York",
         lambda v: _utc(2025, 5, 19, 4) <= v < _utc(2025, 5, 20, 4)),
        (_rule(O.NOT_IN_THE_PAST, 2), "UTC", lambda v: not _utc(2025, 5, 18, 10, 5) <= v <= NOW),
        (_rule(O.IN_THE_NEXT, 12, unit=U.HOURS), "UTC", lambda v: NOW <= v <= _utc(2025, 5, 20, 22, 5)),
        (_rule(O.IN_THE_CURRENT), "UTC", lambda v: _utc(2025, 5, 20) <= v < _utc(2025, 5, 21)),
        (_rule(O.IN_THE_CURRENT), "Asia/Kolkata", lambda v: _utc(2025, 5, 19, 18, 30) <= v < _utc(2025, 5, 20, 18, 30)),
        (_rule(O.IN_THE_CURRENT, unit=U.HOURS), "Asia/Kolkata",
         lambda v: _utc(2025, 5, 20, 9, 30) <= v < _utc(2025, 5, 20, 10, 30)),
        (_rule(O.NOT_IN_THE_CURRENT, unit=U.YEARS), "America/New_York", lambda v: v < _utc(2025, 1, 1, 5)),
        (_rule(O.IN_PERIOD_TO_DATE, unit=U.WEEKS), "America/New_York",
         lambda v: v.astimezone(ZoneInfo("America/New_York")).weekday() <= 1),
        (_rule(O.IN_PERIOD_TO_DATE, unit=U.MONTHS), "Asia/Kolkata",
         lambda v: v.astimezone(ZoneInfo("Asia/Kolkata")).day <= 20),
    ],
)  # fmt: skip
def test_moment_rule_passes_exactly_the_rows_it_means(sql_engine: SqlEngine, rule, zone, holds, sql_type) -> None:
    """Rules on a moment are instants; fractions of seconds count, and the end of a current period is not in it."""
    asked = _asked(rule, ColumnType.TIMESTAMP, _context(sql_engine, timezone=zone))
    assert _expected(MOMENTS, holds) == _matching(sql_engine, _moment_literals(sql_type), asked)


@pytest.mark.parametrize("sql_type", ["TIMESTAMP", "TIMESTAMPTZ"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize(
    "rule",
    [
        _rule(O.EQUALS, "2025-05-01"),
        _rule(O.EQUALS, "2025-05-19"),
        _rule(O.EQUALS, "2025-03-09", "2024-12-30", "2025-11-02"),
        _rule(O.GREATER_THAN, "2025-03-09"),
        _rule(O.GREATER_THAN_OR_EQUAL, "2025-03-09"),
        _rule(O.LESS_THAN, "2025-05-19"),
        _rule(O.LESS_THAN_OR_EQUAL, "2025-05-19"),
        _rule(O.IN_BETWEEN, "2024-12-29", "2025-03-09"),
        _rule(O.NOT_IN_BETWEEN, "2024-12-29", "2025-03-09"),
        _rule(O.IN_THE_PAST, 5, unit=U.MONTHS),
        _rule(O.IN_THE_NEXT, 6, unit=U.MONTHS, is_completed=True),
        _rule(O.NOT_IN_THE_CURRENT, unit=U.WEEKS),
    ],
)
def test_range_on_the_base_passes_what_the_cut_field_passes(sql_engine: SqlEngine, rule, zone, sql_type) -> None:
    """Asked of the base as a half-open range, a rule on a cut field passes the very same rows."""
    context = _context(sql_engine, timezone=zone, start_of_week=6)
    counts = []
    for interval in (TimeInterval.DAY, TimeInterval.WEEK, TimeInterval.MONTH, TimeInterval.QUARTER, TimeInterval.YEAR):
        sql = cut("q.c", interval, context, base=ColumnType.TIMESTAMP)
        plain = FilterTarget(sql=sql, type=ColumnType.DATE)
        ranged = replace(plain, base_sql="q.c", base_type=ColumnType.TIMESTAMP, interval=interval)
        expected, asked = (condition(rule, lambda _, each=each: each, context) for each in (plain, ranged))
        assert "q.c >= " in asked or "q.c < " in asked
        counts.append(f"SUM(CASE WHEN COALESCE({expected}, FALSE) <> COALESCE({asked}, FALSE) THEN 1 ELSE 0 END)")
    values = ", ".join(f"({literal})" for literal in _moment_literals(sql_type))
    rows = sql_engine.rows(f"SELECT {', '.join(counts)} FROM (VALUES {values}) AS q(c)")
    assert [(0, 0, 0, 0, 0)] == [tuple(map(int, row)) for row in rows]


def test_groups_nest_as_they_are_drawn(sql_engine: SqlEngine) -> None:
    """`and` within `or` within `and` keeps its meaning whatever binds tighter in SQL."""
    low, high = _rule(O.LESS_THAN, 1), _rule(O.GREATER_THAN, 5)
    even = FilterGroup(members=(_rule(O.EQUALS, 2, 10), _rule(O.NOT_EQUALS, 2)))
    group = FilterGroup(members=(FilterGroup(members=(low, high, even), is_any=True), _rule(O.NOT_EQUALS, 0, 9)))
    literals = ["CAST(NULL AS INTEGER)" if each is None else str(each) for each in NUMBERS]
    asked = _asked(group, ColumnType.NUMBER, _context(sql_engine))
    expected = _expected(NUMBERS, lambda v: (v < 1 or v > 5 or v == 10) and v not in (0, 9))
    assert expected == _matching(sql_engine, literals, asked)
