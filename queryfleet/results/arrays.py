"""The buffers of Arrow arrays as NumPy arrays, without copies where possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

_Scalar = TypeVar("_Scalar", bound=np.generic)

__all__ = ["fixed_values", "map_offsets", "null_mask", "taken"]


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


def map_offsets(array: pa.MapArray) -> npt.NDArray[np.int64]:
    """Return where each map begins among the entries, and where the last one ends."""
    if len(array) == 0:
        return np.zeros(1, dtype=np.int64)
    offsets = np.frombuffer(array.buffers()[1], np.int32, count=len(array) + 1, offset=array.offset * 4)
    return offsets.astype(np.int64)


def taken(array: pa.Array, rows: npt.NDArray[np.int64]) -> pa.Array:
    """Return the rows with these numbers."""
    import pyarrow as pa

    # Not `pa.array(rows)`: the first call of that would load pandas where it is installed.
    numbers = pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))])
    return array.take(numbers)
