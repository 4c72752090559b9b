"""Encoded batches to chunks: cut at whole lines, indexed, checksummed.

The first chunk is small so that a first page can be read early; each later one is twice as large, up to the target.
A chunk also closes when its oldest row has waited long enough, so that a slow warehouse does not hide rows.
"""

from __future__ import annotations

import re
import threading
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.model import ChunkRef
from queryfleet.results.manifest import pack_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from queryfleet.results.encoder import EncodedBatch

__all__ = [
    "RESULTS_PREFIX",
    "ChunkBuilder",
    "ChunkLimits",
    "SealedChunk",
    "attempt_of_key",
    "chunk_key",
    "manifest_key",
    "result_prefix",
]


RESULTS_PREFIX = "results/"  # every object of every result

_KEY = re.compile(r"results/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([0-9]{1,9})/")


def result_prefix(query_uuid: str, attempt: int) -> str:
    """Return the key prefix of everything one attempt writes."""
    return f"{RESULTS_PREFIX}{query_uuid}/{attempt}/"


def attempt_of_key(key: str) -> tuple[str, int] | None:
    """Return the query and attempt that wrote an object, or None when it is not a part of a result."""
    match = _KEY.match(key)
    return (match[1], int(match[2])) if match else None


def chunk_key(query_uuid: str, attempt: int, index: int, *, part: int | None = None) -> str:
    """Return the object key of one chunk; of a result that is written in parts, `index` counts within its part."""
    return f"{result_prefix(query_uuid, attempt)}{'' if part is None else f'{part:05d}-'}{index:08d}.jsonl"


def manifest_key(query_uuid: str, attempt: int) -> str:
    """Return the object key of the manifest's copy."""
    return f"{result_prefix(query_uuid, attempt)}manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLimits:
    """When a chunk is full."""

    chunk_bytes: int = 8 * 1024 * 1024  # target size; a chunk exceeds it by less than one batch
    chunk_bytes_first: int = 1024 * 1024  # target of the first one
    chunk_age_seconds: float = 0.4  # longest wait of a row for the first chunk to fill; doubles with each
    chunk_age_seconds_max: float = 10.0  # where that doubling ends
    block_rows: int = 100  # distance of block edges, in rows

    def target_bytes(self, index: int) -> int:
        """Return the size at which chunk `index` closes."""
        return min(self.chunk_bytes, self.chunk_bytes_first << min(index, 30))

    def target_age(self, index: int) -> float:
        """Return the age in seconds at which chunk `index` closes."""
        return min(self.chunk_age_seconds_max, self.chunk_age_seconds * 2.0 ** min(index, 30))


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedChunk:
    """One chunk that will not change any more, ready to be uploaded."""

    ref: ChunkRef
    data: bytes


class ChunkBuilder:
    """Collects encoded batches and cuts them into chunks. Safe to use from two threads.

    Args:
        query_uuid: Part of the keys.
        attempt: Part of the keys.
        limits: When a chunk is full.
        clock: Monotonic seconds.
        first_row: Number of the first row given, in the whole result.
        part: Which part of the result this is, when parts are written side by side; chunks count within it.
    """

    def __init__(
        self,
        query_uuid: str,
        attempt: int,
        limits: ChunkLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
        first_row: int = 0,
        part: int | None = None,
    ) -> None:
        self._query_uuid = query_uuid
        self._attempt = attempt
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._parts: list[memoryview] = []
        self._starts: list[np.ndarray] = []
        self._bytes = 0
        self._rows = 0
        self._since = 0.0
        self._next_index = 0
        self._next_row = first_row
        self._part = part

    @property
    def row_count(self) -> int:
        """Rows of the result up to the last one given, sealed or not."""
        return self._next_row + self._rows

    def continue_at(self, *, index: int, row: int) -> None:
        """Give the next chunk this number and first row, since others come before it; before the first `append`."""
        with self._lock:
            self._next_index, self._next_row = index, row

    def append(self, batch: EncodedBatch) -> SealedChunk | None:
        """Add one batch; returns the chunk that it filled, if it did."""
        with self._lock:
            if self._rows == 0:
                self._since = self._clock()
            self._parts.append(memoryview(batch.data))
            self._starts.append(batch.offsets[:-1] - batch.offsets[0] + self._bytes)
            self._bytes += int(batch.offsets[-1] - batch.offsets[0])
            self._rows += len(batch.offsets) - 1
            full = self._bytes >= self._limits.target_bytes(self._next_index)
            return self._seal() if full else None

    def seal_aged(self) -> SealedChunk | None:
        """Close the open chunk if its oldest row has waited long enough."""
        with self._lock:
            old = self._rows > 0 and self._clock() - self._since >= self._limits.target_age(self._next_index)
            return self._seal() if old else None

    def seal(self) -> SealedChunk | None:
        """Close the open chunk, if there is one."""
        with self._lock:
            return self._seal() if self._rows > 0 else None

    def _seal(self) -> SealedChunk:
        # The lock is held: chunk numbers and row numbers must be given out together.
        import numpy as np

        data = b"".join(self._parts)
        starts = np.concatenate((*self._starts, np.array([self._bytes], dtype=np.int64)))
        view = memoryview(data)
        ref = ChunkRef(
            index=self._next_index,
            key=chunk_key(self._query_uuid, self._attempt, self._next_index, part=self._part),
            first_row=self._next_row,
            row_count=self._rows,
            byte_count=len(data),
            crc32=zlib.crc32(view),
            blocks=pack_blocks(view, starts, self._next_row, self._limits.block_rows),
        )
        self._next_index += 1
        self._next_row += self._rows
        self._parts, self._starts, self._bytes, self._rows = [], [], 0, 0
        return SealedChunk(ref=ref, data=data)
