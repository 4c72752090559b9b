"""Metrics over the finished groups: shares of a total, running totals, changes from row to row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.compiler.calculation import window
from queryfleet.semantic.explore import MetricType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from queryfleet.compiler.dialects import Dialect
    from queryfleet.compiler.plan import Order

__all__ = ["post_calculation"]


def post_calculation(
    kind: MetricType,
    column: str,
    dialect: Dialect,
    *,
    order: Sequence[Order],
    partition: tuple[Sequence[str], Sequence[str]],
) -> str:
    """Return the SQL of a metric over the column of another.

    Args:
        kind: PERCENT_OF_TOTAL, RUNNING_TOTAL or PERCENT_OF_PREVIOUS.
        column: What it is computed from.
        dialect: Of the warehouse.
        order: Of the rows.
        partition: Within which rows a share is counted, and within which it runs from row to row; both are empty
            unless the result is pivoted.
    """
    shared, running = partition
    match kind:
        case MetricType.PERCENT_OF_TOTAL:
            total = dialect.cast_float(f"SUM({column}) OVER {window(partition=shared)}")
            return f"{dialect.cast_float(column)} / NULLIF({total}, 0)"
        case MetricType.RUNNING_TOTAL:
            frame = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
            return f"SUM({column}) OVER {window(order, running, frame)}"
        case MetricType.PERCENT_OF_PREVIOUS:
            previous = dialect.cast_float(f"LAG({column}) OVER {window(order, running)}")
            return f"{dialect.cast_float(column)} / NULLIF({previous}, 0) - 1"
        case _:
            raise AssertionError(kind)
