"""Who makes which file: gives export jobs to tasks. A part of the status actor.

Like queries, jobs are claimed from the database under a lease, and whatever is lost is found by its lease: a task that
died, a node, or the status actor itself, with which its tasks end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from ray.exceptions import RayError

from actors.export_tasks import start_export
from actors.pool import awaitable
from actors.services import database_url
from queryfleet.status.export_jobs import ExportJobs

if TYPE_CHECKING:
    from queryfleet.settings import Settings
    from queryfleet.status.export_jobs import ExportJob
    from queryfleet.telemetry import Meter

__all__ = ["ExportDispatch"]

_ATTEMPTS_MAX = 3

log = structlog.get_logger()


class ExportDispatch:
    """Claims jobs and follows their tasks. Lives on one event loop.

    Args:
        settings: Of the service; `exports_max` files are made at once.
        meter: Counts them.
    """

    def __init__(self, settings: Settings, meter: Meter) -> None:
        self._settings = settings
        self._meter = meter
        self._jobs = ExportJobs(database_url(settings), connections_max=1)
        self._running: set[asyncio.Task[None]] = set()
        self.due = asyncio.Event()  # jobs may wait: looked for when it is set, not with each query
        self.due.set()

    async def open(self) -> None:
        """Start the connections."""
        await self._jobs.open()

    async def close(self) -> None:
        """Stop following; tasks that run end with the process."""
        for task in self._running:
            task.cancel()
        await self._jobs.close()

    @property
    def is_idle(self) -> bool:
        """Whether no file is being made."""
        return not self._running

    async def claim(self) -> None:
        """Begin the jobs that wait, as far as there is room, if any are due; raises `StatusStoreError`."""
        if not self.due.is_set():
            return
        self.due.clear()  # after a failure the next sweep sets it
        while len(self._running) < self._settings.exports_max:
            job = await self._jobs.claim(lease_seconds=self._settings.lease_seconds, attempts_max=_ATTEMPTS_MAX)
            if job is None:
                return
            task = asyncio.create_task(self._follow(job))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.due.set()  # there is room for one that waits

    async def sweep(self) -> None:
        """End jobs that were lost too often, and look for those that were lost once."""
        self.due.set()
        for job_uuid in await self._jobs.give_up(attempts_max=_ATTEMPTS_MAX):
            log.warning("export.given_up", job_uuid=job_uuid)

    async def _follow(self, job: ExportJob) -> None:
        self._meter.count("queryfleet_exports_total", format=str(job.options.get("format")))
        try:
            await awaitable(start_export(self._settings, job))
        except RayError as error:
            # Its lease runs out, and it is begun again.
            log.warning("export.task_lost", job_uuid=job.job_uuid, reason=type(error).__name__)
