"""ClickHouse, 23.8 and later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from queryfleet.compiler.dialects.base import Dialect, fraction, utc_text
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    import datetime as dt

    from queryfleet.model import ColumnType

__all__ = ["ClickHouseDialect"]

_PARTS: Final = {
    TimeInterval.MONTH_NUM: "toMonth",
    TimeInterval.QUARTER_NUM: "toQuarter",
    TimeInterval.YEAR_NUM: "toYear",
    TimeInterval.DAY_OF_MONTH_NUM: "toDayOfMonth",
    TimeInterval.DAY_OF_YEAR_NUM: "toDayOfYear",
    TimeInterval.HOUR_OF_DAY_NUM: "toHour",
    TimeInterval.MINUTE_OF_HOUR_NUM: "toMinute",
}


class ClickHouseDialect(Dialect):
    """ClickHouse."""

    name = "clickhouse"
    grammar = "clickhouse"
    default_week_start = 6
    cuts_in_session_zone = False  # a column has a zone of its own
    any_function = "any"
    _pattern_escape = "\\"

    def _escape_name(self, identifier: str) -> str:
        return identifier.replace("\\", "\\\\").replace('"', '\\"')

    def _text_literal(self, value: str) -> str:
        escaped = value.replace("\\", "\\\\").replace("'", "''")
        return f"'{escaped}'"

    def _escape_clause(self) -> str:
        return ""  # the backslash is always the escape of a pattern

    def date(self, value: dt.date) -> str:
        """Return a date of the type with the wider range."""
        return f"toDate32('{value.isoformat()}')"

    def timestamp(self, value: dt.datetime) -> str:
        """Return a literal of an instant, with its decimals."""
        text = utc_text(value)
        return f"toDateTime64('{text}', {len(text.partition('.')[2])}, 'UTC')"

    def cast_float(self, sql: str) -> str:
        """Return the expression as a double; NULL stays NULL."""
        return f"toFloat64({sql})"

    def cast_text(self, sql: str) -> str:
        """Return the expression as a text; NULL stays NULL."""
        return f"toString({sql})"

    def cast_date(self, sql: str) -> str:
        """Return the expression as a date; NULL stays NULL."""
        return f"toDate32({sql})"

    def concat(self, *sql: str) -> str:
        """Return texts put together; NULL if one of them is."""
        return f"CONCAT({', '.join(sql)})"

    def upper(self, sql: str) -> str:
        """Return a text in capital letters, of other alphabets, too."""
        return f"upperUTF8({sql})"

    def null_safe_equal(self, left: str, right: str, type_: ColumnType | None = None) -> str:  # noqa: ARG002
        """Return the warehouse's own operator, which it hashes in joins."""
        return f"{left} <=> {right}"

    def _median(self, sql: str) -> str:
        return f"median({sql})"

    def _percentile(self, sql: str, percentile: float) -> str:
        return f"quantile({fraction(percentile)})({sql})"

    def local(self, sql: str, zone: str) -> str:
        """Return an instant whose parts are those of a zone."""
        return f"toTimeZone({sql}, {self.text(zone)})"

    def instant(self, sql: str, zone: str) -> str:
        """Return the instant itself: `local` changes only what it shows."""
        return f"toTimeZone({sql}, {self.text(zone)})"

    def utc(self, sql: str) -> str:
        """Return a moment as one that shows UTC."""
        return f"toTimeZone({sql}, 'UTC')"

    def truncate(self, sql: str, interval: TimeInterval, week_start: int | None = None) -> str:
        """Return the day on which a period begins, as a date; the functions for it know nothing before 1970."""
        day = self.cast_date(sql)
        match interval:
            case TimeInterval.WEEK:
                start = self.default_week_start if week_start is None else week_start
                return f"addDays({day}, -{self.days_into_week(day, start)})"
            case TimeInterval.MONTH:
                return f"makeDate32(toYear({day}), toMonth({day}), 1)"
            case TimeInterval.QUARTER:
                return f"makeDate32(toYear({day}), toQuarter({day}) * 3 - 2, 1)"
            case TimeInterval.YEAR:
                return f"makeDate32(toYear({day}), 1, 1)"
            case _:
                return day

    def truncate_time(self, sql: str, interval: TimeInterval, zone: str | None) -> str:
        """Return the instant at which a period shorter than a day begins; also of moments before 1970."""
        exact = f"toDateTime64({sql}, 6)"  # the functions for these are of moments with decimals only
        if interval is TimeInterval.MILLISECOND:
            return f"toStartOfMillisecond({exact})"
        start = f"toStartOfSecond({exact})"
        if interval is TimeInterval.SECOND:
            return start
        clock = sql if zone is None else self.local(sql, zone)
        elapsed = f"toSecond({clock})"
        if interval is TimeInterval.HOUR:
            elapsed = f"toMinute({clock}) * 60 + {elapsed}"
        return f"addSeconds({start}, -({elapsed}))"

    def _number_part(self, sql: str, interval: TimeInterval, week_start: int | None) -> str:
        if interval is TimeInterval.WEEK_NUM:
            is_from_sunday = week_start is None or week_start == self.default_week_start
            return f"toWeek({sql})" if is_from_sunday else f"toISOWeek({sql})"
        return f"{_PARTS[interval]}({sql})"

    def _name_part(self, sql: str, interval: TimeInterval) -> str:
        part = "month" if interval is TimeInterval.MONTH_NAME else "weekday"
        return f"dateName('{part}', {self.cast_date(sql)})"

    def _weekday(self, sql: str) -> str:
        return f"toDayOfWeek({sql})"  # 1 for Monday

    def days_between(self, first: str, last: str) -> str:
        """Return the number of days from one date to another."""
        return f"dateDiff('day', {first}, {last})"

    def _moved(self, sql: str, count: int, unit: TimeInterval) -> str:
        return f"({sql} + INTERVAL {count} {unit.value})"
