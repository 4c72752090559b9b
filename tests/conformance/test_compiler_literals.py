"""Literals that a real engine evaluates: whatever a value holds, it comes back as it was, and nothing else happens."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from queryfleet.compiler.dialects import PatternKind
from queryfleet.semantic.field import MetricType

if TYPE_CHECKING:
    from decimal import Decimal

    from tests.fixtures.sql_engines import SqlEngine

FEW = settings(
    max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30) | st.text(
    alphabet="'\"`\\%_!?{}$;-/*#\n\r\t ax0éß☃", max_size=15
)


@FEW
@given(value=TEXTS)
@example("' OR 1 = 1; --")
@example("\\'; DROP TABLE t; --")
@example("$tag$ || 'x")
@example("%s %(name)s ? :x $1")
@example("\\")
def test_text_comes_back_as_it_was(sql_engine: SqlEngine, value: str) -> None:
    """Every text a warehouse can store survives."""
    assert value == sql_engine.value(sql_engine.dialect.text(value))


@FEW
@given(value=TEXTS.filter(lambda each: 0 < len(each.encode()) < 60))
@example('a" FROM t; --')
@example("select")
def test_name_comes_back_as_it_was(sql_engine: SqlEngine, value: str) -> None:
    """Every text can be the name of a column."""
    quoted = sql_engine.dialect.quote(value)
    assert 1 == sql_engine.value(f"q.{quoted} FROM (SELECT 1 AS {quoted}) AS q")


@FEW
@given(
    value=st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-(10**20), max_value=10**20)
)
def test_number_comes_back_as_it_was(sql_engine: SqlEngine, value: float | Decimal) -> None:
    """Every finite number survives, and a minus before a negative one turns it around."""
    literal = sql_engine.dialect.number(value)
    if isinstance(value, float):
        literal = sql_engine.dialect.cast_float(literal)
    assert value == sql_engine.value(literal)
    assert -value == sql_engine.value(f"-{literal}")


@FEW
@given(value=st.dates())
def test_day_comes_back_as_it_was(sql_engine: SqlEngine, value: dt.date) -> None:
    """Every day from the year 1 on survives."""
    assert value == sql_engine.value(sql_engine.dialect.date(value))


@FEW
@given(value=st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30), timezones=st.timezones()))  # noqa: DTZ001
def test_instant_comes_back_as_it_was(sql_engine: SqlEngine, value: dt.datetime) -> None:
    """Every instant survives to the microsecond, whatever zone it was given in."""
    assert value.astimezone(dt.UTC) == sql_engine.value(sql_engine.dialect.timestamp(value))


@FEW
@given(value=TEXTS.filter(bool), before=TEXTS, after=TEXTS)
def test_like_finds_a_text_exactly_where_it_is(sql_engine: SqlEngine, value: str, before: str, after: str) -> None:
    """A pattern finds what Python finds: no character of the value is a wildcard."""
    text, dialect = before + value + after, sql_engine.dialect
    for looked_in in (text, before + after, value):
        literal = dialect.text(looked_in)
        found = [dialect.like(literal, kind, value) for kind in PatternKind]
        expected = (value in looked_in, looked_in.startswith(value), looked_in.endswith(value))
        assert expected == sql_engine.rows(f"SELECT {', '.join(found)}")[0]


def test_null_safe_equality_holds_for_equal_values_and_two_nulls(sql_engine: SqlEngine) -> None:
    """It is true or false, never NULL."""
    pairs = {("1", "1"): True, ("1", "2"): False, ("1", "NULL"): False, ("NULL", "1"): False, ("NULL", "NULL"): True}
    for (left, right), expected in pairs.items():
        sql = sql_engine.dialect.null_safe_equal("q.a", "q.b")
        row = f"(SELECT CAST({left} AS INTEGER) AS a, CAST({right} AS INTEGER) AS b) AS q"
        assert expected is sql_engine.value(f"{sql} FROM {row}"), (left, right)


def test_aggregates_compute_what_their_names_say(sql_engine: SqlEngine) -> None:
    """NULLs do not count, averages of integers have decimals, percentiles are interpolated."""
    dialect = sql_engine.dialect
    expected = {
        MetricType.COUNT: 5,
        MetricType.COUNT_DISTINCT: 3,
        MetricType.SUM: 16,
        MetricType.MIN: 1,
        MetricType.MAX: 8,
        MetricType.AVERAGE: 3.2,
        MetricType.MEDIAN: 3,
        MetricType.PERCENTILE: 1.8,
    }
    sql = ", ".join(dialect.aggregate(kind, "q.c", 35) for kind in expected)
    (row,) = sql_engine.rows(f"SELECT {sql} FROM (VALUES (1), (1), (3), (3), (8), (NULL)) AS q(c)")
    assert pytest.approx(list(map(float, expected.values()))) == list(map(float, row))


def test_any_value_is_the_value_all_rows_share(sql_engine: SqlEngine) -> None:
    """A group's common value is found, and NULL when that is it."""
    any_value = sql_engine.dialect.any_value("q.c")
    rows = sql_engine.rows(
        f"SELECT q.g, {any_value} FROM (VALUES (1, 'a'), (1, 'a'), (2, NULL)) AS q(g, c) GROUP BY q.g ORDER BY q.g"
    )
    assert [(1, "a"), (2, None)] == rows


def test_conversions_and_texts_keep_null(sql_engine: SqlEngine) -> None:
    """Text of NULL is NULL, and so is what it is put together with."""
    dialect = sql_engine.dialect
    assert "a1" == sql_engine.value(dialect.concat("'a'", dialect.cast_text("1")))
    assert sql_engine.value(dialect.concat("'a'", dialect.cast_text("NULL"))) is None
    assert 0.5 == sql_engine.value(f"{dialect.cast_float('1')} / 2")
