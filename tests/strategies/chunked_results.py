"""Results cut into chunks in every possible way, and how to cut one by hand."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from queryfleet.results.chunking import ChunkBuilder, ChunkLimits
from queryfleet.results.encoder import EncodedBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from queryfleet.model import ChunkRef
    from queryfleet.results.chunking import SealedChunk

QUERY = "6a1de7a2-50a2-4a44-9c1f-36f4a3a0a001"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkedResult:
    """Lines, and the chunks they were cut into."""

    lines: list[bytes]  # each with its newline
    chunks: list[SealedChunk]  # in order
    block_rows: int

    @property
    def refs(self) -> list[ChunkRef]:
        """The chunks' references, in order."""
        return [chunk.ref for chunk in self.chunks]

    @property
    def objects(self) -> dict[str, bytes]:
        """The chunks' bytes by key."""
        return {chunk.ref.key: chunk.data for chunk in self.chunks}

    def text(self, first_row: int, row_count: int) -> bytes:
        """Return the lines of some rows, joined."""
        return b"".join(self.lines[first_row : first_row + row_count])


def encoded(lines: Sequence[bytes]) -> EncodedBatch:
    """Return lines as an encoder would."""
    offsets = np.array([0, *accumulate(len(line) for line in lines)], dtype=np.int64)
    return EncodedBatch(data=memoryview(b"".join(lines)), offsets=offsets)


def chunked(lines: Sequence[bytes], row_counts: Sequence[int], *, block_rows: int) -> ChunkedResult:
    """Cut lines into chunks of these many rows; what is left over is the last chunk."""
    limits = ChunkLimits(chunk_bytes=2**40, chunk_bytes_first=2**40, block_rows=block_rows)
    builder = ChunkBuilder(QUERY, 1, limits, clock=lambda: 0.0)
    chunks, begin = [], 0
    for count in [*row_counts, len(lines)]:
        part = list(lines[begin : begin + count])
        if part:
            builder.append(encoded(part))
            sealed = builder.seal()
            assert sealed is not None
            chunks.append(sealed)
        begin += count
    return ChunkedResult(lines=list(lines), chunks=chunks, block_rows=block_rows)


def numbered_lines(count: int, *, width: int = 20) -> list[bytes]:
    """Return `count` lines, each different, of `width` bytes and more."""
    return [b'{"n":%d,"t":"%s"}\n' % (number, b"x" * max(0, width - 15)) for number in range(count)]


_lines = st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"\n", b" ") + b"\n"), min_size=1, max_size=60)


@st.composite
def chunked_results(draw: st.DrawFn) -> ChunkedResult:
    """Draw lines of any length, any cut into chunks, and any distance of block edges."""
    lines = draw(_lines)
    row_counts = draw(st.lists(st.integers(1, 25), max_size=12))
    return chunked(lines, row_counts, block_rows=draw(st.integers(1, 20)))


@st.composite
def pages(draw: st.DrawFn) -> tuple[ChunkedResult, int, int]:
    """Draw a result, a first row and a row count that it has."""
    result = draw(chunked_results())
    first_row = draw(st.integers(0, len(result.lines)))
    return result, first_row, draw(st.integers(0, len(result.lines) - first_row))
