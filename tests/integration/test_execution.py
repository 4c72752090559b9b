"""One attempt at one query, with a real database: every way it can go, and what is left of each."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest
from structlog.testing import capture_logs

from actors.messages import Outcome
from queryfleet.errors import (
    WarehouseConnectionError,
    WarehouseQueryError,
)
from queryfleet.results.chunking import manifest_key, result_prefix
from queryfleet.results.page import render_rows, schema_from_bytes
from queryfleet.results.reader import read_lines
from queryfleet.results.store_local import LocalStore
from queryfleet.results.store_memory import MemoryStore
from queryfleet.settings import Settings
from queryfleet.status.postgres import PostgresStatusStore
from queryfleet.status.transitions import QueryStatus
from queryfleet.testing.scripted_warehouse import Script, ScriptedWarehouse
from queryfleet.warehouse.duckdb import DuckDBWarehouse
from tests.fixtures.executions import (
    BATCHES,
    PATIENCE_SECONDS,
    POINTS,
    GatedStore,
    assert_nothing_left,
    batch,
    chunks_of,
    ended,
    keys_of,
    lines_of,
    reached,
    until,
)
from tests.fixtures.statuses import new_query

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


async def test_run_stores_every_row_and_ends_ready(statuses, attempt_at):
    """All rows are there, in order, in several chunks, with the manifest's copy and the columns."""
    store, warehouse = MemoryStore(), ScriptedWarehouse(Script(batches=BATCHES))
    execution = await attempt_at(warehouse, store)
    assert await execution.run() is Outcome.READY
    record = await statuses.load(execution.assignment.query_uuid)
    chunks = await chunks_of(statuses, execution)
    assert (record.status, record.row_count, record.warehouse_query_id) == (QueryStatus.READY, 300, "scripted-1")
    assert [column.reference for column in record.columns] == ["n", "t"]
    assert len(chunks) == record.chunk_count > 1
    assert await read_lines(store, chunks, 0, 300) == lines_of(BATCHES)
    assert BATCHES[0].schema.equals(schema_from_bytes(record.arrow_schema))
    manifest = json.loads(await store.get(manifest_key(record.query_uuid, 1)))
    assert [chunk.key for chunk in chunks] == [entry["key"] for entry in manifest["chunks"]]
    assert {"queueMs", "connectMs", "executeMs", "fetchMs", "finishMs", "totalMs"} == set(record.timings.milliseconds())
    assert warehouse.sessions[0].closed
    assert warehouse.sessions[0].tag == execution.assignment.tag


async def test_run_on_a_real_warehouse_gives_its_rows(statuses, attempt_at, tmp_path):
    """A hundred thousand rows of DuckDB come back from files, whole and in order, from any page."""
    path = tmp_path / "w.duckdb"
    duckdb.connect(str(path)).close()
    warehouse = DuckDBWarehouse(path=str(path), read_only=True, allow_external_access=False)
    store = LocalStore(str(tmp_path / "results"))
    statement = "select i as n, i / 7 as x, 'é' || i as t from range(100000) r(i) order by i"
    execution = await attempt_at(warehouse, store, sql=statement, batch_rows=8192)
    assert await execution.run() is Outcome.READY
    record = await statuses.load(execution.assignment.query_uuid)
    chunks = await chunks_of(statuses, execution)
    assert record.row_count == 100_000
    schema = schema_from_bytes(record.arrow_schema)
    for first_row in (0, 49_999, 99_990):
        rows = json.loads(render_rows(await read_lines(store, chunks, first_row, 10), schema))
        assert [first_row + n for n in range(10)] == [row["n"]["value"]["raw"] for row in rows]
        assert [f"é{first_row + n}" for n in range(10)] == [row["t"]["value"]["raw"] for row in rows]
    await store.close()


async def test_run_of_an_empty_result_ends_ready_with_columns(statuses, attempt_at):
    """No rows is an answer like any other: ready, with its columns and no chunk."""
    store = MemoryStore()
    execution = await attempt_at(ScriptedWarehouse(Script(schema=BATCHES[0].schema)), store)
    assert await execution.run() is Outcome.READY
    record = await statuses.load(execution.assignment.query_uuid)
    assert (record.status, record.row_count, record.chunk_count) == (QueryStatus.READY, 0, 0)
    assert [column.reference for column in record.columns] == ["n", "t"]
    assert await keys_of(store) == [manifest_key(record.query_uuid, 1)]


async def test_run_with_a_limit_asks_the_warehouse_for_no_more(statuses, attempt_at):
    """The limit reaches the warehouse, and the result has so many rows."""
    store, warehouse = MemoryStore(), ScriptedWarehouse(Script(batches=BATCHES))
    execution = await attempt_at(warehouse, store, row_limit=150)
    assert await execution.run() is Outcome.READY
    assert (await statuses.load(execution.assignment.query_uuid)).row_count == 150
    assert warehouse.sessions[0].statement.row_limit == 150


@pytest.mark.parametrize("point", POINTS)
async def test_run_with_a_failure_anywhere_ends_in_error_and_leaves_nothing(statuses, attempt_at, point):
    """Wherever the warehouse fails: its own words reach the client, and no object or reference stays."""
    store = MemoryStore()
    failure = WarehouseQueryError("no such table: x", sqlState="42P01", position=7)
    warehouse = ScriptedWarehouse(Script(batches=BATCHES, failures={point: failure}))
    execution = await attempt_at(warehouse, store)
    assert await execution.run() is Outcome.ERROR
    record = await statuses.load(execution.assignment.query_uuid)
    assert record.status is QueryStatus.ERROR
    assert (record.failure.name, record.failure.message) == ("WarehouseQueryError", "no such table: x")
    assert {"sqlState": "42P01", "position": 7} == record.failure.details
    assert warehouse.sessions[0].closed
    await assert_nothing_left(statuses, store, execution)


async def test_run_that_cannot_open_its_warehouse_ends_in_error(statuses, attempt_at):
    """A missing secret or driver is the query's error, not the actor's."""
    execution = await attempt_at(None, MemoryStore())

    def refuse():
        raise WarehouseConnectionError("The variable SHOP_PASSWORD is not set.")

    execution._open_session = refuse
    assert await execution.run() is Outcome.ERROR
    failure = (await statuses.load(execution.assignment.query_uuid)).failure
    assert failure.message == "The variable SHOP_PASSWORD is not set."


async def test_run_with_an_unexpected_error_shows_only_an_incident_number(statuses, attempt_at):
    """What nobody foresaw ends the query too, and its text stays in the log."""

    class Broken(ScriptedWarehouse):
        def open(self, tag):
            raise RuntimeError("password=geheim")

    execution = await attempt_at(Broken(Script(batches=BATCHES)), MemoryStore())
    with capture_logs() as logs:
        assert await execution.run() is Outcome.ERROR
    failure = (await statuses.load(execution.assignment.query_uuid)).failure
    (logged,) = [entry for entry in logs if entry["event"] == "query.unexpected_error"]
    assert (failure.name, failure.status) == ("UnexpectedServerError", 500)
    assert logged["incident"] in failure.message
    assert "geheim" not in failure.message + str(failure.details)


async def test_run_whose_error_cannot_be_stored_as_it_is_still_ends(statuses, attempt_at):
    """Text that the database refuses, quoted by a driver, does not keep a query from ending."""
    failure = WarehouseQueryError("bad \x00 value \ud800", value=["\x00"], number=float("nan"))
    warehouse = ScriptedWarehouse(Script(batches=BATCHES, failures={"batch:1": failure}))
    execution = await attempt_at(warehouse, MemoryStore())
    assert await execution.run() is Outcome.ERROR
    stored = (await statuses.load(execution.assignment.query_uuid)).failure
    assert stored.message == "bad \ufffd value ?"
    assert {"value": ["\ufffd"], "number": "nan"} == stored.details


@pytest.mark.parametrize("point", POINTS)
async def test_cancel_anywhere_reaches_the_warehouse_and_leaves_nothing(statuses, attempt_at, point):
    """Whatever the attempt is doing: the warehouse lets go, the query is cancelled, its rows are gone."""
    store, warehouse = MemoryStore(), ScriptedWarehouse(Script(batches=BATCHES, pauses=set(POINTS)))
    execution = await attempt_at(warehouse, store)
    running = asyncio.create_task(execution.run())
    for before in POINTS[: POINTS.index(point)]:
        (await reached(warehouse, before)).release(before)
    session = await reached(warehouse, point)
    await statuses.request_cancel(execution.assignment.query_uuid)
    await execution.cancel()
    assert await ended(running) is Outcome.CANCELLED
    record = await statuses.load(execution.assignment.query_uuid)
    assert (record.status, record.row_count) == (QueryStatus.CANCELLED, 0)
    assert session.cancelled
    assert session.closed
    await assert_nothing_left(statuses, store, execution)


async def test_cancel_before_the_start_never_opens_the_warehouse(statuses, attempt_at):
    """A query that is cancelled before its actor begins costs the warehouse nothing."""
    store, warehouse = MemoryStore(), ScriptedWarehouse(Script(batches=BATCHES))
    execution = await attempt_at(warehouse, store)
    await statuses.request_cancel(execution.assignment.query_uuid)
    await execution.cancel()
    assert await execution.run() is Outcome.CANCELLED
    assert warehouse.sessions == []
    assert (await statuses.load(execution.assignment.query_uuid)).status is QueryStatus.CANCELLED


async def test_cancel_that_nobody_passes_on_is_found_by_the_lease(statuses, attempt_at):
    """An actor that the message does not reach learns of a cancel from the database."""
    store = MemoryStore()
    warehouse = ScriptedWarehouse(Script(batches=BATCHES, pauses={"batch:1"}))
    execution = await attempt_at(warehouse, store, lease_seconds=1.0)
    running = asyncio.create_task(execution.run())
    await reached(warehouse, "batch:1")
    await statuses.request_cancel(execution.assignment.query_uuid)
    assert await ended(running) is Outcome.CANCELLED
    await assert_nothing_left(statuses, store, execution)


async def test_cancel_at_the_very_end_wins_against_ready(statuses, attempt_at):
    """A cancel that is accepted while the last bytes are written ends in cancelled, and nothing is left."""
    store = GatedStore("manifest.json")
    execution = await attempt_at(ScriptedWarehouse(Script(batches=BATCHES)), store)
    running = asyncio.create_task(execution.run())
    await until(store.waiting.is_set)
    await statuses.request_cancel(execution.assignment.query_uuid)
    store.gate.set()
    assert await ended(running) is Outcome.CANCELLED
    assert (await statuses.load(execution.assignment.query_uuid)).status is QueryStatus.CANCELLED
    await assert_nothing_left(statuses, store, execution)


async def test_cancel_after_the_end_changes_nothing(statuses, attempt_at):
    """A result that is ready stays ready, with its rows."""
    store = MemoryStore()
    execution = await attempt_at(ScriptedWarehouse(Script(batches=BATCHES)), store)
    assert await execution.run() is Outcome.READY
    assert await statuses.request_cancel(execution.assignment.query_uuid) is None
    await execution.cancel()
    assert await read_lines(store, await chunks_of(statuses, execution), 0, 300) == lines_of(BATCHES)


async def test_old_attempt_publishes_nothing_and_disturbs_nothing(statuses, attempt_at):
    """An attempt that was taken for lost and wakes up leaves no trace in the result of the next one."""
    store = MemoryStore()
    query = new_query()
    old_warehouse = ScriptedWarehouse(Script(batches=BATCHES, pauses={"batch:2"}))
    old = await attempt_at(old_warehouse, store, query=query)
    running = asyncio.create_task(old.run())
    session = await reached(old_warehouse, "batch:2")
    await until(lambda: chunks_of(statuses, old))
    await statuses.lose(query.query_uuid, 1, attempts_max=3, reason="test")
    new_batches = [batch(1000), batch(1100)]
    with ThreadPoolExecutor(1) as other_thread:
        new = await attempt_at(ScriptedWarehouse(Script(batches=new_batches)), store, query=query)
        new._executor = other_thread
        assert new.assignment.attempt == 2
        assert await new.run() is Outcome.READY
    session.release("batch:2")
    assert await ended(running) is Outcome.FENCED
    record = await statuses.load(query.query_uuid)
    assert (record.status, record.attempt, record.row_count) == (QueryStatus.READY, 2, 200)
    assert await read_lines(store, await chunks_of(statuses, new), 0, 200) == lines_of(new_batches)
    assert await chunks_of(statuses, old) == ()
    assert [key for key in await keys_of(store) if key.startswith(result_prefix(query.query_uuid, 1))] == []


async def test_old_attempt_that_only_waits_is_stopped_by_its_lease(statuses, attempt_at):
    """An attempt that lost its query does not keep the warehouse busy until it has something to write."""
    warehouse = ScriptedWarehouse(Script(batches=BATCHES, pauses={"submit"}))
    execution = await attempt_at(warehouse, MemoryStore(), lease_seconds=1.0)
    running = asyncio.create_task(execution.run())
    session = await reached(warehouse, "submit")
    await statuses.lose(execution.assignment.query_uuid, 1, attempts_max=3, reason="test")
    assert await ended(running) is Outcome.FENCED
    assert session.cancelled
    assert (await statuses.load(execution.assignment.query_uuid)).status is QueryStatus.PENDING


async def test_slow_source_shows_its_first_rows_within_a_second(statuses, attempt_at):
    """Rows of a chunk that is far from full can be read within a second of their arrival."""
    store = MemoryStore()
    warehouse = ScriptedWarehouse(Script(batches=[batch(0, 10), batch(10, 10)], pauses={"batch:0", "batch:1"}))
    defaults = {name: Settings.model_fields[name].default for name in ("chunk_bytes", "chunk_bytes_first")}
    execution = await attempt_at(warehouse, store, **defaults)
    running = asyncio.create_task(execution.run())
    session = await reached(warehouse, "batch:0")
    began = time.monotonic()
    session.release("batch:0")

    async def visible():
        record = await statuses.load(execution.assignment.query_uuid)
        return record if record.row_count >= 10 else None

    record = await until(visible)
    assert time.monotonic() - began < 1.0
    assert record.status is QueryStatus.RUNNING
    assert await read_lines(store, await chunks_of(statuses, execution), 0, 10) == lines_of([batch(0, 10)])
    session.release("batch:1")
    assert await ended(running) is Outcome.READY


async def test_chunk_that_closes_by_age_as_the_source_ends_is_not_lost(statuses, attempt_at):
    """When the last rows are being closed by their age at the moment the warehouse is done, they are stored."""
    store, warehouse = MemoryStore(), ScriptedWarehouse(Script(batches=[batch(0, 10)], pauses={"end"}))
    execution = await attempt_at(warehouse, store, chunk_bytes_first=64 * 1024)
    closed = threading.Event()
    seal_aged = execution._builder.seal_aged

    def held_back():
        sealed = seal_aged()
        if sealed is not None:
            session = warehouse.sessions[0]
            session.release("end")
            session._wait(lambda: session.closed, PATIENCE_SECONDS)
            closed.set()
        return sealed

    execution._builder.seal_aged = held_back
    assert await ended(asyncio.create_task(execution.run())) is Outcome.READY
    assert closed.is_set()
    assert (await statuses.load(execution.assignment.query_uuid)).row_count == 10
    assert await read_lines(store, await chunks_of(statuses, execution), 0, 10) == lines_of([batch(0, 10)])


async def test_run_leaves_no_task_behind(attempt_at):
    """Whatever an attempt started ends with it."""
    before = asyncio.all_tasks()
    for failures in ({}, {"batch:1": WarehouseQueryError("no")}):
        warehouse = ScriptedWarehouse(Script(batches=BATCHES, failures=failures))
        await (await attempt_at(warehouse, MemoryStore())).run()
    left = {task for task in asyncio.all_tasks() - before if "Execution" in repr(task.get_coro())}
    assert left == set()


class SlowStatuses(PostgresStatusStore):
    """A status store that takes the columns only when the test opens the gate."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.asked, self.gate = asyncio.Event(), asyncio.Event()

    async def record_fetching(self, *args, **kwargs):
        self.asked.set()
        await self.gate.wait()
        return await super().record_fetching(*args, **kwargs)


async def test_run_publishes_no_row_before_the_columns(attempt_at, statuses, migrated_url):
    """Rows are encoded and stored while the columns travel to the database, and shown only after them."""
    slow, store = SlowStatuses(migrated_url), MemoryStore()
    await slow.open()
    try:
        execution = await attempt_at(ScriptedWarehouse(Script(batches=BATCHES)), store, known=slow)
        running = asyncio.create_task(execution.run())
        await slow.asked.wait()
        await until(lambda: keys_of(store))
        assert await chunks_of(statuses, execution) == ()
        slow.gate.set()
        assert await ended(running) is Outcome.READY
        record = await statuses.load(execution.assignment.query_uuid)
        assert [column.reference for column in record.columns] == ["n", "t"]
    finally:
        await slow.close()


async def test_run_cancelled_before_its_id_is_noted_does_not_wait_for_the_warehouse(attempt_at, statuses):
    """A cancel that is learned of with the answer to a write reaches the statement, which nobody else stops."""
    store, warehouse = MemoryStore(), ScriptedWarehouse(Script(batches=BATCHES, pauses={"submit", "schema"}))
    execution = await attempt_at(warehouse, store)
    running = asyncio.create_task(execution.run())
    session = await reached(warehouse, "submit")
    await statuses.request_cancel(execution.assignment.query_uuid)
    session.release("submit")
    assert await ended(running) is Outcome.CANCELLED
    assert session.closed
    await assert_nothing_left(statuses, store, execution)
