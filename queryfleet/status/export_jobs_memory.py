"""Jobs that make files, in this process's memory: for tests and examples, gone with the process."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from queryfleet.errors import NotFoundError
from queryfleet.status.export_jobs import ExportJob, JobStatus, NewExportJob
from queryfleet.status.record import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from queryfleet.status.store import StatusStore

__all__ = ["MemoryExportJobs"]

_KEY_BYTES = 48


@dataclass(slots=True, kw_only=True)
class _Entry:
    job: ExportJob
    lease_until: datetime | None = None


class MemoryExportJobs:
    """Keeps jobs in a dictionary; see `ExportJobStore`. For one event loop.

    Args:
        statuses: Where the queries are; jobs go with them.
        on_change: Called with the uuid of a job that was made or has changed.
    """

    def __init__(self, statuses: StatusStore, *, on_change: Callable[[str], None] = lambda _: None) -> None:
        self._statuses = statuses
        self._on_change = on_change
        self._entries: dict[str, _Entry] = {}  # in the order of requests
        self._key = secrets.token_bytes(_KEY_BYTES)

    async def close(self) -> None:
        """Do nothing: what is stored stays until the store itself is gone."""

    async def request(self, job: NewExportJob) -> ExportJob:
        """See `ExportJobStore.request`."""
        if await self._statuses.load(job.query_uuid) is None:
            raise NotFoundError("There is no such query.", queryUuid=job.query_uuid)
        made: int | None = None
        for entry in self._entries.values():
            known = entry.job
            if known.object_key == job.object_key and known.status is JobStatus.COMPLETED:
                made = known.byte_count
            names = (known.query_uuid, known.digest, known.file_name)
            if names == (job.query_uuid, job.digest, job.file_name) and known.status is not JobStatus.ERROR:
                return known
        given = {each.name: getattr(job, each.name) for each in fields(NewExportJob)}
        stored = ExportJob(
            **given,
            status=JobStatus.SCHEDULED if made is None else JobStatus.COMPLETED,
            attempt=0,
            rows_done=0 if made is None else job.row_count,
            byte_count=made,
            failure=None,
        )
        self._put(_Entry(job=stored))
        return stored

    async def load(self, job_uuid: str) -> ExportJob | None:
        """See `ExportJobStore.load`."""
        entry = self._entries.get(job_uuid)
        if entry is None or await self._statuses.load(entry.job.query_uuid) is None:
            return None
        return entry.job

    async def claim(self, *, lease_seconds: float, attempts_max: int) -> ExportJob | None:
        """See `ExportJobStore.claim`."""
        for entry in self._entries.values():
            is_free = entry.job.status is JobStatus.SCHEDULED or _is_lost(entry)
            if is_free and entry.job.attempt < attempts_max:
                attempt = entry.job.attempt + 1
                job = replace(entry.job, status=JobStatus.STARTED, attempt=attempt, rows_done=0)
                self._put(_Entry(job=job, lease_until=_after(lease_seconds)))
                return job
        return None

    async def renew(self, job: ExportJob, *, rows_done: int, lease_seconds: float) -> bool:
        """See `ExportJobStore.renew`."""
        current = self._current(job)
        if current is None:
            return False
        self._put(_Entry(job=replace(current, rows_done=rows_done), lease_until=_after(lease_seconds)))
        return True

    async def complete(self, job: ExportJob, *, byte_count: int) -> bool:
        """See `ExportJobStore.complete`."""
        current = self._current(job)
        if current is None:
            return False
        ended = replace(current, status=JobStatus.COMPLETED, byte_count=byte_count, rows_done=current.row_count)
        self._put(_Entry(job=ended))
        return True

    async def fail(self, job: ExportJob, failure: Failure) -> bool:
        """See `ExportJobStore.fail`."""
        current = self._current(job)
        if current is None:
            return False
        self._put(_Entry(job=replace(current, status=JobStatus.ERROR, failure=failure)))
        return True

    async def give_up(self, *, attempts_max: int) -> list[str]:
        """See `ExportJobStore.give_up`."""
        lost = [entry.job for entry in self._entries.values() if _is_lost(entry) and entry.job.attempt >= attempts_max]
        for job in lost:
            text = f"The file was begun {job.attempt} times and lost each time."
            failure = Failure(name="UnexpectedServerError", message=text, status=500)
            self._put(_Entry(job=replace(job, status=JobStatus.ERROR, failure=failure)))
        return [job.job_uuid for job in lost]

    async def signing_key(self) -> bytes:
        """See `ExportJobStore.signing_key`."""
        return self._key

    def _current(self, job: ExportJob) -> ExportJob | None:
        entry = self._entries.get(job.job_uuid)
        if entry is None or (entry.job.status, entry.job.attempt) != (JobStatus.STARTED, job.attempt):
            return None
        return entry.job

    def _put(self, entry: _Entry) -> None:
        self._entries[entry.job.job_uuid] = entry
        self._on_change(entry.job.job_uuid)


def _is_lost(entry: _Entry) -> bool:
    return (
        entry.job.status is JobStatus.STARTED
        and entry.lease_until is not None
        and entry.lease_until < datetime.now(UTC)
    )


def _after(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)
