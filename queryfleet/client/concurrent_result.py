"""A whole result as Arrow, for asyncio code; the twin of `queryfleet.client.result`."""

from __future__ import annotations

import asyncio
import importlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2

from queryfleet.client.calls import chunk_call, manifest_call
from queryfleet.client.chunk_rows import is_plain
from queryfleet.client.manifest import ChunkLister, parse_manifest, plain_chunk, schema_of, typed_chunk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import pyarrow as pa

    from queryfleet.client.calls import Call
    from queryfleet.client.manifest import ListedChunk, Manifest
    from queryfleet.errors import JsonValue

__all__ = ["AsyncResult", "AsyncWire"]

_STORE_SECONDS = 60.0
_CONNECT_SECONDS = 2.0  # to the store; a service that clients cannot reach should be noticed soon
_WAIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncWire:
    """What a result needs of its client."""

    send: Callable[[Call], Awaitable[JsonValue]]  # returns the `results` of an answer
    fetch: Callable[[Call], Awaitable[bytes]]  # returns the body of an answer that is no envelope


class AsyncResult:
    """The rows of one query. Keeps nothing: each call reads them anew.

    Args:
        wire: Speaks with the service.
        project_uuid: The query's project.
        query_uuid: Which may still run.
        at_once: Chunks read at the same time, and held in memory until they are taken; 1 to 32.
    """

    def __init__(self, wire: AsyncWire, project_uuid: str, query_uuid: str, *, at_once: int = 4) -> None:
        self._wire = wire
        self._project_uuid = project_uuid
        self._query_uuid = query_uuid
        self._at_once = max(1, min(32, at_once))
        self._reaches_store = True

    async def schema(self) -> pa.Schema:
        """Return names and types as the warehouse gave them; waits until the query knows them.

        Raises:
            ServiceError: The query failed or was cancelled, or as `AsyncClient.poll`.
        """
        while True:
            manifest = await self._manifest(0)
            if manifest.arrow_schema is not None:
                return schema_of(manifest.arrow_schema)

    async def batches(self) -> AsyncIterator[pa.RecordBatch]:
        """Yield the rows in order, a chunk at a time, each as soon as it is stored.

        Raises:
            ConflictError: The query was begun again while it was read.
            ResultCorruptError: Bytes or rows are missing, or not those that were written.
            ResultsExpiredError: The rows are no longer kept.
            ServiceError: The query failed or was cancelled, or as `AsyncClient.poll`.
        """
        lister = ChunkLister(self._query_uuid)
        reading: deque[asyncio.Task[pa.RecordBatch]] = deque()
        timeout = httpx2.Timeout(_STORE_SECONDS, connect=_CONNECT_SECONDS)
        async with httpx2.AsyncClient(timeout=timeout) as store:
            try:
                while not lister.is_done:
                    manifest = await self._manifest(lister.wanted)
                    lister.accept(manifest)
                    for chunk in manifest.chunks:
                        while len(reading) >= self._at_once:
                            yield await reading.popleft()
                        reading.append(asyncio.create_task(self._read(store, chunk, manifest)))
                    # The next answer may wait for the query: what is there is given before that.
                    while reading and not manifest.has_more:
                        yield await reading.popleft()
            finally:
                for task in reading:
                    task.cancel()
                await asyncio.gather(*reading, return_exceptions=True)

    async def to_arrow(self) -> pa.Table:
        """Return all rows; raises like `batches`."""
        import pyarrow as pa

        batches = [batch async for batch in self.batches()]
        return pa.Table.from_batches(batches, batches[0].schema if batches else await self.schema())

    async def to_pandas(self) -> Any:
        """Return all rows as a pandas data frame, which must be installed; raises like `batches`."""
        return (await self.to_arrow()).to_pandas()

    async def to_polars(self) -> Any:
        """Return all rows as a Polars data frame, which must be installed; raises like `batches`."""
        # By its name only: nobody needs Polars who does not call this.
        return importlib.import_module("polars").from_arrow(await self.to_arrow())

    async def _read(self, store: httpx2.AsyncClient, chunk: ListedChunk, manifest: Manifest) -> pa.RecordBatch:
        schema = schema_of(manifest.arrow_schema or b"")
        if is_plain(schema):
            lines = await self._from_store(store, chunk)
            if lines is None:
                lines = await self._wire.fetch(self._chunk_call(chunk, manifest, typed=False))
            batch = await asyncio.to_thread(plain_chunk, lines, chunk, schema)
            if batch is not None:
                return batch
        return typed_chunk(await self._wire.fetch(self._chunk_call(chunk, manifest, typed=True)), chunk)

    def _chunk_call(self, chunk: ListedChunk, manifest: Manifest, *, typed: bool) -> Call:
        return chunk_call(self._project_uuid, self._query_uuid, chunk.index, attempt=manifest.attempt, typed=typed)

    async def _from_store(self, store: httpx2.AsyncClient, chunk: ListedChunk) -> bytes | None:
        """Return a chunk's bytes from its link; None when the store cannot be reached, or the link does not work."""
        if chunk.url is None or not self._reaches_store:
            return None
        try:
            answer = await store.get(chunk.url, headers={"Accept-Encoding": "identity"})
        except httpx2.RequestError:
            self._reaches_store = False
            return None
        return answer.content if answer.status_code == 200 else None  # noqa: PLR2004 - the HTTP status

    async def _manifest(self, first_chunk: int) -> Manifest:
        call = manifest_call(self._project_uuid, self._query_uuid, first_chunk=first_chunk, wait_seconds=_WAIT_SECONDS)
        return parse_manifest(await self._wire.send(call))
