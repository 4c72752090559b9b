"""The pivot that a saved chart draws, as `pivotConfiguration`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from queryfleet.compiler.metric_query import MetricQuery
    from queryfleet.content.values import SavedChart, SqlChart
    from queryfleet.errors import JsonValue

__all__ = ["chart_pivot", "sql_chart_pivot"]


def chart_pivot(
    chart: SavedChart, query: MetricQuery, items: Mapping[str, Mapping[str, JsonValue]]
) -> dict[str, JsonValue] | None:
    """Return the pivot of a chart, or None when it has none.

    Args:
        chart: Tables and cartesian charts may have one.
        query: As it is run.
        items: Descriptions of the columns by id.
    """
    selected = (*query.dimensions, *query.metrics, *(each.name for each in query.calculations))
    groups = [name for name in chart.pivot_columns if name in query.dimensions]
    hidden = _hidden(chart) if chart.type == "table" else set()
    if chart.type == "table":
        values = [name for name in selected[len(query.dimensions) :] if name not in hidden]
        index = [name for name in query.dimensions if name not in groups]
    elif chart.type == "cartesian":
        layout = _mapping(chart.config.get("layout"))
        values = list(dict.fromkeys(name for name in _texts(layout.get("yField")) if name in selected))
        index = [name for name in query.dimensions if name not in groups and name not in values]
        x_field = layout.get("xField")
        if isinstance(x_field, str) and x_field in selected[len(query.dimensions) :] and x_field not in values:
            index.append(x_field)
    else:
        return None
    shown = [name for name in groups if name not in hidden]
    if not values or not shown or set(groups) & {*values, *index}:
        return None
    sorted_by = [sort.field_id for sort in query.sorts]
    unshown = [name for name in groups if name in hidden]
    more: dict[str, JsonValue] = {
        "sortOnlyColumns": _values(
            [name for name in sorted_by if name in selected[len(query.dimensions) :] and name not in (*values, *index)]
        ),
        "sortOnlyDimensions": _references([name for name in unshown if name in sorted_by]),
        "passthroughDimensions": _references([name for name in unshown if name not in sorted_by]),
        "pivotColumnsOrder": _references([name for name in groups if name not in hidden or name in sorted_by])
        if unshown
        else [],
        "metricsAsRows": chart.type == "table" and chart.config.get("metricsAsRows") is True,
    }
    found: dict[str, JsonValue] = {
        "indexColumn": [{"reference": name, "type": _axis(items.get(name, {}))} for name in index],
        "valuesColumns": _values(values),
        "groupByColumns": _references(shown),
        "sortBy": [_sort(sort.to_json()) for sort in query.sorts],
    }
    return found | {name: value for name, value in more.items() if value}


def sql_chart_pivot(chart: SqlChart) -> dict[str, JsonValue] | None:
    """Return the pivot of a SQL chart's layout: `x` is the index, `y` the values, `groupBy` the columns; else None."""
    layout = _mapping(chart.config.get("fieldConfig"))
    values: list[JsonValue] = [
        {"reference": each["reference"], "aggregation": each.get("aggregation") or "any"}
        for each in _mappings(layout.get("y"))
        if isinstance(each.get("reference"), str)
    ]
    groups = [each["reference"] for each in _mappings(layout.get("groupBy")) if isinstance(each.get("reference"), str)]
    index = _mapping(layout.get("x"))
    if chart.config.get("type") == "table" or not values or not (groups or index):
        return None
    found: dict[str, JsonValue] = {
        "valuesColumns": values,
        "groupByColumns": [{"reference": name} for name in groups],
        "sortBy": [
            {"reference": each["reference"], "direction": each.get("direction") or "ASC"}
            for each in _mappings(layout.get("sortBy"))
            if isinstance(each.get("reference"), str)
        ],
    }
    if isinstance(index.get("reference"), str):
        type_ = index.get("type")
        found["indexColumn"] = {"reference": index["reference"], "type": type_ if type_ == "time" else "category"}
    return found


def _hidden(chart: SavedChart) -> set[str]:
    columns = _mapping(chart.config.get("columns"))
    return {name for name, each in columns.items() if _mapping(each).get("visible") is False}


def _axis(item: Mapping[str, JsonValue]) -> str:
    return "time" if item.get("type") in ("date", "timestamp") else "category"


def _values(names: Sequence[str]) -> list[JsonValue]:
    return [{"reference": name, "aggregation": "any"} for name in dict.fromkeys(names)]


def _references(names: Sequence[str]) -> list[JsonValue]:
    return [{"reference": name} for name in names]


def _sort(sort: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {
        "reference": sort["fieldId"],
        "direction": "DESC" if sort.get("descending") else "ASC",
    }
    return found | {name: sort[name] for name in ("nullsFirst", "pivotValues") if name in sort}


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _mappings(value: JsonValue) -> list[dict[str, JsonValue]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _texts(value: JsonValue) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
