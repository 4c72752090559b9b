"""An attempt that goes on where an earlier one was lost: one run in the warehouse, and every row once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from actors.janitor import Janitor
from actors.messages import Outcome
from queryfleet.errors import WarehouseConnectionError, WarehouseQueryError
from queryfleet.results.reader import read_lines
from queryfleet.results.store_memory import MemoryStore
from queryfleet.status.transitions import QueryStatus
from queryfleet.testing.scripted_warehouse import Script, ScriptedWarehouse
from tests.fixtures.executions import BATCHES, batch, chunks_of, ended, keys_of, lines_of, reached, until
from tests.fixtures.statuses import new_query

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

LOST = WarehouseConnectionError("The connection was lost.", transient=True)
OTHERWISE_CUT = [batch(0, 130), batch(130, 45), batch(175, 125)]  # the rows of BATCHES


def resumable(batches=BATCHES, **script):
    return ScriptedWarehouse(Script(batches=batches, resumable=True, **script))


def following(warehouse, batches=OTHERWISE_CUT, **script):
    """Return the same warehouse as another session finds it: it has what was submitted, and cuts it differently."""
    later = resumable(batches, **script)
    later.submitted = warehouse.submitted
    return later


async def rows_of(statuses, store, query):
    record = await statuses.load(query.query_uuid)
    refs = await statuses.chunks(
        record.result_query_uuid, record.result_attempt, first_row=0, end_row=max(1, record.row_count)
    )
    return await read_lines(store, refs, 0, record.row_count)


async def lost_after_a_chunk(statuses, attempt_at, store, query, warehouse, point="batch:2"):
    """Let an attempt hang after its first chunks are committed, and take the query from it."""
    execution = await attempt_at(warehouse, store, query=query)
    running = asyncio.create_task(execution.run())
    await reached(warehouse, point)
    await until(lambda: chunks_of(statuses, execution))
    attempt = execution.assignment.attempt
    assert await statuses.lose(query.query_uuid, attempt, attempts_max=5, reason="test") is QueryStatus.PENDING
    return execution, running


async def gone_after_a_chunk(statuses, attempt_at, store, query, warehouse):
    """Let an attempt commit a chunk, and lose it for good."""
    execution, running = await lost_after_a_chunk(statuses, attempt_at, store, query, warehouse)
    await execution.leave()
    assert await ended(running) is Outcome.FENCED


async def test_resume_after_a_lost_actor_runs_once_and_keeps_its_rows(statuses, attempt_at):
    """The next attempt reads on at the very next row, and the one that was thought dead spoils nothing."""
    store, query, first = MemoryStore(), new_query(), resumable(pauses={"batch:2"})
    zombie, running = await lost_after_a_chunk(statuses, attempt_at, store, query, first)
    second = await attempt_at(following(first), store, query=query)
    assert await second.run() is Outcome.READY
    first.sessions[0].release("batch:2")
    assert await ended(running) is Outcome.FENCED
    assert (first.sessions[0].left, first.sessions[0].cancelled) == (True, False)
    assert first.submitted == ["scripted-1"]
    assert await rows_of(statuses, store, query) == lines_of(BATCHES)
    assert await chunks_of(statuses, zombie) == ()
    folders = [chunk.key.split("/")[2] for chunk in await chunks_of(statuses, second)]
    assert (folders[0], folders[-1], folders) == ("1", "2", sorted(folders))
    record = await statuses.load(query.query_uuid)
    assert (record.status, record.row_count, record.attempt) == (QueryStatus.READY, 300, 2)
    assert record.warehouse_query_id == "scripted-1"


@pytest.mark.parametrize("point", ["schema", "batch:0", "batch:1", "batch:2", "end"])
async def test_resume_after_a_lost_warehouse_runs_once(statuses, attempt_at, point):
    """Wherever the connection breaks, the statement is not sent again."""
    store, query, first = MemoryStore(), new_query(), resumable(failures={point: LOST})
    assert await (await attempt_at(first, store, query=query)).run() is Outcome.LOST
    assert first.sessions[0].left
    second = await attempt_at(following(first), store, query=query)
    assert await second.run() is Outcome.READY
    assert first.submitted == ["scripted-1"]
    assert await rows_of(statuses, store, query) == lines_of(BATCHES)


async def test_resume_after_a_released_actor_runs_once(statuses, attempt_at):
    """A service that stops leaves the statement to the one that comes after it."""
    store, query, first = MemoryStore(), new_query(), resumable(pauses={"batch:2"})
    execution = await attempt_at(first, store, query=query)
    running = asyncio.create_task(execution.run())
    await reached(first, "batch:2")
    await execution.leave()
    assert await ended(running) is Outcome.FENCED
    await statuses.lose(query.query_uuid, 1, attempts_max=5, reason="test")
    second = await attempt_at(following(first), store, query=query)
    assert await second.run() is Outcome.READY
    assert first.submitted == ["scripted-1"]
    assert await rows_of(statuses, store, query) == lines_of(BATCHES)


async def test_resume_of_a_resumed_attempt_keeps_the_rows_of_both(statuses, attempt_at):
    """Three attempts, each with a part of the rows, are one result."""
    store, query, first = MemoryStore(), new_query(), resumable(pauses={"batch:2"})
    await gone_after_a_chunk(statuses, attempt_at, store, query, first)
    second = following(first, [batch(0, 10), batch(10, 200), batch(210, 90)], pauses={"batch:2"})
    await gone_after_a_chunk(statuses, attempt_at, store, query, second)
    third = await attempt_at(following(first), store, query=query)
    assert await third.run() is Outcome.READY
    assert first.submitted == ["scripted-1"]
    assert await rows_of(statuses, store, query) == lines_of(BATCHES)
    folders = {chunk.key.split("/")[2] for chunk in await chunks_of(statuses, third)}
    assert {"1", "3"} <= folders <= {"1", "2", "3"}


async def test_resume_counts_the_limit_over_all_attempts(statuses, attempt_at):
    """A limit on rows ends the result at the same row as in one go, and says so."""
    store, query, first = MemoryStore(), new_query(), resumable(failures={"batch:1": LOST})
    limited = await attempt_at(first, store, query=query, result_rows_max=150)
    assert await limited.run() is Outcome.LOST
    second = await attempt_at(following(first), store, query=query, result_rows_max=150)
    assert await second.run() is Outcome.READY
    record = await statuses.load(query.query_uuid)
    assert (record.row_count, record.truncated) == (150, True)
    assert await rows_of(statuses, store, query) == lines_of([batch(0, 150)])


async def test_resume_with_other_columns_keeps_no_row(statuses, attempt_at):
    """Rows that were stored with another schema are read again."""
    store, query, first = MemoryStore(), new_query(), resumable(pauses={"batch:2"})
    await gone_after_a_chunk(statuses, attempt_at, store, query, first)
    texts = [pa.record_batch({"n": piece.column(0).cast(pa.int32()), "t": piece.column(1)}) for piece in OTHERWISE_CUT]
    second = await attempt_at(following(first, texts), store, query=query)
    assert await second.run() is Outcome.READY
    assert await rows_of(statuses, store, query) == lines_of(BATCHES)
    assert all("/2/" in chunk.key for chunk in await chunks_of(statuses, second))


async def test_resume_where_nothing_is_left_submits_again(statuses, attempt_at):
    """A warehouse that does not know the statement any more runs it from the start."""
    store, query, first = MemoryStore(), new_query(), resumable(failures={"batch:1": LOST})
    assert await (await attempt_at(first, store, query=query)).run() is Outcome.LOST
    second = await attempt_at(resumable(query_id="scripted-2"), store, query=query)
    assert await second.run() is Outcome.READY
    assert await rows_of(statuses, store, query) == lines_of(BATCHES)
    record = await statuses.load(query.query_uuid)
    assert (record.warehouse_query_id, record.row_count) == ("scripted-2", 300)


@pytest.mark.parametrize("end", ["cancelled", "error"])
async def test_resumed_attempt_that_ends_badly_removes_everything(statuses, attempt_at, end):
    """A cancel or an error after a resume leaves nothing of any attempt."""
    store, query, first = MemoryStore(), new_query(), resumable(pauses={"batch:2"})
    await gone_after_a_chunk(statuses, attempt_at, store, query, first)
    assert await keys_of(store) != []
    fault = {"pauses": {"end"}} if end == "cancelled" else {"failures": {"end": WarehouseQueryError("boom")}}
    later = following(first, **fault)
    second = await attempt_at(later, store, query=query)
    running = asyncio.create_task(second.run())
    if end == "cancelled":
        await reached(later, "end")
        await statuses.request_cancel(query.query_uuid)
        await second.cancel()
    assert await ended(running) is Outcome(end)
    assert await keys_of(store) == []
    assert await chunks_of(statuses, second) == ()


async def test_janitor_leaves_what_a_resumed_result_needs(statuses, attempt_at):
    """Objects of a lost attempt stay while they may be kept and while they are; all go when the result expires."""
    store, query, first = MemoryStore(), new_query(), resumable(pauses={"batch:2"})
    moment = datetime.now(UTC) + timedelta(hours=3)
    janitor = Janitor(
        statuses, store, retention_seconds=9e6, orphan_seconds=3600, foreign_seconds=9e6, clock=lambda: moment
    )
    await gone_after_a_chunk(statuses, attempt_at, store, query, first)
    assert await janitor.remove_orphans() == 0
    later = following(first, pauses={"schema"})
    second = await attempt_at(later, store, query=query)
    running = asyncio.create_task(second.run())
    await reached(later, "schema")
    assert await janitor.remove_orphans() == 0
    later.sessions[0].release("schema")
    assert await ended(running) is Outcome.READY
    assert await janitor.remove_orphans() == 0
    assert await rows_of(statuses, store, query) == lines_of(BATCHES)
    moment += timedelta(days=3)
    assert await janitor.expire_results() == 1
    assert await keys_of(store) == []


async def test_lost_attempt_whose_statement_is_not_taken_over_is_cleaned_up(statuses, attempt_at):
    """What nobody keeps is an orphan once the new attempt has submitted its own statement."""
    store, query, first = MemoryStore(), new_query(), resumable(pauses={"batch:2"})
    janitor = Janitor(
        statuses, store, retention_seconds=9e6, orphan_seconds=3600, foreign_seconds=9e6,
        clock=lambda: datetime.now(UTC) + timedelta(hours=3),
    )  # fmt: skip
    await gone_after_a_chunk(statuses, attempt_at, store, query, first)
    second = await attempt_at(resumable(query_id="scripted-2"), store, query=query)
    assert await second.run() is Outcome.READY
    assert await janitor.remove_orphans() >= 1
    assert all("/2/" in key for key in await keys_of(store))
    assert await rows_of(statuses, store, query) == lines_of(BATCHES)


async def test_resume_on_snowflake_runs_once_and_keeps_its_rows(statuses, attempt_at, snowflake):
    """With Snowflake's own driver: an actor that hangs on a chunk is replaced, and the statement runs once."""
    sql = snowflake.numbers(60_000)
    store, query = MemoryStore(), new_query(sql=sql)
    first = await attempt_at(snowflake.warehouse, store, query=query, sql=sql, chunk_bytes=400_000)
    snowflake.stub("faults", chunk_delay_seconds=0.3)
    running = asyncio.create_task(first.run())
    await until(lambda: chunks_of(statuses, first))
    await statuses.lose(query.query_uuid, 1, attempts_max=5, reason="test")
    await first.leave()
    assert await ended(running) is Outcome.FENCED
    snowflake.stub("faults", chunk_delay_seconds=0.0)
    second = await attempt_at(snowflake.warehouse, store, query=query, sql=sql, chunk_bytes=400_000)
    assert second.assignment.resume is not None
    assert await second.run() is Outcome.READY
    lines = (await rows_of(statuses, store, query)).splitlines()
    assert [int(line.split(b",")[0].split(b":")[1]) for line in lines] == list(range(1, 60_001))
    folders = {chunk.key.split("/")[2] for chunk in await chunks_of(statuses, second)}
    assert folders == {"1", "2"}
    assert len(snowflake.stub.queries()) == 1
