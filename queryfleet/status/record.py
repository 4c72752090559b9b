"""One query as it stands in the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from queryfleet.status.transitions import TERMINAL, Phase, QueryStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from queryfleet.errors import JsonValue
    from queryfleet.model import ChunkRef, Column

__all__ = [
    "AbandonedQuery",
    "Acceptance",
    "ExpiredLease",
    "ExpiredResult",
    "Failure",
    "HistoryEntry",
    "HistoryFilter",
    "KnownToken",
    "Lease",
    "NewQuery",
    "OverdueQuery",
    "PendingCancel",
    "ProjectName",
    "QueryRecord",
    "QueueDepth",
    "Resume",
    "StoredProject",
    "StoredQuestion",
    "StoredRows",
    "Timings",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a query ended in `error`, as a client will read it."""

    name: str  # the wire name, such as `WarehouseQueryError`
    message: str
    status: int = 500  # the HTTP status the same error would have had
    details: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRows:
    """A small result that was known when its query was asked: durable already, under attempt 0."""

    columns: tuple[Column, ...]
    arrow_schema: bytes
    chunk: ChunkRef | None  # None: no rows
    ttl_seconds: float  # how long it is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class NewQuery:
    """What is stored when a query is accepted."""

    query_uuid: str
    project_uuid: str
    user_uuid: str
    context: str  # where the question came from
    sql: str
    row_limit: int | None = None
    idempotency_key: str | None = None  # the caller's name for this request, unique per project and user
    request_hash: bytes = b""  # of everything the caller asked; tells a repeat from a clash
    cache_key: bytes | None = None  # equal for queries with the same rows; None: shares with nobody
    use_cache: bool = True  # may take rows that are there, or that another query is about to have
    cache_margin_seconds: float = 0.0  # rows that expire sooner than this are not taken
    poll_ttl_seconds: float | None = None  # cancelled when nobody polls for so long; None: never
    queue_max: int = 2_000_000_000  # refused when so many of the project wait already
    fields: Mapping[str, JsonValue] | None = None  # descriptions of the columns by name, in order; None: plain SQL
    timezone: str | None = None  # in which times are shown; None: as UTC
    question: Mapping[str, JsonValue] | None = None  # what was asked of the models
    pivot: Mapping[str, JsonValue] | None = None  # what is done with the rows: `PivotTask.to_json`; None: nothing
    selection: Mapping[str, JsonValue] | None = None  # which stored rows it has: `RowSelection.to_json`; None: it asks
    outcome: Failure | StoredRows | None = None  # set: it has ended already, and nobody will run it


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """The outcome of storing a query."""

    query_uuid: str
    created: bool  # False: the same request was accepted before, under this uuid
    cache_hit: bool = False  # the rows are there already


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What an actor learns when it renews its lease."""

    current: bool  # False: another attempt has the query, or it has ended; stop at once
    cancel_requested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """When each part of a query's life began; None for what has not happened. All aware, UTC."""

    created_at: datetime
    claimed_at: datetime | None = None  # an actor has it
    executing_at: datetime | None = None  # the warehouse has the statement
    fetching_at: datetime | None = None  # the first batch is here
    finishing_at: datetime | None = None  # the last batch is here
    ended_at: datetime | None = None  # terminal

    def milliseconds(self) -> dict[str, int]:
        """Return the known durations: queue, connect, execute, fetch, finish, and total once the query has ended."""
        marks = (
            *(self.created_at, self.claimed_at, self.executing_at),
            *(self.fetching_at, self.finishing_at, self.ended_at),
        )
        names = ["queueMs", "connectMs", "executeMs", "fetchMs", "finishMs"]
        spans = {}
        for name, begin, end in zip(names, marks[:-1], marks[1:], strict=True):
            if begin is not None and end is not None:
                spans[name] = max(0, round((end - begin).total_seconds() * 1000))
        if self.ended_at is not None:
            spans["totalMs"] = max(0, round((self.ended_at - self.created_at).total_seconds() * 1000))
        return spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """What the latest attempt that reached the warehouse has left to the current one."""

    query_id: str  # the warehouse's, of a statement that may run on there
    attempt: int  # whose committed chunks may be kept
    arrow_schema: bytes | None  # of those chunks; None: there can be none


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryRecord:
    """One row of the query table."""

    query_uuid: str
    project_uuid: str
    user_uuid: str
    context: str
    sql: str
    row_limit: int | None
    status: QueryStatus
    phase: Phase
    attempt: int  # number of claims; the current attempt while running
    actor_name: str | None
    cancel_requested: bool
    warehouse_query_id: str | None
    columns: tuple[Column, ...] | None  # None until the warehouse has told them
    arrow_schema: bytes | None  # Arrow IPC schema message
    row_count: int  # committed rows: readable now
    byte_count: int
    chunk_count: int
    failure: Failure | None  # set with status `error`
    warnings: tuple[str, ...]
    timings: Timings
    results_expire_at: datetime | None  # set with status `ready`
    results_created_at: datetime | None = None  # set with status `ready`; earlier than the query on a cache hit
    cache_hit: bool = False  # its rows were there already
    leader_uuid: str | None = None  # waits for this query's result instead of running
    result_query_uuid: str = ""  # whose chunks hold its rows
    result_attempt: int = 0  # and of which attempt
    truncated: bool = False  # a limit cut the result short; `warnings` says which
    objects_deleted: bool = False  # the rows are gone
    poll_ttl_seconds: float | None = None
    resume: Resume | None = None  # only in what `claim` returns
    fields: Mapping[str, JsonValue] | None = None  # descriptions of the columns by name, in order; None: plain SQL
    timezone: str | None = None  # in which times are shown; None: as UTC
    pivot: Mapping[str, JsonValue] | None = None  # what is done with the rows; None: nothing
    selection: Mapping[str, JsonValue] | None = None  # which rows of a stored result it has; None: the warehouse's
    pivot_details: Mapping[str, JsonValue] | None = None  # what a page says of it; None until the columns are known

    @property
    def is_terminal(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in TERMINAL

    @property
    def is_unstored(self) -> bool:
        """Whether its rows stay in the warehouse, to be read there again by `warehouse_query_id`."""
        return self.status is QueryStatus.READY and self.row_count > 0 and self.chunk_count == 0

    @property
    def column_fields(self) -> Mapping[str, JsonValue] | None:
        """Descriptions of the result's columns by name: those of a pivot are shown as what their values are made of."""
        values = (self.pivot_details or {}).get("valuesColumns")
        if self.fields is None or not isinstance(values, list):
            return self.fields
        found = dict(self.fields)
        for entry in values:
            if isinstance(entry, dict):
                name, item = str(entry["pivotColumnName"]), self.fields.get(str(entry["referenceField"]))
                if isinstance(item, dict):
                    found[name] = {**item, "label": name}
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """Which queries a history shows. None: no such condition."""

    project_uuid: str
    user_uuid: str | None = None
    statuses: tuple[QueryStatus, ...] | None = None
    since: datetime | None = None  # created at or after
    until: datetime | None = None  # created before


# What the sweeps and lists of a store return: rows as they are read, one dictionary each.


class ExpiredLease(TypedDict):
    """An attempt whose actor has not been heard of in time."""

    query_uuid: str
    attempt: int
    cancel_requested: bool
    actor_name: str


class PendingCancel(TypedDict):
    """A running query that somebody wants cancelled."""

    query_uuid: str
    attempt: int
    actor_name: str
    warehouse_query_id: str | None
    seconds: float  # since the cancel was asked for


class OverdueQuery(TypedDict):
    """A query that has been in the queue for longer than its project allows."""

    query_uuid: str
    seconds: float  # what the project allows


class AbandonedQuery(TypedDict):
    """A query that asked to be cancelled when nobody polls, and nobody does."""

    query_uuid: str
    poll_ttl_seconds: float


class QueueDepth(TypedDict):
    """How busy the service is."""

    pending: int  # queries that wait for an actor
    running: int
    oldest_seconds: float  # how long the first of those that wait has been in the queue; 0 when none waits


class ExpiredResult(TypedDict):
    """An attempt whose rows nobody can read any more, and which are still stored."""

    query_uuid: str
    attempt: int


class ProjectName(TypedDict):
    """A project in a list."""

    project_uuid: str
    name: str


class StoredProject(TypedDict):
    """A project with its models, as of one version."""

    version: int  # grows with each change
    name: str
    definition: dict[str, JsonValue]
    models: bytes | None  # the compiled catalog, see `queryfleet.semantic.stored_catalog`; None: none was stored


class StoredQuestion(TypedDict):
    """What a query asked, as it was stored."""

    question: dict[str, JsonValue] | None  # of the models: `metricQuery`, `parameters`, …; None: plain SQL
    pivot: dict[str, JsonValue] | None  # what is done with the rows; None: nothing
    sql: str  # what runs, or would run if the rows were not stored already
    cache_key: bytes | None  # as of `NewQuery`


class KnownToken(TypedDict):
    """Who a valid token is and where it may go."""

    token_uuid: str
    user_uuid: str
    name: str
    email: str | None
    roles: dict[str, str]  # project uuid → viewer, editor or admin
    attributes: dict[str, dict[str, list[str]]]  # project uuid → the user's values there by attribute name


class ProjectToken(TypedDict):
    """A token as the admins of a project see it; moments are aware, UTC."""

    token_uuid: str
    user_uuid: str
    name: str
    email: str | None
    role: str  # in the project
    attributes: dict[str, list[str]]  # the user's values in the project by attribute name
    created_at: datetime
    expires_at: datetime | None


class HistoryEntry(TypedDict):
    """One query in a history; moments are aware, UTC."""

    query_uuid: str
    user_uuid: str
    context: str
    sql: str  # cut to the length that was asked for
    explore_name: str | None  # of a question to the models; None: plain SQL
    status: str
    phase: str
    attempt: int
    warehouse_query_id: str | None
    cache_hit: bool
    truncated: bool
    row_count: int
    byte_count: int
    error_name: str | None
    error_message: str | None
    created_at: datetime
    claimed_at: datetime | None
    executing_at: datetime | None
    fetching_at: datetime | None
    finishing_at: datetime | None
    ended_at: datetime | None
    results_expire_at: datetime | None
