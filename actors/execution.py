"""An attempt that stores its rows: batches from the warehouse become lines, lines chunks, and chunks a result.

The work thread takes Arrow batches, encodes them and cuts chunks. The event loop uploads and commits. The work thread
hands each chunk to the loop and waits while too many are on their way; that is the back-pressure.

    warehouse ─batches─▶ encoder ─lines─▶ chunk builder ─chunks─▶ writer ─PUT─▶ store
                     work thread                              │       event loop
                                                              └─commit─▶ Postgres (refused unless it is current)
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.attempt import Attempt
from actors.chunk_sizes import chunk_limits_of
from actors.ending import StoredChunks
from actors.fan_out import FanOut, groups_in
from actors.pivoting import pivoting_of
from actors.stored_rows import opener_of
from actors.waiting import is_set, while_wanted
from queryfleet.columns import columns_of
from queryfleet.errors import LimitExceededError
from queryfleet.results.chunking import ChunkBuilder
from queryfleet.results.writer import ResultWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    import pyarrow as pa

    from actors.fan_out import Fetch
    from actors.messages import Assignment
    from actors.pivoting import CellStore, PivotDescription, Pivoting
    from queryfleet.encoding.lines import EncodedBatch
    from queryfleet.model import ChunkRef
    from queryfleet.results.store import ObjectStore
    from queryfleet.settings import Settings
    from queryfleet.status.store import StatusStore
    from queryfleet.warehouse.base import Statement, WarehouseSession

__all__ = ["Execution"]


class Execution(Attempt):
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
        self._writer = ResultWriter(
            store,
            assignment.query_uuid,
            assignment.attempt,
            commit=self._commit,
            uploads_in_flight=settings.uploads_in_flight,
            patience_seconds=settings.store_wait_seconds,
        )
        self._pivoting = pivoting_of(assignment, settings, cells=cells)
        resume = assignment.resume
        if self._pivoting is not None and resume is not None:
            resume = replace(resume, arrow_schema=None)  # lines are no rows of the warehouse: none can be kept
        super().__init__(
            assignment,
            statuses=statuses,
            open_session=opener_of(assignment, open_session, statuses=statuses, store=store),
            executor=executor,
            settings=settings,
            leftovers=StoredChunks(assignment, store, self._writer),
            resume=resume,
        )
        self._resumable = self._pivoting is None
        self._fetch = fetch
        self._builder = ChunkBuilder(assignment.query_uuid, assignment.attempt, chunk_limits_of(settings))
        self._line_count = 0

    # On the work thread ----------------------------------------------------------------------------------------

    def _read(self, session: WarehouseSession) -> None:
        """Have the rows encoded and cut; see `Attempt`."""
        row_limit = self._limit.row_limit(self.assignment.row_limit) if self._pivoting is None else None
        schema = self._described_by(session, self._statement(row_limit))
        if not self._fetched_elsewhere(session):
            self._store_lines(self._lines(session, schema))

    def _described_by(self, session: WarehouseSession, statement: Statement) -> pa.Schema:
        """Submit the statement and wait for its columns."""
        from queryfleet.results.page import schema_to_bytes

        schema = self._begin(session, statement, lambda: self._takeover.schema(session, statement))
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

    # On the event loop -----------------------------------------------------------------------------------------

    async def _arrived(self) -> None:
        """Have the cluster store a pivot that is too large for this process; see `Attempt`."""
        if self._pivoting is not None and self._pivoting.is_handed_over:
            await self._hand_over(self._pivoting)

    async def _accompany(self) -> None:
        """Close chunks that have waited long enough for more rows; see `Attempt`."""
        pause = self._settings.chunk_age_seconds / 2
        while not await is_set(self._pulled, timeout_seconds=pause):
            aged = await asyncio.to_thread(self._builder.seal_aged)
            if aged is not None:
                await self._writer.put(aged)

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
