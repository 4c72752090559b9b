"""One attempt while the store or the database is away, and when an answer is lost: rows are whole or none."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from actors.messages import Outcome
from queryfleet.errors import (
    StatusStoreError,
    WarehouseQueryError,
)
from queryfleet.results.reader import read_lines
from queryfleet.results.store_memory import MemoryStore
from queryfleet.status.transitions import QueryStatus
from queryfleet.testing.scripted_warehouse import Script, ScriptedWarehouse
from tests.fixtures.executions import (
    BATCHES,
    BrokenStore,
    ForgetfulStatuses,
    GatedStore,
    assert_nothing_left,
    batch,
    chunks_of,
    database_away,
    ended,
    lines_of,
    reached,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


async def test_store_away_for_a_while_only_delays_the_result(statuses, attempt_at):
    """While the store does not take chunks the warehouse waits, and afterwards every row is there."""
    store = GatedStore(".jsonl")
    batches = [batch(100 * number) for number in range(40)]
    warehouse = ScriptedWarehouse(Script(batches=batches))
    execution = await attempt_at(warehouse, store, chunk_bytes=64 * 1024, uploads_in_flight=1)
    running = asyncio.create_task(execution.run())
    session = await reached(warehouse, "batch:0")
    await until(store.waiting.is_set)
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(session.wait_for, "end", timeout_seconds=0.3)
    store.gate.set()
    assert await ended(running) is Outcome.READY
    assert await read_lines(store, await chunks_of(statuses, execution), 0, 4000) == lines_of(batches)


@pytest.mark.parametrize("good_puts", [0, 1, 2])
async def test_store_away_for_good_ends_in_error_and_leaves_nothing(statuses, attempt_at, good_puts):
    """A result that cannot be stored is an error that names the store, whichever object was refused."""
    store = BrokenStore(good_puts)
    execution = await attempt_at(ScriptedWarehouse(Script(batches=BATCHES)), store)
    assert await execution.run() is Outcome.ERROR
    failure = (await statuses.load(execution.assignment.query_uuid)).failure
    assert (failure.name, failure.message, failure.status) == ("S3Error", "The store is away.", 503)
    await assert_nothing_left(statuses, store, execution)


async def test_store_that_does_not_delete_does_not_keep_the_query_from_ending(statuses, attempt_at):
    """What cannot be removed now is left to be swept; the query ends and its rows cannot be read."""
    store = BrokenStore(1, deletes=False)
    execution = await attempt_at(ScriptedWarehouse(Script(batches=BATCHES)), store)
    assert await execution.run() is Outcome.ERROR
    assert await chunks_of(statuses, execution) == ()


@pytest.mark.parametrize("point", ["schema", "batch:1", "end"])
async def test_database_away_for_a_while_only_delays_the_result(
    statuses, attempt_at, postgres_server, migrated_url, point
):
    """Whatever had to be written while the database was away is written when it is back, columns included."""
    store, warehouse = MemoryStore(), ScriptedWarehouse(Script(batches=BATCHES, pauses={point}))
    execution = await attempt_at(warehouse, store)
    with capture_logs() as logs:
        running = asyncio.create_task(execution.run())
        session = await reached(warehouse, point)
        with database_away(postgres_server.url, migrated_url):
            session.release(point)
            await until(lambda: [entry for entry in logs if entry["event"] == "query.write_retried"])
        assert await ended(running) is Outcome.READY
    record = await statuses.load(execution.assignment.query_uuid)
    assert (record.status, record.row_count) == (QueryStatus.READY, 300)
    assert [column.reference for column in record.columns] == ["n", "t"]
    assert record.arrow_schema is not None
    assert await read_lines(store, await chunks_of(statuses, execution), 0, 300) == lines_of(BATCHES)


async def test_database_away_while_a_query_fails_keeps_the_reason(statuses, attempt_at, postgres_server, migrated_url):
    """The warehouse's error is recorded when the database is back, not lost."""
    failure = WarehouseQueryError("division by zero")
    script = Script(batches=BATCHES, pauses={"batch:1"}, failures={"batch:1": failure})
    warehouse = ScriptedWarehouse(script)
    execution = await attempt_at(warehouse, MemoryStore())
    with capture_logs() as logs:
        running = asyncio.create_task(execution.run())
        session = await reached(warehouse, "batch:1")
        with database_away(postgres_server.url, migrated_url):
            session.release("batch:1")
            await until(lambda: [entry for entry in logs if entry["event"] == "query.write_retried"])
        assert await ended(running) is Outcome.ERROR
    assert (await statuses.load(execution.assignment.query_uuid)).failure.message == "division by zero"


async def test_database_away_while_a_cancel_is_confirmed_never_raises(
    statuses, attempt_at, postgres_server, migrated_url
):
    """An attempt that cannot tell its end returns, and leaves the query to be found by its lease."""
    warehouse = ScriptedWarehouse(Script(batches=BATCHES, pauses={"batch:1"}))
    execution = await attempt_at(warehouse, MemoryStore())
    running = asyncio.create_task(execution.run())
    await reached(warehouse, "batch:1")
    await statuses.request_cancel(execution.assignment.query_uuid)
    with database_away(postgres_server.url, migrated_url):
        await execution.cancel()
        assert await ended(running) is Outcome.FENCED
    await until(lambda: answers(statuses))
    await statuses.lose(execution.assignment.query_uuid, 1, attempts_max=3, reason="its lease ran out")
    assert (await statuses.load(execution.assignment.query_uuid)).status is QueryStatus.CANCELLED


async def answers(statuses):
    """Tell whether the database answers again."""
    try:
        await statuses.ping()
    except StatusStoreError:
        return False
    return True


async def test_final_write_whose_answer_is_lost_counts_once(migrated_url, statuses, attempt_at):
    """The last write is repeated when nothing came back, and the result is there once."""
    forgetful = ForgetfulStatuses(migrated_url)
    await forgetful.open()
    store = MemoryStore()
    execution = await attempt_at(ScriptedWarehouse(Script(batches=BATCHES)), store, known=forgetful)
    assert await execution.run() is Outcome.READY
    assert forgetful.finishes == 2
    await forgetful.close()
    assert await read_lines(store, await chunks_of(statuses, execution), 0, 300) == lines_of(BATCHES)


async def test_final_write_whose_answer_is_lost_while_stopping_keeps_its_rows(migrated_url, statuses, attempt_at):
    """Rows of a result that was published are never deleted, though its attempt did not learn of it."""
    store = MemoryStore()
    forgetful = ForgetfulStatuses(migrated_url)
    await forgetful.open()
    execution = await attempt_at(ScriptedWarehouse(Script(batches=BATCHES)), store, known=forgetful)
    forgetful.after_finish = execution.cancel
    assert await execution.run() is Outcome.READY
    await forgetful.close()
    assert (await statuses.load(execution.assignment.query_uuid)).status is QueryStatus.READY
    assert await read_lines(store, await chunks_of(statuses, execution), 0, 300) == lines_of(BATCHES)
