"""The order of rows: what was asked for, or a default, and always the same for rows that are equal in it.

Names of months and weekdays are ordered by the calendar, bins by their numbers; both need columns of an earlier stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.metric_query import Sort
from queryfleet.compiler.plan import Order
from queryfleet.model import ColumnType
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from queryfleet.compiler.context import Context

__all__ = ["SortColumn", "default_sorts", "orders"]

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True, kw_only=True)
class SortColumn:
    """What is known of a selected dimension that rows may be ordered by."""

    name: str
    type: ColumnType
    interval: TimeInterval | None = None
    order_name: str | None = None  # column of numbers that orders it; None: there is none

    @property
    def is_special(self) -> bool:
        """Tell whether its values are not in their own order."""
        return self.order_name is not None or self.interval in (TimeInterval.MONTH_NAME, TimeInterval.DAY_OF_WEEK_NAME)


def default_sorts(dimensions: Sequence[SortColumn], metrics: Sequence[str]) -> tuple[Sort, ...]:
    """Return the order of a question that asks for none: latest first, else greatest first, else by the first column.

    Args:
        dimensions: The selected ones.
        metrics: Ids of the selected ones.
    """
    if not dimensions:
        return ()
    dates = [each.name for each in dimensions if each.type in (ColumnType.DATE, ColumnType.TIMESTAMP)]
    if dates:
        return (Sort(field_id=dates[0], is_descending=True),)
    if metrics:
        return (Sort(field_id=metrics[0], is_descending=True),)
    return (Sort(field_id=dimensions[0].name),)


def orders(
    sorts: Sequence[Sort],
    dimensions: Mapping[str, SortColumn],
    context: Context,
    *,
    available: Collection[str] | None = None,
    source: str | None = None,
    nulls_first: bool | None = None,
) -> tuple[Order, ...]:
    """Return the entries of ORDER BY, the dimensions that are not sorted by at their end.

    Args:
        sorts: What was asked for.
        dimensions: The selected ones by name, in their order.
        context: Of the question.
        available: Columns that can be ordered by; other sorts are left out. None: all.
        source: Name of the stage whose columns they are; None: the columns are named alone.
        nulls_first: Where NULLs are when a sort does not say; None: as the warehouse does.
    """
    quote = context.dialect.quote

    def named(name: str) -> str:
        return quote(name) if source is None else f"{quote(source)}.{quote(name)}"

    found: list[Order] = []
    for sort in sorts:
        if available is None or sort.field_id in available:
            column = dimensions.get(sort.field_id)
            found.append(
                Order(
                    sql=named(sort.field_id) if column is None else _sql(column, context, named),
                    is_descending=sort.is_descending,
                    nulls_first=nulls_first if sort.nulls_first is None else sort.nulls_first,
                )
            )
    sorted_by = {sort.field_id for sort in sorts}
    rest = (name for name in dimensions if name not in sorted_by)
    return (*found, *(Order(sql=named(name), nulls_first=nulls_first) for name in rest))


def _sql(column: SortColumn, context: Context, named: Callable[[str], str]) -> str:
    if column.order_name is not None:
        return named(column.order_name)
    match column.interval:
        case TimeInterval.MONTH_NAME:
            names: tuple[str, ...] = _MONTHS
        case TimeInterval.DAY_OF_WEEK_NAME:
            names = _DAYS[context.week_start :] + _DAYS[: context.week_start]
        case _:
            return named(column.name)
    branches = " ".join(f"WHEN {context.dialect.text(name)} THEN {place}" for place, name in enumerate(names, 1))
    return f"CASE {named(column.name)} {branches} END"
