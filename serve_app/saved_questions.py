"""Saved charts as questions: with filters, sorts, zoom and parameters of a request or a dashboard."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from queryfleet.compiler.dashboard_filters import with_dashboard_filters
from queryfleet.compiler.filters import FilterGroup
from queryfleet.compiler.request import parse_metric_query
from queryfleet.content.pivot import chart_pivot
from queryfleet.content.record import ContentKind
from queryfleet.content.values import dashboard
from queryfleet.errors import InvalidRequestError, NotFoundError, ParameterError
from serve_app.permitted import find_explore
from serve_app.questions import Terms, answered, parameter_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from queryfleet.compiler.metric_query import MetricQuery, Sort
    from queryfleet.content.record import StoredContent
    from queryfleet.content.values import Dashboard, SavedChart
    from queryfleet.errors import JsonValue
    from queryfleet.schemas.saved_requests import ChartRequest, DashboardChartRequest
    from queryfleet.settings import Settings
    from serve_app.models import ProjectModels
    from serve_app.questions import Asked, Asker

__all__ = ["Placed", "chart_question", "layered", "limited_by_request", "parsed_sorts", "placed", "with_groups"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where on a dashboard a chart stands."""

    dashboard_uuid: str
    dashboard: Dashboard
    tile_uuid: str
    filters: Mapping[str, JsonValue]  # lists of rules of the request
    sorts: list[dict[str, JsonValue]] = field(default_factory=list)


def placed(
    of_dashboard: StoredContent,
    chart: StoredContent,
    tile_uuid: str,
    *,
    filters: Mapping[str, JsonValue],
    sorts: list[dict[str, JsonValue]],
) -> Placed:
    """Return the place of a chart on a dashboard.

    Raises:
        NotFoundError: The dashboard has no such tile.
        ParameterError: The tile shows something else.
    """
    found = dashboard(of_dashboard.body)
    tile = found.tiles.get(tile_uuid.lower())
    if tile is None:
        raise NotFoundError(f"The dashboard has no tile {tile_uuid[:60]!r}.", tileUuid=tile_uuid[:60])
    if not tile.shows(chart.kind, chart.content_uuid, chart.slug):
        name = "savedSqlUuid" if chart.kind is ContentKind.SQL_CHART else "chartUuid"
        raise ParameterError(f"The tile does not show this {chart.kind.label}; correct {name} or tileUuid.", field=name)
    return Placed(
        dashboard_uuid=of_dashboard.content_uuid, dashboard=found, tile_uuid=tile.uuid, filters=filters, sorts=sorts
    )


def chart_question(
    body: ChartRequest | DashboardChartRequest,
    content: StoredContent,
    chart: SavedChart,
    place: Placed | None,
    *,
    models: ProjectModels,
    asker: Asker,
    settings: Settings,
) -> Asked:
    """Compile a saved chart, under the caller's own rights to the models.

    SQL in the chart is that of whoever saved it, who had the right to; so it runs for everybody who may ask the models.

    Args:
        body: The request.
        content: The chart as stored.
        chart: What that means.
        place: On a dashboard; None: the chart stands for itself.
        models: Of the project.
        asker: The caller.
        settings: Of the service.

    Raises:
        NotFoundError: There is no such explore.
        ForbiddenError: The explore or a field is not the caller's.
        RequestError: The question is wrong; the class and the message say how.
    """
    explore = find_explore(models.catalog, chart.query.explore, asker.attributes, with_broken=asker.may_run_sql)
    query, further = chart.query, dict[str, "JsonValue"]()
    filters = getattr(body, "filters", None)
    if filters is not None:
        query = with_groups(query, filters)
    if place is not None:
        query = _with_sorts(query, place.sorts)
        further["dateZoomApplied"] = False
    rules = body.dashboardFilters if place is None else place.filters
    if rules is not None:
        filtered = with_dashboard_filters(query, rules, explore, tile_uuid=None if place is None else place.tile_uuid)
        query = filtered.query
        further["appliedDashboardFilters"] = dict(filtered.applied)
    if "limit" in body.model_fields_set:
        query = limited_by_request(query, body.limit, settings)
    origin: dict[str, JsonValue] = {"chartUuid": content.content_uuid, "chartVersionUuid": content.version_uuid}
    if place is not None:
        origin |= {"dashboardUuid": place.dashboard_uuid, "tileUuid": place.tile_uuid}
    terms = Terms(
        asked=[content.version_uuid, body.model_dump(mode="json", exclude={"waitMs"})],
        parameters=layered(
            chart.parameters, place.dashboard.parameters if place else {}, parameter_values(body.parameters)
        ),
        date_zoom=getattr(body, "dateZoom", None),
        pivot=(lambda made: chart_pivot(chart, made.query, made.items)) if body.pivotResults else None,
        further=further,
        origin=origin,
        is_saved=True,
    )
    return answered(query, explore, models, asker, settings, terms=terms)


def layered(*layers: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return values of parameters by name, later layers winning; null and the empty list say nothing."""
    found: dict[str, JsonValue] = {}
    for layer in layers:
        found |= {name: value for name, value in layer.items() if value not in (None, [])}
    return found


def with_groups(query: MetricQuery, sent: Mapping[str, JsonValue]) -> MetricQuery:
    """Return a question with further filters, all of which must hold besides its own.

    Raises:
        InvalidRequestError: A group or rule is of the wrong shape.
        ParameterError: A list or operator does not exist.
    """
    more = parse_metric_query({"exploreName": query.explore, "filters": dict(sent)})
    return replace(
        query,
        dimension_filters=_both(query.dimension_filters, more.dimension_filters),
        metric_filters=_both(query.metric_filters, more.metric_filters),
        calculation_filters=_both(query.calculation_filters, more.calculation_filters),
    )


def _both(own: FilterGroup | None, more: FilterGroup | None) -> FilterGroup | None:
    if own is None or more is None:
        return own or more
    return FilterGroup(members=(own, more))


def _with_sorts(query: MetricQuery, sent: list[dict[str, JsonValue]]) -> MetricQuery:
    """Return a question in the order of its dashboard, if that names any of its columns."""
    sorts = parsed_sorts(sent, "dashboardSorts")
    selected = {*query.dimensions, *query.metrics, *(each.name for each in query.calculations)}
    known = tuple(sort for sort in sorts if sort.field_id in selected)
    return replace(query, sorts=known) if known else query


def parsed_sorts(sent: Sequence[Mapping[str, JsonValue]], where: str) -> tuple[Sort, ...]:
    """Return the sorts of a request.

    Args:
        sent: As JSON.
        where: Which member of the request they are, for messages.

    Raises:
        InvalidRequestError: One is of the wrong shape; details have its path.
    """
    try:
        return parse_metric_query({"exploreName": "", "sorts": [dict(each) for each in sent]}).sorts
    except InvalidRequestError as error:
        details = {path.replace("query.sorts", where, 1): fault for path, fault in error.details.items()}
        raise InvalidRequestError(error.message.replace("query.sorts", where), **details) from None


def limited_by_request(query: MetricQuery, limit: int | None, settings: Settings) -> MetricQuery:
    """Return a question with the limit of a request: null for all rows, or as many as the cells of an export allow."""
    column_count = len(query.dimensions) + len(query.metrics) + len(query.calculations)
    if limit is not None and column_count:
        limit = min(limit, max(settings.export_cells_max // column_count, 1))
    return replace(query, limit=limit)
