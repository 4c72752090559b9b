"""Deadlines and limits of one attempt, with a real database and a warehouse that stops where it is told to."""

from __future__ import annotations

import asyncio

import pytest

from actors.messages import Outcome
from queryfleet.results.store_memory import MemoryStore
from queryfleet.status.transitions import QueryStatus
from queryfleet.testing.scripted_warehouse import Script, ScriptedWarehouse
from tests.fixtures.executions import BATCHES, assert_nothing_left, chunks_of, lines_of

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

PATIENCE_SECONDS = 20.0


@pytest.mark.parametrize(
    ("point", "setting", "limit"),
    [
        ("connect", "connect_seconds_max", "connect_seconds"),
        ("schema", "execute_seconds_max", "execute_seconds"),
        ("batch:1", "idle_seconds_max", "idle_seconds"),
        ("batch:1", "total_seconds_max", "total_seconds"),
    ],
)
async def test_deadline_ends_the_query_and_says_which(statuses, attempt_at, point, setting, limit):
    """A warehouse that hangs is stopped after the limit, the error names it, and nothing is left behind."""
    warehouse, store = ScriptedWarehouse(Script(batches=BATCHES, pauses={point})), MemoryStore()
    execution = await attempt_at(warehouse, store, **{setting: 0.2})
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await execution.run() is Outcome.ERROR
    record = await statuses.load(execution.assignment.query_uuid)
    assert record.status is QueryStatus.ERROR
    assert record.failure.name == "TimeoutError"
    assert record.failure.details["limit"] == limit
    await assert_nothing_left(statuses, store, execution)


@pytest.mark.parametrize("rows_max", [1, 99, 100, 250])
async def test_rows_limit_cuts_the_result_and_says_so(statuses, attempt_at, rows_max):
    """The first rows are kept, the answer says that there are more, and the manifest's totals are those kept."""
    store = MemoryStore()
    execution = await attempt_at(ScriptedWarehouse(Script(batches=BATCHES)), store, result_rows_max=rows_max)
    assert await execution.run() is Outcome.READY
    record = await statuses.load(execution.assignment.query_uuid)
    chunks = await chunks_of(statuses, execution)
    stored = b"".join([await store.get(chunk.key) for chunk in chunks])
    assert stored == b"".join(lines_of(BATCHES).splitlines(keepends=True)[:rows_max])
    assert (record.row_count, record.truncated) == (rows_max, True)
    assert str(rows_max) in record.warnings[0]


async def test_rows_limit_that_is_not_exceeded_leaves_no_trace(statuses, attempt_at):
    """A result of exactly the limit is whole, and is not called cut."""
    execution = await attempt_at(ScriptedWarehouse(Script(batches=BATCHES)), MemoryStore(), result_rows_max=300)
    assert await execution.run() is Outcome.READY
    record = await statuses.load(execution.assignment.query_uuid)
    assert (record.row_count, record.truncated, record.warnings) == (300, False, ())


async def test_bytes_limit_cuts_at_a_whole_line(statuses, attempt_at):
    """No stored line is ever half a line."""
    store = MemoryStore()
    execution = await attempt_at(ScriptedWarehouse(Script(batches=BATCHES)), store, result_bytes_max=5000)
    assert await execution.run() is Outcome.READY
    record = await statuses.load(execution.assignment.query_uuid)
    stored = b"".join([await store.get(chunk.key) for chunk in await chunks_of(statuses, execution)])
    assert len(stored) <= 5000
    assert stored == lines_of(BATCHES)[: len(stored)]
    assert stored.endswith(b"\n")
    assert record.truncated
