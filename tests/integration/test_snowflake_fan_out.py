"""Large results of Snowflake, fetched by many: the same rows as by one, with one run in the warehouse."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from actors import fan_out
from actors.fan_out import fetch_group
from actors.messages import Outcome
from queryfleet.errors import StorageError
from queryfleet.results.reader import read_lines
from queryfleet.results.store_memory import MemoryStore
from queryfleet.warehouse.base import Statement
from tests.fixtures.executions import chunks_of, ended, until
from tests.fixtures.statuses import new_query
from tests.fixtures.warehouses import TAG

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

ROWS = 60_000


@pytest.fixture(autouse=True)
def _small_results_count_as_large(monkeypatch):
    monkeypatch.setattr(fan_out, "FAN_OUT_BYTES", 1)


class Elsewhere:
    """Fetches like a process on another node: all it has is what can be pickled."""

    def __init__(self, store):
        self.groups = []
        self._store = store

    async def __call__(self, group):
        self.groups.append(group)
        return await fetch_group(pickle.loads(pickle.dumps(group)), self._store)


async def numbers_of(statuses, store, query_uuid):
    record = await statuses.load(query_uuid)
    refs = await statuses.chunks(query_uuid, record.attempt, first_row=0, end_row=record.row_count)
    lines = (await read_lines(store, refs, 0, record.row_count)).splitlines()
    return [int(line.split(b",")[0].split(b":")[1]) for line in lines]


async def test_fan_out_of_a_result_gives_every_row_in_order(statuses, attempt_at, snowflake):
    """Tasks without a session read the chunks, and the result is what one actor would have stored."""
    store = MemoryStore()
    elsewhere = Elsewhere(store)
    attempt = await attempt_at(
        snowflake.warehouse, store, sql=snowflake.numbers(ROWS), fetch=elsewhere, chunk_bytes=1_500_000
    )
    assert await attempt.run() is Outcome.READY
    assert [group.index for group in elsewhere.groups] == [0, 1, 2]
    assert await numbers_of(statuses, store, attempt.assignment.query_uuid) == list(range(1, ROWS + 1))
    assert len(snowflake.stub.queries()) == 1


async def test_fan_out_renews_links_and_repeats_what_failed(statuses, attempt_at, snowflake):
    """Links that expire before a task uses them, and a store that fails once, cost a repeat each."""
    store = MemoryStore()
    elsewhere = Elsewhere(store)

    async def fetch(group):
        if not elsewhere.groups:
            snowflake.stub("faults", expired_links=True)
        if len(elsewhere.groups) == 6:
            elsewhere.groups.append(group)
            raise StorageError("The store is away.")
        return await elsewhere(group)

    attempt = await attempt_at(
        snowflake.warehouse, store, sql=snowflake.numbers(ROWS), fetch=fetch, chunk_bytes=1_500_000
    )
    assert await attempt.run() is Outcome.READY
    assert await numbers_of(statuses, store, attempt.assignment.query_uuid) == list(range(1, ROWS + 1))
    assert len(snowflake.stub.queries()) == 1


async def test_fan_out_switched_off_fetches_alone(statuses, attempt_at, snowflake, monkeypatch):
    """Without anybody to fetch, or with a result that is not large, or a limit to count, the actor does it all."""
    for options in ({"result_rows_max": ROWS}, {"fetch": None}, {}):
        store = MemoryStore()
        elsewhere = Elsewhere(store)
        if not options:
            monkeypatch.setattr(fan_out, "FAN_OUT_BYTES", 1 << 40)
        attempt = await attempt_at(
            snowflake.warehouse, store, sql=snowflake.numbers(ROWS), **({"fetch": elsewhere} | options)
        )
        assert await attempt.run() is Outcome.READY
        assert elsewhere.groups == []
        assert len(await numbers_of(statuses, store, attempt.assignment.query_uuid)) == ROWS


async def test_fan_out_after_a_lost_actor_fetches_what_is_missing(statuses, attempt_at, snowflake):
    """An attempt that takes over fans out the rest only."""
    store, sql = MemoryStore(), snowflake.numbers(ROWS)
    query = new_query(sql=sql)
    first = await attempt_at(snowflake.warehouse, store, query=query, sql=sql, chunk_bytes=400_000)
    snowflake.stub("faults", chunk_delay_seconds=0.3)
    running = asyncio.create_task(first.run())
    kept = await until(lambda: chunks_of(statuses, first))
    await statuses.lose(query.query_uuid, 1, attempts_max=5, reason="test")
    await first.leave()
    await ended(running)
    snowflake.stub("faults", chunk_delay_seconds=0.0)
    elsewhere = Elsewhere(store)
    second = await attempt_at(snowflake.warehouse, store, query=query, sql=sql, fetch=elsewhere, chunk_bytes=400_000)
    assert await second.run() is Outcome.READY
    assert elsewhere.groups[0].first_row >= kept[-1].first_row + kept[-1].row_count
    assert await numbers_of(statuses, store, query.query_uuid) == list(range(1, ROWS + 1))
    assert len(snowflake.stub.queries()) == 1


async def test_cancel_of_a_fan_out_leaves_nothing(statuses, attempt_at, snowflake):
    """A query cancelled while tasks fetch ends soon, and what they stored is removed."""
    store = MemoryStore()
    begun = asyncio.Event()

    async def fetch(group):
        if group.index > 0:
            begun.set()
            await asyncio.Event().wait()
        return await fetch_group(group, store)

    attempt = await attempt_at(
        snowflake.warehouse, store, sql=snowflake.numbers(ROWS), fetch=fetch, chunk_bytes=1_500_000
    )
    running = asyncio.create_task(attempt.run())
    await begun.wait()
    await statuses.request_cancel(attempt.assignment.query_uuid)
    await attempt.cancel()
    assert await ended(running) is Outcome.CANCELLED
    assert [info async for info in store.list("")] == []


@pytest.mark.parametrize(("first_row", "end_row"), [(0, None), (0, 1), (999, 1001), (12_345, 45_678), (ROWS - 1, None)])
def test_partitions_hold_exactly_the_rows_asked_for(snowflake, first_row, end_row):
    """Pieces can be pickled, are cut to the row, and are read without the session."""
    with snowflake.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=snowflake.numbers(ROWS)))
        schema = session.schema()
        pieces = pickle.loads(pickle.dumps(session.partitions(first_row=first_row, end_row=end_row)))
    batches = [piece.read() for piece in pieces]
    assert all(batch.schema == schema for batch in batches)
    assert [piece.row_count for piece in pieces] == [batch.num_rows for batch in batches]
    numbers = [n for batch in batches for n in batch.column(0).to_pylist()]
    assert numbers == list(range(first_row + 1, (end_row or ROWS) + 1))
