"""One stored chunk to one part of a file or stream. Pure but for reading the chunk; any process may do it."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, assert_never

from queryfleet.errors import ObjectNotFoundError, ResultCorruptError, ResultsExpiredError
from queryfleet.export.compression import CodedPart, coded
from queryfleet.export.csv_text import csv_head, csv_raw_rows, csv_rows
from queryfleet.export.options import ContentCoding, ExportFormat
from queryfleet.export.typed import typed_batch, typed_schema
from queryfleet.export.xlsx_cells import sheet_cells

if TYPE_CHECKING:
    import pyarrow as pa

    from queryfleet.export.plan import ExportPlan
    from queryfleet.model import ChunkRef
    from queryfleet.results.store import ObjectStore

__all__ = [
    "LocalParts",
    "PartMaker",
    "PartRequest",
    "arrow_stream",
    "encoded_part",
    "make_part",
    "read_chunk",
    "stream_head",
    "stream_tail",
]

_ARROW_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRequest:
    """What one part is made from."""

    plan: ExportPlan
    key: str  # of the chunk's object
    byte_count: int  # of the chunk
    crc32: int  # of the chunk
    coding: ContentCoding = ContentCoding.IDENTITY

    @classmethod
    def of(cls, plan: ExportPlan, chunk: ChunkRef, coding: ContentCoding = ContentCoding.IDENTITY) -> PartRequest:
        """Ask for the part of one chunk; leaves out the chunk's index, which is not needed."""
        return cls(plan=plan, key=chunk.key, byte_count=chunk.byte_count, crc32=chunk.crc32, coding=coding)


class PartMaker(Protocol):
    """Makes parts somewhere: in this process, or in others."""

    @property
    def at_once(self) -> int:
        """How many parts are worth asking for at the same time."""
        ...

    async def part(self, request: PartRequest) -> CodedPart:
        """Make one part.

        Raises:
            ResultsExpiredError: The chunk's object is gone.
            ResultCorruptError: Its bytes are not those that were written.
            StorageError: The store is away.
        """
        ...


class LocalParts:
    """Makes parts in threads of this process."""

    def __init__(self, store: ObjectStore, *, at_once: int = 2) -> None:
        self._store = store
        self._at_once = at_once

    @property
    def at_once(self) -> int:
        """See `PartMaker.at_once`."""
        return self._at_once

    async def part(self, request: PartRequest) -> CodedPart:
        """See `PartMaker.part`."""
        return await make_part(self._store, request)


async def make_part(store: ObjectStore, request: PartRequest) -> CodedPart:
    """Read a chunk, check it, and make its part in a thread."""
    lines = await read_chunk(store, request.key, byte_count=request.byte_count, crc32=request.crc32)
    return await asyncio.to_thread(lambda: coded(encoded_part(request.plan, lines), request.coding))


async def read_chunk(store: ObjectStore, key: str, *, byte_count: int, crc32: int) -> bytes:
    """Return a chunk whose length and checksum are those that were committed.

    Raises:
        ResultsExpiredError: It is gone.
        ResultCorruptError: It is not what was written.
    """
    try:
        lines = await store.get(key)
    except ObjectNotFoundError:
        raise ResultsExpiredError("The stored rows of this query are gone; run the query again.") from None
    # In a thread: the sum of 8 MiB takes some milliseconds.
    if len(lines) != byte_count or await asyncio.to_thread(zlib.crc32, lines) != crc32:
        raise ResultCorruptError(
            "Stored rows are damaged: their checksum is not the one they were written with. Run the query again.",
            key=key,
        )
    return lines


def encoded_part(plan: ExportPlan, lines: bytes) -> bytes:
    """Return the part of a file that is made from these stored lines; of a file that does not join, an Arrow stream.

    Raises:
        ResultCorruptError: The lines do not fit the plan's schema.

    Cost: 1 to 3 µs for a row of ten columns, nearly all of it without the GIL.
    """
    from queryfleet.results.decoder import decode_lines

    if plan.options.format is ExportFormat.JSONL and plan.takes_all:
        return lines
    if plan.options.format is ExportFormat.CSV:
        return _csv(lines, plan)
    stored = decode_lines(lines, plan.stored_schema(), sparse=plan.sparse)
    match plan.options.format:
        case ExportFormat.JSONL:
            return _json_lines(stored, plan)
        case ExportFormat.ARROW_STREAM:
            return bytes(typed_batch(stored, plan, typed_schema(plan)).serialize())
        case ExportFormat.ARROW | ExportFormat.PARQUET:
            return arrow_stream(typed_batch(stored, plan, typed_schema(plan)))
        case ExportFormat.XLSX:
            return arrow_stream(sheet_cells(stored, plan))
        case _:
            assert_never(plan.options.format)


def stream_head(plan: ExportPlan) -> bytes:
    """Return what stands before the first part of a file whose parts join."""
    match plan.options.format:
        case ExportFormat.CSV:
            return csv_head(plan)
        case ExportFormat.ARROW_STREAM:
            return bytes(typed_schema(plan).serialize())
        case _:
            return b""


def stream_tail(plan: ExportPlan) -> bytes:
    """Return what stands after the last part of a file whose parts join."""
    return _ARROW_END if plan.options.format is ExportFormat.ARROW_STREAM else b""


def _csv(lines: bytes, plan: ExportPlan) -> bytes:
    from queryfleet.results.decoder import decode_lines, line_texts

    schema = plan.stored_schema()
    texts = line_texts(lines, schema) if plan.options.only_raw and plan.columns else None
    if texts is not None:
        return csv_raw_rows(texts, schema, plan)
    return csv_rows(decode_lines(lines, schema, sparse=plan.sparse), plan)


def _json_lines(stored: pa.RecordBatch, plan: ExportPlan) -> bytes:
    from queryfleet.results.encoder import Encoder

    chosen = stored.select([column.index for column in plan.columns])
    return bytes(Encoder(chosen.schema).encode(chosen).data)


def arrow_stream(batch: pa.RecordBatch) -> bytes:
    """Return a whole Arrow IPC stream of one batch."""
    return bytes(batch.schema.serialize()) + bytes(batch.serialize()) + _ARROW_END
