"""Moments in plain Python: zones, starts of periods, and the bounds of relative filters.

An instant is an aware datetime in UTC. A wall time is a naive datetime, as a clock in some zone shows it.
"""

from __future__ import annotations

import calendar
import datetime as dt
from zoneinfo import ZoneInfo

MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]  # fmt: skip
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
QUARTERS = ["Q1", "Q2", "Q3", "Q4"]
TRUNCATIONS = ("MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")
DAYS_AND_LONGER = ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR")
PARTS = (
    "WEEK_NUM", "MONTH_NUM", "QUARTER_NUM", "YEAR_NUM", "DAY_OF_WEEK_INDEX", "DAY_OF_MONTH_NUM", "DAY_OF_YEAR_NUM",
    "HOUR_OF_DAY_NUM", "MINUTE_OF_HOUR_NUM",
)  # fmt: skip
NAMES = ("DAY_OF_WEEK_NAME", "MONTH_NAME", "QUARTER_NAME")
_FIXED = {
    "milliseconds": dt.timedelta(milliseconds=1),
    "seconds": dt.timedelta(seconds=1),
    "minutes": dt.timedelta(minutes=1),
    "hours": dt.timedelta(hours=1),
}
_DAYS = {"days": 1, "weeks": 7}
_MONTHS = {"months": 1, "quarters": 3, "years": 12}
UNITS = (*_FIXED, *_DAYS, *_MONTHS)


def wall_time(instant, zone):
    """Return what a clock in the zone shows at an instant."""
    return instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def instant_of(wall, zone):
    """Return the instant of a wall time; of two, or in a gap, the later reading, as the databases take it."""
    readings = (wall.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(dt.UTC) for fold in (0, 1))
    return max(readings)


def start_of(wall, unit, start_of_week):
    """Return the start of the period that holds a wall time or day; the answer is of the same kind.

    Args:
        wall: A naive datetime or a date.
        unit: `DAY`, `WEEK`, and so on.
        start_of_week: 0 is Monday; None likewise.
    """
    if not isinstance(wall, dt.datetime):
        return start_of(dt.datetime.combine(wall, dt.time()), unit, start_of_week).date()
    match unit:
        case "MILLISECOND":
            return wall.replace(microsecond=wall.microsecond // 1000 * 1000)
        case "SECOND":
            return wall.replace(microsecond=0)
        case "MINUTE":
            return wall.replace(second=0, microsecond=0)
        case "HOUR":
            return wall.replace(minute=0, second=0, microsecond=0)
    day = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    match unit:
        case "DAY":
            return day
        case "WEEK":
            return day - dt.timedelta(days=(day.weekday() - (start_of_week or 0)) % 7)
        case "MONTH":
            return day.replace(day=1)
        case "QUARTER":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case "YEAR":
            return day.replace(month=1, day=1)
    raise ValueError(unit)


def shifted(wall, count, unit):
    """Return a wall time or day moved by calendar units; a day that a month lacks becomes its last."""
    if unit in _FIXED:
        return wall + count * _FIXED[unit]
    if unit in _DAYS:
        return wall + dt.timedelta(days=count * _DAYS[unit])
    months = wall.year * 12 + wall.month - 1 + count * _MONTHS[unit]
    year, month = divmod(months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return wall.replace(year=year, month=month + 1, day=min(wall.day, last))


def cut(value, interval, *, zone, start_of_week):
    """Return what a dimension of this interval shows for a value.

    Args:
        value: An instant, a day, or None.
        interval: Name of a built-in interval.
        zone: What instants are shifted to; days never are.
        start_of_week: 0 is Monday; None: as the databases have it.
    """
    if value is None or interval == "RAW":
        return value
    is_day = not isinstance(value, dt.datetime)
    wall = dt.datetime.combine(value, dt.time()) if is_day else wall_time(value, zone)
    if interval in DAYS_AND_LONGER:
        return start_of(wall, interval, start_of_week).date()
    if interval in TRUNCATIONS:
        # What has passed of the period is taken off the instant: an hour that comes twice is two periods.
        return value - (wall - start_of(wall, interval, start_of_week))
    if interval in PARTS:
        return _part(wall, interval, start_of_week)
    match interval:
        case "DAY_OF_WEEK_NAME":
            return WEEKDAYS[wall.weekday()]
        case "MONTH_NAME":
            return MONTHS[wall.month - 1]
        case "QUARTER_NAME":
            return QUARTERS[(wall.month - 1) // 3]
    raise ValueError(interval)


def _part(wall, part, start_of_week):
    match part:
        case "WEEK_NUM":
            return wall.isocalendar().week
        case "MONTH_NUM":
            return wall.month
        case "QUARTER_NUM":
            return (wall.month - 1) // 3 + 1
        case "YEAR_NUM":
            return wall.year
        case "DAY_OF_WEEK_INDEX":
            return wall.isoweekday() % 7 if start_of_week is None else (wall.weekday() - start_of_week) % 7 + 1
        case "DAY_OF_MONTH_NUM":
            return wall.day
        case "DAY_OF_YEAR_NUM":
            return wall.timetuple().tm_yday
        case "HOUR_OF_DAY_NUM":
            return wall.hour
        case "MINUTE_OF_HOUR_NUM":
            return wall.minute
    raise ValueError(part)


def calendar_position(name, start_of_week):
    """Return where a month, weekday or quarter stands in the calendar, by its name; None of None."""
    if name is None:
        return None
    if name in WEEKDAYS:
        return (WEEKDAYS.index(name) - (start_of_week or 0)) % 7
    return (MONTHS if name in MONTHS else QUARTERS).index(name)


def is_within(value, rule, setting, zone):
    """Tell whether a value lies where a relative rule says; `not…` rules are the caller's to negate.

    Args:
        value: An instant or a day, never None.
        rule: In wire form.
        setting: Clock and start of week of the question.
        zone: What the value's days are counted in.
    """
    settings = rule.get("settings") or {}
    unit, is_completed = settings.get("unitOfTime", "days"), settings.get("completed", False)
    interval = unit.removesuffix("s").upper()
    now = wall_time(setting.now, zone)
    is_day = not isinstance(value, dt.datetime)
    start = start_of(now, interval, setting.start_of_week)

    def bound(wall):
        return wall.date() if is_day else instant_of(wall, zone)

    def from_now(count):
        # Hours and shorter are lengths of time; days and longer are counted on the calendar.
        if not is_day and unit in _FIXED:
            return setting.now + count * _FIXED[unit]
        return bound(shifted(now, count, unit))

    count = int(rule["values"][0]) if rule.get("values") else 1
    match rule["operator"].removeprefix("notI").removeprefix("i"):
        case "nThePast" if is_completed:
            return bound(shifted(start, -count, unit)) <= value < bound(start)
        case "nThePast":
            return from_now(-count) <= value <= from_now(0)
        case "nTheNext" if is_completed:
            return bound(shifted(start, 1, unit)) <= value < bound(shifted(start, count + 1, unit))
        case "nTheNext":
            return from_now(0) <= value <= from_now(count)
        case "nTheCurrent":
            return bound(start) <= value < bound(shifted(start, 1, unit))
        case "nPeriodToDate":
            day = value if is_day else wall_time(value, zone).date()
            return _position(day, interval, setting) <= _position(now.date(), interval, setting)
    raise ValueError(rule["operator"])


def _position(day, interval, setting):
    return (day - start_of(day, interval, setting.start_of_week)).days
