"""What the service answers, for the documentation and for clients; the hot paths write the same bytes directly."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "CancelAnswer",
    "ErrorAnswer",
    "ExecuteAnswer",
    "HealthAnswer",
    "HistoryAnswer",
    "LivenessAnswer",
    "PollAnswer",
    "ReadinessAnswer",
]

_UUID = "5a1e7c1e-7f0e-4b39-9d0a-0c6a2c1d9b11"


class _Wire(BaseModel):
    model_config = ConfigDict(extra="allow")


class CacheMetadata(_Wire):
    """Whether an earlier result was used."""

    cacheHit: bool  # noqa: N815


class ExecuteResults(_Wire):
    """An accepted query. With `waitMs`, the members of `PollResults` are here too."""

    queryUuid: str = Field(examples=[_UUID])  # noqa: N815
    cacheMetadata: CacheMetadata  # noqa: N815
    parameterReferences: list[str]  # noqa: N815
    usedParametersValues: dict[str, Any]  # noqa: N815
    resolvedTimezone: str | None  # noqa: N815
    status: Literal["pending", "running", "ready", "error", "cancelled"]


class ExecuteAnswer(_Wire):
    """The query is committed: it will end in `ready`, `error` or `cancelled`, whatever happens to the service."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "status": "ok",
                    "results": {
                        "queryUuid": _UUID,
                        "cacheMetadata": {"cacheHit": False},
                        "parameterReferences": [],
                        "usedParametersValues": {},
                        "resolvedTimezone": None,
                        "status": "pending",
                    },
                }
            ]
        },
    )
    status: Literal["ok"]
    results: ExecuteResults


class Progress(_Wire):
    """What is committed so far: readable now."""

    rows: int
    bytes: int = Field(description="Bytes of stored JSONL.")
    chunks: int


class CellValue(_Wire):
    """One cell."""

    raw: Any
    formatted: str


class Cell(_Wire):
    """One cell, wrapped as the protocol wants it."""

    value: CellValue


class ColumnAnswer(_Wire):
    """One column of the result."""

    reference: str
    type: Literal["string", "number", "timestamp", "date", "boolean"]


class PollResults(_Wire):
    """The state of a query, and a page of its rows as soon as they are stored."""

    status: Literal["pending", "running", "ready", "error", "cancelled"]
    queryUuid: str  # noqa: N815
    phase: Literal["queued", "connecting", "executing", "fetching", "finishing"] | None = None
    queuePosition: int | None = Field(default=None, description="While pending; 1 is next.")  # noqa: N815
    attempt: int | None = Field(default=None, description="How often the query was started.")
    progress: Progress | None = None
    timings: dict[str, int] | None = Field(default=None, description="Milliseconds of each phase that has ended.")
    warehouseQueryId: str | None = Field(default=None, description="The warehouse's own name for it.")  # noqa: N815
    rows: list[dict[str, Cell]] | None = None
    columns: dict[str, ColumnAnswer] | None = Field(default=None, description="In the order of the result.")
    page: int | None = None
    pageSize: int | None = Field(default=None, description="As requested.")  # noqa: N815
    rowCount: int | None = Field(default=None, description="Rows on this page.")  # noqa: N815
    totalResults: int | None = Field(default=None, description="Rows of the result; once ready.")  # noqa: N815
    totalPageCount: int | None = None  # noqa: N815
    nextPage: int | None = Field(default=None, description="Absent on the last page.")  # noqa: N815
    previousPage: int | None = Field(default=None, description="Absent on the first page.")  # noqa: N815
    error: str | None = Field(default=None, description="Why it failed; with status `error`.")
    errorName: str | None = None  # noqa: N815
    errorData: dict[str, Any] | None = Field(  # noqa: N815
        default=None, description="`sqlState`, `lineNumber`, `position` and the like, when the warehouse tells."
    )
    erroredAt: str | None = None  # noqa: N815
    cancelledAt: str | None = None  # noqa: N815


class PollAnswer(_Wire):
    """The answer to a poll."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "status": "ok",
                    "results": {
                        "status": "running",
                        "queryUuid": _UUID,
                        "phase": "fetching",
                        "attempt": 1,
                        "progress": {"rows": 65536, "bytes": 15728640, "chunks": 3},
                        "timings": {"queueMs": 2, "connectMs": 6, "executeMs": 40},
                    },
                },
                {
                    "status": "ok",
                    "results": {
                        "status": "ready",
                        "queryUuid": _UUID,
                        "page": 1,
                        "pageSize": 2,
                        "rowCount": 2,
                        "totalResults": 3,
                        "totalPageCount": 2,
                        "nextPage": 2,
                        "columns": {
                            "status": {"reference": "status", "type": "string"},
                            "orders": {"reference": "orders", "type": "number"},
                        },
                        "rows": [
                            {
                                "status": {"value": {"raw": "shipped", "formatted": "shipped"}},
                                "orders": {"value": {"raw": 1234, "formatted": "1,234"}},
                            },
                            {
                                "status": {"value": {"raw": None, "formatted": "∅"}},
                                "orders": {"value": {"raw": 7, "formatted": "7"}},
                            },
                        ],
                        "pivotDetails": None,
                        "resolvedTimezone": None,
                        "metadata": {
                            "performance": {
                                "initialQueryExecutionMs": 812,
                                "resultsPageExecutionMs": 3,
                                "queueTimeMs": 2,
                            }
                        },
                    },
                },
                {
                    "status": "ok",
                    "results": {
                        "status": "error",
                        "queryUuid": _UUID,
                        "error": 'relation "order" does not exist',
                        "errorName": "WarehouseQueryError",
                        "errorData": {"sqlState": "42P01", "lineNumber": 1},
                        "erroredAt": "2026-01-02T03:04:05.678Z",
                    },
                },
            ]
        },
    )
    status: Literal["ok"]
    results: PollResults


class CancelAnswer(_Wire):
    """The query has ended, or will at once."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"status": "ok", "results": None}]})
    status: Literal["ok"]
    results: None


class ErrorBody(_Wire):
    """What went wrong."""

    statusCode: int  # noqa: N815
    name: str = Field(description="Stable: match on this.")
    message: str = Field(description="For people; may change.")
    data: dict[str, Any]


class ErrorAnswer(_Wire):
    """Every error looks like this."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "status": "error",
                    "error": {
                        "statusCode": 422,
                        "name": "PaginationError",
                        "message": "pageSize must be between 1 and 5000.",
                        "data": {"pageSize": 5001, "maxPageSize": 5000},
                    },
                }
            ]
        },
    )
    status: Literal["error"]
    error: ErrorBody


class HealthResults(_Wire):
    """What the service is and which limits it has."""

    healthy: bool
    version: str
    storesResults: bool  # noqa: N815
    query: dict[str, int]


class HealthAnswer(_Wire):
    """Health and limits."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "status": "ok",
                    "results": {
                        "healthy": True,
                        "version": "0.1.0",
                        "storesResults": True,
                        "query": {"maxPageSize": 5000, "defaultPageSize": 500, "maxLimit": 100000000},
                    },
                }
            ]
        },
    )
    status: Literal["ok"]
    results: HealthResults


class LivenessResults(_Wire):
    """Whether the process lives."""

    alive: bool


class LivenessAnswer(_Wire):
    """The process lives."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"examples": [{"status": "ok", "results": {"alive": True}}]}
    )
    status: Literal["ok"]
    results: LivenessResults


class ReadinessResults(_Wire):
    """Whether a query can be answered."""

    ready: bool
    schemaVersion: str = Field(description="Of the database.")  # noqa: N815


class ReadinessAnswer(_Wire):
    """Every part answers."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"status": "ok", "results": {"ready": True, "schemaVersion": "0001"}}]},
    )
    status: Literal["ok"]
    results: ReadinessResults


class HistoryEntry(_Wire):
    """One query of the past or the present."""

    queryUuid: str  # noqa: N815
    userUuid: str = Field(description="Who asked.")  # noqa: N815
    context: str
    sql: str = Field(description="At most 10,000 characters of it; empty for those who may not run SQL.")
    exploreName: str | None = Field(default=None, description="Of a question to the models.")  # noqa: N815
    status: Literal["pending", "running", "ready", "error", "cancelled"]
    attempt: int
    cacheHit: bool  # noqa: N815
    warehouseQueryId: str | None  # noqa: N815
    rows: int
    bytes: int
    createdAt: str  # noqa: N815
    startedAt: str | None  # noqa: N815
    endedAt: str | None  # noqa: N815
    timings: dict[str, int]


class HistoryResults(_Wire):
    """One page of a history."""

    page: int
    pageSize: int  # noqa: N815
    totalResults: int  # noqa: N815
    totalPageCount: int  # noqa: N815
    queries: list[HistoryEntry]


class HistoryAnswer(_Wire):
    """Queries, newest first."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "status": "ok",
                    "results": {
                        "page": 1,
                        "pageSize": 100,
                        "totalResults": 1,
                        "totalPageCount": 1,
                        "queries": [
                            {
                                "queryUuid": _UUID,
                                "userUuid": "0d5f6e1c-4c1c-4a62-a3f0-6ef0a2a5a001",
                                "context": "sqlRunner",
                                "sql": "select status, count(*) from orders group by 1",
                                "status": "ready",
                                "attempt": 1,
                                "cacheHit": False,
                                "warehouseQueryId": "12345",
                                "rows": 4,
                                "bytes": 160,
                                "createdAt": "2026-01-02T03:04:05.678Z",
                                "startedAt": "2026-01-02T03:04:05.680Z",
                                "endedAt": "2026-01-02T03:04:06.100Z",
                                "timings": {"queueMs": 2, "executeMs": 400, "totalMs": 422},
                            }
                        ],
                    },
                }
            ]
        },
    )
    status: Literal["ok"]
    results: HistoryResults
