"""`GET …/query/{queryUuid}/results`: a whole result in one answer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from queryfleet.export.options import ContentCoding, ExportFormat, ExportOptions
from queryfleet.status.transitions import QueryStatus
from serve_app.dependencies import Caller, ProjectUuid, QueryUuid, ServicesOf
from serve_app.negotiation import accepted_coding, accepted_format
from serve_app.routes._answers import errors
from serve_app.storage import require_storage, require_stored
from serve_app.stored_lines import require_ready
from serve_app.streams import StreamRequest

__all__ = ["router"]

router = APIRouter(prefix="/api/v2/projects/{projectUuid}/query", tags=["queries"])

_STREAM = "A stream of all rows"
_CONTENT = {
    "application/x-ndjson": {"schema": {"type": "string"}, "example": '{"status":"shipped","orders":1234}\n'},
    "text/csv": {"schema": {"type": "string"}, "example": "status,orders\nshipped,1234\n"},
    "application/vnd.apache.arrow.stream": {"schema": {"type": "string", "format": "binary"}, "example": ""},
}


@router.get(
    "/{queryUuid}/results",
    operation_id="streamResults",
    summary="Read a whole result",
    responses={
        200: {"description": "Every row, in order; 206 with a `Range`.", "content": _CONTENT},
        **errors(400, 401, 404, 409, 501, 503),
    },
    response_class=Response,
    response_model=None,
)
async def stream_results(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    queryUuid: QueryUuid,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
    follow: Annotated[
        bool, Query(description="While the query waits or runs: send rows as they are stored. `false`: 409 then.")
    ] = True,
    onlyRaw: Annotated[bool, Query(description="csv: values as they are, not as people read them.")] = True,  # noqa: N803
    escapeFormulas: Annotated[  # noqa: N803
        bool, Query(description="csv: text that a spreadsheet would run as a formula begins with an apostrophe.")
    ] = True,
) -> Response:
    """Stream every row: lines of JSON, CSV or an Arrow stream, by `Accept`; gzip or zstd by `Accept-Encoding`.

    An answer that breaks off has no proper end: the connection is closed before the length that was told, or before the
    last chunk of the body. Lines of JSON of a ready query may be read by `Range`.
    """
    project_uuid = caller.enter(projectUuid)
    format_ = accepted_format(request.headers.get("accept"))
    require_storage(services.settings, _STREAM)
    record = await services.queries.load(queryUuid, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    if record.is_terminal or not follow:
        require_ready(record)
    if record.status is QueryStatus.READY:
        services.pages.require_kept(record)
        require_stored(record, _STREAM)
    is_csv = format_ is ExportFormat.CSV
    options = ExportOptions(
        format=format_,
        only_raw=onlyRaw if is_csv else False,
        escape_formulas=escapeFormulas if is_csv else True,
        byte_order_mark=False,
        labels=False,
    )
    # Ranges are of the stored bytes, so whoever asks for one gets those.
    coding = accepted_coding(request.headers.get("accept-encoding"))
    if "range" in request.headers:
        coding = ContentCoding.IDENTITY
    return await services.streams.response(
        record, StreamRequest(options=options, coding=coding, headers=request.headers)
    )
