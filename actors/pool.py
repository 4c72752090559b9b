"""The pool of warm query actors: made ahead of time, lent one query at a time, replaced when worn or lost.

Its size follows the cluster, and between two bounds the number of queries. A pool belongs to one generation; actors
that another generation left behind finish their query and are then replaced.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import ray
import structlog
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.demand import Demand, default_pool_size
from actors.lending import IdleActor, preferred
from actors.names import NAMESPACE, generation_of_query_actor, query_actor_name
from actors.placement import living_nodes, misplaced, roomiest
from actors.query_actor import QueryActor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine

    from actors.messages import ActorReport
    from queryfleet.settings import Settings

__all__ = ["ActorPool"]

_START_SECONDS = 120.0
_ANSWER_SECONDS = 5.0
_ASIDE_SECONDS = 60.0
_MEASURE_SECONDS = 15.0  # how often the cluster is looked at
_NODE_BYTES = 2 * 1024**3  # taken for a cluster's memory when Ray does not tell

log = structlog.get_logger()


def awaitable(ref: Any) -> Awaitable[Any]:
    """Make a Ray reference awaitable on the running loop, whichever thread that is."""
    return asyncio.wrap_future(ref.future())


class ActorPool:
    """Keeps `size` query actors. All methods run on one event loop.

    Args:
        settings: Of the service.
        generation: Whose pool it is.
    """

    def __init__(self, settings: Settings, generation: int) -> None:
        self._settings = settings
        self._generation = generation
        self._handles: dict[str, Any] = {}  # every actor that can be spoken to, by name, oldest first
        self._idle: dict[str, IdleActor] = {}
        self._projects: dict[str, str] = {}  # by actor: whose query it had last
        self._nodes: dict[str, str] = {}  # by actor: where it is; of those being started, where it is meant to be
        self._starting: set[asyncio.Task[None]] = set()
        self._adopting: set[str] = set()  # names of those among the starting that ran before us
        self._aside: dict[str, Any] = {}  # not heard of while busy, and replaced
        self._retired = False
        self._demand = Demand()
        self._measured_at = -_MEASURE_SECONDS
        self._smallest = 0
        self.changed = asyncio.Event()  # set when an actor becomes idle
        self._measure()

    def _measure(self) -> None:
        """Look how large the cluster is: nodes come and go, and the first may be there before the others."""
        now = time.monotonic()
        if self._settings.pool_size:
            self._smallest = self._settings.pool_size
        elif now - self._measured_at >= _MEASURE_SECONDS:
            self._measured_at = now
            resources = ray.cluster_resources()
            self._smallest = default_pool_size(
                resources.get("CPU", os.cpu_count() or 1), resources.get("memory", _NODE_BYTES)
            )

    @property
    def size(self) -> int:
        """How many actors there should be now."""
        if self._retired:
            return 0
        return self._demand.wanted(smallest=self._smallest, largest=self._settings.pool_size_max, at=time.monotonic())

    @property
    def is_elastic(self) -> bool:
        """Whether the number of waiting queries matters."""
        return not self._retired and self._settings.pool_size_max > self._smallest

    def expect(self, waiting: int) -> None:
        """Say how many queries wait for an actor; an elastic pool grows by them."""
        busy = len(self._handles) - len(self._idle)
        self._demand.note(busy + waiting, at=time.monotonic())
        self.keep()

    def adopt(self, generations: Collection[int], busy: Callable[[ActorReport], None]) -> None:
        """Take in the actors of an earlier status actor of this generation, and of generations that have none.

        Returns at once, so that one that hangs keeps nobody waiting: they come as they answer.

        Args:
            generations: Whose status actor lives.
            busy: Is told of each that has a query.
        """
        for entry in ray.util.list_named_actors(all_namespaces=True):
            whose = generation_of_query_actor(entry["name"]) if entry["namespace"] == NAMESPACE else None
            if whose is not None and (whose == self._generation or whose not in generations):
                self._adopting.add(entry["name"])
                self._begin(self._adopt_one(entry["name"], busy))

    async def _adopt_one(self, name: str, busy: Callable[[ActorReport], None]) -> None:
        try:
            handle = ray.get_actor(name, namespace=NAMESPACE)
            async with asyncio.timeout(_START_SECONDS):
                await awaitable(handle.prepare.remote())
                report: ActorReport = await awaitable(handle.describe.remote())
        except (ValueError, RayError, TimeoutError):
            log.warning("pool.actor_not_adopted", name=name)
            return
        finally:
            self._adopting.discard(name)
        self._handles[name] = handle
        self._nodes[name] = report.node_id
        if report.query_uuid is None:
            self.give_back(name)
        else:
            busy(report)

    def is_adopting(self, name: str) -> bool:
        """Whether it is not known yet what this actor of an earlier status actor is doing."""
        return name in self._adopting

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    def keep(self) -> None:
        """Start as many actors as are missing, in the background, and end idle ones that are too many."""
        self._measure()
        missing = self.size - len(self._handles) - len(self._starting)
        # The youngest go first: they are on the nodes that came last, which an autoscaler can then give back.
        for name in [name for name in reversed(self._handles) if name in self._idle][: max(0, -missing)]:
            self._end(name)
        for _ in range(missing):
            self._begin(self._start())

    async def _start(self) -> None:
        name = query_actor_name(self._generation)
        remote = ray.remote(QueryActor).options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=self._settings.actor_cpus,
            max_restarts=0,
            scheduling_strategy=self._strategy(name),
        )
        handle = remote.remote(name, self._settings)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await awaitable(handle.prepare.remote())
                report: ActorReport = await awaitable(handle.describe.remote())
        except (RayError, TimeoutError) as error:
            log.warning("pool.actor_not_started", name=name, reason=type(error).__name__)
            ray.kill(handle)
            self._nodes.pop(name, None)
            return
        self._handles[name] = handle
        self._nodes[name] = report.node_id  # not always the one it was meant for
        self.give_back(name)
        log.info("pool.actor_started", name=name, idle=len(self._idle))

    def _strategy(self, name: str) -> NodeAffinitySchedulingStrategy | str:
        if self._settings.actor_cpus:
            return "SPREAD"  # an actor that asks for cores must not wait for one node while another has some free
        node_id = roomiest(living_nodes(), self._nodes.values())
        if node_id is None:
            return "SPREAD"
        self._nodes[name] = node_id
        return NodeAffinitySchedulingStrategy(node_id, soft=True)  # elsewhere when it has just gone

    def level(self) -> None:
        """Move one idle actor to a node that has fewer of them for its cores: one that has joined, or come back."""
        if self._settings.actor_cpus or self._starting or self._retired:
            return
        placed = {name: node_id for name, node_id in self._nodes.items() if name in self._handles}
        name = misplaced(living_nodes(), placed, self._idle)
        if name is not None:
            log.info("pool.actor_moved", name=name, node=self._nodes[name])
            self.discard(name)

    def lend(self, project_uuid: str) -> str | None:
        """Return the name of the idle actor that suits a query of the project best, and is busy from then on.

        None when all are busy.
        """
        idle = [self._idle[name] for name in self._handles if name in self._idle]
        name = preferred(idle, project_uuid, at=time.monotonic())
        if name is not None:
            del self._idle[name]
            self._projects[name] = project_uuid
        return name

    def give_back(self, name: str, *, recycle: bool = False) -> None:
        """Take an actor back; a worn one, and one of another generation, is ended and replaced."""
        ours = generation_of_query_actor(name) == self._generation and name not in self._aside
        if recycle or self._retired or not ours:
            self.discard(name)
        elif name in self._handles:
            self._idle[name] = IdleActor(name=name, project_uuid=self._projects.get(name), idle_since=time.monotonic())
            self.changed.set()

    def discard(self, name: str) -> None:
        """End an actor, whatever it is doing, and replace it."""
        self._end(name)
        self.keep()

    def _end(self, name: str) -> None:
        handle = self._forget(name) or self._aside.pop(name, None)
        if handle is not None:
            ray.kill(handle)

    def _forget(self, name: str) -> Any | None:
        self._idle.pop(name, None)
        self._projects.pop(name, None)
        self._nodes.pop(name, None)
        return self._handles.pop(name, None)

    def set_aside(self, name: str) -> None:
        """Replace a busy actor that has not been heard of. It may clean up if it comes back, and is ended then.

        One that does not come back in a minute is ended as well.
        """
        handle = self._forget(name)
        if handle is not None:
            self._aside[name] = handle
            asyncio.get_running_loop().call_later(_ASIDE_SECONDS, self._end, name)
            self.keep()

    def retire(self) -> None:
        """End the idle actors now and every other one when it is given back; start no more. Idempotent."""
        self._retired = True
        self.keep()
        self.changed.set()

    def is_filled(self, *, patient: bool) -> bool:
        """Whether every wanted actor has started; when not `patient`, whether any has."""
        return len(self._handles) >= (max(1, self.size) if patient else 1)

    @property
    def is_empty(self) -> bool:
        """Whether no actor is left and none is being started."""
        return not self._handles and not self._starting

    def handle(self, name: str) -> Any | None:
        """Return the handle of an actor, or None when it is gone."""
        return self._handles.get(name)

    def any_handle(self) -> Any | None:
        """Return the handle of some actor, an idle one if there is one; None when there are no actors."""
        name = next(iter(self._idle), None) or next(iter(self._handles), None)
        return self._handles.get(name) if name is not None else None

    @property
    def idle_count(self) -> int:
        """How many actors could take a query now."""
        return len(self._idle)

    @property
    def actor_count(self) -> int:
        """How many actors there are."""
        return len(self._handles)

    async def speak(self) -> None:
        """Ask the idle actors how they are; one that does not answer is replaced."""
        await asyncio.gather(*(self._speak_one(name) for name in list(self._idle)))

    async def _speak_one(self, name: str) -> None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await awaitable(self._handles[name].describe.remote())
        except TimeoutError:
            log.warning("pool.actor_slow", name=name)
        except RayError:
            log.warning("pool.actor_lost", name=name)
            if name in self._idle:
                self.discard(name)
        except KeyError:
            pass  # lent or discarded since
