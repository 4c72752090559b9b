"""`GET …/query/{queryUuid}/events`: what happens to a query, as it happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from queryfleet.status.transitions import QueryStatus
from serve_app.dependencies import Caller, ProjectUuid, QueryUuid, ServicesOf
from serve_app.pages import state_members
from serve_app.routes._answers import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from queryfleet.status.record import QueryRecord
    from serve_app.queries import Queries

__all__ = ["router"]

router = APIRouter(prefix="/api/v2/projects/{projectUuid}/query", tags=["queries"])

_QUEUE_SECONDS = 2.0  # between two looks at the place in the queue, of which nobody is told
_ALIVE_SECONDS = 15.0  # then a comment is sent, so that nothing in between takes the connection for dead
_END = "end"  # id of the last event: who comes back with it has seen everything
_EXAMPLE = 'event: state\ndata: {"queryUuid":"…","status":"running","phase":"fetching","progress":{"rows":5000}}\n\n'


@router.get(
    "/{queryUuid}/events",
    operation_id="watchQuery",
    summary="Be told what happens to a query",
    responses={
        200: {
            "description": "Server-sent events: `state` at each change, then one `end`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        204: {"description": "`Last-Event-ID` says that the end has been seen; there is nothing more."},
        **errors(401, 404, 503),
    },
    response_class=Response,
    response_model=None,
)
async def watch_query(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    queryUuid: QueryUuid,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Send the state of a query at once and at each change, until it has ended; rows are read by other routes.

    Each event is the whole state, as a poll tells it, so a client that was cut off misses nothing that still holds.
    """
    project_uuid = caller.enter(projectUuid)
    record = await services.queries.load(queryUuid, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    if record.is_terminal and request.headers.get("last-event-id") == _END:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(services.queries, record), headers=headers, media_type="text/event-stream")


async def _events(queries: Queries, record: QueryRecord) -> AsyncIterator[bytes]:
    told: dict[str, Any] | None = None
    while not record.is_terminal:
        members = state_members(record)
        waits = record.status is QueryStatus.PENDING
        state = members | ({"queuePosition": await queries.queue_position(record.query_uuid)} if waits else {})
        yield b":\n\n" if state == told else _event("state", state)
        told = state
        seconds = _QUEUE_SECONDS if waits else _ALIVE_SECONDS
        record = await queries.wait_in_any_crowd(record, until=_differs_from(members), timeout_seconds=seconds)
    yield _event(_END, state_members(record), event_id=_END)


def _differs_from(members: dict[str, Any]) -> Callable[[QueryRecord], bool]:
    return lambda now: state_members(now) != members


def _event(name: str, members: dict[str, Any], *, event_id: str | None = None) -> bytes:
    head = f"event: {name}\n" if event_id is None else f"event: {name}\nid: {event_id}\n"
    return (head + f"data: {json.dumps(members, ensure_ascii=False, separators=(',', ':'))}\n\n").encode()
