"""What a client may send."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = [
    "CalculateTotalRequest",
    "CompileRequest",
    "FieldValuesRequest",
    "MetricQueryRequest",
    "PivotWay",
    "ProjectRequest",
    "QueryContext",
    "SqlJobRequest",
    "SqlRequest",
    "TokenRequest",
]


class PivotWay(StrEnum):
    """Who puts rows and columns of a pivot in order."""

    SQL = "sql"
    DISTRIBUTED = "distributed"


ParameterValues = dict[str, str | int | float | list[str | int | float]]

_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can spell one alone, UTF-8 cannot


class QueryContext(StrEnum):
    """Where a question comes from; it is stored and told to the warehouse."""

    DASHBOARD_VIEW = "dashboardView"
    AUTOREFRESHED_DASHBOARD = "autorefreshedDashboard"
    EXPLORE_VIEW = "exploreView"
    FILTER_AUTOCOMPLETE = "filterAutocomplete"
    CHART_VIEW = "chartView"
    CHART_HISTORY = "chartHistory"
    SQL_CHART_VIEW = "sqlChartView"
    SQL_RUNNER = "sqlRunner"
    VIEW_UNDERLYING_DATA = "viewUnderlyingData"
    ALERT = "alert"
    SCHEDULED_DELIVERY = "scheduledDelivery"
    CSV_DOWNLOAD = "csvDownload"
    GSHEETS = "gsheets"
    SCHEDULED_GSHEETS_CHART = "scheduledGsheetsChart"
    SCHEDULED_GSHEETS_DASHBOARD = "scheduledGsheetsDashboard"
    SCHEDULED_GSHEETS_SQL_CHART = "scheduledGsheetsSqlChart"
    SCHEDULED_CHART = "scheduledChart"
    SCHEDULED_DASHBOARD = "scheduledDashboard"
    CALCULATE_TOTAL = "calculateTotal"
    CALCULATE_SUBTOTAL = "calculateSubtotal"
    EMBED = "embed"
    AI = "ai"
    MCP_RUN_METRIC_QUERY = "mcp.run_metric_query"
    MCP_RUN_SQL = "mcp.run_sql"
    MCP_SEARCH_FIELD_VALUES = "mcp.search_field_values"
    API = "api"
    CLI = "cli"
    METRICS_EXPLORER = "metricsExplorer"
    PRE_AGGREGATE_MATERIALIZATION = "preAggregateMaterialization"
    DATA_APP_SAMPLE = "dataAppSample"


class SqlRequest(BaseModel):
    """Body of `POST …/query/sql`. Members that are not listed are ignored, as the protocol's other clients expect."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [{"sql": "select status, count(*) as orders from orders group by 1", "limit": 100}]
        },
    )

    sql: str = Field(description="One reading statement in the warehouse's own dialect.")
    limit: int | None = Field(default=None, ge=1, description="Most rows to return; all of them when absent.")
    context: QueryContext = Field(
        default=QueryContext.SQL_RUNNER, strict=False, description="Where the question comes from."
    )
    invalidateCache: bool = Field(  # noqa: N815 - the wire's spelling
        default=False, description="Run in the warehouse even if the same question was answered before."
    )
    parameters: ParameterValues | None = Field(
        default=None, description="Values for `${ld.parameters.name}` in the SQL, by the name the project defines."
    )
    pivotConfiguration: dict[str, Any] | None = Field(  # noqa: N815 - the wire's spelling
        default=None,
        description="Spread values into columns: `indexColumn`, `groupByColumns`, `valuesColumns`, `sortBy` and more.",
    )
    pivotPlan: PivotWay | None = Field(  # noqa: N815 - the wire's spelling
        default=None,
        strict=False,
        description="Who puts rows and columns of a pivot in order: `sql` is the warehouse, `distributed` the service. "
        "Absent: the warehouse, unless the pivot may become large.",
    )
    pollTtl: float | None = Field(  # noqa: N815 - the wire's spelling
        default=None,
        ge=1,
        le=86_400,
        strict=False,
        description="Cancel the query when nobody polls it for this many seconds. Absent: it runs to its end.",
    )
    waitMs: int | None = Field(  # noqa: N815 - the wire's spelling
        default=None, ge=0, description="As the query parameter of the same name, which wins."
    )

    @field_validator("sql")
    @classmethod
    def _sql_is_text(cls, value: str) -> str:
        return _statement(value)


def _statement(value: str) -> str:
    if "\x00" in value:
        raise ValueError("contains a NUL character; remove it")
    if _SURROGATE.search(value):
        raise ValueError("contains half of a character (a lone surrogate); remove it")
    if not value.strip():
        raise ValueError("is empty; write one statement")
    return value


class SqlJobRequest(BaseModel):
    """Body of `POST …/sqlRunner/run`."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"examples": [{"sql": "select status, count(*) as n from orders group by 1", "limit": 500}]},
    )

    sql: str = Field(description="One reading statement in the warehouse's own dialect.")
    limit: int | None = Field(default=None, ge=1, description="Most rows to return; all of them when absent.")

    @field_validator("sql")
    @classmethod
    def _sql_is_text(cls, value: str) -> str:
        return _statement(value)


_QUESTION: dict[str, Any] = {
    "exploreName": "orders",
    "dimensions": ["orders_status"],
    "metrics": ["orders_revenue"],
    "filters": {
        "dimensions": {
            "and": [{"target": {"fieldId": "orders_status"}, "operator": "notEquals", "values": ["cancelled"]}]
        }
    },
    "sorts": [{"fieldId": "orders_revenue", "descending": True}],
    "limit": 500,
    "tableCalculations": [],
}


class MetricQueryRequest(BaseModel):
    """Body of `POST …/query/metric-query`. Members that are not listed are ignored, as other clients expect."""

    model_config = ConfigDict(strict=True, json_schema_extra={"examples": [{"query": _QUESTION, "context": "api"}]})

    query: dict[str, Any] = Field(description="The question: an explore, its fields, filters, sorts and a limit.")
    context: QueryContext = Field(default=QueryContext.API, strict=False, description="Where the question comes from.")
    invalidateCache: bool = Field(  # noqa: N815 - the wire's spelling
        default=False, description="Run in the warehouse even if the same question was answered before."
    )
    parameters: ParameterValues | None = Field(default=None, description="Values of parameters of the models, by name.")
    dateZoom: dict[str, Any] | None = Field(  # noqa: N815
        default=None, description="`granularity`, and `xAxisFieldId`: shows a date at another granularity."
    )
    dashboardFilters: dict[str, Any] | None = Field(  # noqa: N815
        default=None, description="Further rules; those on fields that the explore does not list are left out."
    )
    pivotConfiguration: dict[str, Any] | None = Field(  # noqa: N815
        default=None,
        description="Spread values into columns: `indexColumn`, `groupByColumns`, `valuesColumns`, `sortBy` and more.",
    )
    pivotPlan: PivotWay | None = Field(  # noqa: N815
        default=None, strict=False, description="As that of `…/query/sql`."
    )
    pollTtl: float | None = Field(  # noqa: N815
        default=None,
        ge=1,
        le=86_400,
        strict=False,
        description="Cancel the query when nobody polls it for this many seconds. Absent: it runs to its end.",
    )
    waitMs: int | None = Field(  # noqa: N815
        default=None, ge=0, description="As the query parameter of the same name, which wins."
    )


class CompileRequest(BaseModel):
    """Body of `POST …/explores/{name}/compileQuery`: the question itself, as `query` of `MetricQueryRequest`."""

    model_config = ConfigDict(strict=True, extra="allow", json_schema_extra={"examples": [_QUESTION]})

    parameters: ParameterValues | None = Field(default=None, description="Values of parameters of the models, by name.")


class CalculateTotalRequest(BaseModel):
    """Body of `POST …/query/{queryUuid}/calculate-total`."""

    model_config = ConfigDict(strict=True, json_schema_extra={"examples": [{"kind": "columnTotal"}]})

    kind: Literal["grandTotal", "columnTotal", "rowTotal", "columnSubtotal", "rowSubtotal"] = Field(
        description="Over everything; for each column; for each row; for each column or row within a group."
    )
    subtotalDimensions: list[str] | None = Field(  # noqa: N815
        default=None, description="Of columnSubtotal some index columns, of rowSubtotal the first group columns."
    )
    invalidateCache: bool = Field(default=False, description="Ask the warehouse again.")  # noqa: N815


class FieldValuesRequest(BaseModel):
    """Body of `POST …/query/field-values`: a search for the values of one dimension."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [{"table": "customers", "fieldId": "customers_city", "search": "os", "limit": 20}]
        },
    )

    table: str = Field(description="Table of the field.")
    fieldId: str = Field(description="A dimension.")  # noqa: N815
    search: str = Field(description="What the values hold, in any case; empty for all.")
    limit: int = Field(default=50, description="Most values, 0 to 10,000.")
    filters: dict[str, Any] | None = Field(
        default=None, description="A group of rules; those on fields of other explores are left out."
    )
    forceRefresh: bool = Field(default=False, description="As `invalidateCache`.")  # noqa: N815
    invalidateCache: bool = Field(default=False, description="Ask the warehouse again.")  # noqa: N815
    parameters: ParameterValues | None = Field(default=None, description="Values of parameters of the models, by name.")


class ProjectRequest(BaseModel):
    """Body of `PUT /api/v1/projects/{projectUuid}/models`: the files of the project's folder."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "files": {
                        "project.yml": "name: Shop\nproject_uuid: …",
                        "models/orders.yml": "type: model\nname: orders\n…",
                    }
                }
            ]
        },
    )

    files: dict[str, str] = Field(
        description="Text by path: `project.yml`, `models/**/*.yml`, and dbt's `target/manifest.json` if there is one."
    )


class TokenRequest(BaseModel):
    """Body of `POST /api/v1/projects/{projectUuid}/tokens`."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [
                {"name": "Ada", "role": "viewer", "email": "ada@example.com", "attributes": {"region": "north"}}
            ]
        },
    )

    name: str = Field(min_length=1, max_length=200, description="For people.")
    role: Literal["viewer", "editor", "admin"] = Field(description="In this project; nowhere else.")
    email: str | None = Field(default=None, max_length=320, description="Of the user, for `${ld.user.email}`.")
    attributes: dict[str, str | list[str]] = Field(
        default_factory=dict, description="The user's attributes in this project."
    )
    expiresInSeconds: int | None = Field(  # noqa: N815
        default=None, ge=1, le=10 * 366 * 86_400, description="From then on it is unknown; absent: never."
    )
