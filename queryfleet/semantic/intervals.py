"""Time intervals: what a date or timestamp can be cut down to, and what each is called.

A dimension of a moment in time brings one more dimension for each interval: `ordered_at` brings
`ordered_at_month`. The names are those that clients send (`MONTH`); in field ids they are lower case.
What an interval means in SQL is a matter of the dialect, not of this module.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from queryfleet.model import ColumnType

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "TimeInterval",
    "default_intervals",
    "interval_label",
    "interval_suffixes",
    "interval_type",
    "is_interval_possible",
]


class TimeInterval(StrEnum):
    """Every built-in interval. A project adds others of its own (`CustomGranularity`)."""

    RAW = "RAW"  # the moment as it is
    MILLISECOND = "MILLISECOND"  # from here to YEAR: the start of the period
    SECOND = "SECOND"
    MINUTE = "MINUTE"
    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"
    WEEK_NUM = "WEEK_NUM"  # from here to MINUTE_OF_HOUR_NUM: a number
    MONTH_NUM = "MONTH_NUM"
    QUARTER_NUM = "QUARTER_NUM"
    YEAR_NUM = "YEAR_NUM"
    DAY_OF_WEEK_INDEX = "DAY_OF_WEEK_INDEX"
    DAY_OF_MONTH_NUM = "DAY_OF_MONTH_NUM"
    DAY_OF_YEAR_NUM = "DAY_OF_YEAR_NUM"
    HOUR_OF_DAY_NUM = "HOUR_OF_DAY_NUM"
    MINUTE_OF_HOUR_NUM = "MINUTE_OF_HOUR_NUM"
    DAY_OF_WEEK_NAME = "DAY_OF_WEEK_NAME"  # from here on: a word
    MONTH_NAME = "MONTH_NAME"
    QUARTER_NAME = "QUARTER_NAME"


_DAYS_AND_LONGER: Final = (
    TimeInterval.DAY,
    TimeInterval.WEEK,
    TimeInterval.MONTH,
    TimeInterval.QUARTER,
    TimeInterval.YEAR,
)
_WITHIN_A_DAY: Final = frozenset(
    {
        TimeInterval.MILLISECOND,
        TimeInterval.SECOND,
        TimeInterval.MINUTE,
        TimeInterval.HOUR,
        TimeInterval.HOUR_OF_DAY_NUM,
        TimeInterval.MINUTE_OF_HOUR_NUM,
    }
)
# Longest first: `x_day_of_week_name` must not be looked for as something shorter.
_BY_SUFFIX: Final = {
    interval.value.lower(): interval for interval in sorted(TimeInterval, key=lambda each: -len(each.value))
}


def default_intervals(base: ColumnType) -> tuple[TimeInterval, ...]:
    """Return the intervals a dimension of this type has when its model lists none; of other types none."""
    if base is ColumnType.TIMESTAMP:
        return (TimeInterval.RAW, *_DAYS_AND_LONGER)
    return _DAYS_AND_LONGER if base is ColumnType.DATE else ()


def is_interval_possible(interval: TimeInterval, base: ColumnType) -> bool:
    """Tell whether a dimension of this type can be cut to the interval: a date has no hours."""
    if base is ColumnType.TIMESTAMP:
        return True
    return base is ColumnType.DATE and interval not in _WITHIN_A_DAY


def interval_type(interval: TimeInterval, base: ColumnType) -> ColumnType:
    """Return the type of a dimension cut to the interval.

    Periods of a day and longer are dates, shorter ones timestamps; `RAW` is what its base is.
    """
    if interval is TimeInterval.RAW:
        return base
    if interval in _DAYS_AND_LONGER:
        return ColumnType.DATE
    if interval.value.endswith("_NAME"):
        return ColumnType.STRING
    if interval.value.endswith(("_NUM", "_INDEX")):
        return ColumnType.NUMBER
    return ColumnType.TIMESTAMP


def interval_label(interval: TimeInterval, labels: Mapping[str, str] | None = None) -> str:
    """Return what follows a dimension's label: `month`, `day of week name`, `week number`.

    Args:
        interval: Which.
        labels: The project's own words by interval name; they win.
    """
    own = (labels or {}).get(interval.value)
    if own:
        return own
    words = interval.value.lower().replace("_", " ")
    return f"{words[: -len('num')]}number" if words.endswith(" num") else words


def interval_suffixes() -> Mapping[str, TimeInterval]:
    """Return the interval for each ending of a field id, lower case, longest first."""
    return _BY_SUFFIX
