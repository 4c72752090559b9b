"""`POST …/query/sql`: accept a question."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from actors.submit import PivotedStatement, submit_sql
from queryfleet.errors import InvalidRequestError, JsonValue
from queryfleet.limits import ProjectLimits
from queryfleet.schemas.requests import SqlRequest
from queryfleet.schemas.responses import ExecuteAnswer
from queryfleet.settings import Settings
from serve_app.accounts import Account
from serve_app.dependencies import Caller, ProjectUuid, ServicesOf, read_body
from serve_app.pivots import PivotAsked, pivoted_sql
from serve_app.questions import parameter_values
from serve_app.routes._answers import KEY_CHARACTERS_MAX, body_of, errors, wait_ms_of
from serve_app.routes._asking import answer_to, asker_of
from serve_app.services import Services
from serve_app.sql_references import FilledSql, filled, refers

__all__ = ["router"]

router = APIRouter(prefix="/api/v2/projects/{projectUuid}/query", tags=["queries"])


@router.post(
    "/sql",
    operation_id="executeSqlQuery",
    summary="Run SQL",
    responses={200: {"model": ExecuteAnswer}, **errors(400, 401, 403, 404, 409, 413, 422, 429, 501, 503)},
    response_model=None,
    openapi_extra=body_of(SqlRequest),
)
async def execute_sql(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
    waitMs: Annotated[  # noqa: N803 - the wire's spelling
        int | None,
        Query(ge=0, description="Hold the answer until the query has ended, at most this many milliseconds."),
    ] = None,
    idempotency_key: Annotated[
        str | None, Header(max_length=KEY_CHARACTERS_MAX, description="Repeating a request with its key runs it once.")
    ] = None,
) -> Response:
    """Accept one SQL statement and return its `queryUuid` at once; errors of the SQL itself are told by the poll.

    The query is committed before this answers: it will end in `ready`, `error` or `cancelled` whatever happens to the
    service. With `waitMs` the answer also has the members of a poll, rows included when the query is ready in time.
    """
    project_uuid = caller.enter(projectUuid)
    caller.require_sql(project_uuid)
    settings = services.settings
    body = await read_body(request, SqlRequest, bytes_max=settings.body_bytes_max)
    wait_ms = wait_ms_of(waitMs if waitMs is not None else body.waitMs, settings.wait_ms_max)
    if body.limit is not None and body.limit > settings.row_limit_max:
        raise InvalidRequestError(
            f"limit must be at most {settings.row_limit_max}; leave it out for all rows.",
            limit={"message": f"must be at most {settings.row_limit_max}", "value": body.limit},
        )
    project = await services.projects.definition(project_uuid)
    limits = ProjectLimits.of(project, settings)
    statement = await _statement(body, services, caller, project_uuid)
    body = body.model_copy(update={"sql": statement.sql})
    pivot = await asyncio.to_thread(_pivot_of, body, project, limits, settings) if body.pivotConfiguration else None
    # Shielded: a client that hangs up now leaves a whole query or none.
    acceptance = await asyncio.shield(
        submit_sql(
            services.statuses,
            project_uuid=project_uuid,
            project=project,
            limits=limits,
            user_uuid=caller.user_uuid,
            sql=body.sql,
            row_limit=body.limit,
            context=body.context.value,
            idempotency_key=idempotency_key,
            use_cache=not body.invalidateCache,
            poll_ttl_seconds=body.pollTtl,
            pivot=pivot,
            stores_rows=settings.stores_rows,
        )
    )
    return await answer_to(services, caller, acceptance, statement.members, wait_ms=wait_ms, project_uuid=project_uuid)


async def _statement(body: SqlRequest, services: Services, caller: Account, project_uuid: str) -> FilledSql:
    if not refers(body.sql):
        return FilledSql(sql=body.sql)
    models = await services.models.of(project_uuid)
    given = parameter_values(body.parameters)
    return await asyncio.to_thread(filled, body.sql, given, models, asker_of(caller, project_uuid))


def _pivot_of(
    body: SqlRequest, project: dict[str, JsonValue], limits: ProjectLimits, settings: Settings
) -> PivotedStatement:
    warehouse = project.get("warehouse")
    return pivoted_sql(
        body.sql,
        PivotAsked.of(body.pivotConfiguration or {}, body.pivotPlan, limits, settings),
        warehouse_type=str(warehouse.get("type")) if isinstance(warehouse, dict) else "",
        row_limit=body.limit,
    )
