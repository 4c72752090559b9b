"""Filters to conditions: what has no effect, what is refused, which setting of case wins, and values of parameters."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from queryfleet.compiler.context import Context
from queryfleet.compiler.dialects import dialect_of
from queryfleet.compiler.filters import FilterGroup, FilterTarget, condition, parameter_references, rules
from queryfleet.compiler.parameters import ParameterValue
from queryfleet.errors import ParameterError
from queryfleet.model import ColumnType
from queryfleet.semantic.filter_rule import FilterOperator, FilterRule, UnitOfTime
from queryfleet.semantic.intervals import TimeInterval
from queryfleet.semantic.parameter import ParameterType

O = FilterOperator  # noqa: E741 - a table of them follows
NOW = dt.datetime(2025, 5, 20, 10, 5, tzinfo=dt.UTC)
CONTEXT = Context(dialect=dialect_of("duckdb"), now=NOW)
TYPES = {
    "text": ColumnType.STRING,
    "number": ColumnType.NUMBER,
    "boolean": ColumnType.BOOLEAN,
    "day": ColumnType.DATE,
    "moment": ColumnType.TIMESTAMP,
}


def _rule(field: str, operator: FilterOperator, *values: object, **more: object) -> FilterRule:
    return FilterRule(field_id=field, operator=operator, values=values, **more)


def _asked(node: FilterRule | FilterGroup, context: Context = CONTEXT, **more: object) -> str | None:
    return condition(node, lambda field: FilterTarget(sql="c", type=TYPES[field], **more), context)


def _group(*members: FilterRule | FilterGroup, is_any: bool = False) -> FilterGroup:
    return FilterGroup(members=members, is_any=is_any)


PLAIN = _rule("number", O.EQUALS, 1)
NOTHING = _rule("number", O.EQUALS)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (PLAIN, "(c IN (1))"),
        (NOTHING, None),
        (replace(PLAIN, is_disabled=True), None),
        (_group(), None),
        (_group(_group(), _group(_group())), None),
        (_group(PLAIN), "(c IN (1))"),
        (_group(PLAIN, NOTHING, _group()), "(c IN (1))"),
        (_group(PLAIN, PLAIN), "((c IN (1)) AND (c IN (1)))"),
        (_group(PLAIN, PLAIN, is_any=True), "((c IN (1)) OR (c IN (1)))"),
        (_group(PLAIN, NOTHING, is_any=True), None),
        (_group(PLAIN, _group(), is_any=True), "(c IN (1))"),
        (_group(PLAIN, _group(NOTHING, PLAIN), is_any=True), "((c IN (1)) OR (c IN (1)))"),
        (_group(PLAIN, _group(NOTHING, PLAIN, is_any=True)), "(c IN (1))"),
    ],
)
def test_rule_without_effect_holds_for_every_row(node, expected) -> None:
    """It vanishes from an `and`, makes an `or` hold for every row, and an empty group is as if it were not there."""
    assert expected == _asked(node)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (_rule("text", O.EQUALS, "", ""), None),
        (_rule("text", O.INCLUDE, ""), None),
        (_rule("text", O.STARTS_WITH, "", "a"), "(c LIKE 'a%' ESCAPE '!')"),
        (_rule("day", O.IN_THE_PAST), None),
        (_rule("day", O.IN_BETWEEN), None),
        (_rule("moment", O.GREATER_THAN), None),
        (_rule("text", O.EQUALS, includes_null=True), "(c IS NULL)"),
        (_rule("day", O.IN_THE_PAST, includes_null=True), "(c IS NULL)"),
        (_rule("text", O.INCLUDE, "", includes_null=True), None),
        (_rule("text", O.INCLUDE, "a", includes_null=True), "((c LIKE '%a%' ESCAPE '!') OR c IS NULL)"),
        (_rule("number", O.GREATER_THAN, 1, includes_null=True), "((c > 1) OR c IS NULL)"),
        (_rule("number", O.NOT_IN_BETWEEN, 1, 2, includes_null=True), "((c < 1 OR c > 2) OR c IS NULL)"),
    ],
)
def test_empty_values_and_include_null(rule, expected) -> None:
    """Nothing to compare with is no condition, and NULL is added to whatever is asked."""
    assert expected == _asked(rule)


@pytest.mark.parametrize("field", list(TYPES))
@pytest.mark.parametrize("operator", list(O))
def test_operator_that_does_not_fit_the_type_is_refused(field: str, operator: FilterOperator) -> None:
    """Each operator works on its types, and elsewhere is a 400 that names the field and lists what would fit."""
    values = {"text": "a", "number": 1, "boolean": True}.get(field, "2025-05-20")
    counted = operator in (O.IN_THE_PAST, O.NOT_IN_THE_PAST, O.IN_THE_NEXT)
    rule = _rule(field, operator, *([2] if counted else [values] * 2), unit_of_time=UnitOfTime.WEEKS)
    order = {O.LESS_THAN, O.LESS_THAN_OR_EQUAL, O.GREATER_THAN, O.GREATER_THAN_OR_EQUAL, O.IN_BETWEEN, O.NOT_IN_BETWEEN}
    always = {O.IS_NULL, O.NOT_NULL, O.EQUALS, O.NOT_EQUALS}
    fitting = {
        "text": always | {O.INCLUDE, O.DOES_NOT_INCLUDE, O.STARTS_WITH, O.ENDS_WITH},
        "number": always | order,
        "boolean": always,
    }
    text_only = {O.INCLUDE, O.DOES_NOT_INCLUDE, O.STARTS_WITH, O.ENDS_WITH}
    if operator in fitting.get(field, set(O) - text_only):
        assert _asked(rule) is not None
        return
    with pytest.raises(ParameterError, match=f"`{field}` uses `{operator}`.*use one of") as caught:
        _asked(rule)
    assert (400, field) == (caught.value.status, caught.value.details["fieldId"])


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        (_rule("number", O.EQUALS, "1 OR 1=1"), r"'1 OR 1=1', which is not a number"),
        (_rule("number", O.EQUALS, ""), r"'', which is not a number"),
        (_rule("number", O.EQUALS, None), r"None, which is not a number"),
        (_rule("number", O.EQUALS, True), r"True, which is not a number"),
        (_rule("number", O.EQUALS, float("nan")), r"nan, which is not a number"),
        (_rule("number", O.EQUALS, "9" * 200), r"which is not a number"),
        (_rule("number", O.EQUALS, 10**200), r"more than 100 digits"),
        (_rule("number", O.IN_BETWEEN, 1, 10**400), r"more than 100 digits"),
        (_rule("day", O.IN_THE_PAST, 10**400), r"which is not a count"),
        (_rule("number", O.IN_BETWEEN, 1), r"needs two"),
        (_rule("boolean", O.EQUALS, "maybe"), r"'maybe', which is neither true nor false"),
        (_rule("boolean", O.EQUALS, None), r"None, which is neither"),
        (_rule("text", O.EQUALS, None), r"None, which is no value: use the operator isNull"),
        (_rule("text", O.EQUALS, "a\0"), r"NUL"),
        (_rule("text", O.INCLUDE, "\ud800"), r"surrogate"),
        (_rule("day", O.EQUALS, "2025-02-30"), r"'2025-02-30', which is no date of the calendar"),
        (_rule("day", O.EQUALS, "20250220"), r"which is no date"),
        (_rule("day", O.EQUALS, 20250220), r"20250220, which is no date"),
        (_rule("day", O.EQUALS, "2025-02-20'; --"), r"which is no date"),
        (_rule("moment", O.EQUALS, "2025-02-20T25:00"), r"which is no date of the calendar"),
        (_rule("moment", O.EQUALS, "2025-02-20T10:00+99:00"), r"which is no date of the calendar"),
        (_rule("moment", O.EQUALS, "0001-01-01T00:00+12:00"), r"out of range"),
        (_rule("moment", O.EQUALS, "2025-02-20" + "x" * 300), r"which is no date"),
        (_rule("day", O.IN_THE_PAST, -1), r"-1, which is not a count"),
        (_rule("day", O.IN_THE_PAST, 1.5), r"1\.5, which is not a count"),
        (_rule("day", O.IN_THE_PAST, "x"), r"'x', which is not a number"),
        (_rule("day", O.IN_THE_PAST, 10**15), r"which is not a count"),
        (_rule("day", O.IN_THE_PAST, 10**9), r"beyond the years 1 to 9999"),
        (_rule("moment", O.IN_THE_NEXT, 10**6, unit_of_time=UnitOfTime.YEARS), r"beyond the years 1 to 9999"),
        (_rule("day", O.IN_THE_CURRENT, unit_of_time=UnitOfTime.HOURS), r"whole hours.*use days"),
        (_rule("day", O.IN_PERIOD_TO_DATE), r"days to date.*weeks, months, quarters, years"),
    ],
)
def test_value_that_does_not_fit_is_a_400_that_names_field_and_value(rule: FilterRule, fault: str) -> None:
    """Whatever is wrong with a value, the message says where, what, and stays short."""
    with pytest.raises(ParameterError, match=fault) as caught:
        _asked(rule)
    assert f"`{rule.field_id}`" in caught.value.message
    assert (400, rule.field_id) == (caught.value.status, caught.value.details["fieldId"])
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("rule", "field", "context", "is_sensitive"),
    [
        (None, None, True, True),
        (None, None, False, False),
        (None, True, False, True),
        (None, False, True, False),
        (True, False, False, True),
        (False, True, True, False),
    ],
)
def test_nearest_setting_of_case_wins(rule, field, context, is_sensitive) -> None:
    """The rule's own, then the field's, then the project's."""
    asked = _asked(
        _rule("text", O.EQUALS, "a", case_sensitive=rule),
        replace(CONTEXT, case_sensitive=context),
        case_sensitive=field,
    )
    assert ("(c IN ('a'))" if is_sensitive else "(UPPER(c) IN (UPPER('a')))") == asked


def test_parameter_in_a_value_is_data_and_expands_to_all_its_values() -> None:
    """A reference alone becomes every value; within a text each value makes a text of its own."""
    many = ParameterValue(type=ParameterType.STRING, values=("a'", "b"), multiple=True)
    rate = ParameterValue(type=ParameterType.NUMBER, values=(5,))
    context = replace(CONTEXT, parameters={"x": many, "m.rate": rate})
    assert "(c IN ('a''', 'b', 'c'))" == _asked(_rule("text", O.EQUALS, "${ld.parameters.x}", "c"), context)
    assert "(c IN ('<a''-5>', '<b-5>'))" == _asked(
        _rule("text", O.EQUALS, "<${ lightdash.parameters.x }-${ld.parameters.m.rate}>"), context
    )
    assert "(c > 5)" == _asked(_rule("number", O.GREATER_THAN, "${ld.parameters.m.rate}"), context)
    assert "(c IN ('${ld.user.email}'))" == _asked(_rule("text", O.EQUALS, "${ld.user.email}"), context)
    with pytest.raises(ParameterError, match="Missing parameters: y"):
        _asked(_rule("text", O.EQUALS, "${ld.parameters.y}"), context)
    wide = replace(context, parameters={"x": replace(many, values=("a",) * 200)})
    with pytest.raises(ParameterError, match="more than 10000 values"):
        _asked(_rule("text", O.EQUALS, "${ld.parameters.x}" * 3), wide)


def test_references_and_rules_are_found_at_every_depth() -> None:
    """Disabled rules are rules, but refer to nothing."""
    deep = _group(PLAIN, _group(_rule("text", O.EQUALS, "${ld.parameters.x}"), is_any=True))
    disabled = _rule("text", O.EQUALS, "${ld.parameters.y}", is_disabled=True)
    assert 3 == len(list(rules(_group(deep, disabled))))
    assert {"x"} == parameter_references(_group(deep, disabled))


def test_groups_too_deep_are_refused() -> None:
    """Nesting has a limit long before the stack has."""
    node: FilterGroup | FilterRule = PLAIN
    for _ in range(50):
        node = _group(node)
    assert "(c IN (1))" == _asked(node)
    with pytest.raises(ParameterError, match="50 groups"):
        _asked(_group(node))


@pytest.mark.parametrize(
    ("rule", "zone", "expected"),
    [
        (_rule("day", O.EQUALS, "2025-03-01"), "UTC",
         "(b >= TIMESTAMPTZ '2025-03-01 00:00:00.000+00:00' AND b < TIMESTAMPTZ '2025-04-01 00:00:00.000+00:00')"),
        (_rule("day", O.EQUALS, "2025-03-01"), "America/New_York",
         "(b >= TIMESTAMPTZ '2025-03-01 05:00:00.000+00:00' AND b < TIMESTAMPTZ '2025-04-01 04:00:00.000+00:00')"),
        (_rule("day", O.GREATER_THAN, "2025-03-15"), "UTC", "(b >= TIMESTAMPTZ '2025-04-01 00:00:00.000+00:00')"),
        (_rule("day", O.LESS_THAN_OR_EQUAL, "2025-03-15"), "UTC", "(b < TIMESTAMPTZ '2025-04-01 00:00:00.000+00:00')"),
        (_rule("day", O.NOT_EQUALS, "2025-03-01"), "UTC", "(c <> DATE '2025-03-01' OR c IS NULL)"),
        (_rule("day", O.EQUALS, *(f"20{year}-01-01" for year in range(10, 27))), "UTC",
         "(c IN (" + ", ".join(f"DATE '20{year}-01-01'" for year in range(10, 27)) + "))"),
        (_rule("day", O.LESS_THAN_OR_EQUAL, "9999-12-31"), "UTC", "(c <= DATE '9999-12-31')"),
        (_rule("day", O.EQUALS, "9999-12-01"), "UTC", "(c = DATE '9999-12-01')"),
        (_rule("day", O.IN_BETWEEN, "2025-03-01", "9999-12-31"), "UTC",
         "(b >= TIMESTAMPTZ '2025-03-01 00:00:00.000+00:00' AND c <= DATE '9999-12-31')"),
    ],
)  # fmt: skip
def test_rule_on_a_month_is_asked_of_the_base_as_a_range(rule, zone, expected) -> None:
    """Ranges are half open and begin at the zone's midnight; what is no range compares the cut field."""
    more = {"base_sql": "b", "base_type": ColumnType.TIMESTAMP, "interval": TimeInterval.MONTH}
    assert expected == _asked(rule, replace(CONTEXT, timezone=zone), **more)


def test_rule_on_a_day_without_a_beginning_compares_the_cut_field() -> None:
    """Where a clock went back over midnight no range is exact, so none is used."""
    more = {"base_sql": "b", "base_type": ColumnType.TIMESTAMP, "interval": TimeInterval.DAY}
    rule = _rule("day", O.GREATER_THAN_OR_EQUAL, "2006-10-29")
    assert "(c >= DATE '2006-10-29')" == _asked(rule, replace(CONTEXT, timezone="America/St_Johns"), **more)


def test_field_that_is_never_shifted_counts_in_the_zone_of_the_data() -> None:
    """Its days begin where those of the warehouse do, in relative rules, too."""
    context = replace(CONTEXT, timezone="America/New_York")
    asked = _asked(_rule("moment", O.IN_THE_CURRENT), context, shifted=False)
    assert asked is not None
    assert "2025-05-20 00:00:00.000+00:00" in asked
    assert "2025-05-20 04:00:00.000+00:00" in str(_asked(_rule("moment", O.IN_THE_CURRENT), context))
