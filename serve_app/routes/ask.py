"""`POST …/query/metric-query` and `…/field-values`, and `…/compileQuery`: questions to the models of a project."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from queryfleet.errors import NotFoundError
from queryfleet.limits import ProjectLimits
from queryfleet.schemas.model_answers import CompileAnswer, FieldValuesAnswer, MetricQueryAnswer
from queryfleet.schemas.requests import (
    CalculateTotalRequest,
    CompileRequest,
    FieldValuesRequest,
    MetricQueryRequest,
    QueryContext,
)
from serve_app.dependencies import Caller, ProjectUuid, QueryUuid, ServicesOf, read_body
from serve_app.envelope import ok
from serve_app.field_search import search_field, with_known_values
from serve_app.questions import ask, compiled_sql
from serve_app.routes._answers import KEY_CHARACTERS_MAX, body_of, errors, wait_ms_of
from serve_app.routes._asking import answer_to, asker_of, submitted
from serve_app.routes.explores import ExploreName
from serve_app.storage import require_storage
from serve_app.totals import total_question

__all__ = ["router"]

router = APIRouter(prefix="/api", tags=["models"])

_QUERY = "/v2/projects/{projectUuid}/query"
_IdempotencyKey = Annotated[
    str | None, Header(max_length=KEY_CHARACTERS_MAX, description="Repeating a request with its key runs it once.")
]
_WaitMs = Annotated[
    int | None,
    Query(ge=0, description="Hold the answer until the query has ended, at most this many milliseconds."),
]


@router.post(
    f"{_QUERY}/metric-query",
    operation_id="executeMetricQuery",
    summary="Ask the models",
    responses={200: {"model": MetricQueryAnswer}, **errors(400, 401, 403, 404, 409, 413, 422, 429, 501, 503)},
    response_model=None,
    openapi_extra=body_of(MetricQueryRequest),
)
async def execute_metric_query(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
    waitMs: _WaitMs = None,  # noqa: N803
    idempotency_key: _IdempotencyKey = None,
) -> Response:
    """Compile a question to SQL and return its `queryUuid` at once, with a description of each column.

    Rows that the caller may not see are filtered by the models; an explore or field that is not the caller's answers
    403, one that does not exist 404 or 400 with the nearest name. A parameter that has no value ends the query in
    `error`. Calculations and custom fields in SQL of the caller's own need the role editor or admin. With `waitMs` the
    answer also has the members of a poll, rows included when the query is ready in time.
    """
    project_uuid = caller.enter(projectUuid)
    settings = services.settings
    body = await read_body(request, MetricQueryRequest, bytes_max=settings.body_bytes_max)
    wait_ms = wait_ms_of(waitMs if waitMs is not None else body.waitMs, settings.wait_ms_max)
    models = await services.models.of(project_uuid)
    answer = await asyncio.to_thread(ask, body, models, asker_of(caller, project_uuid), settings)
    acceptance = await submitted(
        services,
        caller,
        models,
        answer.question,
        context=body.context,
        idempotency_key=idempotency_key,
        use_cache=not body.invalidateCache,
        poll_ttl_seconds=body.pollTtl,
    )
    return await answer_to(services, caller, acceptance, answer.members, wait_ms=wait_ms, project_uuid=project_uuid)


@router.post(
    f"{_QUERY}/{{queryUuid}}/calculate-total",
    operation_id="calculateTotal",
    summary="Total a query to the models",
    responses={200: {"model": MetricQueryAnswer}, **errors(400, 401, 403, 404, 413, 422, 429, 501, 503)},
    response_model=None,
    openapi_extra=body_of(CalculateTotalRequest),
)
async def calculate_total(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    queryUuid: QueryUuid,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
    waitMs: _WaitMs = None,  # noqa: N803
) -> Response:
    """Compute the metrics of one of the caller's queries again over fewer dimensions, as a new query to be polled.

    The warehouse computes totals from its rows, so distinct counts and ratios are right. Grand totals and totals of
    columns are over all rows, totals of rows and subtotals over what the query shows.
    """
    project_uuid = caller.enter(projectUuid)
    settings = services.settings
    body = await read_body(request, CalculateTotalRequest, bytes_max=settings.body_bytes_max)
    wait_ms = wait_ms_of(waitMs, settings.wait_ms_max)
    record = await services.queries.load(queryUuid, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    source = await services.statuses.load_question(record.query_uuid)
    if source is None:
        raise NotFoundError("There is no such query.", queryUuid=queryUuid)
    models = await services.models.of(project_uuid)
    asker = asker_of(caller, project_uuid)
    answer = await asyncio.to_thread(total_question, body, source, models, asker, settings)
    is_subtotal = body.kind in ("columnSubtotal", "rowSubtotal")
    acceptance = await submitted(
        services,
        caller,
        models,
        answer.question,
        context=QueryContext.CALCULATE_SUBTOTAL if is_subtotal else QueryContext.CALCULATE_TOTAL,
        idempotency_key=None,
        use_cache=not body.invalidateCache,
        poll_ttl_seconds=None,
    )
    return await answer_to(services, caller, acceptance, answer.members, wait_ms=wait_ms, project_uuid=project_uuid)


@router.post(
    f"{_QUERY}/field-values",
    operation_id="searchFieldValues",
    summary="Search the values of a field",
    responses={200: {"model": FieldValuesAnswer}, **errors(400, 401, 403, 404, 413, 422, 429, 501, 503)},
    response_model=None,
    openapi_extra=body_of(FieldValuesRequest),
)
async def search_field_values(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
    waitMs: _WaitMs = None,  # noqa: N803
) -> Response:
    """Search the different values of a dimension, in any case; the search is a query to be polled like any other.

    Rows that the caller may not see give no values. A dimension whose models list its values is answered without the
    warehouse.
    """
    project_uuid = caller.enter(projectUuid)
    settings = services.settings
    body = await read_body(request, FieldValuesRequest, bytes_max=settings.body_bytes_max)
    wait_ms = wait_ms_of(waitMs, settings.wait_ms_max)
    models = await services.models.of(project_uuid)
    search = await asyncio.to_thread(search_field, body, models, asker_of(caller, project_uuid), settings)
    question = search.question
    if search.values is not None:
        require_storage(settings, "A search among values that the models list")
        limits = ProjectLimits.of(models.definition, settings)
        question = await with_known_values(search, services.store, ttl_seconds=limits.cache_seconds)
    acceptance = await submitted(
        services,
        caller,
        models,
        question,
        context=QueryContext.FILTER_AUTOCOMPLETE,
        idempotency_key=None,
        use_cache=not (body.invalidateCache or body.forceRefresh),
        poll_ttl_seconds=None,
    )
    return await answer_to(services, caller, acceptance, search.members, wait_ms=wait_ms, project_uuid=project_uuid)


@router.post(
    "/v1/projects/{projectUuid}/explores/{exploreName}/compileQuery",
    operation_id="compileQuery",
    summary="Show a question as SQL",
    responses={200: {"model": CompileAnswer}, **errors(400, 401, 403, 404, 413, 422, 503)},
    response_model=None,
    openapi_extra=body_of(CompileRequest),
)
async def compile_query(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    exploreName: ExploreName,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Return the SQL of a question without running it. It shows the models' own SQL: needs the role editor or admin."""
    project_uuid = caller.enter(projectUuid)
    caller.require_sql(project_uuid)
    body = await read_body(request, CompileRequest, bytes_max=services.settings.body_bytes_max)
    models = await services.models.of(project_uuid)
    asker = asker_of(caller, project_uuid)
    return ok(await asyncio.to_thread(compiled_sql, body, exploreName, models, asker, services.settings))
