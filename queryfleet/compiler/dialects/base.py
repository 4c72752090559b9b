"""What differs between warehouses, behind one class: how values, names, moments and aggregates are written.

    caller ──value──▶ text · number · boolean · date · timestamp ──▶ SQL literal
    caller ──SQL────▶ truncate · part · local · aggregate · like ──▶ SQL expression

Every value enters SQL through one of the literal functions, and nowhere else. Arguments named `sql` are complete
expressions of the dialect and are inserted as they are; what comes back can be put into parentheses, a function call
or a comparison as it is. All methods are pure.

This class writes what most warehouses understand; each dialect overrides where its own differs.

The session of a warehouse must have `Context.data_timezone` as its time zone: a moment without a zone is cast to an
instant in it.
"""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Final

from queryfleet.errors import ParameterError
from queryfleet.semantic.field import MetricType
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    from queryfleet.model import ColumnType

__all__ = ["DAYS_AND_LONGER", "SHORTER_THAN_A_DAY", "WEEKDAYS", "Dialect", "PatternKind"]

DAYS_AND_LONGER: Final = frozenset(
    {TimeInterval.DAY, TimeInterval.WEEK, TimeInterval.MONTH, TimeInterval.QUARTER, TimeInterval.YEAR}
)
SHORTER_THAN_A_DAY: Final = frozenset(
    {TimeInterval.MILLISECOND, TimeInterval.SECOND, TimeInterval.MINUTE, TimeInterval.HOUR}
)
WEEKDAYS: Final = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")

_NUMBER_LENGTH_MAX: Final = 100  # characters; no warehouse keeps as many digits
_PART_NAMES: Final = {
    TimeInterval.WEEK_NUM: "WEEK",
    TimeInterval.MONTH_NUM: "MONTH",
    TimeInterval.QUARTER_NUM: "QUARTER",
    TimeInterval.YEAR_NUM: "YEAR",
    TimeInterval.DAY_OF_MONTH_NUM: "DAY",
    TimeInterval.DAY_OF_YEAR_NUM: "DOY",
    TimeInterval.HOUR_OF_DAY_NUM: "HOUR",
    TimeInterval.MINUTE_OF_HOUR_NUM: "MINUTE",
}


class PatternKind(StrEnum):
    """Where a text must be found in another."""

    INCLUDES = "includes"
    STARTS = "starts"
    ENDS = "ends"


class Dialect:
    """How one kind of warehouse spells what the compiler needs; an instance has no state."""

    name: ClassVar[str]  # type of the warehouse, as in a project's settings
    grammar: ClassVar[str]  # sqlglot's name for it; tests parse with it
    default_week_start: ClassVar[int] = 0  # 0 Monday … 6 Sunday: where weeks begin when a project does not say
    # Is a moment cut in the session's zone, whatever its type? Then no shift is needed when the two are one zone.
    cuts_in_session_zone: ClassVar[bool] = True
    # Must a selected moment be made one in UTC without a zone, whatever its type?
    selects_utc: ClassVar[bool] = False
    nulls_are_largest: ClassVar[bool] = True  # ascending order puts NULL last by default
    float_type: ClassVar[str] = "DOUBLE PRECISION"
    text_type: ClassVar[str] = "VARCHAR"
    any_function: ClassVar[str] = "ANY_VALUE"
    _name_quote: ClassVar[str] = '"'
    _pattern_escape: ClassVar[str] = "!"

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    # --- names and values ---------------------------------------------------------------------------------------

    def quote(self, identifier: str) -> str:
        """Return a name in quotes, whatever characters it has.

        Raises:
            ParameterError: It is empty, or has a character that no name can have.
        """
        if not identifier:
            raise ParameterError("a name in SQL is empty: give it at least one character")
        check_text(identifier)
        return f"{self._name_quote}{self._escape_name(identifier)}{self._name_quote}"

    def _escape_name(self, identifier: str) -> str:
        return identifier.replace(self._name_quote, self._name_quote * 2)

    def text(self, value: str) -> str:
        """Return a text literal that is exactly this value.

        Raises:
            ParameterError: It has a NUL character or half a surrogate pair, which no warehouse stores.
        """
        check_text(value)
        return self._text_literal(value)

    def _text_literal(self, value: str) -> str:
        doubled = value.replace("'", "''")
        return f"'{doubled}'"

    def number(self, value: float | Decimal) -> str:
        """Return a number literal; a negative one in parentheses, so that no sign before it makes a comment.

        Raises:
            ParameterError: It is not finite, or longer than 100 characters.
        """
        # Testing the size first: writing out a number of a million digits would take seconds, and no float holds it.
        if isinstance(value, int) and value.bit_length() > _NUMBER_LENGTH_MAX * 3:
            raise ParameterError(f"a number has more than {_NUMBER_LENGTH_MAX} digits")
        if isinstance(value, bool) or not math.isfinite(value):
            raise ParameterError(f"{value!r} is not a finite number")
        written = repr(value) if isinstance(value, float) else str(value)
        if len(written) > _NUMBER_LENGTH_MAX:
            raise ParameterError(f"a number has more than {_NUMBER_LENGTH_MAX} digits")
        return f"({written})" if written.startswith("-") else written

    def boolean(self, value: bool) -> str:
        """Return a boolean literal."""
        return "TRUE" if value else "FALSE"

    def date(self, value: dt.date) -> str:
        """Return a date literal."""
        return f"DATE '{value.isoformat()}'"

    def timestamp(self, value: dt.datetime) -> str:
        """Return a literal of an instant.

        Args:
            value: Aware; written in UTC, with as many decimals as it has, at least three.
        """
        return f"TIMESTAMPTZ '{utc_text(value)}+00:00'"

    def compared_timestamp(self, value: dt.datetime) -> str:
        """Return a literal of an instant to compare with a moment of any type; the same where types do not matter."""
        return self.timestamp(value)

    # --- conversions and operators ------------------------------------------------------------------------------

    def cast_float(self, sql: str) -> str:
        """Return the expression as a double."""
        return f"CAST({sql} AS {self.float_type})"

    def cast_text(self, sql: str) -> str:
        """Return the expression as a text; NULL stays NULL."""
        return f"CAST({sql} AS {self.text_type})"

    def cast_date(self, sql: str) -> str:
        """Return the expression as a date."""
        return f"CAST({sql} AS DATE)"

    def concat(self, *sql: str) -> str:
        """Return texts put together; NULL if one of them is."""
        return f"({' || '.join(sql)})"

    def upper(self, sql: str) -> str:
        """Return a text in capital letters."""
        return f"UPPER({sql})"

    def like(self, sql: str, kind: PatternKind, value: str, *, case_sensitive: bool = True) -> str:
        """Return a condition on where a text is found; wildcards in it are ordinary characters.

        Args:
            sql: The text to look in.
            kind: Where.
            value: What to look for; data.
            case_sensitive: False compares both in capital letters.
        """
        sign = self._pattern_escape
        escaped = "".join(f"{sign}{each}" if each in (sign, "%", "_") else each for each in value)
        before = "" if kind is PatternKind.STARTS else "%"
        after = "" if kind is PatternKind.ENDS else "%"
        pattern = self.text(f"{before}{escaped}{after}")
        if not case_sensitive:
            sql, pattern = self.upper(sql), self.upper(pattern)
        return f"{sql} LIKE {pattern}{self._escape_clause()}"

    def _escape_clause(self) -> str:
        return f" ESCAPE '{self._pattern_escape}'"

    def null_safe_equal(self, left: str, right: str, type_: ColumnType | None = None) -> str:
        """Return a condition that holds for equal values and for two NULLs, in a form that can be hashed in a join.

        Args:
            left: Evaluated more than once.
            right: Likewise.
            type_: Of both, where it is known; lets a dialect that cannot turn every type into text choose.
        """
        first, second = self._hashable(left, type_), self._hashable(right, type_)
        same = f"COALESCE({first}, '') = COALESCE({second}, '')"
        return f"{same} AND ({left} IS NULL) = ({right} IS NULL)"

    def _hashable(self, sql: str, type_: ColumnType | None) -> str:  # noqa: ARG002 - overridden where the type matters
        return self.cast_text(sql)

    def nulls(self, *, first: bool) -> str:
        """Return what stands after `ASC` or `DESC` to place NULLs."""
        return "NULLS FIRST" if first else "NULLS LAST"

    # --- aggregates ---------------------------------------------------------------------------------------------

    def aggregate(self, kind: MetricType, sql: str, percentile: float = 50.0) -> str:  # noqa: PLR0911 - a table
        """Return the aggregate of an argument; of types that are no aggregate, the argument itself.

        Args:
            kind: Deduplicated types are SUM and AVG here: their rows have been chosen before.
            sql: What is aggregated.
            percentile: 0 to 100; of type percentile only.
        """
        match kind:
            case MetricType.COUNT | MetricType.MIN | MetricType.MAX | MetricType.SUM:
                return f"{kind.value.upper()}({sql})"
            case MetricType.COUNT_DISTINCT:
                return f"COUNT(DISTINCT {sql})"
            case MetricType.SUM_DISTINCT:
                return f"SUM({sql})"
            case MetricType.AVERAGE | MetricType.AVERAGE_DISTINCT:
                return self._average(sql)
            case MetricType.MEDIAN:
                return self._median(sql)
            case MetricType.PERCENTILE:
                return self._percentile(sql, percentile)
            case _:
                return sql

    def _average(self, sql: str) -> str:
        return f"AVG({sql})"

    def _median(self, sql: str) -> str:
        return self._percentile(sql, 50.0)

    def _percentile(self, sql: str, percentile: float) -> str:
        return f"PERCENTILE_CONT({fraction(percentile)}) WITHIN GROUP (ORDER BY {sql})"

    def any_value(self, sql: str) -> str:
        """Return an aggregate that yields the value which all rows of a group share."""
        return f"{self.any_function}({sql})"

    # --- moments ------------------------------------------------------------------------------------------------

    def local(self, sql: str, zone: str) -> str:
        """Return the wall clock of a zone at an instant, as a moment without a zone.

        Args:
            sql: A moment of any type; one without a zone is one of the session's zone.
            zone: IANA name.
        """
        return f"(CAST({sql} AS TIMESTAMPTZ) AT TIME ZONE {self.text(zone)})"

    def instant(self, sql: str, zone: str) -> str:
        """Return the instant at which the wall clock of a zone shows a moment: the way back from `local`.

        Of an hour that comes twice the dialect's own choice.
        """
        return f"(CAST({sql} AS TIMESTAMP) AT TIME ZONE {self.text(zone)})"

    def utc(self, sql: str) -> str:
        """Return a moment of any type as an instant that a client reads alike whatever the session's zone is."""
        return f"CAST({sql} AS TIMESTAMPTZ)"

    def truncate(self, sql: str, interval: TimeInterval, week_start: int | None = None) -> str:
        """Return the day on which a period begins, as a date.

        Args:
            sql: A date, or a moment on the wall clock that counts.
            interval: DAY, WEEK, MONTH, QUARTER or YEAR.
            week_start: 0 Monday … 6 Sunday; None: `default_week_start`.
        """
        if interval is TimeInterval.DAY:
            return self.cast_date(sql)
        if interval is TimeInterval.WEEK:
            return self._week(sql, self.default_week_start if week_start is None else week_start)
        return self.cast_date(f"DATE_TRUNC('{interval.value}', {sql})")

    def _week(self, sql: str, week_start: int) -> str:
        if week_start == 0:
            return self.cast_date(f"DATE_TRUNC('WEEK', {sql})")
        days = f"INTERVAL '{week_start} DAY'"
        return self.cast_date(f"DATE_TRUNC('WEEK', {sql} - {days}) + {days}")

    def truncate_time(self, sql: str, interval: TimeInterval, zone: str | None) -> str:
        """Return the instant at which a period shorter than a day begins.

        The two hours that a clock shows twice when summer time ends stay two: what has passed of the local hour is
        taken off the instant, instead of turning a local hour back into an instant.

        Args:
            sql: A moment of any type.
            interval: MILLISECOND, SECOND, MINUTE or HOUR.
            zone: IANA name; None: the session's. Seconds and shorter are the same in every zone.
        """
        if zone is None or interval in (TimeInterval.SECOND, TimeInterval.MILLISECOND):
            return self._truncate_moment(sql, interval)
        clock = self.local(sql, zone)
        return self._minus_elapsed(sql, clock, self._truncate_moment(clock, interval))

    def _truncate_moment(self, sql: str, interval: TimeInterval) -> str:
        return f"DATE_TRUNC('{interval.value}', {sql})"

    def _minus_elapsed(self, sql: str, clock: str, start: str) -> str:
        return f"(CAST({sql} AS TIMESTAMPTZ) - ({clock} - {start}))"

    def part(self, sql: str, interval: TimeInterval, week_start: int | None = None) -> str:
        """Return a number or name of a moment, such as its month.

        Weeks are numbered as ISO 8601 does, except where a dialect says otherwise.

        Args:
            sql: A date, or a moment on the wall clock that counts.
            interval: One whose name ends in `_NUM`, `_INDEX` or `_NAME`.
            week_start: Day of the week that is number 1 of DAY_OF_WEEK_INDEX; None: numbered as the warehouse does.
        """
        match interval:
            case TimeInterval.DAY_OF_WEEK_INDEX:
                return self._weekday(sql) if week_start is None else f"{self.days_into_week(sql, week_start)} + 1"
            case TimeInterval.QUARTER_NAME:
                return self.concat("'Q'", self.cast_text(self._number_part(sql, TimeInterval.QUARTER_NUM, None)))
            case TimeInterval.MONTH_NAME | TimeInterval.DAY_OF_WEEK_NAME:
                return self._name_part(sql, interval)
            case _:
                return self._number_part(sql, interval, week_start)

    def _number_part(self, sql: str, interval: TimeInterval, week_start: int | None) -> str:  # noqa: ARG002 - likewise
        return f"CAST(DATE_PART('{_PART_NAMES[interval]}', {sql}) AS INTEGER)"

    def _name_part(self, sql: str, interval: TimeInterval) -> str:
        pattern = "FMMonth" if interval is TimeInterval.MONTH_NAME else "FMDay"
        return f"TO_CHAR({sql}, '{pattern}')"

    def _weekday(self, sql: str) -> str:
        """Return the weekday as the warehouse numbers it: here 0 for Sunday."""
        return f"CAST(DATE_PART('DOW', {sql}) AS INTEGER)"

    def days_into_week(self, sql: str, week_start: int) -> str:
        """Return how many days of its week are over on a day, 0 to 6."""
        return f"MOD({self._weekday(sql)} + {6 - week_start}, 7)"

    def days_between(self, first: str, last: str) -> str:
        """Return the number of days from one date to another."""
        return f"DATEDIFF(DAY, {first}, {last})"

    def add_interval(self, sql: str, count: int, unit: TimeInterval, *, is_date: bool = False) -> str:
        """Return a moment some periods later; below 0: earlier. A day that the month lacks becomes its last.

        Args:
            sql: A date or a moment.
            count: Any integer.
            unit: Name of a period, MILLISECOND to YEAR.
            is_date: Is it a date, and the result one?
        """
        moved = self._moved(f"({sql})", count, unit)
        return self.cast_date(moved) if is_date else moved

    def _moved(self, sql: str, count: int, unit: TimeInterval) -> str:
        months = 3 if unit is TimeInterval.QUARTER else 1
        word = TimeInterval.MONTH if unit is TimeInterval.QUARTER else unit
        return f"({sql} + INTERVAL '{count * months} {word.value}')"


def check_text(value: str) -> None:
    """Raise when no warehouse can store a text.

    Raises:
        ParameterError: It has a NUL character or half a surrogate pair. The message does not repeat it.
    """
    if "\0" in value:
        raise ParameterError("a text holds a NUL character, which no warehouse stores: remove it")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ParameterError("a text holds half a surrogate pair, which is no character: remove it") from None


def utc_text(value: dt.datetime) -> str:
    """Return an aware moment in UTC, `2025-05-20 10:05:00.000`, with microseconds only if it has some."""
    moment = value.astimezone(dt.UTC).replace(tzinfo=None)
    is_whole = moment.microsecond % 1000 == 0
    return moment.isoformat(sep=" ", timespec="milliseconds" if is_whole else "microseconds")


def fraction(percentile: float) -> str:
    """Return a percentile of 0 to 100 as a share of 1, without the noise of binary fractions."""
    return format(Decimal(repr(float(percentile))) / 100, "f")
