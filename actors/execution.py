"""One attempt at one query, from the warehouse's first byte to the final write. Knows nothing of Ray.

Two threads work together. The *work thread* does what blocks: it opens the session, waits for the warehouse, takes
Arrow batches, encodes them and cuts chunks. The *event loop* does what waits: uploads, commits, the lease. The work
thread hands each chunk to the loop and waits while too many are on their way; that is the back-pressure.

    warehouse ─batches─▶ encoder ─lines─▶ chunk builder ─chunks─▶ writer ─PUT─▶ store
                     work thread                              │       event loop
                                                              └─commit─▶ Postgres (refused unless it is current)
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

import structlog

from actors.deadlines import Deadlines
from actors.failure import failure_of
from actors.login import login_pauses
from actors.messages import Outcome
from queryfleet.columns import columns_of
from queryfleet.errors import (
    AttemptFencedError,
    QueryCancelledError,
    ServiceError,
    StatusStoreError,
    WarehouseConnectionError,
)
from queryfleet.limits import ProjectLimits
from queryfleet.results.chunking import ChunkBuilder, ChunkLimits
from queryfleet.results.limit import ResultLimit
from queryfleet.results.reader import delete_attempt
from queryfleet.results.writer import ResultWriter
from queryfleet.status.transitions import QueryStatus
from queryfleet.warehouse.base import Statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from concurrent.futures import Executor, Future

    from actors.messages import Assignment
    from queryfleet.errors import WarehouseTimeoutError
    from queryfleet.model import ChunkRef, Column
    from queryfleet.results.encoder import Encoder
    from queryfleet.results.store import ObjectStore
    from queryfleet.settings import Settings
    from queryfleet.status.record import Lease
    from queryfleet.status.store import StatusStore
    from queryfleet.warehouse.base import WarehouseSession

__all__ = ["Execution"]

T = TypeVar("T")

_RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
_CLEAN_UP_SECONDS = 5.0
_CLOSE_SECONDS = 0.5  # that a session may stay open while the last rows are stored
_LOST_PAUSE_SECONDS = 0.5  # before a second attempt; doubles

log = structlog.get_logger()


class Execution:
    """Runs one attempt. Made on the event loop that runs it; used once.

    Args:
        assignment: What to run.
        statuses: Where progress and the end are written; every write carries the attempt.
        store: Where chunks go.
        open_session: Gives a session nobody has used; called on the work thread, may raise `ServiceError`.
        executor: One work thread.
        settings: Sizes and times.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        statuses: StatusStore,
        store: ObjectStore,
        open_session: Callable[[], WarehouseSession],
        executor: Executor,
        settings: Settings,
    ) -> None:
        self.assignment = assignment
        self._statuses = statuses
        self._store = store
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
        chunk_limits = ChunkLimits(
            chunk_bytes=settings.chunk_bytes,
            chunk_bytes_first=settings.chunk_bytes_first,
            chunk_age_seconds=settings.chunk_age_seconds,
            chunk_age_seconds_max=settings.chunk_age_seconds_max,
            block_rows=settings.block_rows,
        )
        self._builder = ChunkBuilder(assignment.query_uuid, assignment.attempt, chunk_limits)
        self._writer = ResultWriter(
            store,
            assignment.query_uuid,
            assignment.attempt,
            commit=self._commit,
            uploads_in_flight=settings.uploads_in_flight,
            patience_seconds=settings.store_wait_seconds,
        )
        self._columns: list[Column] = []
        self.connected = False  # the warehouse let us in
        self._session: WarehouseSession | None = None
        self._session_lock = threading.Lock()  # guards `_session` and `_stopped` together
        self._stopped = False  # someone wants this attempt to end: a person, or a newer attempt
        self._halt = threading.Event()  # set with `_stopped`; wakes the work thread
        self._fenced = False
        self._described: Future[None] | None = None  # the columns are on their way to the database
        self._pulled = asyncio.Event()  # the last batch is here
        self._over = asyncio.Event()  # the end is published, or given up
        self._ending = False  # the final write was sent: it may have been carried out, whatever came back

    async def run(self) -> Outcome:
        """Do everything and return how it ended; never raises, whatever happens."""
        lease = asyncio.create_task(self._keep_lease())
        try:
            return await self._run()
        finally:
            await _stop(lease)

    async def _run(self) -> Outcome:
        sealing = asyncio.create_task(self._seal_aged())
        watching = asyncio.create_task(self._watch_deadlines())
        closing = None
        try:
            session = await self._loop.run_in_executor(self._executor, self._pull)
            closing = asyncio.create_task(self._close(session))
            self._pulled.set()
            # Not cancelled: a chunk it is just closing would be lost.
            await sealing
            await self._publish()
        except Exception as error:  # noqa: BLE001 - the edge of the actor: whatever it was, the query must end
            await _stop(sealing)
            await _stop(watching)
            await self._settle_columns()
            return await self._end(error)
        finally:
            sealing.cancel()
            watching.cancel()
            self._over.set()
            if closing is not None:
                await asyncio.gather(closing, return_exceptions=True)
        return Outcome.READY

    async def _close(self, session: WarehouseSession) -> None:
        """Close a session that has given all rows: when they are published, or soon, whichever comes first."""
        # Closing takes time that nobody should wait for; a statement that was cut short has to be stopped at once.
        if self._limit.reached is None:
            await _is_set(self._over, timeout_seconds=_CLOSE_SECONDS)
        await self._loop.run_in_executor(self._executor, session.close)

    async def cancel(self) -> None:
        """Make the attempt end soon: the warehouse is told to stop. Idempotent."""
        with self._session_lock:
            self._stopped = True
            self._halt.set()
            session = self._session
        if session is not None:
            await asyncio.to_thread(session.cancel)

    # On the work thread ----------------------------------------------------------------------------------------

    def _pull(self) -> WarehouseSession:
        """Have the rows encoded and cut, and return the session, to be closed."""
        query = self.assignment
        allow_writes = bool(query.project.get("allow_writes"))
        row_limit = self._limit.row_limit(query.row_limit)
        statement = Statement(sql=query.sql, tag=query.tag, row_limit=row_limit, allow_writes=allow_writes)
        self._check_stopped()
        session = self._open_session()
        try:
            self._adopt(session)
            self._deadlines.enter("connect")
            self._connect(session)
            self.connected = True
            self._deadlines.enter("execute")
            self._store_batches(session, self._begin(session, statement))
        except BaseException:
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

    def _begin(self, session: WarehouseSession, statement: Statement) -> Encoder:
        """Submit the statement and wait for its columns; what the database is told travels meanwhile."""
        from queryfleet.results.encoder import Encoder
        from queryfleet.results.page import schema_to_bytes

        noted = self._start(self._note_executing(session.submit(statement)))
        try:
            schema = session.schema()
        finally:
            noted.result()  # the warehouse's own query id is stored before any row
        self._columns = columns_of(schema)
        self._described = self._start(self._note_columns(schema_to_bytes(schema)))
        return Encoder(schema)

    def _store_batches(self, session: WarehouseSession, encoder: Encoder) -> None:
        self._deadlines.enter("idle")
        for batch in session.batches(max_rows=self._settings.batch_rows):
            self._check_stopped()
            # Time spent on storing is not the warehouse's.
            self._deadlines.enter(None)
            lines = self._limit.cut_bytes(encoder.encode(self._limit.cut_rows(batch)))
            full = self._builder.append(lines) if len(lines.offsets) > 1 else None
            if full is not None:
                self._wait(self._writer.put(full))
            if self._limit.reached is not None:
                break
            self._deadlines.enter("idle")
        self._deadlines.enter(None)

    def _adopt(self, session: WarehouseSession) -> None:
        with self._session_lock:
            self._session = session
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

    async def _note_columns(self, arrow_schema: bytes) -> None:
        query = self.assignment
        lease = await self._insist(
            lambda: self._statuses.record_fetching(
                query.query_uuid, query.attempt, columns=self._columns, arrow_schema=arrow_schema
            )
        )
        await self._heed(lease)

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
        if not lease.current or lease.cancel_requested:
            await self.cancel()

    async def _columns_known(self) -> None:
        """Wait until the database has the columns: no page can be shown without them."""
        if self._described is not None:
            await asyncio.wrap_future(self._described)

    async def _settle_columns(self) -> None:
        if self._described is not None:
            await asyncio.gather(asyncio.wrap_future(self._described), return_exceptions=True)

    async def _publish(self) -> None:
        query = self.assignment
        last = self._builder.seal()
        if last is None or last.ref.index > 0:
            await self._columns_known()
            await self._insist(lambda: self._statuses.record_finishing(query.query_uuid, query.attempt))
        finished = await self._writer.finish(last, columns=self._columns)
        await self._columns_known()
        self._ending = True
        await self._insist(
            lambda: self._statuses.finish(
                query.query_uuid,
                query.attempt,
                chunks=finished.uncommitted,
                row_count=finished.row_count,
                byte_count=finished.byte_count,
                chunk_count=finished.chunk_count,
                ttl_seconds=self._limits.cache_seconds,
                truncated=self._limit.reached is not None,
                warnings=[self._limit.reached] if self._limit.reached is not None else [],
            )
        )
        self._log.info("query.ready", row_count=finished.row_count, byte_count=finished.byte_count)

    async def _commit(self, chunk: ChunkRef) -> None:
        query = self.assignment
        await self._columns_known()
        await self._insist(lambda: self._statuses.commit_chunk(query.query_uuid, query.attempt, chunk))

    async def _insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Repeat a write until the database answers, for as long as the attempt lives. Writes are idempotent."""
        tries = 0
        while True:
            try:
                return await work()
            except StatusStoreError as error:
                if not error.retryable or self._stopped:
                    raise
                self._log.warning("query.write_retried", reason=error.message)
            await asyncio.sleep(_RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)])
            tries += 1

    async def _seal_aged(self) -> None:
        pause = self._settings.chunk_age_seconds / 2
        while not await _is_set(self._pulled, timeout_seconds=pause):
            aged = await asyncio.to_thread(self._builder.seal_aged)
            if aged is not None:
                await self._writer.put(aged)

    async def _watch_deadlines(self) -> None:
        pause = self._deadlines.pause_seconds()
        while not await _is_set(self._pulled, timeout_seconds=pause):
            self._timeout = self._deadlines.overdue()
            if self._timeout is not None:
                await self.cancel()
                return

    async def _keep_lease(self) -> None:
        query, seconds = self.assignment, self._settings.lease_seconds
        pause = seconds / 8  # a claim gives half of a lease
        while True:
            await asyncio.sleep(pause)
            pause = seconds / 4
            try:
                lease = await self._statuses.renew(query.query_uuid, query.attempt, lease_seconds=seconds)
            except StatusStoreError as error:
                self._log.warning("query.lease_not_renewed", reason=error.message)
                continue
            await self._obey(lease)

    async def _end(self, error: Exception) -> Outcome:
        if self._ending:
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
            return await self._end_failed(self._timeout)
        refused = isinstance(error, AttemptFencedError | QueryCancelledError)
        # A driver may report its own cancel in words we do not know; being stopped is then the reason.
        if refused or self._stopped:
            return await self._end_refused()
        if isinstance(error, WarehouseConnectionError) and self._may_repeat(error):
            return await self._end_lost(error)
        return await self._end_failed(error)

    def _may_repeat(self, error: WarehouseConnectionError) -> bool:
        """Whether another attempt may do better: the warehouse was there, and may be again."""
        query = self.assignment
        writes = bool(query.project.get("allow_writes"))  # what was sent may have been carried out
        passing = bool(error.details.get("transient"))
        return self.connected and passing and not writes and query.attempt < self._settings.attempts_max

    async def _end_lost(self, error: WarehouseConnectionError) -> Outcome:
        """Put the query back into the queue, for an attempt under a prefix of its own."""
        query = self.assignment
        await self._clean_up()
        await asyncio.sleep(_LOST_PAUSE_SECONDS * 2 ** (query.attempt - 1))
        try:
            status = await self._insist(
                lambda: self._statuses.lose(
                    query.query_uuid, query.attempt, attempts_max=self._settings.attempts_max, reason=error.message
                )
            )
            await self._statuses.forget_chunks(query.query_uuid, query.attempt)
        except StatusStoreError as unknown:
            self._log.warning("query.loss_not_recorded", reason=unknown.message)
            return Outcome.FENCED
        self._log.warning("query.warehouse_lost", reason=error.message, status=status)
        if status is QueryStatus.PENDING:
            return Outcome.LOST
        return Outcome.CANCELLED if status is QueryStatus.CANCELLED else Outcome.FENCED

    async def _end_refused(self) -> Outcome:
        """End an attempt that was stopped from outside: by a cancel, or because another one has the query."""
        query = self.assignment
        await self._clean_up()
        try:
            cancelled = not self._fenced and await self._insist(
                lambda: self._statuses.confirm_cancel(query.query_uuid, query.attempt)
            )
            await self._statuses.forget_chunks(query.query_uuid, query.attempt)
        except ServiceError as error:
            self._log.warning("query.cancel_not_confirmed", reason=error.message)
            cancelled = False
        self._log.info("query.cancelled" if cancelled else "query.fenced")
        return Outcome.CANCELLED if cancelled else Outcome.FENCED

    async def _end_failed(self, error: Exception) -> Outcome:
        query = self.assignment
        failure = failure_of(error)
        await self._clean_up()
        try:
            ended = await self._insist(lambda: self._statuses.fail(query.query_uuid, query.attempt, failure))
            await self._insist(lambda: self._statuses.forget_chunks(query.query_uuid, query.attempt))
        except StatusStoreError as lost:
            self._log.warning("query.error_not_recorded", error_name=failure.name, reason=lost.message)
            return Outcome.FENCED
        self._log.info("query.error", error_name=failure.name, recorded=ended)
        return Outcome.ERROR if ended else Outcome.FENCED

    async def _clean_up(self) -> None:
        """Remove what this attempt wrote. Bounded; what could not be removed is an orphan for the janitor."""
        await self._writer.abandon()
        try:
            async with asyncio.timeout(_CLEAN_UP_SECONDS):
                await delete_attempt(self._store, self.assignment.query_uuid, self.assignment.attempt)
        except (ServiceError, TimeoutError) as error:
            self._log.warning("query.clean_up_incomplete", reason=type(error).__name__)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _is_set(event: asyncio.Event, *, timeout_seconds: float) -> bool:
    try:
        async with asyncio.timeout(timeout_seconds):
            return await event.wait()
    except TimeoutError:
        return False
