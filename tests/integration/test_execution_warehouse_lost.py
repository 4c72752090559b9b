"""One attempt whose warehouse goes away: tried again where that can help, and never otherwise."""

from __future__ import annotations

import asyncio

import pytest

from actors import login
from actors.messages import Outcome
from queryfleet.errors import WarehouseConnectionError
from queryfleet.results.store_memory import MemoryStore
from queryfleet.status.transitions import QueryStatus
from queryfleet.testing.scripted_warehouse import Script, ScriptedWarehouse
from tests.fixtures.executions import BATCHES, assert_nothing_left, chunks_of, ended, until
from tests.fixtures.statuses import new_query

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

LOST = WarehouseConnectionError("The connection was lost.", transient=True)
REFUSED = WarehouseConnectionError("Wrong password.", transient=False)


class RestartingWarehouse(ScriptedWarehouse):
    """A warehouse that refuses the first few logins."""

    def __init__(self, refusals, error=LOST):
        super().__init__(Script(batches=BATCHES))
        self.logins = 0
        self._refusals, self._error = refusals, error

    def open(self):
        session = super().open()
        connect = session.connect

        def refuse():
            self.logins += 1
            if self.logins <= self._refusals:
                raise self._error
            connect()

        session.connect = refuse
        return session


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(login, "_FIRST_ATTEMPT", (0.01, 0.01))
    monkeypatch.setattr(login, "_LATER_SECONDS", 0.01)


@pytest.mark.parametrize("point", ["submit", "schema", "batch:0", "batch:2", "end"])
async def test_warehouse_lost_after_login_puts_the_query_back(statuses, attempt_at, point):
    """The next attempt has every row; of the first nothing is left."""
    store, query = MemoryStore(), new_query()
    first = await attempt_at(ScriptedWarehouse(Script(batches=BATCHES, failures={point: LOST})), store, query=query)
    assert await first.run() is Outcome.LOST
    assert (await statuses.load(query.query_uuid)).status is QueryStatus.PENDING
    assert await chunks_of(statuses, first) == ()
    second = await attempt_at(ScriptedWarehouse(Script(batches=BATCHES)), store, query=query)
    assert second.assignment.attempt == 2
    assert await second.run() is Outcome.READY
    assert (await statuses.load(query.query_uuid)).row_count == 300


async def test_warehouse_lost_in_the_last_attempt_ends_in_error_with_the_reason(statuses, attempt_at):
    """What the warehouse said is told, not how often it was tried."""
    store = MemoryStore()
    execution = await attempt_at(
        ScriptedWarehouse(Script(batches=BATCHES, failures={"batch:1": LOST})), store, attempts_max=1
    )
    assert await execution.run() is Outcome.ERROR
    failure = (await statuses.load(execution.assignment.query_uuid)).failure
    assert (failure.name, failure.message) == ("WarehouseConnectionError", LOST.message)
    await assert_nothing_left(statuses, store, execution)


async def test_warehouse_lost_by_a_query_that_may_write_ends_in_error(statuses, attempt_at):
    """What was sent may have been carried out: it is never sent twice by us."""
    warehouse = ScriptedWarehouse(Script(batches=BATCHES, failures={"batch:1": LOST}))
    execution = await attempt_at(warehouse, MemoryStore())
    execution.assignment.project["allow_writes"] = True
    assert await execution.run() is Outcome.ERROR


@pytest.mark.parametrize("attempt", [1, 2])
async def test_warehouse_that_is_restarting_is_logged_in_to_again(statuses, attempt_at, attempt):
    """A login that failed for a passing reason is repeated within the attempt."""
    query, warehouse = new_query(), RestartingWarehouse(2)
    execution = await attempt_at(warehouse, MemoryStore(), query=query)
    if attempt == 2:
        await statuses.lose(query.query_uuid, 1, attempts_max=3, reason="test")
        warehouse = RestartingWarehouse(20)
        execution = await attempt_at(warehouse, MemoryStore(), query=query)
    assert await execution.run() is Outcome.READY


async def test_warehouse_that_is_not_there_at_all_is_soon_told(statuses, attempt_at):
    """A first attempt does not wait for a host that may be mistyped."""
    warehouse = RestartingWarehouse(1_000_000)
    execution = await attempt_at(warehouse, MemoryStore())
    assert await execution.run() is Outcome.ERROR
    assert warehouse.logins == 3


async def test_login_refused_for_good_is_not_repeated(statuses, attempt_at):
    """A wrong password is tried once: more might lock the account."""
    warehouse = RestartingWarehouse(1_000_000, REFUSED)
    execution = await attempt_at(warehouse, MemoryStore())
    assert await execution.run() is Outcome.ERROR
    assert warehouse.logins == 1


async def test_cancel_while_waiting_for_a_warehouse_ends_the_wait(statuses, attempt_at, monkeypatch):
    """Nobody waits for a login that is not wanted any more."""
    monkeypatch.setattr(login, "_FIRST_ATTEMPT", (60.0,))
    warehouse = RestartingWarehouse(1_000_000)
    execution = await attempt_at(warehouse, MemoryStore())
    running = asyncio.create_task(execution.run())
    await until(lambda: warehouse.logins)
    await statuses.request_cancel(execution.assignment.query_uuid)
    await execution.cancel()
    assert await ended(running) is Outcome.CANCELLED
