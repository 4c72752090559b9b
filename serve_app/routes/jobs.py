"""`GET /api/v1/schedulers/job/{jobId}/status`: how a job is: of a file, or a query told in other words."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from queryfleet.errors import NotFoundError
from queryfleet.schemas.model_answers import JobAnswer
from queryfleet.status.record import QueryRecord
from queryfleet.status.transitions import QueryStatus
from serve_app.accounts import canonical_uuid
from serve_app.dependencies import Caller, ServicesOf
from serve_app.envelope import ok
from serve_app.routes._answers import errors
from serve_app.routes.downloads import job_details
from serve_app.routes.sql_runner import results_path

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/schedulers/job", tags=["SQL runner"])

_WAIT_SECONDS = 1.0  # what clients do between two polls, done here: a job that ends is told at once
_STATES = {QueryStatus.PENDING: "scheduled", QueryStatus.RUNNING: "started", QueryStatus.READY: "completed"}


@router.get(
    "/{jobId}/status",
    operation_id="getJobStatus",
    summary="Poll a job",
    responses={200: {"model": JobAnswer}, **errors(401, 404, 503)},
    response_model=None,
)
async def get_job_status(
    request: Request,
    jobId: Annotated[str, Path(description="From the call that started it.")],  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Return the state of a job; the answer is held until it has ended, for a second at most."""
    file_job = await services.exports.of(jobId, user_uuid=caller.user_uuid)
    if file_job is not None and file_job.project_uuid in caller.roles:
        file_job = await services.exports.wait(file_job, timeout_seconds=_WAIT_SECONDS)
        return ok({"status": file_job.status.value, "details": await job_details(services, file_job, request)})
    known = canonical_uuid(jobId)
    owned = await services.queries.project_of(known, user_uuid=caller.user_uuid) if known is not None else None
    if owned is None or owned not in caller.roles:
        raise NotFoundError("There is no such job.", jobId=jobId)
    record = await services.queries.load(jobId, project_uuid=owned, user_uuid=caller.user_uuid)
    record = await services.queries.wait(record, until=lambda _: False, timeout_seconds=_WAIT_SECONDS)
    return ok({"status": _STATES.get(record.status, "error"), "details": _details(record)})


def _details(record: QueryRecord) -> dict[str, Any] | None:
    if record.status is QueryStatus.READY:
        columns = [{"reference": column.reference, "type": column.type.value} for column in record.columns or ()]
        details: dict[str, Any] = {
            "fileUrl": results_path(record.project_uuid, record.query_uuid),
            "columns": columns,
            "totalResults": record.row_count,
        }
        return details | ({"truncated": True} if record.truncated else {})
    if record.status is QueryStatus.ERROR:
        return {"error": record.failure.message if record.failure is not None else "The query failed."}
    if record.status is QueryStatus.CANCELLED:
        return {"error": "The query was cancelled."}
    return None
