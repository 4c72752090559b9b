"""The reference of display formatting: one JSON value, one text.

Slow and plain on purpose. `queryfleet.formatting.column` makes the same texts for whole columns, and a
property test holds the two together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from queryfleet.formatting.expression import (
    expression_text_of_number,
    expression_text_of_text,
    moment_text,
)
from queryfleet.formatting.instant import (
    date_text,
    is_datetime_text,
    iso_seconds,
    offset_seconds,
    parse_instant,
    timestamp_text,
    zone_of,
)
from queryfleet.formatting.json_text import number_of, plain_text
from queryfleet.formatting.rule import FormatRule, Kind, RawForm, rule_of
from queryfleet.formatting.style import NumberStyle, number_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from zoneinfo import ZoneInfo

    from queryfleet.errors import JsonValue

__all__ = ["NULL_TEXT", "format_value", "raw_value", "value_text"]

NULL_TEXT = "∅"
_TRUE_TEXTS = ("true", "True", "yes", "Yes", "1", "T")


def format_value(value: JsonValue, item: Mapping[str, JsonValue] | None, *, timezone: str | None = None) -> str:
    """Return the display text of one value as it stands in a stored line.

    Args:
        value: Any JSON value; null is `∅`.
        item: The field or table calculation the value belongs to; None when the query has no items.
        timezone: IANA name of the zone timestamps are shown in; None is UTC.

    Raises:
        ParameterError: There is no such timezone.

    Cost: reads the item every time. For many values use `rule_of` and `value_text`, or `format_column`.
    """
    return value_text(value, rule_of(item), timezone=timezone)


def raw_value(
    value: JsonValue, item: Mapping[str, JsonValue] | FormatRule | None, *, timezone: str | None = None
) -> JsonValue:
    """Return the raw value of a page for one stored value.

    It is the stored value, except in fields of type date and timestamp: these become `YYYY-MM-DDTHH:MM:SSZ`
    (a date under a display timezone: `YYYY-MM-DD`), always in UTC, and `Invalid Date` where no moment can
    be read.
    """
    form = (item if isinstance(item, FormatRule) else rule_of(item)).raw
    if form is None or value is None:
        return value
    ms = parse_instant(value)
    if ms is None:
        return "Invalid Date"
    return date_text(ms, None) if form is RawForm.DATE and timezone is not None else iso_seconds(ms)


def value_text(  # noqa: C901, PLR0911  # one case per kind of rule
    value: JsonValue, rule: FormatRule, *, timezone: str | None = None
) -> str:
    """Return the display text of one value under a rule; see `format_value`."""
    zone = zone_of(timezone) if timezone is not None else None
    if value is None:
        return NULL_TEXT
    match rule.kind:
        case Kind.PLAIN:
            return plain_text(value) if isinstance(value, str) else _number(value, rule)
        case Kind.TEXT:
            return plain_text(value)
        case Kind.BOOLEAN:
            return "True" if value in (_TRUE_TEXTS if isinstance(value, str) else (1,)) else "False"
        case Kind.DATE:
            ms = parse_instant(value)
            return "NaT" if ms is None else date_text(ms, rule.interval)
        case Kind.TIMESTAMP:
            return _timestamp(value, rule, zone)
        case Kind.EXTREME:
            return _extreme(value, rule, zone)
        case Kind.NUMBER:
            return _number(value, rule)
        case Kind.EPOCH_DATE | Kind.EPOCH_TIMESTAMP:
            return _epoch(value, rule, zone)
        case Kind.EXPRESSION:
            return _by_expression(value, rule, zone)
        case _:
            assert_never(rule.kind)


def style_for(number: Decimal, rule: FormatRule) -> NumberStyle:
    """Return the style a rule has for a number of this size."""
    size = abs(number)
    return next((unit.style for unit in rule.units if size >= unit.at_least), rule.style)


def _number(value: JsonValue, rule: FormatRule) -> str:
    number = number_of(value)
    return plain_text(value) if number is None else number_text(number, style_for(number, rule))


def _timestamp(value: JsonValue, rule: FormatRule, zone: ZoneInfo | None) -> str:
    ms = parse_instant(value)
    return "NaT" if ms is None else timestamp_text(ms, rule.interval, zone if rule.shifted else None)


def _extreme(value: JsonValue, rule: FormatRule, zone: ZoneInfo | None) -> str:
    if not is_datetime_text(value):
        return _number(value, rule)
    ms = parse_instant(value)
    if rule.extreme_of_date and ms is not None:
        return date_text(ms, rule.interval)
    return _timestamp(value, rule, zone)


def _epoch(value: JsonValue, rule: FormatRule, zone: ZoneInfo | None) -> str:
    number = number_of(value)
    if number is None:
        return plain_text(value)
    ms = parse_instant(float(number))
    if ms is None:
        return "NaT"
    if rule.kind is Kind.EPOCH_DATE:
        return date_text(ms, rule.interval)
    return timestamp_text(ms, rule.interval, zone if rule.shifted else None)


def _by_expression(value: JsonValue, rule: FormatRule, zone: ZoneInfo | None) -> str:
    expression = rule.expression
    if expression is None:
        return plain_text(value)
    number = number_of(value)
    if expression.is_date:
        ms = parse_instant(value if number is None else float(number))
        if ms is None:
            return "Invalid Date"
        return moment_text(ms + 1000 * offset_seconds(ms, zone if rule.shifted else None), expression)
    if number is None:
        return expression_text_of_text(plain_text(value), expression)
    return expression_text_of_number(number, expression, plain=plain_text(value))
