"""Whole results as one answer, in any length, also while they are still being made.

Lines of JSON are the stored bytes, passed on. Everything else is made of parts elsewhere (`PartMaker`); this process
only puts them in order. What goes wrong after the first byte ends the connection without the proper end of a body, so
that nobody takes a part of a result for the whole.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from starlette.responses import Response, StreamingResponse

from actors.exporting import plan_of
from queryfleet.errors import RequestError, ServiceError
from queryfleet.export.compression import CodedPart, StreamCoder, coded
from queryfleet.export.options import ContentCoding, ExportFormat, ExportOptions
from queryfleet.export.ordered import in_order
from queryfleet.export.parts import PartRequest, read_chunk, stream_head, stream_tail
from queryfleet.export.ranges import byte_range, read_range
from queryfleet.status.transitions import QueryStatus
from serve_app.committed import committed_chunks, with_columns
from serve_app.envelope import error_response
from serve_app.negotiation import is_match

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping

    from queryfleet.export.parts import PartMaker
    from queryfleet.export.plan import ExportPlan
    from queryfleet.model import ChunkRef
    from queryfleet.results.store import ObjectStore
    from queryfleet.status.record import QueryRecord
    from serve_app.queries import Queries

__all__ = ["ResultStreams", "StreamRequest", "in_slices", "ranged"]

_SLICE_BYTES = 512 * 1024  # handed to the server at once
_RAW_AT_ONCE = 2  # chunks read from the store ahead of the client
_HOLD_SECONDS = 20.0  # the status is decided by what happens until then

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRequest:
    """What a client wants of a result."""

    options: ExportOptions
    coding: ContentCoding
    headers: Mapping[str, str]  # of the request: ranges and entity tags

    @property
    def passes_on(self) -> bool:
        """Whether the stored bytes are the answer."""
        return self.options.format is ExportFormat.JSONL and self.coding is ContentCoding.IDENTITY


class ResultStreams:
    """Streams the results of one replica.

    Args:
        queries: Reads queries and their chunks.
        store: Holds the chunks.
        parts: Makes what has to be made.
    """

    def __init__(self, queries: Queries, store: ObjectStore, parts: PartMaker) -> None:
        self._queries = queries
        self._store = store
        self._parts = parts

    async def response(self, record: QueryRecord, wanted: StreamRequest) -> Response:
        """Return the answer; it is held until the first rows are there, or for 20 seconds.

        Args:
            record: The query, which may still wait or run; ended, it must be ready.
            wanted: How the rows are wanted.

        Raises:
            ServiceError: There is no result, or its first rows cannot be read.
        """
        headers = {
            "Vary": "Accept, Accept-Encoding, Authorization",
            "Cache-Control": "private, no-cache",
            "X-Accel-Buffering": "no",
        }
        if wanted.coding is not ContentCoding.IDENTITY:
            headers["Content-Encoding"] = wanted.coding.value
        if record.status is QueryStatus.READY:
            tag = _entity_tag(record, wanted)
            headers["ETag"] = tag
            if is_match(wanted.headers.get("if-none-match"), tag):
                return Response(status_code=304, headers=headers)
            if wanted.passes_on:
                return await self._stored(record, wanted, headers)
        media_type = wanted.options.format.media_type
        return StreamingResponse(await _begun(self._body(record, wanted)), headers=headers, media_type=media_type)

    async def arrow_chunk(self, record: QueryRecord, chunk: ChunkRef) -> bytes:
        """Return one chunk as an Arrow stream of its own; raises like `PartMaker.part`."""
        plan = await asyncio.to_thread(plan_of, record, ExportOptions(format=ExportFormat.ARROW_STREAM))
        part = await self._parts.part(PartRequest.of(plan, chunk))
        return stream_head(plan) + part.data + stream_tail(plan)

    async def _stored(self, record: QueryRecord, wanted: StreamRequest, headers: dict[str, str]) -> Response:
        chunks = await self._queries.chunks(record, 0, record.row_count) if record.row_count else ()
        total = sum(chunk.byte_count for chunk in chunks)
        return await ranged(
            lambda first, end: read_range(self._store, chunks, first, end),
            total=total,
            asked=wanted.headers,
            headers=headers,
            media_type=wanted.options.format.media_type,
        )

    async def _body(self, record: QueryRecord, wanted: StreamRequest) -> AsyncGenerator[bytes, None]:
        record = await with_columns(self._queries, record)
        plan = await asyncio.to_thread(plan_of, record, wanted.options)
        coder = StreamCoder(wanted.coding)
        pending = coder.begin() + coder.add(coded(stream_head(plan), wanted.coding))
        at_once = _RAW_AT_ONCE if wanted.passes_on else self._parts.at_once
        make = self._maker(plan, wanted)
        parts = in_order(committed_chunks(self._queries, record), make, at_once=at_once)
        try:
            async for part in parts:
                yield pending + coder.add(part) if pending else coder.add(part)
                pending = b""
        finally:
            await parts.aclose()
        yield pending + coder.add(coded(stream_tail(plan), wanted.coding)) + coder.end()

    def _maker(self, plan: ExportPlan, wanted: StreamRequest) -> Callable[[ChunkRef], Awaitable[CodedPart]]:
        async def read(chunk: ChunkRef) -> CodedPart:
            lines = await read_chunk(self._store, chunk.key, byte_count=chunk.byte_count, crc32=chunk.crc32)
            return CodedPart(data=lines, byte_count=len(lines), crc32=0)

        async def make(chunk: ChunkRef) -> CodedPart:
            return await self._parts.part(PartRequest.of(plan, chunk, wanted.coding))

        return read if wanted.passes_on else make


def _entity_tag(record: QueryRecord, wanted: StreamRequest) -> str:
    digest = "jsonl" if wanted.passes_on else f"{plan_of(record, wanted.options).digest()}-{wanted.coding}"
    return f'"{record.result_query_uuid}-{record.result_attempt}-{digest}"'


async def ranged(
    read: Callable[[int, int], AsyncIterator[bytes]],
    *,
    total: int,
    asked: Mapping[str, str],
    headers: dict[str, str],
    media_type: str,
) -> Response:
    """Answer with bytes whose number is known: all of them, or the range that is asked for.

    Args:
        read: Yields the bytes from one place up to another.
        total: How many there are.
        asked: Headers of the request.
        headers: Of the answer; an `ETag` among them is what `If-Range` must name.
        media_type: Of the whole.

    Raises:
        ServiceError: The first bytes cannot be read.
    """
    headers = headers | {"Accept-Ranges": "bytes"}
    span = byte_range(asked.get("range"), total)
    if "if-range" in asked and not is_match(asked["if-range"], headers.get("ETag", "")):
        span = None
    if span is not None and span[0] >= span[1]:
        refused = error_response(RequestError(f"There are {total} bytes; the range lies outside."), status=416)
        refused.headers["Content-Range"] = f"bytes */{total}"
        return refused
    first, end = span if span is not None else (0, total)
    headers["Content-Length"] = str(end - first)
    if span is not None:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{total}"
    body = await _begun(_all(read(first, end)))
    return StreamingResponse(body, 206 if span is not None else 200, headers=headers, media_type=media_type)


async def _all(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    async for piece in pieces:
        yield piece


async def _begun(body: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """Wait for the first piece, so that what goes wrong before it still has a status; then give the whole in slices."""
    first = asyncio.create_task(_next(body))
    await asyncio.wait([first], timeout=_HOLD_SECONDS)
    if first.done():
        first.result()
    return _rest(first, body)


async def _next(body: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(body, b"")


async def _rest(first: asyncio.Task[bytes], body: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    try:
        for piece in in_slices(await first):
            yield piece
        async for part in body:
            for piece in in_slices(part):
                yield piece
    except ServiceError as error:
        # The status is sent already: the connection is broken off, which no client can take for the end.
        log.warning("stream.broken_off", name=error.wire_name, reason=error.message)
        raise
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await body.aclose()


def in_slices(data: bytes) -> list[bytes]:
    """Cut a large piece, so that the server's buffers stay small."""
    if len(data) <= _SLICE_BYTES:
        return [data] if data else []
    return [data[begin : begin + _SLICE_BYTES] for begin in range(0, len(data), _SLICE_BYTES)]
