"""The status store in this process's memory: for tests and examples, gone with the process.

It is built on `transitions.apply`, so it does what the table says and nothing else; the store on PostgreSQL must agree
with it step by step.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from queryfleet.errors import (
    AttemptFencedError,
    ConflictError,
    IllegalTransitionError,
    NotFoundError,
    TooManyRequestsError,
)
from queryfleet.status.memory_reads import MemoryReads
from queryfleet.status.record import Acceptance, Lease, StoredRows
from queryfleet.status.rows import Row, column_values, life_of, outcome_values, record_of
from queryfleet.status.transitions import TERMINAL, Event, LifeState, Phase, QueryStatus, apply, give, loss

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from queryfleet.errors import JsonValue
    from queryfleet.model import ChunkRef, Column
    from queryfleet.status.record import Failure, NewQuery, QueryRecord
    from queryfleet.status.store import StatusStore

__all__ = ["MemoryStatusStore"]

_QUEUE_FULL_SECONDS = 5
_NONE_YET = (
    *("actor_name", "lease_until", "cancel_requested_at", "warehouse_query_id", "columns", "arrow_schema"),
    *("error_name", "error_message", "error_status", "error_details"),
    *("claimed_at", "executing_at", "fetching_at", "finishing_at", "ended_at"),
    *("results_created_at", "results_expire_at", "result_query_uuid", "result_attempt"),
    *("leader_uuid", "objects_deleted_at", "pivot_details"),
    *("resume_query_id", "resume_attempt", "resume_schema", "first_attempt"),
)
_GIVEN = (
    *("warehouse_query_id", "columns", "arrow_schema", "row_count", "byte_count", "chunk_count", "truncated"),
    *("warnings", "results_created_at", "results_expire_at", "pivot_details"),
    *("error_name", "error_message", "error_status", "error_details"),
)


class MemoryStatusStore(MemoryReads):
    """Keeps everything in dictionaries; see `StatusStore`.

    Its methods never wait, so each of them happens whole before another one begins. For one event loop at a time.

    Args:
        clock: Aware UTC time; leases and deadlines go by it.

    Bounds: keeps everything that is not forgotten.
    """

    # Accepting -------------------------------------------------------------------------------------------------

    async def accept(self, query: NewQuery) -> Acceptance:
        """Store a new query; see `StatusStore.accept`."""
        earlier = self._accepted_before(query)
        if earlier is not None:
            return earlier
        if query.project_uuid not in self._projects:
            raise NotFoundError("There is no such project.", projectUuid=query.project_uuid)
        shares = query.cache_key is not None and query.use_cache
        row = _new_row(query, self._now())
        if query.outcome is not None:
            return self._accept_ended(query, row)
        source = self._newest_rows(query) if shares else None
        leader = self._leader(query.cache_key) if shares else None
        if source is not None:
            _take_rows(row, source)
            row |= {"status": QueryStatus.READY, "phase": Phase.FINISHING, "cache_hit": True, "ended_at": self._now()}
        elif leader is not None:
            row["leader_uuid"] = leader["query_uuid"]
        else:
            self._require_room(query)
            row["is_leader"] = shares
        self._queries[query.query_uuid] = row
        return Acceptance(query_uuid=query.query_uuid, created=True, cache_hit=source is not None)

    def _accept_ended(self, query: NewQuery, row: Row) -> Acceptance:
        outcome = query.outcome
        assert outcome is not None  # noqa: S101 - the caller looked
        values = outcome_values(outcome)
        now, ttl_seconds = self._now(), values.pop("ttl_seconds")
        row |= values | {"phase": Phase.FINISHING, "ended_at": now}
        if isinstance(outcome, StoredRows):
            row |= {"results_created_at": now, "results_expire_at": now + timedelta(seconds=ttl_seconds)}
            self._chunks[query.query_uuid, 0] = [] if outcome.chunk is None else [outcome.chunk]
        row["status"] = QueryStatus(row["status"])
        self._queries[query.query_uuid] = row
        return Acceptance(query_uuid=query.query_uuid, created=True)

    def _accepted_before(self, query: NewQuery) -> Acceptance | None:
        names = ("project_uuid", "user_uuid", "idempotency_key")
        asked = tuple(getattr(query, name) for name in names)
        for row in self._queries.values() if query.idempotency_key is not None else ():
            if asked == tuple(row[name] for name in names):
                if row["request_hash"] != query.request_hash:
                    raise ConflictError(
                        "This Idempotency-Key was used for another request; use a new key for a new request.",
                        idempotencyKey=query.idempotency_key,
                    )
                return Acceptance(query_uuid=row["query_uuid"], created=False)
        return None

    def _newest_rows(self, query: NewQuery) -> Row | None:
        usable_until = self._now() + timedelta(seconds=query.cache_margin_seconds)
        ready = [
            row
            for row in self._with_status(QueryStatus.READY)
            if row["cache_key"] == query.cache_key
            and row["objects_deleted_at"] is None
            and row["results_expire_at"] > usable_until
            and (row["chunk_count"] > 0 or row["row_count"] == 0)
        ]
        return max(ready, key=lambda row: row["results_created_at"], default=None)

    def _leader(self, cache_key: bytes | None) -> Row | None:
        live = self._with_status(QueryStatus.PENDING, QueryStatus.RUNNING)
        return next((row for row in live if row["is_leader"] and row["cache_key"] == cache_key), None)

    def _require_room(self, query: NewQuery) -> None:
        waiting = sum(row["project_uuid"] == query.project_uuid for row in self._queue())
        if waiting >= query.queue_max:
            raise TooManyRequestsError(
                f"{query.queue_max} queries of this project are waiting already; try again later.",
                queueMax=query.queue_max,
                retryAfterSeconds=_QUEUE_FULL_SECONDS,
            )

    # One attempt -----------------------------------------------------------------------------------------------

    def _step(self, query_uuid: str, event: Event, *, attempt: int | None = None) -> Row | None:
        """Take one step of the table and return the row after it; None, and nothing has changed, if there is none."""
        row = self._queries.get(query_uuid)
        if row is None:
            return None
        try:
            after = apply(life_of(row), event, attempt=attempt)
        except IllegalTransitionError:
            return None
        self._write(row, after)
        return row

    def _write(self, row: Row, after: LifeState) -> None:
        row |= {"status": after.status, "phase": after.phase, "attempt": after.attempt}
        if after.cancel_requested and row["cancel_requested_at"] is None:
            row["cancel_requested_at"] = self._now()
        if after.status is not QueryStatus.RUNNING:
            row["lease_until"] = None
        if after.status in TERMINAL:
            row["ended_at"] = self._now()

    async def claim(self, query_uuid: str, actor_name: str, *, lease_seconds: float) -> QueryRecord | None:
        """Begin a new attempt; see `StatusStore.claim`."""
        row = self._step(query_uuid, Event.CLAIMED)
        if row is None:
            return None
        if row["warehouse_query_id"] is not None:
            row |= {"resume_query_id": row["warehouse_query_id"], "resume_attempt": row["attempt"] - 1}
            row["resume_schema"] = row["arrow_schema"]
        now = self._now()
        row |= {"actor_name": actor_name, "lease_until": now + timedelta(seconds=lease_seconds), "claimed_at": now}
        row |= _NO_ROWS | dict.fromkeys(("executing_at", "fetching_at", "finishing_at"))
        row |= dict.fromkeys(("warehouse_query_id", "columns", "arrow_schema", "pivot_details"))
        return record_of(row)

    async def renew(self, query_uuid: str, attempt: int, *, lease_seconds: float) -> Lease:
        """Extend a lease; see `StatusStore.renew`."""
        row = self._step(query_uuid, Event.RENEWED, attempt=attempt)
        if row is not None:
            row["lease_until"] = self._now() + timedelta(seconds=lease_seconds)
        return _lease(row)

    async def record_executing(self, query_uuid: str, attempt: int, warehouse_query_id: str | None) -> Lease:
        """Note that the warehouse works; see `StatusStore.record_executing`."""
        row = self._step(query_uuid, Event.EXECUTING, attempt=attempt)
        if row is not None:
            row["executing_at"] = row["executing_at"] or self._now()
            if warehouse_query_id is None or warehouse_query_id != row["resume_query_id"]:
                row |= dict.fromkeys(("resume_query_id", "resume_attempt", "first_attempt"))
            row["warehouse_query_id"] = warehouse_query_id or row["warehouse_query_id"]
        return _lease(row)

    async def record_fetching(
        self,
        query_uuid: str,
        attempt: int,
        *,
        columns: Sequence[Column],
        arrow_schema: bytes,
        pivot_details: Mapping[str, JsonValue] | None = None,
    ) -> Lease:
        """Note the columns; see `StatusStore.record_fetching`."""
        row = self._step(query_uuid, Event.FETCHING, attempt=attempt)
        if row is not None:
            row["fetching_at"] = row["fetching_at"] or self._now()
            row |= {"columns": column_values(columns), "arrow_schema": arrow_schema}
            row["pivot_details"] = pivot_details
        return _lease(row)

    async def keep_chunks(self, query_uuid: str, attempt: int, *, from_attempt: int, chunk_count: int) -> None:
        """Take over an earlier attempt's chunks; see `StatusStore.keep_chunks`."""
        row = self._queries.get(query_uuid)
        left = self._chunks.get((query_uuid, from_attempt), [])
        if row is None or row["resume_attempt"] != from_attempt:
            raise _refused("chunk", query_uuid, attempt)
        kept = row["first_attempt"] is not None and not left and row["chunk_count"] >= chunk_count
        fresh = row["chunk_count"] == 0 and len(left) == chunk_count
        if not (kept or fresh) or self._step(query_uuid, Event.COMMITTED, attempt=attempt) is None:
            raise _refused("chunk", query_uuid, attempt)
        if fresh:
            self._chunks[query_uuid, attempt] = self._chunks.pop((query_uuid, from_attempt))
            row |= self._sums(left)
            row["first_attempt"] = row["first_attempt"] or from_attempt

    async def record_finishing(self, query_uuid: str, attempt: int) -> Lease:
        """Note that the last row is here; see `StatusStore.record_finishing`."""
        row = self._step(query_uuid, Event.FINISHING, attempt=attempt)
        if row is not None:
            row["finishing_at"] = row["finishing_at"] or self._now()
        return _lease(row)

    async def commit_chunk(self, query_uuid: str, attempt: int, chunk: ChunkRef) -> None:
        """Publish one chunk; see `StatusStore.commit_chunk`."""
        if chunk not in self._chunks.get((query_uuid, attempt), ()):
            totals = self._totals_with(query_uuid, attempt, [chunk])
            if self._step(query_uuid, Event.COMMITTED, attempt=attempt) is None:
                raise _refused("chunk", query_uuid, attempt)
            self._publish(query_uuid, attempt, [chunk], totals)

    def _totals_with(self, query_uuid: str, attempt: int, new: Sequence[ChunkRef]) -> Row:
        """Return what a query's rows, bytes and chunks come to with `new`; raises when one of them is not the next."""
        row = self._queries.get(query_uuid)
        totals = {name: row[name] for name in _NO_ROWS} if row is not None else {}
        for chunk in new:
            if row is None or (chunk.index, chunk.first_row) != (totals["chunk_count"], totals["row_count"]):
                raise _refused("chunk", query_uuid, attempt)
            totals["row_count"] += chunk.row_count
            totals["byte_count"] += chunk.byte_count
            totals["chunk_count"] += 1
        return totals

    def _sums(self, chunks: Sequence[ChunkRef]) -> Row:
        rows, size = sum(chunk.row_count for chunk in chunks), sum(chunk.byte_count for chunk in chunks)
        return {"row_count": rows, "byte_count": size, "chunk_count": len(chunks)}

    def _publish(self, query_uuid: str, attempt: int, new: Sequence[ChunkRef], totals: Row) -> None:
        self._chunks.setdefault((query_uuid, attempt), []).extend(new)
        self._queries[query_uuid] |= totals

    async def finish(
        self,
        query_uuid: str,
        attempt: int,
        *,
        chunks: Sequence[ChunkRef],
        row_count: int,
        byte_count: int,
        chunk_count: int,
        ttl_seconds: float,
        truncated: bool = False,
        warnings: Sequence[str] = (),
    ) -> None:
        """Publish the end; see `StatusStore.finish`."""
        said = {"row_count": row_count, "byte_count": byte_count, "chunk_count": chunk_count}
        published = self._chunks.get((query_uuid, attempt), ())
        new = [chunk for chunk in dict.fromkeys(chunks) if chunk not in published]
        totals = self._totals_with(query_uuid, attempt, new)
        row = self._queries.get(query_uuid, {})
        if said == totals and not new and (row["status"], row["attempt"]) == (QueryStatus.READY, attempt):
            self._settle(query_uuid)  # a repeat after a lost answer
            return
        if said != totals or self._step(query_uuid, Event.FINISHED, attempt=attempt) is None:
            raise _refused("end", query_uuid, attempt)
        self._publish(query_uuid, attempt, new, totals)
        self._end_ready(row, ttl_seconds=ttl_seconds, truncated=truncated, warnings=warnings)
        self._settle(query_uuid)

    async def finish_unstored(
        self,
        query_uuid: str,
        attempt: int,
        *,
        row_count: int,
        ttl_seconds: float,
        truncated: bool = False,
        warnings: Sequence[str] = (),
    ) -> None:
        """Publish the end without rows; see `StatusStore.finish_unstored`."""
        row = self._queries.get(query_uuid, {})
        said = {"row_count": row_count, "byte_count": 0, "chunk_count": 0}
        if said.items() <= row.items() and (row["status"], row["attempt"]) == (QueryStatus.READY, attempt):
            self._settle(query_uuid)  # a repeat after a lost answer
            return
        if not _NO_ROWS.items() <= row.items() or self._step(query_uuid, Event.FINISHED, attempt=attempt) is None:
            raise _refused("end", query_uuid, attempt)
        self._end_ready(row, ttl_seconds=ttl_seconds, truncated=truncated, warnings=warnings)
        row |= said
        self._settle(query_uuid)

    def _end_ready(self, row: Row, *, ttl_seconds: float, truncated: bool, warnings: Sequence[str]) -> None:
        now = self._now()
        row |= {"finishing_at": row["finishing_at"] or now, "results_created_at": now}
        row |= {"results_expire_at": now + timedelta(seconds=ttl_seconds), "truncated": truncated}
        row["warnings"] = [*row["warnings"], *warnings]

    # Ends ------------------------------------------------------------------------------------------------------

    async def fail(self, query_uuid: str, attempt: int | None, failure: Failure) -> bool:
        """End in error; see `StatusStore.fail`."""
        row = self._step(query_uuid, Event.FAILED, attempt=attempt)
        if row is not None:
            row |= {"error_name": failure.name, "error_message": failure.message}
            row |= {"error_status": failure.status, "error_details": dict(failure.details)}
        self._settle(query_uuid)
        return row is not None

    async def request_cancel(self, query_uuid: str) -> QueryRecord | None:
        """Ask for a cancel; see `StatusStore.request_cancel`."""
        row = self._step(query_uuid, Event.CANCEL_REQUESTED)
        self._settle(query_uuid)
        return record_of(row) if row is not None else None

    async def confirm_cancel(self, query_uuid: str, attempt: int, *, warning: str | None = None) -> bool:
        """End as cancelled; see `StatusStore.confirm_cancel`."""
        row = self._step(query_uuid, Event.CANCELLED, attempt=attempt)
        if row is not None:
            row |= _NO_ROWS
            row["warnings"] = [*row["warnings"], *([warning] if warning is not None else [])]
        self._settle(query_uuid)
        return row is not None

    async def lose(self, query_uuid: str, attempt: int, *, attempts_max: int, reason: str) -> QueryStatus | None:
        """Take a query from a lost attempt; see `StatusStore.lose`."""
        known = self._queries.get(query_uuid)
        event = loss(life_of(known), attempts_max=attempts_max) if known is not None else Event.LOST
        row = self._step(query_uuid, event, attempt=attempt)
        if row is not None:
            row |= _NO_ROWS | {"actor_name": None, "queued_at": self._now()}
            if event is Event.FAILED:
                message = f"The query was started {attempt} times and lost each time: {reason}"
                row |= {"error_name": "UnexpectedServerError", "error_message": message, "error_status": 500}
        self._settle(query_uuid)
        return QueryStatus(row["status"]) if row is not None else None

    async def settle(self) -> None:
        """Repair; see `StatusStore.settle`."""
        self._settle(None)

    def _settle(self, query_uuid: str | None) -> None:
        """Give those who wait for a query, or for any, what it has if it has ended; or let one of them run."""
        orphans: dict[bytes, list[Row]] = {}
        for follower in [row for row in self._with_status(QueryStatus.PENDING) if row["leader_uuid"] is not None]:
            leader = self._queries[follower["leader_uuid"]]
            if leader["status"] not in TERMINAL or query_uuid not in (None, leader["query_uuid"]):
                continue
            if leader["status"] == QueryStatus.CANCELLED:
                orphans.setdefault(follower["cache_key"], []).append(follower)
                continue
            _take_rows(follower, leader)
            self._write(follower, give(life_of(follower), life_of(leader)))
            follower["leader_uuid"] = None
        for cache_key, waiting in orphans.items():
            self._promote(waiting, is_leader=self._leader(cache_key) is None)

    def _promote(self, waiting: Sequence[Row], *, is_leader: bool) -> None:
        """Let the oldest of some followers run, and the others wait for that one."""
        heir, *others = waiting  # rows are in the order of acceptance
        self._write(heir, apply(life_of(heir), Event.PROMOTED))
        heir |= {"leader_uuid": None, "is_leader": is_leader, "queued_at": self._now()}
        for other in others:
            other["leader_uuid"] = heir["query_uuid"]


_NO_ROWS: Row = {"row_count": 0, "byte_count": 0, "chunk_count": 0}


def _new_row(query: NewQuery, now: datetime) -> Row:
    names = (
        *("query_uuid", "project_uuid", "user_uuid", "context", "sql", "row_limit", "idempotency_key"),
        *("request_hash", "cache_key", "poll_ttl_seconds", "fields", "timezone", "question", "pivot"),
        "selection",
    )
    row: Row = dict.fromkeys(_NONE_YET) | {name: getattr(query, name) for name in names} | _NO_ROWS
    row |= {"created_at": now, "queued_at": now, "polled_at": now, "warnings": []}
    return row | {
        "status": QueryStatus.PENDING,
        "phase": Phase.QUEUED,
        "attempt": 0,
        "is_leader": False,
        "cache_hit": False,
        "truncated": False,
    }


def _take_rows(row: Row, source: Row) -> None:
    """Let a query have what another one has: its rows, whose chunks stay where they are, or its error."""
    row |= {name: source[name] for name in _GIVEN}
    row["result_query_uuid"] = source["result_query_uuid"] or source["query_uuid"]
    row["result_attempt"] = source["attempt"] if source["result_attempt"] is None else source["result_attempt"]


def _lease(row: Row | None) -> Lease:
    return Lease(current=row is not None, cancel_requested=row is not None and row["cancel_requested_at"] is not None)


def _refused(what: str, query_uuid: str, attempt: int) -> AttemptFencedError:
    return AttemptFencedError(f"The {what} was refused.", queryUuid=query_uuid, attempt=attempt)


if TYPE_CHECKING:
    _promise: type[StatusStore] = MemoryStatusStore
