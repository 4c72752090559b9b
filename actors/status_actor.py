"""The status actor: one named, detached process per generation that restarts itself and keeps the service going.

Its own loop runs on a thread of its own, started by the constructor, so that a restarted actor works again without
being called by anybody.

Hand-over: the status actor of a new generation starts beside the old one and fills a pool of its own. When that is
ready it *retires* the old one, which from then on claims nothing, lets its query actors finish and end, and ends
itself with the last of them. If the new generation never becomes ready, the old one simply goes on.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import ray
import structlog

from actors.fingerprint import code_digest, fingerprint
from actors.generation import Generation, fingerprint_of, generations
from actors.names import NAMESPACE, status_actor_name
from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from queryfleet.settings import Settings

__all__ = ["StatusActor", "start_status_actor"]

_TRIES = 5  # somebody else may take the same number at the same moment

log = structlog.get_logger()


class StatusActor:
    """Runs the supervisor; answers a few questions about it.

    Args:
        settings: Of the service.
        generation: Its number, counted from 1.
        mark: The fingerprint of its code and settings.
    """

    def __init__(self, settings: Settings, generation: int, mark: str) -> None:
        from queryfleet.telemetry import configure_logging

        configure_logging(settings.log_level)
        self._settings = settings
        self._generation = generation
        self._mark = mark
        self._supervisor: Any = None
        threading.Thread(target=self._work, name="supervisor", daemon=True).start()

    def _work(self) -> None:
        try:
            asyncio.run(self._supervise())
        except BaseException:
            # A supervisor that cannot go on must not leave a process that looks alive: Ray starts a new one.
            log.exception("supervisor.died")
            os._exit(1)
        # Retired, and nothing left to do. Ray must not restart it.
        ray.kill(ray.get_actor(status_actor_name(self._generation), namespace=NAMESPACE), no_restart=True)

    async def _supervise(self) -> None:
        from actors.meter import RayMeter
        from actors.supervisor import Supervisor

        self._supervisor = Supervisor(self._settings, RayMeter(), self._generation)
        await self._supervisor.run()

    def fingerprint(self) -> str:
        """Return what code and settings this generation has; compare only."""
        return self._mark

    def pool(self) -> dict[str, int]:
        """Return `{"size", "actors", "idle"}`: wanted, started and free query actors."""
        supervisor = self._supervisor
        if supervisor is None:
            return {"size": 0, "actors": 0, "idle": 0}
        pool = supervisor.pool
        return {"size": pool.size, "actors": pool.actor_count, "idle": pool.idle_count}

    def is_retired(self) -> bool:
        """Return whether a newer generation has taken over."""
        return self._supervisor is not None and bool(self._supervisor.is_retired)

    def retire(self) -> None:
        """Claim nothing from now on, let running queries end, then end. Idempotent; returns at once."""
        if self._supervisor is not None:  # else it is just starting, and will be told again
            self._supervisor.retire()


def start_status_actor(settings: Settings) -> Generation:
    """Make sure that a generation with this code and these settings runs; returns without waiting for its pool.

    If the newest generation is the same, it is left alone. Otherwise a new one starts, and takes over by itself.

    Raises:
        ConfigurationError: Others start generations of their own at the same time.
        RayError: Ray could not start it.
    """
    mark = fingerprint(settings, code=code_digest())
    for _ in range(_TRIES):
        known = generations()
        if known and fingerprint_of(known[-1]) == mark:
            return Generation(
                number=known[-1],
                status_actor=ray.get_actor(status_actor_name(known[-1]), namespace=NAMESPACE),
                replaces=(),
            )
        number = known[-1] + 1 if known else 1
        remote = ray.remote(StatusActor).options(
            name=status_actor_name(number),
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=-1,
            num_cpus=0,
        )
        handle = remote.remote(settings, number, mark)
        if ray.get(handle.fingerprint.remote()) == mark:
            return Generation(number=number, status_actor=handle, replaces=tuple(known))
    raise ConfigurationError("Others keep starting the service on this cluster; start it once at a time.")
