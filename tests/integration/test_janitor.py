"""The janitor, on a real database, with a clock of the test's own."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from actors.janitor import Janitor
from queryfleet.results.chunking import chunk_key
from queryfleet.results.store import open_store
from queryfleet.status.record import Failure
from tests.fixtures.statuses import chunk, claimed, finish, new_query

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

DAY = 86_400


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self):
        self.now = datetime.now(UTC)

    def __call__(self):
        return self.now

    def pass_seconds(self, seconds):
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def store():
    store = open_store(f"memory://{uuid.uuid4().hex}")
    yield store
    await store.close()


@pytest.fixture
def janitor(statuses, store, clock):
    return Janitor(
        statuses, store, retention_seconds=30 * DAY, orphan_seconds=3600, foreign_seconds=2 * DAY, clock=clock
    )


async def keys(store):
    return sorted([info.key async for info in store.list("")])


async def stored(statuses, store, **changes):
    record = await claimed(statuses, **changes)
    key = chunk_key(record.query_uuid, record.attempt, 0)
    await store.put(key, b"x" * 100)
    return record, key


async def ready(statuses, store, **changes):
    record, key = await stored(statuses, store, **changes)
    await finish(statuses, record, (chunk(),), row_count=10, byte_count=100, chunk_count=1)
    return record, key


async def test_expired_result_loses_objects_then_rows(statuses, store, clock, janitor):
    """A result is kept until it expires, and is gone after; the query itself stays in the history."""
    record, key = await ready(statuses, store)
    assert (await janitor.expire_results(), await keys(store)) == (0, [key])
    clock.pass_seconds(61)
    assert (await janitor.expire_results(), await keys(store)) == (1, [])
    after = await statuses.load(record.query_uuid)
    assert after.objects_deleted
    assert await statuses.chunks(record.query_uuid, 1, first_row=0, end_row=10) == ()
    assert await janitor.expire_results() == 0


async def test_shared_result_is_removed_once_and_both_queries_say_so(statuses, store, clock, janitor):
    """A query that used another one's rows expires with them."""
    await ready(statuses, store, cache_key=b"k" * 32)
    hit = new_query(cache_key=b"k" * 32)
    await statuses.accept(hit)
    clock.pass_seconds(61)
    assert (await janitor.expire_results(), await keys(store)) == (2, [])
    assert (await statuses.load(hit.query_uuid)).objects_deleted


async def test_orphan_of_a_lost_attempt_goes_and_what_is_needed_stays(statuses, store, clock, janitor):
    """Objects of an attempt that was overtaken are removed; those of the running one and of a ready one are not."""
    _, kept = await ready(statuses, store)
    record, orphan = await stored(statuses, store)
    await statuses.lose(record.query_uuid, record.attempt, attempts_max=3, reason="test")
    await statuses.claim(record.query_uuid, "query-b", lease_seconds=30)
    current = chunk_key(record.query_uuid, 2, 0)
    await store.put(current, b"y")
    assert await janitor.remove_orphans() == 0
    clock.pass_seconds(3700)
    assert await janitor.remove_orphans() == 1
    assert await keys(store) == sorted([kept, current])
    assert orphan not in await keys(store)


async def test_orphan_of_a_failed_query_goes(statuses, store, clock, janitor):
    """A query that could not clean up after itself leaves nothing for ever."""
    record, _ = await stored(statuses, store)
    await statuses.fail(record.query_uuid, record.attempt, Failure(name="X", message="m"))
    clock.pass_seconds(3700)
    assert (await janitor.remove_orphans(), await keys(store)) == (1, [])


async def test_objects_of_another_service_are_left_alone_while_young(store, clock, janitor):
    """What the database does not know may be somebody else's; only what is older than any result goes."""
    foreign = chunk_key(str(uuid.uuid4()), 1, 0)
    other = "exports/report.csv"
    for key in (foreign, other):
        await store.put(key, b"x")
    clock.pass_seconds(DAY)
    assert await janitor.remove_orphans() == 0
    clock.pass_seconds(1.1 * DAY)
    assert (await janitor.remove_orphans(), await keys(store)) == (1, [other])


async def test_old_history_goes_only_after_its_rows(statuses, store, clock, janitor):
    """A query is forgotten after the retention time, and never before its objects are gone."""
    record, _ = await ready(statuses, store)
    clock.pass_seconds(31 * DAY)
    cleaned = await janitor.clean()
    assert (cleaned.results, cleaned.queries) == (1, 1)
    assert await statuses.load(record.query_uuid) is None


async def test_live_queries_are_never_forgotten(statuses, store, clock, janitor):
    """However long it takes, a query that waits or runs stays."""
    waiting = new_query()
    await statuses.accept(waiting)
    running, key = await stored(statuses, store)
    clock.pass_seconds(400 * DAY)
    await janitor.clean()
    assert await keys(store) == [key]
    assert await statuses.load(waiting.query_uuid) is not None
    assert await statuses.load(running.query_uuid) is not None
