"""One query as it stands in the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from queryfleet.status.transitions import TERMINAL, Phase, QueryStatus

if TYPE_CHECKING:
    from datetime import datetime

    from queryfleet.errors import JsonValue
    from queryfleet.model import Column

__all__ = ["Acceptance", "Failure", "Lease", "NewQuery", "QueryRecord", "Timings"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """The outcome of storing a query."""

    query_uuid: str
    created: bool  # False: the same request was accepted before, under this uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What an actor learns when it renews its lease."""

    current: bool  # False: another attempt has the query, or it has ended; stop at once
    cancel_requested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a query ended in `error`, as a client will read it."""

    name: str  # the wire name, such as `WarehouseQueryError`
    message: str
    status: int = 500  # the HTTP status the same error would have had
    details: dict[str, JsonValue] = field(default_factory=dict)


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
        marks = [self.created_at, self.claimed_at, self.executing_at, self.fetching_at, self.finishing_at, self.ended_at]
        names = ["queueMs", "connectMs", "executeMs", "fetchMs", "finishMs"]
        spans = {}
        for name, begin, end in zip(names, marks, marks[1:], strict=False):
            if begin is not None and end is not None:
                spans[name] = max(0, round((end - begin).total_seconds() * 1000))
        if self.ended_at is not None:
            spans["totalMs"] = max(0, round((self.ended_at - self.created_at).total_seconds() * 1000))
        return spans


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

    @property
    def is_terminal(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in TERMINAL
