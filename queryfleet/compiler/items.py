"""What a result's columns are, in the words of the wire: labels, types, formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from queryfleet.compiler.additional_metrics import FORMAT_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.compiler.metric_query import CustomDimension, MetricQuery, TableCalculation
    from queryfleet.errors import JsonValue
    from queryfleet.semantic.explore import Dimension, Metric

__all__ = ["calculation_item", "custom_item", "dimension_item", "metric_item"]

# Kept of a dimension that is zoomed; what its values are comes from the interval.
_KEPT: Final = ("name", "label", "description", "table", "tableLabel", "groups", "tags", "urls", "hidden")


def dimension_item(dimension: Dimension, query: MetricQuery, zoomed: Dimension | None = None) -> dict[str, JsonValue]:
    """Return a dimension's item.

    Args:
        dimension: Selected.
        query: What overrides how it is shown.
        zoomed: The interval its column holds, if another one.
    """
    item = dimension.item()
    if zoomed is not None:
        item = zoomed.item() | {key: item[key] for key in _KEPT if key in item}
    return _overridden(item, query.dimension_overrides.get(dimension.field_id, {}))


def metric_item(metric: Metric, query: MetricQuery) -> dict[str, JsonValue]:
    """Return a metric's item; one of the query's own keeps the format that was sent with it."""
    item = metric.item()
    for own in query.additional_metrics:
        if own.field_id == metric.field_id:
            item |= {key: own.sent[key] for key in FORMAT_KEYS if own.sent.get(key) is not None}
            if own.period_over_period is not None:
                compared = own.period_over_period
                item |= {"generationType": "periodOverPeriod", "baseMetricId": compared.base_metric_id}
    return _overridden(item, query.metric_overrides.get(metric.field_id, {}))


def custom_item(custom: CustomDimension) -> dict[str, JsonValue]:
    """Return the item of a custom dimension: what was sent."""
    return dict(custom.sent)


def calculation_item(calculation: TableCalculation) -> dict[str, JsonValue]:
    """Return the item of a table calculation: what was sent, its type filled in where it is known."""
    item = dict(calculation.sent)
    if calculation.type is not None:
        item["type"] = calculation.type.value
    return item


def _overridden(item: Mapping[str, JsonValue], override: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return an item shown another way: `formatOptions` take the place of the words that would win over them."""
    said = {key: value for key, value in override.items() if key in FORMAT_KEYS}
    left_out = ("format", "round", "compact", "separator") if said.get("formatOptions") else ()
    return {key: value for key, value in item.items() if key not in left_out} | said
