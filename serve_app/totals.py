"""Totals of a question that was asked before: from its query to another question."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from actors.submit import CompiledQuestion
from queryfleet.compiler.compiler import compile_metric_query
from queryfleet.compiler.dialects import dialect_of
from queryfleet.compiler.printer import printed
from queryfleet.compiler.request import parse_date_zoom, parse_metric_query
from queryfleet.compiler.row_limit import QueryLimits
from queryfleet.compiler.total_query import TotalKind, total_query
from queryfleet.compiler.within import Within
from queryfleet.errors import ParameterError
from queryfleet.limits import ProjectLimits
from queryfleet.pivot.task import PivotTask
from serve_app.permitted import find_explore
from serve_app.pivots import PivotAsked, missing_orders, pivoted_totals, visible_cells
from serve_app.questions import Asked, context_of

if TYPE_CHECKING:
    from queryfleet.compiler.compiler import CompiledQuery
    from queryfleet.compiler.metric_query import MetricQuery
    from queryfleet.errors import JsonValue
    from queryfleet.schemas.requests import CalculateTotalRequest
    from queryfleet.semantic.explore import Explore
    from queryfleet.settings import Settings
    from queryfleet.status.record import StoredQuestion
    from serve_app.models import ProjectModels
    from serve_app.questions import Asker

__all__ = ["total_question"]

_PIVOTED = (TotalKind.COLUMN_TOTAL, TotalKind.COLUMN_SUBTOTAL, TotalKind.ROW_SUBTOTAL)
_OF_VISIBLE = (TotalKind.ROW_TOTAL, TotalKind.COLUMN_SUBTOTAL, TotalKind.ROW_SUBTOTAL)


def total_question(
    body: CalculateTotalRequest, source: StoredQuestion, models: ProjectModels, asker: Asker, settings: Settings
) -> Asked:
    """Compile the totals of a query, under the caller's rights of today.

    Raises:
        ParameterError: The query did not ask the models, or `subtotalDimensions` do not fit.
        RequestError: The query cannot be asked any more; the class and the message say why.
    """
    return _Totals(body, source, models, asker, settings).asked()


class _Totals:
    """One request for totals."""

    def __init__(
        self,
        body: CalculateTotalRequest,
        source: StoredQuestion,
        models: ProjectModels,
        asker: Asker,
        settings: Settings,
    ) -> None:
        question = source["question"]
        asked = (question or {}).get("metricQuery")
        if question is None or not isinstance(asked, dict):
            raise ParameterError("Only queries that ask the models have totals; this one is SQL.", field="queryUuid")
        self._kind = TotalKind(body.kind)
        self._by = tuple(dict.fromkeys(body.subtotalDimensions or ()))
        self._models, self._asker, self._settings = models, asker, settings
        self._dialect = dialect_of(models.warehouse_type)
        self._query = parse_metric_query(asked)
        self._explore = find_explore(
            models.catalog, self._query.explore, asker.attributes, with_broken=asker.may_run_sql
        )
        parameters, zoom = question.get("parameters"), question.get("dateZoom")
        self._parameters: dict[str, JsonValue] = parameters if isinstance(parameters, dict) else {}
        self._zoom: dict[str, JsonValue] | None = zoom if isinstance(zoom, dict) else None
        # SQL in a saved chart is that of whoever saved it, who had the right to.
        self._may_write_sql = asker.may_run_sql or "chartUuid" in question
        self._pivot = None if source["pivot"] is None else PivotTask.from_json(source["pivot"])

    def asked(self) -> Asked:
        """Return the question and the members of its answer."""
        groups = self._pivot.plan.spec.groups if self._pivot is not None else ()
        explore: Explore = self._explore
        total = total_query(self._query, explore, self._kind, groups=groups, by=self._by)
        compiled = self._compiled(total, self._within())
        sql, task = compiled.sql, None
        zone = total.timezone or self._models.timezone
        if self._pivot is not None and groups and self._kind in _PIVOTED:
            statement = pivoted_totals(compiled, self._dialect, self._pivot_asked(self._pivot), timezone=zone)
            sql, task = statement.sql, statement.task
        fields: dict[str, JsonValue] = {name: dict(item) for name, item in compiled.items.items()}
        used = {name: value.to_json() for name, value in compiled.used_parameters.items()}
        question: dict[str, JsonValue] = {"metricQuery": compiled.query.to_json(), "parameters": used}
        if self._zoom is not None:
            question["dateZoom"] = self._zoom
        return Asked(
            question=CompiledQuestion(
                sql=sql, pivot=task, fields=fields, timezone=zone, question=question, asked=[sql, self._kind.value]
            ),
            members={
                "metricQuery": question["metricQuery"],
                "fields": fields,
                "warnings": [warning.to_json() for warning in compiled.warnings],
                "parameterReferences": sorted(compiled.parameter_references),
                "usedParametersValues": used,
                "resolvedTimezone": zone,
            },
        )

    def _within(self) -> Within | None:
        """Return the groups that count: those the source shows, or those its filters on results let through."""
        query = self._query
        is_filtered = query.metric_filters is not None or query.calculation_filters is not None
        if not query.dimensions or not (is_filtered or self._kind in _OF_VISIBLE):
            return None
        source = self._compiled(query, None)
        if self._kind not in _OF_VISIBLE:
            return Within(dimensions=query.dimensions, sql=printed(source.plan.unordered(), self._dialect))
        if self._pivot is None:
            return Within(dimensions=query.dimensions, sql=source.sql)
        asked = self._pivot_asked(self._pivot)
        more = missing_orders(source, asked.spec)
        if more:
            source = self._compiled(replace(source.query, sorts=(*source.query.sorts, *more)), None)
        names, sql = visible_cells(source, self._dialect, asked)
        return Within(dimensions=names, sql=sql) if names else None

    def _pivot_asked(self, task: PivotTask) -> PivotAsked:
        limits = ProjectLimits.of(self._models.definition, self._settings)
        return PivotAsked(spec=task.plan.spec, way=None, rows_max=limits.rows, settings=self._settings)

    def _compiled(self, query: MetricQuery, within: Within | None) -> CompiledQuery:
        settings = self._settings
        return compile_metric_query(
            query,
            self._explore,
            context_of(query, self._explore, self._models, self._asker, settings, parameters=self._parameters),
            limits=QueryLimits(rows_max=settings.row_limit_max, cells_max=settings.export_cells_max),
            date_zoom=None if self._zoom is None else parse_date_zoom(self._zoom),
            can_write_sql=self._may_write_sql,
            within=within,
        )
