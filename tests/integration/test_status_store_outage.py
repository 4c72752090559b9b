"""The status store while its database restarts: an error that says so, and soon as before."""

from __future__ import annotations

import asyncio
import time

import pytest

from cluster.local.ports import free_ports
from cluster.local.postgres import PostgresServer
from queryfleet.errors import StatusStoreError
from queryfleet.status.migrations import migrate
from queryfleet.status.postgres import PostgresStatusStore
from tests.fixtures.postgres import FAST

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

CALLERS = 6
BACK_SECONDS = 4.0  # from when the database answers again; the driver's own pauses are up to a second


@pytest.fixture
def server(tmp_path):
    """A server that the test may stop and start."""
    with PostgresServer(tmp_path / "data", port=free_ports(1)[0], settings=FAST) as server:
        migrate(server.url)
        yield server


async def _ping(statuses):
    try:
        return await statuses.ping()
    except StatusStoreError:
        return None


async def test_database_that_restarts_is_used_again_soon(server):
    """Idle connections that died with the server do not fail one caller after the other."""
    statuses = PostgresStatusStore(server.url, connections_max=CALLERS)
    await statuses.open()
    try:
        assert all(await asyncio.gather(*(_ping(statuses) for _ in range(CALLERS))))
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        began = time.monotonic()
        while not all(await asyncio.gather(*(_ping(statuses) for _ in range(CALLERS)))):
            assert time.monotonic() - began < BACK_SECONDS
        assert all(await asyncio.gather(*(_ping(statuses) for _ in range(CALLERS))))
    finally:
        await statuses.close()


async def test_caller_who_waits_while_the_database_comes_back_is_served(server):
    """A call that began during the outage does not wait for its time limit."""
    statuses = PostgresStatusStore(server.url, connections_max=2, timeout_seconds=20.0)
    await statuses.open()
    try:
        assert await _ping(statuses)
        await asyncio.to_thread(server.stop)
        await _ping(statuses)  # finds out
        waiting = asyncio.create_task(_ping(statuses))
        await asyncio.wait([waiting], timeout=4.0)
        assert not waiting.done()
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(BACK_SECONDS):
            assert await waiting
    finally:
        await statuses.close()
