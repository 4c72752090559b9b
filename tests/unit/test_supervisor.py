"""What the supervisor makes of actors it does not hear of, without a cluster."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future
from datetime import timedelta

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError

from actors import supervisor as module
from actors.messages import ActorReport
from actors.names import query_actor_name
from actors.pool import ActorPool
from actors.supervisor import Supervisor
from queryfleet.settings import Settings
from queryfleet.status.memory import MemoryStatusStore
from queryfleet.status.transitions import QueryStatus
from queryfleet.telemetry import NoMeter
from tests.fixtures.statuses import PROJECT, new_query

pytestmark = pytest.mark.anyio


class Method:
    """A remote method that answers from a list; the last answer stays."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = 0

    def remote(self, *_):
        self.calls += 1
        return self

    def future(self):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        future = Future()
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future


class Actor:
    """Stands for the handle of a query actor."""

    def __init__(self, *reports):
        self.describe = Method(*reports)
        self.wait_idle = Method(None)
        self.cancel = Method(True)
        self.stop_statement = Method(True)


class NoExports:
    """Stands for the dispatch of files: there are none."""

    is_idle = True

    def __init__(self, *_):
        pass

    async def claim(self):
        """Find nothing."""

    async def sweep(self):
        """Find nothing."""


@pytest.fixture
async def supervisor(monkeypatch):
    """A supervisor that has a store and no cluster; actors it starts never come."""
    monkeypatch.setattr(ActorPool, "_start", lambda _: asyncio.sleep(3600))
    monkeypatch.setattr("actors.pool.ray.kill", lambda _: None)
    monkeypatch.setattr("actors.pool.living_nodes", list)
    monkeypatch.setattr(module, "_ASK_AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(module, "ExportDispatch", NoExports)
    monkeypatch.setattr(module, "generations", dict)  # which Ray would start a cluster for
    made = Supervisor(Settings(pool_size=1, lease_seconds=1.0), NoMeter(), 1)
    made._statuses = MemoryStatusStore()
    await made._statuses.open()
    await made._statuses.put_project(PROJECT, "Shop", {"name": "Shop"})
    yield made
    for task in list(made.pool._starting):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _running(supervisor, actor=None, *, lease_seconds=30.0):
    """Let an actor have a query; return its name and the query's uuid."""
    name, query = query_actor_name(1), new_query()
    await supervisor._statuses.accept(query)
    await supervisor._statuses.claim(query.query_uuid, name, lease_seconds=lease_seconds)
    if actor is not None:
        supervisor.pool._handles[name] = actor
        supervisor._assigned[name] = (query.query_uuid, 1)
    return name, query.query_uuid


async def _status(supervisor, query_uuid):
    return (await supervisor._statuses.load(query_uuid)).status


def _report(name, query_uuid=None, attempt=None):
    return ActorReport(name=name, node_id="node", query_uuid=query_uuid, attempt=attempt, queries_done=0, rss_bytes=0)


async def test_lost_attempt_goes_back_into_the_queue_unless_it_may_have_written(supervisor):
    """A statement that may write is never sent twice by us."""
    _, reading = await _running(supervisor)
    await supervisor._lose(reading, 1, "test")
    assert await _status(supervisor, reading) is QueryStatus.PENDING
    await supervisor._statuses.put_project(PROJECT, "Shop", {"name": "Shop", "allow_writes": True})
    _, writing = await _running(supervisor)
    await supervisor._lose(writing, 1, "test")
    assert await _status(supervisor, writing) is QueryStatus.ERROR


@pytest.mark.parametrize("cancelled", [True, False])
async def test_lost_attempt_that_ends_the_query_has_its_statement_stopped(supervisor, cancelled):
    """What nobody will take over must not run on in the warehouse; what will be is left alone."""
    actor = Actor(None)
    _, query_uuid = await _running(supervisor, actor)
    await supervisor._statuses.record_executing(query_uuid, 1, "w-1")
    if cancelled:
        await supervisor._statuses.request_cancel(query_uuid)
    await supervisor._lose(query_uuid, 1, "test")
    await asyncio.gather(*supervisor._tasks)
    assert actor.stop_statement.calls == int(cancelled)


async def test_expired_lease_of_an_actor_that_is_known_is_waited_for_after_an_outage(supervisor):
    """It may only have had no database to renew it with; nobody waits for an actor that is gone."""
    name, known = await _running(supervisor, Actor(), lease_seconds=-1.0)
    _, unknown = await _running(supervisor, lease_seconds=-1.0)
    await supervisor._sweep()
    assert await _status(supervisor, known) is QueryStatus.RUNNING
    assert await _status(supervisor, unknown) is QueryStatus.PENDING
    supervisor._patient_until = 0.0
    await supervisor._sweep()
    assert await _status(supervisor, known) is QueryStatus.PENDING
    assert supervisor.pool.handle(name) is None, "it is replaced"


async def test_expired_lease_says_nothing_of_an_actor_that_has_another_query(supervisor):
    """A claim whose answer was lost costs no actor."""
    name, query_uuid = await _running(supervisor, Actor(), lease_seconds=-1.0)
    supervisor._assigned[name] = ("another", 1)
    await supervisor._sweep()
    assert await _status(supervisor, query_uuid) is QueryStatus.PENDING
    assert supervisor.pool.handle(name) is not None


async def test_actor_that_is_unavailable_for_a_while_keeps_its_query(supervisor):
    """A call without an answer is no loss: the actor is asked until it answers."""
    actor = Actor(None)
    name, query_uuid = await _running(supervisor, actor)
    away = ActorUnavailableError("away", None)
    actor.describe.answers = [away, away, _report(name, query_uuid, 1), _report(name)]
    await supervisor._statuses.finish(
        query_uuid, 1, chunks=(), row_count=0, byte_count=0, chunk_count=0, ttl_seconds=60
    )
    await supervisor._find_out(name, query_uuid, 1)
    assert (actor.describe.calls, actor.wait_idle.calls) == (4, 1)
    assert await _status(supervisor, query_uuid) is QueryStatus.READY
    assert supervisor.pool.idle_count == 1


@pytest.mark.parametrize("kind", ["dead", "idle"])
async def test_actor_that_does_not_have_the_query_loses_it_at_once(supervisor, kind):
    """Neither a dead actor nor one that never got the call is waited for."""
    actor = Actor(None)
    name, query_uuid = await _running(supervisor, actor)
    actor.describe.answers = [ActorDiedError()] if kind == "dead" else [_report(name)]
    await supervisor._find_out(name, query_uuid, 1)
    assert await _status(supervisor, query_uuid) is QueryStatus.PENDING
    assert supervisor.pool.idle_count == (0 if kind == "dead" else 1)


async def test_cancel_that_waited_for_the_database_is_passed_on_before_it_is_forced(supervisor):
    """The actor gets its time, although the cancel is old."""
    actor = Actor()
    name, query_uuid = await _running(supervisor, actor)
    await supervisor._statuses.request_cancel(query_uuid)
    supervisor._statuses._queries[query_uuid]["cancel_requested_at"] -= timedelta(seconds=60)
    await supervisor._pass_cancels()
    assert actor.cancel.calls == 1
    assert await _status(supervisor, query_uuid) is QueryStatus.RUNNING
    assert supervisor.pool.handle(name) is actor
