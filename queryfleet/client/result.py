"""A whole result as Arrow: chunks read several at a time, from the store itself where it can be reached.

    result = client.result(project_uuid, query_uuid)
    table = result.to_arrow()            # or: for batch in result.batches(): …
    duckdb.sql("select * from result")   # anything that takes an Arrow stream takes a result

Reading may begin while the query runs. Each chunk is checked: its length, its checksum and its number of rows; and
in the end the number of all rows.
"""

from __future__ import annotations

import importlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2

from queryfleet.client.calls import Call, chunk_call, manifest_call
from queryfleet.client.chunk_rows import is_plain
from queryfleet.client.manifest import ChunkLister, parse_manifest, plain_chunk, schema_of, typed_chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    import pyarrow as pa

    from queryfleet.client.manifest import ListedChunk, Manifest
    from queryfleet.errors import JsonValue

__all__ = ["Result", "Wire"]

_STORE_SECONDS = 60.0
_CONNECT_SECONDS = 2.0  # to the store; a service that clients cannot reach should be noticed soon
_WAIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What a result needs of its client; used from several threads."""

    send: Callable[[Call], JsonValue]  # returns the `results` of an answer
    fetch: Callable[[Call], bytes]  # returns the body of an answer that is no envelope


class Result:
    """The rows of one query. Keeps nothing: each call reads them anew.

    Args:
        wire: Speaks with the service.
        project_uuid: The query's project.
        query_uuid: Which may still run.
        at_once: Chunks read at the same time, and held in memory until they are taken; 1 to 32.
    """

    def __init__(self, wire: Wire, project_uuid: str, query_uuid: str, *, at_once: int = 4) -> None:
        self._wire = wire
        self._project_uuid = project_uuid
        self._query_uuid = query_uuid
        self._at_once = max(1, min(32, at_once))
        self._reaches_store = True

    @property
    def schema(self) -> pa.Schema:
        """Names and types as the warehouse gave them; waits until the query knows them.

        Raises:
            ServiceError: The query failed or was cancelled, or as `Client.poll`.
        """
        while True:
            manifest = self._manifest(0)
            if manifest.arrow_schema is not None:
                return schema_of(manifest.arrow_schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, a chunk at a time, each as soon as it is stored.

        Raises:
            ConflictError: The query was begun again while it was read.
            ResultCorruptError: Bytes or rows are missing, or not those that were written.
            ResultsExpiredError: The rows are no longer kept.
            ServiceError: The query failed or was cancelled, or as `Client.poll`.
        """
        with (
            ThreadPoolExecutor(self._at_once, thread_name_prefix="queryfleet-chunks") as threads,
            httpx2.Client(timeout=httpx2.Timeout(_STORE_SECONDS, connect=_CONNECT_SECONDS)) as store,
        ):
            reading: deque[Future[pa.RecordBatch]] = deque()
            try:
                yield from self._ordered(threads, store, reading)
            finally:
                for future in reading:
                    future.cancel()

    def _ordered(
        self, threads: ThreadPoolExecutor, store: httpx2.Client, reading: deque[Future[pa.RecordBatch]]
    ) -> Iterator[pa.RecordBatch]:
        lister = ChunkLister(self._query_uuid)
        while not lister.is_done:
            manifest = self._manifest(lister.wanted)
            lister.accept(manifest)
            for chunk in manifest.chunks:
                while len(reading) >= self._at_once:
                    yield reading.popleft().result()
                reading.append(threads.submit(self._read, store, chunk, manifest))
            # The next answer may wait for the query: what is there is given before that.
            while reading and not manifest.has_more:
                yield reading.popleft().result()

    def to_arrow(self) -> pa.Table:
        """Return all rows; raises like `batches`."""
        import pyarrow as pa

        batches = list(self.batches())
        return pa.Table.from_batches(batches, batches[0].schema if batches else self.schema)

    def to_pandas(self) -> Any:
        """Return all rows as a pandas data frame, which must be installed; raises like `batches`."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """Return all rows as a Polars data frame, which must be installed; raises like `batches`."""
        # By its name only: nobody needs Polars who does not call this.
        return importlib.import_module("polars").from_arrow(self.to_arrow())

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Give the rows to whatever takes an Arrow stream; they are read as they are taken."""
        import pyarrow as pa

        reader = pa.RecordBatchReader.from_batches(self.schema, self.batches())
        return reader.__arrow_c_stream__(requested_schema)

    def _read(self, store: httpx2.Client, chunk: ListedChunk, manifest: Manifest) -> pa.RecordBatch:
        schema = schema_of(manifest.arrow_schema or b"")
        if is_plain(schema):
            lines = self._from_store(store, chunk)
            if lines is None:
                lines = self._wire.fetch(self._chunk_call(chunk, manifest, typed=False))
            batch = plain_chunk(lines, chunk, schema)
            if batch is not None:
                return batch
        return typed_chunk(self._wire.fetch(self._chunk_call(chunk, manifest, typed=True)), chunk)

    def _chunk_call(self, chunk: ListedChunk, manifest: Manifest, *, typed: bool) -> Call:
        return chunk_call(self._project_uuid, self._query_uuid, chunk.index, attempt=manifest.attempt, typed=typed)

    def _from_store(self, store: httpx2.Client, chunk: ListedChunk) -> bytes | None:
        """Return a chunk's bytes from its link; None when the store cannot be reached, or the link does not work."""
        if chunk.url is None or not self._reaches_store:
            return None
        try:
            answer = store.get(chunk.url, headers={"Accept-Encoding": "identity"})
        except httpx2.RequestError:
            self._reaches_store = False
            return None
        return answer.content if answer.status_code == 200 else None  # noqa: PLR2004 - the HTTP status

    def _manifest(self, first_chunk: int) -> Manifest:
        call = manifest_call(self._project_uuid, self._query_uuid, first_chunk=first_chunk, wait_seconds=_WAIT_SECONDS)
        return parse_manifest(self._wire.send(call))
