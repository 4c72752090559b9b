"""The status store on PostgreSQL: every step is one conditional update, every statement has a name.

Connections come from a small pool that opens on first use. What a caller sees of a database that is away is
`StatusStoreError`, which is retryable; nothing is ever half done, because each method is one transaction.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

import psycopg
from psycopg.types.json import Json, Jsonb

from queryfleet.errors import AttemptFencedError, ConflictError, NotFoundError, TooManyRequestsError
from queryfleet.status.admission import Slot, Waiting
from queryfleet.status.postgres_projects import PostgresProjects
from queryfleet.status.record import Acceptance, Lease, StoredRows
from queryfleet.status.rows import (
    Row,
    chunk_of,
    chunk_values,
    column_values,
    history_values,
    live_attempts,
    new_values,
    outcome_values,
    record_of,
)
from queryfleet.status.transitions import QueryStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from queryfleet.errors import JsonValue
    from queryfleet.model import ChunkRef, Column
    from queryfleet.status.record import (
        AbandonedQuery,
        ExpiredLease,
        ExpiredResult,
        Failure,
        HistoryEntry,
        HistoryFilter,
        NewQuery,
        OverdueQuery,
        PendingCancel,
        QueryRecord,
        QueueDepth,
        StoredQuestion,
    )
    from queryfleet.status.store import StatusStore

__all__ = ["PostgresStatusStore"]

_ACCEPT_TRIES = 5  # a query to wait for may end between two looks
_DOCUMENTS = ("fields", "question", "pivot", "selection")
_LEADER_TRIES = 5  # another query may become the one to wait for between a look and a write
_SETTLE = ("settle_followers", "promote_follower")  # what those who wait for an ended query get
_QUEUE_FULL_SECONDS = 5
_QUEUE_SLACK = 64  # queries that may be accepted at the same moment without counting one another


class PostgresStatusStore(PostgresProjects):
    """Everything the service remembers about queries, on one PostgreSQL database.

    Args:
        database_url: `postgresql://…`; its password appears in no error and no log.
        connections_max: Most connections open at once.
        timeout_seconds: Longest wait for a free connection, which is also the longest a caller hangs while the
            database is away.
    """

    # Queries ---------------------------------------------------------------------------------------------------

    async def accept(self, query: NewQuery) -> Acceptance:
        """Commit a new query; it is durable on return.

        A query that may share takes the rows of the newest ready query with its cache key; if there are none but one
        is about to have them, it waits for that one; otherwise it will run, and others may wait for it.

        Raises:
            ConflictError: The idempotency key was used for another request.
            NotFoundError: There is no such project.
            TooManyRequestsError: Too many queries of the project wait already.
        """
        values = new_values(query)
        values |= {name: None if values[name] is None else Json(values[name]) for name in _DOCUMENTS}
        shares = query.cache_key is not None and query.use_cache
        try:
            if query.outcome is not None:
                return await self._accept_ended(query, values)
            for tries_left in reversed(range(_ACCEPT_TRIES)):
                if shares and await self._row("accept_hit", **values) is not None:
                    return Acceptance(query_uuid=query.query_uuid, created=True, cache_hit=True)
                # After the last look nobody joins this query, so no other one can be in its way: the queue is full.
                values["is_leader"] = shares and tries_left > 0
                if (
                    await self._row("accept", **values | {"queue_max": query.queue_max - _QUEUE_SLACK}) is not None
                    or (shares and await self._row("accept_follower", **values) is not None)
                    or await self._accept_in_turn(values)
                ):
                    return Acceptance(query_uuid=query.query_uuid, created=True)
                if not shares:
                    break
        except psycopg.errors.ForeignKeyViolation:
            raise NotFoundError("There is no such project.", projectUuid=query.project_uuid) from None
        except psycopg.errors.UniqueViolation:
            return await self._accepted_before(query, values)
        if query.idempotency_key is not None and await self._row("find_idempotent", **values) is not None:
            return await self._accepted_before(query, values)
        raise TooManyRequestsError(
            f"{query.queue_max} queries of this project are waiting already; try again later.",
            queueMax=query.queue_max,
            retryAfterSeconds=_QUEUE_FULL_SECONDS,
        )

    async def _accept_in_turn(self, values: Row) -> bool:
        """Accept into an almost full queue, one query of the project at a time: each counts those before it."""
        async with self._connection() as connection, connection.transaction():
            await connection.execute(self._statements["lock_queue"], values)
            cursor = await connection.execute(self._statements["accept"], values)
            return await cursor.fetchone() is not None

    async def _accept_ended(self, query: NewQuery, values: Row) -> Acceptance:
        outcome = query.outcome
        assert outcome is not None  # noqa: S101 - the caller looked
        ended = outcome_values(outcome)
        for name in ("columns", "error_details"):
            ended[name] = None if ended[name] is None else Jsonb(ended[name])
        chunk = outcome.chunk if isinstance(outcome, StoredRows) else None
        async with self._connection() as connection, connection.transaction():
            await connection.execute(self._statements["accept_ended"], values | ended)
            if chunk is not None:
                await connection.execute(self._statements["add_chunk"], values | chunk_values(chunk))
        return Acceptance(query_uuid=query.query_uuid, created=True)

    async def _accepted_before(self, query: NewQuery, values: Row) -> Acceptance:
        earlier = await self._row("find_idempotent", **values)
        if earlier is None or bytes(earlier["request_hash"]) != query.request_hash:
            raise ConflictError(
                "This Idempotency-Key was used for another request; use a new key for a new request.",
                idempotencyKey=query.idempotency_key,
            )
        return Acceptance(query_uuid=earlier["query_uuid"], created=False)

    async def load(self, query_uuid: str) -> QueryRecord | None:
        """Return one query, or None. Cost: one primary-key read."""
        row = await self._row("load", query_uuid=query_uuid)
        return record_of(row) if row else None

    async def load_question(self, query_uuid: str) -> StoredQuestion | None:
        """Return what one query asked of the models and what is done with its rows, or None."""
        return cast("StoredQuestion | None", await self._row("load_question", query_uuid=query_uuid))

    async def load_many(self, query_uuids: Sequence[str]) -> list[QueryRecord]:
        """Return those queries that there are, in any order, by one read."""
        return [record_of(row) for row in await self._rows("load_many", query_uuids=list(query_uuids))]

    async def chunks(self, query_uuid: str, attempt: int, *, first_row: int, end_row: int) -> tuple[ChunkRef, ...]:
        """Return the committed chunks that hold rows `first_row` up to, not including, `end_row`, in order."""
        rows = await self._rows("chunks", query_uuid=query_uuid, attempt=attempt, first_row=first_row, end_row=end_row)
        return tuple(chunk_of(row) for row in rows)

    async def touch(self, query_uuid: str) -> None:
        """Note that somebody polled a query that is cancelled when nobody does."""
        await self._rows("touch", query_uuid=query_uuid)

    async def queue_position(self, query_uuid: str) -> int | None:
        """Return the place of a waiting query in the queue, from 1; None when it does not wait for an actor."""
        row = await self._row("queue_position", query_uuid=query_uuid)
        return int(row["position"]) if row else None

    async def waiting(self, *, per_user: int = 50) -> list[Waiting]:
        """Return the queries that could run next: of each user in each project the oldest `per_user`."""
        return [Waiting(**row) for row in await self._rows("waiting", per_user=per_user)]

    async def running(self) -> list[Slot]:
        """Return whose queries run now."""
        return [Slot(**row) for row in await self._rows("running")]

    async def claim(self, query_uuid: str, actor_name: str, *, lease_seconds: float) -> QueryRecord | None:
        """Give one pending query to `actor_name` under a new attempt; None when it is not pending any more."""
        row = await self._row("claim", query_uuid=query_uuid, actor_name=actor_name, lease_seconds=lease_seconds)
        return record_of(row) if row else None

    async def renew(self, query_uuid: str, attempt: int, *, lease_seconds: float) -> Lease:
        """Extend a lease and learn whether a cancel was asked for."""
        row = await self._row("renew", query_uuid=query_uuid, attempt=attempt, lease_seconds=lease_seconds)
        return Lease(current=row is not None, cancel_requested=bool(row and row["cancel_requested"]))

    async def record_executing(self, query_uuid: str, attempt: int, warehouse_query_id: str | None) -> Lease:
        """Note that the warehouse has the statement, and its id there."""
        row = await self._row(
            "record_executing", query_uuid=query_uuid, attempt=attempt, warehouse_query_id=warehouse_query_id
        )
        return Lease(current=row is not None, cancel_requested=bool(row and row["cancel_requested"]))

    async def record_fetching(
        self,
        query_uuid: str,
        attempt: int,
        *,
        columns: Sequence[Column],
        arrow_schema: bytes,
        pivot_details: Mapping[str, JsonValue] | None = None,
    ) -> Lease:
        """Note the columns of the result."""
        row = await self._row(
            "record_fetching",
            query_uuid=query_uuid,
            attempt=attempt,
            columns=Jsonb(column_values(columns)),
            arrow_schema=arrow_schema,
            pivot_details=None if pivot_details is None else Json(pivot_details),
        )
        return Lease(current=row is not None, cancel_requested=bool(row and row["cancel_requested"]))

    async def keep_chunks(self, query_uuid: str, attempt: int, *, from_attempt: int, chunk_count: int) -> None:
        """Make all chunks of an earlier attempt the first ones of this one.

        Raises:
            AttemptFencedError: The attempt is not current, a cancel was asked for, or there are other chunks.
        """
        values = {"query_uuid": query_uuid, "attempt": attempt, "from_attempt": from_attempt}
        values |= {"chunk_count": chunk_count}
        async with self._connection() as connection:
            kept = await connection.execute(self._statements["keep_chunks"], values)
            if await kept.fetchone() is None:
                # A repeat after a lost answer: they may be kept already, and that is success.
                kept = await connection.execute(self._statements["chunks_kept"], values)
                if await kept.fetchone() is None:
                    raise AttemptFencedError("Keeping chunks was refused.", queryUuid=query_uuid, attempt=attempt)

    async def record_finishing(self, query_uuid: str, attempt: int) -> Lease:
        """Note that the last row has arrived."""
        row = await self._row("record_finishing", query_uuid=query_uuid, attempt=attempt)
        return Lease(current=row is not None, cancel_requested=bool(row and row["cancel_requested"]))

    async def commit_chunk(self, query_uuid: str, attempt: int, chunk: ChunkRef) -> None:
        """Publish one chunk whose object is durable.

        Raises:
            AttemptFencedError: The attempt is not current, a cancel was asked for, or the chunk is not the next one.
        """
        values = chunk_values(chunk) | {"query_uuid": query_uuid, "attempt": attempt}
        async with self._connection() as connection:
            committed = await connection.execute(self._statements["commit_chunk"], values)
            await self._check_committed(connection, committed, values)

    async def _check_committed(
        self, connection: psycopg.AsyncConnection[Row], committed: psycopg.AsyncCursor[Row], values: Row
    ) -> None:
        if await committed.fetchone() is None:
            # A repeat after a lost answer: the chunk may be there already, and that is success.
            cursor = await connection.execute(self._statements["chunk_committed"], values)
            if await cursor.fetchone() is None:
                raise AttemptFencedError(
                    "The chunk was refused.", queryUuid=values["query_uuid"], attempt=values["attempt"]
                )

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
        """Publish the last chunks and make the query ready, both or neither.

        Args:
            query_uuid: The query.
            attempt: The attempt that finished it.
            chunks: Those not committed yet, in order; their objects are durable.
            row_count: Of the whole result; must be what the chunks add up to.
            byte_count: Likewise.
            chunk_count: Likewise.
            ttl_seconds: How long the result is kept.
            truncated: A limit cut the result short.
            warnings: What the reader of the result should know.

        Raises:
            AttemptFencedError: The attempt is not current, a cancel was asked for, or the totals do not agree.
        """
        attempted = {"query_uuid": query_uuid, "attempt": attempt}
        totals = {
            "row_count": row_count,
            "byte_count": byte_count,
            "chunk_count": chunk_count,
            "ttl_seconds": ttl_seconds,
            "truncated": truncated,
            "warnings": Jsonb(list(warnings)),
        }
        async with self._connection() as connection, connection.transaction():
            # All at once, and looked at afterwards: each step does nothing where the one before it was refused.
            async with connection.pipeline():
                commits = [
                    await connection.execute(self._statements["commit_chunk"], chunk_values(chunk) | attempted)
                    for chunk in chunks
                ]
                ended = await connection.execute(self._statements["finish"], totals | attempted)
                await connection.execute(self._statements["settle_followers"], {"query_uuid": query_uuid})
            for chunk, committed in zip(chunks, commits, strict=True):
                await self._check_committed(connection, committed, chunk_values(chunk) | attempted)
            if await ended.fetchone() is None:
                cursor = await connection.execute(self._statements["finished"], totals | attempted)
                if await cursor.fetchone() is None:
                    raise AttemptFencedError("The end was refused.", queryUuid=query_uuid, attempt=attempt)

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
        """Make a query ready whose rows stay in its warehouse; see `StatusStore.finish_unstored`."""
        values = {
            "query_uuid": query_uuid,
            "attempt": attempt,
            "row_count": row_count,
            "byte_count": 0,
            "chunk_count": 0,
            "ttl_seconds": ttl_seconds,
            "truncated": truncated,
            "warnings": Jsonb(list(warnings)),
        }
        async with self._connection() as connection, connection.transaction():
            async with connection.pipeline():
                ended = await connection.execute(self._statements["finish_unstored"], values)
                await connection.execute(self._statements["settle_followers"], {"query_uuid": query_uuid})
            if await ended.fetchone() is None:
                cursor = await connection.execute(self._statements["finished"], values)
                if await cursor.fetchone() is None:
                    raise AttemptFencedError("The end was refused.", queryUuid=query_uuid, attempt=attempt)

    async def _end(self, name: str, /, **values: object) -> Row | None:
        """Run one statement that may end a query, and deal with those who wait for that one: both or neither."""
        for _ in range(_LEADER_TRIES):
            # An equal query may be accepted, as the one that others join, between the look of the last statement and
            # its write. Then nothing has happened, and the next look sees that query.
            with suppress(psycopg.errors.UniqueViolation):
                async with self._connection() as connection, connection.transaction():
                    async with connection.pipeline():
                        cursor = await connection.execute(self._statements[name], values)
                        for settle in _SETTLE:
                            await connection.execute(self._statements[settle], {"query_uuid": values["query_uuid"]})
                    return await cursor.fetchone()
        return await self._row(name, **values)  # those who wait are left to `settle`

    async def fail(self, query_uuid: str, attempt: int | None, failure: Failure) -> bool:
        """End a query in `error`; False when it was not this attempt's to end."""
        row = await self._end(
            "fail",
            query_uuid=query_uuid,
            attempt=attempt,
            error_name=failure.name,
            error_message=failure.message,
            error_status=failure.status,
            error_details=Jsonb(failure.details),
        )
        return row is not None

    async def request_cancel(self, query_uuid: str) -> QueryRecord | None:
        """Ask for a cancel and return the query as it is then; None when it had ended before."""
        row = await self._end("request_cancel", query_uuid=query_uuid)
        return record_of(row) if row else None

    async def confirm_cancel(self, query_uuid: str, attempt: int, *, warning: str | None = None) -> bool:
        """End a query as cancelled; False when it was not this attempt's to end."""
        return await self._end("confirm_cancel", query_uuid=query_uuid, attempt=attempt, warning=warning) is not None

    async def forget_chunks(self, query_uuid: str, attempt: int) -> None:
        """Drop chunk references whose objects were deleted."""
        await self._rows("forget_chunks", query_uuid=query_uuid, attempt=attempt)

    async def expired_leases(self) -> list[ExpiredLease]:
        """Return `query_uuid`, `attempt`, `cancel_requested` and `actor_name` of attempts not heard of in time."""
        return cast("list[ExpiredLease]", await self._rows("expired_leases"))

    async def cancels_pending(self) -> list[PendingCancel]:
        """Return `query_uuid`, `attempt`, `actor_name`, `warehouse_query_id`, `seconds` of cancels not carried out."""
        return cast("list[PendingCancel]", await self._rows("cancels_pending"))

    async def lose(self, query_uuid: str, attempt: int, *, attempts_max: int, reason: str) -> QueryStatus | None:
        """Take a query from a lost attempt; returns what it is now, None when the attempt was not current."""
        row = await self._end(
            "lose",
            query_uuid=query_uuid,
            attempt=attempt,
            attempts_max=attempts_max,
            error_name="UnexpectedServerError",
            error_message=f"The query was started {attempt} times and lost each time: {reason}",
        )
        return QueryStatus(row["status"]) if row else None

    async def settle(self) -> None:
        """Deal with queries whose leader has ended without them: a repair, since every end deals with them itself."""
        with suppress(psycopg.errors.UniqueViolation):  # see `_end`; the next repair does it
            for name in _SETTLE:
                await self._rows(name, query_uuid=None)

    async def queue_overdue(self, *, queue_seconds: float) -> list[OverdueQuery]:
        """Return `query_uuid` and `seconds` of queries that waited longer than their project allows."""
        return cast("list[OverdueQuery]", await self._rows("queue_overdue", queue_seconds=queue_seconds))

    async def abandoned(self) -> list[AbandonedQuery]:
        """Return `query_uuid` and `poll_ttl_seconds` of queries that nobody polls although they asked for it."""
        return cast("list[AbandonedQuery]", await self._rows("abandoned"))

    async def queue_depth(self) -> QueueDepth:
        """Return `pending`, `running` and `oldest_seconds`, the wait of the query that has waited longest."""
        (row,) = await self._rows("queue_depth")
        return cast("QueueDepth", row)

    # Clean-up and history --------------------------------------------------------------------------------------

    async def expired_results(self, *, now: datetime, count: int) -> list[ExpiredResult]:
        """Return `query_uuid` and `attempt` of at most `count` results that have expired and are still stored."""
        return cast("list[ExpiredResult]", await self._rows("expired_results", now=now, count=count))

    async def mark_deleted(self, query_uuid: str) -> None:
        """Note that the objects of a result are gone."""
        await self._rows("mark_deleted", query_uuid=query_uuid)

    async def known_attempts(self, query_uuids: Sequence[str]) -> dict[str, range]:
        """Return, of these queries, those that are known, with the attempts whose objects must stay."""
        rows = await self._rows("known_attempts", query_uuids=list(query_uuids))
        return {row["query_uuid"]: live_attempts(row["first_attempt"], row["live_attempt"]) for row in rows}

    async def forget_history(self, *, before: datetime, count: int) -> int:
        """Drop at most `count` queries that ended before that time and whose rows are gone; returns how many."""
        return len(await self._rows("forget_history", before=before, count=count))

    async def history(self, wanted: HistoryFilter, *, count: int, skip: int, sql_characters: int) -> list[HistoryEntry]:
        """Return at most `count` queries, newest first, after skipping some; SQL is cut to `sql_characters`."""
        rows = await self._rows(
            "history", **history_values(wanted), count=count, skip=skip, sql_characters=sql_characters
        )
        return cast("list[HistoryEntry]", rows)

    async def history_count(self, wanted: HistoryFilter) -> int:
        """Return how many queries the filter lets through."""
        row = await self._row("history_count", **history_values(wanted))
        return int(row["n"]) if row else 0


if TYPE_CHECKING:
    _promise: type[StatusStore] = PostgresStatusStore
