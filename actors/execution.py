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
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import structlog

from actors.chunk_sizes import chunk_limits_of
from actors.deadlines import Deadlines
from actors.ending import Ending
from actors.fan_out import FanOut, groups_in
from actors.login import login_pauses
from actors.messages import Outcome
from actors.pivoting import pivoting_of
from actors.stored_rows import opener_of
from actors.stubborn import insist, keep_lease
from actors.takeover import Takeover
from actors.waiting import is_set, stop, while_wanted
from queryfleet.columns import columns_of
from queryfleet.errors import (
    AttemptFencedError,
    LimitExceededError,
    QueryCancelledError,
    StatusStoreError,
    WarehouseConnectionError,
)
from queryfleet.limits import ProjectLimits
from queryfleet.results.chunking import ChunkBuilder
from queryfleet.results.limit import ResultLimit
from queryfleet.results.writer import ResultWriter
from queryfleet.status.transitions import QueryStatus
from queryfleet.warehouse.base import Statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator
    from concurrent.futures import Executor, Future

    import pyarrow as pa

    from actors.fan_out import Fetch
    from actors.messages import Assignment
    from actors.pivoting import CellStore, PivotDescription, Pivoting
    from queryfleet.encoding.lines import EncodedBatch
    from queryfleet.errors import JsonValue, WarehouseTimeoutError
    from queryfleet.model import ChunkRef, Column
    from queryfleet.results.store import ObjectStore
    from queryfleet.settings import Settings
    from queryfleet.status.record import Lease
    from queryfleet.status.store import StatusStore
    from queryfleet.warehouse.base import WarehouseSession

__all__ = ["Execution"]

T = TypeVar("T")

_CLOSE_SECONDS = 0.5  # that a session may stay open while the last rows are stored

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
        fetch: Fetches pieces of large results elsewhere, where the warehouse has such; None: everything is done here.
        cells: Where the cells of a pivot go that are too many for one process; None: nowhere.
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
        fetch: Fetch | None = None,
        cells: CellStore | None = None,
    ) -> None:
        self.assignment = assignment
        self._statuses = statuses
        self._store = store
        self._open_session = opener_of(assignment, open_session, statuses=statuses, store=store)
        self._executor = executor
        self._settings = settings
        self._fetch = fetch
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
        self._builder = ChunkBuilder(assignment.query_uuid, assignment.attempt, chunk_limits_of(settings))
        self._writer = ResultWriter(
            store,
            assignment.query_uuid,
            assignment.attempt,
            commit=self._commit,
            uploads_in_flight=settings.uploads_in_flight,
            patience_seconds=settings.store_wait_seconds,
        )
        self._ending = Ending(assignment, statuses=statuses, store=store, writer=self._writer, insist=self._insist)
        self._pivoting = pivoting_of(assignment, settings, cells=cells)
        resume = assignment.resume
        if self._pivoting is not None and resume is not None:
            resume = replace(resume, arrow_schema=None)  # lines are no rows of the warehouse: none can be kept
        self._takeover = Takeover(resume=resume)
        self._line_count = 0
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
        sealing = asyncio.create_task(self._seal_aged())
        watching = asyncio.create_task(self._watch_deadlines())
        closing = None
        try:
            session = await self._loop.run_in_executor(self._executor, self._pull)
            closing = asyncio.create_task(self._close(session))
            if self._pivoting is not None and self._pivoting.is_handed_over:
                await self._hand_over(self._pivoting)
            self._pulled.set()
            # Not cancelled: a chunk it is just closing would be lost.
            await sealing
            await self._publish()
        except Exception as error:  # noqa: BLE001 - the edge of the actor: whatever it was, the query must end
            await stop(sealing)
            await stop(watching)
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
            await is_set(self._over, timeout_seconds=_CLOSE_SECONDS)
        await self._loop.run_in_executor(self._executor, session.close)

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

    # On the work thread ----------------------------------------------------------------------------------------

    def _pull(self) -> WarehouseSession:
        """Have the rows encoded and cut, and return the session, to be closed."""
        query = self.assignment
        allow_writes = bool(query.project.get("allow_writes"))
        row_limit = self._limit.row_limit(query.row_limit) if self._pivoting is None else None
        statement = Statement(sql=query.sql, tag=query.tag, row_limit=row_limit, allow_writes=allow_writes)
        self._check_stopped()
        session = self._open_session()
        try:
            self._adopt(session)
            self._deadlines.enter("connect")
            self._connect(session)
            self.connected = self.assignment.selection is None
            self._deadlines.enter("execute")
            schema = self._begin(session, statement)
            if not self._fetched_elsewhere(session):
                self._store_lines(self._lines(session, schema))
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

    def _begin(self, session: WarehouseSession, statement: Statement) -> pa.Schema:
        """Submit the statement and wait for its columns; what the database is told travels meanwhile."""
        from queryfleet.results.page import schema_to_bytes

        query_id = self._takeover.submit(session, statement, lambda: self._wait(self._chunks_left()))
        noted = self._start(self._note_executing(query_id))
        try:
            schema = self._takeover.schema(session, statement)
        finally:
            noted.result()  # the warehouse's own query id is stored before any row
        if self._pivoting is not None:
            return schema  # the columns of a pivot are known when its last cell is
        self._columns = columns_of(schema)
        self._described = self._start(self._note_columns(schema_to_bytes(schema)))
        if self._takeover.chunks:
            self._wait(self._keep_chunks())
        return schema

    def _fetched_elsewhere(self, session: WarehouseSession) -> bool:
        """Have tasks fetch and store a large result; False when it is none, or has to be counted on the way."""
        limited = self._limits.rows is not None or self._limits.bytes is not None
        if self._fetch is None or self._pivoting is not None or limited:
            return False
        groups = groups_in(session, self.assignment, chunks=self._takeover.chunks, settings=self._settings)
        if not groups:
            return False
        fan_out = FanOut(session, self._fetch, at_once=self._settings.fetch_tasks, check=self._check_stopped)
        self._wait(fan_out.run(groups, self._add_stored))
        self._deadlines.enter(None)
        return True

    def _lines(self, session: WarehouseSession, schema: pa.Schema) -> Iterator[EncodedBatch]:
        if self._pivoting is not None:
            return self._pivoting.lines(schema, self._batches(session), self._announce)
        from queryfleet.results.encoder import Encoder

        encoder = Encoder(schema)
        return (encoder.encode(self._limit.cut_rows(batch)) for batch in self._batches(session))

    def _announce(self, found: PivotDescription) -> None:
        """Tell the database the columns of a pivot, so that pages can be read as soon as there are rows."""
        from queryfleet.results.page import schema_to_bytes

        self._columns = list(found.columns)
        self._described = self._start(self._note_columns(schema_to_bytes(found.schema), found.details))

    def _batches(self, session: WarehouseSession) -> Iterator[pa.RecordBatch]:
        self._deadlines.enter("idle")
        for batch in session.batches(max_rows=self._settings.batch_rows):
            self._check_stopped()
            # Time spent on storing is not the warehouse's.
            self._deadlines.enter(None)
            yield batch
            self._deadlines.enter("idle")
        self._deadlines.enter(None)

    def _store_lines(self, encoded: Iterator[EncodedBatch]) -> None:
        for each in encoded:
            self._check_stopped()
            lines = self._limit.cut_bytes(each)
            self._line_count += len(lines.offsets) - 1
            full = self._builder.append(lines) if len(lines.offsets) > 1 else None
            if full is not None:
                self._wait(self._writer.put(full))
            if self._limit.reached is not None:
                break

    def _adopt(self, session: WarehouseSession) -> None:
        with self._session_lock:
            self._session = session
        self._ending.resumable = session.resumable and self._pivoting is None
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

    async def _keep_chunks(self) -> None:
        """Make the chunks of the earlier attempt the first ones of this one, and go on after them."""
        query, kept = self.assignment, self._takeover
        await self._columns_known()
        await self._insist(lambda: kept.keep(self._statuses, query.query_uuid, query.attempt))
        self._builder.continue_at(index=len(kept.chunks), row=kept.row_count)
        self._writer.continue_after(kept.chunks)
        self._limit.continue_after(rows=kept.row_count, bytes=kept.byte_count)
        self._log.info("query.resumed", row_count=kept.row_count)

    async def _add_stored(self, chunk: ChunkRef) -> None:
        self._deadlines.enter("idle")
        self._line_count += chunk.row_count
        await self._writer.add_stored(chunk)

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

    async def _hand_over(self, pivoting: Pivoting) -> None:
        """Let the cluster store the lines; what it has written stays to be removed when the attempt is stopped."""
        chunks: list[ChunkRef] = []

        async def commit(chunk: ChunkRef) -> None:
            await self._commit(chunk)
            chunks.append(chunk)

        result = await while_wanted(pivoting.hand_over(self._announce, commit), self._check_stopped)
        if self._limits.bytes is not None and result.byte_count > self._limits.bytes:
            raise LimitExceededError("The pivot has more bytes than the project's limit.", limit="bytes")
        for chunk in result.uncommitted:
            await commit(chunk)
        self._writer.continue_after(chunks)
        self._line_count = result.row_count

    async def _note_pivot(self, pivoting: Pivoting) -> list[str]:
        """Tell the database the columns of a pivot, unless it knows them; returns its warnings."""
        found = pivoting.described(row_count=self._line_count)
        if self._described is None:
            self._announce(found)
            await self._columns_known()
        return list(found.warnings)

    async def _publish(self) -> None:
        query = self.assignment
        last = self._builder.seal()
        warnings = await self._note_pivot(self._pivoting) if self._pivoting is not None else []
        warnings += [self._limit.reached] if self._limit.reached is not None else []
        if last is None or last.ref.index > 0:
            await self._columns_known()
            await self._insist(lambda: self._statuses.record_finishing(query.query_uuid, query.attempt))
        finished = await self._writer.finish(last, columns=self._columns)
        await self._columns_known()
        self._finishing = True
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
                warnings=warnings,
            )
        )
        self._log.info("query.ready", row_count=finished.row_count, byte_count=finished.byte_count)

    async def _commit(self, chunk: ChunkRef) -> None:
        query = self.assignment
        await self._columns_known()
        await self._insist(lambda: self._statuses.commit_chunk(query.query_uuid, query.attempt, chunk))

    async def _insist(self, work: Callable[[], Awaitable[T]]) -> T:
        return await insist(work, is_wanted=lambda: not self._stopped, query_uuid=self.assignment.query_uuid)

    async def _seal_aged(self) -> None:
        pause = self._settings.chunk_age_seconds / 2
        while not await is_set(self._pulled, timeout_seconds=pause):
            aged = await asyncio.to_thread(self._builder.seal_aged)
            if aged is not None:
                await self._writer.put(aged)

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
