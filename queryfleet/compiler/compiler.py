"""A metric query to SQL: its fields found, its plan made of stages, the plan printed.

    MetricQuery + Explore + Context ──▶ Question ──▶ Plan ──▶ text

    grouped query ▸ earlier periods ▸ post-calculations ▸ metric filter ▸ table calculations ▸ final select

Each stage is there only when something needs it; a plain question is one SELECT. Nothing here reads or writes
anything: the same arguments always give the same text.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from queryfleet.compiler.additional_metrics import with_additional_metrics
from queryfleet.compiler.conditions import enabled_ids
from queryfleet.compiler.printer import printed
from queryfleet.compiler.question import check_name_lengths, resolved
from queryfleet.compiler.rendering import Renderer
from queryfleet.compiler.row_limit import QueryLimits, limited
from queryfleet.compiler.statement import StatementMaker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.compiler.context import Context
    from queryfleet.compiler.metric_query import DateZoom, MetricQuery
    from queryfleet.compiler.parameters import ParameterValue
    from queryfleet.compiler.plan import Plan
    from queryfleet.compiler.query_warning import QueryWarning
    from queryfleet.compiler.within import Within
    from queryfleet.errors import JsonValue
    from queryfleet.semantic.explore import Explore

__all__ = ["CompiledQuery", "QueryLimits", "compile_metric_query"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledQuery:
    """A metric query, ready to run."""

    sql: str  # one statement, without a semicolon
    columns: tuple[str, ...]  # ids in the order of the result: dimensions, metrics, table calculations
    items: Mapping[str, Mapping[str, JsonValue]]  # wire description by id, in the same order
    query: MetricQuery  # as it is run: without repetitions, with its order and its limit
    plan: Plan  # what `sql` was printed from
    warnings: tuple[QueryWarning, ...] = ()
    parameter_references: frozenset[str] = frozenset()  # names met in the SQL, those of branches not taken included
    used_parameters: Mapping[str, ParameterValue] = field(default_factory=dict)  # values that the SQL depends on
    is_date_zoomed: bool = False  # did the date zoom change a column?


def compile_metric_query(
    query: MetricQuery,
    explore: Explore,
    context: Context,
    *,
    limits: QueryLimits | None = None,
    date_zoom: DateZoom | None = None,
    can_write_sql: bool = True,
    nulls_first: bool | None = None,
    within: Within | None = None,
) -> CompiledQuery:
    """Return the SQL of a metric query.

    Args:
        query: What is asked. Its `timezone`, where it has one, wins over that of the context.
        explore: As the caller may use it: it has passed `semantic.access.permitted_explore`.
        context: For which warehouse, for whom, and when. What it says of `fields` and `filtered` is replaced.
        limits: Of the service; None: the defaults.
        date_zoom: Shows a date at another interval.
        can_write_sql: False refuses SQL of the client's own that no dimension has; see `custom_sql`.
        nulls_first: Where NULLs are in the order when a sort does not say; None: as the warehouse does.
        within: Only rows of these groups of another query count; None: all.

    Raises:
        FieldReferenceError: An id is no field's; the message has the nearest name.
        ForbiddenError: A field is not the caller's, or SQL needs an attribute that the caller has no value of.
        ParameterError: A value does not fit, or a parameter has none (`details.missingReferences`).
        CompileError: A field or calculation cannot be compiled.

    Cost: some milliseconds; linear in the query and in the SQL it needs, not in the explore.
    """
    if query.timezone:
        context = replace(context, timezone=query.timezone)
    explore = with_additional_metrics(explore, query, can_write_sql=can_write_sql)
    question = resolved(query, explore)
    filtered = (query.dimension_filters, query.metric_filters, query.calculation_filters)
    context = replace(
        context,
        fields=frozenset({*question.query.dimensions, *question.query.metrics}),
        filtered=frozenset(field_id for group in filtered for field_id in enabled_ids(group)),
    )
    check_name_lengths(question.query, context.dialect.name)
    renderer = Renderer(explore, context)
    column_count = len(question.dimensions) + len(question.metrics) + len(query.calculations)
    limit, warning = limited(query, column_count, limits or QueryLimits())
    question = replace(question, query=replace(question.query, limit=limit))
    maker = StatementMaker(
        question, renderer, date_zoom=date_zoom, can_write_sql=can_write_sql, nulls_first=nulls_first, within=within
    )
    made = maker.statement()
    return CompiledQuery(
        sql=printed(made.plan, context.dialect),
        columns=tuple(made.items),
        items=made.items,
        query=made.query,
        plan=made.plan,
        warnings=(*(() if warning is None else (warning,)), *made.warnings),
        parameter_references=renderer.parameter_references,
        used_parameters=renderer.used_parameters,
        is_date_zoomed=made.is_date_zoomed,
    )
