"""Saved content as clients write it: charts, SQL charts, dashboards. Members that are not listed are ignored."""

# ruff: noqa: N815 - the wire's spelling
from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from queryfleet.schemas.requests import ParameterValues  # noqa: TC001 - the models are built from it at run time

__all__ = [
    "BODIES",
    "ChartBody",
    "ContentBody",
    "DashboardBody",
    "SqlChartBody",
    "TileBody",
]

_STRICT = ConfigDict(strict=True)
_TILES_MAX = 500
_LIST_MAX = 1000
_SLUG = r"^[a-z0-9][a-z0-9_-]{0,199}$"
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
_Name = Annotated[str, Field(min_length=1, max_length=300)]


class ContentBody(BaseModel):
    """What every kind of content has."""

    model_config = _STRICT

    name: str = Field(min_length=1, max_length=300, description="For people.")
    slug: str | None = Field(
        default=None, pattern=_SLUG, description="Unique in the project and kind, fixed once made; absent: of the name."
    )
    description: str | None = Field(default=None, max_length=10_000)
    version: int | None = Field(
        default=None, ge=1, description="Of an update: the version it is based on; 409 when there is a newer one."
    )

    @field_validator("name", "description")
    @classmethod
    def _can_be_stored(cls, value: str | None) -> str | None:
        return _storable(value)


def _storable(value: str | None) -> str | None:
    if value is not None and _NOT_STORABLE.search(value):
        raise ValueError("contains a NUL character or half of a character; remove it")
    return value


class ChartConfigBody(BaseModel):
    """How a chart is drawn."""

    model_config = _STRICT

    type: str = Field(
        default="table", max_length=100, description="`table`, `cartesian`, or another that never pivots."
    )
    config: dict[str, Any] | None = None


class PivotConfigBody(BaseModel):
    """What a chart spreads into columns."""

    model_config = _STRICT

    columns: list[_Name] = Field(default_factory=list, max_length=_LIST_MAX, description="Ids of dimensions.")


class TableConfigBody(BaseModel):
    """Order of the columns of a chart's table."""

    model_config = _STRICT

    columnOrder: list[_Name] = Field(default_factory=list, max_length=_LIST_MAX)


class ChartBody(ContentBody):
    """A chart: a question to an explore, and how its answer is drawn."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "name": "Revenue by status",
                    "metricQuery": {
                        "exploreName": "orders",
                        "dimensions": ["orders_status"],
                        "metrics": ["orders_revenue"],
                    },
                    "chartConfig": {"type": "table"},
                }
            ]
        },
    )

    tableName: str | None = Field(default=None, description="The explore, where `metricQuery` does not name it.")
    metricQuery: dict[str, Any] = Field(description="As `query` of `…/query/metric-query`.")
    chartConfig: ChartConfigBody = Field(default_factory=ChartConfigBody)
    pivotConfig: PivotConfigBody | None = None
    tableConfig: TableConfigBody | None = None
    parameters: ParameterValues | None = Field(default=None, description="Values saved with the chart, by name.")


class SqlColumnBody(BaseModel):
    """One column of a SQL chart's result."""

    model_config = _STRICT

    reference: _Name
    type: Literal["string", "number", "timestamp", "date", "boolean"]


class SqlChartBody(ContentBody):
    """A chart over SQL of its author's own."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [{"name": "Orders by status", "sql": "select status, count(*) as n from orders group by 1"}]
        },
    )

    sql: str = Field(min_length=1, max_length=1_000_000, description="One reading statement.")
    limit: int | None = Field(default=500, ge=1, description="Rows; null: all.")
    config: dict[str, Any] | None = Field(
        default=None, description="How it is drawn; `fieldConfig` has `x`, `y`, `groupBy` and `sortBy`."
    )
    columns: list[SqlColumnBody] | None = Field(
        default=None, max_length=_LIST_MAX, description="Types of columns, for filters of dashboards."
    )

    @field_validator("sql")
    @classmethod
    def _is_a_statement(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is empty; write one statement")
        return _storable(value) or ""


class TileBody(BaseModel):
    """One tile of a dashboard."""

    model_config = _STRICT

    uuid: str | None = Field(default=None, pattern=r"^[0-9a-fA-F-]{36}$", description="Absent: made.")
    tileSlug: str | None = Field(default=None, max_length=200, description="A name for it in files.")
    type: Literal["saved_chart", "sql_chart", "markdown", "loom", "heading"]
    properties: dict[str, Any] = Field(
        default_factory=dict,
        description="Of a chart: `savedChartUuid` or `chartSlug`; of a SQL chart `savedSqlUuid` or `chartSlug`.",
    )
    x: int | None = Field(default=None, ge=0)
    y: int | None = Field(default=None, ge=0)
    w: int | None = Field(default=None, ge=1)
    h: int | None = Field(default=None, ge=1)
    tabUuid: str | None = None


class DashboardBody(ContentBody):
    """Tiles on a page, with filters and parameters for all of them."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "name": "Sales",
                    "tiles": [{"type": "saved_chart", "properties": {"chartSlug": "revenue-by-status"}}],
                    "filters": {"dimensions": [], "metrics": [], "tableCalculations": []},
                }
            ]
        },
    )

    tiles: list[TileBody] = Field(default_factory=list, max_length=_TILES_MAX)
    filters: dict[str, Any] | None = Field(
        default=None, description="Rules under `dimensions`, `metrics`, `tableCalculations`."
    )
    parameters: dict[str, Any] | None = Field(
        default=None, description="Values saved with the dashboard, by name: plain, or under `value`."
    )
    tabs: list[dict[str, Any]] | None = Field(default=None, max_length=_LIST_MAX)
    config: dict[str, Any] | None = None


BODIES = (ChartBody, DashboardBody, SqlChartBody)
