"""Drill-down: the rows behind a value of an earlier query, as a question to the same explore."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.date_zoom import zoomed_dimension
from queryfleet.compiler.filters import FilterGroup
from queryfleet.compiler.metric_query import MetricQuery, SqlDimension
from queryfleet.compiler.parameters import resolve_parameters
from queryfleet.compiler.request import parse_date_zoom, parse_metric_query
from queryfleet.errors import FieldReferenceError, ForbiddenError
from queryfleet.semantic.explore import Dimension, Metric
from queryfleet.semantic.field_set import expanded_fields
from serve_app.permitted import find_explore
from serve_app.questions import Terms, answered, parameter_values
from serve_app.saved_questions import layered, limited_by_request, parsed_sorts
from serve_app.stored_answers import DrillDown, rows_of_models
from serve_app.underlying_sql import underlying_sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from queryfleet.errors import JsonValue
    from queryfleet.schemas.saved_requests import UnderlyingDataRequest
    from queryfleet.semantic.explore import Explore, Field
    from queryfleet.settings import Settings
    from queryfleet.status.record import QueryRecord, StoredQuestion
    from serve_app.models import ProjectModels
    from serve_app.questions import Asked, Asker

__all__ = ["underlying_question"]

_COLUMNS_MAX: Final = 50  # of those that no model lists


def underlying_question(
    body: UnderlyingDataRequest,
    record: QueryRecord,
    source: StoredQuestion,
    *,
    models: ProjectModels,
    asker: Asker,
    settings: Settings,
) -> Asked:
    """Compile the question for the rows behind an earlier query, under the caller's rights of today.

    It chooses from the stored rows of the earlier query where these are sure to be the same.

    Args:
        body: The request.
        record: The earlier query, of the caller's own.
        source: What it asked.
        models: Of the project.
        asker: The caller.
        settings: Of the service.

    Raises:
        ParameterError: A value does not fit.
        FieldReferenceError: The item, or a field of a filter or sort, does not exist.
        RequestError: The question cannot be asked any more; the class and the message say why.
    """
    stored = source["question"] or {}
    asked = stored.get("metricQuery")
    if not isinstance(asked, dict):
        return underlying_sql(body, record, source, models=models, asker=asker, settings=settings)
    earlier = parse_metric_query(asked)
    explore = find_explore(models.catalog, earlier.explore, asker.attributes, with_broken=asker.may_run_sql)
    found, zoom = stored.get("parameters"), body.dateZoom or stored.get("dateZoom")
    saved = found if isinstance(found, dict) else {}
    parameters = layered(saved, parameter_values(body.parameters))
    may = _May(explore, asker, frozenset(resolve_parameters(explore.parameters, parameters)))
    columns = _listed(body.underlyingDataItemId, earlier, explore, may)
    if columns is None:
        columns = [each.field_id for each in _visible(body.underlyingDataItemId, earlier, explore, may)]
    query = limited_by_request(_question(body, columns, earlier, explore), body.limit, settings)
    if isinstance(zoom, dict):
        query = _regrained(query, earlier, zoom, explore)
    terms = Terms(
        asked=body.model_dump(mode="json", exclude={"waitMs"}),
        parameters=parameters,
        is_distinct=body.distinct,
        is_saved="chartUuid" in stored,
        origin={name: stored[name] for name in ("chartUuid", "chartVersionUuid") if name in stored},
    )
    answer = answered(query, explore, models, asker, settings, terms=terms)
    if zoom or body.invalidateCache or answer.question.outcome is not None:
        return answer
    drill = DrillDown(
        query=query,
        parameters=parameters,
        is_distinct=body.distinct,
        earlier=earlier,
        earlier_parameters=saved,
        is_saved=terms.is_saved,
        explore=explore,
    )
    selection = rows_of_models(drill, record, source, models=models, asker=asker, settings=settings)
    return replace(answer, question=replace(answer.question, selection=selection))


def _question(
    body: UnderlyingDataRequest, columns: Sequence[str], earlier: MetricQuery, explore: Explore
) -> MetricQuery:
    """Return the question for columns of an explore, and those dimensions of the earlier query that are SQL."""
    own = [each.id for each in earlier.custom_dimensions if isinstance(each, SqlDimension)]
    further = parse_metric_query({"exploreName": earlier.explore, "filters": dict(body.filters)})
    return MetricQuery(
        explore=earlier.explore,
        dimensions=(
            *(name for name in columns if not isinstance(explore.fields.get(name), Metric)),
            *(name for name in earlier.dimensions if name in own),
        ),
        metrics=tuple(name for name in columns if isinstance(explore.fields.get(name), Metric)),
        dimension_filters=further.dimension_filters,
        metric_filters=further.metric_filters,
        calculation_filters=further.calculation_filters,
        sorts=parsed_sorts(body.sorts or [], "sorts"),
        custom_dimensions=earlier.custom_dimensions,
        dimension_overrides=earlier.dimension_overrides,
        metric_overrides=earlier.metric_overrides,
        timezone=earlier.timezone,
    )


class _May:
    """Which fields the question can have for this caller.

    Args:
        explore: As the caller may use it.
        asker: The caller.
        parameters: Names of those that have a value.
    """

    def __init__(self, explore: Explore, asker: Asker, parameters: frozenset[str]) -> None:
        self._explore = explore
        self._attributes = asker.attributes
        self._parameters = parameters

    def select(self, each: Field) -> bool:
        """Tell whether a field can be selected: it works, is open to the caller, and lacks no parameter."""
        if each.error is not None:
            return False
        try:
            self._explore.check_open(each.field_id)
        except ForbiddenError:
            return False
        expression = each.expression
        if expression is None:
            return True
        return set(expression.parameters) <= self._parameters and all(
            self._attributes.get(name) for name in expression.attributes
        )


def _listed(item: str | None, earlier: MetricQuery, explore: Explore, may: _May) -> list[str] | None:
    """Return the columns that the models list for a drill-down; None: they list none.

    Raises:
        FieldReferenceError: The item is nothing that the earlier query or the explore has.
    """
    table, entries = explore.base_table, explore.tables[explore.base_table].default_show_underlying_values
    own = {
        *(each.field_id for each in earlier.additional_metrics),
        *(each.name for each in earlier.calculations),
        *(each.id for each in earlier.custom_dimensions),
    }
    if item is not None and item not in own:
        found = explore.field(item)
        if isinstance(found, Metric) and found.show_underlying_values:
            table, entries = found.table, found.show_underlying_values
    if not entries:
        return None
    sets = {name: each.fields for name, each in explore.tables[table].sets.items()}
    columns = []
    for name in expanded_fields(entries, sets):
        of_table, _, plain = name.rpartition(".")
        if of_table and of_table not in explore.tables:
            continue  # the metric is listed for another explore that joins this table
        field_id = f"{of_table or table}_{plain}"
        found = explore.referenced(field_id)
        if may.select(found):
            columns.append(field_id)
    return columns


def _visible(item: str | None, earlier: MetricQuery, explore: Explore, may: _May) -> Iterable[Dimension]:
    """Return the first dimensions that the tables of the earlier query show; a date itself, not its intervals."""
    fields = explore.fields
    named = (*earlier.dimensions, *earlier.metrics, *([] if item is None else [item]))
    used = {fields[name].table for name in named if name in fields}
    used |= {each.table for each in earlier.additional_metrics}
    used |= {_table_of(name, explore) for name in earlier.dimensions if name not in fields}
    hidden = {join.table for join in explore.joins if join.hidden}
    shown = [
        each
        for each in fields.values()
        if isinstance(each, Dimension)
        and each.table in (used & set(explore.tables)) - hidden
        and not each.hidden
        and may.select(each)
    ]
    whole = {each.field_id for each in shown}
    return [each for each in shown if each.base_dimension is None or explore.base_of(each).field_id not in whole][
        :_COLUMNS_MAX
    ]


def _table_of(field_id: str, explore: Explore) -> str:
    """Return the table of an interval that no model lists; of anything else, nothing."""
    try:
        return explore.referenced(field_id).table
    except FieldReferenceError:
        return ""


def _regrained(
    query: MetricQuery, earlier: MetricQuery, zoom: Mapping[str, JsonValue], explore: Explore
) -> MetricQuery:
    """Return a question whose rules on the zoomed date compare what the earlier query showed under its id."""
    dimensions = [
        explore.dimension(name)
        for name in earlier.dimensions
        if all(name != each.id for each in earlier.custom_dimensions)
    ]
    zoomed = zoomed_dimension(dimensions, parse_date_zoom(zoom), explore)
    if zoomed is None or query.dimension_filters is None:
        return query
    field_id, shown = zoomed
    return replace(query, dimension_filters=_renamed(query.dimension_filters, field_id, shown.field_id))


def _renamed(group: FilterGroup, old: str, new: str) -> FilterGroup:
    members = tuple(
        _renamed(each, old, new)
        if isinstance(each, FilterGroup)
        else (replace(each, field_id=new) if each.field_id == old else each)
        for each in group.members
    )
    return replace(group, members=members)
