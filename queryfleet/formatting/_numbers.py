"""Columns of numbers as display texts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as t

from queryfleet.formatting import _parts
from queryfleet.formatting._layout import number_strings
from queryfleet.formatting._source import each_text, patched
from queryfleet.formatting.rule import FormatRule, Kind
from queryfleet.formatting.style import NumberStyle, Sign
from queryfleet.formatting.value import NULL_TEXT

if TYPE_CHECKING:
    import numpy.typing as npt

    from queryfleet.formatting._parts import Parts
    from queryfleet.formatting._source import Source

__all__ = ["formatted_numbers", "plain_numbers"]

_MAX_SHIFT = 9  # percent signs can be repeated, but not usefully
_MIN_SHIFT = -24
_MAX_PADDING = 30
_MAX_AFFIX = 100  # every row is laid out with room for it
_MAX_SCALE = 18  # decimals beyond these never decide how 15 of them are rounded
_WHOLE_TEXT = 16  # characters of a decimal text that every double prints again
_FLOAT_DECIMALS = 6  # of the doubles whose own text needs no Python
_PLAIN = FormatRule(kind=Kind.TEXT)
_UNGROUPED = NumberStyle(group="", sign=Sign.ROUNDED)


def formatted_numbers(source: Source, rule: FormatRule) -> pa.StringArray:
    """Write numbers, or strings that may be numbers, in the rule's style. Nulls become `∅`."""
    if not rule.units:
        return _styled(source, rule, rule.style)
    sizes = _sizes(source)
    if sizes is None:
        return each_text(source, rule, None)
    scale = source.array.type.scale if t.is_decimal(source.array.type) else 0
    unit = np.full(len(sizes), len(rule.units) - 1)
    for index in range(len(rule.units) - 2, -1, -1):
        least = rule.units[index].at_least * 10**scale
        if sizes.dtype == np.float64 or least < 2**64:
            unit[sizes >= sizes.dtype.type(least)] = index
    pieces, rows = [], []
    for index in np.flatnonzero(np.bincount(unit, minlength=len(rule.units))).tolist():
        chosen = unit == index
        part = replace(source, array=source.array.filter(pa.array(chosen)))
        pieces.append(_styled(part, rule, rule.units[index].style))
        rows.append(np.flatnonzero(chosen))
    if len(pieces) == 1:
        return pieces[0]
    order = np.empty(len(sizes), dtype=np.int64)
    order[np.concatenate(rows)] = np.arange(len(sizes))
    return pa.concat_arrays(pieces).take(pa.array(order))


def _sizes(source: Source) -> npt.NDArray[np.uint64] | npt.NDArray[np.float64] | None:
    """Return absolute values, of decimals without their point; None where 64 bits do not hold them."""
    array, kind = source.array, source.array.type
    if len(array) == 0 or not (t.is_integer(kind) or t.is_float64(kind) or t.is_decimal128(kind)):
        return None
    filled, _ = _parts.fill_nulls(array)
    if t.is_float64(kind):
        size: npt.NDArray[np.float64] = np.abs(filled.to_numpy(zero_copy_only=False))
        return np.where(np.isnan(size), 0.0, size)
    if t.is_integer(kind):
        return _integer_size(filled)[0]
    low, high = _parts.decimal_words(filled)
    signed = low.view(np.int64)
    if kind.scale < 0 or ((high != 0) & (high != -1)).any() or ((signed < 0) != (high < 0)).any():
        return None
    return np.where(signed < 0, -signed, signed).astype(np.uint64)


def _integer_size(array: pa.Array) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    values = array.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "u":
        return values.astype(np.uint64), np.zeros(len(values), dtype=bool)
    signed = values.astype(np.int64)
    negative = signed < 0
    return np.where(negative, -signed, signed).astype(np.uint64), negative


def _styled(source: Source, rule: FormatRule, style: NumberStyle) -> pa.StringArray:
    """Write numbers in one style; those that cannot be laid out here go through the rule."""
    array = _narrowed(source.array)
    parts = None
    if array is not None and _is_regular(style):
        filled, nulls = _parts.fill_nulls(array)
        with np.errstate(all="ignore"):
            parts = _read(filled, style)
        if parts is not None and source.decimal:
            # Decimals have no negative zero, however they are spelled.
            parts = replace(parts, negative=parts.below_zero)
    if parts is None:
        return each_text(source, rule, None)
    texts = number_strings(parts, style, nulls, NULL_TEXT)
    rest = parts.rest if nulls is None else parts.rest & ~nulls
    return patched(texts, source, rest, lambda some: each_text(some, rule, None))


def _is_regular(style: NumberStyle) -> bool:
    return (
        style.significant is None
        and style.max_fraction <= _parts.MAX_DECIMALS
        and _MIN_SHIFT <= style.shift <= _MAX_SHIFT
        and style.min_integer <= _MAX_PADDING
        and all(len(affix) <= _MAX_AFFIX for affix in (style.prefix, style.suffix, style.negative_prefix))
    )


def _narrowed(array: pa.Array) -> pa.Array | None:
    """Return decimals with 128 bits and at most 18 decimals; None where they do not fit; others unchanged."""
    kind = array.type
    if not t.is_decimal(kind) or (t.is_decimal128(kind) and 0 <= kind.scale <= _MAX_SCALE):
        return array
    scale = min(kind.scale, _MAX_SCALE)
    if scale < 0 or (scale < kind.scale and pc.any(pc.less(array, pa.scalar(0, kind))).as_py()):
        # Cut off, a small negative number would lose its sign.
        return None
    try:
        cut = array.cast(pa.decimal256(76, scale), safe=False)
        return cut.cast(pa.decimal128(38, scale))
    except pa.ArrowInvalid:
        return None


def _read(array: pa.Array, style: NumberStyle) -> Parts | None:
    kind, shift, decimals = array.type, style.shift, style.max_fraction
    if t.is_integer(kind):
        size, negative = _integer_size(array)
        if not style.kibi_power:
            return _parts.parts_of_integers(size, negative, shift=shift, decimals=decimals)
        values = np.where(negative, -size.astype(np.float64), size.astype(np.float64))
        return _parts.parts_of_floats(values / 1024.0**style.kibi_power, shift=shift, decimals=decimals)
    if t.is_float64(kind):
        values = array.to_numpy(zero_copy_only=False)
        if style.kibi_power:
            values = values / 1024.0**style.kibi_power
        return _parts.parts_of_floats(values, shift=shift, decimals=decimals)
    if style.kibi_power:
        return None
    if t.is_decimal(kind):
        return _parts.parts_of_decimals(array, shift=shift, decimals=decimals)
    return _parts.parts_of_text(array, shift=shift, decimals=decimals)


def plain_numbers(source: Source) -> pa.StringArray:
    """Write numbers without any format, as JavaScript would; long decimals in full."""
    array = source.array
    filled, nulls = _parts.fill_nulls(array)
    if t.is_integer(array.type):
        return array.cast(pa.string()).fill_null(NULL_TEXT)
    if source.decimal:
        point = pc.match_substring(filled, ".")
        texts = pc.if_else(point, pc.utf8_rtrim(pc.utf8_rtrim(filled, "0"), "."), filled)
        regular = pc.match_substring_regex(filled, r"^(?:0(?:\.0*)?$|-?(?:[1-9]|0\.0{0,5}[1-9]))")
        plain = pc.match_substring_regex(filled, r"^-?[0-9]+(?:\.[0-9]+)?$")
        short = pc.less_equal(pc.binary_length(filled), _WHOLE_TEXT)
        good = pc.and_(pc.and_(regular, plain), short).to_numpy(zero_copy_only=False)
        texts = texts if nulls is None else pc.if_else(pa.array(nulls), NULL_TEXT, texts)
        rest = ~good
    elif t.is_float64(array.type) or (t.is_decimal128(array.type) and 0 <= array.type.scale <= _FLOAT_DECIMALS):
        return _plain_digits(source, filled, nulls)
    else:
        return each_text(source, _PLAIN, None)
    return patched(texts, source, rest if nulls is None else rest & ~nulls, lambda some: each_text(some, _PLAIN, None))


def _plain_digits(source: Source, filled: pa.Array, nulls: npt.NDArray[np.bool_] | None) -> pa.StringArray:
    with np.errstate(all="ignore"):
        if t.is_float64(filled.type):
            values = filled.to_numpy(zero_copy_only=False)
            parts = _parts.parts_of_floats(values, shift=0, decimals=_FLOAT_DECIMALS, exact=True)
            rest = parts.rest
        else:
            parts = _parts.parts_of_decimals(filled, shift=0, decimals=_FLOAT_DECIMALS)
            # Beyond 15 digits the stored line may hold the exact text, zeros at the end included.
            rest = parts.rest | (parts.low >= np.uint64(10 ** (15 - filled.type.scale)))
    if parts.high is not None:
        rest = rest | (parts.high != 0)
    texts = number_strings(parts, _UNGROUPED, nulls, NULL_TEXT)
    rest = rest if nulls is None else rest & ~nulls
    return patched(texts, source, rest, lambda some: each_text(some, _PLAIN, None))
