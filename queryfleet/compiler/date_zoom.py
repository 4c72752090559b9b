"""Date zoom: a selected date shown at another interval, under its own id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.errors import ParameterError
from queryfleet.model import ColumnType
from queryfleet.semantic.explore import Dimension
from queryfleet.semantic.intervals import TimeInterval
from queryfleet.semantic.nearest_name import nearest_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from queryfleet.compiler.metric_query import CustomDimension, DateZoom
    from queryfleet.semantic.explore import Explore

__all__ = ["zoomed_dimension"]


def zoomed_dimension(
    dimensions: Sequence[Dimension | CustomDimension], zoom: DateZoom | None, explore: Explore
) -> tuple[str, Dimension] | None:
    """Return the id of the column that is zoomed, and the dimension whose SQL it gets; None: nothing is.

    Args:
        dimensions: The selected ones, in order.
        zoom: What is asked.
        explore: Of the question.

    Raises:
        ParameterError: There is no such interval.
    """
    if zoom is None or not zoom.granularity:
        return None
    known = [*(each.value for each in TimeInterval), *explore.custom_granularities]
    if zoom.granularity.lower() not in {name.lower() for name in known}:
        advice = nearest_name(zoom.granularity, known)
        raise ParameterError(f"`dateZoom.granularity` is `{zoom.granularity}`, which is no interval; {advice}")
    dates = {each.field_id: each for each in dimensions if isinstance(each, Dimension) and _is_date(each)}
    if not dates:
        return None
    field_id = zoom.field_id if zoom.field_id in dates else next(iter(dates))
    found = explore.interval_of(dates[field_id], zoom.granularity)
    return None if found is None else (field_id, found)


def _is_date(dimension: Dimension) -> bool:
    # A part of a date, such as the number of its month, stays what it is: a column keeps its type.
    return dimension.type in (ColumnType.DATE, ColumnType.TIMESTAMP)
