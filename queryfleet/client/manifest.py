"""What the service says of the stored chunks of a result, and how each of them becomes rows; no I/O here."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from queryfleet.client.chunk_rows import plain_rows
from queryfleet.errors import ConflictError, ResultCorruptError, ServiceError

if TYPE_CHECKING:
    import pyarrow as pa

    from queryfleet.errors import JsonValue

__all__ = [
    "ChunkLister",
    "ListedChunk",
    "Manifest",
    "check_lines",
    "counted",
    "parse_manifest",
    "plain_chunk",
    "schema_of",
    "typed_chunk",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedChunk:
    """One entry of a manifest."""

    index: int
    row_count: int
    byte_count: int
    crc32: str
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One answer about what there is."""

    attempt: int
    is_complete: bool
    row_count: int
    chunk_count: int
    arrow_schema: bytes | None
    chunks: tuple[ListedChunk, ...]
    next_chunk: int | None

    @property
    def has_more(self) -> bool:
        """Whether further chunks are there already."""
        return self.next_chunk is not None and self.next_chunk < self.chunk_count


class ChunkLister:
    """Decides which chunks to ask for next. One lister lists one result once, in order."""

    def __init__(self, query_uuid: str) -> None:
        self._query_uuid = query_uuid
        self._attempt: int | None = None
        self._rows = 0
        self.wanted = 0  # index of the first chunk to ask for
        self.is_done = False

    def accept(self, manifest: Manifest) -> None:
        """Take an answer.

        Raises:
            ConflictError: The query was begun again after chunks of an earlier attempt had been listed.
            ResultCorruptError: All chunks were listed and they are not the result.
        """
        if self.wanted and manifest.attempt != self._attempt:
            raise ConflictError(
                "The query was begun again while it was read, and its rows may come in another order; read it anew.",
                queryUuid=self._query_uuid,
            )
        self._attempt = manifest.attempt
        self.wanted += len(manifest.chunks)
        self._rows += sum(chunk.row_count for chunk in manifest.chunks)
        self.is_done = manifest.is_complete and manifest.next_chunk is None
        if self.is_done and self._rows != manifest.row_count:
            raise ResultCorruptError(f"The result has {manifest.row_count} rows and its chunks have {self._rows}.")


def plain_chunk(lines: bytes, chunk: ListedChunk, schema: pa.Schema) -> pa.RecordBatch | None:
    """Return the rows of a chunk's lines; None when only the service can read them.

    Raises:
        ResultCorruptError: They are not the bytes or rows of the manifest.
    """
    check_lines(lines, chunk)
    batch = plain_rows(lines, schema)
    return counted(batch, chunk) if batch is not None else None


def check_lines(lines: bytes, chunk: ListedChunk) -> None:
    """Raise `ResultCorruptError` unless these are the bytes of the manifest."""
    if len(lines) != chunk.byte_count or f"{zlib.crc32(lines):08x}" != chunk.crc32:
        raise ResultCorruptError(f"Chunk {chunk.index} is damaged: its checksum is not that of the manifest.")


def typed_chunk(stream: bytes, chunk: ListedChunk) -> pa.RecordBatch:
    """Return the rows of a chunk that came as an Arrow stream.

    Raises:
        ResultCorruptError: It is none, or has not the rows of the manifest.
    """
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(stream) as reader:
            return counted(reader.read_next_batch(), chunk)
    except (pa.ArrowException, StopIteration) as error:
        raise ResultCorruptError(f"Chunk {chunk.index} came as no Arrow stream.") from error


def counted(batch: pa.RecordBatch, chunk: ListedChunk) -> pa.RecordBatch:
    """Return a batch that has as many rows as the manifest says; raises `ResultCorruptError` for another."""
    if batch.num_rows != chunk.row_count:
        raise ResultCorruptError(f"Chunk {chunk.index} has {batch.num_rows} rows instead of {chunk.row_count}.")
    return batch


def schema_of(message: bytes) -> pa.Schema:
    """Return the schema of the rows that readers get, from an Arrow IPC message."""
    import pyarrow as pa

    stored = pa.ipc.read_schema(pa.py_buffer(message))
    return pa.schema([field.with_type(_dense_type(field.type)) for field in stored])


def _dense_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow.types as t

    return kind.value_type if t.is_dictionary(kind) or t.is_run_end_encoded(kind) else kind


def parse_manifest(results: JsonValue) -> Manifest:
    """Read the `results` of a manifest answer; raises `ServiceError` when it is none."""
    try:
        data: Any = results
        schema = data["arrowSchema"]
        return Manifest(
            attempt=int(data["attempt"]),
            is_complete=bool(data["complete"]),
            row_count=int(data["rowCount"]),
            chunk_count=int(data["chunkCount"]),
            arrow_schema=base64.b64decode(schema) if schema is not None else None,
            chunks=tuple(
                ListedChunk(
                    index=int(chunk["index"]),
                    row_count=int(chunk["rowCount"]),
                    byte_count=int(chunk["byteCount"]),
                    crc32=str(chunk["crc32"]),
                    url=chunk["url"],
                )
                for chunk in data["chunks"]
            ),
            next_chunk=data.get("nextChunk"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        text = "The service's answer has no valid manifest: is this address really the query service?"
        raise ServiceError(text) from error
