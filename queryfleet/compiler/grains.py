"""Moments cut to intervals: in which zone, from which day of the week on, and what a cut field is compared with.

A moment is cut on the wall clock of the query's zone. No shift is written where the warehouse's session is in that
zone anyway and cuts in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.compiler.dialects.base import DAYS_AND_LONGER, SHORTER_THAN_A_DAY
from queryfleet.model import ColumnType
from queryfleet.semantic.filter_rule import UnitOfTime
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    from queryfleet.compiler.context import Context

__all__ = ["cut", "days_into_period", "local_clock", "shift_zone", "unit_of"]

_UNITS = {
    TimeInterval.DAY: UnitOfTime.DAYS,
    TimeInterval.WEEK: UnitOfTime.WEEKS,
    TimeInterval.MONTH: UnitOfTime.MONTHS,
    TimeInterval.QUARTER: UnitOfTime.QUARTERS,
    TimeInterval.YEAR: UnitOfTime.YEARS,
}


def unit_of(interval: TimeInterval) -> UnitOfTime | None:
    """Return the unit of days and longer that an interval cuts to; None for all others."""
    return _UNITS.get(interval)


def shift_zone(base: ColumnType, context: Context, *, is_shifted: bool = True) -> str | None:
    """Return the zone whose wall clock must be written into the SQL before a moment is cut; None: no shift.

    Args:
        base: Type of what is cut; dates have no zone.
        context: Of the query.
        is_shifted: False for a field that is never shifted.
    """
    if base is not ColumnType.TIMESTAMP or not is_shifted:
        return None
    if context.dialect.cuts_in_session_zone and context.timezone == context.data_timezone:
        return None
    return context.timezone


def local_clock(sql: str, base: ColumnType, context: Context, *, is_shifted: bool = True) -> str:
    """Return a date as it is, and a moment on the wall clock of the query's zone."""
    zone = shift_zone(base, context, is_shifted=is_shifted)
    return sql if zone is None else context.dialect.local(sql, zone)


def cut(sql: str, interval: TimeInterval, context: Context, *, base: ColumnType, is_shifted: bool = True) -> str:
    """Return a date or moment cut to an interval, of the type that `interval_type` says.

    Args:
        sql: A complete expression.
        interval: Possible for the base: a date has no hours.
        context: Of the query.
        base: DATE or TIMESTAMP, type of `sql`.
        is_shifted: False for a field that is never shifted into the query's zone.
    """
    if interval is TimeInterval.RAW:
        return sql
    dialect = context.dialect
    if interval in SHORTER_THAN_A_DAY:
        zone = shift_zone(base, context, is_shifted=is_shifted)
        if zone is None and dialect.cuts_in_session_zone and context.data_timezone != "UTC":
            zone = context.data_timezone  # written out: left to itself DuckDB makes one hour of the two in autumn
        return dialect.truncate_time(sql, interval, zone)
    clock = local_clock(sql, base, context, is_shifted=is_shifted)
    if interval in DAYS_AND_LONGER:
        return dialect.truncate(clock, interval, context.start_of_week)
    return dialect.part(clock, interval, context.start_of_week)


def days_into_period(clock: str, unit: UnitOfTime, context: Context) -> str:
    """Return a number that grows by one each day of a week, month, quarter or year and starts anew with the next.

    Args:
        clock: A date, or a moment on the wall clock that counts.
        unit: WEEKS (from 0), MONTHS (from 1), QUARTERS (from 0) or YEARS (from 1).
        context: Of the query; says where weeks begin.
    """
    dialect = context.dialect
    match unit:
        case UnitOfTime.WEEKS:
            return dialect.days_into_week(clock, context.week_start)
        case UnitOfTime.MONTHS:
            return dialect.part(clock, TimeInterval.DAY_OF_MONTH_NUM)
        case UnitOfTime.QUARTERS:
            return dialect.days_between(dialect.truncate(clock, TimeInterval.QUARTER), dialect.cast_date(clock))
        case _:
            return dialect.part(clock, TimeInterval.DAY_OF_YEAR_NUM)
