"""Arithmetic on moments: calendar steps, starts of periods, days without a midnight, and relative spans."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queryfleet.compiler.context import Context
from queryfleet.compiler.dialects import dialect_of
from queryfleet.compiler.moments import (
    added,
    first_instant,
    next_start,
    relative_days,
    relative_instants,
    rounded,
    start_of_day_unit,
)
from queryfleet.errors import ParameterError
from queryfleet.semantic.filter_rule import FilterOperator, UnitOfTime

UTC = ZoneInfo("UTC")
NEW_YORK = ZoneInfo("America/New_York")
LONG = [UnitOfTime.DAYS, UnitOfTime.WEEKS, UnitOfTime.MONTHS, UnitOfTime.QUARTERS, UnitOfTime.YEARS]


def _utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)


def test_rounded_is_the_last_whole_step() -> None:
    """Equal questions within a step see the same moment, in any zone."""
    moment = _utc(2025, 5, 20, 10, 5, 59, 999_999)
    assert _utc(2025, 5, 20, 10, 5) == rounded(moment)
    assert _utc(2025, 5, 20, 10, 5) == rounded(moment.astimezone(NEW_YORK))
    assert _utc(2025, 5, 20, 10) == rounded(moment, 3600)
    assert _utc(1969, 12, 31, 23, 59) == rounded(_utc(1969, 12, 31, 23, 59, 30))


@pytest.mark.parametrize(
    ("start", "count", "unit", "expected"),
    [
        (_utc(2025, 3, 31), -1, UnitOfTime.MONTHS, _utc(2025, 2, 28)),
        (_utc(2024, 3, 31), -1, UnitOfTime.MONTHS, _utc(2024, 2, 29)),
        (_utc(2024, 2, 29), 1, UnitOfTime.YEARS, _utc(2025, 2, 28)),
        (_utc(2024, 11, 30), 1, UnitOfTime.QUARTERS, _utc(2025, 2, 28)),
        (_utc(2025, 1, 1), -2, UnitOfTime.WEEKS, _utc(2024, 12, 18)),
        (_utc(2025, 1, 1), 1500, UnitOfTime.MILLISECONDS, _utc(2025, 1, 1, 0, 0, 1, 500_000)),
    ],
)
def test_added_clamps_to_the_end_of_the_month(start, count, unit, expected) -> None:
    """A day that the month lacks becomes its last."""
    assert expected == added(start, count, unit, UTC)


def test_added_days_keep_the_time_of_day_and_hours_do_not() -> None:
    """Over the change to summer time a day has 23 hours, and 24 hours end an hour later on the clock."""
    noon = dt.datetime(2025, 3, 8, 12, tzinfo=NEW_YORK)
    assert dt.datetime(2025, 3, 9, 12, tzinfo=NEW_YORK) == added(noon, 1, UnitOfTime.DAYS, NEW_YORK)
    assert dt.datetime(2025, 3, 9, 13, tzinfo=NEW_YORK) == added(noon, 24, UnitOfTime.HOURS, NEW_YORK)


def test_added_beyond_the_calendar_overflows() -> None:
    """Before the year 1 and after 9999 there is nothing."""
    for count, unit in ((10**6, UnitOfTime.YEARS), (-(10**9), UnitOfTime.DAYS), (10**12, UnitOfTime.HOURS)):
        with pytest.raises(OverflowError):
            added(_utc(2025, 1, 1), count, unit, UTC)


@settings(max_examples=80, derandomize=True)
@given(day=st.dates(dt.date(1, 2, 1), dt.date(9998, 1, 1)), unit=st.sampled_from(LONG), week_start=st.integers(0, 6))
def test_start_and_next_start_enclose_a_day(day: dt.date, unit: UnitOfTime, week_start: int) -> None:
    """Every day lies in exactly one period, and periods meet without gaps."""
    start = start_of_day_unit(day, unit, week_start)
    after = next_start(day + dt.timedelta(days=1), unit, week_start)
    assert start <= day < after
    assert start == start_of_day_unit(after - dt.timedelta(days=1), unit, week_start)
    assert start == next_start(start, unit, week_start)
    if unit is UnitOfTime.WEEKS:
        assert week_start == start.weekday()


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("UTC", (2025, 5, 20), _utc(2025, 5, 20)),
        ("America/New_York", (2025, 3, 9), _utc(2025, 3, 9, 5)),
        ("Asia/Kolkata", (2025, 5, 20), _utc(2025, 5, 19, 18, 30)),
        ("America/Sao_Paulo", (2018, 11, 4), _utc(2018, 11, 4, 3)),  # begins at one o'clock
        ("America/Havana", (2025, 11, 2), _utc(2025, 11, 2, 4)),  # midnight comes twice: the first
        ("Pacific/Apia", (2011, 12, 30), _utc(2011, 12, 30, 10)),  # the day was left out
        ("America/St_Johns", (2006, 10, 29), None),  # one minute into the day the clock went back over midnight
    ],
)
def test_first_instant_of_a_day_in_its_zone(zone: str, day: tuple[int, int, int], expected) -> None:
    """A day begins where its date appears, unless the clock returns to the day before."""
    assert expected == first_instant(dt.date(*day), ZoneInfo(zone))


@pytest.mark.parametrize("operator", [FilterOperator.IN_THE_PAST, FilterOperator.IN_THE_NEXT])
@pytest.mark.parametrize("unit", list(UnitOfTime))
def test_completed_units_meet_the_current_one(operator: FilterOperator, unit: UnitOfTime) -> None:
    """Completed units end where the current one begins, or begin where it ends; its end is not in it."""
    options = {"now": _utc(2025, 11, 2, 5, 30, 15, 1500), "zone": NEW_YORK, "week_start": 6}
    current = relative_instants(FilterOperator.IN_THE_CURRENT, 0, unit, is_completed=False, **options)
    span = relative_instants(operator, 3, unit, is_completed=True, **options)
    assert current.low <= options["now"] < current.high
    assert not current.includes_high
    assert not span.includes_high
    if operator is FilterOperator.IN_THE_PAST:
        assert current.low == span.high > span.low
    else:
        assert current.high == span.low < span.high


def test_relative_days_count_today_in_the_zone() -> None:
    """Late in the evening of New York it is tomorrow in UTC, but not there."""
    options = {"is_completed": False, "now": _utc(2025, 5, 21, 2), "week_start": 0}
    past = relative_days(FilterOperator.IN_THE_PAST, 2, UnitOfTime.DAYS, zone=NEW_YORK, **options)
    assert (dt.date(2025, 5, 18), dt.date(2025, 5, 20), True) == (past.low, past.high, past.includes_high)
    hours = relative_days(FilterOperator.IN_THE_NEXT, 30, UnitOfTime.HOURS, zone=UTC, **options)
    assert (dt.date(2025, 5, 21), dt.date(2025, 5, 22)) == (hours.low, hours.high)


@pytest.mark.parametrize(
    "changes", [{"timezone": "Mars/Olympus"}, {"timezone": "../etc/passwd"}, {"timezone": ""},
                {"data_timezone": "x" * 300}, {"start_of_week": 7}, {"now": dt.datetime(2025, 1, 1)}],  # noqa: DTZ001
)  # fmt: skip
def test_context_refuses_what_is_no_zone_week_or_moment(changes) -> None:
    """A zone that nobody knows is a 400 that shows a valid one."""
    with pytest.raises(ParameterError) as caught:
        Context(**{"dialect": dialect_of("duckdb"), "now": _utc(2025, 1, 1), **changes})
    assert 400 == caught.value.status
    assert len(caught.value.message) < 200
