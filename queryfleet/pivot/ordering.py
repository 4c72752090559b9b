"""The order of values of any type as whole numbers, and of combinations of values.

A column is reduced to its distinct values first; only those are sorted. The numbers have no meaning outside of the call
that made them: to compare values of two tables, put these together before.

NaN is one value, larger than all other numbers; `-0.0` is `0.0`; text is compared by code point; decimals that travel
as text are compared as numbers; values without an order of their own (lists, intervals) by their JSON text.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from queryfleet.columns import LogicalType, logical_type
from queryfleet.encoding.json_text import json_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pyarrow as pa

    Indices: TypeAlias = npt.NDArray[np.int64]

__all__ = ["combined", "hashes", "ranks", "stable_order"]

_PRECISION, _SCALE = 76, 38  # of the decimals that text is turned into where it fits
_LARGEST = 2**62
_SPARSE = 8  # numbers that many times larger than their count are made dense by sorting


def ranks(array: pa.Array, field: pa.Field, *, descending: bool = False, nulls_first: bool = False) -> Indices:
    """Return for each value its place among the distinct values, from 0; equal values share it.

    Args:
        array: Plain or chunked.
        field: Its field; tells what text means.
        descending: Largest first.
        nulls_first: Whether null has the first place or the last one.

    Cost: 20 to 40 ns per value, and a sort of the distinct ones.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = _comparable(array, field).dictionary_encode()
    distinct = encoded.dictionary
    count = len(distinct)
    order = _decimal_order(distinct) if _is_decimal_text(distinct, field) else pc.sort_indices(distinct)
    place = np.empty(count + 1, dtype=np.int64)
    place[order.to_numpy(zero_copy_only=False) if isinstance(order, pa.Array) else order] = np.arange(count)
    if descending:
        place[:count] = count - 1 - place[:count]
    place += nulls_first
    place[count] = 0 if nulls_first else count
    codes: Indices = encoded.indices.fill_null(count).to_numpy(zero_copy_only=False)
    return place[codes]


def combined(columns: Sequence[Indices], count: int) -> Indices:
    """Return one number for each combination, dense from 0, that orders like the columns one after the other.

    Args:
        columns: Numbers from 0; none: all combinations are the same.
        count: How many rows there are.
    """
    total = np.zeros(count, dtype=np.int64)
    size = 1
    for column in columns:
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
        place = np.cumsum(present) - 1
        return place[numbers], int(place[-1]) + 1
    distinct, place = np.unique(numbers, return_inverse=True)
    return place.reshape(-1), max(1, len(distinct))


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
    import polars as pl
    import pyarrow as pa

    found = np.zeros(count, dtype=np.uint64)
    for array, field in columns:
        values = _comparable(array, field.with_name("value"), canonical=True)
        texts = json_texts(values, pa.field("value", values.type))
        column = pl.Series(pl.from_arrow(texts)).hash(seed=17).to_numpy()
        found = (found * np.uint64(0x9E3779B97F4A7C15)) ^ column
    return found


def _comparable(  # noqa: PLR0911  # a table of cases
    array: pa.Array, field: pa.Field, *, canonical: bool = False
) -> pa.Array:
    """Return the values in a type that can be hashed and sorted, equal ones in the same spelling."""
    import pyarrow as pa
    import pyarrow.types as t

    values = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    kind = values.type
    if t.is_dictionary(kind):
        return _comparable(values.dictionary_decode(), field.with_type(kind.value_type), canonical=canonical)
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
