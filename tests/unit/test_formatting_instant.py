"""Moments: reading, calendar arithmetic, writing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.formatting.instant import (
    clock_of,
    date_text,
    parse_instant,
    stored_text,
    timestamp_text,
    zone_of,
)

moments = st.datetimes(timezones=st.just(UTC))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01", 0),
        ("1970-01", 0),
        ("1970", 0),
        ("1970-01-01 00:00:01", 1000),
        ("1970-01-01T00:00:00.0019Z", 1),
        ("1970-01-01T02:00+02:00", 0),
        ("1970-01-01T02:00:00 UTC", 7_200_000),
        ("1969-12-31T23:00:00-0100", 0),
        ("+012345-01-01T00:00:00.000Z", 327_403_382_400_000),
        ("2024-02-30", None),
        ("2023-02-29", None),
        ("1900-02-29", None),
        ("2024-13-01", None),
        ("2024-00-01", None),
        ("2024-01-01T24:00:00", None),
        ("May 2024", None),
        ("", None),
    ],
)
def test_parse_instant_text_is_iso_or_nothing(text, expected):
    """ISO dates and times are read, UTC where they name no zone; anything else is no moment."""
    assert parse_instant(text) == expected


@given(moments)
def test_clock_of_any_moment_is_the_calendar_of_datetime(moment):
    """Taking a moment apart agrees with Python's calendar, and reading it back gives it again."""
    ms = (moment - EPOCH) // timedelta(milliseconds=1)
    clock = clock_of(ms)
    assert (clock.year, clock.month, clock.day) == (moment.year, moment.month, moment.day)
    assert (clock.hour, clock.minute, clock.second) == (moment.hour, moment.minute, moment.second)
    assert clock.weekday == moment.isoweekday() % 7
    assert parse_instant(stored_text(ms, 1000)) == ms


@given(moments, st.sampled_from(["Europe/Oslo", "America/New_York", "Asia/Kolkata"]))
def test_timestamp_text_in_zone_is_that_of_datetime(moment, name):
    """A display timezone shows what Python's zone shows."""
    zone = zone_of(name)
    if not EPOCH - timedelta(days=20_000) < moment < datetime(9999, 1, 1, tzinfo=UTC):
        return
    local = moment.astimezone(zone)
    ms = (moment - EPOCH) // timedelta(milliseconds=1)
    assert timestamp_text(ms, "SECOND", zone).startswith(local.strftime("%Y-%m-%d, %H:%M:%S"))


def test_date_text_far_years_have_sign_and_six_digits():
    """Years that four digits do not hold are written as ISO 8601 has them."""
    assert date_text(-62_198_755_200_000, None) == "-000001-01-01"
    assert date_text(253_402_300_800_000, "YEAR") == "+010000"
