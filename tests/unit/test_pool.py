"""The pool of query actors, without a cluster."""

from __future__ import annotations

import asyncio

import pytest

from actors import pool as module
from actors.names import query_actor_name
from actors.placement import Node
from actors.pool import ActorPool
from queryfleet.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def pool(monkeypatch):
    """A pool that wants two actors; `ended` has the handles of those it has ended."""
    monkeypatch.setattr(ActorPool, "_start", lambda _: asyncio.sleep(3600))
    made = ActorPool(Settings(pool_size=2), 1)
    made.ended = []
    monkeypatch.setattr(module.ray, "kill", made.ended.append)
    yield made
    for task in list(made._starting):
        task.cancel()


def _with_actors(pool, count):
    names = [query_actor_name(1) for _ in range(count)]
    for name in names:
        pool._handles[name] = f"handle of {name}"
        pool.give_back(name)
    return names


async def test_actor_set_aside_is_replaced_and_ended_when_it_comes_back(pool):
    """It may clean up what it did, and gets no query any more."""
    _with_actors(pool, 2)
    pool.keep()
    assert len(pool._starting) == 0
    name = pool.lend("project")
    pool.set_aside(name)
    assert pool.handle(name) is None
    assert len(pool._starting) == 1
    assert pool.ended == []
    pool.give_back(name)
    assert pool.ended == [f"handle of {name}"]
    assert pool.idle_count == 1


async def test_actor_set_aside_that_stays_away_is_ended(pool, monkeypatch):
    """One that hangs does not hang for ever."""
    monkeypatch.setattr(module, "_ASIDE_SECONDS", 0.01)
    _with_actors(pool, 1)
    name = pool.lend("project")
    pool.set_aside(name)
    async with asyncio.timeout(5):
        while not pool.ended:
            await asyncio.sleep(0.005)
    assert pool.ended == [f"handle of {name}"]


async def test_adopt_does_not_wait_for_an_actor_that_hangs(pool, monkeypatch):
    """A new status actor works at once, counts the hanging one as coming, and knows that it does not know."""
    name = query_actor_name(1)
    monkeypatch.setattr(
        module.ray.util, "list_named_actors", lambda **_: [{"name": name, "namespace": module.NAMESPACE}]
    )
    monkeypatch.setattr(ActorPool, "_adopt_one", lambda *_: asyncio.sleep(3600))
    pool.adopt([1], lambda _: None)
    assert pool.is_adopting(name)
    pool.keep()
    assert len(pool._starting) == 2, "the hanging one and one more"


async def test_level_moves_an_idle_actor_to_a_node_that_joined(pool, monkeypatch):
    """One at a time: while its replacement is being started nothing else moves, and a busy actor never does."""
    monkeypatch.setattr(module, "living_nodes", lambda: [Node(node_id=each, cpus=2) for each in ("old", "new")])
    first, second = _with_actors(pool, 2)
    pool._nodes |= {first: "old", second: "old"}
    pool.lend("project")
    pool.lend("project")
    pool.level()
    assert pool.ended == []
    pool.give_back(first)
    pool.level()
    assert pool.ended == [f"handle of {first}"]
    assert len(pool._starting) == 1
    pool.give_back(second)
    pool.level()
    assert pool.ended == [f"handle of {first}"]
