"""Bodies of the routes that run saved content, and of drill-downs."""

# ruff: noqa: N815 - the wire's spelling
from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from queryfleet.schemas.requests import ParameterValues, QueryContext  # noqa: TC001 - models are built from them

__all__ = [
    "ChartRequest",
    "DashboardChartRequest",
    "DashboardSqlChartRequest",
    "SavedRequest",
    "SqlChartRequest",
    "UnderlyingDataRequest",
]

_UUID = "5a1e7c1e-7f0e-4b39-9d0a-0c6a2c1d9b11"
_NO_FILTERS: dict[str, Any] = {"dimensions": [], "metrics": [], "tableCalculations": []}


def _example(**body: Any) -> ConfigDict:
    return ConfigDict(strict=True, json_schema_extra={"examples": [body]})


class SavedRequest(BaseModel):
    """What all of them may have. Members that are not listed are ignored, as other clients expect."""

    model_config = ConfigDict(strict=True)

    context: QueryContext | None = Field(
        default=None, strict=False, description="Where the question comes from; absent: `api`, of SQL `sqlRunner`."
    )
    invalidateCache: bool = Field(
        default=False, description="Run in the warehouse even if the same question was answered before."
    )
    parameters: ParameterValues | None = Field(
        default=None, description="Values of parameters by name; they win over saved ones."
    )
    pollTtl: float | None = Field(
        default=None,
        ge=1,
        le=86_400,
        strict=False,
        description="Cancel the query when nobody polls it for this many seconds. Absent: it runs to its end.",
    )
    waitMs: int | None = Field(default=None, ge=0, description="As the query parameter of the same name, which wins.")


class ChartRequest(SavedRequest):
    """Body of `POST …/query/chart`."""

    model_config = _example(chartUuid=_UUID, pivotResults=True)

    chartUuid: str
    versionUuid: str | None = Field(default=None, description="Another version than the newest.")
    limit: int | None = Field(
        default=None, ge=0, description="Rows. Absent: as the chart says; null: as many as are allowed."
    )
    pivotResults: bool = Field(default=False, description="Spread values into columns as the chart does.")
    filters: dict[str, Any] | None = Field(
        default=None, description="Groups under `dimensions`, `metrics`, `tableCalculations`, besides the chart's own."
    )
    dashboardFilters: dict[str, Any] | None = Field(
        default=None, description="Lists of rules; those on fields that the explore does not list are left out."
    )


class DashboardChartRequest(SavedRequest):
    """Body of `POST …/query/dashboard-chart`."""

    model_config = _example(
        chartUuid=_UUID, tileUuid=_UUID, dashboardUuid=_UUID, dashboardFilters=_NO_FILTERS, dashboardSorts=[]
    )

    chartUuid: str
    tileUuid: str
    dashboardUuid: str
    dashboardFilters: dict[str, Any]
    dashboardSorts: list[dict[str, Any]] = Field(description="They replace the chart's if any names a column of it.")
    dateZoom: dict[str, Any] | None = None
    limit: int | None = Field(default=None, ge=0, description="As that of `…/query/chart`.")
    pivotResults: bool = False


class UnderlyingDataRequest(SavedRequest):
    """Body of `POST …/query/underlying-data`."""

    model_config = _example(
        underlyingDataSourceQueryUuid=_UUID,
        underlyingDataItemId="orders_revenue",
        filters={
            "dimensions": {"and": [{"target": {"fieldId": "orders_status"}, "operator": "equals", "values": ["paid"]}]}
        },
    )

    underlyingDataSourceQueryUuid: str = Field(description="One of the caller's own queries.")
    filters: dict[str, Any] = Field(description="Groups under `dimensions` and `metrics`: the values of the cell.")
    underlyingDataItemId: str | None = Field(default=None, description="The field whose value was clicked.")
    dateZoom: dict[str, Any] | None = Field(default=None, description="Absent: that of the source.")
    limit: int | None = Field(default=500, ge=0, description="Rows; null: as many as are allowed.")
    sorts: list[dict[str, Any]] | None = None
    distinct: bool = Field(
        default=True,
        description="False: rows that are equal in all columns stay, as rows of a SQL query do unless asked.",
    )


class SqlChartRequest(SavedRequest):
    """Body of `POST …/query/sql-chart`: one of `savedSqlUuid` and `slug`."""

    model_config = _example(slug="fares-by-city")

    savedSqlUuid: str | None = None
    slug: str | None = None
    limit: int | None = Field(default=None, ge=1, description="Rows. Absent: as the chart says; null: all.")

    @model_validator(mode="after")
    def _has_a_name(self) -> SqlChartRequest:
        if self.savedSqlUuid is None and self.slug is None:
            raise ValueError("savedSqlUuid or slug is missing: name the SQL chart")
        return self


class DashboardSqlChartRequest(SqlChartRequest):
    """Body of `POST …/query/dashboard-sql-chart`."""

    model_config = _example(
        savedSqlUuid=_UUID, dashboardUuid=_UUID, tileUuid=_UUID, dashboardFilters=_NO_FILTERS, dashboardSorts=[]
    )

    dashboardUuid: str
    tileUuid: str
    dashboardFilters: dict[str, Any] = Field(description="Rules whose target for this tile is a column hold.")
    dashboardSorts: list[dict[str, Any]] = Field(description="They replace the order of the rows.")
