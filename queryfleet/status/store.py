"""What a status store promises: everything the service remembers about queries, projects and tokens.

Every method is one step: it happens whole or not at all, and what it did is durable when it returns. A step that the
table in `queryfleet.status.transitions` lacks changes nothing. Writes of a query actor carry its attempt and are
refused unless that attempt is the current one and the query is running; all of them may be repeated when an answer was
lost.

Any method may raise `StatusStoreError`, which is retryable, when the store is away. UUIDs are in the canonical
lower-case spelling, moments are aware and UTC, ranges are half open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from queryfleet.errors import JsonValue
    from queryfleet.model import ChunkRef, Column
    from queryfleet.status.admission import Slot, Waiting
    from queryfleet.status.record import (
        AbandonedQuery,
        Acceptance,
        ExpiredLease,
        ExpiredResult,
        Failure,
        HistoryEntry,
        HistoryFilter,
        KnownToken,
        Lease,
        NewQuery,
        OverdueQuery,
        PendingCancel,
        ProjectName,
        ProjectToken,
        QueryRecord,
        QueueDepth,
        StoredProject,
        StoredQuestion,
    )
    from queryfleet.status.transitions import QueryStatus

__all__ = ["StatusStore"]


class StatusStore(Protocol):
    """The truth about queries. `tests/conformance/test_status_store.py` holds every implementation to it."""

    async def open(self) -> None:
        """Start what the store needs, on the loop that uses it. Returns although the store may be away still."""

    async def close(self) -> None:
        """Free everything; no method may be called afterwards."""

    async def ping(self) -> str:
        """Return the version of the schema; raises `StatusStoreError` when there is none."""

    # Accepting and reading -------------------------------------------------------------------------------------

    async def accept(self, query: NewQuery) -> Acceptance:
        """Store a new query, once per idempotency key.

        A query that may share (`cache_key` and `use_cache`) takes the rows of the newest ready query with its cache
        key that do not expire within its margin, and is ready at once. If there are none but another sharing query
        with that key is pending or running, it waits for that one. Otherwise it is pending, and later ones wait for
        it: of all sharing queries with one key, at most one is pending or running without waiting for another.

        A query with an `outcome` is stored with its end, and nobody shares it.

        Raises:
            ConflictError: The idempotency key was used for another request.
            NotFoundError: There is no such project.
            TooManyRequestsError: `queue_max` queries of the project wait for an actor already; sharers of another
                query's run or rows are never refused.
        """

    async def load(self, query_uuid: str) -> QueryRecord | None:
        """Return one query without its SQL, or None. One that waits for a running query shows that one's progress."""

    async def load_question(self, query_uuid: str) -> StoredQuestion | None:
        """Return what one query asked of the models and what is done with its rows, or None."""

    async def load_many(self, query_uuids: Sequence[str]) -> list[QueryRecord]:
        """Return, of these queries, those that there are, each once and in any order; each as `load` gives it."""

    async def chunks(self, query_uuid: str, attempt: int, *, first_row: int, end_row: int) -> tuple[ChunkRef, ...]:
        """Return the committed chunks of one attempt that hold rows `first_row` up to, not including, `end_row`.

        They are in row order and without a gap.
        """

    async def touch(self, query_uuid: str) -> None:
        """Note that somebody polled a query that has not ended; see `abandoned`."""

    async def queue_position(self, query_uuid: str) -> int | None:
        """Return the place of a query in the queue, from 1; None when it does not wait for an actor.

        It is the place that `admission.claim_order` gives when every limit is left aside and nothing new arrives.
        """

    async def waiting(self, *, per_user: int = 50) -> list[Waiting]:
        """Return the queries that could run next, in any order: of each user in each project the oldest `per_user`."""

    async def running(self) -> list[Slot]:
        """Return whose queries run now, one slot per query."""

    # One attempt -----------------------------------------------------------------------------------------------

    async def claim(self, query_uuid: str, actor_name: str, *, lease_seconds: float) -> QueryRecord | None:
        """Give one pending query to an actor, under a new attempt and with its SQL.

        Returns None when it is not pending any more or waits for another query. Of claims at the same time one wins.
        What an earlier attempt recorded is forgotten, but for `QueryRecord.resume`.
        """

    async def renew(self, query_uuid: str, attempt: int, *, lease_seconds: float) -> Lease:
        """Extend a lease, counted from now, and learn whether a cancel was asked for."""

    async def record_executing(self, query_uuid: str, attempt: int, warehouse_query_id: str | None) -> Lease:
        """Note that the warehouse has the statement, and its id there. A late note moves no phase back.

        With another id than that of `QueryRecord.resume`, the chunks of the earlier attempt cannot be kept any more.
        """

    async def record_fetching(
        self,
        query_uuid: str,
        attempt: int,
        *,
        columns: Sequence[Column],
        arrow_schema: bytes,
        pivot_details: Mapping[str, JsonValue] | None = None,
    ) -> Lease:
        """Note the columns of the result, and what pages say of a pivot. A late note moves no phase back."""

    async def keep_chunks(self, query_uuid: str, attempt: int, *, from_attempt: int, chunk_count: int) -> None:
        """Make all chunks of an earlier attempt the first ones of this one. Kept already, they count once.

        Args:
            query_uuid: The query.
            attempt: The current one; has no chunk of its own yet.
            from_attempt: That of `QueryRecord.resume`.
            chunk_count: How many they are, at least 1.

        Raises:
            AttemptFencedError: The attempt is not current, a cancel was asked for, or there are other chunks.
        """

    async def record_finishing(self, query_uuid: str, attempt: int) -> Lease:
        """Note that the last row has arrived."""

    async def commit_chunk(self, query_uuid: str, attempt: int, chunk: ChunkRef) -> None:
        """Publish one chunk whose object is durable. A chunk that is published already counts once.

        Raises:
            AttemptFencedError: The attempt is not current, a cancel was asked for, or the chunk is not the next one.
        """

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
        """Publish the last chunks, make the query ready and give its rows to those who wait for it: all or nothing.

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
        """Make a query ready whose rows stay in its warehouse; those who wait for it share them, nobody after that.

        Args:
            query_uuid: The query.
            attempt: The attempt that finished it, which has committed nothing.
            row_count: Of the whole result.
            ttl_seconds: How long the warehouse keeps it.
            truncated: A limit cut the result short.
            warnings: What the reader of the result should know.

        Raises:
            AttemptFencedError: The attempt is not current, a cancel was asked for, or chunks were committed.
        """

    # Ends ------------------------------------------------------------------------------------------------------

    async def fail(self, query_uuid: str, attempt: int | None, failure: Failure) -> bool:
        """End a query, and those who wait for it, in `error`.

        Args:
            query_uuid: The query.
            attempt: The current attempt of a running query; None for a pending one, which nobody runs.
            failure: Why.

        Returns:
            False when it was not this attempt's to end; nothing has changed then.
        """

    async def request_cancel(self, query_uuid: str) -> QueryRecord | None:
        """Ask for a cancel: a pending query ends at once, a running one can from now on only be cancelled or fail.

        The oldest query that waits for one which ends here runs in its place, and the others wait for that one.

        Returns:
            The query as it is then; None when it had ended before or is not known.
        """

    async def confirm_cancel(self, query_uuid: str, attempt: int, *, warning: str | None = None) -> bool:
        """End a running query whose cancel was requested; those who wait for it go on as after `request_cancel`.

        Returns False when it was not this attempt's to end; nothing has changed then.
        """

    async def lose(self, query_uuid: str, attempt: int, *, attempts_max: int, reason: str) -> QueryStatus | None:
        """Take a query from an attempt whose actor is gone, as `transitions.loss` decides.

        Returns what it is now: `pending`, `cancelled` or `error`; None when the attempt was not current.
        """

    async def forget_chunks(self, query_uuid: str, attempt: int) -> None:
        """Drop the chunk references of an attempt whose objects were deleted."""

    async def settle(self) -> None:
        """Deal with every query that waits for one which has ended: a repair; normally there is none."""

    # Sweeps ----------------------------------------------------------------------------------------------------

    async def expired_leases(self) -> list[ExpiredLease]:
        """Return the attempts whose lease has run out. They are current until `lose`: a late renewal saves them."""

    async def cancels_pending(self) -> list[PendingCancel]:
        """Return the running queries whose cancel is requested."""

    async def queue_overdue(self, *, queue_seconds: float) -> list[OverdueQuery]:
        """Return the queries that have been in the queue for longer than their project allows.

        The wait is counted from when the query was accepted, or came back into the queue: time it spent running, or
        waiting for another query's result, is not part of it. `queue_seconds` is for projects without a limit of
        their own.
        """

    async def abandoned(self) -> list[AbandonedQuery]:
        """Return the queries that nobody has polled for their `poll_ttl_seconds`."""

    async def queue_depth(self) -> QueueDepth:
        """Return how many queries wait for an actor and run, and the longest wait of the former."""

    # Clean-up and history --------------------------------------------------------------------------------------

    async def expired_results(self, *, now: datetime, count: int) -> list[ExpiredResult]:
        """Return at most `count` results that have expired at `now` and are still stored, the oldest first."""

    async def mark_deleted(self, query_uuid: str) -> None:
        """Note that the objects of a result are gone."""

    async def known_attempts(self, query_uuids: Sequence[str]) -> dict[str, range]:
        """Return, of these queries, those that are known, with the attempts whose objects must stay."""

    async def forget_history(self, *, before: datetime, count: int) -> int:
        """Drop at most `count` queries that ended before that time and whose rows are gone; returns how many."""

    async def history(self, wanted: HistoryFilter, *, count: int, skip: int, sql_characters: int) -> list[HistoryEntry]:
        """Return at most `count` queries, newest first, after skipping some; SQL is cut to `sql_characters`."""

    async def history_count(self, wanted: HistoryFilter) -> int:
        """Return how many queries the filter lets through."""

    # Projects and tokens ---------------------------------------------------------------------------------------

    async def put_project(
        self, project_uuid: str, name: str, definition: dict[str, JsonValue], models: bytes | None = None
    ) -> int:
        """Store a project, or its newer definition, and return its version, which is larger than any before.

        Args:
            project_uuid: The project.
            name: For people.
            definition: As `Project.to_json` gives it.
            models: The compiled catalog, see `queryfleet.semantic.stored_catalog`; None leaves what is stored.
        """

    async def load_project(self, project_uuid: str) -> dict[str, JsonValue] | None:
        """Return a project's definition, or None."""

    async def project_version(self, project_uuid: str) -> int | None:
        """Return a project's version, or None: a copy of that version is as good as the store's."""

    async def load_stored_project(self, project_uuid: str) -> StoredProject | None:
        """Return a project with its models and its version, as of one moment, or None."""

    async def projects(self) -> list[ProjectName]:
        """Return every project, oldest first."""

    async def put_token(
        self,
        *,
        token_uuid: str,
        token_hash: bytes,
        user_uuid: str,
        name: str,
        roles: dict[str, str],
        attributes: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
        email: str | None = None,
        expires_at: datetime | None = None,
    ) -> str:
        """Store a token by its hash with its roles per project, and return its uuid.

        A hash that is known keeps its uuid and user; the rest is replaced, and it is valid again. Roles and attributes
        in projects that `roles` does not name stay.

        Args:
            token_uuid: Of a new token.
            token_hash: SHA-256 of the token.
            user_uuid: Of a new token.
            name: For people.
            roles: By project: viewer, editor or admin.
            attributes: By project: the user's values by attribute name. A project of `roles` that is missing here
                has none.
            email: Of the user, for models that ask for it.
            expires_at: From then on the token is unknown; None: never.
        """

    async def project_tokens(self, project_uuid: str) -> list[ProjectToken]:
        """Return the tokens with a role in a project, oldest first, also those that have expired."""

    async def remove_token(self, token_uuid: str, project_uuid: str) -> bool:
        """Take a token's role in a project away; one without any other role is revoked. False: it has none there."""

    async def load_token(self, token_hash: bytes) -> KnownToken | None:
        """Return who a valid token is, its roles and attributes; None when it is unknown, expired or revoked."""
