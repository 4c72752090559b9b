"""How one number is laid out, and the reference that does it for a single decimal.

`NumberStyle` is the one thing both faces of formatting share: `number_text` renders a decimal with it here,
and the column face renders whole Arrow arrays with it. Every number passes through its shortest decimal
text, so the same amount has the same text whether the warehouse sent it as a double, a decimal or digits in
a string.

Scaling (percent, compact units) moves the decimal point of that text: 0.285 as a percentage without
decimals is 29%. A scale that is a power of 1024 cannot move a point; there the double is divided, which
loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

__all__ = ["NumberStyle", "Sign", "binary_scaled", "number_text"]

_KIBI = 1024
_MOST_SIGNIFICANT = 21  # digits that significant rounding keeps at most


class Sign(StrEnum):
    """When a number is written as a negative one."""

    BIT = "bit"  # whenever it carries a minus: -0.4 without decimals is `-0`
    ROUNDED = "rounded"  # only when a digit other than 0 is shown
    VALUE = "value"  # whenever it is below zero, whatever is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberStyle:
    """Everything that decides the text of a finite number."""

    shift: int = 0  # places the decimal point moves to the right first: 2 for percent, -3 for thousands
    kibi_power: int = 0  # the number is first divided by 1024 to this power
    min_fraction: int = 0  # decimals always shown
    max_fraction: int = 3  # decimals kept, at least `min_fraction`; rounded half away from zero
    significant: int | None = None  # below 0: whole digits to blank out by rounding; then the fractions do not apply
    min_integer: int = 1  # digits before the point, at least; padded with zeros
    group: str = ","  # between groups of three digits; one ASCII character or none
    point: str = "."  # one ASCII character
    bare_point: bool = False  # the point is shown even if no decimal follows
    prefix: str = ""  # before the digits of a number that is not negative
    suffix: str = ""
    negative_prefix: str = "-"  # the same for negative ones; holds the minus
    negative_suffix: str = ""
    sign: Sign = Sign.BIT


def binary_scaled(number: Decimal, power: int) -> Decimal:
    """Divide by 1024 to the `power` (not 0) as a double, and return the shortest decimal text of that."""
    return Decimal(repr(float(number) / float(_KIBI**power)))


def number_text(number: Decimal, style: NumberStyle) -> str:
    """Write one number, `Infinity` included (`∞`); not for NaN.

    Rounding is exact: half away from zero on the decimal digits given.
    """
    if style.kibi_power:
        number = binary_scaled(number, style.kibi_power)
    if number.is_infinite():
        digits, shown = "∞", True
    else:
        digits, shown = _digits(number, style)
    negative = (
        number.is_signed()
        and {
            Sign.BIT: True,
            Sign.ROUNDED: shown,
            Sign.VALUE: bool(number),
        }[style.sign]
    )
    if negative:
        return f"{style.negative_prefix}{digits}{style.negative_suffix}"
    return f"{style.prefix}{digits}{style.suffix}"


def _digits(number: Decimal, style: NumberStyle) -> tuple[str, bool]:
    """Return the digits of |number| with separators, and whether any is not 0."""
    _, coefficient, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise TypeError(f"not a finite number: {number}")
    units = int("".join(map(str, coefficient)))
    exponent += style.shift
    decimals, least = style.max_fraction, style.min_fraction
    if style.significant is not None:
        decimals, least = _significant_decimals(units, exponent, style.significant), 0
    units = _rounded(units, exponent + decimals)
    if decimals < 0:
        units, decimals = units * 10**-decimals, 0
    text = str(units).rjust(decimals, "0")
    whole, fraction = text[: len(text) - decimals], text[len(text) - decimals :]
    fraction = fraction[:least] + fraction[least:].rstrip("0")
    whole = _grouped(whole.lstrip("0").rjust(style.min_integer, "0"), style.group)
    point = style.point if fraction or style.bare_point else ""
    return f"{whole}{point}{fraction}", units != 0


def _significant_decimals(units: int, exponent: int, blanked: int) -> int:
    """Return the decimals that keep as many digits as the whole part has, less those blanked; one or more."""
    if units == 0:
        return 0
    length = len(str(units))
    whole_digits = max(length + exponent, 1)
    kept = min(max(whole_digits + blanked, 1), _MOST_SIGNIFICANT)
    return kept - (length + exponent)


def _rounded(units: int, exponent: int) -> int:
    if exponent >= 0:
        return units * _power(exponent)
    scale = _power(-exponent)
    quotient, remainder = divmod(units, scale)
    return quotient + (2 * remainder >= scale)


def _power(places: int) -> int:
    power: int = 10**places
    return power


def _grouped(digits: str, separator: str) -> str:
    if not separator:
        return digits
    first = len(digits) % 3 or 3
    groups = [digits[:first], *(digits[i : i + 3] for i in range(first, len(digits), 3))]
    return separator.join(groups)
