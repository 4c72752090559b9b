"""What an item (a field, a table calculation) says about display, read once into a frozen rule.

Which part of an item counts, first match wins: a valid spreadsheet expression in `format`; the type, for
text, booleans, dates and timestamps; `formatOptions`; the mapping of a table calculation in `format`; the
older words `format`, `compact`, `round`, `separator`; the plain number. What is not valid is passed over,
never an error: a page must not fail because a model has a typo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from queryfleet.formatting.currency import currency_of
from queryfleet.formatting.expression import Expression, parse_expression
from queryfleet.formatting.style import NumberStyle

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue

__all__ = ["FormatRule", "Kind", "RawForm", "UnitStyle", "rule_of"]


_DEFAULT_STYLE = NumberStyle()


class Kind(StrEnum):
    """Which family of texts a rule makes."""

    PLAIN = "plain"  # no item: numbers in the default style, anything else as it is
    TEXT = "text"  # the value's own text, numbers ungrouped
    BOOLEAN = "boolean"  # `True` or `False`
    DATE = "date"
    TIMESTAMP = "timestamp"
    EXTREME = "extreme"  # smallest or largest of something: a timestamp if it looks like one, else a number
    NUMBER = "number"
    EPOCH_DATE = "epoch_date"  # a number of milliseconds shown as a date; text unchanged
    EPOCH_TIMESTAMP = "epoch_timestamp"
    EXPRESSION = "expression"  # a spreadsheet expression that no single number style covers


class RawForm(StrEnum):
    """How the raw value of a page differs from the stored one."""

    DATE = "date"  # seconds precision; only the day when there is a display timezone
    TIMESTAMP = "timestamp"  # seconds precision


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStyle:
    """The style for numbers from a size on."""

    at_least: int  # of the absolute value; 0 in the last one
    style: NumberStyle


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatRule:
    """Everything an item decides about its texts; hashable, so it can be kept per query."""

    kind: Kind
    style: NumberStyle = _DEFAULT_STYLE  # NUMBER and EXTREME: of numbers
    units: tuple[UnitStyle, ...] = ()  # the style by size, largest first; empty: always `style`
    interval: str | None = None  # time interval in capitals (`MONTH`); None shows everything
    shifted: bool = True  # whether a display timezone moves timestamps
    extreme_of_date: bool = False  # EXTREME: what looks like a timestamp is shown as a date
    expression: Expression | None = None  # EXPRESSION only
    raw: RawForm | None = None  # None: raw is the stored value


# Separator → (between groups, decimal point). `default` is the first.
_SEPARATORS = {
    "default": (",", "."),
    "commaPeriod": (",", "."),
    "spacePeriod": (" ", "."),
    "periodComma": (".", ","),
    "noSeparatorPeriod": ("", "."),
    "apostrophePeriod": ("'", "."),
}
_MAX_FRACTION = 20
# Unit → (suffix, power of its step); one family per step.
_THOUSANDS = {
    "thousands": ("K", 1),
    "millions": ("M", 2),
    "billions": ("B", 3),
    "trillions": ("T", 4),
}
_BYTE_NAMES = ("kilo", "mega", "giga", "tera", "peta", "exa", "zetta", "yotta")
_BYTES_SI = {f"{name}bytes": (f"{name[0].upper()}B", i + 1) for i, name in enumerate(_BYTE_NAMES)}
_BYTES_IEC = {f"{name[:2]}bibytes": (f"{name[0].upper()}iB", i + 1) for i, name in enumerate(_BYTE_NAMES)}
_CURRENCY_WORDS = ("usd", "eur", "gbp", "jpy", "dkk")
_LEGACY_WORDS = {*_CURRENCY_WORDS, "km", "mi", "si", "id", "percent"}
_STRING_TYPES = {"string": Kind.TEXT, "boolean": Kind.BOOLEAN, "date": Kind.DATE, "timestamp": Kind.TIMESTAMP}


def rule_of(item: Mapping[str, JsonValue] | None) -> FormatRule:
    """Read an item's display rule. Never fails: what is not valid counts as absent.

    Cost: some microseconds; call it once per column, not per value.
    """
    if item is None:
        return FormatRule(kind=Kind.PLAIN)
    type_, is_field = _word(item, "type"), _word(item, "fieldType") is not None
    common = FormatRule(
        kind=Kind.TEXT,
        interval=_interval(item),
        shifted=item.get("skipTimezoneConversion") is not True,
        extreme_of_date=_word(item, "baseDimensionType") == "date",
        raw=RawForm(type_) if is_field and type_ in ("date", "timestamp") else None,
    )
    text = item.get("format")
    if isinstance(text, str) and text.lower() not in _LEGACY_WORDS:
        rule = _expression_rule(text, item, common)
        if rule is not None:
            return rule
    if type_ in _STRING_TYPES:
        return replace(common, kind=_STRING_TYPES[type_])
    if common.interval == "YEAR_NUM":
        return common
    rule = _custom_rule(_options(item), common)
    if type_ in ("min", "max") and rule.kind is Kind.NUMBER:
        return replace(rule, kind=Kind.EXTREME)
    return rule


def _expression_rule(text: str, options: Mapping[str, JsonValue], common: FormatRule) -> FormatRule | None:
    group, point = _separators(options)
    expression = parse_expression(text, group=group, point=point)
    if expression is None:
        return None
    style = expression.style
    if style is not None:
        return replace(common, kind=Kind.NUMBER, style=style)
    # A display timezone moves timestamps, not dates and numbers.
    shifted = common.shifted and common.raw is RawForm.TIMESTAMP
    return replace(common, kind=Kind.EXPRESSION, expression=expression, shifted=shifted)


def _options(item: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Return the item's custom format, the older words translated."""
    for key in ("formatOptions", "format"):
        value = item.get(key)
        if isinstance(value, Mapping):
            return value
    word = (_word(item, "format") or "").lower()
    options: dict[str, JsonValue] = {
        "type": "number",
        **{k: item.get(k) for k in ("compact", "round", "separator")},
    }
    if word in _CURRENCY_WORDS:
        options |= {"type": "currency", "currency": word}
    elif word in ("percent", "id"):
        options["type"] = word
    elif word in ("km", "mi"):
        options["suffix"] = f" {word}"
    elif word == "si":
        options["compact"] = options["compact"] or "auto"
    return options


def _custom_rule(  # noqa: PLR0911  # a table of cases
    options: Mapping[str, JsonValue], common: FormatRule
) -> FormatRule:
    number = replace(common, kind=Kind.NUMBER)
    interval = _interval(options)
    match options.get("type"):
        case "id":
            return replace(common, kind=Kind.TEXT)
        case "percent":
            style = _with_affixes(replace(_base_style(options), shift=2), suffix="%")
            return replace(number, style=style)
        case "currency":
            return _currency_rule(options, number)
        case "number":
            prefix, suffix = (_affix(options, key) for key in ("prefix", "suffix"))
            return _unit_rule(options, number, _THOUSANDS, prefix=prefix, suffix=suffix)
        case "bytes_si":
            return _unit_rule(options, number, _BYTES_SI, bare="B")
        case "bytes_iec":
            return _unit_rule(options, number, _BYTES_IEC, bare="B", kibi=True)
        case "date":
            return replace(common, kind=Kind.EPOCH_DATE, interval=interval)
        case "timestamp":
            return replace(common, kind=Kind.EPOCH_TIMESTAMP, interval=interval)
        case "custom":
            custom = options.get("custom")
            rule = _expression_rule(custom, options, common) if isinstance(custom, str) else None
            return rule or number
        case _:
            return number


def _currency_rule(options: Mapping[str, JsonValue], number: FormatRule) -> FormatRule:
    currency = currency_of(options.get("currency"))
    if currency is None:
        return _unit_rule(options, number, _THOUSANDS)
    if _whole(options.get("round")) is None:
        options = {**options, "round": currency.decimals}
    if _word(options, "separator") == "periodComma":
        # The sign moves behind the number and its unit follows the amount: `1.234,50 €`.
        return _unit_rule(options, number, _THOUSANDS, suffix=currency.trailing, unit_last=True)
    return _unit_rule(options, number, _THOUSANDS, sign=currency.leading)


def _unit_rule(
    options: Mapping[str, JsonValue],
    number: FormatRule,
    family: Mapping[str, tuple[str, int]],
    *,
    prefix: str = "",
    suffix: str = "",
    sign: str = "",
    bare: str = "",
    kibi: bool = False,
    unit_last: bool = False,
) -> FormatRule:
    """Complete a rule with the style of one unit, or with a style per unit.

    Args:
        options: The custom format.
        number: The rule so far.
        family: The units to choose from.
        prefix: Before everything, the minus included.
        suffix: Behind everything but, with `unit_last`, the unit.
        sign: Between minus and digits.
        bare: The unit of numbers that are not scaled.
        kibi: Units are powers of 1024, not of 1000.
        unit_last: The unit stands behind `suffix`, not before it.
    """
    base = _base_style(options)

    def style_of(unit: str, power: int) -> NumberStyle:
        scaled = replace(base, kibi_power=power) if kibi else replace(base, shift=-3 * power)
        ending = suffix + unit if unit_last else unit + suffix
        return _with_affixes(scaled, prefix=prefix, suffix=ending, sign=sign)

    plain = style_of(bare, 0)
    compact = (_word(options, "compact") or "").strip()
    if compact.lower() == "auto":
        step = 1024 if kibi else 1000
        units = [UnitStyle(at_least=step**power, style=style_of(unit, power)) for unit, power in family.values()]
        return replace(number, style=plain, units=(*reversed(units), UnitStyle(at_least=0, style=plain)))
    for name, (unit, power) in family.items():
        if compact.lower() in (name, name.removesuffix("s"), unit.lower()):
            return replace(number, style=style_of(unit, power))
    return replace(number, style=plain)


def _base_style(options: Mapping[str, JsonValue]) -> NumberStyle:
    group, point = _separators(options)
    style = NumberStyle(group=group, point=point)
    decimals = _whole(options.get("round"))
    if decimals is None:
        return style
    if decimals < 0:
        return replace(style, significant=max(decimals, -400))
    decimals = min(decimals, _MAX_FRACTION)
    return replace(style, min_fraction=decimals, max_fraction=decimals)


def _with_affixes(style: NumberStyle, *, prefix: str = "", suffix: str = "", sign: str = "") -> NumberStyle:
    return replace(
        style,
        prefix=prefix + sign,
        suffix=suffix,
        negative_prefix=f"{prefix}-{sign}",
        negative_suffix=suffix,
    )


def _separators(options: Mapping[str, JsonValue]) -> tuple[str, str]:
    return _SEPARATORS.get(_word(options, "separator") or "default", _SEPARATORS["default"])


def _interval(options: Mapping[str, JsonValue]) -> str | None:
    word = _word(options, "timeInterval")
    return word.upper() if word else None


def _word(options: Mapping[str, JsonValue], key: str) -> str | None:
    value = options.get(key)
    return value if isinstance(value, str) and value else None


def _affix(options: Mapping[str, JsonValue], key: str) -> str:
    return _word(options, key) or ""


def _whole(value: JsonValue) -> int | None:
    """Return a whole number given as such, as a float or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() and abs(number) < 1000 else None  # noqa: PLR2004
