"""The order of values of any type as whole numbers, and of combinations of values.

A column is reduced to its distinct values first; only those are sorted. The numbers have no meaning outside of the call
that made them: to compare values of two tables, put these together before.

NaN is one value, larger than all other numbers; `-0.0` is `0.0`; text is compared by code point; decimals that travel
as text are compared as numbers; values without an order of their own (lists, intervals) by their JSON text.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from queryfleet.columns import LogicalType, logical_type
from queryfleet.encoding.arrays import in_one_piece
from queryfleet.encoding.json_text import json_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pyarrow as pa

    Indices: TypeAlias = npt.NDArray[np.int64]

__all__ = [
    "combined",
    "has_one_spelling",
    "hashes",
    "joint_ranks",
    "order_of_places",
    "plain_field",
    "ranks",
    "stable_order",
]

_PRECISION, _SCALE = 76, 38  # of the decimals that text is turned into where it fits
_LARGEST = 2**62
_INT32_BITS, _INT32_MAX = 32, 2**31 - 1
_CLOSE = 4  # values that span at most that many times their count are numbered without a look-up
_SPARSE = 8  # numbers that many times larger than their count are made dense by sorting


def ranks(array: pa.Array, field: pa.Field, *, descending: bool = False, nulls_first: bool = False) -> Indices:
    """Return for each value its place among the distinct values, from 0; equal values share it.

    Args:
        array: Plain, chunked or dictionary-encoded; chunks may have different dictionaries. What is only in a
            dictionary has a place too, so that there may be gaps.
        field: Its field; tells what text means.
        descending: Largest first.
        nulls_first: Whether null has the first place or the last one.

    Cost: 20 to 40 ns per value, and a sort of the distinct ones; 5 to 10 ns where values are encoded already or are
    whole numbers that lie close together.
    """
    import pyarrow.compute as pc

    if _has_dictionary(array):
        values, codes = _decoded(array)
        return ranks(values, plain_field(field), descending=descending, nulls_first=nulls_first)[codes]
    plain = _comparable(array, field)
    close = _close_numbers(plain)
    if close is not None:
        present = np.zeros(int(close.max()) + 1, dtype=np.bool_)
        present[close] = True
        place = np.cumsum(present, dtype=np.int64) - 1
        return (place[-1] - place if descending else place)[close]
    encoded = plain.dictionary_encode()
    distinct = encoded.dictionary
    count = len(distinct)
    order = _decimal_order(distinct) if _is_decimal_text(distinct, field) else pc.sort_indices(distinct)
    place = np.empty(count + 1, dtype=np.int64)
    place[np.asarray(order)] = np.arange(count)
    if descending:
        place[:count] = count - 1 - place[:count]
    place += nulls_first
    place[count] = 0 if nulls_first else count
    codes = encoded.indices.fill_null(count).to_numpy(zero_copy_only=False)
    found: Indices = place[codes]
    return found


def sort_numbers(
    array: pa.ChunkedArray, field: pa.Field, *, descending: bool, nulls_first: bool
) -> npt.NDArray[np.int64 | np.float64]:
    """Return for each value a number that orders like it; as `ranks`, but not dense and quicker for plain numbers."""
    import pyarrow.types as t

    kind = array.type
    if not array.null_count and (t.is_signed_integer(kind) or t.is_floating(kind)):
        numbers: npt.NDArray[Any] = in_one_piece(array).to_numpy()
        if t.is_signed_integer(kind):
            return (~numbers if descending else numbers).astype(np.int64)
        if not np.isnan(numbers).any():
            return (-numbers if descending else numbers).astype(np.float64)
    return ranks(array, field, descending=descending, nulls_first=nulls_first)


def joint_ranks(first: pa.Array, second: pa.ChunkedArray, field: pa.Field) -> tuple[Indices, Indices]:
    """Return `ranks` of two columns among the values of both; `first` has no dictionary, `second` may have one."""
    import pyarrow as pa

    encoded = _decoded(second) if _has_dictionary(second) else None
    values = in_one_piece(second) if encoded is None else encoded[0]
    found = ranks(pa.concat_arrays([first, values]), plain_field(field))
    rest = found[len(first) :]
    return found[: len(first)], rest if encoded is None else rest[encoded[1]]


def combined(columns: Sequence[Indices], count: int) -> Indices:
    """Return one number for each combination, dense from 0, that orders like the columns one after the other.

    Args:
        columns: Numbers from 0; none: all combinations are the same.
        count: How many rows there are.
    """
    if not columns:
        return np.zeros(count, dtype=np.int64)
    total, size = columns[0], int(columns[0].max(initial=0)) + 1
    for column in columns[1:]:
        width = int(column.max(initial=0)) + 1
        if size * width > _LARGEST:
            total, size = _dense(total, size)
        total = total * width + column
        size *= width
    return _dense(total, size)[0]


def _dense(numbers: Indices, size: int) -> tuple[Indices, int]:
    if size <= _SPARSE * len(numbers):
        present = np.zeros(size, dtype=np.bool_)
        present[numbers] = True
        if present.all():
            return numbers, size
        place = np.cumsum(present) - 1
        return place[numbers], int(place[-1]) + 1
    distinct, place = np.unique(numbers, return_inverse=True)
    return place.reshape(-1), max(1, len(distinct))


def order_of_places(places: Indices, size: int) -> Indices | None:
    """Return the rows by growing place; None when two have the same.

    Args:
        places: From 0.
        size: No place is as large.

    Cost: about 10 ns per row where places lie close together, else as `stable_order`.
    """
    if size > _SPARSE * len(places):
        order = stable_order(places)
        ordered = places[order]
        return order if (ordered[1:] > ordered[:-1]).all() else None
    slots: npt.NDArray[np.int32 | np.int64] = np.zeros(size, np.int32 if len(places) < _INT32_MAX else np.int64)
    slots[places] = np.arange(1, len(places) + 1, dtype=slots.dtype)  # so that 0 says: none
    found = slots[slots > 0].astype(np.int64) - 1
    return found if len(found) == len(places) else None


def stable_order(numbers: Indices) -> Indices:
    """Return the rows by growing number, equal ones as they come.

    Args:
        numbers: From 0.

    Cost: about 10 ns per row for each 16 bits of the largest number.
    """
    largest = int(numbers.max(initial=0))
    order: Indices = np.argsort(numbers.astype(np.uint16), kind="stable")
    for shift in range(16, largest.bit_length(), 16):
        # NumPy sorts numbers of 16 bits by counting; so does each of these steps, from the lowest bits to the highest.
        digits = (numbers >> shift).astype(np.uint16)
        order = order[np.argsort(digits[order], kind="stable")]
    return order


def hashes(columns: Sequence[tuple[pa.Array, pa.Field]], count: int) -> npt.NDArray[np.uint64]:
    """Return a hash of each row's values, the same in every process; equal values have equal hashes.

    Args:
        columns: Arrays with their fields; none: all rows have the same hash.
        count: How many rows there are.
    """
    found = np.zeros(count, dtype=np.uint64)
    for array, field in columns:
        if _has_dictionary(array):
            values, codes = _decoded(array)
            column = _hashes(values, plain_field(field))[codes]
        else:
            column = _hashes(array, field)
        found = (found * np.uint64(0x9E3779B97F4A7C15)) ^ column
    return found


def _hashes(array: pa.Array, field: pa.Field) -> npt.NDArray[np.uint64]:
    import polars as pl
    import pyarrow as pa
    import pyarrow.types as t

    if not array.null_count and t.is_int64(array.type):
        mixed = in_one_piece(array) if isinstance(array, pa.ChunkedArray) else array
        numbers: npt.NDArray[np.uint64] = mixed.to_numpy().astype(np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # as SplitMix64 does it
            numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
        numbers ^= numbers >> np.uint64(31)
        return numbers
    values = _comparable(array, field.with_name("value"), canonical=True)
    texts = json_texts(values, pa.field("value", values.type))
    found: npt.NDArray[np.uint64] = pl.Series(pl.from_arrow(texts)).hash(seed=17).to_numpy()
    return found


def plain_field(field: pa.Field) -> pa.Field:
    """Return the field of the values themselves, where a dictionary is used or not."""
    import pyarrow.types as t

    return field.with_type(field.type.value_type) if t.is_dictionary(field.type) else field


def has_one_spelling(field: pa.Field) -> bool:
    """Tell whether equal values are always written alike, which `0.0` and `-0.0`, or `1` and `1.0`, are not."""
    import pyarrow.types as t

    field = plain_field(field)
    kind = field.type
    if logical_type(field) is LogicalType.DECIMAL or t.is_floating(kind):
        return False
    return any(is_kind(kind) for is_kind in (t.is_integer, t.is_temporal, t.is_string, t.is_large_string))


def _has_dictionary(array: pa.Array | pa.ChunkedArray) -> bool:
    import pyarrow.types as t

    return bool(t.is_dictionary(array.type))


def _decoded(array: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, Indices]:
    """Return the values of all dictionaries, then a null, and for each row the number of its value."""
    import pyarrow as pa

    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    kind = array.type.value_type
    values = [chunk.dictionary for chunk in chunks]
    none = sum(map(len, values))
    codes = np.empty(len(array), dtype=np.int64)
    row, begin = 0, 0
    for chunk in chunks:
        indices = chunk.indices
        part = codes[row : row + len(chunk)]
        part[:] = (indices.fill_null(0) if indices.null_count else indices).to_numpy(zero_copy_only=False)
        part += begin
        if indices.null_count:
            part[indices.is_null().to_numpy(zero_copy_only=False)] = none
        row, begin = row + len(chunk), begin + len(chunk.dictionary)
    return pa.concat_arrays([*values, pa.nulls(1, kind)]), codes


def _close_numbers(values: pa.Array) -> Indices | None:
    """Return whole numbers and times, the least of them as 0, if they lie close together and none is null."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    kind = values.type
    if not len(values) or values.null_count or not (t.is_integer(kind) or t.is_temporal(kind)):
        return None
    if t.is_interval(kind) or t.is_uint64(kind):
        return None
    numbers = (
        values.view(pa.int64() if kind.bit_width > _INT32_BITS else pa.int32()) if not t.is_integer(kind) else values
    )
    found = pc.min_max(numbers).as_py()
    if found["max"] - found["min"] >= _CLOSE * len(values):
        return None
    close: Indices = numbers.to_numpy().astype(np.int64)
    close -= found["min"]
    return close


def _comparable(  # noqa: PLR0911  # a table of cases
    array: pa.Array, field: pa.Field, *, canonical: bool = False
) -> pa.Array:
    """Return the values in a type that can be hashed and sorted, equal ones in the same spelling."""
    import pyarrow as pa
    import pyarrow.types as t

    values = in_one_piece(array) if isinstance(array, pa.ChunkedArray) else array
    kind = values.type
    if t.is_floating(kind):
        return _without_negative_zero(values)
    if t.is_decimal32(kind) or t.is_decimal64(kind):
        return values.cast(pa.decimal128(kind.precision, kind.scale))
    if logical_type(field) is LogicalType.DECIMAL:
        return _decimal_texts(values) if canonical else _decimals(values)
    if t.is_null(kind):
        return values.cast(pa.int8())
    if t.is_string(kind) or t.is_large_string(kind):
        return values.cast(pa.large_string())
    sortable = (t.is_boolean, t.is_integer, t.is_decimal, t.is_date, t.is_time, t.is_timestamp, t.is_duration)
    if any(is_kind(kind) for is_kind in (*sortable, t.is_binary, t.is_large_binary)):
        return values
    return _if_valid(values, json_texts(values, field))


def _if_valid(values: pa.Array, texts: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(values.is_valid(), texts, None) if values.null_count else texts


def _without_negative_zero(values: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.add(values.cast(pa.float64()), 0.0)


def _decimals(texts: pa.Array) -> pa.Array:
    """Return numbers, or the canonical texts where some do not fit or are words."""
    import pyarrow as pa

    try:
        return texts.cast(pa.decimal256(_PRECISION, _SCALE))
    except pa.ArrowInvalid:
        return _decimal_texts(texts)


def _decimal_texts(texts: pa.Array) -> pa.Array:
    """Spell equal decimals alike; words stay as they are. Cost: about 2 µs per distinct text."""
    import pyarrow as pa

    encoded = texts.cast(pa.large_string()).dictionary_encode()
    spelled = pa.array([_canonical(text) for text in encoded.dictionary.to_pylist()], pa.large_string())
    return spelled.take(encoded.indices)


def _canonical(text: str) -> str:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text
    if not value.is_finite():
        return str(value)
    return format(value.normalize(), "f") if value else "0"


def _is_decimal_text(distinct: pa.Array, field: pa.Field) -> bool:
    import pyarrow as pa

    return logical_type(field) is LogicalType.DECIMAL and pa.types.is_large_string(distinct.type)


def _decimal_order(distinct: pa.Array) -> list[int]:
    texts = distinct.to_pylist()
    return sorted(range(len(texts)), key=lambda row: _decimal_key(texts[row]))


def _decimal_key(text: str) -> tuple[int, Decimal, str]:
    """Order numbers, then NaN, then what is no number."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return 2, Decimal(0), text
    return (1, Decimal(0), "") if value.is_nan() else (0, value, "")
