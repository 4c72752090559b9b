"""How many rows a question may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.compiler.query_warning import QueryWarning
from queryfleet.errors import ParameterError

if TYPE_CHECKING:
    from queryfleet.compiler.metric_query import MetricQuery

__all__ = ["QueryLimits", "limited"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """What the service allows one metric query."""

    rows_max: int | None = 5_000  # None: any number
    cells_max: int | None = 100_000  # rows times columns, of a question that asks for all rows; None: any number


def limited(query: MetricQuery, column_count: int, limits: QueryLimits) -> tuple[int | None, QueryWarning | None]:
    """Return the limit of the statement, and a warning when it is not the one asked for.

    A question that asks for all rows (`limit` null) gets as many as its columns leave of `cells_max`.

    Args:
        query: What is asked.
        column_count: Of the result, at least 1.
        limits: What is allowed.

    Raises:
        ParameterError: The limit is below 0.
    """
    if query.limit is None:
        return (None if limits.cells_max is None else max(limits.cells_max // column_count, 1)), None
    if query.limit < 0:
        raise ParameterError(f"`limit` is {query.limit}; write 0 or more, or null for all rows", field="limit")
    if limits.rows_max is None or query.limit <= limits.rows_max:
        return query.limit, None
    message = f"at most {limits.rows_max} rows are returned: the limit of {query.limit} is higher than what is allowed"
    return limits.rows_max, QueryWarning(message=message)
