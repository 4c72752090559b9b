"""What exists of a result, and which bytes hold a page.

Inside a chunk, a *block* is a run of whole lines. Blocks begin at the chunk's first row and at every row whose number
in the whole result is a multiple of `block_rows`. Pages whose size is a multiple of it therefore begin and end at
block edges, and reading one moves exactly its own bytes; other pages read at most two partial blocks more. Each block
has its own checksum, so that a page can be verified without reading its chunk.

The packed index of a chunk is: `block_rows` (u32), then one (byte length u32, CRC-32 u32) per block, little-endian.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from queryfleet.errors import ResultCorruptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from queryfleet.errors import JsonValue
    from queryfleet.model import ChunkRef, Column

__all__ = ["Block", "ChunkSlice", "blocks_of", "manifest_document", "pack_blocks", "page_slices"]

_HEAD = struct.Struct("<I")
_ENTRY = struct.Struct("<II")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A run of whole lines inside one chunk."""

    first_row: int  # row number in the whole result, from 0
    row_count: int
    start: int  # first byte in the chunk
    end: int  # first byte after it
    crc32: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSlice:
    """Adjacent blocks of one chunk, and which of their lines are wanted."""

    chunk: ChunkRef
    blocks: tuple[Block, ...]  # at least one
    skip_rows: int  # lines to drop at the beginning
    row_count: int  # lines to keep after that

    @property
    def start(self) -> int:
        """First byte to read."""
        return self.blocks[0].start

    @property
    def end(self) -> int:
        """First byte not to read."""
        return self.blocks[-1].end


def pack_blocks(data: memoryview, row_starts: np.ndarray, first_row: int, block_rows: int) -> bytes:
    """Build the packed index of one chunk.

    Args:
        data: The chunk's bytes.
        row_starts: int64; byte offset of every line, and the chunk's length at the end.
        first_row: Row number of the chunk's first line in the whole result.
        block_rows: Distance of block edges, in rows of the whole result.

    Returns:
        The index, 8 bytes a block. Cost: one CRC pass over `data`.
    """
    import numpy as np

    row_count = len(row_starts) - 1
    to_edge = (-first_row) % block_rows
    edges = np.arange(to_edge, row_count, block_rows, dtype=np.int64)
    if to_edge != 0:
        edges = np.concatenate((np.zeros(1, np.int64), edges))
    bounds = np.append(row_starts[edges], row_starts[row_count]).tolist()
    entries = [_ENTRY.pack(end - start, zlib.crc32(data[start:end])) for start, end in pairwise(bounds)]
    return _HEAD.pack(block_rows) + b"".join(entries)


def blocks_of(chunk: ChunkRef, first_row: int | None = None, end_row: int | None = None) -> list[Block]:
    """Unpack those blocks of one chunk that hold rows `first_row` up to, not including, `end_row`; all by default.

    Raises:
        ResultCorruptError: The index does not fit the chunk's length or row count.

    Cost: two passes over the packed index without a Python object for each block, then O(blocks returned).
    """
    import numpy as np

    if len(chunk.blocks) < _HEAD.size or (len(chunk.blocks) - _HEAD.size) % _ENTRY.size:
        raise _misfit(chunk)
    block_rows: int = _HEAD.unpack_from(chunk.blocks)[0]
    entries = np.frombuffer(chunk.blocks, dtype="<u4", offset=_HEAD.size).reshape(-1, 2)
    last_row = chunk.first_row + chunk.row_count
    if block_rows == 0 or len(entries) != (last_row - 1) // block_rows - chunk.first_row // block_rows + 1:
        raise _misfit(chunk)
    ends = entries[:, 0].cumsum(dtype=np.int64)
    if ends[-1] != chunk.byte_count:
        raise _misfit(chunk)
    before = chunk.first_row // block_rows
    begin = max(chunk.first_row, chunk.first_row if first_row is None else first_row)
    until = min(last_row, last_row if end_row is None else end_row)
    blocks = []
    for index in range(begin // block_rows - before, (until - 1) // block_rows - before + 1):
        block_first = max(chunk.first_row, (before + index) * block_rows)
        block_end = min(last_row, (before + index + 1) * block_rows)
        end = int(ends[index])
        blocks.append(
            Block(
                first_row=block_first,
                row_count=block_end - block_first,
                start=end - int(entries[index, 0]),
                end=end,
                crc32=int(entries[index, 1]),
            )
        )
    return blocks


def _misfit(chunk: ChunkRef) -> ResultCorruptError:
    return ResultCorruptError("The index of a stored chunk does not fit the chunk.", key=chunk.key)


def page_slices(chunks: Sequence[ChunkRef], first_row: int, row_count: int) -> list[ChunkSlice]:
    """Find which bytes of which chunks hold rows `first_row` up to `first_row + row_count`.

    Args:
        chunks: In row order; those that hold the wanted rows, others are ignored.
        first_row: From 0.
        row_count: At least 0.

    Returns:
        Slices in row order, one per chunk; together exactly the wanted rows. Empty when `row_count` is 0.

    Raises:
        ResultCorruptError: The chunks leave a gap in the wanted rows.

    Cost: O(blocks of the chunks that take part); reads no data.
    """
    if row_count == 0:
        return []
    end_row = first_row + row_count
    slices = []
    row = first_row
    for chunk in chunks:
        if chunk.first_row >= end_row or chunk.first_row + chunk.row_count <= row:
            continue
        if chunk.first_row > row:
            break
        until = min(end_row, chunk.first_row + chunk.row_count)
        wanted = tuple(blocks_of(chunk, row, until))
        slices.append(
            ChunkSlice(chunk=chunk, blocks=wanted, skip_rows=row - wanted[0].first_row, row_count=until - row)
        )
        row = until
    if row < end_row:
        raise ResultCorruptError("Rows are missing between the stored chunks.", firstRow=row, endRow=end_row)
    return slices


def manifest_document(
    *, query_uuid: str, attempt: int, columns: Sequence[Column], chunks: Sequence[ChunkRef]
) -> dict[str, JsonValue]:
    """Return the JSON document that is written beside the chunks, so that a bucket explains itself.

    Postgres is the index that readers use; this copy is for people and for recovery.
    """
    return {
        "format": "queryfleet-jsonl-1",
        "queryUuid": query_uuid,
        "attempt": attempt,
        "complete": True,
        "columns": [{"reference": column.reference, "type": column.type.value} for column in columns],
        "rowCount": sum(chunk.row_count for chunk in chunks),
        "byteCount": sum(chunk.byte_count for chunk in chunks),
        "chunks": [
            {
                "key": chunk.key,
                "firstRow": chunk.first_row,
                "rowCount": chunk.row_count,
                "byteCount": chunk.byte_count,
                "crc32": f"{chunk.crc32:08x}",
            }
            for chunk in chunks
        ],
    }
