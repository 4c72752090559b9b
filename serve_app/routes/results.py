"""`GET …/query/{queryUuid}` and cancel."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from queryfleet.errors import InvalidRequestError
from queryfleet.schemas.responses import CancelAnswer, PollAnswer
from serve_app.dependencies import Caller, ProjectUuid, QueryUuid, ServicesOf
from serve_app.envelope import ok
from serve_app.pages import PageRequest
from serve_app.routes._answers import errors

__all__ = ["router"]

router = APIRouter(prefix="/api/v2/projects/{projectUuid}/query", tags=["queries"])


@router.get(
    "/{queryUuid}",
    operation_id="getQuery",
    summary="Poll a query, or read a page of its rows",
    responses={200: {"model": PollAnswer}, **errors(400, 401, 404, 422, 429, 501, 503)},
    response_model=None,
)
async def get_query(
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    queryUuid: QueryUuid,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
    page: Annotated[int | None, Query(description="From 1; 1 when absent.")] = None,
    pageSize: Annotated[int | None, Query(description="Rows per page; 500 when absent.")] = None,  # noqa: N803
    waitMs: Annotated[  # noqa: N803
        int, Query(ge=0, description="Hold the answer until the query has ended, at most this many milliseconds.")
    ] = 0,
) -> Response:
    """Return the state of a query; once it is ready, a page of its rows.

    While the query runs, naming a `page` gives its rows as soon as all of them are stored. With `waitMs` the answer is
    held until the query has ended, or until the named page is stored.
    """
    settings = services.settings
    project_uuid = caller.enter(projectUuid)
    wanted = PageRequest.of(page, pageSize, settings)
    if waitMs > settings.wait_ms_max:
        raise InvalidRequestError(
            f"waitMs must be at most {settings.wait_ms_max}.",
            waitMs={"message": f"must be at most {settings.wait_ms_max}", "value": waitMs},
        )
    record = await services.queries.load(queryUuid, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    record = await services.queries.wait(record, until=wanted.covered_by, timeout_seconds=waitMs / 1000)
    return await services.pages.answer(record, wanted)


@router.post(
    "/{queryUuid}/cancel",
    operation_id="cancelQuery",
    summary="Cancel a query",
    responses={200: {"model": CancelAnswer}, **errors(401, 404, 503)},
    response_model=None,
)
async def cancel_query(
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    queryUuid: QueryUuid,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Stop a query in the warehouse and drop its rows. Answers once it has ended, within a few seconds.

    A query that has ended already stays as it is; cancelling twice is no error.
    """
    settings = services.settings
    project_uuid = caller.enter(projectUuid)
    record = await services.queries.load(queryUuid, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    if not record.is_terminal:
        await services.statuses.request_cancel(record.query_uuid)
        await services.queries.wait(record, until=lambda _: False, timeout_seconds=settings.cancel_wait_seconds)
    return ok(None)
