"""One attempt at one query, whatever becomes of its rows. Knows nothing of Ray.

Two threads work together. The *work thread* does what blocks: it opens the session and waits for the warehouse. The
*event loop* does what waits: the lease, the deadlines, the writes to the database. What is the same for every attempt
is here: who has the query, how it is submitted and noted, how it is stopped, how it ends.

    open ──▶ connect ──▶ submit or attach ──▶ [rows] ──▶ [publish]
      ╰──────────── stopped by a cancel, a deadline, or a newer attempt ────────────╯

An attempt says what it does in the brackets: `Execution` stores the rows, `UnstoredExecution` leaves them where they
are.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

import structlog

from actors.deadlines import Deadlines
from actors.ending import Ending
from actors.login import login_pauses
from actors.messages import Outcome
from actors.stubborn import insist, keep_lease
from actors.takeover import Takeover
from actors.waiting import is_set, stop
from queryfleet.errors import (
    AttemptFencedError,
    QueryCancelledError,
    StatusStoreError,
    WarehouseConnectionError,
)
from queryfleet.limits import ProjectLimits
from queryfleet.results.limit import ResultLimit
from queryfleet.status.transitions import QueryStatus
from queryfleet.warehouse.base import Statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from concurrent.futures import Executor, Future

    from actors.ending import Leftovers
    from actors.messages import Assignment
    from queryfleet.errors import JsonValue, WarehouseTimeoutError
    from queryfleet.model import ChunkRef, Column
    from queryfleet.settings import Settings
    from queryfleet.status.record import Lease, Resume
    from queryfleet.status.store import StatusStore
    from queryfleet.warehouse.base import WarehouseSession

__all__ = ["Attempt"]

T = TypeVar("T")

_CLOSE_SECONDS = 0.5  # that a session may stay open while the last rows are stored

log = structlog.get_logger()


class Attempt(ABC):
    """Runs one attempt. Made on the event loop that runs it; used once.

    Args:
        assignment: What to run.
        statuses: Where progress and the end are written; every write carries the attempt.
        open_session: Gives a session nobody has used; called on the work thread, may raise `ServiceError`.
        executor: One work thread.
        settings: Sizes and times.
        leftovers: What the attempt stores and an end without a result removes; None: it stores nothing.
        resume: What an earlier attempt has left to this one; None: nothing of use.
    """

    _resumable = True  # where the warehouse keeps statement and result, another attempt can go on with them

    def __init__(
        self,
        assignment: Assignment,
        *,
        statuses: StatusStore,
        open_session: Callable[[], WarehouseSession],
        executor: Executor,
        settings: Settings,
        leftovers: Leftovers | None,
        resume: Resume | None,
    ) -> None:
        self.assignment = assignment
        self._statuses = statuses
        self._open_session = open_session
        self._executor = executor
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._log = log.bind(query_uuid=assignment.query_uuid, attempt=assignment.attempt)
        self._limits = ProjectLimits.of(assignment.project, settings)
        self._limit = ResultLimit(
            rows_max=self._limits.rows,
            bytes_max=self._limits.bytes,
            is_error=self._limits.on_limit == "error",
        )
        self._deadlines = Deadlines(self._limits)
        self._timeout: WarehouseTimeoutError | None = None  # the deadline that stopped the attempt
        self._ending = Ending(assignment, statuses=statuses, leftovers=leftovers, insist=self._insist)
        self._takeover = Takeover(resume=resume)
        self._columns: list[Column] = []
        self.connected = False  # the warehouse let us in
        self._session: WarehouseSession | None = None
        self._session_lock = threading.Lock()  # guards `_session` and `_stopped` together
        self._stopped = False  # someone wants this attempt to end: a person, or a newer attempt
        self._halt = threading.Event()  # set with `_stopped`; wakes the work thread
        self._fenced = False
        self._described: Future[None] | None = None  # the columns are on their way to the database
        self._pulled = asyncio.Event()  # the warehouse has done its part
        self._over = asyncio.Event()  # the end is published, or given up
        self._finishing = False  # the final write was sent: it may have been carried out, whatever came back

    async def run(self) -> Outcome:
        """Do everything and return how it ended; never raises, whatever happens."""
        lease = asyncio.create_task(
            keep_lease(self._statuses, self.assignment, self._obey, lease_seconds=self._settings.lease_seconds)
        )
        try:
            return await self._run()
        finally:
            await stop(lease)

    async def _run(self) -> Outcome:
        working = asyncio.create_task(self._accompany())
        watching = asyncio.create_task(self._watch_deadlines())
        closing = None
        try:
            session = await self._loop.run_in_executor(self._executor, self._pull)
            closing = asyncio.create_task(self._close(session))
            await self._arrived()
            self._pulled.set()
            # Not cancelled: a chunk it is just closing would be lost.
            await working
            await self._publish()
        except Exception as error:  # noqa: BLE001 - the edge of the actor: whatever it was, the query must end
            await stop(working)
            await stop(watching)
            await self._settle_columns()
            return await self._end(error)
        finally:
            working.cancel()
            watching.cancel()
            self._over.set()
            if closing is not None:
                await asyncio.gather(closing, return_exceptions=True)
        return Outcome.READY

    # What an attempt does with the rows ------------------------------------------------------------------------

    @abstractmethod
    def _read(self, session: WarehouseSession) -> None:
        """Submit the statement and take of its result what is taken; on the work thread, logged in."""

    @abstractmethod
    async def _publish(self) -> None:
        """Make the query ready."""

    async def _accompany(self) -> None:
        """Do what goes on while the work thread reads; end soon after `_pulled` is set."""
        await self._pulled.wait()

    async def _arrived(self) -> None:  # noqa: B027 - most attempts have nothing to do then
        """Do what comes between the last row and the end of `_accompany`."""

    async def cancel(self) -> None:
        """Make the attempt end soon: the warehouse is told to stop. Idempotent."""
        session = self._halted()
        if session is not None:
            await asyncio.to_thread(session.cancel)

    async def leave(self) -> None:
        """Make the attempt end soon, and leave the statement to the next one if that can go on with it. Idempotent."""
        session = self._halted()
        if session is not None:
            await asyncio.to_thread(session.leave)

    def _halted(self) -> WarehouseSession | None:
        with self._session_lock:
            self._stopped = True
            self._halt.set()
            return self._session

    async def _close(self, session: WarehouseSession) -> None:
        """Close a session that has given all rows: when they are published, or soon, whichever comes first."""
        # Closing takes time that nobody should wait for; a statement that was cut short has to be stopped at once.
        if self._limit.reached is None:
            await is_set(self._over, timeout_seconds=_CLOSE_SECONDS)
        await self._loop.run_in_executor(self._executor, session.close)

    # On the work thread ----------------------------------------------------------------------------------------

    def _pull(self) -> WarehouseSession:
        """Have the result read, and return the session, to be closed."""
        self._check_stopped()
        session = self._open_session()
        try:
            self._adopt(session)
            self._deadlines.enter("connect")
            self._connect(session)
            self.connected = self.assignment.selection is None
            self._deadlines.enter("execute")
            self._read(session)
        except BaseException as error:
            if isinstance(error, WarehouseConnectionError) and self._may_repeat(error):
                session.leave()
            session.close()
            raise
        finally:
            with self._session_lock:
                self._session = None
        return session

    def _connect(self, session: WarehouseSession) -> None:
        """Log in; again when that failed for a passing reason, because a warehouse may just be restarting."""
        for pause_seconds in login_pauses(self.assignment.attempt, connect_seconds=self._limits.connect_seconds):
            try:
                session.connect()
            except WarehouseConnectionError as error:
                if not error.details.get("transient"):
                    raise
                self._log.warning("query.login_retried", reason=error.message)
                self._halt.wait(pause_seconds)
                self._check_stopped()
            else:
                return
        session.connect()

    def _statement(self, row_limit: int | None) -> Statement:
        query = self.assignment
        allow_writes = bool(query.project.get("allow_writes"))
        return Statement(sql=query.sql, tag=query.tag, row_limit=row_limit, allow_writes=allow_writes)

    def _begin(self, session: WarehouseSession, statement: Statement, awaited: Callable[[], T]) -> T:
        """Submit the statement and return what `awaited` waits for; what the database is told travels meanwhile."""
        query_id = self._takeover.submit(session, statement, lambda: self._wait(self._chunks_left()))
        noted = self._start(self._note_executing(query_id))
        try:
            return awaited()
        finally:
            noted.result()  # the warehouse's own query id is stored before any row

    def _adopt(self, session: WarehouseSession) -> None:
        with self._session_lock:
            self._session = session
        self._ending.resumable = session.resumable and self._resumable
        self._check_stopped()

    def _check_stopped(self) -> None:
        if self._stopped:
            raise QueryCancelledError("The query was cancelled.")

    def _start(self, work: Coroutine[object, object, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _wait(self, work: Coroutine[object, object, T]) -> T:
        return self._start(work).result()

    # On the event loop -----------------------------------------------------------------------------------------

    async def _note_executing(self, warehouse_query_id: str | None) -> None:
        query = self.assignment
        # A database that is away does not stop the warehouse: phases are worth a short wait, not the query.
        try:
            lease = await self._statuses.record_executing(query.query_uuid, query.attempt, warehouse_query_id)
        except StatusStoreError as error:
            self._log.warning("query.phase_not_recorded", reason=error.message)
            return
        await self._heed(lease)

    async def _note_columns(self, arrow_schema: bytes, pivot_details: dict[str, JsonValue] | None = None) -> None:
        query = self.assignment
        lease = await self._insist(
            lambda: self._statuses.record_fetching(
                query.query_uuid,
                query.attempt,
                columns=self._columns,
                arrow_schema=arrow_schema,
                pivot_details=pivot_details,
            )
        )
        await self._heed(lease)

    async def _chunks_left(self) -> tuple[ChunkRef, ...]:
        query_uuid = self.assignment.query_uuid
        return await self._insist(lambda: self._takeover.chunks_left(self._statuses, query_uuid))

    async def _heed(self, lease: Lease) -> None:
        await self._obey(lease)
        if not lease.current:
            raise AttemptFencedError("Another attempt has this query.", queryUuid=self.assignment.query_uuid)
        if lease.cancel_requested:
            raise QueryCancelledError("The query was cancelled.")

    async def _obey(self, lease: Lease) -> None:
        """Stop the attempt when it is not wanted any more."""
        if not lease.current:
            self._fenced = True
            await self.leave()  # the attempt that has the query now may have its statement too
        elif lease.cancel_requested:
            await self.cancel()

    async def _columns_known(self) -> None:
        """Wait until the database has the columns: no page can be shown without them."""
        if self._described is not None:
            await asyncio.wrap_future(self._described)

    async def _settle_columns(self) -> None:
        if self._described is not None:
            await asyncio.gather(asyncio.wrap_future(self._described), return_exceptions=True)

    async def _insist(self, work: Callable[[], Awaitable[T]]) -> T:
        return await insist(work, is_wanted=lambda: not self._stopped, query_uuid=self.assignment.query_uuid)

    async def _watch_deadlines(self) -> None:
        pause = self._deadlines.pause_seconds()
        while not await is_set(self._pulled, timeout_seconds=pause):
            self._timeout = self._deadlines.overdue()
            if self._timeout is not None:
                await self.cancel()
                return

    async def _end(self, error: Exception) -> Outcome:
        if self._finishing:
            # The final write may have been carried out although no answer came: then nothing may be deleted.
            try:
                record = await self._statuses.load(self.assignment.query_uuid)
            except StatusStoreError as unknown:
                self._log.warning("query.end_unknown", reason=unknown.message)
                return Outcome.FENCED
            if record is not None and (record.status, record.attempt) == (
                QueryStatus.READY,
                self.assignment.attempt,
            ):
                return Outcome.READY
        if self._timeout is not None and not isinstance(error, AttemptFencedError):
            # The deadline stopped the warehouse; whatever that looked like here, the deadline is the reason.
            self._stopped = False
            return await self._ending.failed(self._timeout)
        refused = isinstance(error, AttemptFencedError | QueryCancelledError)
        # A driver may report its own cancel in words we do not know; being stopped is then the reason.
        if refused or self._stopped:
            return await self._ending.refused(fenced=self._fenced)
        if isinstance(error, WarehouseConnectionError) and self._may_repeat(error):
            return await self._ending.lost(error, attempts_max=self._settings.attempts_max)
        return await self._ending.failed(error)

    def _may_repeat(self, error: WarehouseConnectionError) -> bool:
        """Whether another attempt may do better: the warehouse was there, and may be again."""
        query = self.assignment
        writes = bool(query.project.get("allow_writes"))  # what was sent may have been carried out
        passing = bool(error.details.get("transient"))
        return self.connected and passing and not writes and query.attempt < self._settings.attempts_max
