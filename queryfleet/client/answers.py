"""What the service says, as frozen values.

Only this module knows the spelling of the wire. Members it does not name are ignored, so that a newer service
can say more; a member of the wrong shape is a clear error, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from queryfleet.client.envelope import error_class
from queryfleet.errors import JsonValue, QueryCancelledError, ServiceError
from queryfleet.model import Column, ColumnType
from queryfleet.status.transitions import TERMINAL, QueryStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Health", "Progress", "QueryFailure", "QuerySnapshot", "ResultPage", "Timings"]

JsonObject: TypeAlias = "dict[str, JsonValue]"
WireRow: TypeAlias = "dict[str, dict[str, dict[str, JsonValue]]]"
_Kind = TypeVar("_Kind", str, int, bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How much of a result is stored and readable."""

    rows: int = 0
    bytes: int = 0  # of JSONL
    chunks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long each phase took, in milliseconds; None where the phase has not ended."""

    queue_ms: float | None = None
    connect_ms: float | None = None
    execute_ms: float | None = None
    fetch_ms: float | None = None
    finish_ms: float | None = None
    total_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFailure:
    """Why a query ended with status `error`."""

    message: str  # for the person
    name: str  # the error's wire name; empty when the service gave none
    data: JsonObject  # may hold `lineNumber`, `position`, `sqlState`, `warehouseQueryId`
    errored_at: str | None  # ISO 8601, UTC

    def to_error(self) -> ServiceError:
        """Return the failure as the error class it was on the service."""
        return error_class(self.name)(self.message, **self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultPage:
    """Some rows of a result, in the order the warehouse gave them."""

    columns: tuple[Column, ...]  # in order; filled also when there are no rows
    rows: tuple[WireRow, ...]  # as on the wire: `{reference: {"value": {"raw", "formatted"}}}`
    page: int  # counted from 1
    page_size: int  # as asked for; every page but the last has so many rows
    total_rows: int | None  # rows of the whole result; None while the query runs
    total_pages: int | None  # None while the query runs
    is_pivoted: bool = False  # then a cell whose combination does not occur has no member in its row

    def records(self) -> Iterator[JsonObject]:
        """Yield each row as reference to raw value, in column order.

        Raises:
            ServiceError: A row does not have the shape of the contract.
        """
        references = [column.reference for column in self.columns]
        try:
            for row in self.rows:
                cells = row if not self.is_pivoted else _completed(row, references)
                yield {reference: cells[reference]["value"]["raw"] for reference in references}
        except (KeyError, TypeError) as error:
            raise _malformed("rows") from error

    def formatted(self) -> Iterator[tuple[str, ...]]:
        """Yield each row's display texts, in column order.

        Raises:
            ServiceError: A row does not have the shape of the contract.
        """
        references = [column.reference for column in self.columns]
        try:
            for row in self.rows:
                cells = row if not self.is_pivoted else _completed(row, references)
                yield tuple(str(cells[reference]["value"]["formatted"]) for reference in references)
        except (KeyError, TypeError) as error:
            raise _malformed("rows") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySnapshot:
    """A query as the service saw it at one moment."""

    query_uuid: str
    status: QueryStatus
    phase: str | None  # queued, connecting, executing, fetching, finishing; None once ended or when not told
    queue_position: int | None  # 1 = next; None when not waiting
    attempt: int | None  # the number of times an actor has begun it; None when not told
    progress: Progress
    timings: Timings
    warehouse_query_id: str | None  # the warehouse's own name for the execution
    cache_hit: bool | None  # only known from the submit answer
    warnings: tuple[str, ...]  # what the service did differently from what was asked, such as a lowered limit
    failure: QueryFailure | None  # exactly when status is `error`
    cancelled_at: str | None  # ISO 8601, UTC
    page: ResultPage | None  # when ready, or when the page asked for is already stored
    # Of a question to the models: description of each column by its reference; only known from the submit answer.
    fields: Mapping[str, JsonValue] = field(default_factory=dict)
    sql: str | None = None  # that the models made; only known from the submit answer, and to those who may run SQL
    truncated: bool = False  # a limit cut the result short

    @property
    def is_ended(self) -> bool:
        """Whether the status can no longer change."""
        return self.status in TERMINAL

    def raise_if_failed(self) -> None:
        """Do nothing unless the query ended without a result.

        Raises:
            QueryCancelledError: It was cancelled.
            ServiceError: It failed; the class is that of the failure, `WarehouseQueryError` for refused SQL.
        """
        if self.failure is not None:
            error = self.failure.to_error()
            error.details.setdefault("queryUuid", self.query_uuid)
            if self.warehouse_query_id is not None:
                error.details.setdefault("warehouseQueryId", self.warehouse_query_id)
            raise error
        if self.status is QueryStatus.CANCELLED:
            raise QueryCancelledError(f"Query {self.query_uuid} was cancelled.", queryUuid=self.query_uuid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the service says about itself."""

    healthy: bool
    version: str
    default_page_size: int
    max_page_size: int  # a larger `page_size` is refused
    max_limit: int | None  # a larger `limit` is lowered


def parse_snapshot(results: JsonValue, *, query_uuid: str | None = None, page_size: int | None = None) -> QuerySnapshot:
    """Read the `results` of a submit or poll answer.

    Args:
        results: The member of that name.
        query_uuid: Used when the answer does not repeat it.
        page_size: As asked for; used when a page does not repeat it.

    Raises:
        ServiceError: Not the shape of the contract.
    """
    data = _object(results, "results")
    uuid = _optional(data, "queryUuid", str) or query_uuid
    if uuid is None:
        raise _malformed("queryUuid")
    try:
        status = QueryStatus(_optional(data, "status", str) or QueryStatus.PENDING)
    except ValueError as error:
        text = f"The status {data['status']!r} is not known to this client. Upgrade queryfleet."
        raise ServiceError(text) from error
    progress = _object(data.get("progress") or {}, "progress")
    cache = _object(data.get("cacheMetadata") or {}, "cacheMetadata")
    return QuerySnapshot(
        query_uuid=uuid,
        status=status,
        phase=_optional(data, "phase", str),
        queue_position=_optional(data, "queuePosition", int),
        attempt=_optional(data, "attempt", int),
        progress=Progress(**{name: _optional(progress, name, int) or 0 for name in ("rows", "bytes", "chunks")}),
        timings=parse_timings(data.get("timings")),
        warehouse_query_id=_optional(data, "warehouseQueryId", str),
        cache_hit=_optional(cache, "cacheHit", bool),
        warnings=_warnings(data),
        failure=_failure(data) if status is QueryStatus.ERROR else None,
        cancelled_at=_optional(data, "cancelledAt", str),
        page=_page(data, page_size),
        fields=_object(data.get("fields") or {}, "fields"),
        sql=_optional(data, "sql", str),
        truncated=bool(data.get("truncated")),
    )


def parse_health(results: JsonValue) -> Health:
    """Read the `results` of a health answer.

    Raises:
        ServiceError: Not the shape of the contract.
    """
    data = _object(results, "results")
    query = _object(data.get("query") or {}, "query")
    maximum = _optional(query, "maxPageSize", int) or 500
    return Health(
        healthy=bool(data.get("healthy")),
        version=_optional(data, "version", str) or "",
        default_page_size=_optional(query, "defaultPageSize", int) or min(500, maximum),
        max_page_size=maximum,
        max_limit=_optional(query, "maxLimit", int),
    )


def _malformed(member: str) -> ServiceError:
    text = f"The service's answer has no valid {member!r}: is this address really the query service?"
    return ServiceError(text)


def _object(value: JsonValue, member: str) -> JsonObject:
    if not isinstance(value, dict):
        raise _malformed(member)
    return value


def _optional(data: JsonObject, member: str, kind: type[_Kind]) -> _Kind | None:
    value = data.get(member)
    if value is None:
        return None
    # A bool is an int to Python, and must not pass for a count.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _malformed(member)
    return value


def parse_timings(timings: JsonValue) -> Timings:
    """Read the member `timings` of a query; what is missing has not ended, or is not told.

    Raises:
        ServiceError: Not the shape of the contract.
    """
    given = _object(timings or {}, "timings")

    def milliseconds(member: str) -> float | None:
        value = given.get(member)
        return value if isinstance(value, int | float) else None

    return Timings(
        queue_ms=milliseconds("queueMs"),
        connect_ms=milliseconds("connectMs"),
        execute_ms=milliseconds("executeMs"),
        fetch_ms=milliseconds("fetchMs"),
        finish_ms=milliseconds("finishMs"),
        total_ms=milliseconds("totalMs"),
    )


def _warnings(data: JsonObject) -> tuple[str, ...]:
    given = data.get("warnings")
    if not isinstance(given, list):
        return ()
    texts = (entry.get("message") if isinstance(entry, dict) else entry for entry in given)
    return tuple(text for text in texts if isinstance(text, str))


def _failure(data: JsonObject) -> QueryFailure:
    details = data.get("errorData")
    return QueryFailure(
        message=_optional(data, "error", str) or "The query failed; the service gave no reason.",
        name=_optional(data, "errorName", str) or "",
        data=details if isinstance(details, dict) else {},
        errored_at=_optional(data, "erroredAt", str),
    )


def _page(data: JsonObject, page_size: int | None) -> ResultPage | None:
    rows = data.get("rows")
    if rows is None:
        return None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _malformed("rows")
    return ResultPage(
        columns=tuple(
            _column(reference, value) for reference, value in _object(data.get("columns"), "columns").items()
        ),
        # Cells are looked at when they are used: looking at each twice would double the cost of a page.
        rows=cast("tuple[WireRow, ...]", tuple(rows)),
        page=_optional(data, "page", int) or 1,
        page_size=_optional(data, "pageSize", int) or page_size or len(rows),
        total_rows=_optional(data, "totalResults", int),
        total_pages=_optional(data, "totalPageCount", int),
        is_pivoted=data.get("pivotDetails") is not None,
    )


_NO_CELL: Final[dict[str, dict[str, JsonValue]]] = {"value": {"raw": None, "formatted": ""}}


def _completed(row: WireRow, references: list[str]) -> WireRow:
    return {reference: row.get(reference, _NO_CELL) for reference in references}


def _column(reference: str, value: JsonValue) -> Column:
    try:
        return Column(
            reference=reference,
            type=ColumnType(_optional(_object(value, "columns"), "type", str) or "string"),
        )
    except ValueError:
        # A type of a newer service: text is what every client can do with it.
        return Column(reference=reference, type=ColumnType.STRING)
