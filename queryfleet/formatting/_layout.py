"""Columns of digits as a string column, without a loop over rows.

Every row is laid out in one line of a byte matrix, around the decimal point, which stands in the same place
in all of them. Digits are written in groups of three looked up in a table, together with the separator
before them, so a group costs one division and one copy per column. A row's text is then one slice of its
line.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from queryfleet.formatting._parts import LIMB_DIGITS
from queryfleet.formatting.style import Sign

if TYPE_CHECKING:
    import numpy.typing as npt

    from queryfleet.formatting._parts import Mask, Parts, Whole
    from queryfleet.formatting.style import NumberStyle

    Bytes = npt.NDArray[np.uint8]
    Places = npt.NDArray[np.int64]

__all__ = ["fixed_strings", "number_strings", "sliced_strings"]

_GROUP = 3
_THOUSAND = np.uint64(1000)
_WORD = 4


@lru_cache(maxsize=32)
def _digit_table(before: str, width: int) -> Bytes:
    """Return `before` and the `width` digits of every number below ten to the `width`, one line each."""
    numbers = np.arange(10**width, dtype=np.int64)
    digits = [numbers // 10**place % 10 + ord("0") for place in reversed(range(width))]
    lead = [np.full(len(numbers), byte) for byte in before.encode("ascii")]
    return np.ascontiguousarray(np.stack([*lead, *digits], axis=1).astype(np.uint8))


@lru_cache(maxsize=8)
def _kept_table(width: int, least: int) -> npt.NDArray[np.int64]:
    """Return how many digits stay when trailing zeros beyond the first `least` are dropped, by fraction."""
    return np.array([max(least, len(f"{n:0{width}}".rstrip("0"))) for n in range(10**width)], dtype=np.int64)


def number_strings(parts: Parts, style: NumberStyle, nulls: Mask | None, null_text: str) -> pa.StringArray:
    """Lay out one number per row; rows in `nulls` hold `null_text`.

    Args:
        parts: The digits, already rounded to the style's decimals. Rows of its `rest` come out as some
            number.
        style: Its affixes, separators and minima are used here, its scaling and rounding are not.
        nulls: Rows without a value; None when there are none.
        null_text: At most four bytes of UTF-8.
    """
    negative = _negative_rows(parts, style.sign)
    affixes = [text.encode() for text in (style.prefix, style.suffix, style.negative_prefix, style.negative_suffix)]
    left = -(-max(len(affixes[0]), len(affixes[2])) // _WORD) * _WORD
    width = _GROUP + len(style.group)
    digits = _whole_digits(parts, style.min_integer)
    groups = -(-int(digits.max(initial=1)) // _GROUP)
    point = left + groups * width
    right = 1 + parts.decimals + max(len(affixes[1]), len(affixes[3]))
    line = -(-max(point + right, _WORD) // _WORD) * _WORD
    chars = np.empty((len(negative), line), dtype=np.uint8)
    _write_whole(chars, parts, style.group, point, groups)
    shown = digits + ((digits - 1) // _GROUP) * len(style.group) if style.group else digits
    starts = point - shown
    kept = _write_fraction(chars, parts, style, point)
    ends = point + kept + ((kept > 0) | style.bare_point)
    starts, ends = _write_affixes(chars, negative, starts, ends, affixes)
    if nulls is not None:
        text = np.frombuffer(null_text.encode(), dtype=np.uint8)
        chars[nulls, : len(text)] = text
        starts[nulls], ends[nulls] = 0, len(text)
    return sliced_strings(chars, starts, ends)


def _negative_rows(parts: Parts, sign: Sign) -> Mask:
    if sign is Sign.BIT:
        return parts.negative
    if sign is Sign.VALUE:
        return parts.below_zero
    shown: Mask = (parts.low | parts.fraction) != 0
    if parts.high is not None:
        shown |= parts.high != 0
    return parts.negative & shown


def _whole_digits(parts: Parts, least: int) -> Places:
    """Count the digits before the point, row by row."""
    digits = np.full(len(parts.low), least, dtype=np.int64)
    _count(digits, parts.low, 0)
    if parts.high is not None:
        _count(digits, parts.high, LIMB_DIGITS)
    return digits


def _count(digits: Places, values: Whole, offset: int) -> None:
    largest = int(values.max(initial=0))
    for length in range(1, len(str(largest)) + 1 if largest else 0):
        if length + offset > 1 or digits.min(initial=1) < 1:
            np.maximum(digits, (values >= np.uint64(10 ** (length - 1))) * (length + offset), out=digits)


def _write_whole(chars: Bytes, parts: Parts, group: str, point: int, groups: int) -> None:
    """Write groups of three digits from the point to the left, each with its separator before it."""
    table = _digit_table(group, _GROUP)
    value, place = parts.low, point
    for index in range(groups):
        if index == LIMB_DIGITS // _GROUP:
            value = np.zeros_like(parts.low) if parts.high is None else parts.high
        rest = value // _THOUSAND
        place -= table.shape[1]
        _put(chars, place, table, value - rest * _THOUSAND)
        value = rest


def _put(chars: Bytes, place: int, table: Bytes, numbers: Whole) -> None:
    """Write the table's line of each number at one place of each row."""
    index = numbers.astype(np.int64)
    width = table.shape[1]
    if width == _WORD and place % _WORD == 0:
        # Four bytes at a word's place move as one.
        chars.view(np.uint32)[:, place // _WORD] = table.view(np.uint32)[:, 0].take(index)
    else:
        chars[:, place : place + width] = table.take(index, axis=0)


def _write_fraction(chars: Bytes, parts: Parts, style: NumberStyle, point: int) -> Places:
    """Write the point and the decimals behind it; returns how many decimals stay, row by row."""
    decimals, least = parts.decimals, min(style.min_fraction, parts.decimals)
    row_count = len(chars)
    if decimals == 0:
        chars[:, point] = ord(style.point)
        return np.zeros(row_count, dtype=np.int64)
    place, value, left = point + 1 + decimals, parts.fraction, decimals
    while left > _GROUP:
        rest = value // _THOUSAND
        place -= _GROUP
        _put(chars, place, _digit_table("", _GROUP), value - rest * _THOUSAND)
        value, left = rest, left - _GROUP
    _put(chars, point, _digit_table(style.point, left), value)
    if least == decimals:
        return np.full(row_count, decimals, dtype=np.int64)
    if decimals <= _GROUP:
        return _kept_table(decimals, least).take(parts.fraction.astype(np.int64))
    kept = np.full(row_count, decimals, dtype=np.int64)
    for zeros in range(1, decimals - least + 1):
        kept -= parts.fraction % np.uint64(10**zeros) == 0
    return kept


def _write_affixes(
    chars: Bytes, negative: Mask, starts: Places, ends: Places, affixes: list[bytes]
) -> tuple[Places, Places]:
    """Write what stands around the digits, and return where each row's text now starts and ends."""
    prefix, suffix, negative_prefix, negative_suffix = affixes
    if suffix == negative_suffix:
        ends = _write_behind(chars, slice(None), ends, suffix)
    else:
        ends = ends.copy()
        for rows, text in ((~negative, suffix), (negative, negative_suffix)):
            ends[rows] = _write_behind(chars, rows, ends[rows], text)
    starts = starts.copy()
    common = 0
    while common < min(len(prefix), len(negative_prefix)) and prefix[-1 - common :] == negative_prefix[-1 - common :]:
        common += 1
    if common:
        starts = _write_before(chars, slice(None), starts, prefix[len(prefix) - common :])
    for rows, text in ((~negative, prefix), (negative, negative_prefix)):
        own = text[: len(text) - common]
        if own and rows.any():
            starts[rows] = _write_before(chars, rows, starts[rows], own)
    return starts, ends


def _write_behind(chars: Bytes, rows: Mask | slice, ends: Places, text: bytes) -> Places:
    lines = np.arange(len(chars))[rows] * chars.shape[1]
    flat = chars.reshape(-1)
    for byte in text:
        flat[lines + ends] = byte
        ends = ends + 1
    return ends


def _write_before(chars: Bytes, rows: Mask | slice, starts: Places, text: bytes) -> Places:
    lines = np.arange(len(chars))[rows] * chars.shape[1]
    flat = chars.reshape(-1)
    for byte in reversed(text):
        starts = starts - 1
        flat[lines + starts] = byte
    return starts


def sliced_strings(chars: Bytes, starts: Places, ends: Places) -> pa.StringArray:
    """Return the bytes from `starts` up to `ends` of each row as a string column."""
    places = np.arange(chars.shape[1]).astype(np.int16)
    first, last = starts.astype(np.int16)[:, None], ends.astype(np.int16)[:, None]
    data = chars[(places >= first) & (places < last)]
    offsets = np.zeros(len(starts) + 1, dtype=np.int32)
    np.cumsum(ends - starts, out=offsets[1:])
    return pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(data))


def fixed_strings(chars: Bytes) -> pa.StringArray:
    """Return whole rows as a string column."""
    rows, width = chars.shape
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int32) if width else np.zeros(rows + 1, np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(chars)))
