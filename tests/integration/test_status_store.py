"""What the status store does with a real PostgreSQL beyond what every status store promises."""

from __future__ import annotations

import asyncio
import random
import re
import uuid

import psycopg
import pytest

from queryfleet.errors import AttemptFencedError, StatusStoreError
from queryfleet.status.changes import QUERY_CHANNEL, WORK_CHANNEL, ChangeListener
from queryfleet.status.migrations import LATEST, migrate, schema_version
from queryfleet.status.postgres import PostgresStatusStore
from queryfleet.status.postgres_connections import load_statements
from queryfleet.status.record import Failure
from queryfleet.status.rows import new_values
from queryfleet.status.transitions import QueryStatus
from tests.fixtures.statuses import claimed, finish, new_query, shared_query

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

ANSWER_SECONDS = 5.0


async def test_statements_prepared_on_a_real_server_are_all_valid(migrated_url):
    """Every named statement parses and type-checks against the schema."""
    async with await psycopg.AsyncConnection.connect(migrated_url, autocommit=True) as connection:
        for name, statement in load_statements().items():
            numbered = psycopg._queries.PostgresQuery(psycopg.adapt.Transformer(connection))
            names = set(re.findall(rb"%\((\w+)\)s", statement))
            numbered.convert(statement, {key.decode(): None for key in names})
            await connection.execute(f"prepare p_{name} as ".encode() + numbered.query)


async def test_migrate_called_by_many_at_once_leaves_one_schema(database_url):
    """Replicas that start together do not trip over each other."""
    versions = await asyncio.gather(*(asyncio.to_thread(migrate, database_url) for _ in range(4)))
    assert [LATEST] * 4 == versions
    assert schema_version(database_url) == LATEST


async def test_schema_version_without_schema_is_none(database_url):
    """An empty database is told from a migrated one."""
    assert schema_version(database_url) is None


async def test_database_away_is_a_retryable_error_without_the_password():
    """A caller learns that it may try again, and no secret."""
    store = PostgresStatusStore("postgresql://app:geheim@127.0.0.1:9/x", timeout_seconds=0.2)
    await store.open()
    with pytest.raises(StatusStoreError) as caught:
        await store.load(str(uuid.uuid4()))
    await store.close()
    assert caught.value.retryable
    assert "geheim" not in str(caught.value) + str(caught.value.details)


async def test_changes_wake_those_who_watch(statuses, migrated_url):
    """An insert wakes the status actor; each change of a query wakes whoever waits for it, and nobody else."""
    queries, work = ChangeListener(migrated_url, QUERY_CHANNEL), ChangeListener(migrated_url, WORK_CHANNEL)
    queries.start()
    work.start()
    query = new_query()
    with work.watch_all() as added, queries.watch(query.query_uuid) as changed, queries.watch("other") as other:
        async with asyncio.timeout(ANSWER_SECONDS):
            await added.wait()  # both listeners announce themselves once they are connected
            await changed.wait()
        for event in (added, changed, other):
            event.clear()
        async with asyncio.timeout(ANSWER_SECONDS):
            await statuses.accept(query)
            await added.wait()
            await statuses.claim(query.query_uuid, "query-a", lease_seconds=30)
            await changed.wait()
    assert not other.is_set()
    assert queries.watcher_count == 0
    await queries.close()
    await work.close()


async def test_settle_of_two_groups_with_one_key_promotes_one_heir(statuses):
    """Two queries that led the same question one after the other, and ended without their followers, leave one."""
    queries = [shared_query() for _ in range(4)]
    for leader, follower in (queries[:2], queries[2:]):
        for query in (leader, follower):
            await statuses.accept(query)
        # As a release did that ended a query and dealt with its followers in two steps, and crashed in between.
        await set_status(statuses, leader, "cancelled")
    await statuses.settle()
    (heir,) = await statuses.waiting()
    assert heir.query_uuid == queries[1].query_uuid
    assert (await statuses.load(queries[3].query_uuid)).leader_uuid == heir.query_uuid


async def test_settle_gives_followers_what_an_ended_leader_has(statuses):
    """A follower that was left behind is found by the repair."""
    record = await claimed(statuses, cache_key=b"k" * 32)
    follower = shared_query()
    await statuses.accept(follower)
    await set_status(statuses, record, "error")
    assert (await statuses.load(follower.query_uuid)).status is QueryStatus.PENDING
    await statuses.settle()
    assert (await statuses.load(follower.query_uuid)).status is QueryStatus.ERROR


async def set_status(statuses, query, status):
    async with statuses._connection() as connection:
        await connection.execute(
            "update query set status = %s, ended_at = now() where query_uuid = %s", (status, query.query_uuid)
        )


async def test_accept_that_never_catches_its_leader_runs_alone(migrated_url, statuses):
    """A question whose equals end each time it looks is accepted all the same, and not called one too many."""
    await statuses.accept(shared_query())
    hasty = PostgresStatusStore(migrated_url, connections_max=1)
    hasty._statements["accept_follower"] = b"select from query where false and query_uuid = %(query_uuid)s"
    await hasty.open()
    query = shared_query()
    assert (await hasty.accept(query)).created
    await hasty.close()
    assert query.query_uuid in {waiting.query_uuid for waiting in await statuses.waiting()}


async def test_cancel_while_an_equal_query_is_accepted_leaves_one_leader(migrated_url, statuses):
    """An heir that was about to lead when another query became the leader runs all the same, and leads nobody."""
    first, heir, follower = shared_query(), shared_query(), shared_query()
    for query in (first, heir, follower):
        await statuses.accept(query)
    await set_status(statuses, first, "cancelled")
    passing = await claimed(statuses, cache_key=b"k" * 32)
    await statuses.settle()  # the heir runs beside the one that leads meanwhile
    await statuses.finish(
        *(passing.query_uuid, passing.attempt), chunks=(), row_count=0, byte_count=0, chunk_count=0, ttl_seconds=-1
    )
    leader = shared_query()
    async with await psycopg.AsyncConnection.connect(migrated_url) as connection:
        values = new_values(leader) | {"is_leader": True}
        await connection.execute(load_statements()["accept"], values)
        cancelling = asyncio.create_task(statuses.request_cancel(heir.query_uuid))
        await until_somebody_waits(statuses)
        await connection.commit()
    async with asyncio.timeout(ANSWER_SECONDS):
        assert (await cancelling).status is QueryStatus.CANCELLED
    assert {query.query_uuid for query in await statuses.waiting()} == {leader.query_uuid, follower.query_uuid}
    joins = shared_query()
    await statuses.accept(joins)
    assert (await statuses.load(joins.query_uuid)).leader_uuid == leader.query_uuid


async def until_somebody_waits(statuses):
    """Return once a session of the database waits for another one."""
    async with asyncio.timeout(ANSWER_SECONDS), statuses._connection() as connection:
        while True:
            cursor = await connection.execute(
                "select count(*) as n from pg_stat_activity"
                " where datname = current_database() and wait_event_type = 'Lock'"
            )
            if (await cursor.fetchone())["n"]:
                return
            await asyncio.sleep(0.01)


ROUNDS = 6
EQUAL_SUBMITS = 50


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_equal_submits_while_leaders_end_leave_nobody_behind(migrated_url, statuses, seed):
    """Whenever the leader of fifty equal questions ends and however, each of them ends or has a live leader."""
    chance = random.Random(seed)
    replicas = [PostgresStatusStore(migrated_url, connections_max=4, timeout_seconds=20) for _ in range(2)]
    for replica in replicas:
        await replica.open()
    queries = [shared_query() for _ in range(EQUAL_SUBMITS)]

    async def submit(query):
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        await chance.choice(replicas).accept(query)
        if chance.random() < 0.3:
            await chance.choice(replicas).request_cancel(query.query_uuid)

    accepting = asyncio.gather(*(submit(query) for query in queries))
    while not accepting.done():
        await work_off(chance.choice(replicas), chance)
        await asyncio.sleep(0)
    await accepting
    await statuses.settle()
    await assert_nobody_is_alone(statuses, queries)
    while await statuses.waiting():
        await work_off(statuses, chance)
    ended = [await statuses.load(query.query_uuid) for query in queries]
    assert all(record.is_terminal for record in ended)
    for replica in replicas:
        await replica.close()


async def work_off(statuses, chance):
    """Give one query to an actor, and let it end in any way."""
    for waiting in (await statuses.waiting())[:1]:
        record = await statuses.claim(waiting.query_uuid, "query-a", lease_seconds=30)
        if record is None:
            continue
        ids = (record.query_uuid, record.attempt)
        match chance.choice(["finish", "fail", "cancel", "lose"]):
            case "fail":
                await statuses.fail(*ids, Failure(name="WarehouseQueryError", message="no"))
            case "cancel":
                await statuses.request_cancel(record.query_uuid)
                await statuses.confirm_cancel(*ids)
            case "lose":
                await statuses.lose(*ids, attempts_max=3, reason="test")
            case _:
                try:
                    # Rows that have expired already: nobody is served from the cache.
                    totals = {"row_count": 0, "byte_count": 0, "chunk_count": 0}
                    await statuses.finish(*ids, chunks=(), ttl_seconds=-1, **totals)
                except AttemptFencedError:  # its submitter cancelled it meanwhile
                    assert await statuses.confirm_cancel(*ids)


async def assert_nobody_is_alone(statuses, queries):
    async with statuses._connection() as connection:
        cursor = await connection.execute(
            "select count(*) as n from query f join query l on l.query_uuid = f.leader_uuid"
            " where f.status = 'pending' and l.status not in ('pending', 'running')"
        )
        assert (await cursor.fetchone())["n"] == 0
        cursor = await connection.execute("select count(*) as n from query")
        assert (await cursor.fetchone())["n"] == len(queries)


async def test_question_whose_equal_is_just_ending_takes_its_rows(migrated_url, statuses):
    """An end that is not committed yet is waited for, and then there is nothing left to run."""
    leader = await claimed(statuses, cache_key=b"k" * 32)
    async with await psycopg.AsyncConnection.connect(migrated_url) as connection:
        await connection.execute(
            "update query set status = 'ready', results_created_at = now(), results_expire_at = now() + interval '1h'"
            " where query_uuid = %s",
            (leader.query_uuid,),
        )
        accepting = asyncio.create_task(statuses.accept(shared_query()))
        await until_somebody_waits(statuses)
        await connection.commit()
    async with asyncio.timeout(ANSWER_SECONDS):
        assert (await accepting).cache_hit
    assert await statuses.waiting() == []


async def test_question_whose_equal_ends_between_two_looks_takes_its_rows(statuses):
    """The look for rows was too early, and when the query is stored nobody leads any more."""
    leader = await claimed(statuses, cache_key=b"k" * 32)
    look, looks = statuses._row, []

    async def looking(name, **values):
        found = await look(name, **values)
        if name == "accept_hit" and not looks:
            looks.append(name)
            await finish(statuses, leader)
        return found

    statuses._row = looking
    assert (await statuses.accept(shared_query())).cache_hit
    assert looks
