r"""Many short texts at once, and the joining of columns of them into lines, without touching a row in Python.

A column of values becomes a `Texts`: one buffer and, for every row, where its text begins and how long it
is. Lines are made by computing where every text will lie in the output and then copying one column after
the other, each with a single vectorised scatter:

    {"id":17,"city":"Oslo"}\n{"id":4,"city":null}\n
          --         ----         -        ----      values: one scatter per column
    ------  ---------    -------- ---------    ---     what stands between them: one scatter per gap

A scatter copies the same number of bytes for every row (a machine word, or a few), so a short value is
followed by garbage. That is harmless as long as everything up to the end of the garbage is written later:
columns go from left to right, and the gap after the last value includes the beginning of the next line.
Where the garbage could reach further, `_copy_exactly` is used instead. NumPy releases the GIL in all of
these steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pyarrow as pa

    Bytes: TypeAlias = npt.NDArray[np.uint8]
    Indices: TypeAlias = npt.NDArray[np.int64]
    Mask: TypeAlias = npt.NDArray[np.bool_]

__all__ = [
    "BLOCK",
    "Texts",
    "assemble",
    "cells",
    "from_strings",
    "interleaved",
    "listed",
    "merged",
    "overlay",
    "picked",
    "text_array",
    "windows",
]

BLOCK = 64  # bytes; the most that one scatter copies per row. Longer texts take several blocks.
_PICKED_BYTES = 32  # the longest text that `picked` copies for every row
_NULL = b"null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """One text per row. `cells`, `listed`, `picked` and `from_strings` see to padding and nulls."""

    data: Bytes  # at least BLOCK bytes can be read from the beginning of every text
    starts: Indices  # where each row's text begins in `data`
    lengths: Indices  # its bytes; of a null row 4 - len(wrap), so that `null` fits exactly
    wrap: bytes = b""  # two bytes to stand around every text that is not null (`""`, `[]`, `{}`), or none
    nulls: Mask | None = None  # True: the row is `null`, whatever `data` says. None: no row is
    cell_bytes: int = 0  # > 0: row r begins at r * cell_bytes, so that the rows can be copied without a gather

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.starts)

    def region(self) -> Bytes:
        """Return the bytes of all texts and of what lies between them, for texts that lie in row order."""
        if len(self) == 0:
            return self.data[:0]
        return self.data[int(self.starts[0]) : int(self.starts[-1]) + int(self.lengths[-1])]


def windows(buffer: Bytes, width: int) -> npt.NDArray[np.void]:
    """View every `width` adjacent bytes of `buffer` as one element: element i begins at byte i. No copy."""
    return np.ndarray((buffer.size - width + 1,), dtype=f"V{width}", buffer=buffer, strides=(1,))


def cells(
    data: Bytes,
    cell_bytes: int,
    lengths: Indices,
    *,
    wrap: bytes = b"",
    nulls: Mask | None = None,
    skip: Indices | None = None,
) -> Texts:
    """Describe rows that lie in cells of equal size.

    Args:
        data: The cells, and then at least BLOCK more bytes.
        cell_bytes: Size of a cell.
        lengths: Bytes of every text. Taken over and changed.
        wrap: See `Texts.wrap`.
        nulls: See `Texts.nulls`.
        skip: Bytes before the text in every cell; None when all texts begin with their cell.
    """
    starts = np.arange(len(lengths), dtype=np.int64) * cell_bytes
    if skip is not None:
        starts += skip
    if nulls is not None:
        lengths[nulls] = len(_NULL) - len(wrap)
    width = cell_bytes if skip is None and cell_bytes <= BLOCK else 0
    return Texts(data=data, starts=starts, lengths=lengths, wrap=wrap, nulls=nulls, cell_bytes=width)


def listed(values: Sequence[bytes], *, wrap: bytes = b"") -> Texts:
    """Return one row per value."""
    lengths = np.array([len(value) for value in values], dtype=np.int64)
    data = np.frombuffer(b"".join(values) + bytes(BLOCK), dtype=np.uint8)
    return Texts(data=data, starts=np.cumsum(lengths) - lengths, lengths=lengths, wrap=wrap)


def picked(texts: Texts, codes: Indices, *, nulls: Mask | None = None) -> Texts:
    """Return row `codes[row]` of `texts` in every row, or null; codes of null rows must be valid too."""
    lengths = texts.lengths[codes]
    if nulls is not None:
        lengths[nulls] = len(_NULL) - len(texts.wrap)
    width = -(-int(texts.lengths.max(initial=1)) // 8) * 8
    if width > _PICKED_BYTES:
        return Texts(data=texts.data, starts=texts.starts[codes], lengths=lengths, wrap=texts.wrap, nulls=nulls)
    # Copies of the few texts, side by side, save looking each of them up when they are written.
    table = windows(texts.data, width)[texts.starts]
    rows = np.empty(len(codes) + BLOCK // width + 1, dtype=table.dtype)
    np.take(table, codes, out=rows[: len(codes)], mode="clip")
    starts = np.arange(len(codes), dtype=np.int64) * width
    data = rows.view(np.uint8)
    return Texts(data=data, starts=starts, lengths=lengths, wrap=texts.wrap, nulls=nulls, cell_bytes=width)


def from_strings(array: pa.Array, *, wrap: bytes = b"", nulls: Mask | None = None) -> Texts:
    """Take the values of an Arrow string or binary array of 32 or 64 bit offsets; at most one copy."""
    count = len(array)
    _, offset_buffer, data_buffer = array.buffers()
    kind = np.int64 if str(array.type).startswith("large_") else np.int32
    if count == 0 or offset_buffer is None:
        offsets = np.zeros(count + 1, dtype=np.int64)
    else:
        raw = np.frombuffer(offset_buffer, dtype=kind)[array.offset : array.offset + count + 1]
        offsets = raw.astype(np.int64)
    data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    first, last = int(offsets[0]), int(offsets[-1])
    offsets -= first
    if last + BLOCK <= data.size:
        data = data[first : last + BLOCK]  # only what these rows need: others may share the buffer
    else:
        padded = np.empty(last - first + BLOCK, dtype=np.uint8)
        padded[: last - first] = data[first:last]
        data = padded
    lengths = np.diff(offsets)
    if nulls is not None:
        lengths[nulls] = len(_NULL) - len(wrap)
    return Texts(data=data, starts=offsets[:-1], lengths=lengths, wrap=wrap, nulls=nulls)


def merged(texts: Texts, rows: Indices, other: Texts) -> Texts:
    """Return `texts` with the rows numbered `rows` replaced by those of `other`, which is wrapped alike."""
    starts, lengths = texts.starts.copy(), texts.lengths.copy()
    starts[rows] = other.starts + texts.data.size
    lengths[rows] = other.lengths
    data = np.concatenate([texts.data, other.data])
    return replace(texts, data=data, starts=starts, lengths=lengths, cell_bytes=0)


def assemble(columns: Sequence[Texts], gaps: Sequence[bytes]) -> tuple[Bytes, Indices]:
    """Join columns into lines.

    Args:
        columns: At least one; all of the same length.
        gaps: What stands before, between and after the values of every line: one more than there are columns.

    Returns:
        The lines one after the other, followed by at least BLOCK bytes that mean nothing; and where each
        begins, with the end of the last line as one more entry.

    Cost: about 8 ns per value, plus the copy of the bytes.
    """
    import pyarrow as pa

    count = len(columns[0])
    constants = _constants(columns, gaps)
    head, tail = constants[0], constants[-1]
    fixed = sum(map(len, constants)) - len(head)  # the head is counted in the tail
    totals = np.full(count, fixed, dtype=np.int64)
    for column in columns:
        totals += column.lengths
    offsets = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(totals, out=offsets[1:])
    # From Arrow's memory pool, which keeps its pages: fresh ones cost more than what is written to them.
    out = np.frombuffer(pa.allocate_buffer(int(offsets[-1]) + len(tail) + 2 * BLOCK), dtype=np.uint8)
    if count == 0:
        return out, offsets
    out[: len(head)] = np.frombuffer(head, dtype=np.uint8)
    shortest = [int(column.lengths.min()) for column in columns]
    slack = fixed + sum(shortest)  # bytes from a value's beginning that are written in this pass or a later one
    position = offsets[:-1] + len(head)
    null_positions = []
    for column, least, constant in zip(columns, shortest, constants[1:], strict=True):
        _copy(out, position, column, slack=slack)
        if column.nulls is not None:
            null_positions.append(position[column.nulls] - len(column.wrap) // 2)
        position = position + column.lengths
        if constant:
            windows(out, len(constant))[position] = np.frombuffer(constant, dtype=f"V{len(constant)}")
            position += len(constant)
        slack -= least + len(constant)
    for position in null_positions:  # last of all: they also replace the quotes that stand in the gaps
        windows(out, len(_NULL))[position] = np.frombuffer(_NULL, dtype="V4")
    return out, offsets


def interleaved(columns: Sequence[Texts], spaces: Indices) -> tuple[Bytes, Indices]:
    """Join columns into lines with nothing between the values, and leave room before each line.

    For lines of few and short values: all of them are written by one scatter, in the order in which they lie in
    the output. Garbage after a value is covered by the next one, whatever their lengths.

    Args:
        columns: At least one; all of the same length.
        spaces: Bytes to leave before each line; what is in them means nothing. Where nothing is to be left, 0.

    Returns:
        As `assemble`; a line begins behind its space.

    Cost: about 10 ns per value.
    """
    import pyarrow as pa

    count = len(columns[0])
    texts = [part for column in columns for part in _unwrapped(column)]
    lengths = np.empty((count, len(texts)), dtype=np.int64)
    for number, text in enumerate(texts):
        lengths[:, number] = text.lengths
    lengths[:, 0] += spaces
    ends = np.cumsum(lengths.reshape(-1)).reshape(count, len(texts))
    positions = ends - lengths
    positions[:, 0] += spaces
    offsets = np.append(positions[:, 0], ends[-1:, -1] if count else 0)
    out = np.frombuffer(pa.allocate_buffer(int(offsets[-1]) + 2 * BLOCK), dtype=np.uint8)
    longest = max(int(text.lengths.max(initial=0)) for text in texts)
    width = min(BLOCK, max(8, -(-longest // 8) * 8))
    source = np.empty((count, len(texts)), dtype=f"V{width}")
    for number, text in enumerate(texts):
        source[:, number] = _first_bytes(text, width)
    windows(out, width)[positions.reshape(-1)] = source.reshape(-1)
    for number, text in enumerate(texts):
        if longest > BLOCK:
            _copy_further_blocks(out, positions[:, number], text)
        if text.nulls is not None:
            # The quotes of the value stand in its neighbours.
            begins = ends[text.nulls, number] - len(_NULL) + (len(_NULL) - text.lengths[text.nulls]) // 2
            windows(out, len(_NULL))[begins] = np.frombuffer(_NULL, dtype="V4")
    return out, offsets


def _unwrapped(column: Texts) -> list[Texts]:
    """Return a column with what stands around its values as columns of their own."""
    if not column.wrap:
        return [column]
    zeros = np.zeros(len(column), dtype=np.int64)
    return [picked(listed([column.wrap[:1]]), zeros), column, picked(listed([column.wrap[1:]]), zeros)]


def overlay(out: Bytes, positions: Indices, texts: Texts) -> None:
    """Write texts that have no nulls at their positions and change no other byte."""
    if len(texts) and int(texts.lengths.max()):
        _copy_exactly(out, positions, texts)


def text_array(texts: Texts) -> pa.LargeStringArray:
    """Return the texts as Arrow strings; a null row is the text `null`."""
    import pyarrow as pa

    data, offsets = assemble([texts], [b"", b""])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data[: offsets[-1]])]
    return pa.Array.from_buffers(pa.large_string(), len(texts), buffers)


def _constants(columns: Sequence[Texts], gaps: Sequence[bytes]) -> list[bytes]:
    """Put the opening and closing byte of every column into its gaps, and the head behind the tail."""
    closings = [b"", *(column.wrap[1:] for column in columns)]
    openings = [*(column.wrap[:1] for column in columns), b""]
    constants = [closing + gap + opening for closing, gap, opening in zip(closings, gaps, openings, strict=True)]
    constants[-1] += constants[0]
    return constants


def _copy(out: Bytes, position: Indices, texts: Texts, *, slack: int) -> None:
    """Write every text at its position, and maybe garbage after it, up to `slack` bytes from there."""
    longest = int(texts.lengths.max())
    width = min(BLOCK, -(-longest // 8) * 8)
    if width > slack:
        _copy_exactly(out, position, texts)
        return
    if width:
        windows(out, width)[position] = _first_bytes(texts, width)
    if longest > BLOCK:
        _copy_further_blocks(out, position, texts)


def _first_bytes(texts: Texts, width: int) -> npt.NDArray[np.void]:
    """Return `width` bytes from the beginning of every text, at most BLOCK."""
    if texts.cell_bytes:
        return np.ndarray((len(texts),), dtype=f"V{width}", buffer=texts.data, strides=(texts.cell_bytes,))
    return windows(texts.data, width)[texts.starts]


def _copy_exactly(out: Bytes, position: Indices, texts: Texts) -> None:
    """Write every text and no byte more: two overlapping copies of the greatest power of two that fits."""
    starts, lengths = texts.starts, texts.lengths
    shortest, longest = int(lengths.min()), int(lengths.max())
    width = 1
    while width <= min(longest, BLOCK):
        if shortest < 2 * width or width == BLOCK:
            fits = lengths >= width
            if width < BLOCK:
                fits &= lengths < 2 * width
            rows = np.flatnonzero(fits)
            if rows.size:
                source, target = windows(texts.data, width), windows(out, width)
                start, at, rest = starts[rows], position[rows], lengths[rows] - width
                target[at] = source[start]
                if width < BLOCK:
                    target[at + rest] = source[start + rest]
        width *= 2
    if longest > BLOCK:
        _copy_further_blocks(out, position, texts)


def _copy_further_blocks(out: Bytes, position: Indices, texts: Texts) -> None:
    """Write what follows the first block of long texts. The last block ends exactly with its text."""
    rows = np.flatnonzero(texts.lengths > BLOCK)
    lengths = texts.lengths[rows]
    counts = (lengths - 1) // BLOCK
    of_row = np.repeat(np.arange(rows.size), counts)
    number = np.arange(of_row.size) - (np.cumsum(counts) - counts)[of_row] + 1
    within = np.minimum(number * BLOCK, lengths[of_row] - BLOCK)
    source = windows(texts.data, BLOCK)[texts.starts[rows][of_row] + within]
    windows(out, BLOCK)[position[rows][of_row] + within] = source
