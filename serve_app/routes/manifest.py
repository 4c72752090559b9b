"""What exists of a result, its chunks one by one, and the state of many queries."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from queryfleet.errors import NotFoundError, ParameterError
from queryfleet.export.options import ExportFormat
from queryfleet.export.parts import read_chunk
from queryfleet.model import ChunkRef
from queryfleet.schemas.exports import BatchStatusAnswer, BatchStatusRequest, ManifestAnswer
from queryfleet.status.record import QueryRecord
from queryfleet.status.transitions import QueryStatus
from serve_app.accounts import canonical_uuid
from serve_app.dependencies import Caller, ProjectUuid, QueryUuid, ServicesOf, read_body
from serve_app.envelope import iso, ok
from serve_app.negotiation import accepted_format
from serve_app.pages import state_members
from serve_app.routes._answers import body_of, errors, wait_ms_of
from serve_app.services import Services
from serve_app.storage import require_storage, require_stored

__all__ = ["router"]

router = APIRouter(prefix="/api/v2/projects/{projectUuid}/query", tags=["queries"])

_MANIFEST, _CHUNK = "A manifest", "A chunk"
_CHUNKS = 100  # of one answer: each link takes some time to sign
_LINK_SECONDS = 3600
_ARROW = {"schema": {"type": "string", "format": "binary"}, "example": ""}
_LINES = {"schema": {"type": "string"}, "example": '{"status":"shipped","orders":1234}\n'}


@router.get(
    "/{queryUuid}/manifest",
    operation_id="getManifest",
    summary="List the stored chunks of a result",
    responses={200: {"model": ManifestAnswer}, **errors(400, 401, 404, 409, 422, 501, 503)},
    response_model=None,
)
async def get_manifest(
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    queryUuid: QueryUuid,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
    firstChunk: Annotated[int, Query(ge=0, le=2**31 - 1, description="Chunks from this index on.")] = 0,  # noqa: N803
    waitMs: Annotated[  # noqa: N803
        int, Query(ge=0, description="Hold the answer until there is such a chunk, or the query has ended.")
    ] = 0,
) -> Response:
    """Return up to 100 chunks with their rows, lengths and checksums, and signed links by which each can be read.

    While the query runs, the chunks are those stored so far. A query that failed or was cancelled has no manifest.
    """
    project_uuid = caller.enter(projectUuid)
    wait_ms = wait_ms_of(waitMs, services.settings.wait_ms_max)
    require_storage(services.settings, _MANIFEST)
    record = await services.queries.load(queryUuid, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    record = await services.queries.wait(
        record, until=lambda now: now.chunk_count > firstChunk, timeout_seconds=wait_ms / 1000
    )
    services.pages.require_result(record)
    require_stored(record, _MANIFEST)
    chunks = await _chunks(services, record, firstChunk)
    listed = chunks[:_CHUNKS]
    links = await _links(services, record, listed)
    schema = record.arrow_schema
    results: dict[str, Any] = {
        "queryUuid": record.query_uuid,
        "status": record.status.value,
        "attempt": record.result_attempt,
        "complete": record.status is QueryStatus.READY,
        "rowCount": record.row_count,
        "byteCount": record.byte_count,
        "chunkCount": record.chunk_count,
        "columns": None
        if record.columns is None
        else [{"reference": column.reference, "type": column.type.value} for column in record.columns],
        "arrowSchema": base64.b64encode(schema).decode() if schema is not None else None,
        "linksExpireAt": iso(links[1]) if any(links[0]) else None,
        "chunks": [_described(record, chunk, url) for chunk, url in zip(listed, links[0], strict=True)],
    }
    after = firstChunk + len(listed)
    if not results["complete"] or after < record.chunk_count:
        results["nextChunk"] = after
    return ok(results)


async def _chunks(services: Services, record: QueryRecord, first: int) -> list[ChunkRef]:
    if record.row_count == 0 or first >= record.chunk_count:
        return []
    chunks = await services.queries.chunks(record, 0, record.row_count)
    return [chunk for chunk in chunks if chunk.index >= first]


async def _links(services: Services, record: QueryRecord, chunks: list[ChunkRef]) -> tuple[list[str | None], datetime]:
    now = datetime.now(UTC).timestamp()
    kept = record.results_expire_at.timestamp() - now if record.results_expire_at is not None else _LINK_SECONDS
    seconds = max(1, int(min(_LINK_SECONDS, kept)))
    urls = []
    for chunk in chunks:
        urls.append(await services.store.signed_url(chunk.key, seconds=seconds))
        await asyncio.sleep(0)  # others get their turn between two signatures
    return urls, datetime.fromtimestamp(now + seconds, UTC)


def _described(record: QueryRecord, chunk: ChunkRef, url: str | None) -> dict[str, Any]:
    queries = f"/api/v2/projects/{quote(record.project_uuid)}/query"
    return {
        "index": chunk.index,
        "firstRow": chunk.first_row,
        "rowCount": chunk.row_count,
        "byteCount": chunk.byte_count,
        "crc32": f"{chunk.crc32:08x}",
        "url": url,
        "path": f"{queries}/{record.query_uuid}/chunks/{chunk.index}?attempt={record.result_attempt}",
    }


@router.get(
    "/{queryUuid}/chunks/{chunkIndex}",
    operation_id="getChunk",
    summary="Read one stored chunk",
    responses={
        200: {
            "description": "Its rows.",
            "content": {"application/x-ndjson": _LINES, ExportFormat.ARROW_STREAM.media_type: _ARROW},
        },
        **errors(400, 401, 404, 409, 422, 501, 503),
    },
    response_class=Response,
    response_model=None,
)
async def get_chunk(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    queryUuid: QueryUuid,  # noqa: N803
    chunkIndex: Annotated[int, Path(ge=0, le=2**31 - 1, description="From the manifest.")],  # noqa: N803
    caller: Caller,
    services: ServicesOf,
    attempt: Annotated[int | None, Query(description="Of the manifest; another one is a 404.")] = None,
) -> Response:
    """Return one chunk, checked: its lines as the manifest's `url` gives them, or, by `Accept`, an Arrow stream."""
    project_uuid = caller.enter(projectUuid)
    require_storage(services.settings, _CHUNK)
    record = await services.queries.load(queryUuid, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    services.pages.require_result(record)
    require_stored(record, _CHUNK)
    chunks = await _chunks(services, record, chunkIndex)
    is_current = attempt is None or attempt == record.result_attempt
    if not is_current or not chunks or chunks[0].index != chunkIndex:
        raise NotFoundError("There is no such chunk; ask for the manifest again.", chunkIndex=chunkIndex)
    chunk, headers = chunks[0], {"Cache-Control": "private", "Vary": "Accept"}
    format_ = accepted_format(request.headers.get("accept"))
    if format_ is ExportFormat.ARROW_STREAM:
        data = await services.streams.arrow_chunk(record, chunk)
    elif format_ is ExportFormat.JSONL:
        data = await read_chunk(services.store, chunk.key, byte_count=chunk.byte_count, crc32=chunk.crc32)
    else:
        raise ParameterError("Chunks are sent as application/x-ndjson or as Arrow streams.", field="Accept")
    return Response(data, media_type=format_.media_type, headers=headers)


@router.post(
    "/status",
    operation_id="getQueryStates",
    summary="Ask how many queries are",
    responses={200: {"model": BatchStatusAnswer}, **errors(400, 401, 404, 413, 422, 503)},
    response_model=None,
    openapi_extra=body_of(BatchStatusRequest),
)
async def get_query_states(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Return the states of up to 200 queries, without rows, at the cost of one read of the database."""
    project_uuid = caller.enter(projectUuid)
    body = await read_body(request, BatchStatusRequest, bytes_max=services.settings.body_bytes_max)
    known = {text: canonical_uuid(text) for text in body.queryUuids}
    asked = [query_uuid for query_uuid in known.values() if query_uuid is not None]
    records = {
        record.query_uuid: record
        for record in await services.statuses.load_many(asked)
        if record.project_uuid == project_uuid and record.user_uuid == caller.user_uuid
    }
    found = list(dict.fromkeys(query_uuid for query_uuid in asked if query_uuid in records))
    return ok(
        {
            "queries": [_state(records[query_uuid]) for query_uuid in found],
            "missing": [text for text, query_uuid in known.items() if query_uuid not in records],
        }
    )


def _state(record: QueryRecord) -> dict[str, Any]:
    members = state_members(record)
    if record.status is QueryStatus.READY:
        members["totalResults"] = record.row_count
        expired = record.objects_deleted or (
            record.results_expire_at is not None and datetime.now(UTC) >= record.results_expire_at
        )
        members["expired"] = expired
    return members
