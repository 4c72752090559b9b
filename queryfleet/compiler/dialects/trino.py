"""Trino, and Amazon Athena, which is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from queryfleet.compiler.dialects.base import Dialect, fraction, utc_text
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    import datetime as dt

__all__ = ["AthenaDialect", "TrinoDialect"]

_PARTS: Final = {
    TimeInterval.WEEK_NUM: "WEEK",
    TimeInterval.MONTH_NUM: "MONTH",
    TimeInterval.QUARTER_NUM: "QUARTER",
    TimeInterval.YEAR_NUM: "YEAR",
    TimeInterval.DAY_OF_MONTH_NUM: "DAY",
    TimeInterval.DAY_OF_YEAR_NUM: "DAY_OF_YEAR",
    TimeInterval.HOUR_OF_DAY_NUM: "HOUR",
    TimeInterval.MINUTE_OF_HOUR_NUM: "MINUTE",
}


class TrinoDialect(Dialect):
    """Trino."""

    name = "trino"
    grammar = "trino"
    cuts_in_session_zone = False  # a moment with a zone of its own is cut in that
    float_type = "DOUBLE"

    def timestamp(self, value: dt.datetime) -> str:
        """Return a literal of an instant."""
        return f"TIMESTAMP '{utc_text(value)} UTC'"

    def concat(self, *sql: str) -> str:
        """Return texts put together; NULL if one of them is."""
        return f"CONCAT({', '.join(sql)})"

    def _percentile(self, sql: str, percentile: float) -> str:
        return f"APPROX_PERCENTILE({sql}, {fraction(percentile)})"

    def local(self, sql: str, zone: str) -> str:
        """Return the wall clock of a zone at an instant, as a moment without a zone."""
        return f"CAST({self._zoned(sql, zone)} AS TIMESTAMP(6))"

    def _zoned(self, sql: str, zone: str) -> str:
        return f"(CAST({sql} AS TIMESTAMP(6) WITH TIME ZONE) AT TIME ZONE {self.text(zone)})"

    def instant(self, sql: str, zone: str) -> str:
        """Return the instant at which a wall clock shows a moment."""
        return f"WITH_TIMEZONE(CAST({sql} AS TIMESTAMP(6)), {self.text(zone)})"

    def utc(self, sql: str) -> str:
        """Return a moment of any type as an instant."""
        return self._zoned(sql, "UTC")

    def truncate(self, sql: str, interval: TimeInterval, week_start: int | None = None) -> str:
        """Return the day on which a period begins, as a date."""
        if interval is TimeInterval.DAY:
            return self.cast_date(sql)
        if interval is TimeInterval.WEEK:
            return self._week(sql, self.default_week_start if week_start is None else week_start)
        return f"DATE_TRUNC('{interval.value}', {self.cast_date(sql)})"

    def _week(self, sql: str, week_start: int) -> str:
        day = self.cast_date(sql)
        if week_start == 0:
            return f"DATE_TRUNC('WEEK', {day})"
        days = f"INTERVAL '{week_start}' DAY"
        return f"(DATE_TRUNC('WEEK', {day} - {days}) + {days})"

    def truncate_time(self, sql: str, interval: TimeInterval, zone: str | None) -> str:
        """Return the instant at which a period begins: a moment with a zone is cut in it, hours kept apart."""
        return self._truncate_moment(sql if zone is None else self._zoned(sql, zone), interval)

    def _number_part(self, sql: str, interval: TimeInterval, week_start: int | None) -> str:  # noqa: ARG002
        return f"EXTRACT({_PARTS[interval]} FROM {sql})"

    def _name_part(self, sql: str, interval: TimeInterval) -> str:
        pattern = "%M" if interval is TimeInterval.MONTH_NAME else "%W"
        return f"DATE_FORMAT(CAST({sql} AS TIMESTAMP), '{pattern}')"

    def _weekday(self, sql: str) -> str:
        return f"EXTRACT(DAY_OF_WEEK FROM {sql})"  # 1 for Monday

    def days_between(self, first: str, last: str) -> str:
        """Return the number of days from one date to another."""
        return f"DATE_DIFF('DAY', {first}, {last})"

    def _moved(self, sql: str, count: int, unit: TimeInterval) -> str:
        return f"DATE_ADD('{unit.value}', {count}, {sql})"


class AthenaDialect(TrinoDialect):
    """Amazon Athena, engine version 3."""

    name = "athena"
    grammar = "athena"
