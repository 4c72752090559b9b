"""What a replica remembers of queries, and how it waits for them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from queryfleet.errors import NotFoundError
from queryfleet.status.changes import QUERY_CHANNEL, ChangeListener
from queryfleet.status.record import QueryRecord, Timings
from queryfleet.status.transitions import Phase, QueryStatus
from serve_app.queries import Queries
from tests.strategies.chunked_results import QUERY, chunked, numbered_lines

pytestmark = pytest.mark.anyio

PROJECT = "5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c11"
OTHER = "5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c12"
USER = "0d5f6e1c-4c1c-4a62-a3f0-6ef0a2a5a001"
PATIENCE_SECONDS = 10.0
RESULT = chunked(numbered_lines(40), [10] * 4, block_rows=5)


def record(**changes):
    """Return a pending query."""
    values = {
        "query_uuid": QUERY,
        "project_uuid": PROJECT,
        "user_uuid": USER,
        "context": "sqlRunner",
        "sql": "",
        "row_limit": None,
        "status": QueryStatus.PENDING,
        "phase": Phase.QUEUED,
        "attempt": 1,
        "actor_name": None,
        "cancel_requested": False,
        "warehouse_query_id": None,
        "columns": None,
        "arrow_schema": None,
        "row_count": 0,
        "byte_count": 0,
        "chunk_count": 0,
        "failure": None,
        "warnings": (),
        "timings": Timings(created_at=datetime.now(UTC)),
        "results_expire_at": None,
        "result_query_uuid": QUERY,
        "result_attempt": 1,
    }
    return QueryRecord(**(values | changes))


class Statuses:
    """A status store of records and one result, which counts how often it is asked."""

    def __init__(self, *records):
        self.records = {one.query_uuid: one for one in records}
        self.loads = self.touches = 0
        self.ranges = []

    async def load(self, query_uuid):
        self.loads += 1
        return self.records.get(query_uuid)

    async def touch(self, query_uuid):
        self.touches += 1

    async def chunks(self, query_uuid, attempt, *, first_row, end_row):
        self.ranges.append((query_uuid, attempt, first_row, end_row))
        return tuple(
            ref for ref in RESULT.refs if ref.first_row < end_row and ref.first_row + ref.row_count > first_row
        )


@pytest.fixture
def listener():
    """A listener that is not connected: the test wakes its watchers."""
    return ChangeListener("postgresql://unused", QUERY_CHANNEL)


def queries_over(statuses, listener, *, waiters_max=10):
    """Return what is tested."""
    return Queries(statuses, listener, waiters_max=waiters_max)


async def load(queries, query_uuid=QUERY, **who):
    """Load a query as its own user does, or as somebody else."""
    return await queries.load(query_uuid, **({"project_uuid": PROJECT, "user_uuid": USER} | who))


@pytest.mark.parametrize("status", [QueryStatus.READY, QueryStatus.ERROR, QueryStatus.CANCELLED])
async def test_load_of_an_ended_query_reads_once(listener, status):
    """What cannot change any more is read once."""
    statuses = Statuses(record(status=status))
    queries = queries_over(statuses, listener)
    assert await load(queries) is await load(queries, QUERY.upper())
    assert statuses.loads == 1


@pytest.mark.parametrize("status", [QueryStatus.PENDING, QueryStatus.RUNNING])
async def test_load_of_a_living_query_reads_every_time(listener, status):
    """What can change is never remembered."""
    statuses = Statuses(record(status=status))
    queries = queries_over(statuses, listener)
    await load(queries)
    statuses.records[QUERY] = record(status=QueryStatus.READY)
    assert (await load(queries)).status is QueryStatus.READY


@pytest.mark.parametrize("who", [{"project_uuid": OTHER}, {"user_uuid": OTHER}], ids=["project", "user"])
async def test_load_by_somebody_else_is_not_found_even_from_memory(listener, who):
    """A remembered query is given to its user in its project only, and refused like one that does not exist."""
    queries = queries_over(Statuses(record(status=QueryStatus.READY)), listener)
    await load(queries)
    with pytest.raises(NotFoundError) as foreign:
        await load(queries, **who)
    with pytest.raises(NotFoundError) as unknown:
        await load(queries, OTHER)
    assert foreign.value.message == unknown.value.message


async def test_load_of_what_is_no_uuid_asks_nobody(listener):
    """Nonsense never reaches the database."""
    statuses = Statuses()
    with pytest.raises(NotFoundError):
        await load(queries_over(statuses, listener), "nonsense")
    assert statuses.loads == 0


async def test_load_remembers_a_bounded_number(listener, monkeypatch):
    """Memory stays bounded, and what was used last is kept."""
    monkeypatch.setattr("serve_app.queries._REMEMBERED_QUERIES", 2)
    names = [f"6a1de7a2-50a2-4a44-9c1f-36f4a3a0a00{n}" for n in range(3)]
    statuses = Statuses(*(record(query_uuid=name, status=QueryStatus.READY) for name in names))
    queries = queries_over(statuses, listener)
    for name in (names[0], names[1], names[0], names[2], names[0]):
        await load(queries, name)
    assert statuses.loads == 3
    await load(queries, names[1])
    assert statuses.loads == 4


async def test_load_of_a_query_that_must_be_polled_notes_it(listener):
    """Only queries that end when nobody polls cost a write."""
    statuses = Statuses(record(poll_ttl_seconds=5.0))
    await load(queries_over(statuses, listener))
    assert statuses.touches == 1
    statuses.records[QUERY] = record()
    await load(queries_over(statuses, listener))
    assert statuses.touches == 1


async def test_chunks_of_an_ended_query_are_read_once_and_whole(listener):
    """Every page after the first finds its chunks in memory."""
    statuses = Statuses()
    queries = queries_over(statuses, listener)
    ended = record(status=QueryStatus.READY, row_count=40)
    assert await queries.chunks(ended, 30, 40) == tuple(RESULT.refs)
    await queries.chunks(ended, 0, 10)
    assert statuses.ranges == [(QUERY, 1, 0, 40)]


async def test_chunks_of_a_running_query_are_those_of_the_page(listener):
    """While more is coming, only what the page needs is read, every time."""
    statuses = Statuses()
    queries = queries_over(statuses, listener)
    running = record(status=QueryStatus.RUNNING, row_count=40)
    for _ in range(2):
        assert await queries.chunks(running, 10, 20) == (RESULT.refs[1],)
    assert statuses.ranges == [(QUERY, 1, 10, 20)] * 2


async def test_chunks_of_a_shared_result_are_those_of_its_owner(listener):
    """A query that took another one's rows reads that one's chunks."""
    statuses = Statuses()
    shared = record(status=QueryStatus.READY, row_count=5, result_query_uuid=OTHER, result_attempt=3)
    await queries_over(statuses, listener).chunks(shared, 0, 5)
    assert statuses.ranges == [(OTHER, 3, 0, 5)]


async def test_chunks_remembered_stay_within_their_bytes(listener, monkeypatch):
    """Indexes of large results do not fill the memory, one that is larger than all room included."""
    monkeypatch.setattr("serve_app.queries._REMEMBERED_INDEX_BYTES", 2500)
    statuses = Statuses()
    queries = queries_over(statuses, listener)
    ended = [
        record(query_uuid=f"{n}", result_query_uuid=f"{n}", status=QueryStatus.READY, row_count=40) for n in range(4)
    ]
    for one in (*ended, ended[0], ended[3]):
        await queries.chunks(one, 0, 1)
    assert [query_uuid for query_uuid, *_ in statuses.ranges] == ["0", "1", "2", "3", "0"]
    monkeypatch.setattr("serve_app.queries._REMEMBERED_INDEX_BYTES", 10)
    assert await queries.chunks(ended[1], 0, 1) == tuple(RESULT.refs)
    assert await queries.chunks(ended[1], 0, 1) == tuple(RESULT.refs)


async def test_wait_returns_when_the_query_has_ended(listener):
    """A change wakes the waiter, who looks, and goes on waiting until it is the end."""
    statuses = Statuses(record())
    queries = queries_over(statuses, listener)
    waiting = asyncio.create_task(queries.wait(record(), until=lambda _: False, timeout_seconds=PATIENCE_SECONDS))
    while statuses.loads == 0:
        await asyncio.sleep(0)
    statuses.records[QUERY] = record(status=QueryStatus.RUNNING)
    listener.wake(QUERY)
    while statuses.loads == 1:
        await asyncio.sleep(0)
    assert not waiting.done()
    statuses.records[QUERY] = record(status=QueryStatus.READY)
    listener.wake(QUERY)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await waiting).status is QueryStatus.READY
    assert listener.watcher_count == 0


async def test_wait_returns_when_its_condition_holds(listener):
    """A caller that waits for a page is answered as soon as it is there."""
    statuses = Statuses(record())
    queries = queries_over(statuses, listener)
    waiting = asyncio.create_task(
        queries.wait(record(), until=lambda r: r.row_count >= 5, timeout_seconds=PATIENCE_SECONDS)
    )
    while statuses.loads == 0:
        await asyncio.sleep(0)
    statuses.records[QUERY] = record(status=QueryStatus.RUNNING, row_count=5)
    listener.wake(QUERY)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await waiting).row_count == 5


async def test_wait_hears_of_the_query_whose_result_it_waits_for(listener):
    """Who waits for another query's rows is woken by that query."""
    following = record(leader_uuid=OTHER)
    statuses = Statuses(following)
    queries = queries_over(statuses, listener)
    waiting = asyncio.create_task(queries.wait(following, until=lambda _: False, timeout_seconds=PATIENCE_SECONDS))
    while statuses.loads == 0:
        await asyncio.sleep(0)
    statuses.records[QUERY] = record(status=QueryStatus.READY)
    listener.wake(OTHER)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await waiting).status is QueryStatus.READY


async def test_wait_notices_a_change_whose_notification_was_lost(listener, monkeypatch):
    """Waiters look for themselves from time to time."""
    monkeypatch.setattr("serve_app.queries._LOOK_AGAIN_SECONDS", 0.01)
    statuses = Statuses(record(status=QueryStatus.READY))
    queries = queries_over(statuses, listener)
    statuses.records[QUERY] = replace(record(), status=QueryStatus.RUNNING)
    waiting = asyncio.create_task(queries.wait(record(), until=lambda _: False, timeout_seconds=PATIENCE_SECONDS))
    while statuses.loads < 2:
        await asyncio.sleep(0.001)
    statuses.records[QUERY] = record(status=QueryStatus.READY)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await waiting).status is QueryStatus.READY


async def test_wait_ends_with_its_time(listener):
    """When the time is up the query is returned as it is then."""
    statuses = Statuses(record(status=QueryStatus.RUNNING))
    queries = queries_over(statuses, listener)
    found = await queries.wait(record(), until=lambda _: False, timeout_seconds=0.01)
    assert found.status is QueryStatus.RUNNING
    assert listener.watcher_count == 0


async def test_wait_beyond_the_most_waiters_answers_at_once(listener):
    """A replica holds a bounded number of requests; one more is answered, not refused."""
    statuses = Statuses(record())
    queries = queries_over(statuses, listener, waiters_max=1)
    with listener.watch("somebody"):
        found = await queries.wait(record(), until=lambda _: False, timeout_seconds=PATIENCE_SECONDS)
    assert (found.status, statuses.loads) == (QueryStatus.PENDING, 0)
