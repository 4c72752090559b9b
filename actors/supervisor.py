"""Who runs what. Everything decided here can be rebuilt from Postgres and the actors that are alive.

The loop wakes on a notification from Postgres (a query was accepted, a cancel was asked for), when an actor becomes
idle, and every `sweep_seconds` in case a notification was lost. Each round it gives pending queries to idle actors,
passes cancels on, and looks for attempts whose lease has run out.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import ray
import structlog
from ray.exceptions import ActorUnavailableError, RayError

from actors.export_dispatch import ExportDispatch
from actors.generation import generations
from actors.janitor import Janitor
from actors.messages import Assignment, Outcome, RunReport
from actors.names import NAMESPACE, status_actor_name
from actors.pool import ActorPool, awaitable
from actors.services import database_url, open_result_store, open_status_store
from actors.shares import share_of
from queryfleet.errors import ServiceError, StatusStoreError
from queryfleet.status.admission import claim_order
from queryfleet.status.changes import EXPORT_WORK, WORK_CHANNEL, ChangeListener
from queryfleet.status.record import Failure
from queryfleet.status.transitions import QueryStatus

if TYPE_CHECKING:
    from actors.messages import ActorReport
    from queryfleet.settings import Settings
    from queryfleet.status.admission import ProjectShare, Waiting
    from queryfleet.status.record import PendingCancel, QueryRecord
    from queryfleet.telemetry import Meter

__all__ = ["Supervisor"]

_SPEAK_SECONDS = 15.0
_FORCE_CANCEL_SECONDS = 5.0  # after this long an actor that did not confirm a cancel is killed
_REPEAT_CANCEL_SECONDS = 1.0
_ANSWER_SECONDS = 5.0
_ASK_AGAIN_SECONDS = 0.5
_REMEMBER_SHARES_SECONDS = 5.0
_FILL_SECONDS = 60.0  # after this long one query actor is enough to take over from an older generation
_FOREIGN_SECONDS = 7 * 86_400.0

log = structlog.get_logger()


class Supervisor:
    """Claims, assigns, cancels, sweeps. Runs on one event loop."""

    def __init__(self, settings: Settings, meter: Meter, generation: int) -> None:
        self._settings = settings
        self._generation = generation
        self._meter = meter
        self._cleaning: asyncio.Task[None] | None = None
        self._clean_at = time.monotonic() + settings.janitor_seconds
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cancels_sent: dict[tuple[str, int], tuple[float, float]] = {}  # when first, when last
        self._sweep_at = 0.0
        # Until then an attempt whose lease has run out may only have had no database to renew it with.
        self._patient_until = time.monotonic() + settings.lease_seconds
        self._assigned: dict[str, tuple[str, int]] = {}  # by actor: the query and attempt it has, as far as we know
        self._stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._retired = False
        self._began_at = time.monotonic()
        self._succeed_at = 0.0
        self._known_shares: dict[str, tuple[float, ProjectShare]] = {}
        self.pool = ActorPool(settings, generation)
        self._exports = ExportDispatch(settings, meter)

    async def run(self) -> None:
        """Work until `stop`."""
        self._statuses = await open_status_store(self._settings, connections_max=6)
        await self._exports.open()
        listener = ChangeListener(database_url(self._settings), WORK_CHANNEL)
        self.pool.adopt(generations(), lambda report: self._background(self._follow(report)))
        self.pool.keep()
        listener.start()
        try:
            with listener.watch_all() as notified, listener.watch(EXPORT_WORK, event=self._exports.due):
                while not self._stopping.is_set():
                    await self._round()
                    await _first_of(
                        notified,
                        self.pool.changed,
                        self._stopping,
                        *(() if self._retired else (self._exports.due,)),
                        timeout_seconds=self._pause_seconds(),
                    )
        finally:
            await listener.close()
            await self._exports.close()
            await self._statuses.close()

    def stop(self) -> None:
        """End the loop after its current round. Query actors are left alone."""
        self._stopping.set()

    @property
    def is_retired(self) -> bool:
        """Whether it claims nothing any more, because a newer generation does."""
        return self._retired

    def retire(self) -> None:
        """Claim nothing from now on, and end the loop when the last query has ended. Idempotent, from any thread."""
        self._loop.call_soon_threadsafe(self._retire)

    def _retire(self) -> None:
        if not self._retired:
            log.info("supervisor.retired", generation=self._generation, actors=self.pool.actor_count)
        self._retired = True
        self.pool.retire()

    async def _succeed(self) -> None:
        """Retire the generations before this one; repeated, since the told one may just be restarting."""
        for number in generations():
            if number < self._generation:
                try:
                    handle = ray.get_actor(status_actor_name(number), namespace=NAMESPACE)
                    await awaitable(handle.retire.remote())
                except (ValueError, RayError):
                    continue  # it has ended

    def _background(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _pause_seconds(self) -> float:
        longest = self._settings.sweep_seconds
        return longest if self._retired else min(longest, max(0.0, self._sweep_at - time.monotonic()))

    async def _round(self) -> None:
        if self._retired and self.pool.is_empty and self._exports.is_idle:
            self._stopping.set()
            return
        try:
            if not self._retired:
                await self._assign()
                await self._exports.claim()
            await self._pass_cancels()
            if not self._retired and time.monotonic() >= self._sweep_at:
                self._sweep_at = time.monotonic() + self._settings.sweep_seconds
                await self._sweep()
        except StatusStoreError as error:
            # While the database was away no actor could renew its lease: none may be taken for lost until each has
            # had the time to.
            self._patient_until = time.monotonic() + self._settings.lease_seconds
            log.warning("supervisor.database_away", reason=error.message)
            await asyncio.sleep(0.2)

    async def _assign(self) -> None:
        self.pool.changed.clear()
        if self.pool.idle_count == 0 and not self.pool.is_elastic:
            return
        waiting, running = await asyncio.gather(self._statuses.waiting(), self._statuses.running())
        if self.pool.is_elastic:
            self.pool.expect(len(waiting))
        if not waiting or self.pool.idle_count == 0:
            return
        shares = await self._shares({query.project_uuid for query in waiting})
        for query in claim_order(waiting, running, shares, count=self.pool.idle_count):
            await self._claim(query)

    async def _claim(self, query: Waiting) -> None:
        name = self.pool.lend(query.project_uuid)
        if name is None:
            return
        # Together: neither needs the other's answer, and the definition must be the one of now.
        record, project = await asyncio.gather(
            # Half of a lease: until the actor has the query and renews it, we may be the ones who are lost.
            self._statuses.claim(query.query_uuid, name, lease_seconds=self._settings.lease_seconds / 2),
            self._statuses.load_project(query.project_uuid),
            return_exceptions=True,
        )
        if record is None or isinstance(record, BaseException):
            self.pool.give_back(name)
            if record is not None:
                raise record
        elif isinstance(project, BaseException):
            self.pool.give_back(name)  # the lease runs out and the query is tried again
        else:
            self._background(self._run(name, record, project))

    async def _shares(self, project_uuids: set[str]) -> dict[str, ProjectShare]:
        """Return what projects may use; remembered for a few seconds, since it is asked for at every claim."""
        now = time.monotonic()
        for project_uuid in project_uuids:
            if self._known_shares.get(project_uuid, (0.0, None))[0] < now:
                share = share_of(await self._statuses.load_project(project_uuid) or {}, self._settings)
                self._known_shares[project_uuid] = (now + _REMEMBER_SHARES_SECONDS, share)
        return {project_uuid: share for project_uuid, (_, share) in self._known_shares.items()}

    async def _run(self, name: str, record: QueryRecord, project: dict[str, Any] | None) -> None:
        bound = log.bind(query_uuid=record.query_uuid, attempt=record.attempt, actor=name)
        handle = self.pool.handle(name)
        if project is None:
            await self._refuse(record)
        if project is None or handle is None:
            self.pool.give_back(name)
            return
        assignment = Assignment.of(record, project)
        self._assigned[name] = (record.query_uuid, record.attempt)
        try:
            report: RunReport = await awaitable(handle.run.remote(assignment))
        except RayError as error:
            bound.warning("query.call_lost", reason=type(error).__name__)
            await self._find_out(name, record.query_uuid, record.attempt)
        else:
            self._assigned.pop(name, None)
            self.pool.give_back(name, recycle=report.recycle)
            if report.outcome is Outcome.FENCED:
                # If the row still names this attempt, nobody has the query any more.
                await self._lose(record.query_uuid, record.attempt, "its actor gave it up")
        self._cancels_sent.pop((record.query_uuid, record.attempt), None)

    async def _refuse(self, record: QueryRecord) -> None:
        failure = Failure(name="NotFoundError", message="The project is no longer there.", status=404)
        # If the database is away, the lease runs out and the query is tried again.
        with contextlib.suppress(StatusStoreError):
            await self._statuses.fail(record.query_uuid, record.attempt, failure)

    async def _follow(self, report: ActorReport) -> None:
        """Wait for an attempt that an earlier status actor started."""
        assert report.query_uuid is not None  # noqa: S101 - only busy actors are followed
        assert report.attempt is not None  # noqa: S101
        self._assigned[report.name] = (report.query_uuid, report.attempt)
        await self._find_out(report.name, report.query_uuid, report.attempt)

    async def _find_out(self, name: str, query_uuid: str, attempt: int) -> None:
        """Wait for the end of an attempt whose call is not ours, or came back without an answer.

        An actor that is unavailable may have the query all the same: it is asked until it answers or its lease has
        run out. What is true is in the row, which refuses a loss that is none.
        """
        reason = "its process died"
        while (handle := self.pool.handle(name)) is not None:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    now: ActorReport = await awaitable(handle.describe.remote())
                if (now.query_uuid, now.attempt) == (query_uuid, attempt):
                    await awaitable(handle.wait_idle.remote())
                    continue
                reason = "its actor does not have it"
                self.pool.give_back(name)
            except (ActorUnavailableError, TimeoutError):
                await asyncio.sleep(_ASK_AGAIN_SECONDS)  # until the sweep sets the actor aside
                continue
            except RayError:
                self.pool.discard(name)
                # What ended it may have ended others, which must not be given the query next.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ASK_AGAIN_SECONDS):
                        await self.pool.speak()
            break
        self._assigned.pop(name, None)
        await self._lose(query_uuid, attempt, reason)

    async def _lose(self, query_uuid: str, attempt: int, reason: str) -> None:
        try:
            attempts_max = await self._attempts_max(query_uuid)
            status = await self._statuses.lose(query_uuid, attempt, attempts_max=attempts_max, reason=reason)
        except StatusStoreError:
            return  # the lease runs out, and the sweep does it
        if status is not None:
            self._meter.count("queryfleet_attempts_lost_total", reason=reason)
            log.warning("query.attempt_lost", query_uuid=query_uuid, attempt=attempt, reason=reason, status=status)
            if status is not QueryStatus.PENDING:
                self._background(self._stop_left(query_uuid))

    async def _attempts_max(self, query_uuid: str) -> int:
        """Return how often a query may be started: once where it may write, since a lost attempt may have written."""
        record = await self._statuses.load(query_uuid)
        project = await self._statuses.load_project(record.project_uuid) if record is not None else None
        return 1 if project is not None and project.get("allow_writes") else self._settings.attempts_max

    async def _pass_cancels(self) -> None:
        now = time.monotonic()
        for row in await self._statuses.cancels_pending():
            key = (row["query_uuid"], row["attempt"])
            handle = self.pool.handle(row["actor_name"])
            first, latest = self._cancels_sent.get(key, (now, 0.0))
            # Not counted: the time in which we could not pass it on, because the database was away or we were.
            if row["seconds"] > _FORCE_CANCEL_SECONDS and (handle is None or now - first > _FORCE_CANCEL_SECONDS):
                self._background(self._force_cancel(row))
            elif handle is not None and now - latest >= _REPEAT_CANCEL_SECONDS:
                self._cancels_sent[key] = (first, now)
                handle.cancel.remote(*key)

    async def _force_cancel(self, row: PendingCancel) -> None:
        """Kill an actor that does not confirm a cancel, and end the query with a warning."""
        warehouse_query_id = row["warehouse_query_id"] or "unknown"
        warning = (
            f"The warehouse did not confirm the cancel in {_FORCE_CANCEL_SECONDS:.0f} s; "
            f"its query {warehouse_query_id} may still be running."
        )
        try:
            confirmed = await self._statuses.confirm_cancel(row["query_uuid"], row["attempt"], warning=warning)
        except StatusStoreError:
            return  # the next round does it
        # Only now: the end of the actor would otherwise be taken for a loss, and end the query without the warning.
        self.pool.discard(row["actor_name"])
        if confirmed:
            log.warning("query.cancel_forced", query_uuid=row["query_uuid"], warehouse_query_id=warehouse_query_id)
            await self._stop_left(row["query_uuid"])

    async def _stop_left(self, query_uuid: str) -> None:
        """Stop what a query that has ended without its actor may have left running in the warehouse."""
        try:
            record = await self._statuses.load(query_uuid)
            project = await self._statuses.load_project(record.project_uuid) if record is not None else None
        except StatusStoreError:
            return
        handle = self.pool.any_handle()
        if record is None or record.warehouse_query_id is None or project is None or handle is None:
            return
        with contextlib.suppress(RayError):
            stopped = await awaitable(handle.stop_statement.remote(project, record.warehouse_query_id))
            log.info("query.statement_stopped", query_uuid=query_uuid, stopped=stopped)

    async def _measure(self) -> None:
        depth = await self._statuses.queue_depth()
        self._meter.set("queryfleet_queue_queries", depth["pending"])
        self._meter.set("queryfleet_queue_oldest_seconds", depth["oldest_seconds"])
        self._meter.set("queryfleet_running_queries", depth["running"])
        self._meter.set("queryfleet_pool_actors", self.pool.idle_count, state="idle")
        self._meter.set("queryfleet_pool_actors", self.pool.actor_count - self.pool.idle_count, state="busy")

    async def _clean(self) -> None:
        settings = self._settings
        store = open_result_store(settings)
        janitor = Janitor(
            self._statuses,
            store,
            retention_seconds=settings.history_retention_seconds,
            orphan_seconds=settings.orphan_seconds,
            # No result lives longer than this, whoever wrote it.
            foreign_seconds=settings.results_ttl_seconds + _FOREIGN_SECONDS,
        )
        try:
            cleaned = await janitor.clean()
        except ServiceError as error:
            log.warning("janitor.interrupted", reason=error.message)
        else:
            self._meter.count("queryfleet_cleaned_total", cleaned.results, kind="results")
            self._meter.count("queryfleet_cleaned_total", cleaned.orphans, kind="orphans")
            self._meter.count("queryfleet_cleaned_total", cleaned.queries, kind="queries")
        finally:
            await store.close()

    async def _end_overdue(self) -> None:
        """End what has waited too long, and cancel what nobody polls."""
        for row in await self._statuses.queue_overdue(queue_seconds=self._settings.queue_seconds_max):
            failure = Failure(
                name="TimeoutError",
                message=f"The query waited more than {row['seconds']:g} s for a free actor; try again later.",
                status=408,
                details={"limit": "queue_seconds", "seconds": row["seconds"]},
            )
            if await self._statuses.fail(row["query_uuid"], None, failure):
                log.warning("query.queue_timeout", query_uuid=row["query_uuid"])
        for query in await self._statuses.abandoned():
            await self._statuses.request_cancel(query["query_uuid"])
            log.info("query.abandoned", query_uuid=query["query_uuid"], poll_ttl_seconds=query["poll_ttl_seconds"])

    async def _sweep(self) -> None:
        now = time.monotonic()
        for row in await self._statuses.expired_leases():
            name, attempt = row["actor_name"], (row["query_uuid"], row["attempt"])
            is_known = self._assigned.get(name) == attempt
            if now < self._patient_until and (is_known or self.pool.is_adopting(name)):
                continue
            if is_known:
                self.pool.set_aside(name)
            await self._lose(*attempt, "its lease ran out")
        await self._end_overdue()
        await self._exports.sweep()
        await self._statuses.settle()
        await self._measure()
        if now >= self._clean_at and (self._cleaning is None or self._cleaning.done()):
            self._clean_at = now + self._settings.janitor_seconds
            self._cleaning = asyncio.create_task(self._clean())
        self.pool.keep()
        self.pool.level()
        if now - getattr(self, "_spoke_at", 0.0) >= _SPEAK_SECONDS:
            self._spoke_at = now
            self._background(self.pool.speak())
        if now >= self._succeed_at and self.pool.is_filled(patient=now < self._began_at + _FILL_SECONDS):
            self._succeed_at = now + _SPEAK_SECONDS
            self._background(self._succeed())


async def _first_of(*events: asyncio.Event, timeout_seconds: float) -> None:
    """Return when one of `events` is set, or after the time; clears the first."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    events[0].clear()
