"""What the routes about saved content answer, for the documentation and for clients."""

# ruff: noqa: N815 - the wire's spelling
from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ContentAnswer",
    "ContentListAnswer",
    "ContentVersionsAnswer",
    "DashboardQueryAnswer",
    "DeletedAnswer",
    "UnderlyingDataAnswer",
]


_UUID = "5a1e7c1e-7f0e-4b39-9d0a-0c6a2c1d9b11"
_LISTED: dict[str, Any] = {
    "uuid": _UUID,
    "slug": "revenue-by-status",
    "kind": "chart",
    "name": "Revenue by status",
    "description": None,
    "version": 3,
    "versionUuid": "0f2d3f0e-6a53-4d44-9c1f-1f0c1c2b7a01",
    "newestVersion": 3,
    "isFromFile": False,
    "createdAt": "2026-03-01T08:30:00.000Z",
    "updatedAt": "2026-03-04T10:00:00.000Z",
    "updatedByUserUuid": "0d5f6e1c-4c1c-4a62-a3f0-6ef0a2a5a001",
}
_QUERY: dict[str, Any] = {
    "exploreName": "orders",
    "dimensions": ["orders_status"],
    "metrics": ["orders_revenue"],
    "filters": {},
    "sorts": [{"fieldId": "orders_revenue", "descending": True}],
    "limit": 500,
    "tableCalculations": [],
}
_RULE: dict[str, Any] = {"target": {"fieldId": "orders_status"}, "operator": "equals", "values": ["paid"]}


def _example(results: Any) -> ConfigDict:
    return ConfigDict(extra="allow", json_schema_extra={"examples": [{"status": "ok", "results": results}]})


class _Wire(BaseModel):
    model_config = ConfigDict(extra="allow")
    status: Literal["ok"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")


class ContentResults(_Part):
    """Content as of one version; the members of its body stand beside these."""

    uuid: str
    slug: str
    kind: Literal["chart", "sql_chart", "dashboard"]
    name: str
    description: str | None = None
    version: int
    versionUuid: str
    newestVersion: int
    isFromFile: bool = Field(description="A file of the project's folder describes it.")
    createdAt: str
    updatedAt: str = Field(description="When this version was made.")
    updatedByUserUuid: str | None = Field(description="Who made it; null: it comes from a file.")


class ContentAnswer(_Wire):
    """One content."""

    model_config = _example(_LISTED | {"metricQuery": _QUERY, "chartConfig": {"type": "table"}})
    results: ContentResults


class ContentListResults(_Part):
    """One page of a list."""

    data: list[ContentResults]
    pagination: dict[str, int]


class ContentListAnswer(_Wire):
    """Contents of a project."""

    model_config = _example(
        {"data": [_LISTED], "pagination": {"page": 1, "pageSize": 100, "totalResults": 1, "totalPageCount": 1}}
    )
    results: ContentListResults


class ContentVersion(_Part):
    """One version."""

    version: int
    versionUuid: str
    createdAt: str
    createdByUserUuid: str | None


class ContentVersionsResults(_Part):
    """A history, newest first."""

    uuid: str
    versions: list[ContentVersion]


class ContentVersionsAnswer(_Wire):
    """The history of one content."""

    model_config = _example(
        {
            "uuid": _UUID,
            "versions": [
                {
                    "version": 1,
                    "versionUuid": _LISTED["versionUuid"],
                    "createdAt": _LISTED["createdAt"],
                    "createdByUserUuid": None,
                }
            ],
        }
    )
    results: ContentVersionsResults


class DeletedResults(_Part):
    """What is gone."""

    uuid: str
    deleted: Literal[True]


class DeletedAnswer(_Wire):
    """The content is gone, with all its versions."""

    model_config = _example({"uuid": _UUID, "deleted": True})
    results: DeletedResults


class DashboardResults(_Part):
    """An accepted question of a dashboard's tile."""

    queryUuid: str
    cacheMetadata: dict[str, Any]
    metricQuery: dict[str, Any] | None = None
    fields: dict[str, dict[str, Any]] | None = None
    appliedDashboardFilters: dict[str, list[Any]]
    dateZoomApplied: bool | None = None
    parameterReferences: list[str]
    usedParametersValues: dict[str, Any]
    resolvedTimezone: str | None
    status: Literal["pending", "running", "ready", "error", "cancelled"]


class DashboardQueryAnswer(_Wire):
    """The question is committed: poll it."""

    model_config = _example(
        {
            "queryUuid": _UUID,
            "cacheMetadata": {"cacheHit": False},
            "metricQuery": _QUERY | {"filters": {"dimensions": {"and": [_RULE]}}},
            "fields": {"orders_status": {"fieldType": "dimension", "type": "string", "name": "status"}},
            "appliedDashboardFilters": {"dimensions": [_RULE], "metrics": [], "tableCalculations": []},
            "dateZoomApplied": False,
            "parameterReferences": [],
            "usedParametersValues": {},
            "resolvedTimezone": "UTC",
            "status": "pending",
        }
    )
    results: DashboardResults


class UnderlyingDataResults(_Part):
    """An accepted drill-down. With `waitMs`, the members of `PollResults` are here too."""

    queryUuid: str
    cacheMetadata: dict[str, Any]
    answeredFrom: Literal["storedResult", "warehouse"] = Field(
        description="`storedResult`: rows that are stored already; `warehouse`: it is asked."
    )
    metricQuery: dict[str, Any] | None = Field(default=None, description="As it is run; not of an earlier SQL query.")
    fields: dict[str, dict[str, Any]] = Field(description="Descriptions of columns that are fields of the models.")
    warnings: list[dict[str, Any]]
    parameterReferences: list[str]
    usedParametersValues: dict[str, Any]
    resolvedTimezone: str | None
    status: Literal["pending", "running", "ready", "error", "cancelled"]


class UnderlyingDataAnswer(_Wire):
    """The question is committed: poll it."""

    model_config = _example(
        {
            "queryUuid": _UUID,
            "cacheMetadata": {"cacheHit": False},
            "answeredFrom": "storedResult",
            "metricQuery": _QUERY | {"filters": {"dimensions": {"and": [_RULE]}}},
            "fields": {"orders_status": {"fieldType": "dimension", "type": "string", "name": "status"}},
            "warnings": [],
            "parameterReferences": [],
            "usedParametersValues": {},
            "resolvedTimezone": "UTC",
            "status": "pending",
        }
    )
    results: UnderlyingDataResults
