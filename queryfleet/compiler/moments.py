"""Arithmetic on moments, in a time zone: starts of periods, calendar steps, and what relative filters mean.

    local     a moment on the wall clock of a zone, without zone
    instant   an aware moment in UTC

Days and longer are steps of the calendar, so a day may have 23 hours; hours and shorter are steps of time.
"""

from __future__ import annotations

import calendar
import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from queryfleet.semantic.filter_rule import FilterOperator, UnitOfTime

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = [
    "Range",
    "added",
    "first_instant",
    "instant_of",
    "is_shorter_than_a_day",
    "next_start",
    "relative_days",
    "relative_instants",
    "rounded",
    "start_of_day_unit",
]

_MONTHS: Final = {UnitOfTime.MONTHS: 1, UnitOfTime.QUARTERS: 3, UnitOfTime.YEARS: 12}
_DAYS: Final = {UnitOfTime.DAYS: 1, UnitOfTime.WEEKS: 7}
_STEPS: Final = {
    UnitOfTime.MILLISECONDS: dt.timedelta(milliseconds=1),
    UnitOfTime.SECONDS: dt.timedelta(seconds=1),
    UnitOfTime.MINUTES: dt.timedelta(minutes=1),
    UnitOfTime.HOURS: dt.timedelta(hours=1),
}
_TICK: Final = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """From `low`, included, to `high`; both days or both instants."""

    low: dt.date | dt.datetime
    high: dt.date | dt.datetime
    includes_high: bool


def rounded(now: dt.datetime, seconds: int = 60) -> dt.datetime:
    """Return the last whole step of time before or at a moment, in UTC.

    Questions that count from now are equal for as long as a step, so that one result serves them.

    Args:
        now: Aware.
        seconds: Length of a step, at least 1; steps are counted from 1970 on.
    """
    step = dt.timedelta(seconds=seconds)
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return now.astimezone(dt.UTC) - (now - epoch) % step


def is_shorter_than_a_day(unit: UnitOfTime) -> bool:
    """Tell whether days do not have this unit."""
    return unit in _STEPS


def start_of_day_unit(day: dt.date, unit: UnitOfTime, week_start: int) -> dt.date:
    """Return the first day of the period that holds a day.

    Args:
        day: Any.
        unit: Days or longer.
        week_start: 0 Monday … 6 Sunday.
    """
    match unit:
        case UnitOfTime.WEEKS:
            return day - dt.timedelta(days=(day.weekday() - week_start) % 7)
        case UnitOfTime.MONTHS:
            return day.replace(day=1)
        case UnitOfTime.QUARTERS:
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case UnitOfTime.YEARS:
            return day.replace(month=1, day=1)
        case _:
            return day


def next_start(day: dt.date, unit: UnitOfTime, week_start: int) -> dt.date:
    """Return the first day of a period that is not before a day: the day itself if one begins on it."""
    start = start_of_day_unit(day, unit, week_start)
    return start if start == day else _added_days(start, 1, unit)


def _added_days(day: dt.date, count: int, unit: UnitOfTime) -> dt.date:
    """Return a day, or the local moment it is, some units of the calendar later; clamped to the month's end."""
    if unit in _DAYS:
        return day + dt.timedelta(days=count * _DAYS[unit])
    months = day.year * 12 + day.month - 1 + count * _MONTHS[unit]
    year, month = months // 12, months % 12 + 1
    if not dt.MINYEAR <= year <= dt.MAXYEAR:
        raise OverflowError
    return day.replace(year=year, month=month, day=min(day.day, calendar.monthrange(year, month)[1]))


def added(instant: dt.datetime, count: int, unit: UnitOfTime, zone: ZoneInfo) -> dt.datetime:
    """Return an instant some units later; below 0: earlier.

    Args:
        instant: Aware.
        count: Any integer.
        unit: Days and longer keep the time of day in `zone`.
        zone: Whose calendar counts.

    Raises:
        OverflowError: It is before the year 1 or after 9999.
    """
    if unit in _STEPS:
        return instant.astimezone(dt.UTC) + count * _STEPS[unit]
    local = instant.astimezone(zone).replace(tzinfo=None)
    moved = _added_days(local, count, unit)
    return instant_of(dt.datetime.combine(moved, local.time()), zone)


def instant_of(local: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """Return the instant at which the clock of a zone shows a moment: the first if it comes twice.

    A moment that the clock skips is read as if it had not been set forward yet.

    Raises:
        OverflowError: It is before the year 1 or after 9999 in UTC.
    """
    return local.replace(tzinfo=zone, fold=0).astimezone(dt.UTC)


def first_instant(day: dt.date, zone: ZoneInfo) -> dt.datetime | None:
    """Return the instant at which a day begins in a zone, whether or not its clock shows midnight.

    Returns:
        None when no instant parts earlier days from this one and later: a clock was set back over midnight.

    Raises:
        OverflowError: It is before the year 1 or after 9999 in UTC.
    """
    midnight = dt.datetime.combine(day, dt.time())
    first, second = (midnight.replace(tzinfo=zone, fold=fold).astimezone(dt.UTC) for fold in (0, 1))

    def is_reached(instant: dt.datetime) -> bool:
        return instant.astimezone(zone).date() >= day

    if not is_reached(first) or is_reached(first - _TICK):
        return None
    # Where midnight comes twice, the day must not have been left in between.
    return None if second > first and not is_reached(second - _TICK) else first


def _start(instant: dt.datetime, unit: UnitOfTime, zone: ZoneInfo, week_start: int) -> dt.datetime:
    """Return the instant at which the unit that holds an instant begins in a zone."""
    local = instant.astimezone(zone).replace(tzinfo=None)
    if unit in _STEPS:
        midnight = dt.datetime.combine(local.date(), dt.time())
        return instant.astimezone(dt.UTC) - (local - midnight) % _STEPS[unit]
    return _day_start(start_of_day_unit(local.date(), unit, week_start), zone)


def _day_start(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    return first_instant(day, zone) or instant_of(dt.datetime.combine(day, dt.time()), zone)


def _start_after(start: dt.datetime, count: int, unit: UnitOfTime, zone: ZoneInfo) -> dt.datetime:
    """Return the start of the unit that is some units after one that starts at an instant."""
    if unit in _STEPS:
        return added(start, count, unit, zone)
    return _day_start(_added_days(start.astimezone(zone).date(), count, unit), zone)


def relative_instants(
    operator: FilterOperator,
    count: int,
    unit: UnitOfTime,
    *,
    is_completed: bool,
    now: dt.datetime,
    zone: ZoneInfo,
    week_start: int,
) -> Range:
    """Return the instants that a relative operator means.

    Args:
        operator: IN_THE_PAST, IN_THE_NEXT or IN_THE_CURRENT.
        count: Of units, at least 0; of no meaning to IN_THE_CURRENT.
        unit: What is counted.
        is_completed: Whole units only; the current one is not among them.
        now: Aware.
        zone: Whose calendar counts.
        week_start: 0 Monday … 6 Sunday.

    Raises:
        OverflowError: It reaches beyond the years 1 to 9999.
    """
    start = _start(now, unit, zone, week_start)
    if operator is FilterOperator.IN_THE_CURRENT:
        return Range(low=start, high=_start_after(start, 1, unit, zone), includes_high=False)
    is_past = operator is FilterOperator.IN_THE_PAST
    if not is_completed:
        other = added(now, -count if is_past else count, unit, zone)
        return Range(low=min(other, now), high=max(other, now), includes_high=True)
    if is_past:
        return Range(low=_start_after(start, -count, unit, zone), high=start, includes_high=False)
    low = _start_after(start, 1, unit, zone)
    return Range(low=low, high=_start_after(start, count + 1, unit, zone), includes_high=False)


def relative_days(
    operator: FilterOperator,
    count: int,
    unit: UnitOfTime,
    *,
    is_completed: bool,
    now: dt.datetime,
    zone: ZoneInfo,
    week_start: int,
) -> Range:
    """Return the days that a relative operator means: those of `relative_instants`, in a zone.

    Args:
        operator: As there.
        count: As there.
        unit: Shorter than a day only when neither `is_completed` nor of IN_THE_CURRENT.
        is_completed: As there.
        now: As there.
        zone: Whose today it is.
        week_start: As there.

    Raises:
        OverflowError: It reaches beyond the years 1 to 9999.
    """
    today = now.astimezone(zone).date()
    is_past = operator is FilterOperator.IN_THE_PAST
    if operator is FilterOperator.IN_THE_CURRENT or is_completed:
        start = start_of_day_unit(today, unit, week_start)
        if operator is FilterOperator.IN_THE_CURRENT:
            low, high = start, _added_days(start, 1, unit)
        elif is_past:
            low, high = _added_days(start, -count, unit), start
        else:
            low, high = _added_days(start, 1, unit), _added_days(start, count + 1, unit)
        return Range(low=low, high=high, includes_high=False)
    signed = -count if is_past else count
    if unit in _STEPS:
        other = added(now, signed, unit, zone).astimezone(zone).date()
    else:
        other = _added_days(today, signed, unit)
    return Range(low=min(other, today), high=max(other, today), includes_high=True)
