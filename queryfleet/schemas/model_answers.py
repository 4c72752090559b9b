"""What the routes about models answer, for the documentation and for clients."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "CompileAnswer",
    "ExploreAnswer",
    "ExploresAnswer",
    "FieldValuesAnswer",
    "JobAnswer",
    "JobStartedAnswer",
    "MetricQueryAnswer",
    "ProjectAnswer",
    "ProjectsAnswer",
    "RevokedAnswer",
    "TableFieldsAnswer",
    "TablesAnswer",
    "TokenAnswer",
    "TokensAnswer",
]

_UUID = "5a1e7c1e-7f0e-4b39-9d0a-0c6a2c1d9b11"
_STATUS = {
    "fieldType": "dimension",
    "type": "string",
    "name": "status",
    "label": "Status",
    "table": "orders",
    "tableLabel": "Orders",
    "sql": "${TABLE}.status",
    "hidden": False,
}
_REVENUE = _STATUS | {
    "fieldType": "metric",
    "type": "sum",
    "name": "revenue",
    "label": "Revenue",
    "sql": "${TABLE}.amount",
    "format": "eur",
    "round": 0,
}


def _example(results: Any) -> ConfigDict:
    return ConfigDict(extra="allow", json_schema_extra={"examples": [{"status": "ok", "results": results}]})


class _Wire(BaseModel):
    model_config = ConfigDict(extra="allow")
    status: Literal["ok"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")


class QueryWarning(_Part):
    """Something the service did differently from what was asked."""

    message: str
    fields: list[str] | None = None


class MetricQueryResults(_Part):
    """An accepted question. With `waitMs`, the members of `PollResults` are here too."""

    queryUuid: str  # noqa: N815 - here and below: the wire's spelling
    cacheMetadata: dict[str, Any]  # noqa: N815
    metricQuery: dict[str, Any] = Field(description="As it is run, default sorts and limit filled in.")  # noqa: N815
    fields: dict[str, dict[str, Any]] = Field(description="A description of each column, in order.")
    warnings: list[QueryWarning]
    parameterReferences: list[str]  # noqa: N815
    usedParametersValues: dict[str, Any]  # noqa: N815
    resolvedTimezone: str | None  # noqa: N815
    appliedDashboardFilters: dict[str, list[Any]] | None = Field(  # noqa: N815
        default=None, description="Only when `dashboardFilters` were given: those that reach this explore."
    )
    sql: str | None = Field(default=None, description="What runs in the warehouse; only for those who may run SQL.")
    status: Literal["pending", "running", "ready", "error", "cancelled"]


class MetricQueryAnswer(_Wire):
    """The question is committed and will end, whatever happens to the service."""

    model_config = _example(
        {
            "queryUuid": _UUID,
            "cacheMetadata": {"cacheHit": False},
            "metricQuery": {
                "exploreName": "orders",
                "dimensions": ["orders_status"],
                "metrics": ["orders_revenue"],
                "filters": {},
                "sorts": [{"fieldId": "orders_revenue", "descending": True}],
                "limit": 500,
                "tableCalculations": [],
            },
            "fields": {"orders_status": _STATUS, "orders_revenue": _REVENUE},
            "warnings": [],
            "parameterReferences": [],
            "usedParametersValues": {},
            "resolvedTimezone": "UTC",
            "status": "pending",
        }
    )
    results: MetricQueryResults


class FieldValuesResults(_Part):
    """An accepted search."""

    queryUuid: str  # noqa: N815
    cacheMetadata: dict[str, Any]  # noqa: N815
    valueFieldId: str = Field(description="Column of the values.")  # noqa: N815
    labelFieldId: str | None = Field(description="Column of what is shown in their place, if any.")  # noqa: N815


class FieldValuesAnswer(_Wire):
    """The search is a query like any other: poll it."""

    model_config = _example(
        {
            "queryUuid": _UUID,
            "cacheMetadata": {"cacheHit": False},
            "valueFieldId": "customers_city",
            "labelFieldId": None,
        }
    )
    results: FieldValuesResults


class ExploreSummary(_Part):
    """One explore in a list."""

    name: str
    label: str
    description: str | None = None
    errors: list[dict[str, Any]] | None = Field(default=None, description="Why it cannot be used, if it cannot.")


class ProjectSummary(_Part):
    """One project, in a list."""

    projectUuid: str  # noqa: N815
    name: str
    type: str = Field(description="`DEFAULT`, for clients that know other kinds.")
    role: str = Field(description="The caller's: viewer, editor or admin.")


class ProjectsAnswer(_Wire):
    """The projects in which the caller has a role, in the order of names."""

    model_config = _example(
        [
            {
                "projectUuid": "0d0b6f3c-6f5e-4c35-9a5b-3b1f6f1f7a42",
                "name": "Shop",
                "type": "DEFAULT",
                "role": "editor",
            }
        ]
    )
    results: list[ProjectSummary]


class ExploresAnswer(_Wire):
    """The explores the caller may use, in the order of names."""

    model_config = _example([{"name": "orders", "label": "Orders", "type": "default", "tags": []}])
    results: list[ExploreSummary]


class ExploreResults(_Part):
    """One explore."""

    name: str
    label: str
    baseTable: str  # noqa: N815
    tables: dict[str, dict[str, Any]] = Field(description="Dimensions and metrics of each table, by name.")
    joinedTables: list[dict[str, Any]]  # noqa: N815
    parameters: dict[str, dict[str, Any]]


class ExploreAnswer(_Wire):
    """An explore with the fields the caller may use."""

    model_config = _example(
        {
            "name": "orders",
            "label": "Orders",
            "tags": [],
            "baseTable": "orders",
            "joinedTables": [],
            "tables": {
                "orders": {
                    "name": "orders",
                    "label": "Orders",
                    "dimensions": {"status": _STATUS},
                    "metrics": {"revenue": _REVENUE},
                }
            },
            "parameters": {},
        }
    )
    results: ExploreResults


class CompileResults(_Part):
    """A question as SQL."""

    query: str
    parameterReferences: list[str]  # noqa: N815


class CompileAnswer(_Wire):
    """What the warehouse would be asked."""

    model_config = _example(
        {
            "query": 'SELECT "orders".status AS "orders_status" FROM orders AS "orders" GROUP BY 1 LIMIT 500',
            "parameterReferences": [],
        }
    )
    results: CompileResults


class JobStarted(_Part):
    """A job to be polled."""

    jobId: str  # noqa: N815


class JobStartedAnswer(_Wire):
    """The statement is committed; its job is the query of that uuid."""

    model_config = _example({"jobId": _UUID})
    results: JobStarted


class JobResults(_Part):
    """How a job is."""

    status: Literal["scheduled", "started", "completed", "error"]
    details: dict[str, Any] | None = Field(description="Completed: `fileUrl`, `columns`. Error: `error`.")


class JobAnswer(_Wire):
    """The state of a job."""

    model_config = _example(
        {
            "status": "completed",
            "details": {
                "fileUrl": f"/api/v1/projects/5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c11/sqlRunner/results/{_UUID}",
                "columns": [{"reference": "n", "type": "number"}],
            },
        }
    )
    results: JobResults


class TablesAnswer(_Wire):
    """The tables the project's login can read: by database, by schema, by name."""

    model_config = _example({"shop": {"main": {"orders": {}, "customers": {}}}})
    results: dict[str, dict[str, dict[str, dict[str, Any]]]]


class TableFieldsAnswer(_Wire):
    """The columns of a table in order, each with its type."""

    model_config = _example({"order_id": "number", "status": "string", "ordered_at": "timestamp"})
    results: dict[str, Literal["string", "number", "timestamp", "date", "boolean"]]


class ProjectResults(_Part):
    """A project as it is now."""

    version: int
    explores: list[str]
    content: dict[str, int] = Field(description="Saved content of files: `created`, `updated`, `deleted`, `unchanged`.")
    problems: list[dict[str, Any]] = Field(description="Warnings: `severity`, `file`, `line`, `message`.")


class ProjectAnswer(_Wire):
    """The models were replaced; every question from now on is answered by the new ones."""

    model_config = _example(
        {
            "version": 7,
            "explores": ["customers", "orders"],
            "content": {"created": 1, "updated": 0, "deleted": 0, "unchanged": 4},
            "problems": [],
        }
    )
    results: ProjectResults


class TokenResults(_Part):
    """A new token."""

    token: str = Field(description="Shown once; only its hash is kept.")
    tokenUuid: str  # noqa: N815
    userUuid: str  # noqa: N815
    expiresAt: str | None  # noqa: N815


class TokenListed(_Part):
    """A token as the admins of its project see it."""

    tokenUuid: str  # noqa: N815
    userUuid: str  # noqa: N815
    name: str
    email: str | None
    role: Literal["viewer", "editor", "admin"]
    attributes: dict[str, list[str]]
    createdAt: str  # noqa: N815
    expiresAt: str | None = Field(description="May have passed.")  # noqa: N815


class TokensAnswer(_Wire):
    """Everybody with a role in the project."""

    model_config = _example(
        [
            {
                "tokenUuid": _UUID,
                "userUuid": "0d5f6e1c-4c1c-4a62-a3f0-6ef0a2a5a001",
                "name": "Ada",
                "email": "ada@example.com",
                "role": "viewer",
                "attributes": {"region": ["north"]},
                "createdAt": "2024-06-12T15:30:00.000Z",
                "expiresAt": None,
            }
        ]
    )
    results: list[TokenListed]


class RevokedAnswer(_Wire):
    """The token has no role in the project any more."""

    model_config = _example(None)
    results: None


class TokenAnswer(_Wire):
    """The token can be used at once."""

    model_config = _example(
        {"token": "V3q…", "tokenUuid": _UUID, "userUuid": "0d5f6e1c-4c1c-4a62-a3f0-6ef0a2a5a001", "expiresAt": None}
    )
    results: TokenResults
