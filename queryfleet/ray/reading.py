"""A result's chunks in groups, and one group's rows as a table: what a task on the cluster does.

A task reads from the store itself, by the links of the manifest. Where the store gives none, or a link has expired, it
asks a replica for the stored lines, with a grant for this one result instead of the caller's token.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import httpx2

from queryfleet.client.calls import manifest_call
from queryfleet.client.chunk_rows import is_plain, plain_rows
from queryfleet.client.manifest import ChunkLister, check_lines, counted, parse_manifest, schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from queryfleet.client.calls import Call
    from queryfleet.client.manifest import ListedChunk
    from queryfleet.errors import JsonValue

__all__ = ["GROUP_BYTES", "ChunkGroup", "ResultIndex", "grouped", "read_chunks", "read_group", "read_index"]

GROUP_BYTES: Final = 64 * 1024 * 1024  # of stored lines; in memory a table is about half of it

_WAIT_SECONDS = 20.0
_STORE_SECONDS = 60.0
_CONNECT_SECONDS = 5.0
_STORE_PAUSES: Final = (0.2, 1.0)  # before a link is tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultIndex:
    """Everything there is of a result, once its query has ended."""

    arrow_schema: bytes  # of the stored rows, an Arrow IPC message
    row_count: int
    chunks: tuple[ListedChunk, ...]

    @property
    def byte_count(self) -> int:
        """Bytes of stored lines."""
        return sum(chunk.byte_count for chunk in self.chunks)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkGroup:
    """Adjacent chunks that one task reads, and where it gets them. Can be sent to any process."""

    application: str  # name of the service's Serve application
    grant: str = field(repr=False)
    arrow_schema: bytes = field(repr=False)
    chunks: tuple[ListedChunk, ...] = field(repr=False)

    @property
    def row_count(self) -> int:
        """Rows of all its chunks."""
        return sum(chunk.row_count for chunk in self.chunks)

    @property
    def byte_count(self) -> int:
        """Bytes of stored lines."""
        return sum(chunk.byte_count for chunk in self.chunks)


def read_index(send: Callable[[Call], JsonValue], project_uuid: str, query_uuid: str) -> ResultIndex:
    """Wait until a query has ended and list its chunks, a hundred with each request.

    Raises:
        ConflictError: The query was begun again meanwhile.
        ResultCorruptError: The chunks do not add up to the result.
        ServiceError: The query failed or was cancelled, or the service refuses.
    """
    lister = ChunkLister(query_uuid)
    chunks: list[ListedChunk] = []
    while True:
        call = manifest_call(project_uuid, query_uuid, first_chunk=lister.wanted, wait_seconds=_WAIT_SECONDS)
        manifest = parse_manifest(send(call))
        lister.accept(manifest)
        chunks += manifest.chunks
        if lister.is_done:
            schema = manifest.arrow_schema or b""
            return ResultIndex(arrow_schema=schema, row_count=manifest.row_count, chunks=tuple(chunks))


def grouped(chunks: Sequence[ListedChunk], *, group_bytes: int, groups_min: int = 1) -> list[tuple[ListedChunk, ...]]:
    """Cut a result into runs of adjacent chunks.

    Args:
        chunks: All of a result, in order.
        group_bytes: Most stored bytes of a group of more than one chunk.
        groups_min: About so many groups at least, if there are so many chunks.

    Returns:
        One group at least, which is empty for a result without rows.
    """
    total = sum(chunk.byte_count for chunk in chunks)
    limit = min(group_bytes, -(-total // max(1, groups_min)))
    groups: list[tuple[ListedChunk, ...]] = []
    group: list[ListedChunk] = []
    size = 0
    for chunk in chunks:
        if group and size + chunk.byte_count > limit:
            groups.append(tuple(group))
            group, size = [], 0
        group.append(chunk)
        size += chunk.byte_count
    return [*groups, tuple(group)]


def read_group(group: ChunkGroup) -> pa.Table:
    """Read the rows of a group. Runs in a task on the cluster; raises and costs like `read_chunks`."""
    import pyarrow as pa

    return pa.Table.from_batches(list(read_chunks(group)), schema_of(group.arrow_schema))


def read_chunks(group: ChunkGroup) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a group, a chunk at a time.

    Raises:
        ResultCorruptError: Bytes or rows are missing, or not those that were written.
        ResultsExpiredError: The rows are no longer kept.
        AuthorizationError: The grant has expired: the task began more than an hour after it was asked for.

    Cost: 0.1 to 0.3 µs a value.
    """
    timeout = httpx2.Timeout(_STORE_SECONDS, connect=_CONNECT_SECONDS)
    with httpx2.Client(timeout=timeout) as store:
        for chunk in group.chunks:
            yield _rows(_lines(store, group, chunk), chunk, group.arrow_schema)


def _lines(store: httpx2.Client, group: ChunkGroup, chunk: ListedChunk) -> bytes:
    lines = _linked(store, chunk.url) if chunk.url is not None else None
    if lines is not None:
        return lines
    from queryfleet.ray.door import open_door

    return open_door(group.application).granted_chunk(group.grant, chunk.index)


def _linked(store: httpx2.Client, url: str) -> bytes | None:
    """Return what a link leads to; None when it does not work."""
    for pause in (*_STORE_PAUSES, None):
        try:
            answer = store.get(url, headers={"Accept-Encoding": "identity"})
        except httpx2.RequestError:
            answer = None
        if answer is not None and answer.status_code == 200:  # noqa: PLR2004 - the HTTP status
            return answer.content
        is_passing = answer is None or answer.status_code >= 500  # noqa: PLR2004 - the HTTP boundary of "their fault"
        if pause is None or not is_passing:
            return None
        time.sleep(pause)
    return None


def _rows(lines: bytes, chunk: ListedChunk, arrow_schema: bytes) -> pa.RecordBatch:
    schema = schema_of(arrow_schema)
    check_lines(lines, chunk)
    batch = plain_rows(lines, schema) if is_plain(schema) else None
    return counted(_typed(lines, arrow_schema) if batch is None else batch, chunk)


def _typed(lines: bytes, arrow_schema: bytes) -> pa.RecordBatch:
    """Read what only the service's own reader knows; its packages are on every node."""
    from queryfleet.export.options import ExportFormat, ExportOptions
    from queryfleet.export.plan import ExportPlan
    from queryfleet.export.typed import typed_batch, typed_schema
    from queryfleet.results.decoder import decode_lines

    plan = ExportPlan.of(ExportOptions(format=ExportFormat.ARROW_STREAM), arrow_schema)
    # Lines of pivots leave members out; those of others do not, which their checksum has proved.
    stored = decode_lines(lines, plan.stored_schema(), sparse=True)
    return typed_batch(stored, plan, typed_schema(plan))
