"""Snowflake. Nothing here depends on the session's WEEK_START: weekdays are counted the ISO way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.compiler.dialects.base import Dialect, utc_text
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    import datetime as dt

    from queryfleet.model import ColumnType

__all__ = ["SnowflakeDialect"]

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


class SnowflakeDialect(Dialect):
    """Snowflake."""

    name = "snowflake"
    grammar = "snowflake"
    cuts_in_session_zone = False  # a moment with a zone of its own is cut in that
    selects_utc = True
    float_type = "FLOAT"

    def _text_literal(self, value: str) -> str:
        escaped = value.replace("\\", "\\\\").replace("'", "''")
        return f"'{escaped}'"

    def timestamp(self, value: dt.datetime) -> str:
        """Return a moment with a zone, which is compared with any other kind as an instant."""
        return f"CAST('{utc_text(value)}+00:00' AS TIMESTAMP_TZ)"

    def concat(self, *sql: str) -> str:
        """Return texts put together; NULL if one of them is."""
        return f"CONCAT({', '.join(sql)})"

    def null_safe_equal(self, left: str, right: str, type_: ColumnType | None = None) -> str:  # noqa: ARG002
        """Return the warehouse's own function, which it hashes."""
        return f"EQUAL_NULL({left}, {right})"

    def local(self, sql: str, zone: str) -> str:
        """Return the wall clock of a zone at an instant."""
        return f"CAST(CONVERT_TIMEZONE({self.text(zone)}, {sql}) AS TIMESTAMP_NTZ)"

    def instant(self, sql: str, zone: str) -> str:
        """Return the moment in UTC, without a zone, at which a wall clock shows another."""
        return f"CONVERT_TIMEZONE({self.text(zone)}, 'UTC', CAST({sql} AS TIMESTAMP_NTZ))"

    def utc(self, sql: str) -> str:
        """Return a moment of any type in UTC, without a zone."""
        return f"CAST(CONVERT_TIMEZONE('UTC', {sql}) AS TIMESTAMP_NTZ)"

    def _week(self, sql: str, week_start: int) -> str:
        return f"DATEADD(DAY, -{self.days_into_week(sql, week_start)}, {self.cast_date(sql)})"

    def days_into_week(self, sql: str, week_start: int) -> str:
        """Return how many days of its week are over on a day, 0 to 6."""
        return f"MOD(DAYOFWEEKISO({sql}) + {6 - week_start}, 7)"

    def _weekday(self, sql: str) -> str:
        return f"MOD(DAYOFWEEKISO({sql}), 7)"

    def _number_part(self, sql: str, interval: TimeInterval, week_start: int | None) -> str:
        if interval is TimeInterval.WEEK_NUM:
            return f"WEEKISO({sql})"
        if interval is TimeInterval.DAY_OF_YEAR_NUM:
            return f"DAYOFYEAR({sql})"
        return super()._number_part(sql, interval, week_start)

    def _name_part(self, sql: str, interval: TimeInterval) -> str:
        if interval is TimeInterval.MONTH_NAME:
            return f"TO_CHAR({sql}, 'MMMM')"
        whens = ", ".join(f"{number}, '{day}'" for number, day in enumerate(_DAYS))
        return f"DECODE({self._weekday(sql)}, {whens})"

    def _minus_elapsed(self, sql: str, clock: str, start: str) -> str:
        back = f"DATEDIFF(NANOSECOND, {clock}, {start})"  # 0 or less
        return f"DATEADD(NANOSECOND, {back}, CONVERT_TIMEZONE('UTC', {sql}))"

    def _moved(self, sql: str, count: int, unit: TimeInterval) -> str:
        return f"DATEADD({unit.value}, {count}, {sql})"
