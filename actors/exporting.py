"""One file of a stored result, from its claim to its end. Knows nothing of Ray: parts are made wherever they are.

The file is written under a key that its bytes alone decide, so two attempts at once do no harm: they write the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from queryfleet.errors import InternalError, ResultsExpiredError, ServiceError, StatusStoreError
from queryfleet.export.files import file_pieces
from queryfleet.export.options import ExportOptions
from queryfleet.export.ordered import in_order
from queryfleet.export.parts import PartRequest
from queryfleet.export.plan import ExportPlan
from queryfleet.export.total_row import total_part
from queryfleet.results.chunking import result_prefix
from queryfleet.results.decoder import decode_lines
from queryfleet.results.page import schema_from_bytes
from queryfleet.results.reader import read_lines
from queryfleet.status.record import Failure
from queryfleet.status.transitions import QueryStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    import pyarrow as pa

    from queryfleet.export.parts import PartMaker
    from queryfleet.model import ChunkRef
    from queryfleet.results.store import ObjectStore
    from queryfleet.status.export_jobs import ExportJob, ExportJobStore
    from queryfleet.status.record import QueryRecord
    from queryfleet.status.store import StatusStore

__all__ = ["export_key", "plan_of", "run_export"]

_RENEWALS = 4  # times in a lease
_TOTALS_SECONDS = 600.0  # longest wait for the query of the totals

log = structlog.get_logger()


def plan_of(record: QueryRecord, options: ExportOptions) -> ExportPlan:
    """Bring a query's result and options together; raises like `ExportPlan.of`."""
    return ExportPlan.of(
        options,
        record.arrow_schema or b"",
        fields=record.column_fields,
        timezone=record.timezone,
        sparse=record.pivot is not None,
    )


def export_key(record: QueryRecord, plan: ExportPlan) -> str:
    """Return where a file lies: beside the chunks it is made from, so that it goes with them."""
    prefix = result_prefix(record.result_query_uuid, record.result_attempt)
    return f"{prefix}exports/{plan.digest()}{plan.options.format.extension}"


async def run_export(
    job: ExportJob,
    *,
    statuses: StatusStore,
    jobs: ExportJobStore,
    store: ObjectStore,
    parts: PartMaker,
    lease_seconds: float,
) -> None:
    """Make the file of a job that was claimed, and end the job. Memory: a few parts, whatever the size of the result.

    What goes wrong ends the job in `error`; nothing is raised but `StatusStoreError`, after which the lease runs out
    and the job is begun again.
    """
    began = time.monotonic()
    bound = log.bind(job_uuid=job.job_uuid, query_uuid=job.query_uuid, attempt=job.attempt)
    try:
        byte_count = await _leased(job, jobs, _Work(job, statuses=statuses, store=store, parts=parts), lease_seconds)
    except _LostLeaseError:
        bound.info("export.overtaken")
        return
    except StatusStoreError:
        raise
    except ServiceError as error:
        bound.warning("export.failed", name=error.wire_name, reason=error.message)
        await jobs.fail(job, Failure(name=error.wire_name, message=error.message, status=error.status))
        return
    except Exception as error:  # noqa: BLE001 - told by the job, and logged
        bound.exception("export.unexpected_error")
        failure = InternalError(f"Something unexpected went wrong while the file was made ({type(error).__name__}).")
        await jobs.fail(job, Failure(name=failure.wire_name, message=failure.message))
        return
    await jobs.complete(job, byte_count=byte_count)
    bound.info("export.completed", byte_count=byte_count, seconds=round(time.monotonic() - began, 3))


class _LostLeaseError(Exception):
    """Somebody else has the job now, or it is gone."""


class _Work:
    """The making of one file, and how far it is."""

    def __init__(self, job: ExportJob, *, statuses: StatusStore, store: ObjectStore, parts: PartMaker) -> None:
        self._job = job
        self._statuses = statuses
        self._store = store
        self._parts = parts
        self.rows_done = 0

    async def run(self) -> int:
        """Return the length of the file."""
        record = await self._statuses.load(self._job.query_uuid)
        if record is None or record.status is not QueryStatus.READY or record.objects_deleted:
            raise ResultsExpiredError("The results of this query are gone; run it again.")
        plan = plan_of(record, ExportOptions.from_json(self._job.options))
        chunks = await self._statuses.chunks(
            record.result_query_uuid, record.result_attempt, first_row=0, end_row=max(1, record.row_count)
        )
        totals = plan.options.totals_query
        total = None if totals is None else partial(self._total, plan, totals)
        pieces = file_pieces(plan, self._ordered_parts(plan, chunks), total=total)
        return await self._store.put_stream(self._job.object_key, pieces)

    async def _ordered_parts(self, plan: ExportPlan, chunks: Sequence[ChunkRef]) -> AsyncIterator[bytes]:
        requests = (PartRequest.of(plan, chunk) for chunk in chunks)
        made = in_order(_each(requests), self._parts.part, at_once=self._parts.at_once)
        async with contextlib.aclosing(made):
            for chunk in chunks:
                yield (await anext(made)).data
                self.rows_done += chunk.row_count

    async def _total(self, plan: ExportPlan, query_uuid: str) -> bytes:
        """Return the row of totals; totals that fail leave it empty, and the file whole."""
        try:
            async with asyncio.timeout(_TOTALS_SECONDS):
                record = await self._ended(query_uuid)
            totals = await self._first_row(record)
        except (ServiceError, TimeoutError) as error:
            log.warning("export.no_totals", query_uuid=query_uuid, reason=str(error)[:300])
            totals = None
        return await asyncio.to_thread(total_part, plan, totals)

    async def _ended(self, query_uuid: str) -> QueryRecord:
        pause = 0.02
        while True:
            record = await self._statuses.load(query_uuid)
            if record is None or record.is_terminal:
                break
            await asyncio.sleep(pause)
            pause = min(1.0, 1.5 * pause)
        if record is None or record.status is not QueryStatus.READY or record.arrow_schema is None:
            raise ResultsExpiredError("The query of the totals has no result.")
        return record

    async def _first_row(self, record: QueryRecord) -> pa.RecordBatch | None:
        if not record.row_count:
            return None
        chunks = await self._statuses.chunks(record.result_query_uuid, record.result_attempt, first_row=0, end_row=1)
        lines = await read_lines(self._store, chunks, 0, 1)
        schema = schema_from_bytes(record.arrow_schema or b"")
        return await asyncio.to_thread(decode_lines, lines, schema, sparse=record.pivot is not None)


async def _each(requests: Iterator[PartRequest]) -> AsyncIterator[PartRequest]:
    for request in requests:
        yield request


async def _leased(job: ExportJob, jobs: ExportJobStore, work: _Work, lease_seconds: float) -> int:
    """Run `work` while the lease is kept; raises `_LostLeaseError` when it cannot be."""
    running = asyncio.create_task(work.run())
    try:
        while True:
            done, _ = await asyncio.wait([running], timeout=lease_seconds / _RENEWALS)
            if done:
                return running.result()
            with contextlib.suppress(StatusStoreError):  # the next renewal may still be in time
                if not await jobs.renew(job, rows_done=work.rows_done, lease_seconds=lease_seconds):
                    raise _LostLeaseError
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
