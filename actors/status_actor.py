"""The status actor: one named, detached process that restarts itself and keeps the service going.

Its own loop runs on a thread of its own, started by the constructor, so that a restarted actor works again without
being called by anybody.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import ray
import structlog

from actors.names import NAMESPACE, STATUS_ACTOR

if TYPE_CHECKING:
    from queryfleet.settings import Settings

__all__ = ["StatusActor", "start_status_actor"]

log = structlog.get_logger()


class StatusActor:
    """Runs the supervisor; answers a few questions about it."""

    def __init__(self, settings: Settings) -> None:
        from queryfleet.telemetry import configure_logging

        configure_logging(settings.log_level)
        self._settings = settings
        self._supervisor: Any = None
        threading.Thread(target=self._work, name="supervisor", daemon=True).start()

    def _work(self) -> None:
        try:
            asyncio.run(self._supervise())
        except BaseException:
            # A supervisor that cannot go on must not leave a process that looks alive: Ray starts a new one.
            log.exception("supervisor.died")
            os._exit(1)

    async def _supervise(self) -> None:
        from actors.supervisor import Supervisor

        self._supervisor = Supervisor(self._settings)
        await self._supervisor.run()

    def pool(self) -> dict[str, int]:
        """Return `{"size", "actors", "idle"}`: wanted, started and free query actors."""
        supervisor = self._supervisor
        if supervisor is None:
            return {"size": 0, "actors": 0, "idle": 0}
        pool = supervisor.pool
        return {"size": pool.size, "actors": pool.actor_count, "idle": pool.idle_count}


def start_status_actor(settings: Settings) -> Any:
    """Return the status actor's handle, starting it if there is none."""
    remote = ray.remote(StatusActor).options(
        name=STATUS_ACTOR,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_task_retries=-1,
        num_cpus=0,
    )
    return remote.remote(settings)
