"""Values of filters, checked and typed: text from a client becomes a number, a day or an instant, or an error.

A value that holds a reference to a parameter stands for the parameter's value, and for several if it has several.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.moments import instant_of
from queryfleet.compiler.parameters import check_given
from queryfleet.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from queryfleet.compiler.parameters import ParameterValue
    from queryfleet.model import ColumnType
    from queryfleet.semantic.filter_rule import FilterRule, FilterValue
    from queryfleet.semantic.intervals import TimeInterval

__all__ = [
    "FilterTarget",
    "boolean_value",
    "count_value",
    "day_value",
    "expanded",
    "instant_value",
    "number_value",
    "parameters_of",
    "refusal",
    "text_value",
]

_PARAMETER: Final = re.compile(r"\$\{\s*(?:lightdash|ld)\.parameters\.([\w-]+(?:\.[\w-]+)?)\s*\}", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_MOMENT: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)\s?(Z|[+-]\d{2}(?::?\d{2})?)?)?", re.ASCII
)
_TRUE: Final = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE: Final = frozenset({"false", "f", "no", "n", "off", "0"})
_LENGTH_MAX: Final = 100  # characters of what is to become a number or a moment
_COUNT_MAX: Final = 10**12
_EXPANDED_MAX: Final = 10_000  # values of one rule with its parameters put in


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterTarget:
    """The SQL of what a rule is about, and what is known of it."""

    sql: str  # complete expression; of an interval: cut
    type: ColumnType  # of `sql`
    case_sensitive: bool | None = None  # of text: as field, table or explore says; None: as the context says
    base_sql: str | None = None  # of an interval: what is cut. Lets a range be asked of the column itself
    base_type: ColumnType | None = None  # with it: its type
    interval: TimeInterval | None = None  # with it: what it is cut to
    # Is it a moment that counts in the query's zone? False: in the zone of the warehouse's data.
    shifted: bool = True


def refusal(rule: FilterRule, value: FilterValue, fault: str) -> ParameterError:
    """Return the error about one value of a rule.

    Args:
        rule: Whose field is named.
        value: Is shown, cut to 60 characters.
        fault: What is wrong and what to write instead: `… is not a number`.
    """
    text = repr(value)
    shown = text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - enough to find it in a request
    return ParameterError(
        f"the filter on `{rule.field_id}` has the value {shown}, which {fault}", fieldId=rule.field_id
    )


def parameters_of(rule: FilterRule) -> frozenset[str]:
    """Return the names of the parameters that the values of a rule refer to."""
    return frozenset(name for value in rule.values if isinstance(value, str) for name in _PARAMETER.findall(value))


def expanded(rule: FilterRule, parameters: Mapping[str, ParameterValue]) -> tuple[FilterValue, ...]:
    """Return the values of a rule with those of parameters in their places.

    Raises:
        ParameterError: A parameter has no value, or there would be more than 10 000 values.
    """
    found: list[FilterValue] = []
    for value in rule.values:
        if isinstance(value, str) and "${" in value:
            check_given(_PARAMETER.findall(value), parameters)
            found.extend(_with_parameters(value, parameters))
        else:
            found.append(value)
        if len(found) > _EXPANDED_MAX:
            raise ParameterError(
                f"the filter on `{rule.field_id}` has more than {_EXPANDED_MAX} values", fieldId=rule.field_id
            )
    return tuple(found)


def _with_parameters(text: str, parameters: Mapping[str, ParameterValue]) -> list[FilterValue]:
    whole = _PARAMETER.fullmatch(text)
    if whole is not None:
        return list(parameters[whole[1]].values)
    pieces = _PARAMETER.split(text)  # text, name, text, name, …, text
    made = [pieces[0]]
    for name, after in zip(pieces[1::2], pieces[2::2], strict=True):
        made = [f"{before}{value}{after}" for before in made for value in parameters[name].values]
        if len(made) > _EXPANDED_MAX:
            break
    return list(made)


def text_value(rule: FilterRule, value: FilterValue) -> str:
    """Return a value as text; numbers and booleans as JSON writes them.

    Raises:
        ParameterError: It is null.
    """
    match value:
        case None:
            raise refusal(rule, value, "is no value: use the operator isNull, or includeNull")
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


def number_value(rule: FilterRule, value: FilterValue) -> int | float | Decimal:
    """Return a value as a number, exactly as it was written.

    Raises:
        ParameterError: It is none, or not finite.
    """
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _LENGTH_MAX or _NUMBER.fullmatch(text) is None:
            raise refusal(rule, value, "is not a number")
        return Decimal(text)
    # Whole numbers can be longer than what a float holds; how long one may be is the dialect's matter.
    if value is None or isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        raise refusal(rule, value, "is not a number")
    return value


def boolean_value(rule: FilterRule, value: FilterValue) -> bool:
    """Return a value as true or false; `yes`, `no`, 1 and 0 are understood, too.

    Raises:
        ParameterError: It is neither.
    """
    word = str(value).strip().lower() if value is not None and len(str(value)) < _LENGTH_MAX else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise refusal(rule, value, "is neither true nor false")


def count_value(rule: FilterRule, value: FilterValue) -> int:
    """Return a value as a number of units of time.

    Raises:
        ParameterError: It is not a whole number, or below 0.
    """
    number = number_value(rule, value)
    if number != int(number) or not 0 <= number <= _COUNT_MAX:
        raise refusal(rule, value, "is not a count: write a whole number from 0 on")
    return int(number)


def _moment(rule: FilterRule, value: FilterValue) -> tuple[dt.date, dt.datetime]:
    """Return the day as written, and the moment: aware if the value has an offset."""
    match = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) and len(value) < _LENGTH_MAX else None
    if match is None:
        raise refusal(rule, value, "is no date: write 2025-05-20 or 2025-05-20T10:05:00Z")
    day, time, offset = match.groups()
    try:
        moment = dt.datetime.fromisoformat(f"{day}T{time or '00:00'}{offset or ''}")
    except ValueError:
        raise refusal(rule, value, "is no date of the calendar") from None
    return moment.date(), moment


def day_value(rule: FilterRule, value: FilterValue) -> dt.date:
    """Return the calendar day that a value names; a time of day after it does not matter.

    Raises:
        ParameterError: It names none.
    """
    return _moment(rule, value)[0]


def instant_value(rule: FilterRule, value: FilterValue, zone: ZoneInfo) -> dt.datetime:
    """Return the instant that a value names, in UTC.

    Args:
        rule: For messages.
        value: ISO 8601; a day alone is its midnight.
        zone: Whose wall clock a value without an offset means.

    Raises:
        ParameterError: It names none.
    """
    moment = _moment(rule, value)[1]
    try:
        return instant_of(moment, zone) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except OverflowError:
        raise refusal(rule, value, "is out of range") from None
