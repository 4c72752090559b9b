"""Totals of a metric query, as metric queries: the same metrics over fewer dimensions, computed again from the rows.

Nothing is added up from a result, so distinct counts and ratios are right; table calculations are made from the totals
as they were from the rows. What compares rows or periods has no total, be it a metric or a calculation.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.question import is_post_calculation
from queryfleet.compiler.total_calculations import calculations_with_total
from queryfleet.errors import ParameterError, RequestError
from queryfleet.semantic.nearest_name import nearest_name

if TYPE_CHECKING:
    from queryfleet.compiler.metric_query import MetricQuery
    from queryfleet.semantic.explore import Explore

__all__ = ["TotalKind", "total_query"]


class TotalKind(StrEnum):
    """What is totalled."""

    GRAND_TOTAL = "grandTotal"  # everything: one row
    COLUMN_TOTAL = "columnTotal"  # each column of a pivot: one row
    ROW_TOTAL = "rowTotal"  # each row of a pivot
    COLUMN_SUBTOTAL = "columnSubtotal"  # each column, for each group of rows
    ROW_SUBTOTAL = "rowSubtotal"  # each row, for each group of columns


_SUBTOTALS: Final = (TotalKind.COLUMN_SUBTOTAL, TotalKind.ROW_SUBTOTAL)


def total_query(
    source: MetricQuery, explore: Explore, kind: TotalKind, *, groups: tuple[str, ...], by: tuple[str, ...]
) -> MetricQuery:
    """Return the question whose answer are the totals. It has no limit, and no filter on metrics.

    Args:
        source: As it was run.
        explore: As the caller may use it, without the query's own metrics.
        kind: What is totalled.
        groups: Dimensions that the source's pivot spreads into columns; none without a pivot.
        by: Of subtotals: index columns, or the leading group columns.

    Raises:
        ParameterError: `by` does not fit the kind, or nothing has a total.
    """
    _check(source, kind, groups=groups, by=by)
    index = tuple(name for name in source.dimensions if name not in groups)
    dimensions: tuple[str, ...] = {
        TotalKind.GRAND_TOTAL: (),
        TotalKind.COLUMN_TOTAL: groups,
        TotalKind.ROW_TOTAL: index,
        TotalKind.COLUMN_SUBTOTAL: (*by, *groups),
        TotalKind.ROW_SUBTOTAL: (*index, *by),
    }[kind]
    metrics = tuple(name for name in source.metrics if _has_total(name, source, explore))
    if not metrics:
        raise ParameterError("No metric of the query has a total.", field="kind")
    return replace(
        source,
        dimensions=dimensions,
        metrics=metrics,
        metric_filters=None if source.dimensions else source.metric_filters,
        calculation_filters=None,
        calculations=calculations_with_total(source.calculations, (*dimensions, *metrics), explore),
        sorts=tuple(sort for sort in source.sorts if sort.field_id in dimensions),
        limit=None,
        pivot_dimensions=tuple(name for name in source.pivot_dimensions if name in dimensions),
    )


def _has_total(name: str, source: MetricQuery, explore: Explore) -> bool:
    own = next((each for each in source.additional_metrics if each.field_id == name), None)
    if own is not None:
        return own.period_over_period is None
    try:
        return not is_post_calculation(explore.metric(name))
    except RequestError:
        return True  # what is wrong with it is said when it is compiled


def _check(source: MetricQuery, kind: TotalKind, *, groups: tuple[str, ...], by: tuple[str, ...]) -> None:
    if kind not in _SUBTOTALS:
        return
    if not by:
        raise ParameterError(
            f"{kind.value} needs `subtotalDimensions`: the dimensions of the query to group by.",
            field="subtotalDimensions",
        )
    known = [name for name in source.dimensions if (name in groups) == (kind is TotalKind.ROW_SUBTOTAL)]
    for name in by:
        if name not in known:
            place = "a column of the pivot" if kind is TotalKind.ROW_SUBTOTAL else "an index column"
            raise ParameterError(
                f"`subtotalDimensions` names `{name}`, which is not {place}; {nearest_name(name, known)}",
                field="subtotalDimensions",
            )
    if kind is TotalKind.ROW_SUBTOTAL and by != groups[: len(by)]:
        raise ParameterError(
            f"`subtotalDimensions` of {kind.value} must be the first group columns in their order: "
            f"{', '.join(groups)}.",
            field="subtotalDimensions",
        )
