"""What a client may send."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["QueryContext", "SqlRequest"]

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
    parameters: dict[str, str | int | float | list[str | int | float]] | None = Field(
        default=None, description="Values for `${ld.parameters.name}` in the SQL; not available yet, must be empty."
    )
    pivotConfiguration: dict[str, Any] | None = Field(  # noqa: N815 - the wire's spelling
        default=None, description="Pivoting of the result; not available yet, must be absent."
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
        if "\x00" in value:
            raise ValueError("contains a NUL character; remove it")
        if _SURROGATE.search(value):
            raise ValueError("contains half of a character (a lone surrogate); remove it")
        if not value.strip():
            raise ValueError("is empty; write one statement")
        return value
