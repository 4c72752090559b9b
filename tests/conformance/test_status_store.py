"""What every status store promises."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from queryfleet.errors import AttemptFencedError, ConflictError, NotFoundError, TooManyRequestsError
from queryfleet.model import Column, ColumnType
from queryfleet.status.admission import claim_order
from queryfleet.status.record import Failure, HistoryEntry, HistoryFilter, Resume, StoredRows
from queryfleet.status.transitions import Phase, QueryStatus
from tests.fixtures.statuses import PROJECT, USER, age, chunk, claimed, finish, new_query, shared_query

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture
def statuses(any_statuses):
    """Give each kind of store in turn."""
    return any_statuses


async def test_load_many_gives_each_query_once_as_load_does(statuses):
    """Many queries are read at once, those that wait for another one included; unknown ones are left out."""
    leader = await claimed(statuses, cache_key=b"k" * 32)
    follower = new_query(cache_key=b"k" * 32)
    await statuses.accept(follower)
    asked = [leader.query_uuid, follower.query_uuid, str(uuid.uuid4()), leader.query_uuid]
    found = {record.query_uuid: record for record in await statuses.load_many(asked)}
    assert found == {query_uuid: await statuses.load(query_uuid) for query_uuid in asked[:2]}
    assert await statuses.load_many([]) == []


async def test_accept_then_load_gives_a_pending_query(statuses):
    """What was accepted can be read back."""
    query = new_query(row_limit=7)
    acceptance = await statuses.accept(query)
    record = await statuses.load(query.query_uuid)
    assert (acceptance.query_uuid, acceptance.created) == (query.query_uuid, True)
    assert (record.status, record.phase, record.attempt) == (QueryStatus.PENDING, Phase.QUEUED, 0)
    assert (record.row_limit, record.columns, record.failure) == (7, None, None)


async def test_accept_of_unknown_project_is_not_found(statuses):
    """A query cannot be stored in a project that is not there."""
    with pytest.raises(NotFoundError):
        await statuses.accept(new_query(project_uuid=str(uuid.uuid4())))


async def test_accept_repeated_with_one_key_gives_the_first_query(statuses):
    """The same request under the same key runs once, however often and however parallel it is sent."""
    outcomes = await asyncio.gather(*(statuses.accept(new_query(idempotency_key="k")) for _ in range(8)))
    assert len({outcome.query_uuid for outcome in outcomes}) == 1
    assert sum(outcome.created for outcome in outcomes) == 1


async def test_accept_with_one_key_for_two_requests_conflicts(statuses):
    """A key names one request only."""
    await statuses.accept(new_query(idempotency_key="k", request_hash=b"one"))
    with pytest.raises(ConflictError):
        await statuses.accept(new_query(idempotency_key="k", request_hash=b"two"))


async def test_claim_takes_each_query_once(statuses):
    """Parallel claims never give one query to two actors."""
    query = new_query()
    await statuses.accept(query)
    claims = (statuses.claim(query.query_uuid, f"query-{n}", lease_seconds=30) for n in range(8))
    records = await asyncio.gather(*claims)
    assert sum(record is not None for record in records) == 1


async def test_waiting_shows_each_users_oldest_and_running_shows_slots(statuses):
    """The scheduler sees everybody's next queries, however many one of them has."""
    other = str(uuid.uuid4())
    queries = [new_query() for _ in range(4)] + [new_query(user_uuid=other)]
    for query in queries:
        await statuses.accept(query)
    await statuses.claim(queries[0].query_uuid, "query-a", lease_seconds=30)
    waiting = await statuses.waiting(per_user=2)
    assert {query.query_uuid for query in waiting} == {queries[n].query_uuid for n in (1, 2, 4)}
    assert [(slot.project_uuid, slot.user_uuid) for slot in await statuses.running()] == [(PROJECT, USER)]


async def test_queue_position_counts_from_one_in_claim_order(statuses):
    """What a client is told is the order in which queries are claimed."""
    queries = [new_query() for _ in range(3)]
    for query in queries:
        await statuses.accept(query)
    assert [await statuses.queue_position(query.query_uuid) for query in queries] == [1, 2, 3]
    await statuses.claim(queries[0].query_uuid, "query-a", lease_seconds=30)
    assert [await statuses.queue_position(query.query_uuid) for query in queries] == [None, 1, 2]


async def test_whole_life_is_recorded(statuses):
    """Phases, columns, chunks and totals are there at the end, with a duration for each phase."""
    record = await claimed(statuses)
    ids = (record.query_uuid, record.attempt)
    assert (await statuses.record_executing(*ids, "wh-1")).current
    columns = [Column(reference="n", type=ColumnType.NUMBER)]
    assert (await statuses.record_fetching(*ids, columns=columns, arrow_schema=b"schema")).current
    await statuses.commit_chunk(*ids, chunk())
    assert (await statuses.record_finishing(*ids)).current
    await finish(statuses, record, (chunk(1, 10, 5),), row_count=15, byte_count=200, chunk_count=2)
    ended = await statuses.load(record.query_uuid)
    assert ended.status is QueryStatus.READY
    assert (ended.row_count, ended.byte_count, ended.chunk_count) == (15, 200, 2)
    assert (ended.columns, ended.arrow_schema, ended.warehouse_query_id) == (tuple(columns), b"schema", "wh-1")
    assert set(ended.timings.milliseconds()) == {
        "queueMs", "connectMs", "executeMs", "fetchMs", "finishMs", "totalMs",
    }  # fmt: skip


async def test_chunks_of_a_row_range_are_just_those_that_hold_it(statuses):
    """A page reads the references it needs and no others."""
    record = await claimed(statuses)
    for index in range(4):
        await statuses.commit_chunk(record.query_uuid, record.attempt, chunk(index, index * 10, 10))

    async def found(first, end):
        refs = await statuses.chunks(record.query_uuid, record.attempt, first_row=first, end_row=end)
        return [ref.index for ref in refs]

    assert await found(0, 1) == [0]
    assert await found(9, 11) == [0, 1]
    assert await found(10, 30) == [1, 2]
    assert await found(39, 100) == [3]
    assert (await statuses.chunks(record.query_uuid, record.attempt, first_row=0, end_row=1))[0] == chunk(0, 0, 10)


async def test_commit_out_of_order_is_refused(statuses):
    """A gap in a result can never be published."""
    record = await claimed(statuses)
    with pytest.raises(AttemptFencedError):
        await statuses.commit_chunk(record.query_uuid, record.attempt, chunk(1, 10, 10))


async def lost_with_chunks(statuses, *, count=2):
    """Return the second attempt at a query whose first one committed chunks and was lost."""
    record = await claimed(statuses)
    uuid_ = record.query_uuid
    await statuses.record_executing(uuid_, 1, "w-1")
    columns = (Column(reference="n", type=ColumnType.NUMBER),)
    await statuses.record_fetching(uuid_, 1, columns=columns, arrow_schema=b"schema")
    for index in range(count):
        await statuses.commit_chunk(uuid_, 1, chunk(index, 10 * index, 10, uuid_))
    assert await statuses.lose(uuid_, 1, attempts_max=9, reason="test") is QueryStatus.PENDING
    return await statuses.claim(uuid_, "b", lease_seconds=30)


async def test_claim_after_a_loss_tells_what_was_left(statuses):
    """The next attempt learns statement, attempt and schema, and begins without a row."""
    record = await lost_with_chunks(statuses)
    assert record.resume == Resume(query_id="w-1", attempt=1, arrow_schema=b"schema")
    assert (record.warehouse_query_id, record.row_count, record.chunk_count) == (None, 0, 0)
    assert await statuses.known_attempts([record.query_uuid]) == {record.query_uuid: range(1, 3)}
    first = await claimed(statuses)
    assert first.resume is None


async def test_claim_after_two_losses_tells_of_the_attempt_that_reached_the_warehouse(statuses):
    """An attempt that was lost before it got anywhere changes nothing in what can be taken over."""
    record = await lost_with_chunks(statuses)
    await statuses.lose(record.query_uuid, 2, attempts_max=9, reason="test")
    third = await statuses.claim(record.query_uuid, "c", lease_seconds=30)
    assert (third.attempt, third.resume) == (3, record.resume)


async def test_keep_chunks_makes_them_the_first_ones_once(statuses):
    """Kept chunks count, later ones follow them, and a repeat after a lost answer changes nothing."""
    record = await lost_with_chunks(statuses)
    uuid_ = record.query_uuid
    await statuses.record_executing(uuid_, 2, "w-1")
    for _ in range(2):
        await statuses.keep_chunks(uuid_, 2, from_attempt=1, chunk_count=2)
    now = await statuses.load(uuid_)
    assert (now.row_count, now.byte_count, now.chunk_count, now.warehouse_query_id) == (20, 200, 2, "w-1")
    last = chunk(2, 20, 10, uuid_, 2)
    await statuses.commit_chunk(uuid_, 2, last)
    await statuses.keep_chunks(uuid_, 2, from_attempt=1, chunk_count=2)
    await finish(statuses, now, (), row_count=30, byte_count=300, chunk_count=3)
    kept = await statuses.chunks(uuid_, 2, first_row=0, end_row=30)
    assert kept == (chunk(0, 0, 10, uuid_), chunk(1, 10, 10, uuid_), last)
    assert await statuses.chunks(uuid_, 1, first_row=0, end_row=30) == ()
    assert await statuses.known_attempts([uuid_]) == {uuid_: range(1, 3)}


@pytest.mark.parametrize("wrong", [{"attempt": 1}, {"attempt": 3}, {"from_attempt": 2}, {"chunk_count": 1}])
async def test_keep_chunks_of_something_else_is_refused(statuses, wrong):
    """Only the current attempt keeps chunks, and only exactly those that were left to it."""
    record = await lost_with_chunks(statuses)
    values = {"attempt": 2, "from_attempt": 1, "chunk_count": 2} | wrong
    attempt = values.pop("attempt")
    with pytest.raises(AttemptFencedError):
        await statuses.keep_chunks(record.query_uuid, attempt, **values)
    assert (await statuses.load(record.query_uuid)).chunk_count == 0
    assert len(await statuses.chunks(record.query_uuid, 1, first_row=0, end_row=20)) == 2


@pytest.mark.parametrize("then", ["cancel", "other statement"])
async def test_keep_chunks_too_late_is_refused(statuses, then):
    """After a cancel, or once the attempt has a statement of its own, nothing is kept."""
    record = await lost_with_chunks(statuses)
    if then == "cancel":
        await statuses.request_cancel(record.query_uuid)
    else:
        await statuses.record_executing(record.query_uuid, 2, "w-2")
        assert await statuses.known_attempts([record.query_uuid]) == {record.query_uuid: range(2, 3)}
    with pytest.raises(AttemptFencedError):
        await statuses.keep_chunks(record.query_uuid, 2, from_attempt=1, chunk_count=2)


async def test_commit_repeated_counts_once(statuses):
    """A commit whose answer was lost can be sent again."""
    record = await claimed(statuses)
    for _ in range(2):
        await statuses.commit_chunk(record.query_uuid, record.attempt, chunk())
    assert (await statuses.load(record.query_uuid)).row_count == 10


async def test_finish_with_wrong_totals_is_refused_and_publishes_nothing(statuses):
    """A result is never called complete when its chunks do not add up, and its last chunk does not appear either."""
    record = await claimed(statuses)
    with pytest.raises(AttemptFencedError):
        await finish(statuses, record, (chunk(),), row_count=11, byte_count=100, chunk_count=1)
    after = await statuses.load(record.query_uuid)
    assert (after.status, after.chunk_count) == (QueryStatus.RUNNING, 0)


async def test_finish_repeated_is_accepted(statuses):
    """A final write whose answer was lost can be sent again."""
    record = await claimed(statuses)
    for _ in range(2):
        await finish(statuses, record, (chunk(),), row_count=10, byte_count=100, chunk_count=1)
    assert (await statuses.load(record.query_uuid)).status is QueryStatus.READY


async def test_old_attempt_can_write_nothing(statuses):
    """An actor thought dead does no harm when it wakes up."""
    old = await claimed(statuses)
    await statuses.lose(old.query_uuid, old.attempt, attempts_max=3, reason="test")
    new = await statuses.claim(old.query_uuid, "query-b", lease_seconds=30)
    assert new.attempt == 2
    assert not (await statuses.renew(old.query_uuid, old.attempt, lease_seconds=30)).current
    assert not (await statuses.record_executing(old.query_uuid, old.attempt, "x")).current
    with pytest.raises(AttemptFencedError):
        await statuses.commit_chunk(old.query_uuid, old.attempt, chunk())
    with pytest.raises(AttemptFencedError):
        await finish(statuses, old)
    assert not await statuses.fail(old.query_uuid, old.attempt, Failure(name="X", message="late"))
    assert (await statuses.load(old.query_uuid)).status is QueryStatus.RUNNING


async def test_lost_too_often_ends_in_error(statuses):
    """A query that kills its actors does not do so for ever."""
    record = await claimed(statuses)
    status = await statuses.lose(record.query_uuid, record.attempt, attempts_max=1, reason="its process died")
    ended = await statuses.load(record.query_uuid)
    assert (status, ended.status) == (QueryStatus.ERROR, QueryStatus.ERROR)
    assert "its process died" in ended.failure.message


async def test_expired_lease_is_found(statuses):
    """An actor that is not heard of is noticed, unless it is heard of again before its query is taken from it."""
    query = new_query()
    await statuses.accept(query)
    await statuses.claim(query.query_uuid, "query-a", lease_seconds=-1)
    await claimed(statuses)  # its lease has not run out
    assert [row["query_uuid"] for row in await statuses.expired_leases()] == [query.query_uuid]
    assert (await statuses.renew(query.query_uuid, 1, lease_seconds=30)).current
    assert await statuses.expired_leases() == []


async def test_cancel_of_pending_ends_it_at_once(statuses):
    """A query that was not started never starts."""
    query = new_query()
    await statuses.accept(query)
    assert (await statuses.request_cancel(query.query_uuid)).status is QueryStatus.CANCELLED
    assert await statuses.claim(query.query_uuid, "query-a", lease_seconds=30) is None


async def test_cancel_of_running_wins_against_finish(statuses):
    """Once a cancel is accepted the query cannot become ready any more."""
    record = await claimed(statuses)
    await statuses.request_cancel(record.query_uuid)
    assert (await statuses.renew(record.query_uuid, record.attempt, lease_seconds=30)).cancel_requested
    with pytest.raises(AttemptFencedError):
        await finish(statuses, record)
    assert await statuses.confirm_cancel(record.query_uuid, record.attempt, warning="late")
    ended = await statuses.load(record.query_uuid)
    assert (ended.status, ended.warnings) == (QueryStatus.CANCELLED, ("late",))


async def test_cancel_of_ended_changes_nothing(statuses):
    """Terminal states are final."""
    record = await claimed(statuses)
    await finish(statuses, record)
    assert await statuses.request_cancel(record.query_uuid) is None
    assert (await statuses.load(record.query_uuid)).status is QueryStatus.READY


async def test_error_keeps_name_message_and_details(statuses):
    """A client can read everything the warehouse said."""
    record = await claimed(statuses)
    failure = Failure(name="WarehouseQueryError", message="no such table", status=400, details={"sqlState": "42P01"})
    assert await statuses.fail(record.query_uuid, record.attempt, failure)
    assert (await statuses.load(record.query_uuid)).failure == failure


async def test_token_is_found_by_hash_with_its_roles(statuses):
    """A token leads to its user and projects; an unknown one to nothing."""
    await statuses.put_token(
        token_uuid=str(uuid.uuid4()), token_hash=b"h", user_uuid=USER, name="n", roles={PROJECT: "editor"}
    )
    row = await statuses.load_token(b"h")
    assert (row["user_uuid"], row["roles"]) == (USER, {PROJECT: "editor"})
    assert await statuses.load_token(b"other") is None


async def test_equal_queries_at_once_have_one_leader(statuses):
    """Fifty equal questions at the same time are one run, and all get its rows."""
    queries = [shared_query() for _ in range(50)]
    await asyncio.gather(*(statuses.accept(query) for query in queries))
    (leader,) = await statuses.waiting()
    record = await statuses.claim(leader.query_uuid, "query-a", lease_seconds=30)
    await finish(statuses, record, (chunk(),), row_count=10, byte_count=100, chunk_count=1)
    for query in queries:
        ended = await statuses.load(query.query_uuid)
        assert (ended.status, ended.row_count) == (QueryStatus.READY, 10)
        assert (ended.result_query_uuid, ended.result_attempt) == (leader.query_uuid, 1)


async def test_follower_shows_what_its_leader_is_doing(statuses):
    """Who waits for another query's result sees its progress and can read its pages."""
    record = await claimed(statuses, cache_key=b"k" * 32)
    follower = shared_query()
    await statuses.accept(follower)
    columns = [Column(reference="n", type=ColumnType.NUMBER)]
    await statuses.record_fetching(record.query_uuid, record.attempt, columns=columns, arrow_schema=b"s")
    await statuses.commit_chunk(record.query_uuid, record.attempt, chunk())
    seen = await statuses.load(follower.query_uuid)
    assert (seen.query_uuid, seen.status, seen.phase) == (follower.query_uuid, QueryStatus.RUNNING, Phase.FETCHING)
    assert (seen.row_count, seen.columns, seen.arrow_schema) == (10, tuple(columns), b"s")
    assert (seen.result_query_uuid, seen.result_attempt) == (record.query_uuid, 1)


async def test_later_equal_query_is_a_cache_hit_until_it_expires(statuses):
    """Rows that are there are used, with their age; not when they are about to expire, and not when told not to."""
    record = await claimed(statuses, cache_key=b"k" * 32)
    await finish(statuses, record, (chunk(),), row_count=10, byte_count=100, chunk_count=1)
    hit = shared_query()
    assert (await statuses.accept(hit)).cache_hit
    seen = await statuses.load(hit.query_uuid)
    assert (seen.status, seen.cache_hit, seen.result_query_uuid) == (QueryStatus.READY, True, record.query_uuid)
    original = await statuses.load(record.query_uuid)
    assert seen.results_expire_at == original.results_expire_at
    assert not (await statuses.accept(shared_query(cache_margin_seconds=3600.0))).cache_hit
    fresh = shared_query(use_cache=False)
    assert not (await statuses.accept(fresh)).cache_hit
    assert (await statuses.load(fresh.query_uuid)).leader_uuid is None


async def test_error_of_the_leader_reaches_its_followers(statuses):
    """Who waited for a result learns why there is none."""
    record = await claimed(statuses, cache_key=b"k" * 32)
    follower = shared_query()
    await statuses.accept(follower)
    failure = Failure(name="WarehouseQueryError", message="no such table", status=400)
    await statuses.fail(record.query_uuid, record.attempt, failure)
    assert (await statuses.load(follower.query_uuid)).failure == failure


async def test_cancel_of_the_leader_lets_a_follower_run(statuses):
    """One person's cancel does not take the result from the others."""
    record = await claimed(statuses, cache_key=b"k" * 32)
    followers = [shared_query() for _ in range(3)]
    for follower in followers:
        await statuses.accept(follower)
    await statuses.request_cancel(record.query_uuid)
    await statuses.confirm_cancel(record.query_uuid, record.attempt)
    (heir,) = await statuses.waiting()
    assert heir.query_uuid == followers[0].query_uuid
    again = await statuses.claim(heir.query_uuid, "query-b", lease_seconds=30)
    await finish(statuses, again)
    states = [(await statuses.load(follower.query_uuid)).status for follower in followers]
    assert [QueryStatus.READY] * 3 == states


async def test_cancel_of_a_follower_leaves_the_leader_alone(statuses):
    """A person can only cancel their own wait."""
    record = await claimed(statuses, cache_key=b"k" * 32)
    follower = shared_query()
    await statuses.accept(follower)
    await statuses.request_cancel(follower.query_uuid)
    assert (await statuses.load(follower.query_uuid)).status is QueryStatus.CANCELLED
    assert (await statuses.load(record.query_uuid)).status is QueryStatus.RUNNING


async def test_accept_beyond_the_queue_limit_is_refused(statuses):
    """A full queue says so at once, with a time to come back."""
    for _ in range(3):
        await statuses.accept(new_query(queue_max=3))
    with pytest.raises(TooManyRequestsError) as caught:
        await statuses.accept(new_query(queue_max=3))
    assert caught.value.details["retryAfterSeconds"] > 0


async def test_accept_of_many_at_once_never_exceeds_the_queue_limit(statuses):
    """Requests that arrive in the same moment count one another."""
    waiting = 0
    for limit in range(2, 120, 2):
        answers = await asyncio.gather(
            *(statuses.accept(new_query(queue_max=limit)) for _ in range(8)), return_exceptions=True
        )
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert {type(error) for error in refused} == {TooManyRequestsError}
        waiting += len(answers) - len(refused)
        assert waiting == limit


async def test_queue_overdue_and_abandoned_are_found(statuses):
    """Queries that waited too long, and those that nobody polls any more, are told."""
    kept, polled = new_query(), new_query(poll_ttl_seconds=0.000001)
    await statuses.accept(kept)
    await statuses.accept(polled)
    overdue = {row["query_uuid"] for row in await statuses.queue_overdue(queue_seconds=0.0)}
    assert overdue == {kept.query_uuid, polled.query_uuid}
    assert await statuses.queue_overdue(queue_seconds=3600.0) == []
    assert [row["query_uuid"] for row in await statuses.abandoned()] == [polled.query_uuid]


async def test_accept_of_a_follower_into_a_full_queue_is_welcome(statuses):
    """Who shares another query's run takes no place in the queue."""
    for _ in range(2):
        assert (await statuses.accept(shared_query(queue_max=1))).created
    with pytest.raises(TooManyRequestsError):
        await statuses.accept(new_query(queue_max=1))


async def test_late_note_moves_no_phase_back(statuses):
    """A note that overtook another one stays, and the moment of each is that of its first note."""
    record = await claimed(statuses)
    ids = (record.query_uuid, record.attempt)
    columns = [Column(reference="n", type=ColumnType.NUMBER)]
    for _ in range(2):
        await statuses.record_finishing(*ids)
        await statuses.record_fetching(*ids, columns=columns, arrow_schema=b"s")
        await statuses.record_executing(*ids, "wh-1")
        seen = await statuses.load(record.query_uuid)
        assert (seen.phase, seen.warehouse_query_id, seen.columns) == (Phase.FINISHING, "wh-1", tuple(columns))
    timings = seen.timings
    assert timings.finishing_at < timings.fetching_at < timings.executing_at


async def test_finish_repeated_with_other_totals_is_refused(statuses):
    """A repeat is the same end once more; another end is not taken for it."""
    record = await claimed(statuses)
    await finish(statuses, record, (chunk(),), row_count=10, byte_count=100, chunk_count=1)
    with pytest.raises(AttemptFencedError):
        await finish(statuses, record, row_count=11, byte_count=100, chunk_count=1)
    assert (await statuses.load(record.query_uuid)).row_count == 10


@pytest.mark.parametrize("order", [(1, 0), (0, 0), (0, 1, 1)])
async def test_finish_takes_chunks_in_order_and_once(statuses, order):
    """Chunks that come twice count once; chunks in the wrong order are a gap, and nothing of them is published."""
    record = await claimed(statuses)
    chunks = [chunk(index, index * 10, 10) for index in order]
    count = len(set(order))
    totals = {"row_count": 10 * count, "byte_count": 100 * count, "chunk_count": count}
    if order == (1, 0):
        with pytest.raises(AttemptFencedError):
            await finish(statuses, record, chunks, **totals)
        assert await statuses.chunks(record.query_uuid, 1, first_row=0, end_row=100) == ()
    else:
        await finish(statuses, record, chunks, **totals)
        assert len(await statuses.chunks(record.query_uuid, 1, first_row=0, end_row=100)) == count


async def test_lost_query_has_no_rows_until_its_next_attempt_has(statuses):
    """What a lost attempt had stored is not shown as progress of a query that waits."""
    record = await claimed(statuses)
    await statuses.commit_chunk(record.query_uuid, record.attempt, chunk())
    await statuses.lose(record.query_uuid, record.attempt, attempts_max=3, reason="test")
    seen = await statuses.load(record.query_uuid)
    assert (seen.status, seen.phase) == (QueryStatus.PENDING, Phase.QUEUED)
    assert (seen.row_count, seen.byte_count, seen.chunk_count) == (0, 0, 0)


async def test_lost_query_that_was_to_be_cancelled_is_cancelled(statuses):
    """There is nobody left to confirm the cancel; the query ends where it was, with no rows."""
    record = await claimed(statuses)
    await statuses.commit_chunk(record.query_uuid, record.attempt, chunk())
    await statuses.request_cancel(record.query_uuid)
    status = await statuses.lose(record.query_uuid, record.attempt, attempts_max=3, reason="test")
    ended = await statuses.load(record.query_uuid)
    assert (status, ended.status) == (QueryStatus.CANCELLED, QueryStatus.CANCELLED)
    assert (ended.phase, ended.row_count, ended.failure) == (Phase.CONNECTING, 0, None)


async def test_pending_query_cannot_be_ended_by_the_attempt_that_lost_it(statuses):
    """Between two attempts a query is nobody's."""
    record = await claimed(statuses)
    await statuses.lose(record.query_uuid, record.attempt, attempts_max=3, reason="test")
    assert not await statuses.fail(record.query_uuid, record.attempt, Failure(name="X", message="late"))
    assert await statuses.fail(record.query_uuid, None, Failure(name="TimeoutError", message="waited too long"))


async def test_confirm_cancel_without_a_request_is_refused(statuses):
    """Nobody is cancelled who was not to be."""
    record = await claimed(statuses)
    assert not await statuses.confirm_cancel(record.query_uuid, record.attempt)
    assert (await statuses.load(record.query_uuid)).status is QueryStatus.RUNNING


async def test_lost_leader_keeps_its_followers(statuses):
    """A crash of the one that runs is no matter to those who wait for its rows."""
    record = await claimed(statuses, cache_key=b"k" * 32)
    follower = shared_query()
    await statuses.accept(follower)
    await statuses.lose(record.query_uuid, record.attempt, attempts_max=3, reason="test")
    assert (await statuses.load(follower.query_uuid)).leader_uuid == record.query_uuid
    again = await statuses.claim(record.query_uuid, "query-b", lease_seconds=30)
    await finish(statuses, again, (chunk(attempt=2),), row_count=10, byte_count=100, chunk_count=1)
    ended = await statuses.load(follower.query_uuid)
    assert (ended.status, ended.result_query_uuid, ended.result_attempt) == (QueryStatus.READY, record.query_uuid, 2)


async def test_leader_lost_for_good_takes_its_followers_with_it(statuses):
    """Who waited for a query that kills its actors gets its error."""
    record = await claimed(statuses, cache_key=b"k" * 32)
    follower = shared_query()
    await statuses.accept(follower)
    await statuses.lose(record.query_uuid, record.attempt, attempts_max=1, reason="its process died")
    assert "its process died" in (await statuses.load(follower.query_uuid)).failure.message


async def test_queue_position_of_equal_projects_goes_by_what_each_user_has(statuses):
    """Where two projects are level, the user with less goes first, as at the claim."""
    heavy, other = str(uuid.uuid4()), str(uuid.uuid4())
    await statuses.put_project(heavy, "Heavy", {"limits": {"weight": 2}})
    queries = [new_query(project_uuid=heavy), new_query(project_uuid=heavy), new_query(user_uuid=other)]
    for query in queries:
        await statuses.accept(query)
    assert [await statuses.queue_position(query.query_uuid) for query in queries] == [1, 3, 2]
    first = await statuses.waiting()
    assert claim_order(first, [], {}, count=1)[0].query_uuid == queries[0].query_uuid


async def test_queue_overdue_does_not_count_the_time_a_query_ran(statuses):
    """A query that ran for an hour and lost its actor has only begun to wait."""
    query = new_query()
    await statuses.accept(query)
    await age(statuses, query.query_uuid, 3600)
    assert [row["query_uuid"] for row in await statuses.queue_overdue(queue_seconds=60)] == [query.query_uuid]
    record = await statuses.claim(query.query_uuid, "query-a", lease_seconds=30)
    await statuses.lose(record.query_uuid, record.attempt, attempts_max=3, reason="test")
    assert await statuses.queue_overdue(queue_seconds=60) == []


async def test_queue_overdue_does_not_count_the_time_a_query_waited_for_another(statuses):
    """Who is promoted after an hour has only begun to wait for an actor."""
    record = await claimed(statuses, cache_key=b"k" * 32)
    follower = shared_query()
    await statuses.accept(follower)
    await age(statuses, follower.query_uuid, 3600)
    await statuses.request_cancel(record.query_uuid)
    await statuses.confirm_cancel(record.query_uuid, record.attempt)
    (heir,) = await statuses.waiting()
    assert heir.query_uuid == follower.query_uuid
    assert await statuses.queue_overdue(queue_seconds=60) == []


async def test_queue_overdue_goes_by_the_limit_of_the_project(statuses):
    """A project's own limit wins over the service's."""
    await statuses.put_project(PROJECT, "Shop", {"limits": {"queue_seconds": 600}})
    query = new_query()
    await statuses.accept(query)
    await age(statuses, query.query_uuid, 3600)
    assert [row["seconds"] for row in await statuses.queue_overdue(queue_seconds=86_400)] == [600]


async def test_queue_depth_counts_only_what_waits_for_an_actor(statuses):
    """A query that shares a long run does not look like one that no actor takes."""
    assert await statuses.queue_depth() == {"pending": 0, "running": 0, "oldest_seconds": 0.0}
    await claimed(statuses, cache_key=b"k" * 32)
    follower, waiting = shared_query(), new_query()
    await statuses.accept(follower)
    await statuses.accept(waiting)
    await age(statuses, follower.query_uuid, 3600)
    await age(statuses, waiting.query_uuid, 60)
    depth = await statuses.queue_depth()
    assert (depth["pending"], depth["running"]) == (1, 1)
    assert 60 <= depth["oldest_seconds"] < 600


async def test_touch_keeps_a_query_from_being_abandoned(statuses):
    """Somebody who polls is there."""
    query = new_query(poll_ttl_seconds=3600.0)
    await statuses.accept(query)
    await statuses.touch(query.query_uuid)
    assert await statuses.abandoned() == []


async def test_cancels_pending_name_the_warehouse_query(statuses):
    """What is needed to carry a cancel out is told until it is carried out."""
    record = await claimed(statuses)
    await statuses.record_executing(record.query_uuid, record.attempt, "wh-1")
    await statuses.request_cancel(record.query_uuid)
    (row,) = await statuses.cancels_pending()
    assert (row["query_uuid"], row["attempt"], row["actor_name"]) == (record.query_uuid, 1, "query-a")
    assert (row["warehouse_query_id"], row["seconds"] >= 0) == ("wh-1", True)
    await statuses.confirm_cancel(record.query_uuid, record.attempt)
    assert await statuses.cancels_pending() == []


async def test_expired_results_are_told_once_and_then_forgotten(statuses):
    """Rows that nobody can read are found, marked, and no longer used for new queries; later the query goes too."""
    record = await claimed(statuses, cache_key=b"k" * 32)
    await finish(statuses, record, (chunk(),), row_count=10, byte_count=100, chunk_count=1)
    now = datetime.now(UTC)
    assert await statuses.expired_results(now=now, count=10) == []
    (expired,) = await statuses.expired_results(now=now + timedelta(hours=1), count=10)
    assert (expired["query_uuid"], expired["attempt"]) == (record.query_uuid, 1)
    assert await statuses.known_attempts([record.query_uuid, str(uuid.uuid4())]) == {record.query_uuid: range(1, 2)}
    await statuses.forget_chunks(record.query_uuid, 1)
    await statuses.mark_deleted(record.query_uuid)
    assert await statuses.expired_results(now=now + timedelta(hours=1), count=10) == []
    assert await statuses.known_attempts([record.query_uuid]) == {record.query_uuid: range(0)}
    assert not (await statuses.accept(shared_query())).cache_hit
    assert await statuses.forget_history(before=now - timedelta(hours=1), count=10) == 0
    assert await statuses.forget_history(before=now + timedelta(hours=1), count=10) == 1
    assert await statuses.load(record.query_uuid) is None


async def test_history_shows_what_the_filter_lets_through_newest_first(statuses):
    """A page of the history is ordered, cut and counted."""
    other = str(uuid.uuid4())
    queries = [new_query(sql="select 1, 2"), new_query(), new_query(user_uuid=other)]
    for query in queries:
        await statuses.accept(query)
    await statuses.request_cancel(queries[1].query_uuid)

    async def found(**conditions):
        wanted = HistoryFilter(project_uuid=PROJECT, **conditions)
        rows = await statuses.history(wanted, count=10, skip=0, sql_characters=8)
        assert len(rows) == await statuses.history_count(wanted)
        return [row["query_uuid"] for row in rows]

    uuids = [query.query_uuid for query in queries]
    assert await found() == uuids[::-1]
    assert await found(user_uuid=USER) == uuids[1::-1]
    assert await found(statuses=(QueryStatus.CANCELLED,)) == [uuids[1]]
    assert await found(since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert await found(until=datetime.now(UTC) + timedelta(hours=1)) == uuids[::-1]
    (last,) = await statuses.history(HistoryFilter(project_uuid=PROJECT), count=1, skip=2, sql_characters=8)
    assert (last["query_uuid"], last["sql"], last["status"]) == (uuids[0], "select 1", "pending")
    assert set(HistoryEntry.__annotations__) == set(last)


async def test_projects_are_kept_with_their_newest_definition(statuses):
    """What was stored last is what is read."""
    await statuses.put_project(PROJECT, "Shop", {"name": "Shop", "limits": {"queue": 3}})
    assert await statuses.load_project(PROJECT) == {"name": "Shop", "limits": {"queue": 3}}
    assert await statuses.load_project(str(uuid.uuid4())) is None
    assert await statuses.projects() == [{"project_uuid": PROJECT, "name": "Shop"}]


async def test_put_token_again_keeps_its_uuid_and_adds_roles(statuses):
    """A token that is stored at each start stays the same one."""
    other = str(uuid.uuid4())
    await statuses.put_project(other, "Other", {})
    token = {"token_hash": b"h", "user_uuid": USER, "name": "n"}
    first = await statuses.put_token(token_uuid=str(uuid.uuid4()), roles={PROJECT: "viewer"}, **token)
    again = await statuses.put_token(token_uuid=str(uuid.uuid4()), roles={PROJECT: "admin", other: "editor"}, **token)
    assert first == again
    row = await statuses.load_token(b"h")
    assert (row["token_uuid"], row["roles"]) == (first, {PROJECT: "admin", other: "editor"})


async def test_removed_token_keeps_its_other_projects(statuses):
    """A role goes alone; with the last one the token ends, until it is stored again."""
    other = str(uuid.uuid4())
    await statuses.put_project(other, "Other", {})
    token = {"token_uuid": str(uuid.uuid4()), "token_hash": b"h", "user_uuid": USER, "name": "n"}
    token_uuid = await statuses.put_token(roles={PROJECT: "viewer", other: "admin"}, **token)
    (listed,) = await statuses.project_tokens(PROJECT)
    assert (listed["token_uuid"], listed["role"], listed["expires_at"]) == (token_uuid, "viewer", None)
    assert listed["created_at"].tzinfo is not None
    assert await statuses.remove_token(token_uuid, PROJECT)
    assert not await statuses.remove_token(token_uuid, PROJECT)
    assert await statuses.project_tokens(PROJECT) == []
    assert (await statuses.load_token(b"h"))["roles"] == {other: "admin"}
    assert await statuses.remove_token(token_uuid, other)
    assert await statuses.load_token(b"h") is None
    await statuses.put_token(roles={PROJECT: "viewer"}, **token)
    assert (await statuses.load_token(b"h"))["roles"] == {PROJECT: "viewer"}


async def test_put_project_again_raises_its_version_and_keeps_models_not_given(statuses):
    """A copy knows by one number whether it is the newest, and a definition alone leaves the models."""
    before = await statuses.project_version(PROJECT)
    second = await statuses.put_project(PROJECT, "Shop", {"name": "Shop"}, b"models")
    third = await statuses.put_project(PROJECT, "Shop 2", {"name": "Shop 2"})
    stored = await statuses.load_stored_project(PROJECT)
    assert before < second < third == await statuses.project_version(PROJECT) == stored["version"]
    assert (stored["name"], stored["definition"], bytes(stored["models"])) == ("Shop 2", {"name": "Shop 2"}, b"models")


async def test_project_that_is_not_there_has_no_version(statuses):
    """What nobody stored is nothing."""
    unknown = str(uuid.uuid4())
    assert await statuses.project_version(unknown) is None
    assert await statuses.load_stored_project(unknown) is None


async def test_token_has_its_users_attributes_in_each_project(statuses):
    """What a user may see is said for each project, and replaced as a whole."""
    other = str(uuid.uuid4())
    await statuses.put_project(other, "Other", {})
    token = {"token_uuid": str(uuid.uuid4()), "token_hash": b"h", "user_uuid": USER, "name": "n"}
    roles = {PROJECT: "viewer", other: "viewer"}
    given = {PROJECT: {"region": ["north", "south"], "level": ["1"]}}
    await statuses.put_token(**token, roles=roles, attributes=given, email="a@example.com")
    row = await statuses.load_token(b"h")
    assert (row["attributes"], row["email"]) == (given | {other: {}}, "a@example.com")
    await statuses.put_token(**token, roles={PROJECT: "viewer"}, attributes={PROJECT: {"region": ["east"]}})
    row = await statuses.load_token(b"h")
    assert (row["attributes"], row["email"]) == ({PROJECT: {"region": ["east"]}, other: {}}, None)


async def test_token_past_its_expiry_is_unknown(statuses):
    """An expired token opens nothing."""
    token = {"token_uuid": str(uuid.uuid4()), "token_hash": b"h", "user_uuid": USER, "name": "n", "roles": {}}
    now = datetime.now(UTC)
    await statuses.put_token(**token, expires_at=now + timedelta(hours=1))
    assert (await statuses.load_token(b"h"))["user_uuid"] == USER
    await statuses.put_token(**token, expires_at=now - timedelta(hours=1))
    assert await statuses.load_token(b"h") is None


async def test_query_keeps_what_was_asked_of_the_models(statuses):
    """Descriptions of columns keep their order, also for a query that takes the rows of an equal one."""
    fields = {"zeta": {"type": "number"}, "a": {"label": "A", "type": "string"}}
    asked = {"fields": fields, "timezone": "Europe/Oslo", "question": {"metricQuery": {"exploreName": "orders"}}}
    leader = await claimed(statuses, cache_key=b"k" * 32, **asked)
    follower, hit = shared_query(fields={"b": {}}), shared_query(fields={"c": {}})
    await statuses.accept(follower)
    assert (await statuses.load(follower.query_uuid)).fields == {"b": {}}
    await finish(statuses, leader)
    await statuses.accept(hit)
    records = [await statuses.load(query_uuid) for query_uuid in (leader.query_uuid, hit.query_uuid)]
    assert [list(record.fields) for record in records] == [["zeta", "a"], ["c"]]
    assert [record.timezone for record in records] == ["Europe/Oslo", None]
    entries = await statuses.history(HistoryFilter(project_uuid=PROJECT), count=9, skip=0, sql_characters=9)
    assert [entry["explore_name"] for entry in entries] == [None, None, "orders"]


async def test_accept_with_an_error_is_an_ended_query(statuses):
    """What cannot run is told by the poll, and never claimed."""
    query = new_query(outcome=Failure(name="ParameterError", message="no", status=400, details={"x": 1}), sql="")
    assert (await statuses.accept(query)).created
    record = await statuses.load(query.query_uuid)
    assert (record.status, record.failure) == (QueryStatus.ERROR, query.outcome)
    assert record.timings.ended_at is not None
    assert await statuses.waiting() == []
    assert await statuses.claim(query.query_uuid, "query-a", lease_seconds=30) is None


async def test_accept_with_rows_is_a_ready_query_until_it_expires(statuses):
    """Rows that were known at once are read like any others, and cleaned up like any others."""
    columns = (Column(reference="n", type=ColumnType.STRING),)
    query = new_query()
    rows = StoredRows(columns=columns, arrow_schema=b"s", chunk=chunk(0, 0, 3, query.query_uuid, 0), ttl_seconds=60)
    await statuses.accept(replace(query, outcome=rows))
    record = await statuses.load(query.query_uuid)
    assert (record.status, record.columns, record.row_count) == (QueryStatus.READY, columns, 3)
    assert await statuses.chunks(record.result_query_uuid, record.result_attempt, first_row=0, end_row=3) == (
        rows.chunk,
    )
    assert await statuses.known_attempts([query.query_uuid]) == {query.query_uuid: range(1)}
    later = datetime.now(UTC) + timedelta(seconds=61)
    expired = await statuses.expired_results(now=later, count=9)
    assert [(row["query_uuid"], row["attempt"]) for row in expired] == [(query.query_uuid, 0)]


async def test_accept_with_an_outcome_repeated_gives_the_first_query(statuses):
    """A key works for queries that never run, too."""
    outcome = Failure(name="ParameterError", message="no", status=400)
    first = await statuses.accept(new_query(outcome=outcome, idempotency_key="k"))
    again = await statuses.accept(new_query(outcome=outcome, idempotency_key="k"))
    assert (again.query_uuid, again.created) == (first.query_uuid, False)
