"""The query actor: a warm process that has one query to itself from claim to finish.

It is made ahead of time, with drivers imported and connections open, because a new process takes seconds. It keeps
nothing between queries but those; after enough of them, or when it has grown, it asks to be replaced. An actor that
nobody has spoken to for a while, and that has no query, ends itself: the status actor that made it is gone for good.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import ray
import structlog

from actors.messages import ActorReport, Outcome, RunReport
from actors.meter import RayMeter
from queryfleet.errors import ServiceError, StatusStoreError

if TYPE_CHECKING:
    from actors.attempt import Attempt
    from actors.messages import Assignment
    from actors.pivoting import CellStore
    from actors.sessions import SessionKeeper
    from queryfleet.errors import JsonValue
    from queryfleet.settings import Settings
    from queryfleet.warehouse.base import WarehouseSession

__all__ = ["QueryActor"]

_FORGOTTEN_SECONDS = 90.0

log = structlog.get_logger()


def _rss_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - procfs
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class QueryActor:
    """Runs queries, one at a time.

    Args:
        name: This actor's name in the cluster.
        settings: The service's settings; a worker's own environment is not read.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        from actors.services import database_url
        from actors.warm_up import warm_up_work
        from queryfleet.telemetry import configure_logging

        configure_logging(settings.log_level)
        os.nice(settings.actor_niceness)
        self._name = name
        self._settings = settings
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="work")
        self._executor.submit(warm_up_work, database_url(settings)).result()
        self._sessions = _session_keeper(settings)
        self._running: Attempt | None = None
        self._idle: asyncio.Event | None = None
        self._queries_done = 0
        self._spoken_to = time.monotonic()
        self._ready = False

    async def prepare(self) -> str:
        """Open connections; returns the actor's name once it can take a query."""
        if not self._ready:
            from actors.services import open_result_store, open_status_store, warm_up_store
            from actors.warm_up import warm_up_status_store

            self._statuses = await open_status_store(self._settings, connections_max=4)
            self._store = open_result_store(self._settings)
            await warm_up_store(self._store)
            await warm_up_status_store(self._statuses)
            self._meter = RayMeter()
            self._retries_seen = 0
            self._idle = asyncio.Event()
            self._idle.set()
            self._guard = asyncio.create_task(self._end_when_forgotten())
            self._ready = True
        return self._name

    async def run(self, assignment: Assignment) -> RunReport:
        """Run one attempt to its end. Only the status actor calls this, and only when the actor is idle."""
        await self.prepare()
        assert self._idle is not None  # noqa: S101 - set by `prepare`
        self._spoken_to = time.monotonic()
        execution = self._attempt(assignment)
        self._running = execution
        self._idle.clear()
        try:
            outcome = await execution.run()
        finally:
            self._running = None
            self._idle.set()
        self._queries_done += 1
        recycle = self._is_worn(outcome)
        if execution.connected and not recycle:
            self._sessions.prepare()
        await self._measure(assignment.query_uuid, outcome)
        return RunReport(query_uuid=assignment.query_uuid, attempt=assignment.attempt, outcome=outcome, recycle=recycle)

    def _attempt(self, assignment: Assignment) -> Attempt:
        from actors.execution import Execution
        from actors.fetch_tasks import RayFetch
        from actors.unstored import UnstoredExecution
        from actors.warehouses import resolved_config

        settings = self._settings

        def open_session() -> WarehouseSession:
            return self._sessions.take(resolved_config(assignment.project))

        if not settings.stores_rows:
            return UnstoredExecution(
                assignment,
                statuses=self._statuses,
                open_session=open_session,
                executor=self._executor,
                settings=settings,
            )
        return Execution(
            assignment,
            statuses=self._statuses,
            store=self._store,
            open_session=open_session,
            executor=self._executor,
            settings=settings,
            fetch=RayFetch(settings) if settings.fetch_tasks else None,
            cells=_cells_of(assignment, settings),
        )

    async def _measure(self, query_uuid: str, outcome: Outcome) -> None:
        retries = self._store.retry_count
        self._meter.count("queryfleet_store_retries_total", retries - self._retries_seen)
        self._retries_seen = retries
        try:
            record = await self._statuses.load(query_uuid)
        except StatusStoreError:
            return
        if record is None or outcome is Outcome.FENCED:
            self._meter.count("queryfleet_queries_total", outcome=outcome.value, error="")
            return
        error = record.failure.name if record.failure is not None else ""
        self._meter.count("queryfleet_queries_total", outcome=outcome.value, error=error)
        self._meter.count("queryfleet_rows_total", record.row_count)
        self._meter.count("queryfleet_bytes_total", record.byte_count)
        for name, milliseconds in record.timings.milliseconds().items():
            self._meter.observe("queryfleet_phase_seconds", milliseconds / 1000, phase=name.removesuffix("Ms"))

    def _is_worn(self, outcome: Outcome) -> bool:
        return (
            outcome is Outcome.FENCED
            or self._queries_done >= self._settings.actor_queries_max
            or _rss_bytes() > self._settings.actor_rss_bytes_max
        )

    async def cancel(self, query_uuid: str, attempt: int) -> bool:
        """Stop that attempt; False when this actor does not have it."""
        self._spoken_to = time.monotonic()
        execution = self._running
        if execution is None:
            return False
        if (execution.assignment.query_uuid, execution.assignment.attempt) != (query_uuid, attempt):
            return False
        await execution.cancel()
        return True

    async def release(self) -> None:
        """Let go of the query under way, because the service stops.

        The query is not cancelled: its lease runs out, and the next service takes it up under a new attempt. In the
        warehouse the statement is stopped, unless that attempt can go on with it.
        """
        if self._running is not None:
            await self._running.leave()
            await self.wait_idle()
        await asyncio.to_thread(self._sessions.close)

    async def stop_statement(self, project: dict[str, JsonValue], query_id: str) -> bool:
        """Stop a statement that an attempt without an actor has left in the warehouse; False when nothing was."""
        from actors.warehouses import stop_statement

        self._spoken_to = time.monotonic()
        try:
            return await asyncio.to_thread(stop_statement, project, query_id)
        except ServiceError as error:
            log.warning("query.statement_not_stopped", warehouse_query_id=query_id, reason=error.message)
            return False

    async def wait_idle(self) -> None:
        """Return when the actor has no query; how a new status actor learns that an old attempt has ended."""
        if self._idle is not None:
            await self._idle.wait()

    async def describe(self) -> ActorReport:
        """Say what the actor is doing. Being asked keeps it alive."""
        self._spoken_to = time.monotonic()
        assignment = self._running.assignment if self._running else None
        return ActorReport(
            name=self._name,
            node_id=ray.get_runtime_context().get_node_id(),
            query_uuid=assignment.query_uuid if assignment else None,
            attempt=assignment.attempt if assignment else None,
            queries_done=self._queries_done,
            rss_bytes=_rss_bytes(),
        )

    async def _end_when_forgotten(self) -> None:
        while True:
            await asyncio.sleep(_FORGOTTEN_SECONDS / 6)
            if self._running is None and time.monotonic() - self._spoken_to > _FORGOTTEN_SECONDS:
                log.warning("query_actor.forgotten", name=self._name)
                await asyncio.to_thread(self._sessions.close)
                ray.actor.exit_actor()


def _cells_of(assignment: Assignment, settings: Settings) -> CellStore | None:
    if assignment.pivot is None:
        return None
    from actors.pivot_cluster import RayCells

    return RayCells(assignment.query_uuid, assignment.attempt, settings)


def _session_keeper(settings: Settings) -> SessionKeeper:
    from actors.sessions import SessionKeeper, hold_seconds_of
    from actors.warehouses import warehouse_of

    return SessionKeeper(
        warehouse_of=warehouse_of,
        hold_seconds=lambda config: hold_seconds_of(config, settings.session_hold_seconds),
    )
