"""JSON values as text and as numbers, the way a JavaScript client would see them."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue

__all__ = ["number_of", "plain_text"]

# Plain or scientific digits. Exponents of four digits and more are no number of any warehouse, and would be
# a way to ask for gigabytes of zeros.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_INFINITY = re.compile(r"[+-]?Infinity")
_FIXED_BELOW = 21  # numbers of up to this many whole digits are written without an exponent
_FIXED_ABOVE = -7  # and those whose first digit stands closer to the point than this


def number_of(value: JsonValue) -> Decimal | None:
    """Return the number a value stands for, exactly as its shortest text spells it.

    Text counts when it is a decimal number (spaces around it are allowed) or `Infinity`; booleans, NaN,
    other text, lists and objects are no numbers.
    """
    match value:
        case bool():
            return None
        case int():
            return Decimal(value)
        case float():
            return Decimal(repr(value)) if value == value else None  # noqa: PLR0124  # NaN
        case str():
            text = value.strip()
            if _NUMBER.fullmatch(text) or _INFINITY.fullmatch(text):
                return Decimal(text)
            return None
        case _:
            return None


def plain_text(value: JsonValue) -> str:
    """Return the text of a value that is not null: text bare, numbers as JavaScript, compact JSON."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _float_text(value)
        case _:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _float_text(value: float) -> str:
    if value != value:  # noqa: PLR0124  # NaN
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    shortest = Decimal(repr(value)).normalize()
    if _FIXED_ABOVE < shortest.adjusted() < _FIXED_BELOW:
        return f"{shortest:f}"
    mantissa = f"{shortest.scaleb(-shortest.adjusted()):f}"
    return f"{mantissa}e{shortest.adjusted():+d}"
