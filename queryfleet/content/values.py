"""What saved content means: frozen values, made of bodies that were checked when they were stored.

body (JSON) ──check──▶ ChartBody · SqlChartBody · DashboardBody ──▶ SavedChart · SqlChart · Dashboard
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import ValidationError

from queryfleet.compiler.filter_request import parse_rules
from queryfleet.compiler.request import parse_metric_query
from queryfleet.content.record import ContentKind
from queryfleet.errors import InvalidRequestError
from queryfleet.model import ColumnType
from queryfleet.schemas.content import ChartBody, ContentBody, DashboardBody, SqlChartBody

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.compiler.metric_query import MetricQuery
    from queryfleet.errors import JsonValue

__all__ = [
    "BODY_OF",
    "FILTER_LISTS",
    "Dashboard",
    "SavedChart",
    "SqlChart",
    "Tile",
    "checked_body",
    "dashboard",
    "saved_chart",
    "sql_chart",
]

FILTER_LISTS: Final = ("dimensions", "metrics", "tableCalculations")
BODY_OF: Final[Mapping[ContentKind, type[ContentBody]]] = {
    ContentKind.CHART: ChartBody,
    ContentKind.SQL_CHART: SqlChartBody,
    ContentKind.DASHBOARD: DashboardBody,
}
_Body = TypeVar("_Body", bound=ContentBody)
_CHARTS: Final = ("saved_chart", "sql_chart")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedChart:
    """A question to an explore, and how its answer is drawn."""

    name: str
    query: MetricQuery
    type: str = "table"  # `table`, `cartesian`, or one that never pivots
    config: Mapping[str, JsonValue] = field(default_factory=dict)  # of that type, as the client wrote it
    pivot_columns: tuple[str, ...] = ()  # ids of dimensions that are spread into columns
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)  # saved values by name


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlChart:
    """A statement, and how its rows are drawn."""

    name: str
    sql: str
    limit: int | None = 500  # rows; None: all
    config: Mapping[str, JsonValue] = field(default_factory=dict)  # as the client wrote it
    column_types: Mapping[str, ColumnType] = field(default_factory=dict)  # of columns that somebody named


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One tile; of a chart it names it by uuid, by slug, or both."""

    uuid: str
    type: str
    content_uuid: str | None = None
    slug: str | None = None

    def shows(self, kind: ContentKind, content_uuid: str, slug: str) -> bool:
        """Tell whether this content is what the tile shows."""
        expected = "saved_chart" if kind is ContentKind.CHART else "sql_chart"
        if self.type != expected:
            return False
        return self.content_uuid == content_uuid if self.content_uuid is not None else self.slug == slug


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Tiles, with filters and parameters for all of them."""

    name: str
    tiles: Mapping[str, Tile]  # by uuid, in order
    filters: Mapping[str, JsonValue] = field(default_factory=dict)  # lists of rules, as the client wrote them
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)  # saved values by name


def checked_body(kind: ContentKind, sent: ContentBody | Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a body in its stored form: everything in it is well formed, and what was left out is filled in.

    Args:
        kind: Of the content.
        sent: A body that was validated, or its JSON.

    Raises:
        InvalidRequestError: A member is missing or of the wrong shape; details name it.
        ParameterError: A value means nothing, such as an operator that does not exist.
    """
    body = sent if isinstance(sent, ContentBody) else _validated(BODY_OF[kind], sent)
    body = _with_tile_uuids(body) if isinstance(body, DashboardBody) else body
    stored: dict[str, JsonValue] = body.model_dump(mode="json", exclude={"slug", "version"}, exclude_none=True)
    if isinstance(body, SqlChartBody):
        stored["limit"] = body.limit
    if isinstance(body, ChartBody):
        if body.tableName is not None:
            stored["metricQuery"] = {"exploreName": body.tableName} | body.metricQuery
        saved_chart(stored)
    elif isinstance(body, DashboardBody):
        dashboard(stored)
    return stored


def saved_chart(body: Mapping[str, JsonValue]) -> SavedChart:
    """Return the chart of a body; raises like `checked_body`."""
    read = _validated(ChartBody, body)
    return SavedChart(
        name=read.name,
        query=_metric_query(read.metricQuery),
        type=read.chartConfig.type,
        config=read.chartConfig.config or {},
        pivot_columns=tuple(dict.fromkeys(read.pivotConfig.columns)) if read.pivotConfig is not None else (),
        parameters=_values(read.parameters),
    )


def sql_chart(body: Mapping[str, JsonValue]) -> SqlChart:
    """Return the SQL chart of a body; raises like `checked_body`."""
    read = _validated(SqlChartBody, body)
    return SqlChart(
        name=read.name,
        sql=read.sql,
        limit=read.limit,
        config=read.config or {},
        column_types={each.reference: ColumnType(each.type) for each in read.columns or ()},
    )


def dashboard(body: Mapping[str, JsonValue]) -> Dashboard:
    """Return the dashboard of a body; raises like `checked_body`."""
    read = _validated(DashboardBody, body)
    tiles: dict[str, Tile] = {}
    for place, each in enumerate(read.tiles):
        key = "savedChartUuid" if each.type == "saved_chart" else "savedSqlUuid"
        content_uuid, slug = each.properties.get(key), each.properties.get("chartSlug")
        if each.type in _CHARTS and not (isinstance(content_uuid, str) or isinstance(slug, str)):
            raise _invalid(f"tiles.{place}.properties", f"must have `{key}` or `chartSlug`")
        tile_uuid = each.uuid or ""
        if tile_uuid in tiles:
            raise _invalid(f"tiles.{place}.uuid", "is the uuid of an earlier tile")
        tiles[tile_uuid] = Tile(
            uuid=tile_uuid,
            type=each.type,
            content_uuid=content_uuid.lower() if isinstance(content_uuid, str) else None,
            slug=slug if isinstance(slug, str) else None,
        )
    return Dashboard(
        name=read.name,
        tiles=tiles,
        filters=_filters(read.filters or {}),
        parameters=_values(read.parameters),
    )


def _with_tile_uuids(body: DashboardBody) -> DashboardBody:
    """Return a dashboard whose tiles all have a uuid, in lower case."""
    tiles = [each.model_copy(update={"uuid": (each.uuid or str(uuid.uuid4())).lower()}) for each in body.tiles]
    return body.model_copy(update={"tiles": tiles})


def _filters(sent: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return lists of rules after a look at their shape."""
    found: dict[str, JsonValue] = {}
    for name in FILTER_LISTS:
        rules = sent.get(name)
        if rules is None:
            rules = []
        if not isinstance(rules, list) or not all(isinstance(each, dict) for each in rules):
            raise _invalid(f"filters.{name}", "must be a list of rules")
        parse_rules([each for each in rules if isinstance(each, dict)], f"filters.{name}")
        found[name] = rules
    return found


def _values(sent: Mapping[str, Any] | None) -> dict[str, JsonValue]:
    """Return parameter values by name; a dashboard has each under `value`, or plain."""
    return {
        name: value["value"] if isinstance(value, dict) and "value" in value else value
        for name, value in (sent or {}).items()
    }


def _metric_query(sent: Mapping[str, JsonValue]) -> MetricQuery:
    try:
        return parse_metric_query(sent)
    except InvalidRequestError as error:
        details = {f"metricQuery{path.removeprefix('query')}": each for path, each in error.details.items()}
        text = error.message.replace(" query.", " metricQuery.")
        raise InvalidRequestError(text, **details) from None


def _validated(model: type[_Body], sent: Mapping[str, JsonValue]) -> _Body:
    try:
        return model.model_validate(dict(sent))
    except ValidationError as error:
        details: dict[str, JsonValue] = {}
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            path = ".".join(str(part) for part in problem["loc"])
            details[path] = {"message": problem["msg"].removeprefix("Value error, ")}
        summary = "; ".join(f"{path}: {each['message']}" for path, each in details.items() if isinstance(each, dict))
        raise InvalidRequestError(f"The request is not valid: {summary}.", **details) from None


def _invalid(path: str, fault: str) -> InvalidRequestError:
    details: dict[str, JsonValue] = {path: {"message": fault}}
    return InvalidRequestError(f"The request is not valid: {path} {fault}.", **details)
