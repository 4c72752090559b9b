"""BigQuery: moments with and without a zone are two types that do not mix, so every moment is cast before it is cut."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.dialects.base import WEEKDAYS, Dialect, utc_text
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    import datetime as dt

    from queryfleet.model import ColumnType

__all__ = ["BigQueryDialect"]

_ESCAPES: Final = {"\\": "\\\\", "'": "\\'", "`": "\\`", "\n": "\\n", "\r": "\\r"}
_PARTS: Final = {
    TimeInterval.MONTH_NUM: "MONTH",
    TimeInterval.QUARTER_NUM: "QUARTER",
    TimeInterval.YEAR_NUM: "YEAR",
    TimeInterval.DAY_OF_MONTH_NUM: "DAY",
    TimeInterval.DAY_OF_YEAR_NUM: "DAYOFYEAR",
    TimeInterval.HOUR_OF_DAY_NUM: "HOUR",
    TimeInterval.MINUTE_OF_HOUR_NUM: "MINUTE",
}


class BigQueryDialect(Dialect):
    """Google BigQuery."""

    name = "bigquery"
    grammar = "bigquery"
    default_week_start = 6
    cuts_in_session_zone = False
    nulls_are_largest = False
    float_type = "FLOAT64"
    text_type = "STRING"
    _name_quote = "`"
    _pattern_escape = "\\"

    def _escape_name(self, identifier: str) -> str:
        return _escaped(identifier, "\\`\n\r")

    def _text_literal(self, value: str) -> str:
        return f"'{_escaped(value, chr(92) + chr(39) + chr(10) + chr(13))}'"

    def _escape_clause(self) -> str:
        return ""  # the language has none: the backslash is always the escape of a pattern

    def timestamp(self, value: dt.datetime) -> str:
        """Return a literal of an instant."""
        return f"TIMESTAMP '{utc_text(value)}+00:00'"

    def compared_timestamp(self, value: dt.datetime) -> str:
        """Return a text literal: it becomes whichever type of moment it is compared with."""
        return f"'{utc_text(value)}'"

    def concat(self, *sql: str) -> str:
        """Return texts put together; NULL if one of them is."""
        return f"CONCAT({', '.join(sql)})"

    def null_safe_equal(self, left: str, right: str, type_: ColumnType | None = None) -> str:  # noqa: ARG002
        """Return a condition on JSON texts: NULL has one, unlike every other value's, and texts are hashed."""
        return f"TO_JSON_STRING({left}) = TO_JSON_STRING({right})"

    def _percentile(self, sql: str, percentile: float) -> str:
        exact = Decimal(repr(float(percentile)))
        parts = 100
        while exact != exact.to_integral_value():
            exact, parts = exact * 10, parts * 10
        return f"APPROX_QUANTILES({sql}, {parts})[OFFSET({int(exact)})]"

    def local(self, sql: str, zone: str) -> str:
        """Return the wall clock of a zone at an instant."""
        return f"DATETIME(CAST({sql} AS TIMESTAMP), {self.text(zone)})"

    def instant(self, sql: str, zone: str) -> str:
        """Return the instant at which a wall clock shows a moment."""
        return f"TIMESTAMP(CAST({sql} AS DATETIME), {self.text(zone)})"

    def utc(self, sql: str) -> str:
        """Return a moment of any type as an instant."""
        return f"CAST({sql} AS TIMESTAMP)"

    def truncate(self, sql: str, interval: TimeInterval, week_start: int | None = None) -> str:
        """Return the day on which a period begins, as a date."""
        day = self.cast_date(sql)
        if interval is TimeInterval.DAY:
            return day
        if interval is TimeInterval.WEEK:
            start = self.default_week_start if week_start is None else week_start
            return f"DATE_TRUNC({day}, WEEK({WEEKDAYS[start]}))"
        return f"DATE_TRUNC({day}, {interval.value})"

    def truncate_time(self, sql: str, interval: TimeInterval, zone: str | None) -> str:
        """Return the instant at which a period shorter than a day begins; the function keeps hours apart itself."""
        moment = self.utc(sql)
        if zone is None or interval in (TimeInterval.SECOND, TimeInterval.MILLISECOND):
            return f"TIMESTAMP_TRUNC({moment}, {interval.value})"
        return f"TIMESTAMP_TRUNC({moment}, {interval.value}, {self.text(zone)})"

    def _number_part(self, sql: str, interval: TimeInterval, week_start: int | None) -> str:
        if interval is TimeInterval.WEEK_NUM:
            if week_start is None:
                return f"EXTRACT(WEEK FROM {sql})"
            return f"EXTRACT({'ISOWEEK' if week_start == 0 else f'WEEK({WEEKDAYS[week_start]})'} FROM {sql})"
        return f"EXTRACT({_PARTS[interval]} FROM {sql})"

    def _name_part(self, sql: str, interval: TimeInterval) -> str:
        pattern = "%B" if interval is TimeInterval.MONTH_NAME else "%A"
        return f"FORMAT_DATE('{pattern}', {self.cast_date(sql)})"

    def _weekday(self, sql: str) -> str:
        return f"EXTRACT(DAYOFWEEK FROM {sql})"  # 1 for Sunday

    def days_into_week(self, sql: str, week_start: int) -> str:
        """Return how many days of its week are over on a day, 0 to 6."""
        return f"MOD({self._weekday(sql)} + {(5 - week_start) % 7}, 7)"

    def days_between(self, first: str, last: str) -> str:
        """Return the number of days from one date to another."""
        return f"DATE_DIFF({last}, {first}, DAY)"

    def _moved(self, sql: str, count: int, unit: TimeInterval) -> str:
        # Only moments without a zone can be moved by months.
        return f"TIMESTAMP(DATETIME_ADD(CAST({sql} AS DATETIME), INTERVAL {count} {unit.value}))"

    def add_interval(self, sql: str, count: int, unit: TimeInterval, *, is_date: bool = False) -> str:
        """Return a moment some periods later; of a date a date, else an instant, months counted in UTC."""
        if is_date:
            return f"DATE_ADD({self.cast_date(sql)}, INTERVAL {count} {unit.value})"
        return self._moved(f"({sql})", count, unit)


def _escaped(text: str, characters: str) -> str:
    return "".join(_ESCAPES[each] if each in characters else each for each in text)
