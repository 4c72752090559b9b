"""The pivot that a saved chart draws."""

from __future__ import annotations

import pytest

from queryfleet.compiler.metric_query import MetricQuery, Sort
from queryfleet.content.pivot import chart_pivot, sql_chart_pivot
from queryfleet.content.values import SavedChart, SqlChart
from queryfleet.pivot.wire import parse_pivot

ITEMS = {"t_day": {"type": "date"}, "t_city": {"type": "string"}, "t_kind": {"type": "string"}}
CARTESIAN = {"layout": {"xField": "t_day", "yField": ["t_sum"]}}


def made(chart_type="table", config=None, columns=("t_city",), **query):
    """Return the configuration of a chart, which can be read as one."""
    asked = {"dimensions": ("t_day", "t_city", "t_kind"), "metrics": ("t_sum", "t_count")} | query
    chart = SavedChart(
        name="x",
        query=MetricQuery(explore="t", **asked),
        type=chart_type,
        config=config or {},
        pivot_columns=columns,
    )
    found = chart_pivot(chart, chart.query, ITEMS)
    if found is not None:
        parse_pivot(found)
    return found


def names(entries):
    return [each["reference"] for each in entries]


def test_table_spreads_its_pivot_columns_over_all_metrics():
    """The other dimensions are the index, dates among them as time; sorts are those of the query."""
    found = made(sorts=(Sort(field_id="t_sum", is_descending=True, nulls_first=False),))
    assert found == {
        "indexColumn": [{"reference": "t_day", "type": "time"}, {"reference": "t_kind", "type": "category"}],
        "valuesColumns": [
            {"reference": "t_sum", "aggregation": "any"},
            {"reference": "t_count", "aggregation": "any"},
        ],
        "groupByColumns": [{"reference": "t_city"}],
        "sortBy": [{"reference": "t_sum", "direction": "DESC", "nullsFirst": False}],
    }
    assert made(config={"metricsAsRows": True})["metricsAsRows"] is True


def test_hidden_columns_of_a_table_order_or_come_along_and_are_not_shown():
    """A hidden group that is sorted by orders columns; one that is not is carried; a hidden metric may be sorted by."""
    hidden = {"columns": {"t_kind": {"visible": False}, "t_sum": {"visible": False}}}
    sorts = (Sort(field_id="t_kind"), Sort(field_id="t_sum"))
    found = made(config=hidden, columns=("t_city", "t_kind"), sorts=sorts)
    assert (names(found["groupByColumns"]), names(found["sortOnlyDimensions"])) == (["t_city"], ["t_kind"])
    assert (names(found["valuesColumns"]), names(found["sortOnlyColumns"])) == (["t_count"], ["t_sum"])
    found = made(config=hidden, columns=("t_city", "t_kind"))
    assert names(found["passthroughDimensions"]) == ["t_kind"]
    assert "sortOnlyColumns" not in found


def test_cartesian_draws_its_y_fields():
    """A sorted metric that is not drawn is computed only; a metric on the x axis joins the index."""
    found = made("cartesian", CARTESIAN, sorts=(Sort(field_id="t_count"),))
    assert (names(found["valuesColumns"]), names(found["sortOnlyColumns"])) == (["t_sum"], ["t_count"])
    assert names(found["indexColumn"]) == ["t_day", "t_kind"]
    found = made("cartesian", {"layout": {"xField": "t_count", "yField": ["t_sum", "gone"]}})
    assert names(found["indexColumn"]) == ["t_day", "t_kind", "t_count"]


@pytest.mark.parametrize(
    ("chart_type", "config", "columns"),
    [
        ("pie", {}, ("t_city",)),
        ("table", {}, ()),
        ("table", {}, ("gone",)),
        ("cartesian", {}, ("t_city",)),
        ("cartesian", {"layout": {"yField": ["gone"]}}, ("t_city",)),
        ("cartesian", {"layout": {"yField": ["t_city"]}}, ("t_city",)),
        ("table", {"columns": {"t_city": {"visible": False}}}, ("t_city",)),
    ],
)
def test_chart_without_a_value_or_a_group_has_no_pivot(chart_type, config, columns):
    """Other types, nothing to spread, nothing drawn, and a column that is both."""
    assert made(chart_type, config, columns) is None


def test_sql_chart_has_the_pivot_of_its_layout():
    """`x`, `y`, `groupBy` and `sortBy`; a table and a layout without values have none."""
    layout = {
        "x": {"reference": "day", "type": "time"},
        "y": [{"reference": "n", "aggregation": "sum"}, {"reference": "m"}],
        "groupBy": [{"reference": "city"}],
        "sortBy": [{"reference": "day", "direction": "DESC"}],
    }

    def pivot(**config):
        return sql_chart_pivot(SqlChart(name="x", sql="select 1", config=config))

    found = pivot(type="line", fieldConfig=layout)
    assert found["indexColumn"] == {"reference": "day", "type": "time"}
    assert [each["aggregation"] for each in found["valuesColumns"]] == ["sum", "any"]
    assert found["sortBy"] == [{"reference": "day", "direction": "DESC"}]
    parse_pivot(found)
    assert pivot(type="table", fieldConfig=layout) is None
    assert pivot(type="line", fieldConfig=layout | {"y": []}) is None
    assert pivot() is None
