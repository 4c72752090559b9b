"""The pool of warm query actors: made ahead of time, lent one query at a time, replaced when worn or lost."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import TYPE_CHECKING, Any

import ray
import structlog
from ray.exceptions import RayError

from actors.names import NAMESPACE, QUERY_ACTOR_PREFIX
from actors.query_actor import QueryActor

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from actors.messages import ActorReport
    from queryfleet.settings import Settings

__all__ = ["ActorPool", "default_pool_size"]

_START_SECONDS = 120.0
_ANSWER_SECONDS = 5.0
_ACTOR_BYTES = 512 * 1024 * 1024

log = structlog.get_logger()


def default_pool_size(cpus: float, memory_bytes: float) -> int:
    """Return how many query actors a cluster of this size should keep warm: two per core, as memory allows."""
    return max(1, int(min(2 * cpus, memory_bytes / _ACTOR_BYTES)))


def awaitable(ref: Any) -> Awaitable[Any]:
    """Make a Ray reference awaitable on the running loop, whichever thread that is."""
    return asyncio.wrap_future(ref.future())


class ActorPool:
    """Keeps `size` query actors. All methods run on one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._handles: dict[str, Any] = {}  # every actor that can be spoken to, by name
        self._idle: list[str] = []
        self._starting: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()  # set when an actor becomes idle
        self.size = settings.pool_size or default_pool_size(
            ray.cluster_resources().get("CPU", os.cpu_count() or 1),
            ray.cluster_resources().get("memory", 4 * _ACTOR_BYTES),
        )

    async def adopt(self) -> list[ActorReport]:
        """Find the actors of an earlier status actor; returns what the busy ones are doing."""
        names = [
            entry["name"]
            for entry in ray.util.list_named_actors(all_namespaces=True)
            if entry["namespace"] == NAMESPACE and entry["name"].startswith(QUERY_ACTOR_PREFIX)
        ]
        reports = await asyncio.gather(*(self._adopt_one(name) for name in names))
        return [report for report in reports if report is not None and report.query_uuid is not None]

    async def _adopt_one(self, name: str) -> ActorReport | None:
        try:
            handle = ray.get_actor(name, namespace=NAMESPACE)
            async with asyncio.timeout(_START_SECONDS):
                await awaitable(handle.prepare.remote())
                report: ActorReport = await awaitable(handle.describe.remote())
        except (ValueError, RayError, TimeoutError):
            log.warning("pool.actor_not_adopted", name=name)
            return None
        self._handles[name] = handle
        if report.query_uuid is None:
            self._release(name)
        return report

    def keep(self) -> None:
        """Start as many actors as are missing, in the background."""
        for _ in range(self.size - len(self._handles) - len(self._starting)):
            task = asyncio.create_task(self._start())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self) -> None:
        name = QUERY_ACTOR_PREFIX + uuid.uuid4().hex[:12]
        remote = ray.remote(QueryActor).options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        handle = remote.remote(name, self._settings)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await awaitable(handle.prepare.remote())
        except (RayError, TimeoutError) as error:
            log.warning("pool.actor_not_started", name=name, reason=type(error).__name__)
            ray.kill(handle)
            return
        self._handles[name] = handle
        self._release(name)
        log.info("pool.actor_started", name=name, idle=len(self._idle))

    def _release(self, name: str) -> None:
        self._idle.append(name)
        self.changed.set()

    def lend(self) -> str | None:
        """Return the name of an idle actor, which is busy from then on; None when all are."""
        return self._idle.pop() if self._idle else None

    def give_back(self, name: str, *, recycle: bool = False) -> None:
        """Take an actor back; a worn one is ended and replaced."""
        if recycle:
            self.discard(name)
        elif name in self._handles:
            self._release(name)

    def discard(self, name: str) -> None:
        """End an actor, whatever it is doing, and replace it."""
        handle = self._handles.pop(name, None)
        if name in self._idle:
            self._idle.remove(name)
        if handle is not None:
            ray.kill(handle)
        self.keep()

    def handle(self, name: str) -> Any | None:
        """Return the handle of an actor, or None when it is gone."""
        return self._handles.get(name)

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
