"""Columns of numbers as exact whole and fractional digits, rounded as a style asks.

Every reader below ends in `Parts`: the digits before the point as one or two 64-bit integers, those behind
it as another. Nothing is rounded in floating point. For doubles that takes one observation: rounding half
away from zero on the shortest decimal text differs from rounding the double only at a tie, a tie is a short
decimal, and a double has a short decimal as its text exactly when it is the double nearest to it. So ties
are found by comparing doubles.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]
    Whole = npt.NDArray[np.uint64]

__all__ = [
    "MAX_DECIMALS",
    "Parts",
    "decimal_words",
    "fill_nulls",
    "parts_of_decimals",
    "parts_of_floats",
    "parts_of_integers",
    "parts_of_text",
]

MAX_DECIMALS = 15  # the most decimals these readers keep; styles with more are done value by value
LIMB_DIGITS = 18
_LIMB = 10**LIMB_DIGITS
_TEN = np.array([10**i for i in range(20)], dtype=np.uint64)
_EXACT = 1e14  # below this, a tie and its neighbours are decimals of at most 15 digits, which doubles tell apart
_EXACT_WHOLE = 2.0**53
_MAX_TEXT = 64  # longer texts are no numbers we lay out here
_MAX_EXACT_POWER = 22  # the largest power of ten that a double holds exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The digits of a column of numbers; all arrays have one entry per row."""

    negative: Mask  # a minus was there, even before a zero
    below_zero: Mask  # the number was smaller than zero, before rounding
    low: Whole  # the last 18 digits before the point
    high: Whole | None  # the digits before those; None when all are 0
    fraction: Whole  # `decimals` digits behind the point
    decimals: int
    rest: Mask  # rows that hold something else; they must be done value by value


def fill_nulls(array: pa.Array) -> tuple[pa.Array, Mask | None]:
    """Return a column with zeros in place of nulls, and which rows those are (None: there are none)."""
    if array.null_count == 0:
        return array, None
    nulls: Mask = pc.is_null(array).to_numpy(zero_copy_only=False)
    zero = "0" if pa.types.is_string(array.type) else Decimal(0) if pa.types.is_decimal(array.type) else 0
    return pc.fill_null(array, pa.scalar(zero, array.type)), nulls


def parts_of_integers(values: Whole, negative: Mask, *, shift: int, decimals: int, rest: Mask | None = None) -> Parts:
    """Read |values| as decimals whose point stands `shift` places right of the last digit."""
    left_out = np.zeros(len(values), dtype=bool) if rest is None else rest
    below_zero = negative & (values != 0)
    if shift >= 0:
        left_out = left_out | (values > np.uint64((2**64 - 1) // 10**shift))
        low, fraction = values * _TEN[shift], np.zeros(len(values), dtype=np.uint64)
    elif decimals >= -shift:
        low = values // _TEN[-shift]
        fraction = (values - low * _TEN[-shift]) * _TEN[decimals + shift]
    else:
        low, fraction = _split(_halved_up(values, -shift - decimals), decimals)
    low, high = _limbs(low)
    return Parts(
        negative=negative,
        below_zero=below_zero,
        low=low,
        high=high,
        fraction=fraction,
        decimals=decimals,
        rest=left_out,
    )


def _limbs(low: Whole) -> tuple[Whole, Whole | None]:
    if len(low) == 0 or low.max() < _LIMB:
        return low, None
    high = low // np.uint64(_LIMB)
    return low - high * np.uint64(_LIMB), high


def _halved_up(values: Whole, places: int) -> Whole:
    """Divide by ten to the `places`, rounding half up."""
    if places >= len(_TEN):
        return np.zeros(len(values), dtype=np.uint64)
    quotient = values // _TEN[places]
    remainder = values - quotient * _TEN[places]
    rounded: Whole = quotient + (remainder >= _TEN[places] // np.uint64(2))
    return rounded


def _split(units: Whole, decimals: int) -> tuple[Whole, Whole]:
    """Take counts of the last decimal apart into what stands before and behind the point."""
    if decimals == 0:
        return units, np.zeros(len(units), dtype=np.uint64)
    low = units // _TEN[decimals]
    return low, units - low * _TEN[decimals]


def parts_of_floats(values: npt.NDArray[np.float64], *, shift: int, decimals: int, exact: bool = False) -> Parts:
    """Read the shortest decimal text of doubles, its point moved `shift` places to the right.

    With `exact`, which goes with `shift` 0, rows that have more decimals than that are left to `rest`.
    """
    size = np.abs(values)
    kept = decimals + shift  # decimals kept of the number before its point moves
    # NaN and infinity compare as not small, and are left to `rest`.
    small = (size < _EXACT * 10.0**-kept) & (abs(kept) <= _MAX_EXACT_POWER)
    units = _nearest_units(np.where(small, size, 0.0), kept)
    low, fraction = _split(units, decimals)
    rest = ~small
    if exact:
        rest = rest | (units / 10.0**decimals != size)
    if rest.any():
        # Whole numbers need no rounding as long as a double holds every digit.
        whole = rest & (size < _EXACT_WHOLE) & (size == np.floor(size))
        if whole.any() and kept >= 0:
            wholes = parts_of_integers(size[whole].astype(np.uint64), values[whole] < 0, shift=shift, decimals=decimals)
            if wholes.high is None and not wholes.rest.any():
                low[whole], fraction[whole] = wholes.low, wholes.fraction
                rest = rest & ~whole
    return Parts(
        negative=np.signbit(values),
        below_zero=values < 0,
        low=low,
        high=None,
        fraction=fraction,
        decimals=decimals,
        rest=rest,
    )


def _nearest_units(size: npt.NDArray[np.float64], kept: int) -> Whole:
    """Round to `kept` decimals, half up on the shortest text. Sizes are below 1e14 of the last decimal."""
    scale = 10.0 ** abs(kept)
    guess = np.floor(size * scale + 0.5) if kept >= 0 else np.floor(size / scale + 0.5)
    # The guess may be one off near a tie. Both ties around it are doubles nearest to short decimals, exactly.
    below, above = 2.0 * guess - 1.0, 2.0 * guess + 1.0
    if kept >= 0:
        lower, upper = below / (2.0 * scale), above / (2.0 * scale)
    else:
        lower, upper = below * (scale / 2.0), above * (scale / 2.0)
    guess += size >= upper
    guess -= size < lower
    return guess.astype(np.uint64)


def decimal_words(array: pa.Array) -> tuple[Whole, npt.NDArray[np.int64]]:
    """Return the low and the high word of 128-bit decimals, in two's complement. Nulls must be filled."""
    words = np.frombuffer(array.buffers()[1], dtype=np.uint64)
    words = words[2 * array.offset : 2 * (array.offset + len(array))]
    return words[0::2], words[1::2].view(np.int64)


def parts_of_decimals(array: pa.Array, *, shift: int, decimals: int) -> Parts:
    """Read decimal128 values of at most 18 decimals, their point moved `shift` places to the right."""
    low, high = decimal_words(array)
    negative = high < 0
    place = shift - array.type.scale
    if bool(((high == 0) | (high == -1)).all()) and bool(((low.view(np.int64) < 0) == negative).all()):
        size = np.where(negative, -low.view(np.int64), low.view(np.int64)).astype(np.uint64)
        return parts_of_integers(size, negative, shift=place, decimals=decimals)
    if not -LIMB_DIGITS <= place <= 0:
        return _nothing(len(array), decimals)
    return _wide_parts(low, high, negative, point=-place, decimals=decimals)


def _nothing(row_count: int, decimals: int) -> Parts:
    zeros, none = np.zeros(row_count, dtype=np.uint64), np.zeros(row_count, dtype=bool)
    return Parts(
        negative=none,
        below_zero=none,
        low=zeros,
        high=None,
        fraction=zeros,
        decimals=decimals,
        rest=np.ones(row_count, dtype=bool),
    )


def _wide_parts(low: Whole, high: npt.NDArray[np.int64], negative: Mask, *, point: int, decimals: int) -> Parts:
    """Split 128-bit integers whose last `point` digits, at most 18, stand behind the point."""
    below_zero = negative
    carried = negative & (low == 0)
    size_low = np.where(negative, ~low + np.uint64(1), low)
    size_high = np.where(negative, ~high.view(np.uint64) + carried, high.view(np.uint64))
    tail, middle, top = _billions(size_low, size_high)
    ten = _TEN[LIMB_DIGITS - point]
    behind, fraction_digits = tail % _TEN[point], point
    whole_low = tail // _TEN[point] + (middle % _TEN[point]) * ten
    whole_high = middle // _TEN[point] + top * ten
    # 38 digits without a scale do not fit two limbs.
    rest = top > np.uint64((2**64 - 1 - _LIMB) // int(ten))
    fraction, carry = _rounded_fraction(behind, fraction_digits, decimals)
    whole_low = whole_low + carry
    full = whole_low == np.uint64(_LIMB)
    return Parts(
        negative=negative,
        below_zero=below_zero,
        low=np.where(full, np.uint64(0), whole_low),
        high=whole_high + full,
        fraction=fraction,
        decimals=decimals,
        rest=rest,
    )


def _billions(low: Whole, high: Whole) -> tuple[Whole, Whole, Whole]:
    """Return 128-bit integers as three limbs of 18 digits, the last one first."""
    base, mask = np.uint64(10**9), np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    words = [high >> half, high & mask, low >> half, low & mask]
    digits: list[Whole] = []
    for _ in range(5):
        remainder = np.zeros(len(low), dtype=np.uint64)
        for i, word in enumerate(words):
            current = (remainder << half) | word
            words[i] = current // base
            remainder = current - words[i] * base
        digits.append(remainder)
    return digits[0] + digits[1] * base, digits[2] + digits[3] * base, digits[4]


def _rounded_fraction(fraction: Whole, digits: int, decimals: int) -> tuple[Whole, Whole]:
    """Bring a fraction of `digits` digits to `decimals`; the carry is 1 where it became a whole."""
    if decimals >= digits:
        return fraction * _TEN[decimals - digits], np.zeros(len(fraction), dtype=np.uint64)
    rounded = _halved_up(fraction, digits - decimals)
    carry = (rounded == _TEN[decimals]).astype(np.uint64)
    return rounded - carry * _TEN[decimals], carry


def parts_of_text(array: pa.Array, *, shift: int, decimals: int) -> Parts:
    """Read plain decimal digits (`-12.50`) of any length, their point moved `shift` places to the right.

    Text that is anything else is left to `rest`. Nulls must be filled.
    """
    text, starts, ends = _text_bytes(array)
    row_count = len(starts)
    if row_count == 0:
        return _nothing(0, decimals)
    negative = text[starts] == ord("-")
    starts = starts + negative
    dots = _int32(pc.find_substring(array, "."))
    dots = np.where(dots < 0, ends, starts - negative + dots)
    rest = (ends - starts > _MAX_TEXT) | (ends == starts) | (dots == starts) | (dots == ends - 1)
    most = int(np.max(np.where(rest, 0, dots - starts), initial=0))
    before = min(max(most + shift, 1), 2 * LIMB_DIGITS)
    behind = LIMB_DIGITS
    rest = rest | (dots - starts + shift > 2 * LIMB_DIGITS)
    rest = rest | ~_all_digits(array)
    # The digit at place p of the moved number is the one at place p - shift of the text; place 0 is before
    # the point.
    places = np.arange(before - 1, -behind - 1, -1) - shift
    offsets = np.where(places >= 0, -1 - places, -places)
    behind = min(behind, max(int(np.max(np.where(rest, 0, ends - dots))) - 1 - shift, decimals + 1, 1))
    offsets = offsets[: before + behind]
    positions = dots[:, None] + offsets[None, :]
    inside = (positions >= starts[:, None]) & (positions < ends[:, None]) & ~rest[:, None]
    digits = np.where(inside, text[np.where(inside, positions, 0)] - np.uint8(ord("0")), 0).astype(np.uint8)
    low = _joined(digits[:, max(before - LIMB_DIGITS, 0) : before])
    high = _joined(digits[:, : before - LIMB_DIGITS]) if before > LIMB_DIGITS else None
    fraction, carry = _rounded_fraction(_joined(digits[:, before:]), behind, decimals)
    low = low + carry
    full = low == np.uint64(_LIMB)
    if high is not None or full.any():
        high = (np.zeros(row_count, dtype=np.uint64) if high is None else high) + full
        low = np.where(full, np.uint64(0), low)
    some_digit = np.asarray(pc.match_substring_regex(array, "[1-9]").to_numpy(zero_copy_only=False))
    return Parts(
        negative=negative,
        below_zero=negative & some_digit,
        low=low,
        high=high,
        fraction=fraction,
        decimals=decimals,
        rest=rest,
    )


def _all_digits(array: pa.Array) -> Mask:
    matched: Mask = pc.match_substring_regex(array, r"^-?[0-9]+(\.[0-9]+)?$").to_numpy(zero_copy_only=False)
    return matched


def _int32(array: pa.Array) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = array.to_numpy(zero_copy_only=False).astype(np.int64)
    return values


def _text_bytes(
    array: pa.Array,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the bytes of a string column, one zero added, and where each row starts and ends in them."""
    _, offsets_buffer, data = array.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    first, last = (int(offsets[0]), int(offsets[-1])) if len(array) else (0, 0)
    text = np.zeros(last - first + 1, dtype=np.uint8)
    if last > first:
        text[:-1] = np.frombuffer(data, dtype=np.uint8)[first:last]
    bounds = offsets.astype(np.int64) - first
    return text, bounds[:-1], bounds[1:]


def _joined(digits: npt.NDArray[np.uint8]) -> Whole:
    """Read rows of at most 18 digits as integers."""
    value: Any = np.zeros(len(digits), dtype=np.uint64)
    for column in range(digits.shape[1]):
        value = value * np.uint64(10) + digits[:, column]
    joined: Whole = value
    return joined
