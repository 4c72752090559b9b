"""Queries whose rows stay in the warehouse, in every status store."""

from __future__ import annotations

import pytest

from queryfleet.errors import AttemptFencedError
from queryfleet.status.transitions import QueryStatus
from tests.fixtures.statuses import chunk, claimed, shared_query

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture
def statuses(any_statuses):
    """Give each kind of store in turn."""
    return any_statuses


async def finish_unstored(statuses, record, row_count=10, **changes):
    """Publish the end of a query whose rows are kept elsewhere for a minute."""
    values = {"row_count": row_count, "ttl_seconds": 60} | changes
    await statuses.finish_unstored(record.query_uuid, record.attempt, **values)


async def test_unstored_end_has_rows_and_no_chunks(statuses):
    """The query is ready and tells rows, limit, end, and where the rows are; a repetition changes nothing."""
    record = await claimed(statuses)
    await statuses.record_executing(record.query_uuid, 1, "wh-7")
    for _ in range(2):
        await finish_unstored(statuses, record, truncated=True, warnings=["The result was cut."])
    ended = await statuses.load(record.query_uuid)
    assert (ended.status, ended.row_count, ended.chunk_count) == (QueryStatus.READY, 10, 0)
    assert (ended.truncated, ended.warnings, ended.warehouse_query_id) == (True, ("The result was cut.",), "wh-7")
    assert ended.is_unstored
    assert (ended.results_expire_at - ended.results_created_at).total_seconds() == pytest.approx(60, abs=1)
    with pytest.raises(AttemptFencedError):
        await finish_unstored(statuses, record, row_count=11)


async def test_unstored_end_without_rows_is_as_any_other(statuses):
    """Of no rows nobody asks where they are."""
    record = await claimed(statuses)
    await finish_unstored(statuses, record, row_count=0)
    ended = await statuses.load(record.query_uuid)
    assert (ended.status, ended.is_unstored) == (QueryStatus.READY, False)


async def test_unstored_end_is_refused_to_an_attempt_that_may_not(statuses):
    """An old attempt, one that is to be cancelled, and one that has stored chunks cannot end a query so."""
    lost = await claimed(statuses)
    await statuses.lose(lost.query_uuid, 1, attempts_max=3, reason="test")
    cancelled = await claimed(statuses)
    await statuses.request_cancel(cancelled.query_uuid)
    stored = await claimed(statuses)
    await statuses.commit_chunk(stored.query_uuid, 1, chunk())
    for record in (lost, cancelled, stored):
        with pytest.raises(AttemptFencedError):
            await finish_unstored(statuses, record)
        assert (await statuses.load(record.query_uuid)).status is not QueryStatus.READY


async def test_unstored_rows_are_shared_with_those_who_wait_and_nobody_later(statuses):
    """Who waited knows the warehouse's id; an equal question asked later runs."""
    record = await claimed(statuses, cache_key=b"k" * 32)
    follower = shared_query()
    await statuses.accept(follower)
    await statuses.record_executing(record.query_uuid, 1, "wh-7")
    await finish_unstored(statuses, record)
    ended = await statuses.load(follower.query_uuid)
    assert (ended.is_unstored, ended.row_count, ended.warehouse_query_id) == (True, 10, "wh-7")
    assert (await statuses.accept(shared_query())).cache_hit is False


async def test_unstored_results_expire_like_others(statuses):
    """The janitor finds them, and then they are gone."""
    record = await claimed(statuses)
    await finish_unstored(statuses, record)
    ended = await statuses.load(record.query_uuid)
    rows = await statuses.expired_results(now=ended.results_expire_at.replace(year=9000), count=10)
    assert [row["query_uuid"] for row in rows] == [record.query_uuid]
