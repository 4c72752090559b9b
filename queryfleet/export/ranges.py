"""Bytes of a whole result by their place in it: chunks one after the other, read by range and checked."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from queryfleet.errors import ObjectNotFoundError, ResultCorruptError, ResultsExpiredError
from queryfleet.export.parts import read_chunk
from queryfleet.results.manifest import blocks_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from queryfleet.model import ChunkRef
    from queryfleet.results.store import ObjectStore

__all__ = ["byte_range", "read_range"]

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def byte_range(header: str | None, total: int) -> tuple[int, int] | None:
    """Read a `Range` header.

    Args:
        header: Its value; None: there is none.
        total: Bytes there are.

    Returns:
        First byte, and the first one after the range; None when the whole is wanted, which several ranges and what is
            no range also mean. A range outside of the whole has no bytes: then both are `total`.
    """
    match = _RANGE.fullmatch(header.strip()) if header is not None else None
    if match is None or match.group(1, 2) == ("", ""):
        return None
    first, last = match.group(1, 2)
    if not first:
        return max(0, total - int(last)), total
    if last and int(last) < int(first):
        return None
    if int(first) >= total:
        return total, total
    return int(first), min(total, int(last) + 1) if last else total


async def read_range(store: ObjectStore, chunks: Sequence[ChunkRef], first: int, end: int) -> AsyncIterator[bytes]:
    """Yield bytes `first` up to, not including, `end` of a whole result, chunk by chunk.

    Args:
        store: Where the chunks are.
        chunks: All of the result, in order.
        first: From 0.
        end: At most the length of the result.

    Raises:
        ResultsExpiredError: A chunk's object is gone.
        ResultCorruptError: Bytes are not those that were written.

    Cost: one read for each chunk concerned, of whole blocks; memory of one chunk.
    """
    begin = 0
    for chunk in chunks:
        inside = max(first - begin, 0), min(end - begin, chunk.byte_count)
        if inside[0] < inside[1]:
            yield await _part(store, chunk, *inside)
        begin += chunk.byte_count


async def _part(store: ObjectStore, chunk: ChunkRef, first: int, end: int) -> bytes:
    if (first, end) == (0, chunk.byte_count):
        return await read_chunk(store, chunk.key, byte_count=chunk.byte_count, crc32=chunk.crc32)
    blocks = [block for block in blocks_of(chunk) if block.end > first and block.start < end]
    start = blocks[0].start
    try:
        data = await store.get_range(chunk.key, start, blocks[-1].end)
    except ObjectNotFoundError:
        raise ResultsExpiredError("The stored rows of this query are gone; run the query again.") from None
    view = memoryview(data)
    if any(zlib.crc32(view[block.start - start : block.end - start]) != block.crc32 for block in blocks):
        raise ResultCorruptError("Stored rows are damaged; run the query again.", key=chunk.key)
    return data[first - start : end - start]
