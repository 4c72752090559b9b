"""The buffers of Arrow arrays as NumPy arrays, without copies where possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl
    import pyarrow as pa

_Scalar = TypeVar("_Scalar", bound=np.generic)

__all__ = ["fixed_values", "in_one_piece", "list_bounds", "null_mask", "string_array", "taken"]


def null_mask(array: pa.Array) -> npt.NDArray[np.bool_] | None:
    """Return which rows are null; None when none is."""
    if array.null_count == 0:
        return None
    buffer = array.buffers()[0] if array.type.num_buffers else None
    count = len(array)
    if buffer is None:  # null because of its type, or in its dictionary
        return np.asarray(array.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
    first = array.offset
    octets = np.frombuffer(buffer, dtype=np.uint8)[first // 8 : -(-(first + count) // 8)]
    bits = np.unpackbits(octets, bitorder="little")[first % 8 : first % 8 + count]
    return np.equal(bits, 0)


def fixed_values(
    array: pa.Array, dtype: np.dtype[_Scalar], nulls: npt.NDArray[np.bool_] | None
) -> npt.NDArray[_Scalar]:
    """View the values of an array of fixed-width values.

    Args:
        array: Its values lie in its second buffer, all of the same size.
        dtype: The type of one value.
        nulls: Rows that become 0, because their bytes in Arrow may be anything; None: leave all as they are.
    """
    count = len(array)
    if count == 0:
        return np.zeros(0, dtype=dtype)
    values = np.frombuffer(array.buffers()[1], dtype, count=count, offset=array.offset * dtype.itemsize)
    if nulls is not None:
        values = values.copy()
        values[nulls] = dtype.type(0)
    return values


def list_bounds(array: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where each list or map begins among its array's values, and where it ends.

    Args:
        array: Of any kind of list, or of maps. Numbers count from the beginning of its values, or keys.
    """
    import pyarrow.types as t

    kind, count = array.type, len(array)
    if count == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if t.is_fixed_size_list(kind):
        begins = (np.arange(count, dtype=np.int64) + array.offset) * kind.list_size
        return begins, begins + kind.list_size
    is_view = t.is_list_view(kind) or t.is_large_list_view(kind)
    dtype = np.dtype(np.int64 if t.is_large_list(kind) or t.is_large_list_view(kind) else np.int32)
    numbers, begin = count + (not is_view), array.offset * dtype.itemsize
    offsets = np.frombuffer(array.buffers()[1], dtype, count=numbers, offset=begin).astype(np.int64)
    if is_view:
        sizes = np.frombuffer(array.buffers()[2], dtype, count=count, offset=begin)
        return offsets, offsets + sizes
    return offsets[:-1].copy(), offsets[1:].copy()


def in_one_piece(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; copied only if it is in several pieces, which `combine_chunks` does always."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def taken(array: pa.Array, rows: npt.NDArray[np.int64]) -> pa.Array:
    """Return the rows with these numbers."""
    import pyarrow as pa

    # Not `pa.array(rows)`: the first call of that would load pandas where it is installed.
    numbers = pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))])
    return array.take(numbers)


def string_array(series: pl.Series) -> pa.Array:
    """Return a column of Polars strings or bytes as an Arrow array with 64-bit offsets."""
    import polars as pl

    # Without its name, which must not contain a NUL on its way to Arrow.
    return series.alias("").to_arrow(compat_level=pl.CompatLevel.oldest())
