"""Requests that run saved content and drill into results, as values; see `queryfleet.client.asking`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import quote

from queryfleet.client.asking import Ask
from queryfleet.client.calls import Call
from queryfleet.client.model_calls import project_path
from queryfleet.client.question import filter_rules
from queryfleet.errors import JsonValue, NotFoundError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from queryfleet.client.asking import JsonMapping, Parameters
    from queryfleet.client.question import Filters, Sort

__all__ = [
    "ChartKind",
    "RowLimit",
    "Tile",
    "chart_ask",
    "content_call",
    "parse_uuid",
    "sql_chart_ask",
    "tile_ask",
    "tile_of",
    "total_ask",
    "underlying_ask",
]

RowLimit: TypeAlias = "int | Literal['all'] | None"  # None: as the chart says; 'all': as many as are allowed
ChartKind: TypeAlias = Literal["saved-charts", "sql-charts", "dashboards"]
_CHART_KEYS: Final = {"saved_chart": "savedChartUuid", "sql_chart": "savedSqlUuid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One tile of a dashboard that shows a chart, and what is saved with the dashboard."""

    dashboard_uuid: str
    tile_uuid: str
    chart: str  # uuid, or slug
    is_sql: bool
    filters: Mapping[str, JsonValue]  # of the dashboard: lists of rules under dimensions, metrics, tableCalculations


def content_call(project_uuid: str, kind: ChartKind, name: str) -> Call:
    """Return the call that reads saved content by uuid or slug."""
    return Call(method="GET", path=f"{project_path(project_uuid)}/{kind}/{quote(name, safe='')}")


def parse_uuid(results: JsonValue) -> str:
    """Return the uuid of saved content that was read.

    Raises:
        ServiceError: Not the shape of the contract.
    """
    uuid = results.get("uuid") if isinstance(results, dict) else None
    if not isinstance(uuid, str):
        raise ServiceError("The service's answer has no saved content: is this address really the query service?")
    return uuid


def tile_of(dashboard: JsonValue, tile: str) -> Tile:
    """Find the tile of a dashboard that shows a chart.

    Args:
        dashboard: As it was read.
        tile: The tile's uuid or slug, or slug or uuid of the chart that it shows.

    Raises:
        NotFoundError: There is none, or it shows no chart; the message lists those that there are.
    """
    document = dashboard if isinstance(dashboard, dict) else {}
    filters, tiles = document.get("filters"), document.get("tiles")
    known = []
    for each in tiles if isinstance(tiles, list) else ():
        key = _CHART_KEYS.get(str(each.get("type"))) if isinstance(each, dict) else None
        properties = each.get("properties") if isinstance(each, dict) else None
        if key is None or not isinstance(each, dict) or not isinstance(properties, dict):
            continue
        names = [each.get("tileSlug"), properties.get("chartSlug"), each.get("uuid"), properties.get(key)]
        if tile in [name for name in names if name is not None]:
            return Tile(
                dashboard_uuid=parse_uuid(dashboard),
                tile_uuid=str(each.get("uuid")),
                chart=str(properties.get(key) or properties.get("chartSlug")),
                is_sql=key == "savedSqlUuid",
                filters=filters if isinstance(filters, dict) else {},
            )
        known += [str(name) for name in names if name is not None][:1]
    raise NotFoundError(
        f"The dashboard has no tile {tile!r} that shows a chart; there is: {', '.join(known) or 'none'}."
    )


def chart_ask(
    chart_uuid: str,
    *,
    limit: RowLimit,
    pivot: bool,
    filters: Filters | None,
    parameters: Parameters | None,
    version_uuid: str | None,
) -> Ask:
    """Return what runs a saved chart; filters are on dimensions, or in the wire form."""
    groups = filter_rules(filters) if filters is not None else None
    body: dict[str, JsonValue] = {"chartUuid": chart_uuid, "pivotResults": pivot}
    ask = Ask(route="chart", body=body | _limit(limit))
    return ask.with_members(filters=groups, parameters=_values(parameters), versionUuid=version_uuid)


def sql_chart_ask(chart: str, *, is_uuid: bool, limit: RowLimit, parameters: Parameters | None) -> Ask:
    """Return what runs a saved SQL chart."""
    body: dict[str, JsonValue] = {"savedSqlUuid" if is_uuid else "slug": chart}
    return Ask(route="sql-chart", body=body | _limit(limit)).with_members(parameters=_values(parameters))


def tile_ask(
    tile: Tile,
    chart_uuid: str,
    *,
    limit: RowLimit,
    pivot: bool,
    filters: JsonMapping | None,
    sorts: Iterable[Sort],
    parameters: Parameters | None,
    date_zoom: JsonMapping | None,
) -> Ask:
    """Return what runs a tile of a dashboard; filters that are None are those of the dashboard."""
    rules = tile.filters if filters is None else filters
    body: dict[str, JsonValue] = {
        "savedSqlUuid" if tile.is_sql else "chartUuid": chart_uuid,
        "tileUuid": tile.tile_uuid,
        "dashboardUuid": tile.dashboard_uuid,
        "dashboardFilters": {name: rules.get(name, []) for name in ("dimensions", "metrics", "tableCalculations")},
        "dashboardSorts": [{"fieldId": each.field_id, "descending": each.descending} for each in sorts],
    }
    if not tile.is_sql:
        body["pivotResults"] = pivot
    ask = Ask(route="dashboard-sql-chart" if tile.is_sql else "dashboard-chart", body=body | _limit(limit))
    return ask.with_members(
        parameters=_values(parameters), dateZoom=None if date_zoom is None or tile.is_sql else dict(date_zoom)
    )


def underlying_ask(
    query_uuid: str,
    *,
    item: str | None,
    filters: Filters,
    limit: RowLimit,
    sorts: Iterable[Sort],
    distinct: bool,
) -> Ask:
    """Return what shows the rows behind a value of an earlier query."""
    body: dict[str, JsonValue] = {
        "underlyingDataSourceQueryUuid": query_uuid,
        "filters": filter_rules(filters),
        "distinct": distinct,
    }
    order: list[JsonValue] = [{"fieldId": each.field_id, "descending": each.descending} for each in sorts]
    return Ask(route="underlying-data", body=body | _limit(limit)).with_members(
        underlyingDataItemId=item, sorts=order or None
    )


def total_ask(query_uuid: str, *, kind: str, dimensions: Iterable[str]) -> Ask:
    """Return what computes totals of an earlier query."""
    subtotal: list[JsonValue] = list(dimensions)
    ask = Ask(route=f"{quote(query_uuid, safe='')}/calculate-total", body={"kind": kind})
    return ask.with_members(subtotalDimensions=subtotal or None)


def _limit(limit: RowLimit) -> dict[str, JsonValue]:
    if limit is None:
        return {}
    return {"limit": None if limit == "all" else limit}


def _values(parameters: Parameters | None) -> JsonValue:
    if parameters is None:
        return None
    return {name: value if isinstance(value, str | int | float) else list(value) for name, value in parameters.items()}
