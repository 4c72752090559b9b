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
from queryfleet.compiler.printer import printed
from queryfleet.compiler.request import parse_date_zoom, parse_metric_query
from queryfleet.compiler.row_limit import QueryLimits
from queryfleet.errors import ParameterError
from queryfleet.limits import ProjectLimits
from queryfleet.status.record import Failure
from serve_app.clock import question_time
from serve_app.permitted import find_explore
from serve_app.pivots import PivotAsked, missing_orders, pivoted_query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from queryfleet.compiler.compiler import CompiledQuery
    from queryfleet.compiler.dialects import Dialect
    from queryfleet.compiler.metric_query import MetricQuery
    from queryfleet.errors import JsonValue
    from queryfleet.pivot.task import PivotTask
    from queryfleet.schemas.requests import CompileRequest, MetricQueryRequest, ParameterValues
    from queryfleet.schemas.requests import PivotWay as WirePlan
    from queryfleet.semantic.explore import Explore
    from queryfleet.settings import Settings
    from serve_app.models import ProjectModels

__all__ = [
    "Asked",
    "Asker",
    "Terms",
    "answered",
    "ask",
    "compiled",
    "compiled_sql",
    "context_of",
    "parameter_values",
    "with_repetitions",
]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a question is asked, besides what it asks."""

    asked: JsonValue  # the request; a repeat under the same idempotency key has an equal one
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)  # values by name
    date_zoom: Mapping[str, JsonValue] | None = None
    pivot: Callable[[CompiledQuery], Mapping[str, JsonValue] | None] | None = None  # its configuration; None: none
    pivot_plan: WirePlan | None = None  # None: we choose
    further: Mapping[str, JsonValue] = field(default_factory=dict)  # members of the answer
    origin: Mapping[str, JsonValue] = field(default_factory=dict)  # kept with the query: what it was made from
    is_saved: bool = False  # its SQL is that of somebody who might write it, whoever asks
    is_distinct: bool = True  # False: rows that are equal stay; the question has no metrics and no calculations


def ask(body: MetricQueryRequest, models: ProjectModels, asker: Asker, settings: Settings) -> Asked:
    """Compile the question of a request.

    Raises:
        NotFoundError: There is no such explore.
        ForbiddenError: The explore or a field is not the caller's, or SQL of the caller's own is not allowed.
        RequestError: The question is wrong; the class and the message say how.
    """
    query = parse_metric_query(body.query)
    explore = find_explore(models.catalog, query.explore, asker.attributes, with_broken=asker.may_run_sql)
    further: dict[str, JsonValue] = {}
    if body.dashboardFilters is not None:
        filtered = with_dashboard_filters(query, body.dashboardFilters, explore)
        query = filtered.query
        further["appliedDashboardFilters"] = dict(filtered.applied)
    configuration = body.pivotConfiguration
    terms = Terms(
        asked=body.model_dump(mode="json", exclude={"waitMs"}),
        parameters=parameter_values(body.parameters),
        date_zoom=body.dateZoom,
        pivot=(lambda _: configuration) if configuration else None,
        pivot_plan=body.pivotPlan,
        further=further,
    )
    return answered(query, explore, models, asker, settings, terms=terms)


def answered(
    query: MetricQuery,
    explore: Explore,
    models: ProjectModels,
    asker: Asker,
    settings: Settings,
    *,
    terms: Terms,
) -> Asked:
    """Compile a question to an explore that the caller may use; one that lacks parameters ends in an error.

    Raises:
        RequestError: The question is wrong; the class and the message say how.
    """

    def compiling(query: MetricQuery) -> CompiledQuery:
        return compiled(
            query,
            explore,
            models,
            asker,
            settings,
            parameters=terms.parameters,
            date_zoom=terms.date_zoom,
            can_write_sql=terms.is_saved or None,
        )

    further = dict(terms.further)
    try:
        compiled_query = compiling(query)
    except ParameterError as error:
        if "missingReferences" not in error.details:
            raise
        return _incomplete(query, explore, models, error, asked=terms.asked, further=further, origin=terms.origin)
    if terms.date_zoom is not None:
        further["dateZoomApplied"] = compiled_query.is_date_zoomed
    pivot, sql = None, compiled_query.sql
    warnings: list[JsonValue] = [warning.to_json() for warning in compiled_query.warnings]
    configuration = terms.pivot(compiled_query) if terms.pivot is not None else None
    if configuration:
        limits = ProjectLimits.of(models.definition, settings)
        spec = PivotAsked.of(configuration, terms.pivot_plan, limits, settings)
        more = missing_orders(compiled_query, spec.spec)
        given = compiled_query.query
        ordered = compiling(replace(given, sorts=(*given.sorts, *more))) if more else compiled_query
        dialect = dialect_of(models.warehouse_type)
        statement, said = pivoted_query(ordered, dialect, spec, timezone=_zone(query, models))
        pivot, sql = statement.task, statement.sql
        warnings += [{"message": message} for message in said]
    elif not terms.is_distinct:
        sql = with_repetitions(compiled_query, dialect_of(models.warehouse_type))
    if asker.may_run_sql:  # it shows row filters
        further["sql"] = sql
    return _asked(
        compiled_query, sql, pivot, terms, zone=_zone(query, models), further=further | {"warnings": warnings}
    )


def _asked(
    compiled_query: CompiledQuery,
    sql: str,
    pivot: PivotTask | None,
    terms: Terms,
    *,
    zone: str,
    further: Mapping[str, JsonValue],
) -> Asked:
    """Return a question that was compiled, and the members of its answer."""
    fields: dict[str, JsonValue] = {name: dict(item) for name, item in compiled_query.items.items()}
    used = {name: value.to_json() for name, value in (compiled_query.used_parameters or {}).items()}
    question: dict[str, JsonValue] = {"metricQuery": compiled_query.query.to_json(), "parameters": used}
    if terms.date_zoom is not None:
        question["dateZoom"] = dict(terms.date_zoom)
    return Asked(
        question=CompiledQuestion(
            sql=sql,
            pivot=pivot,
            fields=fields,
            timezone=zone,
            question=question | dict(terms.origin),
            asked=terms.asked,
        ),
        members={
            "metricQuery": question["metricQuery"],
            "fields": fields,
            "warnings": [],
            "parameterReferences": sorted(compiled_query.parameter_references),
            "usedParametersValues": used,
            "resolvedTimezone": zone,
        }
        | dict(further),
    )


def with_repetitions(compiled_query: CompiledQuery, dialect: Dialect) -> str:
    """Return the SQL of a question without metrics and calculations, equal rows not put together.

    Raises:
        ParameterError: It has metrics or calculations.
    """
    plan = compiled_query.plan
    if plan.final.group_by != len(plan.final.outputs):
        raise ParameterError(
            "`distinct: false` is for columns that are dimensions: leave the metrics out", field="distinct"
        )
    return printed(replace(plan, final=replace(plan.final, group_by=0)), dialect)


def _incomplete(
    query: MetricQuery,
    explore: Explore,
    models: ProjectModels,
    error: ParameterError,
    *,
    asked: JsonValue,
    further: Mapping[str, JsonValue],
    origin: Mapping[str, JsonValue],
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
            question={"metricQuery": query.to_json(), **origin},
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
    can_write_sql: bool | None = None,
) -> CompiledQuery:
    """Compile one question to an explore that the caller may use.

    Args:
        query: The question.
        explore: As the caller may use it.
        models: Of the project.
        asker: The caller.
        settings: Of the service.
        parameters: Values by name.
        date_zoom: As the wire has it.
        can_write_sql: May the question hold SQL that no model has? None: as the caller may.

    Raises:
        RequestError: The question is wrong; the class and the message say how.
    """
    return compile_metric_query(
        query,
        explore,
        context_of(query, explore, models, asker, settings, parameters=parameters),
        limits=QueryLimits(rows_max=settings.row_limit_max, cells_max=settings.export_cells_max),
        date_zoom=None if date_zoom is None else parse_date_zoom(date_zoom),
        can_write_sql=asker.may_run_sql if can_write_sql is None else can_write_sql,
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
