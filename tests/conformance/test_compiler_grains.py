"""Moments cut to intervals by a real engine, against plain Python: zones, summer time, every first day of the week."""

from __future__ import annotations

import datetime as dt
from itertools import product
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from queryfleet.compiler.context import Context
from queryfleet.compiler.grains import cut, days_into_period
from queryfleet.model import ColumnType
from queryfleet.semantic.filter_rule import UnitOfTime
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    from tests.fixtures.sql_engines import SqlEngine

NOW = dt.datetime(2025, 5, 20, 10, 5, tzinfo=dt.UTC)
ZONES = ["UTC", "America/New_York", "Asia/Kolkata"]
WEEK_STARTS = [None, *range(7)]
SHORT = [TimeInterval.MILLISECOND, TimeInterval.SECOND, TimeInterval.MINUTE, TimeInterval.HOUR]
LONG = [TimeInterval.DAY, TimeInterval.WEEK, TimeInterval.MONTH, TimeInterval.QUARTER, TimeInterval.YEAR]
PARTS = [each for each in TimeInterval if each.value.endswith(("_NUM", "_INDEX", "_NAME"))]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def _moments() -> list[dt.datetime]:
    """Instants around the changes of clocks in New York 2025, around midnights and ends of years, and one long ago."""
    found = [dt.datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=dt.UTC)]
    for start in ((2025, 3, 9, 4, 45), (2025, 11, 2, 3, 45), (2024, 12, 29, 17, 15), (2024, 2, 29, 3, 15)):
        first = dt.datetime(*start, 1, 234_567, tzinfo=dt.UTC)
        found += [first + dt.timedelta(minutes=30 * step) for step in range(12)]
    found += [dt.datetime(2025, 5, day, 4, 30, tzinfo=dt.UTC) for day in range(11, 26)]
    return found


MOMENTS = _moments()


def _context(engine: SqlEngine, zone: str = "UTC", week_start: int | None = None) -> Context:
    return Context(dialect=engine.dialect, now=NOW, timezone=zone, start_of_week=week_start)


def _cut_moments(engine: SqlEngine, sql_type: str, context: Context, interval: TimeInterval) -> list[object]:
    literals = ", ".join(f"({number}, TIMESTAMP '{each.replace(tzinfo=None)}')" for number, each in enumerate(MOMENTS))
    values = f"(SELECT n, CAST(m AS {sql_type}) AS m FROM (VALUES {literals}) AS v(n, m)) AS q"
    sql = cut("q.m", interval, context, base=ColumnType.TIMESTAMP)
    return engine.column(f"SELECT {sql} FROM {values} ORDER BY q.n")


def _day(day: dt.date, interval: TimeInterval, week_start: int) -> dt.date:
    match interval:
        case TimeInterval.DAY:
            return day
        case TimeInterval.WEEK:
            while day.weekday() != week_start:
                day -= dt.timedelta(days=1)
            return day
        case TimeInterval.MONTH:
            return dt.date(day.year, day.month, 1)
        case TimeInterval.QUARTER:
            return dt.date(day.year, {1: 1, 2: 4, 3: 7, 4: 10}[-(-day.month // 3)], 1)
        case _:
            return dt.date(day.year, 1, 1)


def _part(local: dt.datetime, interval: TimeInterval, week_start: int | None) -> object:
    quarter = -(-local.month // 3)
    weekday = local.isoweekday() % 7 if week_start is None else (local.weekday() - week_start) % 7 + 1
    return {
        TimeInterval.WEEK_NUM: local.isocalendar().week,
        TimeInterval.MONTH_NUM: local.month,
        TimeInterval.QUARTER_NUM: quarter,
        TimeInterval.YEAR_NUM: local.year,
        TimeInterval.DAY_OF_WEEK_INDEX: weekday,
        TimeInterval.DAY_OF_MONTH_NUM: local.day,
        TimeInterval.DAY_OF_YEAR_NUM: local.timetuple().tm_yday,
        TimeInterval.HOUR_OF_DAY_NUM: local.hour,
        TimeInterval.MINUTE_OF_HOUR_NUM: local.minute,
        TimeInterval.DAY_OF_WEEK_NAME: DAYS[local.weekday()],
        TimeInterval.MONTH_NAME: MONTHS[local.month - 1],
        TimeInterval.QUARTER_NAME: f"Q{quarter}",
    }[interval]


def _start(moment: dt.datetime, interval: TimeInterval, zone: str) -> dt.datetime:
    local = moment.astimezone(ZoneInfo(zone))
    elapsed = {
        TimeInterval.MILLISECOND: dt.timedelta(microseconds=local.microsecond % 1000),
        TimeInterval.SECOND: dt.timedelta(microseconds=local.microsecond),
        TimeInterval.MINUTE: dt.timedelta(seconds=local.second, microseconds=local.microsecond),
        TimeInterval.HOUR: dt.timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond),
    }[interval]
    return moment - elapsed


@pytest.mark.parametrize("sql_type", ["TIMESTAMP", "TIMESTAMPTZ"])
@pytest.mark.parametrize("zone", ZONES)
def test_cut_to_days_and_longer_is_the_first_day_in_the_zone(sql_engine: SqlEngine, zone: str, sql_type: str) -> None:
    """Of a moment with or without a zone: the day on which the period begins on the zone's calendar."""
    for interval, week_start in product(LONG, WEEK_STARTS):
        if week_start is not None and interval is not TimeInterval.WEEK:
            continue
        found = _cut_moments(sql_engine, sql_type, _context(sql_engine, zone, week_start), interval)
        days = [each.astimezone(ZoneInfo(zone)).date() for each in MOMENTS]
        assert [_day(day, interval, week_start or 0) for day in days] == found, (interval, week_start)


@pytest.mark.parametrize("sql_type", ["TIMESTAMP", "TIMESTAMPTZ"])
@pytest.mark.parametrize("zone", ZONES)
def test_cut_shorter_than_a_day_keeps_both_hours_of_autumn(sql_engine: SqlEngine, zone: str, sql_type: str) -> None:
    """An hour begins on the zone's clock, and the two that it shows twice stay two instants."""
    for interval in SHORT:
        found = _cut_moments(sql_engine, sql_type, _context(sql_engine, zone), interval)
        instants = [each if each.tzinfo else each.replace(tzinfo=dt.UTC) for each in found]
        assert [_start(each, interval, zone) for each in MOMENTS] == instants, interval


@pytest.mark.parametrize("zone", ZONES)
def test_parts_are_those_of_the_clock_in_the_zone(sql_engine: SqlEngine, zone: str) -> None:
    """Numbers and names of a moment are read off the zone's clock, weekdays from the first day of the week on."""
    for interval, week_start in product(PARTS, WEEK_STARTS):
        if week_start is not None and interval is not TimeInterval.DAY_OF_WEEK_INDEX:
            continue
        found = _cut_moments(sql_engine, "TIMESTAMPTZ", _context(sql_engine, zone, week_start), interval)
        locals_ = [each.astimezone(ZoneInfo(zone)) for each in MOMENTS]
        assert [_part(each, interval, week_start) for each in locals_] == found, (interval, week_start)
        assert all(not isinstance(each, float) for each in found)


def test_dates_are_never_shifted(sql_engine: SqlEngine) -> None:
    """A calendar day is the same day in every zone."""
    for interval, zone in product([*LONG, TimeInterval.DAY_OF_MONTH_NUM, TimeInterval.MONTH_NAME], ZONES):
        context = _context(sql_engine, zone, 6)
        sql = cut("DATE '2025-03-01'", interval, context, base=ColumnType.DATE)
        day = dt.date(2025, 3, 1)
        expected = (
            _day(day, interval, 6) if interval in LONG else _part(dt.datetime(2025, 3, 1, tzinfo=dt.UTC), interval, 6)
        )
        assert expected == sql_engine.value(sql), (interval, zone)


def test_field_that_is_never_shifted_keeps_the_warehouses_clock(sql_engine: SqlEngine) -> None:
    """With conversion off a moment is cut as it stands."""
    sql = cut(
        "TIMESTAMP '2025-03-01 01:30:00'",
        TimeInterval.DAY,
        _context(sql_engine, "America/New_York"),
        base=ColumnType.TIMESTAMP,
        is_shifted=False,
    )
    assert dt.date(2025, 3, 1) == sql_engine.value(sql)


def test_days_into_period_counts_from_the_same_first_day_as_the_interval(sql_engine: SqlEngine) -> None:
    """The position grows by one each day and starts anew where the interval does."""
    days = [dt.date(2024, 12, 20) + dt.timedelta(days=step) for step in range(400)]
    listed = ", ".join(f"(DATE '{day}')" for day in days)
    units = [
        (UnitOfTime.WEEKS, TimeInterval.WEEK),
        (UnitOfTime.MONTHS, TimeInterval.MONTH),
        (UnitOfTime.QUARTERS, TimeInterval.QUARTER),
        (UnitOfTime.YEARS, TimeInterval.YEAR),
    ]
    for (unit, interval), week_start in product(units, range(7)):
        sql = days_into_period("q.d", unit, _context(sql_engine, "UTC", week_start))
        found = sql_engine.column(f"SELECT {sql} FROM (VALUES {listed}) AS q(d) ORDER BY q.d")
        is_counted_from_one = unit in (UnitOfTime.MONTHS, UnitOfTime.YEARS)
        expected = [(day - _day(day, interval, week_start)).days + is_counted_from_one for day in days]
        assert expected == found, (unit, week_start)


def test_add_interval_clamps_to_the_end_of_the_month(sql_engine: SqlEngine) -> None:
    """A day that the month lacks becomes its last, forwards and backwards."""
    dialect = sql_engine.dialect
    cases = [
        ("2025-03-31", -1, TimeInterval.MONTH, (2025, 2, 28)),
        ("2024-02-29", 1, TimeInterval.YEAR, (2025, 2, 28)),
        ("2025-05-31", 1, TimeInterval.QUARTER, (2025, 8, 31)),
        ("2025-05-31", -2, TimeInterval.WEEK, (2025, 5, 17)),
        ("2025-05-31", 1, TimeInterval.DAY, (2025, 6, 1)),
    ]
    for day, count, unit, expected in cases:
        sql = dialect.add_interval(f"DATE '{day}'", count, unit, is_date=True)
        assert dt.date(*expected) == sql_engine.value(sql), (day, count, unit)
    later = dialect.add_interval("TIMESTAMP '2025-03-31 10:05:00'", -30, TimeInterval.MINUTE)
    assert "2025-03-31 09:35:00" == str(sql_engine.value(later))
