"""What can be killed, and how each part comes back."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from tests.chaos.stack import kill_postgres
from tests.servers.service_process import wait_until

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.chaos.stack import ChaosStack

_FIND_SECONDS = 30.0
REPLICA = "ray::ServeReplica:queryfleet:http"


@dataclass(slots=True, kw_only=True)
class Kill:
    """One kill. Times are seconds of `time.monotonic`."""

    kind: str
    detail: str = ""
    at: float = 0.0
    back_at: float = 0.0  # the part runs again; for parts that Ray starts again by itself: when it was killed
    open_before: list[str] = field(default_factory=list)  # queries that were under way
    overlaps: bool = False  # with the recovery from another kill
    settled_seconds: float | None = None  # from `back_at` until every query accepted before it had ended
    silent_seconds: float | None = None  # from `at` until the last answer that failed because of it


class Killer:
    """Kills parts of one stack.

    Args:
        stack: Whose parts.
        rng: Decides which one and for how long.
    """

    def __init__(self, stack: ChaosStack, rng: random.Random) -> None:
        self._stack = stack
        self._rng = rng
        self._ways: dict[str, Callable[[Kill], None]] = {
            "nothing": self._nothing,
            "query actor": self._query_actor,
            "status actor": self._status_actor,
            "serve replica": lambda kill: self._one_of(kill, REPLICA),
            "serve controller": lambda kill: self._one_of(kill, "ray::ServeController"),
            "haproxy": self._haproxy,
            "proxy actor": self._proxy_actor,
            "worker node": self._worker_node,
            "head": self._head,
            "database": self._database,
            "result store": self._result_store,
            "warehouse": self._warehouse,
        }

    @property
    def kinds(self) -> tuple[str, ...]:
        """What can be killed."""
        return tuple(self._ways)

    def kill(self, kill: Kill) -> None:
        """Carry it out, and return when the part runs again, or at once when Ray starts it again by itself."""
        self._ways[kill.kind](kill)
        if kill.back_at == 0.0:
            kill.back_at = kill.at

    def _strike(self, kill: Kill, process: psutil.Process) -> None:
        kill.at = time.monotonic()
        process.kill()

    def _nothing(self, kill: Kill) -> None:
        kill.at = time.monotonic()  # what the other figures are to be compared with

    def _one_of(self, kill: Kill, title: str) -> None:
        self._strike(kill, self._rng.choice(self._stack.await_process(title)))

    def _query_actor(self, kill: Kill) -> None:
        # One that has a query, if there is any.
        found = self._stack.processes("ray::QueryActor.run") or self._stack.await_process("ray::QueryActor")
        kill.detail = "busy" if "run" in " ".join(found[0].cmdline()) else "idle"
        self._strike(kill, self._rng.choice(found))

    def _status_actor(self, kill: Kill) -> None:
        self._one_of(kill, "ray::StatusActor")

    def _haproxy(self, kill: Kill) -> None:
        found: list[psutil.Process] = []

        def look() -> bool:
            # The one with the service's port: the worker node may have its own.
            found[:] = [one for one in self._stack.processes("") if one.name() == "haproxy" and self._listens(one)]
            return bool(found)

        assert wait_until(look, seconds=_FIND_SECONDS), "HAProxy runs"
        self._strike(kill, self._rng.choice(found))

    def _listens(self, process: psutil.Process) -> bool:
        port = int(self._stack.url.rsplit(":", 1)[1])
        with contextlib.suppress(psutil.Error):
            return any(connection.laddr.port == port for connection in process.net_connections("tcp"))
        return False

    def _proxy_actor(self, kill: Kill) -> None:
        kill.detail = self._rng.choice(("ray::HAProxyManager", "ray::ProxyActor"))
        self._one_of(kill, kill.detail)

    def _worker_node(self, kill: Kill) -> None:
        kill.at = time.monotonic()
        self._stack.kill_worker()
        self._pause(0.0, 6.0)
        self._stack.replace_worker()
        kill.back_at = time.monotonic()

    def _head(self, kill: Kill) -> None:
        kill.at = time.monotonic()
        self._stack.kill_head()
        self._stack.restart_head()
        kill.back_at = time.monotonic()

    def _database(self, kill: Kill) -> None:
        self._cycle(kill, stop=lambda: kill_postgres(self._stack.database), clean=self._stack.database.stop,
                    start=self._stack.database.start, away=(0.0, 8.0))  # fmt: skip

    def _result_store(self, kill: Kill) -> None:
        self._cycle(kill, stop=self._stack.store.kill, clean=self._stack.store.stop,
                    start=self._stack.store.start, away=(0.5, 20.0))  # fmt: skip

    def _warehouse(self, kill: Kill) -> None:
        self._cycle(kill, stop=lambda: kill_postgres(self._stack.warehouse), clean=self._stack.warehouse.stop,
                    start=self._stack.warehouse.start, away=(0.0, 6.0))  # fmt: skip

    def _cycle(
        self,
        kill: Kill,
        *,
        stop: Callable[[], None],
        clean: Callable[[], None],
        start: Callable[[], None],
        away: tuple[float, float],
    ) -> None:
        softly = self._rng.random() < 0.3
        kill.at = time.monotonic()
        (clean if softly else stop)()
        seconds = self._pause(*away)
        start()
        kill.back_at = time.monotonic()
        kill.detail = f"{'stopped' if softly else 'killed'}, away for {seconds:.1f} s"

    def _pause(self, shortest: float, longest: float) -> float:
        seconds = self._rng.uniform(shortest, longest)
        threading.Event().wait(seconds)
        return seconds
