"""`…/sqlRunner/…`: SQL as a job, whole results as lines, and what the warehouse holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from actors.submit import submit_sql
from queryfleet.errors import InvalidRequestError, NotFoundError
from queryfleet.limits import ProjectLimits
from queryfleet.schemas.model_answers import JobStartedAnswer, TableFieldsAnswer, TablesAnswer
from queryfleet.schemas.requests import QueryContext, SqlJobRequest
from serve_app.accounts import Account
from serve_app.dependencies import Caller, ProjectUuid, QueryUuid, ServicesOf, read_body
from serve_app.envelope import ok
from serve_app.routes._answers import body_of, errors
from serve_app.services import Services
from serve_app.small_results import rows_of
from serve_app.storage import require_storage, require_stored
from serve_app.stored_lines import require_ready, stored_lines
from serve_app.warehouse_tables import columns_by_name, columns_sql, tables_by_schema, tables_sql

__all__ = ["results_path", "router"]

router = APIRouter(prefix="/api/v1/projects/{projectUuid}/sqlRunner", tags=["SQL runner"])

_TABLES_MAX = 100_000
_COLUMNS_MAX = 10_000
_LINES = "application/jsonl"
_STREAM = "A stream of all rows"


def results_path(project_uuid: str, query_uuid: str) -> str:
    """Return where the lines of a query are."""
    return f"/api/v1/projects/{project_uuid}/sqlRunner/results/{query_uuid}"


@router.post(
    "/run",
    operation_id="runSqlJob",
    summary="Run SQL as a job",
    responses={200: {"model": JobStartedAnswer}, **errors(400, 401, 403, 404, 413, 422, 429, 501, 503)},
    response_model=None,
    openapi_extra=body_of(SqlJobRequest),
)
async def run_sql_job(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Accept one SQL statement; its job is told by `GET /api/v1/schedulers/job/{jobId}/status`.

    The job is a query like any other: its uuid works with every route of queries.
    """
    project_uuid = caller.enter(projectUuid)
    caller.require_sql(project_uuid)
    require_storage(services.settings, "A job whose result is read as one file of lines")
    body = await read_body(request, SqlJobRequest, bytes_max=services.settings.body_bytes_max)
    most = services.settings.row_limit_max
    if body.limit is not None and body.limit > most:
        raise InvalidRequestError(
            f"limit must be at most {most}; leave it out for all rows.",
            limit={"message": f"must be at most {most}", "value": body.limit},
        )
    query_uuid = await _submit(services, caller, project_uuid, body.sql, row_limit=body.limit)
    return ok({"jobId": query_uuid})


@router.get(
    "/results/{queryUuid}",
    operation_id="getSqlRunnerResults",
    summary="Read a whole result as lines",
    responses={
        200: {
            "description": "One JSON object a row, raw values by column.",
            "content": {_LINES: {"schema": {"type": "string"}, "example": '{"status":"shipped","n":1234}\n'}},
        },
        **errors(400, 401, 404, 409, 501, 503),
    },
    response_class=Response,
    response_model=None,
)
async def get_sql_runner_results(
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    queryUuid: QueryUuid,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Stream every row of a ready query, whatever its size. It breaks off when stored rows are gone or damaged."""
    project_uuid = caller.enter(projectUuid)
    require_storage(services.settings, _STREAM)
    record = await services.queries.load(queryUuid, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    require_ready(record)
    require_stored(record, _STREAM)
    services.pages.require_kept(record)
    chunks = await services.queries.chunks(record, 0, record.row_count) if record.row_count else ()
    pieces = stored_lines(services.store, chunks)
    first = await anext(pieces, b"")  # an object that is missing is told while there is still a status to tell it by

    async def body() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return StreamingResponse(body(), media_type=_LINES, headers={"X-Total-Rows": str(record.row_count)})


@router.get(
    "/tables",
    operation_id="getWarehouseTables",
    summary="List the warehouse's tables",
    responses={200: {"model": TablesAnswer}, **errors(400, 401, 403, 404, 429, 501, 503)},
    response_model=None,
)
async def get_tables(
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Return the tables and views that the project's login can read, at most 100,000: by database, schema, name."""
    project_uuid = caller.enter(projectUuid)
    caller.require_sql(project_uuid)
    sql = tables_sql((await services.models.of(project_uuid)).warehouse_type)
    query_uuid = await _submit(services, caller, project_uuid, sql, row_limit=_TABLES_MAX, use_cache=False)
    rows = await rows_of(services, query_uuid, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    return ok(tables_by_schema(rows))


@router.get(
    "/fields",
    operation_id="getWarehouseTableFields",
    summary="List a table's columns",
    responses={200: {"model": TableFieldsAnswer}, **errors(400, 401, 403, 404, 422, 429, 501, 503)},
    response_model=None,
)
async def get_fields(
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
    table: Annotated[str, Query(description="Name of a table, as the warehouse spells it.")],
    schema: Annotated[str | None, Query(description="Its schema; absent: any.")] = None,
) -> Response:
    """Return the columns of one table in order, each with its type."""
    project_uuid = caller.enter(projectUuid)
    caller.require_sql(project_uuid)
    sql = columns_sql((await services.models.of(project_uuid)).warehouse_type, table=table, schema=schema)
    query_uuid = await _submit(services, caller, project_uuid, sql, row_limit=_COLUMNS_MAX, use_cache=False)
    rows = await rows_of(services, query_uuid, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    if not rows:
        raise NotFoundError("The project's login sees no such table; `…/sqlRunner/tables` lists them.", table=table)
    return ok(columns_by_name(rows))


async def _submit(
    services: Services, caller: Account, project_uuid: str, sql: str, *, row_limit: int | None, use_cache: bool = True
) -> str:
    project = await services.projects.definition(project_uuid)
    acceptance = await asyncio.shield(
        submit_sql(
            services.statuses,
            project_uuid=project_uuid,
            project=project,
            limits=ProjectLimits.of(project, services.settings),
            user_uuid=caller.user_uuid,
            sql=sql,
            row_limit=row_limit,
            context=QueryContext.SQL_RUNNER.value,
            idempotency_key=None,
            use_cache=use_cache,
            stores_rows=services.settings.stores_rows,
        )
    )
    return acceptance.query_uuid
