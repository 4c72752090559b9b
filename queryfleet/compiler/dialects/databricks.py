"""Databricks SQL and Apache Spark 3.4 and later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.compiler.dialects.base import Dialect, fraction, utc_text
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    import datetime as dt

    from queryfleet.model import ColumnType

__all__ = ["DatabricksDialect"]


class DatabricksDialect(Dialect):
    """Databricks."""

    name = "databricks"
    grammar = "databricks"
    nulls_are_largest = False
    float_type = "DOUBLE"
    text_type = "STRING"
    _name_quote = "`"

    def _text_literal(self, value: str) -> str:
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"

    def timestamp(self, value: dt.datetime) -> str:
        """Return a literal of an instant."""
        return f"TIMESTAMP '{utc_text(value)}+00:00'"

    def concat(self, *sql: str) -> str:
        """Return texts put together; NULL if one of them is."""
        return f"CONCAT({', '.join(sql)})"

    def null_safe_equal(self, left: str, right: str, type_: ColumnType | None = None) -> str:  # noqa: ARG002
        """Return the warehouse's own operator, which it hashes."""
        return f"{left} <=> {right}"

    def _percentile(self, sql: str, percentile: float) -> str:
        return f"PERCENTILE({sql}, {fraction(percentile)})"

    def local(self, sql: str, zone: str) -> str:
        """Return the wall clock of a zone at an instant, as a moment without a zone."""
        return f"CONVERT_TIMEZONE({self.text(zone)}, {sql})"

    def instant(self, sql: str, zone: str) -> str:
        """Return the instant at which a wall clock shows a moment."""
        return f"TO_UTC_TIMESTAMP({sql}, {self.text(zone)})"

    def utc(self, sql: str) -> str:
        """Return a moment of any type as an instant."""
        return f"CAST({sql} AS TIMESTAMP)"

    def _week(self, sql: str, week_start: int) -> str:
        if week_start == 0:
            return self.cast_date(f"DATE_TRUNC('WEEK', {sql})")
        monday = f"DATE_TRUNC('WEEK', DATEADD(DAY, -{week_start}, {sql}))"
        return self.cast_date(f"DATEADD(DAY, {week_start}, {monday})")

    def _name_part(self, sql: str, interval: TimeInterval) -> str:
        return f"DATE_FORMAT({sql}, '{'MMMM' if interval is TimeInterval.MONTH_NAME else 'EEEE'}')"

    def _weekday(self, sql: str) -> str:
        return f"DAYOFWEEK({sql})"  # 1 for Sunday

    def days_into_week(self, sql: str, week_start: int) -> str:
        """Return how many days of its week are over on a day, 0 to 6."""
        return f"MOD({self._weekday(sql)} + {(5 - week_start) % 7}, 7)"

    def _minus_elapsed(self, sql: str, clock: str, start: str) -> str:
        back = f"TIMESTAMPDIFF(MICROSECOND, {clock}, {start})"  # 0 or less
        return f"TIMESTAMPADD(MICROSECOND, {back}, {self.utc(sql)})"

    def _moved(self, sql: str, count: int, unit: TimeInterval) -> str:
        return f"DATEADD({unit.value}, {count}, {sql})"
