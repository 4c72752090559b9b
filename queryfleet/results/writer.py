"""Chunks out to the object store, with back-pressure, committed in order.

`put` returns once there is room to upload another chunk, so whoever produces chunks is held back when the store is
slow, and memory stays at `uploads_in_flight + 1` chunks. Uploads may end in any order; references are committed in
order, each only after its object is durable. The last one is not committed but handed to whoever finishes the query,
so that a small result appears in one step.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.errors import InternalError, StorageError
from queryfleet.results.chunking import manifest_key
from queryfleet.results.manifest import manifest_document

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from queryfleet.model import ChunkRef, Column
    from queryfleet.results.chunking import SealedChunk
    from queryfleet.results.store import ObjectStore

__all__ = ["FinishedResult", "ResultWriter"]

_PAUSE_SECONDS = 0.5  # before a store that is away is tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedResult:
    """Everything is durable; `uncommitted` is still to be published."""

    uncommitted: tuple[ChunkRef, ...]  # in order; at most one
    row_count: int  # of the whole result
    byte_count: int
    chunk_count: int


class ResultWriter:
    """Writes one attempt's chunks. Lives on one event loop.

    Args:
        store: Where objects go.
        query_uuid: Names the objects.
        attempt: Names the objects.
        commit: Publishes one reference; called in order, after the object is durable. What it raises ends the writer.
        uploads_in_flight: Most chunks being uploaded at once.
        patience_seconds: How long to go on trying when the store is away, from the first failure of an object on.
    """

    def __init__(
        self,
        store: ObjectStore,
        query_uuid: str,
        attempt: int,
        *,
        commit: Callable[[ChunkRef], Awaitable[None]],
        uploads_in_flight: int,
        patience_seconds: float = 0.0,
    ) -> None:
        self._store = store
        self._query_uuid = query_uuid
        self._attempt = attempt
        self._commit = commit
        self._patience_seconds = patience_seconds
        self._room = asyncio.Semaphore(uploads_in_flight)
        self._uploads: set[asyncio.Task[None]] = set()
        self._refs: dict[int, ChunkRef] = {}
        self._durable: set[int] = set()
        self._committed = 0
        self._committing = asyncio.Lock()
        self._failure: Exception | None = None

    def continue_after(self, chunks: Sequence[ChunkRef]) -> None:
        """Count chunks that are durable and committed already as the first of the result; before the first `put`."""
        self._refs = {chunk.index: chunk for chunk in chunks}
        self._committed = len(chunks)

    async def add_stored(self, chunk: ChunkRef) -> None:
        """Take a chunk whose object is durable already; it is committed after all before it."""
        if self._failure is not None:
            raise self._failure
        self._refs[chunk.index] = chunk
        self._durable.add(chunk.index)
        await self._commit_durable()

    async def put(self, chunk: SealedChunk) -> None:
        """Take one chunk, waiting for room; raises what an earlier upload or commit failed with."""
        await self._room.acquire()
        if self._failure is not None:
            self._room.release()
            raise self._failure
        self._refs[chunk.ref.index] = chunk.ref
        self._start(self._upload(chunk))

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._uploads.add(task)
        task.add_done_callback(self._uploads.discard)
        return task

    async def _upload(self, chunk: SealedChunk) -> None:
        try:
            await self._store_object(chunk.ref.key, chunk.data)
            self._durable.add(chunk.ref.index)
            await self._commit_durable()
        except Exception as error:  # noqa: BLE001 - kept, and raised by the next `put` or by `finish`
            self._failure = self._failure or error
        finally:
            self._room.release()

    async def _store_object(self, key: str, data: bytes) -> None:
        """Write one object. While the store is away for a passing reason, the warehouse waits instead of failing."""
        clock = asyncio.get_running_loop().time
        deadline: float | None = None
        while True:
            try:
                return await self._store.put(key, data)
            except StorageError as error:
                if not error.details.get("transient"):
                    raise
                deadline = clock() + self._patience_seconds if deadline is None else deadline
                if clock() + _PAUSE_SECONDS > deadline:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _commit_durable(self) -> None:
        async with self._committing:
            while self._committed in self._durable:
                await self._commit(self._refs[self._committed])
                self._committed += 1

    async def finish(self, last: SealedChunk | None, *, columns: Sequence[Column]) -> FinishedResult:
        """Make everything durable, the manifest's copy included, and return what is left to publish.

        Args:
            last: The rows not put yet, if there are any.
            columns: For the manifest.

        Raises:
            ServiceError: Whatever an upload or commit failed with; nothing more will be written.
        """
        if last is not None:
            self._refs[last.ref.index] = last.ref
        await self.settle()
        refs = [self._refs[index] for index in sorted(self._refs)]
        document = manifest_document(query_uuid=self._query_uuid, attempt=self._attempt, columns=columns, chunks=refs)
        key = manifest_key(self._query_uuid, self._attempt)
        objects = {key: json.dumps(document, separators=(",", ":")).encode()}
        if last is not None:
            objects[last.ref.key] = last.data
        await asyncio.gather(*(self._start(self._store_object(key, data)) for key, data in objects.items()))
        return FinishedResult(
            uncommitted=(last.ref,) if last is not None else (),
            row_count=sum(ref.row_count for ref in refs),
            byte_count=sum(ref.byte_count for ref in refs),
            chunk_count=len(refs),
        )

    async def settle(self) -> None:
        """Wait until all that was put is durable and committed; raises what an upload or commit failed with."""
        await asyncio.gather(*list(self._uploads), return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    async def abandon(self) -> None:
        """Stop all uploads and wait until none is under way; nothing can be put any more.

        Objects already written stay; see `delete_attempt`.
        """
        self._failure = self._failure or InternalError("The result was abandoned.")
        for task in list(self._uploads):
            task.cancel()
        await asyncio.gather(*list(self._uploads), return_exceptions=True)
