"""What a client may ask of a pivot, and what it is told when it may not."""

from __future__ import annotations

import pickle

import pytest

from queryfleet.errors import InvalidRequestError, ParameterError
from queryfleet.pivot.spec import (
    Aggregation,
    AxisType,
    IndexColumn,
    NullOrder,
    PivotLimits,
    PivotPlan,
    coverage_warnings,
)
from queryfleet.pivot.wire import parse_pivot, pivot_to_wire

FULL = {
    "indexColumn": {"reference": "rides_month", "type": "time"},
    "valuesColumns": [
        {"reference": "rides_fare", "aggregation": "sum"},
        {"reference": "rides_fare", "aggregation": "avg"},
    ],
    "groupByColumns": [{"reference": "rides_city"}],
    "sortBy": [
        {"reference": "rides_month", "direction": "DESC", "nullsFirst": True},
        {
            "reference": "rides_fare",
            "direction": "ASC",
            "pivotValues": [{"reference": "rides_city", "value": None}],
        },
    ],
    "metricsAsRows": True,
    "sortOnlyColumns": [{"reference": "rides_tip", "aggregation": "any"}],
    "sortOnlyDimensions": [{"reference": "rides_zone"}],
    "passthroughDimensions": [{"reference": "rides_flag"}],
    "pivotColumnsOrder": [{"reference": "rides_zone"}, {"reference": "rides_city"}],
}
SMALL = {"valuesColumns": [{"reference": "v", "aggregation": "any"}]}


def test_parse_full_configuration_is_read_and_written_back():
    """Every member survives the way in and out, and into another process."""
    spec = parse_pivot(FULL)
    assert pivot_to_wire(spec) == FULL
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert spec.index == (IndexColumn(reference="rides_month", type=AxisType.TIME),)
    assert [column.aggregation for column in spec.values] == [Aggregation.SUM, Aggregation.AVG]
    assert spec.column_dimensions == ("rides_zone", "rides_city")
    assert spec.carried == ("rides_month", "rides_flag")
    assert [column.name for _, column in spec.value_sorts] == ["rides_fare_sum"]
    assert spec.warnings == ()


def test_parse_absent_and_null_members_mean_none():
    """A pivot may have no index and no groups; null is as good as absent."""
    spec = parse_pivot(SMALL | {"indexColumn": None, "groupByColumns": None, "sortBy": None})
    assert (spec.index, spec.groups, spec.sort) == ((), (), ())
    assert spec == parse_pivot(SMALL)


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"valuesColumns": []}, ParameterError, "pivotConfiguration.valuesColumns"),
        ({"valuesColumns": None}, ParameterError, "pivotConfiguration.valuesColumns"),
        ({"valuesColumns": {}}, InvalidRequestError, "pivotConfiguration.valuesColumns"),
        ({"valuesColumns": ["v"]}, InvalidRequestError, "pivotConfiguration.valuesColumns.0"),
        (
            {"valuesColumns": [{"reference": "v", "aggregation": "median"}]},
            ParameterError,
            "pivotConfiguration.valuesColumns.0.aggregation",
        ),
        ({"valuesColumns": [{"reference": "v"}]}, ParameterError, "pivotConfiguration.valuesColumns.0.aggregation"),
        (
            {"valuesColumns": [{"reference": "v", "aggregation": "any"}] * 2},
            ParameterError,
            "pivotConfiguration.valuesColumns",
        ),
        (
            {"indexColumn": [{"reference": "v_any"}]},
            ParameterError,
            "pivotConfiguration.valuesColumns",
        ),
        ({"indexColumn": [{"type": "time"}]}, InvalidRequestError, "pivotConfiguration.indexColumn.0.reference"),
        (
            {"indexColumn": {"reference": "a", "type": "number"}},
            ParameterError,
            "pivotConfiguration.indexColumn.0.type",
        ),
        (
            {"indexColumn": [{"reference": "a"}], "groupByColumns": [{"reference": "a"}]},
            ParameterError,
            "pivotConfiguration.groupByColumns",
        ),
        (
            {
                "indexColumn": [{"reference": "a"}],
                "groupByColumns": [{"reference": "b"}],
                "sortOnlyDimensions": [{"reference": "a"}],
            },
            ParameterError,
            "pivotConfiguration.sortOnlyDimensions",
        ),
        ({"groupByColumns": [{"reference": ""}]}, InvalidRequestError, "pivotConfiguration.groupByColumns.0.reference"),
        ({"groupByColumns": [{"reference": "g"}] * 2}, ParameterError, "pivotConfiguration.groupByColumns"),
        (
            {"sortBy": [{"reference": "v", "direction": "down"}]},
            ParameterError,
            "pivotConfiguration.sortBy.0.direction",
        ),
        (
            {"sortBy": [{"reference": "v", "nullsFirst": "yes"}]},
            InvalidRequestError,
            "pivotConfiguration.sortBy.0.nullsFirst",
        ),
        (
            {"sortBy": [{"reference": "v", "pivotValues": [{"reference": "g"}]}]},
            InvalidRequestError,
            "pivotConfiguration.sortBy.0.pivotValues.0.value",
        ),
        ({"metricsAsRows": 1}, InvalidRequestError, "pivotConfiguration.metricsAsRows"),
    ],
)
def test_parse_impossible_configuration_names_the_member(changes, error, field):
    """A wrong shape is a 422, an impossible word or combination a 400; both name the member."""
    with pytest.raises(error) as caught:
        parse_pivot(SMALL | changes)
    assert field in caught.value.message
    assert field in caught.value.details or caught.value.details["field"] == field
    assert caught.value.status == (422 if error is InvalidRequestError else 400)


@pytest.mark.parametrize(
    ("limits", "field"), [({"rows": 0}, "limit"), ({"columns": -1}, "columnLimit"), ({"columns_max": 0}, "columns_max")]
)
def test_limits_below_one_are_refused(limits, field):
    """A pivot without rows or columns is nobody's wish; the error names the limit."""
    with pytest.raises(ParameterError, match=field):
        PivotLimits(**limits)


def test_limits_more_values_than_columns_show_one_group_and_warn():
    """Values are never cut from a group; the client learns why there is only one."""
    values = [{"reference": f"v{number}", "aggregation": "any"} for number in range(5)]
    plan = PivotPlan(
        spec=parse_pivot({"valuesColumns": values, "groupByColumns": [{"reference": "g"}]}),
        limits=PivotLimits(columns=3),
    )
    assert plan.limits.groups_shown(plan.spec) == 1
    assert ["5 values" in warning for warning in plan.warnings()] == [True]
    as_rows = parse_pivot({"valuesColumns": values, "groupByColumns": [{"reference": "g"}], "metricsAsRows": True})
    assert plan.limits.groups_shown(as_rows) == 3


def test_parse_idle_members_are_left_out_with_a_warning():
    """A sort by something the pivot does not have, and an order of columns that are not there, do nothing."""
    spec = parse_pivot(SMALL | {"sortBy": [{"reference": "x"}], "sortOnlyDimensions": [{"reference": "h"}]})
    assert (spec.sort, spec.sort_only_dimensions) == ((), ())
    assert ["sortOnlyDimensions" in spec.warnings[0], "sortBy" in spec.warnings[1]] == [True, True]


def test_coverage_any_over_a_missing_dimension_warns():
    """Where a dimension of the query is neither index nor group, `any` shows an arbitrary value, and says so."""
    spec = parse_pivot(SMALL | {"indexColumn": {"reference": "a"}, "groupByColumns": [{"reference": "g"}]})
    assert coverage_warnings(spec, ["a", "g"]) == ()
    assert "b" in coverage_warnings(spec, ["a", "b", "g"])[0]
    summed = parse_pivot({"valuesColumns": [{"reference": "v", "aggregation": "sum"}]})
    assert coverage_warnings(summed, ["b"]) == ()


@pytest.mark.parametrize(
    ("order", "ascending", "descending"),
    [("first", True, True), ("last", False, False), ("largest", False, True), ("smallest", True, False)],
)
def test_null_order_depends_on_the_warehouse(order, ascending, descending):
    """Each default says where NULL stands in both directions."""
    found = NullOrder(order)
    assert (found.nulls_first(descending=False), found.nulls_first(descending=True)) == (ascending, descending)
