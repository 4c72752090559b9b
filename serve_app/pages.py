"""From a query's record to the answer of a poll: its state, and a page of rows when those are stored."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from queryfleet.errors import PaginationError, ResultCorruptError, ResultsExpiredError
from queryfleet.results.page import render_rows, schema_from_bytes
from queryfleet.status.transitions import QueryStatus
from serve_app.envelope import iso, ok, ok_with_rows
from serve_app.stored_lines import require_ready

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from queryfleet.settings import Settings
    from queryfleet.status.record import QueryRecord
    from queryfleet.telemetry import Meter
    from serve_app.lines import ResultLines
    from serve_app.queries import Queries

__all__ = ["PageRequest", "Pages", "state_members"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which rows a poll wants."""

    page: int  # from 1
    page_size: int  # rows, at least 1
    explicit: bool  # the caller named a page; only then are rows of a running query sent

    @property
    def first_row(self) -> int:
        """Row number of the page's first row, from 0."""
        return (self.page - 1) * self.page_size

    @property
    def end_row(self) -> int:
        """Row number after the page's last row, if the result is long enough."""
        return self.page * self.page_size

    @classmethod
    def of(cls, page: int | None, page_size: int | None, settings: Settings) -> PageRequest:
        """Check what a caller asked for.

        Raises:
            PaginationError: Out of range; the message says which range.
        """
        size = settings.page_size_default if page_size is None else page_size
        if not 1 <= size <= settings.page_size_max:
            raise PaginationError(
                f"pageSize must be between 1 and {settings.page_size_max}.",
                pageSize=size,
                maxPageSize=settings.page_size_max,
            )
        if page is not None and page < 1:
            raise PaginationError("page must be at least 1.", page=page)
        return cls(page=page or 1, page_size=size, explicit=page is not None)

    def covered_by(self, record: QueryRecord) -> bool:
        """Whether every row of the page is stored while the query still runs."""
        return (
            self.explicit
            and record.status is QueryStatus.RUNNING
            and record.columns is not None
            and record.row_count >= self.end_row
        )


class Pages:
    """Writes the answers of one replica."""

    def __init__(self, queries: Queries, lines: ResultLines, meter: Meter) -> None:
        self._queries = queries
        self._lines = lines
        self._meter = meter

    async def answer(self, record: QueryRecord, wanted: PageRequest, extra: dict[str, Any] | None = None) -> Response:
        """Return the answer to a poll.

        Args:
            record: The query as it is now.
            wanted: The page.
            extra: Members that go before all others: those of an execute answer.

        Raises:
            PaginationError: The page lies beyond the last one of a finished result.
            ResultsExpiredError: The rows are no longer kept.
            ResultCorruptError: Stored bytes are damaged.
        """
        members = dict(extra or {}) | {"status": record.status.value, "queryUuid": record.query_uuid}
        match record.status:
            case QueryStatus.READY:
                return await self._ready(record, wanted, members)
            case QueryStatus.ERROR:
                return ok(members | _error(record) | _facts(record, members))
            case QueryStatus.CANCELLED:
                ended = record.timings.ended_at
                return ok(members | {"cancelledAt": iso(ended) if ended else None} | _facts(record, members))
            case QueryStatus.PENDING:
                members["queuePosition"] = await self._queries.queue_position(record.query_uuid)
                return ok(members | {"phase": record.phase.value} | _facts(record, members))
            case QueryStatus.RUNNING:
                members |= {"phase": record.phase.value} | _facts(record, members)
                if wanted.covered_by(record):
                    return await self._running_page(record, wanted, members)
                return ok(members)

    async def _running_page(self, record: QueryRecord, wanted: PageRequest, members: dict[str, Any]) -> Response:
        try:
            rows, _ = await self._rows(record, wanted.first_row, wanted.page_size)
        except (ResultsExpiredError, ResultCorruptError):
            # The attempt has just been given up, and what it had stored is being removed: there are no rows yet.
            return ok(members)
        members |= {
            "page": wanted.page,
            "pageSize": wanted.page_size,
            "rowCount": wanted.page_size,
            "columns": _columns(record),
        }
        return ok_with_rows(members, rows)

    @staticmethod
    def require_kept(record: QueryRecord) -> None:
        """Raise `ResultsExpiredError` when the rows of a ready query are no longer kept."""
        expiry = record.results_expire_at
        if expiry is not None and (record.objects_deleted or datetime.now(UTC) >= expiry):
            raise ResultsExpiredError("The results of this query have expired; run it again.", expiredAt=iso(expiry))

    def require_result(self, record: QueryRecord) -> None:
        """Raise unless a query has a result, or may still have one, that is kept."""
        if record.is_terminal:
            require_ready(record)
            self.require_kept(record)

    async def _ready(self, record: QueryRecord, wanted: PageRequest, members: dict[str, Any]) -> Response:
        self.require_kept(record)
        total = record.row_count
        last_page = -(-total // wanted.page_size)
        if wanted.page > max(1, last_page):
            raise PaginationError(
                f"page must be between 1 and {max(1, last_page)}.", page=wanted.page, totalPageCount=last_page
            )
        row_count = max(0, min(wanted.end_row, total) - wanted.first_row)
        rows, page_ms = await self._rows(record, wanted.first_row, row_count)
        members |= {"page": wanted.page, "pageSize": wanted.page_size, "rowCount": row_count}
        members |= {"totalResults": total, "totalPageCount": last_page}
        if wanted.page < last_page:
            members["nextPage"] = wanted.page + 1
        if wanted.page > 1:
            members["previousPage"] = wanted.page - 1
        members |= {
            "columns": _columns(record),
            "pivotDetails": record.pivot_details,
            "resolvedTimezone": record.timezone,
        }
        return ok_with_rows(members | _performance(record, page_ms) | _facts(record, members), rows)

    async def _rows(self, record: QueryRecord, first_row: int, row_count: int) -> tuple[bytes, int]:
        """Return the rows as JSON text and the milliseconds it took."""
        began = time.perf_counter()
        rows = b"[]"
        if row_count > 0:
            lines = await self._lines.read(record, first_row, row_count)
            schema = schema_from_bytes(record.arrow_schema or b"")
            rules = self._queries.rules(record)
            is_sparse = record.pivot is not None
            rows = await asyncio.to_thread(
                render_rows, lines, schema, rules, timezone=record.timezone, sparse=is_sparse
            )
        seconds = time.perf_counter() - began
        self._meter.count("queryfleet_pages_total")
        self._meter.observe("queryfleet_page_seconds", seconds)
        return rows, round(seconds * 1000)


def state_members(record: QueryRecord) -> dict[str, Any]:
    """Return what a poll tells of a query, but for its rows and its place in the queue."""
    members: dict[str, Any] = {"queryUuid": record.query_uuid, "status": record.status.value}
    if record.status is QueryStatus.ERROR:
        members |= _error(record)
    elif not record.is_terminal:
        members["phase"] = record.phase.value
    return members | _facts(record, members)


def _columns(record: QueryRecord) -> dict[str, Any]:
    columns = record.columns or ()
    return {column.reference: {"reference": column.reference, "type": column.type.value} for column in columns}


def _facts(record: QueryRecord, members: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "attempt": record.attempt,
        "progress": {"rows": record.row_count, "bytes": record.byte_count, "chunks": record.chunk_count},
        "timings": record.timings.milliseconds(),
    }
    if record.truncated:
        facts["truncated"] = True
    if record.warehouse_query_id is not None:
        facts["warehouseQueryId"] = record.warehouse_query_id
    if record.warnings:  # beside those that the question itself has
        facts["warnings"] = [*members.get("warnings", ()), *({"message": warning} for warning in record.warnings)]
    if record.cancel_requested and not record.is_terminal:
        facts["cancelRequested"] = True
    return facts


def _error(record: QueryRecord) -> dict[str, Any]:
    failure, ended = record.failure, record.timings.ended_at
    return {
        "error": failure.message if failure else None,
        "errorName": failure.name if failure else None,
        "errorData": failure.details if failure else {},
        "erroredAt": iso(ended) if ended else None,
    }


def _performance(record: QueryRecord, page_ms: int) -> dict[str, Any]:
    """The same three figures in both places where clients of different ages look for them."""
    spans = record.timings.milliseconds()
    execution_ms = spans.get("executeMs", 0) + spans.get("fetchMs", 0)
    return {
        "metadata": {
            "performance": {
                "initialQueryExecutionMs": execution_ms,
                "resultsPageExecutionMs": page_ms,
                "queueTimeMs": spans.get("queueMs"),
            }
        },
        "initialQueryExecutionMs": execution_ms,
        "resultsPageExecutionMs": page_ms,
    }
