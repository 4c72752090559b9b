"""Does in this process what the status actor and the query actors do on a cluster: takes queries and runs them.

Queries are taken in the same order, under the same limits, and run by the same `Execution`; files are made by the same
code. What is missing is what only many processes need: leases that run out, and actors that are lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.execution import Execution
from actors.exporting import run_export
from actors.messages import Assignment
from actors.shares import share_of
from queryfleet.export.parts import LocalParts
from queryfleet.status.admission import claim_order
from queryfleet.status.record import Failure

if TYPE_CHECKING:
    from queryfleet.settings import Settings
    from queryfleet.status.admission import Waiting
    from queryfleet.status.export_jobs import ExportJob
    from queryfleet.warehouse.base import Warehouse
    from serve_app.services import Stores

__all__ = ["Runner"]

_LOOK_SECONDS = 0.5  # for what nobody tells of: queries that have waited too long, or that nobody polls
_ATTEMPTS_MAX = 3  # at one file
_RUNNER = "in-process"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs queries and makes files until it is cancelled."""

    stores: Stores
    warehouse: Warehouse  # of every project
    settings: Settings
    queries_at_once: int

    async def run(self) -> None:
        """Work. Ends only by being cancelled; queries that run are stopped then."""
        running: dict[tuple[str, int], Execution] = {}
        tasks: set[asyncio.Task[None]] = set()
        try:
            with self.stores.listener.watch_all() as changed:
                while True:
                    changed.clear()
                    await self._round(running, tasks)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await changed.wait()
        finally:
            for execution in list(running.values()):
                await execution.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _round(self, running: dict[tuple[str, int], Execution], tasks: set[asyncio.Task[None]]) -> None:
        statuses = self.stores.statuses
        for row in await statuses.cancels_pending():
            execution = running.get((row["query_uuid"], row["attempt"]))
            if execution is not None:
                await execution.cancel()
        for query in await statuses.abandoned():
            await statuses.request_cancel(query["query_uuid"])
        for overdue in await statuses.queue_overdue(queue_seconds=self.settings.queue_seconds_max):
            text = f"The query waited more than {overdue['seconds']:g} s for a free actor; try again later."
            await statuses.fail(overdue["query_uuid"], None, Failure(name="TimeoutError", message=text, status=408))
        await statuses.settle()
        for waiting in await self._next(self.queries_at_once - len(running)):
            await self._begin(waiting, running, tasks)
        job = await self.stores.jobs.claim(lease_seconds=self.settings.lease_seconds, attempts_max=_ATTEMPTS_MAX)
        if job is not None:
            _keep(asyncio.create_task(self._make_file(job)), tasks)

    async def _next(self, count: int) -> list[Waiting]:
        if count <= 0:
            return []
        statuses = self.stores.statuses
        waiting, slots = await statuses.waiting(), await statuses.running()
        shares = {
            project_uuid: share_of(await statuses.load_project(project_uuid) or {}, self.settings)
            for project_uuid in {query.project_uuid for query in waiting}
        }
        return claim_order(waiting, slots, shares, count=count)

    async def _begin(
        self, query: Waiting, running: dict[tuple[str, int], Execution], tasks: set[asyncio.Task[None]]
    ) -> None:
        statuses = self.stores.statuses
        project = await statuses.load_project(query.project_uuid)
        record = await statuses.claim(query.query_uuid, _RUNNER, lease_seconds=self.settings.lease_seconds)
        if record is None or project is None:
            return
        threads = ThreadPoolExecutor(1, thread_name_prefix="queryfleet-work")
        execution = Execution(
            Assignment.of(record, project),
            statuses=statuses,
            store=self.stores.results,
            open_session=self.warehouse.open,
            executor=threads,
            settings=self.settings,
        )
        key = (record.query_uuid, record.attempt)
        running[key] = execution

        async def follow() -> None:
            try:
                await execution.run()
            finally:
                del running[key]
                threads.shutdown(wait=False)
                self.stores.listener.wake(record.query_uuid)  # there is room for another one

        _keep(asyncio.create_task(follow()), tasks)

    async def _make_file(self, job: ExportJob) -> None:
        await run_export(
            job,
            statuses=self.stores.statuses,
            jobs=self.stores.jobs,
            store=self.stores.results,
            parts=LocalParts(self.stores.results),
            lease_seconds=self.settings.lease_seconds,
        )


def _keep(task: asyncio.Task[None], tasks: set[asyncio.Task[None]]) -> None:
    tasks.add(task)
    task.add_done_callback(tasks.discard)
