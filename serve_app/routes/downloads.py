"""Files of results: made on demand, and read by signed links."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from queryfleet.errors import (
    ConflictError,
    NotSupportedError,
    ObjectNotFoundError,
    ParameterError,
    ResultsExpiredError,
)
from queryfleet.export.options import ExportFormat, ExportOptions
from queryfleet.schemas.exports import DownloadAnswer, DownloadRequest, ScheduledAnswer
from queryfleet.status.export_jobs import ExportJob, JobStatus
from queryfleet.status.record import QueryRecord
from serve_app.accounts import Account
from serve_app.dependencies import Caller, ProjectUuid, QueryUuid, ServicesOf, read_body
from serve_app.envelope import iso, ok
from serve_app.exports import error_of, require_kept
from serve_app.links import base_url
from serve_app.routes._answers import body_of, errors
from serve_app.routes._column_totals import column_totals_of
from serve_app.services import Services
from serve_app.storage import require_storage, require_stored
from serve_app.streams import ranged

__all__ = ["job_details", "router"]

router = APIRouter(tags=["files"])

_QUERIES = "/api/v2/projects/{projectUuid}/query"
_FILE = "A file of a result"
_WAIT_SECONDS = 20.0
_READ_BYTES = 4 * 1024 * 1024


@router.post(
    _QUERIES + "/{queryUuid}/download",
    operation_id="downloadResults",
    summary="Make a file and wait for it",
    responses={200: {"model": DownloadAnswer}, **errors(400, 401, 404, 409, 413, 422, 501, 503)},
    response_model=None,
    openapi_extra=body_of(DownloadRequest),
)
async def download(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    queryUuid: QueryUuid,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Return a link to a file of the whole result. The same file is made once, and kept as long as the result.

    A file that is not there after 20 seconds is a 409 with `data.jobId`: it is still being made, see
    `schedule-download`.
    """
    record, job = await _requested(request, services, caller, project=projectUuid, query=queryUuid)
    job = await services.exports.wait(job, timeout_seconds=_WAIT_SECONDS)
    if job.failure is not None:
        raise error_of(job.failure)
    if job.status is not JobStatus.COMPLETED:
        raise ConflictError(
            f"The file is still being made; poll /api/v1/schedulers/job/{job.job_uuid}/status.",
            jobId=job.job_uuid,
            status=job.status.value,
        )
    return ok(await _file_details(services, job, truncated=record.truncated, base=base_url(request)))


@router.post(
    _QUERIES + "/{queryUuid}/schedule-download",
    operation_id="scheduleDownload",
    summary="Have a file made",
    responses={200: {"model": ScheduledAnswer}, **errors(400, 401, 404, 409, 413, 422, 501, 503)},
    response_model=None,
    openapi_extra=body_of(DownloadRequest),
)
async def schedule_download(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    queryUuid: QueryUuid,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Return the job that makes a file of the whole result; asking again for the same file finds the same job."""
    _, job = await _requested(request, services, caller, project=projectUuid, query=queryUuid)
    return ok({"jobId": job.job_uuid})


@router.get(
    "/api/v1/files/{jobId}/{fileName}",
    operation_id="getFile",
    summary="Read a file by its link",
    responses={
        200: {
            "description": "The file, or the range of it that was asked for (206).",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}, "example": ""}},
        },
        302: {"description": "The file is read from the object store itself."},
        **errors(404, 503),
    },
    response_class=Response,
    response_model=None,
)
async def get_file(
    request: Request,
    jobId: Annotated[str, Path(description="As in the link.")],  # noqa: N803 - the wire's spelling
    fileName: Annotated[str, Path(description="As in the link.")],  # noqa: N803
    services: ServicesOf,
    expires: Annotated[int, Query(description="As in the link.")],
    signature: Annotated[str, Query(description="As in the link.", max_length=200)],
) -> Response:
    """Read a file. Links come from `download` or from its job, and need no token."""
    job = await services.exports.linked(jobId, expires_at=expires, signature=signature)
    if fileName != job.file_name:
        raise ResultsExpiredError("There is no file of this name; take the link as it was given.")
    url = await services.exports.store_url(job, expires_at=expires)
    if url is not None:
        return RedirectResponse(url, 302, headers={"Cache-Control": "no-store"})
    return await _from_store(request, services, job)


async def _from_store(request: Request, services: Services, job: ExportJob) -> Response:
    async def read(first: int, end: int) -> AsyncIterator[bytes]:
        for begin in range(first, end, _READ_BYTES):
            try:
                yield await services.store.get_range(job.object_key, begin, min(end, begin + _READ_BYTES))
            except ObjectNotFoundError:
                raise ResultsExpiredError("The file is gone; ask for it again.") from None

    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(job.file_name, safe='')}",
        "ETag": f'"{job.digest}"',
        "Cache-Control": "private",
    }
    media_type = ExportOptions.from_json(job.options).format.media_type
    total = job.byte_count or 0
    return await ranged(read, total=total, asked=request.headers, headers=headers, media_type=media_type)


async def _requested(
    request: Request, services: Services, caller: Account, *, project: str, query: str
) -> tuple[QueryRecord, ExportJob]:
    project_uuid = caller.enter(project)
    body = await read_body(request, DownloadRequest, bytes_max=services.settings.body_bytes_max)
    options = _options(body)
    require_storage(services.settings, _FILE)
    record = await services.queries.load(query, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    require_stored(record, _FILE)
    if record.pivot is not None and not body.exportPivotedData:
        raise NotSupportedError(
            "exportPivotedData can only be true: a pivot is stored pivoted. Ask the query without its pivot.",
            field="exportPivotedData",
        )
    if body.showColumnTotals:
        require_kept(record)
        options = replace(options, totals_query=await column_totals_of(services, caller, record))
    job = await services.exports.request(record, options, file_name=body.attachmentDownloadName)
    return record, job


def _options(body: DownloadRequest) -> ExportOptions:
    known = [kind.value for kind in ExportFormat]
    if body.type not in known:
        raise ParameterError(f"type must be one of {', '.join(known)}, not {body.type!r}.", field="type")
    if body.showColumnTotals and not ExportFormat(body.type).has_totals:
        raise ParameterError(
            f"showColumnTotals is for csv and xlsx; a {body.type} file has the rows only.", field="showColumnTotals"
        )
    return ExportOptions(
        format=ExportFormat(body.type),
        only_raw=body.onlyRaw,
        show_table_names=body.showTableNames,
        custom_labels=tuple(sorted(body.customLabels.items())),
        column_order=tuple(body.columnOrder),
        hidden_fields=tuple(sorted(set(body.hiddenFields))),
        escape_formulas=body.escapeFormulas,
    )


async def job_details(services: Services, job: ExportJob, request: Request) -> dict[str, Any] | None:
    """Return what the state of a job tells of its file: how far it is, where it is, or why there is none."""
    if job.failure is not None:
        return {"error": job.failure.message, "errorName": job.failure.name}
    if job.status is JobStatus.COMPLETED:
        record = await services.statuses.load(job.query_uuid)
        truncated = record is not None and record.truncated
        return await _file_details(services, job, truncated=truncated, base=base_url(request))
    return {"progress": {"rows": job.rows_done, "totalRows": job.row_count}}


async def _file_details(services: Services, job: ExportJob, *, truncated: bool, base: str) -> dict[str, Any]:
    """Return what an answer tells of a file that is there."""
    path, expires_at = await services.exports.path(job)
    return {
        "fileUrl": base + path,
        "truncated": truncated,
        "jobId": job.job_uuid,
        "byteCount": job.byte_count,
        "expiresAt": iso(expires_at),
    }
