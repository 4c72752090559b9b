"""Files, manifests and the state of many queries: what a client may send, and what it gets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "BatchStatusAnswer",
    "BatchStatusRequest",
    "DownloadAnswer",
    "DownloadRequest",
    "ManifestAnswer",
    "ScheduledAnswer",
]

_UUID = "5a1e7c1e-7f0e-4b39-9d0a-0c6a2c1d9b11"
_JOB = "0b7f8c8e-53a5-4d2c-8a4f-0b7a5b6f5c11"
_FILE = f"http://127.0.0.1:8000/api/v1/files/{_JOB}/orders.csv?expires=1795525022&signature=7f0e4b39"
_QUERIES_MAX = 200


class DownloadRequest(BaseModel):
    """Body of the two download routes. Members that are not listed are ignored, as other clients expect."""

    model_config = ConfigDict(
        strict=True, json_schema_extra={"examples": [{"type": "csv", "attachmentDownloadName": "orders"}]}
    )

    type: str = Field(
        default="jsonl", description="`csv`, `xlsx`, `jsonl`, `parquet`, `arrow` (a file) or `arrow_stream`."
    )
    onlyRaw: bool = Field(  # noqa: N815 - here and below: the wire's spelling
        default=False, description="csv, xlsx: values as they are, instead of as people read them."
    )
    showTableNames: bool = Field(  # noqa: N815
        default=False, description="csv, xlsx: headers begin with the label of the field's table."
    )
    customLabels: dict[str, str] = Field(  # noqa: N815
        default={}, description="Headers by column; they win over the fields' labels."
    )
    columnOrder: list[str] = Field(default=[], description="Columns that come first; the others follow.")  # noqa: N815
    hiddenFields: list[str] = Field(default=[], description="Columns that are left out.")  # noqa: N815
    attachmentDownloadName: str | None = Field(  # noqa: N815
        default=None, description="What a browser calls the file; its ending is added."
    )
    escapeFormulas: bool = Field(  # noqa: N815
        default=True, description="csv: text that a spreadsheet would run as a formula begins with an apostrophe."
    )
    showColumnTotals: bool = Field(  # noqa: N815
        default=False, description="csv, xlsx: a last row of totals, which the warehouse computes; not of SQL."
    )
    exportPivotedData: bool = Field(  # noqa: N815
        default=True, description="Must be true for a query with a pivot, whose rows are stored pivoted."
    )


class BatchStatusRequest(BaseModel):
    """Body of `POST …/query/status`."""

    model_config = ConfigDict(strict=True, json_schema_extra={"examples": [{"queryUuids": [_UUID]}]})

    queryUuids: list[str] = Field(  # noqa: N815
        min_length=1, max_length=_QUERIES_MAX, description=f"At most {_QUERIES_MAX}."
    )


def _example(*results: Any) -> ConfigDict:
    examples: list[Any] = [{"status": "ok", "results": one} for one in results]
    return ConfigDict(extra="allow", json_schema_extra={"examples": examples})


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")


class DownloadResults(_Part):
    """A file that is there."""

    fileUrl: str = Field(description="Works without a token, with ranges, until `expiresAt`.")  # noqa: N815
    truncated: bool = Field(description="The result itself was cut short by a limit.")
    jobId: str  # noqa: N815
    byteCount: int  # noqa: N815
    expiresAt: str  # noqa: N815


class DownloadAnswer(_Part):
    """A file that is there."""

    model_config = _example(
        {
            "fileUrl": _FILE,
            "truncated": False,
            "jobId": _JOB,
            "byteCount": 1048576,
            "expiresAt": "2026-11-25T10:00:00.000Z",
        }
    )
    status: Literal["ok"]
    results: DownloadResults


class ScheduledResults(_Part):
    """A file that will be made."""

    jobId: str = Field(description="For `GET /api/v1/schedulers/job/{jobId}/status`.")  # noqa: N815


class ScheduledAnswer(_Part):
    """A file that will be made."""

    model_config = _example({"jobId": _JOB})
    status: Literal["ok"]
    results: ScheduledResults


class ManifestChunk(_Part):
    """One stored piece of a result: whole lines of JSON."""

    index: int
    firstRow: int  # noqa: N815
    rowCount: int  # noqa: N815
    byteCount: int  # noqa: N815
    crc32: str = Field(description="Eight hexadecimal digits, of the whole chunk.")
    url: str | None = Field(description="Leads to the store and needs no token; null when the store gives no links.")
    path: str = Field(description="The same bytes through this service, with the token.")


class ManifestResults(_Part):
    """What exists of a result."""

    queryUuid: str  # noqa: N815
    status: Literal["pending", "running", "ready", "error", "cancelled"]
    attempt: int = Field(description="Chunks of two attempts do not belong together.")
    complete: bool = Field(description="The query is ready: there will be no further chunk.")
    rowCount: int  # noqa: N815
    byteCount: int  # noqa: N815
    chunkCount: int  # noqa: N815
    columns: list[dict[str, Any]] | None = Field(description="Null until they are known.")
    arrowSchema: str | None = Field(  # noqa: N815
        description="An Arrow IPC schema message in base64: the types that the warehouse gave."
    )
    linksExpireAt: str | None  # noqa: N815
    chunks: list[ManifestChunk]
    nextChunk: int | None = Field(  # noqa: N815
        default=None, description="Ask again with `firstChunk` of this number; absent when these are the last."
    )


class ManifestAnswer(_Part):
    """What exists of a result, and where."""

    model_config = _example(
        {
            "queryUuid": _UUID,
            "status": "ready",
            "attempt": 1,
            "complete": True,
            "rowCount": 2,
            "byteCount": 54,
            "chunkCount": 1,
            "columns": [{"reference": "status", "type": "string"}],
            "arrowSchema": "/////3gAAAA=",
            "linksExpireAt": None,
            "chunks": [
                {
                    "index": 0,
                    "firstRow": 0,
                    "rowCount": 2,
                    "byteCount": 54,
                    "crc32": "1f2e3d4c",
                    "url": None,
                    "path": f"/api/v2/projects/{_JOB}/query/{_UUID}/chunks/0?attempt=1",
                }
            ],
        }
    )
    status: Literal["ok"]
    results: ManifestResults


class QueryState(_Part):
    """One query, without rows."""

    queryUuid: str  # noqa: N815
    status: Literal["pending", "running", "ready", "error", "cancelled"]
    progress: dict[str, int]


class BatchStatusResults(_Part):
    """Many queries, in the order that was asked."""

    queries: list[QueryState]
    missing: list[str] = Field(description="Those that do not exist for this caller.")


class BatchStatusAnswer(_Part):
    """Many queries at once."""

    model_config = _example(
        {
            "queries": [
                {
                    "queryUuid": _UUID,
                    "status": "running",
                    "phase": "fetching",
                    "attempt": 1,
                    "progress": {"rows": 65536, "bytes": 15728640, "chunks": 3},
                    "timings": {"queueMs": 2},
                }
            ],
            "missing": [],
        }
    )
    status: Literal["ok"]
    results: BatchStatusResults
