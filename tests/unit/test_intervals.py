"""Time intervals: names, types and labels."""

from __future__ import annotations

import pytest

from queryfleet.model import ColumnType
from queryfleet.semantic.intervals import (
    TimeInterval,
    default_intervals,
    interval_label,
    interval_suffixes,
    interval_type,
    is_interval_possible,
)


def test_default_intervals_are_those_of_the_contract():
    """A timestamp has RAW and periods from a day on, a date only the periods, anything else none."""
    days = ["DAY", "WEEK", "MONTH", "QUARTER", "YEAR"]
    assert [each.value for each in default_intervals(ColumnType.TIMESTAMP)] == ["RAW", *days]
    assert [each.value for each in default_intervals(ColumnType.DATE)] == days
    assert default_intervals(ColumnType.STRING) == ()


@pytest.mark.parametrize("interval", TimeInterval)
def test_interval_type_follows_the_name(interval):
    """Periods of a day and longer are dates, shorter ones moments, parts numbers or words."""
    type_ = interval_type(interval, ColumnType.TIMESTAMP)
    if interval.value.endswith("_NAME"):
        assert type_ is ColumnType.STRING
    elif interval.value.endswith(("_NUM", "_INDEX")):
        assert type_ is ColumnType.NUMBER
    elif interval in default_intervals(ColumnType.DATE):
        assert type_ is ColumnType.DATE
    else:
        assert type_ is ColumnType.TIMESTAMP
    assert interval_suffixes()[interval.value.lower()] is interval


def test_interval_raw_of_a_date_stays_a_date():
    """RAW changes nothing, the type neither."""
    assert interval_type(TimeInterval.RAW, ColumnType.DATE) is ColumnType.DATE


def test_is_interval_possible_for_a_date_has_no_hours():
    """A calendar day cannot be cut into hours; text cannot be cut at all."""
    assert not is_interval_possible(TimeInterval.HOUR, ColumnType.DATE)
    assert not is_interval_possible(TimeInterval.HOUR_OF_DAY_NUM, ColumnType.DATE)
    assert is_interval_possible(TimeInterval.MONTH_NAME, ColumnType.DATE)
    assert is_interval_possible(TimeInterval.HOUR, ColumnType.TIMESTAMP)
    assert not is_interval_possible(TimeInterval.DAY, ColumnType.STRING)


def test_interval_label_is_words_and_the_project_may_have_its_own():
    """Labels are words for people."""
    assert interval_label(TimeInterval.MONTH) == "month"
    assert interval_label(TimeInterval.WEEK_NUM) == "week number"
    assert interval_label(TimeInterval.DAY_OF_WEEK_NAME) == "day of week name"
    assert interval_label(TimeInterval.MONTH, {"MONTH": "Monat"}) == "Monat"
