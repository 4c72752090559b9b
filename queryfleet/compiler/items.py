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
    return item | _override(query.dimension_overrides, dimension.field_id)


def metric_item(metric: Metric, query: MetricQuery) -> dict[str, JsonValue]:
    """Return a metric's item; one of the query's own keeps the format that was sent with it."""
    item = metric.item()
    for own in query.additional_metrics:
        if own.field_id == metric.field_id:
            item |= {key: own.sent[key] for key in FORMAT_KEYS if own.sent.get(key) is not None}
            if own.period_over_period is not None:
                compared = own.period_over_period
                item |= {"generationType": "periodOverPeriod", "baseMetricId": compared.base_metric_id}
    return item | _override(query.metric_overrides, metric.field_id)


def custom_item(custom: CustomDimension) -> dict[str, JsonValue]:
    """Return the item of a custom dimension: what was sent."""
    return dict(custom.sent)


def calculation_item(calculation: TableCalculation) -> dict[str, JsonValue]:
    """Return the item of a table calculation: what was sent, its type filled in where it is known."""
    item = dict(calculation.sent)
    if calculation.type is not None:
        item["type"] = calculation.type.value
    return item


def _override(overrides: Mapping[str, Mapping[str, JsonValue]], field_id: str) -> dict[str, JsonValue]:
    return {key: value for key, value in overrides.get(field_id, {}).items() if key in FORMAT_KEYS}
