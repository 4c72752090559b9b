"""Files that are made on demand: who wants which, and how far each is. On PostgreSQL, beside the queries.

    scheduled ──claimed──▶ started ──completed──▶ completed
        ▲                     ├──────failed─────▶ error
        ╰── lease ran out ────┘

A job is made once for the same query, options and name. An attempt has a lease, and writes of an attempt that is not
the current one change nothing. A completed job's object goes with the chunks of its result.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from psycopg.types.json import Json

from queryfleet.errors import NotFoundError, StatusStoreError
from queryfleet.status.postgres_connections import PostgresConnections
from queryfleet.status.record import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.errors import JsonValue
    from queryfleet.status.rows import Row

__all__ = ["ExportJob", "ExportJobStore", "ExportJobs", "JobStatus", "NewExportJob"]


class JobStatus(StrEnum):
    """The four words of the HTTP contract."""

    SCHEDULED = "scheduled"
    STARTED = "started"
    COMPLETED = "completed"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewExportJob:
    """A file that somebody wants."""

    job_uuid: str
    project_uuid: str
    user_uuid: str
    query_uuid: str
    digest: str  # equal for the same bytes of the same query
    options: Mapping[str, JsonValue]
    file_name: str
    object_key: str
    row_count: int  # of the file


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob(NewExportJob):
    """A job as it stands."""

    status: JobStatus
    attempt: int
    rows_done: int
    byte_count: int | None  # once completed
    failure: Failure | None  # with status `error`

    @property
    def is_ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in (JobStatus.COMPLETED, JobStatus.ERROR)


class ExportJobStore(Protocol):
    """Jobs of all projects; every method raises `StatusStoreError` when the database is away."""

    async def close(self) -> None:
        """Let go of connections."""

    async def request(self, job: NewExportJob) -> ExportJob:
        """Store a job, or find the same one that is there and has not failed.

        Raises:
            NotFoundError: The query is gone.
        """

    async def load(self, job_uuid: str) -> ExportJob | None:
        """Return one job, or None."""

    async def claim(self, *, lease_seconds: float, attempts_max: int) -> ExportJob | None:
        """Take the oldest job that nobody works on, under a new attempt; None when there is none."""

    async def renew(self, job: ExportJob, *, rows_done: int, lease_seconds: float) -> bool:
        """Keep the lease of an attempt; False when it is not the current one."""

    async def complete(self, job: ExportJob, *, byte_count: int) -> bool:
        """Note that the file is durable; False when the attempt is not the current one."""

    async def fail(self, job: ExportJob, failure: Failure) -> bool:
        """End a job in `error`; False when the attempt is not the current one."""

    async def give_up(self, *, attempts_max: int) -> list[str]:
        """End the jobs that were lost too often, and return their uuids."""

    async def signing_key(self) -> bytes:
        """Return the secret that links are signed with; the same for every replica."""


class ExportJobs(PostgresConnections):
    """Jobs on one database; raises `StatusStoreError` when it is away, from every method.

    Args:
        database_url: `postgresql://…`; its password appears in no error and no log.
        connections_max: Most connections open at once.
        timeout_seconds: Longest wait for a free connection.
    """

    def __init__(self, database_url: str, *, connections_max: int = 2, timeout_seconds: float = 5.0) -> None:
        super().__init__(database_url, connections_max=connections_max, timeout_seconds=timeout_seconds)
        text = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
        blocks = (block.split("\n", 1) for block in text.split("-- name: ")[1:])
        self._statements = {name.strip(): statement.strip().encode() for name, statement in blocks}

    async def request(self, job: NewExportJob) -> ExportJob:
        """Store a job, or find the same one that is there and has not failed.

        Raises:
            NotFoundError: The query is gone.
        """
        import psycopg

        values = {name: getattr(job, name) for name in NewExportJob.__dataclass_fields__}
        values["options"] = Json(dict(job.options))
        for name in ("request", "same", "request"):  # the other one may end in an error between two looks
            try:
                row = await self._row(name, **values)
            except psycopg.errors.ForeignKeyViolation:
                raise NotFoundError("There is no such query.", queryUuid=job.query_uuid) from None
            if row is not None:
                return _job_of(row)
        raise StatusStoreError("The job could not be stored just now; try again.")

    async def load(self, job_uuid: str) -> ExportJob | None:
        """See `ExportJobStore.load`."""
        row = await self._row("load", job_uuid=job_uuid)
        return _job_of(row) if row else None

    async def claim(self, *, lease_seconds: float, attempts_max: int) -> ExportJob | None:
        """See `ExportJobStore.claim`."""
        row = await self._row("claim", lease_seconds=lease_seconds, attempts_max=attempts_max)
        return _job_of(row) if row else None

    async def renew(self, job: ExportJob, *, rows_done: int, lease_seconds: float) -> bool:
        """See `ExportJobStore.renew`."""
        return bool(await self._row("renew", **_attempt(job), rows_done=rows_done, lease_seconds=lease_seconds))

    async def complete(self, job: ExportJob, *, byte_count: int) -> bool:
        """See `ExportJobStore.complete`."""
        return bool(await self._row("complete", **_attempt(job), byte_count=byte_count))

    async def fail(self, job: ExportJob, failure: Failure) -> bool:
        """See `ExportJobStore.fail`."""
        values = {"error_name": failure.name, "error_message": failure.message, "error_status": failure.status}
        return bool(await self._row("fail", **_attempt(job), **values))

    async def give_up(self, *, attempts_max: int) -> list[str]:
        """See `ExportJobStore.give_up`."""
        return [str(row["job_uuid"]) for row in await self._rows("give_up", attempts_max=attempts_max)]

    async def signing_key(self) -> bytes:
        """See `ExportJobStore.request`."""
        row = await self._row("signing_key")
        if row is None:
            raise StatusStoreError("The database has no key to sign links with; start `queryfleet up` once.")
        return bytes(row["key"])


def _attempt(job: ExportJob) -> Row:
    return {"job_uuid": job.job_uuid, "attempt": job.attempt}


def _job_of(row: Row) -> ExportJob:
    failure = None
    if row["error_name"] is not None:
        failure = Failure(name=row["error_name"], message=row["error_message"], status=row["error_status"])
    return ExportJob(
        job_uuid=str(row["job_uuid"]),
        project_uuid=str(row["project_uuid"]),
        user_uuid=str(row["user_uuid"]),
        query_uuid=str(row["query_uuid"]),
        digest=row["digest"],
        options=row["options"],
        file_name=row["file_name"],
        object_key=row["object_key"],
        row_count=row["row_count"],
        status=JobStatus(row["status"]),
        attempt=row["attempt"],
        rows_done=row["rows_done"],
        byte_count=row["byte_count"],
        failure=failure,
    )
