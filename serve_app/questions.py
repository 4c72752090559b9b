"""Questions to the models, compiled for one caller: from a request to SQL, and what the answer says beside it.

Everything here is computation, some milliseconds of it: routes call it in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from actors.submit import CompiledQuestion
from queryfleet.compiler.compiler import compile_metric_query
from queryfleet.compiler.context import Context
from queryfleet.compiler.dashboard_filters import with_dashboard_filters
from queryfleet.compiler.dialects import dialect_of
from queryfleet.compiler.parameters import resolve_parameters
from queryfleet.compiler.request import parse_date_zoom, parse_metric_query
from queryfleet.compiler.row_limit import QueryLimits
from queryfleet.errors import ParameterError
from queryfleet.limits import ProjectLimits
from queryfleet.status.record import Failure
from serve_app.clock import question_time
from serve_app.permitted import find_explore
from serve_app.pivots import PivotAsked, missing_orders, pivoted_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.submit import PivotedStatement
    from queryfleet.compiler.compiler import CompiledQuery
    from queryfleet.compiler.metric_query import MetricQuery
    from queryfleet.errors import JsonValue
    from queryfleet.schemas.requests import CompileRequest, MetricQueryRequest, ParameterValues
    from queryfleet.semantic.explore import Explore
    from queryfleet.settings import Settings
    from serve_app.models import ProjectModels

__all__ = ["Asked", "Asker", "ask", "compiled", "compiled_sql", "context_of", "parameter_values"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """What of a caller decides about the SQL."""

    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    email: str | None = None
    may_run_sql: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question that can be submitted, and the members of its answer."""

    question: CompiledQuestion
    members: dict[str, Any]


def ask(body: MetricQueryRequest, models: ProjectModels, asker: Asker, settings: Settings) -> Asked:
    """Compile the question of a request.

    Raises:
        NotFoundError: There is no such explore.
        ForbiddenError: The explore or a field is not the caller's, or SQL of the caller's own is not allowed.
        RequestError: The question is wrong; the class and the message say how.
    """
    query = parse_metric_query(body.query)
    explore = find_explore(models.catalog, query.explore, asker.attributes, with_broken=asker.may_run_sql)
    asked = body.model_dump(mode="json", exclude={"waitMs"})
    further: dict[str, JsonValue] = {}
    if body.dashboardFilters is not None:
        filtered = with_dashboard_filters(query, body.dashboardFilters, explore)
        query = filtered.query
        further["appliedDashboardFilters"] = dict(filtered.applied)
    try:
        compiled_query = compiled(
            query,
            explore,
            models,
            asker,
            settings,
            parameters=parameter_values(body.parameters),
            date_zoom=body.dateZoom,
        )
    except ParameterError as error:
        if "missingReferences" not in error.details:
            raise
        return _incomplete(query, explore, models, error, asked=asked, further=further)
    if body.dateZoom is not None:
        further["dateZoomApplied"] = compiled_query.is_date_zoomed
    pivot, sql, warnings = None, compiled_query.sql, [warning.to_json() for warning in compiled_query.warnings]
    if body.pivotConfiguration:
        statement, said = _pivoted(body, compiled_query, explore, models=models, asker=asker, settings=settings)
        pivot, sql = statement.task, statement.sql
        warnings += [{"message": message} for message in said]
    zone = _zone(query, models)
    fields: dict[str, JsonValue] = {name: dict(item) for name, item in compiled_query.items.items()}
    used = {name: value.to_json() for name, value in (compiled_query.used_parameters or {}).items()}
    question: dict[str, JsonValue] = {"metricQuery": compiled_query.query.to_json(), "parameters": used}
    if body.dateZoom is not None:
        question["dateZoom"] = body.dateZoom
    return Asked(
        question=CompiledQuestion(
            sql=sql,
            pivot=pivot,
            fields=fields,
            timezone=zone,
            question=question,
            asked=asked,
        ),
        members={
            "metricQuery": question["metricQuery"],
            "fields": fields,
            "warnings": warnings,
            "parameterReferences": sorted(compiled_query.parameter_references),
            "usedParametersValues": used,
            "resolvedTimezone": zone,
        }
        | further,
    )


def _pivoted(
    body: MetricQueryRequest,
    compiled_query: CompiledQuery,
    explore: Explore,
    *,
    models: ProjectModels,
    asker: Asker,
    settings: Settings,
) -> tuple[PivotedStatement, tuple[str, ...]]:
    """Return what runs in place of the question, and warnings; raises like `pivoted_query`."""
    limits = ProjectLimits.of(models.definition, settings)
    asked = PivotAsked.of(body.pivotConfiguration or {}, body.pivotPlan, limits, settings)
    query = compiled_query.query
    more = missing_orders(compiled_query, asked.spec)
    if more:
        compiled_query = compiled(
            replace(query, sorts=(*query.sorts, *more)),
            explore,
            models,
            asker,
            settings,
            parameters=parameter_values(body.parameters),
            date_zoom=body.dateZoom,
        )
    return pivoted_query(compiled_query, dialect_of(models.warehouse_type), asked, timezone=_zone(query, models))


def _incomplete(
    query: MetricQuery,
    explore: Explore,
    models: ProjectModels,
    error: ParameterError,
    *,
    asked: JsonValue,
    further: Mapping[str, JsonValue],
) -> Asked:
    """Return a question that lacks parameters: it is accepted, and its poll says so."""
    missing = error.details["missingReferences"]
    zone = _zone(query, models)
    known = explore.fields
    fields: dict[str, JsonValue] = {
        field_id: known[field_id].item() for field_id in (*query.dimensions, *query.metrics) if field_id in known
    }
    failure = Failure(name=error.wire_name, message=error.message, status=error.status, details=dict(error.details))
    return Asked(
        question=CompiledQuestion(
            sql="",
            fields=fields,
            timezone=zone,
            question={"metricQuery": query.to_json()},
            asked=asked,
            outcome=failure,
        ),
        members={
            "metricQuery": query.to_json(),
            "fields": fields,
            "warnings": [],
            "parameterReferences": missing,
            "usedParametersValues": {},
            "resolvedTimezone": zone,
            **further,
        },
    )


def compiled_sql(
    body: CompileRequest, explore_name: str, models: ProjectModels, asker: Asker, settings: Settings
) -> dict[str, JsonValue]:
    """Return the SQL of a question, which may name its explore or leave that to the route.

    Raises:
        ParameterError: The question names another explore, or a parameter has no value.
        RequestError: As `ask`.
    """
    given = {"exploreName": explore_name} | (body.model_extra or {})
    query = parse_metric_query(given)
    if query.explore != explore_name:
        raise ParameterError(f"the question is to explore `{query.explore}`, the route to `{explore_name}`")
    explore = find_explore(models.catalog, explore_name, asker.attributes, with_broken=asker.may_run_sql)
    found = compiled(query, explore, models, asker, settings, parameters=parameter_values(body.parameters))
    return {"query": found.sql, "parameterReferences": [*sorted(found.parameter_references)]}


def compiled(
    query: MetricQuery,
    explore: Explore,
    models: ProjectModels,
    asker: Asker,
    settings: Settings,
    *,
    parameters: Mapping[str, JsonValue],
    date_zoom: Mapping[str, JsonValue] | None = None,
) -> CompiledQuery:
    """Compile one question to an explore that the caller may use.

    Raises:
        RequestError: The question is wrong; the class and the message say how.
    """
    return compile_metric_query(
        query,
        explore,
        context_of(query, explore, models, asker, settings, parameters=parameters),
        limits=QueryLimits(rows_max=settings.row_limit_max, cells_max=settings.export_cells_max),
        date_zoom=None if date_zoom is None else parse_date_zoom(date_zoom),
        can_write_sql=asker.may_run_sql,
    )


def context_of(
    query: MetricQuery,
    explore: Explore,
    models: ProjectModels,
    asker: Asker,
    settings: Settings,
    *,
    parameters: Mapping[str, JsonValue],
) -> Context:
    """Return everything that the SQL of a question depends on besides the explore.

    Raises:
        ParameterError: A parameter or the time zone is wrong.
        NotSupportedError: Models cannot be compiled for the project's warehouse.
    """
    return Context(
        dialect=dialect_of(models.warehouse_type),
        now=question_time(settings),
        timezone=_zone(query, models),
        data_timezone="UTC",  # what sessions of every warehouse are set to
        start_of_week=models.start_of_week,
        attributes=asker.attributes,
        email=asker.email,
        parameters=resolve_parameters(explore.parameters, parameters),
        case_sensitive=explore.case_sensitive,
    )


def parameter_values(given: ParameterValues | None) -> dict[str, JsonValue]:
    """Return the values of a request by name; none when it has none."""
    return {name: [*value] if isinstance(value, list) else value for name, value in (given or {}).items()}


def _zone(query: MetricQuery, models: ProjectModels) -> str:
    return query.timezone or models.timezone
