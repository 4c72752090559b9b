"""`POST …/query/chart`, `…/dashboard-chart`, `…/sql-chart`, `…/dashboard-sql-chart` and `…/underlying-data`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from actors.submit import submit_sql
from queryfleet.content.record import ContentKind, StoredContent
from queryfleet.content.values import saved_chart, sql_chart
from queryfleet.errors import NotFoundError
from queryfleet.limits import ProjectLimits
from queryfleet.schemas.content_answers import DashboardQueryAnswer, UnderlyingDataAnswer
from queryfleet.schemas.model_answers import MetricQueryAnswer
from queryfleet.schemas.requests import QueryContext
from queryfleet.schemas.responses import ExecuteAnswer
from queryfleet.schemas.saved_requests import (
    ChartRequest,
    DashboardChartRequest,
    DashboardSqlChartRequest,
    SavedRequest,
    SqlChartRequest,
    UnderlyingDataRequest,
)
from serve_app.accounts import Account
from serve_app.content import content_in_project, content_of_project
from serve_app.dependencies import Caller, ProjectUuid, ServicesOf, read_body
from serve_app.questions import Asked, parameter_values
from serve_app.routes._answers import KEY_CHARACTERS_MAX, body_of, errors, wait_ms_of
from serve_app.routes._asking import answer_to, asker_of, submitted
from serve_app.saved_questions import Placed, chart_question, placed
from serve_app.services import Services
from serve_app.sql_charts import SqlAsked, sql_chart_question
from serve_app.underlying_data import underlying_question

if TYPE_CHECKING:
    from queryfleet.status.record import Acceptance
    from serve_app.models import ProjectModels

__all__ = ["router"]

router = APIRouter(prefix="/api/v2/projects/{projectUuid}/query", tags=["content"])

_ERRORS = errors(400, 401, 403, 404, 409, 413, 422, 429, 501, 503)
_IdempotencyKey = Annotated[
    str | None, Header(max_length=KEY_CHARACTERS_MAX, description="Repeating a request with its key runs it once.")
]
_WaitMs = Annotated[
    int | None,
    Query(ge=0, description="Hold the answer until the query has ended, at most this many milliseconds."),
]


@router.post(
    "/chart",
    operation_id="executeChartQuery",
    summary="Run a saved chart",
    responses={200: {"model": MetricQueryAnswer}, **_ERRORS},
    response_model=None,
    openapi_extra=body_of(ChartRequest),
)
async def execute_chart(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
    waitMs: _WaitMs = None,  # noqa: N803
    idempotency_key: _IdempotencyKey = None,
) -> Response:
    """Ask what a saved chart asks, under the caller's own rights to the models."""
    project_uuid = caller.enter(projectUuid)
    body = await read_body(request, ChartRequest, bytes_max=services.settings.body_bytes_max)
    content = await content_of_project(
        services.content, project_uuid, ContentKind.CHART, body.chartUuid, version_uuid=body.versionUuid
    )
    return await _run_chart(services, caller, body, content, None, wait_ms=waitMs, idempotency_key=idempotency_key)


@router.post(
    "/dashboard-chart",
    operation_id="executeDashboardChartQuery",
    summary="Run a chart of a dashboard",
    responses={200: {"model": DashboardQueryAnswer}, **_ERRORS},
    response_model=None,
    openapi_extra=body_of(DashboardChartRequest),
)
async def execute_dashboard_chart(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
    waitMs: _WaitMs = None,  # noqa: N803
    idempotency_key: _IdempotencyKey = None,
) -> Response:
    """Ask what a tile shows: the chart's question with the dashboard's filters, order, zoom and parameters.

    `appliedDashboardFilters` has the rules that hold; those on fields that the chart's explore does not list are left
    out.
    """
    project_uuid = caller.enter(projectUuid)
    body = await read_body(request, DashboardChartRequest, bytes_max=services.settings.body_bytes_max)
    content = await content_of_project(services.content, project_uuid, ContentKind.CHART, body.chartUuid)
    place = await _placed(services, project_uuid, content, body)
    return await _run_chart(services, caller, body, content, place, wait_ms=waitMs, idempotency_key=idempotency_key)


@router.post(
    "/sql-chart",
    operation_id="executeSqlChartQuery",
    summary="Run a saved SQL chart",
    responses={200: {"model": ExecuteAnswer}, **_ERRORS},
    response_model=None,
    openapi_extra=body_of(SqlChartRequest),
)
async def execute_sql_chart(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
    waitMs: _WaitMs = None,  # noqa: N803
    idempotency_key: _IdempotencyKey = None,
) -> Response:
    """Run the statement of a SQL chart: that of whoever saved it, for everybody in the project."""
    project_uuid = caller.enter(projectUuid)
    body = await read_body(request, SqlChartRequest, bytes_max=services.settings.body_bytes_max)
    content = await _sql_chart_of(services, project_uuid, body)
    return await _run_sql(services, caller, body, content, None, wait_ms=waitMs, idempotency_key=idempotency_key)


@router.post(
    "/dashboard-sql-chart",
    operation_id="executeDashboardSqlChartQuery",
    summary="Run a SQL chart of a dashboard",
    responses={200: {"model": DashboardQueryAnswer}, **_ERRORS},
    response_model=None,
    openapi_extra=body_of(DashboardSqlChartRequest),
)
async def execute_dashboard_sql_chart(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
    waitMs: _WaitMs = None,  # noqa: N803
    idempotency_key: _IdempotencyKey = None,
) -> Response:
    """Run the statement of a tile, with those of the dashboard's filters whose target for the tile is a SQL column."""
    project_uuid = caller.enter(projectUuid)
    body = await read_body(request, DashboardSqlChartRequest, bytes_max=services.settings.body_bytes_max)
    content = await _sql_chart_of(services, project_uuid, body)
    place = await _placed(services, project_uuid, content, body)
    return await _run_sql(services, caller, body, content, place, wait_ms=waitMs, idempotency_key=idempotency_key)


@router.post(
    "/underlying-data",
    operation_id="executeUnderlyingDataQuery",
    summary="Show the rows behind a value",
    responses={200: {"model": UnderlyingDataAnswer}, **_ERRORS},
    response_model=None,
    openapi_extra=body_of(UnderlyingDataRequest),
)
async def execute_underlying_data(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
    waitMs: _WaitMs = None,  # noqa: N803
    idempotency_key: _IdempotencyKey = None,
) -> Response:
    """Ask for the rows behind a value of one of the caller's queries: the columns that the models list for it.

    The filters are those of the request, which are the values of the cell; those of the models hold as always. Where
    the stored result of the earlier query is sure to hold the rows they are chosen from it (`answeredFrom`), else the
    warehouse is asked. Of a SQL query they are its own rows; where only the warehouse has them, that needs the right to
    run SQL.
    """
    project_uuid = caller.enter(projectUuid)
    settings = services.settings
    body = await read_body(request, UnderlyingDataRequest, bytes_max=settings.body_bytes_max)
    held_ms = wait_ms_of(waitMs if waitMs is not None else body.waitMs, settings.wait_ms_max)
    source_uuid = body.underlyingDataSourceQueryUuid
    record = await services.queries.load(source_uuid, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    source = await services.statuses.load_question(record.query_uuid)
    if source is None:
        raise NotFoundError("There is no such query.", queryUuid=source_uuid)
    models = await services.models.of(project_uuid)
    asker = asker_of(caller, project_uuid)
    asked = await asyncio.to_thread(
        underlying_question, body, record, source, models=models, asker=asker, settings=settings
    )
    acceptance = await _accepted(services, caller, models, asked, body, idempotency_key=idempotency_key)
    is_stored = asked.question.selection is not None
    if not acceptance.created:  # what counts is how the first request of this key was answered
        first = await services.queries.load(
            acceptance.query_uuid, project_uuid=project_uuid, user_uuid=caller.user_uuid
        )
        is_stored = first.selection is not None or first.cache_hit
    members = asked.members | {"answeredFrom": "storedResult" if is_stored or acceptance.cache_hit else "warehouse"}
    return await answer_to(services, caller, acceptance, members, wait_ms=held_ms, project_uuid=project_uuid)


async def _sql_chart_of(services: Services, project_uuid: str, body: SqlChartRequest) -> StoredContent:
    if body.savedSqlUuid is not None:
        return await content_of_project(services.content, project_uuid, ContentKind.SQL_CHART, body.savedSqlUuid)
    return await content_in_project(services.content, project_uuid, ContentKind.SQL_CHART, body.slug or "")


async def _placed(
    services: Services,
    project_uuid: str,
    content: StoredContent,
    body: DashboardChartRequest | DashboardSqlChartRequest,
) -> Placed:
    found = await content_of_project(services.content, project_uuid, ContentKind.DASHBOARD, body.dashboardUuid)
    return placed(found, content, body.tileUuid, filters=body.dashboardFilters, sorts=body.dashboardSorts)


async def _run_chart(
    services: Services,
    caller: Account,
    body: ChartRequest | DashboardChartRequest,
    content: StoredContent,
    place: Placed | None,
    *,
    wait_ms: int | None,
    idempotency_key: str | None,
) -> Response:
    settings = services.settings
    held_ms = wait_ms_of(wait_ms if wait_ms is not None else body.waitMs, settings.wait_ms_max)
    models = await services.models.of(content.project_uuid)
    asker = asker_of(caller, content.project_uuid)

    def asking() -> Asked:
        chart = saved_chart(content.body)
        return chart_question(body, content, chart, place, models=models, asker=asker, settings=settings)

    asked = await asyncio.to_thread(asking)
    return await _commit(services, caller, models, asked, body, held_ms=held_ms, idempotency_key=idempotency_key)


async def _commit(
    services: Services,
    caller: Account,
    models: ProjectModels,
    asked: Asked,
    body: SavedRequest,
    *,
    held_ms: int,
    idempotency_key: str | None,
) -> Response:
    acceptance = await _accepted(services, caller, models, asked, body, idempotency_key=idempotency_key)
    return await answer_to(
        services, caller, acceptance, asked.members, wait_ms=held_ms, project_uuid=models.project_uuid
    )


async def _accepted(
    services: Services,
    caller: Account,
    models: ProjectModels,
    asked: Asked,
    body: SavedRequest,
    *,
    idempotency_key: str | None,
) -> Acceptance:
    return await submitted(
        services,
        caller,
        models,
        asked.question,
        context=body.context or QueryContext.API,
        idempotency_key=idempotency_key,
        use_cache=not body.invalidateCache,
        poll_ttl_seconds=body.pollTtl,
    )


async def _run_sql(
    services: Services,
    caller: Account,
    body: SqlChartRequest,
    content: StoredContent,
    place: Placed | None,
    *,
    wait_ms: int | None,
    idempotency_key: str | None,
) -> Response:
    settings = services.settings
    held_ms = wait_ms_of(wait_ms if wait_ms is not None else body.waitMs, settings.wait_ms_max)
    models = await services.models.of(content.project_uuid)
    asker = asker_of(caller, content.project_uuid)

    def asking() -> SqlAsked:
        return sql_chart_question(
            sql_chart(content.body),
            place,
            limit=(body.limit,) if "limit" in body.model_fields_set else None,
            parameters=parameter_values(body.parameters),
            models=models,
            asker=asker,
            settings=settings,
        )

    asked = await asyncio.to_thread(asking)
    # Shielded: a client that hangs up now leaves a whole query or none.
    acceptance = await asyncio.shield(
        submit_sql(
            services.statuses,
            project_uuid=content.project_uuid,
            project=models.definition | {"allow_writes": False},  # whoever may not write SQL may run a chart
            limits=ProjectLimits.of(models.definition, settings),
            user_uuid=caller.user_uuid,
            sql=asked.sql,
            row_limit=asked.row_limit,
            context=(body.context or QueryContext.SQL_RUNNER).value,
            idempotency_key=idempotency_key,
            use_cache=not body.invalidateCache,
            poll_ttl_seconds=body.pollTtl,
            pivot=asked.pivot,
            stores_rows=settings.stores_rows,
        )
    )
    return await answer_to(
        services, caller, acceptance, asked.members, wait_ms=held_ms, project_uuid=content.project_uuid
    )
