"""How an attempt that did not become `ready` ends: what is recorded, and what is removed of what it stored.

An attempt whose statement others can go on with removes objects only after the database has said that the query has
ended: until then another attempt may be keeping them. Any other attempt removes its own at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from actors.failure import failure_of
from actors.messages import Outcome
from queryfleet.errors import ServiceError, StatusStoreError
from queryfleet.results.reader import delete_attempt, delete_result
from queryfleet.status.transitions import QueryStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from actors.messages import Assignment
    from queryfleet.errors import WarehouseConnectionError
    from queryfleet.results.store import ObjectStore
    from queryfleet.results.writer import ResultWriter
    from queryfleet.status.store import StatusStore

__all__ = ["Ending", "Leftovers", "StoredChunks"]

_CLEAN_UP_SECONDS = 5.0
_LOST_PAUSE_SECONDS = 0.5  # before a second attempt; doubles

log = structlog.get_logger()


class Leftovers(Protocol):
    """What an attempt has stored by the time it ends without a result."""

    async def abandon(self) -> None:
        """Write nothing more, and wait for what is under way."""
        ...

    async def remove(self, *, earlier: bool) -> None:
        """Remove what this attempt stored, and if `earlier` what those before it did; may raise `ServiceError`."""
        ...


class StoredChunks:
    """The chunks of one attempt.

    Args:
        assignment: The attempt.
        store: Where they are.
        writer: Wrote them.
    """

    def __init__(self, assignment: Assignment, store: ObjectStore, writer: ResultWriter) -> None:
        self._query = assignment
        self._store = store
        self._writer = writer

    async def abandon(self) -> None:
        """See `Leftovers`."""
        await self._writer.abandon()

    async def remove(self, *, earlier: bool) -> None:
        """See `Leftovers`."""
        query = self._query
        if earlier:
            await delete_result(self._store, query.query_uuid)
        else:
            await delete_attempt(self._store, query.query_uuid, query.attempt)


class Ending:
    """Ends one attempt. Lives on its event loop.

    Args:
        assignment: The attempt.
        statuses: Where the end is recorded.
        leftovers: What it has stored; None: nothing.
        insist: Repeats a write until the database answers.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        statuses: StatusStore,
        leftovers: Leftovers | None,
        insist: Callable[[Callable[[], Awaitable[object]]], Awaitable[object]],
    ) -> None:
        self.resumable = False  # another attempt can go on with the statement and keep the chunks
        self._query = assignment
        self._statuses = statuses
        self._leftovers = leftovers
        self._insist = insist
        self._log = log.bind(query_uuid=assignment.query_uuid, attempt=assignment.attempt)

    async def lost(self, error: WarehouseConnectionError, *, attempts_max: int) -> Outcome:
        """Put the query back into the queue, for another attempt."""
        query = self._query
        await self._clean_up(ended=False)
        await asyncio.sleep(_LOST_PAUSE_SECONDS * 2 ** (query.attempt - 1))
        status: QueryStatus | None = None

        async def lose() -> None:
            nonlocal status
            status = await self._statuses.lose(
                query.query_uuid, query.attempt, attempts_max=attempts_max, reason=error.message
            )

        try:
            await self._insist(lose)
            if not self.resumable:
                await self._statuses.forget_chunks(query.query_uuid, query.attempt)
        except StatusStoreError as unknown:
            self._log.warning("query.loss_not_recorded", reason=unknown.message)
            return Outcome.FENCED
        self._log.warning("query.warehouse_lost", reason=error.message, status=status)
        if status is QueryStatus.PENDING:
            return Outcome.LOST
        return Outcome.CANCELLED if status is QueryStatus.CANCELLED else Outcome.FENCED

    async def refused(self, *, fenced: bool) -> Outcome:
        """End an attempt that was stopped from outside: by a cancel, or because another one has the query."""
        query = self._query
        await self._clean_up(ended=False)
        try:
            cancelled = not fenced and bool(
                await self._insist(lambda: self._statuses.confirm_cancel(query.query_uuid, query.attempt))
            )
            await self._forget(ended=cancelled)
        except ServiceError as error:
            self._log.warning("query.cancel_not_confirmed", reason=error.message)
            cancelled = False
        self._log.info("query.cancelled" if cancelled else "query.fenced")
        return Outcome.CANCELLED if cancelled else Outcome.FENCED

    async def failed(self, error: Exception) -> Outcome:
        """End the query in `error`."""
        query = self._query
        failure = failure_of(error)
        await self._clean_up(ended=False)
        try:
            ended = bool(await self._insist(lambda: self._statuses.fail(query.query_uuid, query.attempt, failure)))
            await self._forget(ended=ended)
        except StatusStoreError as lost:
            self._log.warning("query.error_not_recorded", error_name=failure.name, reason=lost.message)
            return Outcome.FENCED
        self._log.info("query.error", error_name=failure.name, recorded=ended)
        return Outcome.ERROR if ended else Outcome.FENCED

    async def _forget(self, *, ended: bool) -> None:
        """Drop the references of chunks that are gone, or now may go."""
        query = self._query
        if self.resumable:
            if not ended:
                return
            await self._clean_up(ended=True)
        await self._insist(lambda: self._statuses.forget_chunks(query.query_uuid, query.attempt))

    async def _clean_up(self, *, ended: bool) -> None:
        """Write nothing more and remove what nobody may need; what is left is an orphan for the janitor. Bounded."""
        if self._leftovers is None:
            return
        await self._leftovers.abandon()
        if self.resumable and not ended:
            return
        try:
            async with asyncio.timeout(_CLEAN_UP_SECONDS):
                await self._leftovers.remove(earlier=self.resumable)
        except (ServiceError, TimeoutError) as error:
            self._log.warning("query.clean_up_incomplete", reason=type(error).__name__)
