# Made of queryfleet/client/concurrent/chunks.py by tools/make_blocking.py: change that one.
"""The rows of a query as Arrow: chunks read several at a time, from the store itself where it can be reached.

Reading may begin while the query runs. Each chunk is checked: its length, its checksum and its number of rows; and in
the end the number of all rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.client.blocking.lanes import Lanes, in_thread
from queryfleet.client.calls import Call, chunk_call, manifest_call
from queryfleet.client.chunk_rows import is_plain
from queryfleet.client.manifest import ChunkLister, parse_manifest, plain_chunk, schema_of, typed_chunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from queryfleet.client.blocking.wire import Wire
    from queryfleet.client.manifest import ListedChunk, Manifest

__all__ = ["Chunks"]

_WAIT_SECONDS = 20.0


class Chunks:
    """The stored chunks of one query. Keeps nothing: each call reads them anew.

    Args:
        wire: Speaks with the service.
        project_uuid: The query's project.
        query_uuid: Which may still run.
        at_once: Chunks read at the same time, and held in memory until they are taken; 1 to 32.
    """

    def __init__(self, wire: Wire, project_uuid: str, query_uuid: str, *, at_once: int) -> None:
        self._wire = wire
        self._project_uuid = project_uuid
        self._query_uuid = query_uuid
        self._at_once = max(1, min(32, at_once))

    def schema(self) -> pa.Schema:
        """Return names and types as the warehouse gave them; waits until the query knows them.

        Raises:
            ServiceError: The query failed or was cancelled, or as `Client.attach`.
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
            ServiceError: The query failed or was cancelled, or as `Client.attach`.
        """
        lister = ChunkLister(self._query_uuid)
        lanes: Lanes[pa.RecordBatch] = Lanes(self._at_once)
        with lanes:
            while not lister.is_done:
                manifest = self._manifest(lister.wanted)
                lister.accept(manifest)
                for chunk in manifest.chunks:
                    while lanes.is_full:
                        yield lanes.take()
                    lanes.start(self._read, chunk, manifest)
                # The next answer may wait for the query: what is there is given before that.
                while not (lanes.is_empty or manifest.has_more):
                    yield lanes.take()

    def _read(self, chunk: ListedChunk, manifest: Manifest) -> pa.RecordBatch:
        schema = schema_of(manifest.arrow_schema or b"")
        if is_plain(schema):
            lines = self._wire.read_link(chunk.url) if chunk.url is not None else None
            if lines is None:
                lines = self._wire.fetch(self._chunk_call(chunk, manifest, typed=False))
            batch = in_thread(plain_chunk, lines, chunk, schema)
            if batch is not None:
                return batch
        return typed_chunk(self._wire.fetch(self._chunk_call(chunk, manifest, typed=True)), chunk)

    def _chunk_call(self, chunk: ListedChunk, manifest: Manifest, *, typed: bool) -> Call:
        return chunk_call(self._project_uuid, self._query_uuid, chunk.index, attempt=manifest.attempt, typed=typed)

    def _manifest(self, first_chunk: int) -> Manifest:
        call = manifest_call(self._project_uuid, self._query_uuid, first_chunk=first_chunk, wait_seconds=_WAIT_SECONDS)
        return parse_manifest(self._wire.send(call))
