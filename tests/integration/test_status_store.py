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
from queryfleet.status.postgres import PostgresStatusStore, load_statements
from queryfleet.status.record import Failure
from queryfleet.status.transitions import QueryStatus
from tests.fixtures.statuses import claimed, new_query, shared_query

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
