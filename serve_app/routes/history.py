"""`GET …/query-history`: who asked what, when, and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime
from starlette.responses import Response

from queryfleet.errors import ForbiddenError, PaginationError
from queryfleet.schemas.responses import HistoryAnswer
from queryfleet.status.record import HistoryEntry, HistoryFilter, Timings
from queryfleet.status.transitions import QueryStatus
from serve_app.accounts import Account, canonical_uuid
from serve_app.dependencies import Caller, ProjectUuid, ServicesOf
from serve_app.envelope import iso, ok
from serve_app.routes._answers import errors

__all__ = ["router"]

router = APIRouter(prefix="/api/v2/projects/{projectUuid}", tags=["history"])

_PAGE_SIZE = 100
_PAGE_SIZE_MAX = 1000
_SQL_CHARACTERS = 10_000


@router.get(
    "/query-history",
    operation_id="getQueryHistory",
    summary="List queries, newest first",
    responses={200: {"model": HistoryAnswer}, **errors(401, 403, 404, 422, 503)},
    response_model=None,
)
async def query_history(
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
    page: Annotated[int, Query(description="From 1.")] = 1,
    pageSize: Annotated[int, Query(description="Queries per page, at most 1000.")] = _PAGE_SIZE,  # noqa: N803
    status: Annotated[list[QueryStatus] | None, Query(description="Only these; repeatable.")] = None,
    userUuid: Annotated[  # noqa: N803
        str | None, Query(description="Whose queries. Absent: one's own; for an admin, everybody's.")
    ] = None,
    since: Annotated[
        AwareDatetime | None, Query(description="Asked at this time or later, ISO 8601 with zone.")
    ] = None,
    until: Annotated[AwareDatetime | None, Query(description="Asked before this time.")] = None,
) -> Response:
    """Return one page of a project's queries: SQL, status, times of each phase, rows, bytes, attempts, cache hit.

    The SQL is cut at 10,000 characters; it is empty for those who may not run SQL, since it shows the models' row
    filters. Only an admin sees queries of other users.
    """
    project_uuid = caller.enter(projectUuid)
    if page < 1 or not 1 <= pageSize <= _PAGE_SIZE_MAX:
        raise PaginationError(
            f"page must be at least 1 and pageSize between 1 and {_PAGE_SIZE_MAX}.",
            page=page,
            pageSize=pageSize,
            maxPageSize=_PAGE_SIZE_MAX,
        )
    wanted = HistoryFilter(
        project_uuid=project_uuid,
        user_uuid=_visible_user(caller, project_uuid, userUuid),
        statuses=tuple(status) if status else None,
        since=since,
        until=until,
    )
    total = await services.statuses.history_count(wanted)
    skip = (page - 1) * pageSize
    rows = []
    if skip < total:  # also keeps numbers that the database could not count to away from it
        rows = await services.statuses.history(wanted, count=pageSize, skip=skip, sql_characters=_SQL_CHARACTERS)
    with_sql = caller.may_run_sql(project_uuid)
    results = {
        "page": page,
        "pageSize": pageSize,
        "totalResults": total,
        "totalPageCount": -(-total // pageSize),
        "queries": [_entry(row, with_sql=with_sql) for row in rows],
    }
    return ok(results)


def _visible_user(caller: Account, project_uuid: str, wanted: str | None) -> str | None:
    """Return whose queries are shown; None for everybody's."""
    is_admin = caller.roles[project_uuid] == "admin"
    if wanted is None:
        return None if is_admin else caller.user_uuid
    known = canonical_uuid(wanted) or "00000000-0000-0000-0000-000000000000"
    if known != caller.user_uuid and not is_admin:
        raise ForbiddenError("Only an admin of the project sees other users' queries.", field="userUuid")
    return known


def _entry(row: HistoryEntry, *, with_sql: bool) -> dict[str, Any]:
    return {
        "queryUuid": row["query_uuid"],
        "userUuid": row["user_uuid"],
        "context": row["context"],
        "sql": row["sql"] if with_sql else "",
        "exploreName": row["explore_name"],
        "status": row["status"],
        "phase": row["phase"],
        "attempt": row["attempt"],
        "cacheHit": row["cache_hit"],
        "truncated": row["truncated"],
        "warehouseQueryId": row["warehouse_query_id"],
        "rows": row["row_count"],
        "bytes": row["byte_count"],
        "error": row["error_message"],
        "errorName": row["error_name"],
        "createdAt": iso(row["created_at"]),
        "startedAt": _iso_or_none(row["claimed_at"]),
        "endedAt": _iso_or_none(row["ended_at"]),
        "resultsExpireAt": _iso_or_none(row["results_expire_at"]),
        "timings": _timings(row).milliseconds(),
    }


def _timings(row: HistoryEntry) -> Timings:
    return Timings(
        created_at=row["created_at"],
        claimed_at=row["claimed_at"],
        executing_at=row["executing_at"],
        fetching_at=row["fetching_at"],
        finishing_at=row["finishing_at"],
        ended_at=row["ended_at"],
    )


def _iso_or_none(moment: datetime | None) -> str | None:
    return iso(moment) if moment is not None else None
