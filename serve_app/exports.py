"""Files of results for one replica: asked for, waited for, linked to."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from actors.exporting import export_key, plan_of
from queryfleet.errors import (
    InternalError,
    NotFoundError,
    ParameterError,
    ResultCorruptError,
    ResultsExpiredError,
    ServiceError,
    StorageError,
)
from queryfleet.export.options import ExportFormat
from queryfleet.export.xlsx import check_sheet_rows
from queryfleet.status.export_jobs import ExportJob, JobStatus, NewExportJob
from serve_app.accounts import canonical_uuid
from serve_app.links import check_link, file_path
from serve_app.stored_lines import require_ready

if TYPE_CHECKING:
    from queryfleet.export.options import ExportOptions
    from queryfleet.results.store import ObjectStore
    from queryfleet.status.export_jobs import ExportJobStore
    from queryfleet.status.record import Failure, QueryRecord
    from queryfleet.status.store import StatusStore
    from queryfleet.status.watchers import Watchers

__all__ = ["Exports", "error_of", "require_kept"]

_LOOK_AGAIN_SECONDS = 1.0  # a notification can be lost with its connection
_STORE_LINK_SECONDS = 3600  # a link to the store is fetched anew from ours by whoever comes later
_FILE_NAME_CHARACTERS = 150


class Exports:
    """Jobs and links.

    Args:
        jobs: The truth about jobs.
        statuses: The truth about queries.
        store: Holds the files.
        listener: Tells when a job changed.
    """

    def __init__(self, jobs: ExportJobStore, statuses: StatusStore, store: ObjectStore, *, listener: Watchers) -> None:
        self._jobs = jobs
        self._statuses = statuses
        self._store = store
        self._listener = listener
        self._key: bytes | None = None

    async def request(self, record: QueryRecord, options: ExportOptions, *, file_name: str | None) -> ExportJob:
        """Ask for a file, or find the same one. It is committed when this returns.

        Args:
            record: Of a query of the caller.
            options: What the file looks like.
            file_name: What a browser calls it, without an ending; None: made from the query.

        Raises:
            ConflictError: The query has not ended, or was cancelled.
            WarehouseQueryError: The query failed.
            ResultsExpiredError: Its rows are no longer kept.
            ParameterError: Such a file cannot be made of this result.
        """
        require_kept(record)
        if options.format is ExportFormat.XLSX:
            check_sheet_rows(record.row_count + (options.totals_query is not None))
        plan = await asyncio.to_thread(plan_of, record, options)
        job = NewExportJob(
            job_uuid=str(uuid.uuid4()),
            project_uuid=record.project_uuid,
            user_uuid=record.user_uuid,
            query_uuid=record.query_uuid,
            digest=plan.digest(),
            options=options.to_json(),
            file_name=_file_name(file_name or f"results-{record.query_uuid[:8]}", options.format),
            object_key=export_key(record, plan),
            row_count=record.row_count,
        )
        return await self._jobs.request(job)

    async def of(self, job_id: str, *, user_uuid: str) -> ExportJob | None:
        """Return one job of this user; None when there is none."""
        known = canonical_uuid(job_id)
        job = await self._jobs.load(known) if known is not None else None
        return job if job is not None and job.user_uuid == user_uuid else None

    async def wait(self, job: ExportJob, *, timeout_seconds: float) -> ExportJob:
        """Return a job once it has ended, or as it is when the time is up."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        with self._listener.watch(job.job_uuid) as changed:
            while not job.is_ended:
                changed.clear()
                job = await self._jobs.load(job.job_uuid) or job
                left = deadline - asyncio.get_running_loop().time()
                if job.is_ended or left <= 0:
                    break
                try:
                    async with asyncio.timeout(min(left, _LOOK_AGAIN_SECONDS)):
                        await changed.wait()
                except TimeoutError:
                    continue
        return job

    async def path(self, job: ExportJob) -> tuple[str, datetime]:
        """Return the path of a completed job's file, and when the link expires; the same at each call.

        Raises:
            ResultsExpiredError: The result is gone.
        """
        expires_at = _expires_at(await self._record(job))
        path = file_path(await self._signing_key(), job.job_uuid, job.file_name, expires_at=expires_at)
        return path, datetime.fromtimestamp(expires_at, UTC)

    async def linked(self, job_id: str, *, expires_at: int, signature: str) -> ExportJob:
        """Return the completed job that a link leads to.

        Raises:
            NotFoundError: The link is not one of ours.
            ResultsExpiredError: It, or the result, has expired.
        """
        known = canonical_uuid(job_id) or ""
        check_link(await self._signing_key(), known, expires_at=expires_at, signature=signature, now=time.time())
        job = await self._jobs.load(known)
        if job is None or job.status is not JobStatus.COMPLETED:
            raise NotFoundError("There is no such file.")
        await self._record(job)
        return job

    async def store_url(self, job: ExportJob, *, expires_at: int) -> str | None:
        """Return a link to the file in the store itself; None when the store gives none."""
        seconds = max(1, min(_STORE_LINK_SECONDS, expires_at - int(time.time())))
        return await self._store.signed_url(job.object_key, seconds=seconds, file_name=job.file_name)

    async def _record(self, job: ExportJob) -> QueryRecord:
        record = await self._statuses.load(job.query_uuid)
        if record is None or record.objects_deleted or _expires_at(record) <= time.time():
            raise ResultsExpiredError("The file has expired with its result; run the query again.")
        return record

    async def _signing_key(self) -> bytes:
        if self._key is None:
            self._key = await self._jobs.signing_key()
        return self._key


def require_kept(record: QueryRecord) -> None:
    """Raise the error that a query without stored rows answers with.

    Raises:
        ConflictError: It has not ended, or was cancelled.
        WarehouseQueryError: It failed.
        ResultsExpiredError: Its rows are no longer kept.
    """
    require_ready(record)
    if record.objects_deleted or _expires_at(record) <= time.time():
        raise ResultsExpiredError("The results of this query have expired; run it again.")


def error_of(failure: Failure) -> ServiceError:
    """Return the error that a job ended with, as it was where the file was made."""
    known = (ParameterError, ResultsExpiredError, ResultCorruptError, StorageError)
    kinds = [kind for kind in known if (kind.wire_name, kind.status) == (failure.name, failure.status)]
    return (kinds[0] if kinds else InternalError)(failure.message)


def _expires_at(record: QueryRecord) -> int:
    """Return until when a result is kept, in whole seconds since 1970."""
    expiry = record.results_expire_at
    return int(expiry.timestamp()) if expiry is not None else 0


def _file_name(name: str, format_: ExportFormat) -> str:
    """Return a name that every system takes, with the right ending."""
    shown = "".join(letter if letter.isprintable() and letter not in '<>:"/\\|?*' else "_" for letter in name)
    shown = shown.encode("utf-8", "replace").decode().strip(" .")[:_FILE_NAME_CHARACTERS] or "results"
    return shown if shown.lower().endswith(format_.extension) else shown + format_.extension
