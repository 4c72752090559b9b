"""Exports on the cluster: each part is a Ray task, spread over the nodes, and so is the making of a file.

Tasks and not actors: a part keeps nothing between two calls but what a worker process keeps anyway, its imports and
its connections, and Ray runs a task again on another node when its process dies.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import ray

from actors.ray_tasks import step_back, task_result
from queryfleet.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from queryfleet.export.compression import CodedPart
    from queryfleet.export.parts import PartRequest
    from queryfleet.results.store import ObjectStore
    from queryfleet.settings import Settings
    from queryfleet.status.export_jobs import ExportJob

__all__ = ["RayParts", "start_export"]

_PART_RETRIES = 3
_AT_ONCE_MAX = 8  # parts of one file or stream: what is made and not yet wanted is held in memory
_HOME_LOCK = threading.Lock()
_homes: list[tuple[Settings, _Home]] = []  # of this process, the newest last


class RayParts:
    """Makes parts in tasks on any node; see `PartMaker`.

    Args:
        settings: Of the service.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._remote: Any = None

    @property
    def at_once(self) -> int:
        """One for each core of the cluster, from 2 to 8."""
        return max(2, min(_AT_ONCE_MAX, int(ray.cluster_resources().get("CPU", 2))))

    async def part(self, request: PartRequest) -> CodedPart:
        """See `PartMaker.part`; a node that dies costs time, not the part."""
        if self._remote is None:
            self._remote = ray.remote(_make_part).options(
                num_cpus=0, max_retries=_PART_RETRIES, scheduling_strategy="SPREAD", name="export_part"
            )
        reference = self._remote.remote(self._settings, request)
        part: CodedPart = await task_result(
            reference,
            failed=lambda cause: StorageError(f"A part failed: {type(cause).__name__}."),
            lost=lambda reason: StorageError(f"The cluster could not make a part of the file: {reason}."),
        )
        return part


def start_export(settings: Settings, job: ExportJob) -> Any:
    """Begin to make a file on some node; returns what can be waited for. The job tells how it ends."""
    remote = ray.remote(_make_file).options(num_cpus=0, max_retries=0, scheduling_strategy="SPREAD", name="export_file")
    return remote.remote(settings, job)


class _Home:
    """What a worker process keeps: one loop, and on it the store."""

    def __init__(self, settings: Settings) -> None:
        from queryfleet.telemetry import configure_logging

        configure_logging(settings.log_level)
        os.environ.setdefault("POLARS_MAX_THREADS", "1")  # tasks are spread over the cores already
        step_back(settings.actor_niceness)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="exports", daemon=True).start()
        self.store: ObjectStore = self.run(_opened_store(settings))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something on the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _home_of(settings: Settings) -> _Home:
    """Return this process's own, made at first use; another one when the settings are others."""
    with _HOME_LOCK:
        if _homes and _homes[-1][0] == settings:
            return _homes[-1][1]
        home = _Home(settings)
        _homes.append((settings, home))
        return home


async def _opened_store(settings: Settings) -> ObjectStore:
    from actors.services import open_result_store

    return open_result_store(settings)


def _make_part(settings: Settings, request: PartRequest) -> CodedPart:
    import pyarrow as pa

    from queryfleet.export.parts import make_part

    home = _home_of(settings)
    part: CodedPart = home.run(make_part(home.store, request))
    pa.default_memory_pool().release_unused()  # the process stays for the next part, its peak need not
    return part


def _make_file(settings: Settings, job: ExportJob) -> None:
    home = _home_of(settings)
    home.run(_export(settings, job, home.store))


async def _export(settings: Settings, job: ExportJob, store: ObjectStore) -> None:
    from actors.exporting import run_export
    from actors.services import database_url, open_status_store
    from queryfleet.status.export_jobs import ExportJobs

    statuses = await open_status_store(settings, connections_max=1)
    jobs = ExportJobs(database_url(settings), connections_max=1)
    await jobs.open()
    try:
        await run_export(
            job,
            statuses=statuses,
            jobs=jobs,
            store=store,
            parts=RayParts(settings),
            lease_seconds=settings.lease_seconds,
        )
    finally:
        await jobs.close()
        await statuses.close()
