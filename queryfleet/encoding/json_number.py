"""The JSON text of numbers: integers, floats, decimals.

Integers and most decimals are made from groups of four digits looked up in a table; floats are printed by
Polars. The rule that decides between a JSON number and a JSON string looks at one value only, never at its
neighbours: the same value has the same text in every batch. The spellings are listed in
`queryfleet.results.encoder`.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from queryfleet.encoding.arrays import fixed_values, string_array, taken
from queryfleet.encoding.texts import BLOCK, Texts, cells, from_strings, listed, merged, picked

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from queryfleet.encoding.texts import Bytes, Indices, Mask

__all__ = ["decimal_string_texts", "decimal_texts", "float_texts", "integer_texts"]

_SAFE_INTEGER = 2**53 - 1  # the largest that every JSON reader keeps
_SAFE_DIGITS = 15  # any decimal of so few digits survives a double
_FLOAT_SCALE = 4  # fraction digits of the floats that are printed as decimals
_NINE = 9
_SMALLEST_PLAIN_SCALE = 6  # up to this scale Arrow prints decimals without an exponent
_PLAIN_DECIMAL = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$"


@cache
def _digit_groups() -> npt.NDArray[np.uint32]:
    """Return the four ASCII digits of 0 to 9999, each as one little-endian word."""
    numbers = np.arange(10_000, dtype=np.uint32)
    digits = [numbers // power % 10 + ord("0") for power in (1000, 100, 10, 1)]
    return np.stack(digits, axis=1).astype(np.uint8).view("<u4").ravel().astype(np.uint32)


@cache
def _fraction_bytes() -> npt.NDArray[np.int64]:
    """Return the length of a fraction of the digits of 0 to 9999, with its point, without zeros at its end."""
    numbers = np.arange(10_000)
    kept = np.full(10_000, 5, dtype=np.int64)
    for power in (10, 100, 1000):
        kept -= numbers % power == 0
    kept[0] = 0
    return kept


def _digit_count(values: npt.NDArray[np.unsignedinteger], largest: int) -> Indices:
    count = np.ones(len(values), dtype=np.int8)
    power = 10
    while power <= largest:
        count += values >= values.dtype.type(power)
        power *= 10
    return count.astype(np.int64)


def _narrow(values: npt.NDArray[np.int64], largest: int) -> npt.NDArray[np.unsignedinteger]:
    return values.astype(np.uint32 if largest < 2**32 else np.uint64)


def _write_groups(
    data: Bytes, cell_bytes: int, values: npt.NDArray[np.unsignedinteger], begin: int, groups: int
) -> None:
    """Write `values` with 4 * groups digits, zeros in front, at byte `begin` of every cell."""
    table = _digit_groups()
    for group in range(groups - 1, -1, -1):
        rest = values
        if group:
            values = values // 10_000
            rest = rest - values * 10_000
        target = np.ndarray((len(values),), "<u4", buffer=data, offset=begin + 4 * group, strides=(cell_bytes,))
        target[:] = table.take(rest, mode="clip")


def _with_signs(data: Bytes, texts: Texts, negative: Mask) -> None:
    """Put `-` before the digits of negative rows; the byte there must be free."""
    rows = np.flatnonzero(negative)
    texts.starts[rows] -= 1
    texts.lengths[rows] += 1
    data[texts.starts[rows]] = ord("-")


def integer_texts(values: npt.NDArray[np.integer], nulls: Mask | None) -> Texts:
    """Spell integers: a JSON number within ±(2^53 - 1), else a JSON string of the same digits.

    Args:
        values: Of any integer type; null rows must hold a small number.
        nulls: See `Texts.nulls`.
    """
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    if low < -_SAFE_INTEGER or high > _SAFE_INTEGER:
        return _mixed_integer_texts(values, nulls)
    negative = values < 0 if low < 0 else None
    if nulls is not None and negative is not None:
        negative = negative & ~nulls
    largest = max(-low, high)
    magnitude = _narrow(np.abs(values.astype(np.int64)) if low < 0 else values.astype(np.int64), largest)
    groups = -(-len(str(largest)) // 4)
    cell_bytes = 4 * groups + 4  # four bytes before the digits, for the sign
    data = np.empty(len(values) * cell_bytes + BLOCK, dtype=np.uint8)
    _write_groups(data, cell_bytes, magnitude, 4, groups)
    lengths = _digit_count(magnitude, largest)
    texts = cells(data, cell_bytes, lengths, nulls=nulls, skip=cell_bytes - lengths)
    if negative is not None:
        _with_signs(data, texts, negative)
    return texts


def _mixed_integer_texts(values: npt.NDArray[np.integer], nulls: Mask | None) -> Texts:
    import pyarrow as pa
    import pyarrow.compute as pc

    beyond = np.flatnonzero((values > _SAFE_INTEGER) | (values < -_SAFE_INTEGER))
    inside = values.copy()
    inside[beyond] = 0
    digits = pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(beyond), [None, pa.py_buffer(values[beyond])])
    quoted = pc.binary_join_element_wise('"', digits.cast(pa.string()), '"', "")
    return merged(integer_texts(inside, nulls), beyond, from_strings(quoted))


def float_texts(array: pa.Array, values: npt.NDArray[np.floating], nulls: Mask | None) -> Texts:
    """Spell floats: the shortest text that reads back as the same value, without a `.0` at its end.

    Args:
        array: float32 or float64.
        values: The same values; null rows must hold 0.
        nulls: See `Texts.nulls`.
    """
    if values.dtype != np.float64:
        return _printed_float_texts(array, values, nulls)
    short, unscaled = _short_decimals(values.astype(np.float64, copy=False))
    rows = np.flatnonzero(~short)
    if rows.size > len(values) // 2:
        return _printed_float_texts(array, values, nulls)
    texts = _short_decimal_texts(unscaled, _FLOAT_SCALE, nulls)
    if rows.size:
        texts = merged(texts, rows, _printed_float_texts(taken(array, rows), values[rows], None))
    return texts


def _short_decimals(values: npt.NDArray[np.float64]) -> tuple[Mask, npt.NDArray[np.int64]]:
    """Find the floats that are short decimals: 15 digits at most, 4 of them fraction. Prices, counts.

    Two decimals of at most 15 digits never share a double. So where the quotient, which is correctly
    rounded, is the value itself, no other text of so few digits means this value, and a longer one is not
    the shortest.

    Returns:
        Which rows are such decimals, and their value times 10,000 (0 in other rows).
    """
    unit = 10.0**_FLOAT_SCALE
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.rint(values * unit)
        short = (scaled / unit == values) & (np.abs(scaled) < 10.0**_SAFE_DIGITS)
    zero = values == 0
    if zero.any():
        short &= ~(zero & np.signbit(values))  # negative zero has its own text
    return short, (scaled if short.all() else np.where(short, scaled, 0)).astype(np.int64)


def _printed_float_texts(array: pa.Array, values: npt.NDArray[np.floating], nulls: Mask | None) -> Texts:
    texts = from_strings(_float_strings(array), nulls=nulls)
    starts, lengths, data = texts.starts, texts.lengths, texts.data
    last = np.maximum(starts + lengths - 2, 0)
    pairs = np.ndarray((data.size - 1,), "<u2", buffer=data, strides=(1,))
    whole = (pairs[last] == int.from_bytes(b".0", "little")) & (lengths > len(b".0"))
    zero = values == 0
    if zero.any():
        whole &= ~(zero & np.signbit(values))  # `-0` would be read as an integer, which has no negative zero
    if nulls is not None:
        whole &= ~nulls
    lengths -= 2 * whole
    special = np.flatnonzero(~np.isfinite(values))
    if special.size:
        found = values[special]
        codes = np.where(np.isnan(found), 0, np.where(found > 0, 1, 2)).astype(np.int64)
        texts = merged(texts, special, picked(listed([b'"NaN"', b'"Infinity"', b'"-Infinity"']), codes))
    return texts


def _float_strings(array: pa.Array) -> pa.Array:
    import polars as pl

    series = pl.Series(pl.from_arrow(array))
    return string_array(series.cast(pl.String))


def decimal_texts(array: pa.Array, nulls: Mask | None) -> Texts:
    """Spell decimals: a JSON number when the nearest double prints the same value again, else a string.

    Args:
        array: decimal128 or decimal256, of any precision and scale.
        nulls: See `Texts.nulls`.
    """
    import pyarrow as pa

    scale = array.type.scale
    if not pa.types.is_decimal128(array.type) or not 0 <= scale <= _SAFE_DIGITS:
        return _decimal_rest(array, nulls)
    words = fixed_values(array, np.dtype("V16"), None).view("<i8").reshape(-1, 2)
    low, high = words[:, 0], words[:, 1]
    limit = 10**_SAFE_DIGITS
    short = (high == low >> 63) & (low < limit) & (low > -limit)
    if nulls is not None:
        short |= nulls
    if short.all():
        unscaled = np.where(nulls, 0, low) if nulls is not None else low
        return _short_decimal_texts(unscaled, scale, nulls)
    rows = np.flatnonzero(~short)
    most = _short_decimal_texts(np.where(short & ~nulls if nulls is not None else short, low, 0), scale, nulls)
    return merged(most, rows, _decimal_rest(taken(array, rows), None))


def _short_decimal_texts(unscaled: npt.NDArray[np.int64], scale: int, nulls: Mask | None) -> Texts:
    """Spell unscaled values of at most 15 digits."""
    if scale == 0:
        return integer_texts(unscaled, nulls)
    low, high = (int(unscaled.min()), int(unscaled.max())) if len(unscaled) else (0, 0)
    largest = max(-low, high)
    magnitude = _narrow(np.abs(unscaled) if low < 0 else unscaled, max(largest, 10**scale))
    unit = magnitude.dtype.type(10**scale)
    whole = magnitude // unit
    groups, fraction_groups = -(-len(str(largest // 10**scale)) // 4), -(-scale // 4)
    shift = 10 ** (4 * fraction_groups - scale)
    fraction = _narrow((magnitude - whole * unit).astype(np.int64), shift * 10**scale) * shift
    point = 4 + 4 * groups  # four bytes before the digits, for the sign
    cell_bytes = -(-(point + 1 + 4 * fraction_groups) // 8) * 8
    data = np.empty(len(unscaled) * cell_bytes + BLOCK, dtype=np.uint8)
    _write_groups(data, cell_bytes, whole, 4, groups)
    data[point : len(unscaled) * cell_bytes : cell_bytes] = ord(".")
    _write_groups(data, cell_bytes, fraction, point + 1, fraction_groups)
    whole_digits = _digit_count(whole, largest // 10**scale)
    lengths = whole_digits + _kept_fraction(fraction, fraction_groups)
    texts = cells(data, cell_bytes, lengths, nulls=nulls, skip=point - whole_digits)
    if low < 0:
        _with_signs(data, texts, unscaled < 0)
    return texts


def _kept_fraction(fraction: npt.NDArray[np.unsignedinteger], groups: int) -> Indices:
    """Count the bytes of a fraction of 4 * groups digits, with its point, without zeros at its end."""
    table = _fraction_bytes()
    if groups == 1:
        return table.take(fraction, mode="clip")
    kept: Indices = np.zeros(len(fraction), dtype=np.int64)
    for group in range(groups - 1, -1, -1):
        rest = fraction
        if group:
            fraction = fraction // 10_000
            rest = rest - fraction * 10_000
        found = table.take(rest, mode="clip")
        # Not `where`, which guesses wrong for every other value: a later group with digits has the larger number.
        kept = np.maximum(kept, (found + 4 * group) * (found > 0))
    return kept


def _decimal_rest(array: pa.Array, nulls: Mask | None) -> Texts:
    import pyarrow as pa

    if 0 <= array.type.scale <= _SMALLEST_PLAIN_SCALE:
        return decimal_string_texts(array.cast(pa.large_string()), nulls)
    plain = [None if value is None else format(value, "f") for value in array.to_pylist()]
    return decimal_string_texts(pa.array(plain, pa.large_string()), nulls)


def decimal_string_texts(array: pa.Array, nulls: Mask | None) -> Texts:
    """Spell decimals given as text like `decimal_texts`; `NaN`, `Infinity` and other words are JSON strings.

    Args:
        array: string or large_string.
        nulls: See `Texts.nulls`.
    """
    texts = from_strings(array, nulls=nulls)
    if len(texts) == 0:
        return texts
    irregular = _strip_uniform(texts)
    if irregular is None:
        return _general_decimal_texts(array, nulls)
    rows = np.flatnonzero(irregular)
    if rows.size:
        texts = merged(texts, rows, _general_decimal_texts(taken(array, rows), None))
    return texts


def _strip_uniform(texts: Texts) -> Mask | None:
    """Drop zeros at the end of plain decimals that all have the same number of fraction digits, in place.

    Returns:
        Rows that must be looked at one by one; None (and nothing is changed) when the texts are not of this
        kind.
    """
    data, starts, lengths, nulls = texts.data, texts.starts, texts.lengths, texts.nulls
    present = np.ones(len(texts), dtype=np.bool_) if nulls is None else ~nulls
    rows = np.flatnonzero(present)
    if rows.size == 0:
        return np.zeros(len(texts), dtype=np.bool_)
    region = data[int(starts[rows[0]]) : int(starts[rows[-1]] + lengths[rows[-1]])]
    points, signs = np.count_nonzero(region == ord(".")), np.count_nonzero(region == ord("-"))
    others = np.count_nonzero(region - np.uint8(ord("0")) > _NINE)
    if others != points + signs or points not in (0, rows.size) or int(lengths[rows].min()) == 0:
        return None
    begin, length = starts[rows], lengths[rows]
    negative = data[begin] == ord("-")
    if np.count_nonzero(negative) != signs:
        return None
    first = int(begin[0])
    scale = int(length[0]) - 1 - bytes(data[first : first + int(length[0])]).find(b".") if points else -1
    whole = length - negative - (scale + 1)
    if int(whole.min()) < 1 or (points and not (data[begin + length - (scale + 1)] == ord(".")).all()):
        return None
    stripped = _stripped_lengths(data, begin, length, scale)
    zero_first = data[begin + negative] == ord("0")
    odd = zero_first & ((whole > 1) | (negative & (stripped == len(b"-0"))))
    odd |= stripped - negative - (stripped > whole + negative) > _SAFE_DIGITS
    lengths[rows] = stripped
    irregular = np.zeros(len(texts), dtype=np.bool_)
    irregular[rows] = odd
    return irregular


def _stripped_lengths(data: Bytes, begin: Indices, length: Indices, scale: int) -> Indices:
    stripped = length.copy()
    active = np.arange(len(length))
    for _ in range(max(scale, 0)):
        active = active[data[begin[active] + stripped[active] - 1] == ord("0")]
        if active.size == 0:
            break
        stripped[active] -= 1
    if scale >= 0:
        stripped -= data[begin + stripped - 1] == ord(".")
    return stripped


def _general_decimal_texts(array: pa.Array, nulls: Mask | None) -> Texts:
    import polars as pl

    text = pl.col("text")
    point, sign = text.str.contains(".", literal=True), text.str.starts_with("-")
    frame = pl.DataFrame({"text": pl.Series(pl.from_arrow(array))}).with_columns(
        regular=text.str.contains(_PLAIN_DECIMAL),
        plain=pl.when(point).then(text.str.strip_chars_end("0").str.strip_chars_end(".")).otherwise(text),
        quoted=pl.concat_str(pl.lit('"'), text, pl.lit('"')),
    )
    plain = pl.col("plain")
    double = plain.cast(pl.Float64, strict=False).cast(pl.String).str.strip_suffix(".0")
    short = plain.str.len_bytes().cast(pl.Int64) - sign.cast(pl.Int64) - plain.str.contains(".", literal=True)
    # A double's text without exponent is in the same canonical form as `plain`: equal text means equal value.
    exact = (short <= _SAFE_DIGITS) | (double == plain)
    inexact = double.is_not_null() & ~double.str.contains("e", literal=True)
    regular = pl.col("regular") & (plain != "-0")
    chosen = pl.when(regular & exact).then(plain).when(regular & inexact).then(pl.col("quoted"))
    result = frame.select(chosen.alias("chosen"), text).to_struct("both")
    column = result.struct.field("chosen")
    texts = from_strings(string_array(column), nulls=nulls)
    rest = column.is_null().to_numpy() & ~(nulls if nulls is not None else np.zeros(len(array), dtype=np.bool_))
    rows = np.flatnonzero(rest)
    if rows.size:
        spelled = [_decimal_json(value).encode() for value in result.struct.field("text").gather(rows).to_list()]
        texts = merged(texts, rows, listed(spelled))
    return texts


def _decimal_json(text: str) -> str:
    """Spell one decimal by the rule itself; the vectorised paths take its place where they give the same."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return json.dumps(text, ensure_ascii=False)
    if value.is_nan():
        return '"NaN"'
    if value.is_infinite():
        return '"Infinity"' if value > 0 else '"-Infinity"'
    if value == 0:
        return "0"
    shortest = repr(float(value)).removesuffix(".0")
    if shortest in ("inf", "-inf") or Decimal(shortest) != value:
        return json.dumps(text, ensure_ascii=False)
    plain = format(value.normalize(), "f")
    return plain if len(plain.replace("-", "").replace(".", "")) <= _SAFE_DIGITS else shortest
