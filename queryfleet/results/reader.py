"""From a manifest and row numbers to lines, by byte range, each block verified."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from queryfleet.errors import ObjectNotFoundError, ResultCorruptError, ResultsExpiredError
from queryfleet.results.chunking import RESULTS_PREFIX, result_prefix
from queryfleet.results.manifest import page_slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from queryfleet.model import ChunkRef
    from queryfleet.results.manifest import ChunkSlice
    from queryfleet.results.store import ObjectStore

__all__ = ["delete_attempt", "delete_result", "read_lines"]

_DELETE_BATCH = 1000


async def read_lines(store: ObjectStore, chunks: Sequence[ChunkRef], first_row: int, row_count: int) -> bytes:
    r"""Return exactly `row_count` lines from `first_row` on, each with its newline.

    Args:
        store: Where the chunks are.
        chunks: In row order; must cover the wanted rows.
        first_row: From 0.
        row_count: At least 0.

    Raises:
        ResultsExpiredError: A chunk's object is gone.
        ResultCorruptError: Bytes are missing or not those that were written.

    Cost: one range read per chunk that takes part, all at once; never more than two partial blocks too much.
    """
    slices = page_slices(chunks, first_row, row_count)
    parts = await asyncio.gather(*(_read_slice(store, piece) for piece in slices))
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _read_slice(store: ObjectStore, piece: ChunkSlice) -> bytes:
    try:
        data = await store.get_range(piece.chunk.key, piece.start, piece.end)
    except ObjectNotFoundError:
        raise ResultsExpiredError("The stored rows of this query are gone; run the query again.") from None
    _verify(data, piece)
    return _cut(data, piece)


def _verify(data: bytes, piece: ChunkSlice) -> None:
    view = memoryview(data)
    intact = len(data) == piece.end - piece.start and all(
        zlib.crc32(view[block.start - piece.start : block.end - piece.start]) == block.crc32 for block in piece.blocks
    )
    if not intact:
        raise ResultCorruptError(
            "Stored rows are damaged: their checksum is not the one they were written with. Run the query again.",
            key=piece.chunk.key,
        )


def _cut(data: bytes, piece: ChunkSlice) -> bytes:
    start = 0
    for _ in range(piece.skip_rows):
        start = data.index(b"\n", start) + 1
    surplus = sum(block.row_count for block in piece.blocks) - piece.skip_rows - piece.row_count
    end = len(data)
    for _ in range(surplus):
        end = data.rindex(b"\n", start, end - 1) + 1
    return data if start == 0 and end == len(data) else data[start:end]


async def delete_attempt(store: ObjectStore, query_uuid: str, attempt: int) -> int:
    """Delete every object that one attempt wrote and return how many there were. Idempotent."""
    return await _delete(store, result_prefix(query_uuid, attempt))


async def delete_result(store: ObjectStore, query_uuid: str) -> int:
    """Delete every object of a query, whichever attempt wrote it, and return how many there were. Idempotent."""
    return await _delete(store, f"{RESULTS_PREFIX}{query_uuid}/")


async def _delete(store: ObjectStore, prefix: str) -> int:
    keys = [info.key async for info in store.list(prefix)]
    for begin in range(0, len(keys), _DELETE_BATCH):
        await store.delete(keys[begin : begin + _DELETE_BATCH])
    return len(keys)
