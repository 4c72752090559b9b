"""What every store of jobs that make files promises."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from queryfleet.errors import NotFoundError
from queryfleet.status.export_jobs import ExportJobs, JobStatus, NewExportJob
from queryfleet.status.export_jobs_memory import MemoryExportJobs
from queryfleet.status.memory import MemoryStatusStore
from queryfleet.status.record import Failure
from tests.fixtures.statuses import PROJECT, USER, new_query

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture
async def jobs(any_statuses, request):
    """Yield the jobs of an empty store of each kind in turn."""
    if isinstance(any_statuses, MemoryStatusStore):
        yield MemoryExportJobs(any_statuses)
        return
    opened = ExportJobs(request.getfixturevalue("migrated_url"), timeout_seconds=2)
    await opened.open()
    yield opened
    await opened.close()


async def new_job(statuses, **changes):
    query = new_query()
    await statuses.accept(query)
    values = {
        "job_uuid": str(uuid.uuid4()),
        "project_uuid": PROJECT,
        "user_uuid": USER,
        "query_uuid": query.query_uuid,
        "digest": "d",
        "options": {"format": "csv"},
        "file_name": "a.csv",
        "object_key": "results/a/1/exports/d.csv",
        "row_count": 10,
    }
    return NewExportJob(**(values | changes))


async def test_same_job_is_stored_once_even_at_once(any_statuses, jobs):
    """Of many equal requests at the same moment one makes a job and the others find it."""
    job = await new_job(any_statuses)
    found = await asyncio.gather(*(jobs.request(job) for _ in range(8)))
    assert {one.job_uuid for one in found} == {job.job_uuid}


async def test_job_is_claimed_by_one_and_lost_with_its_lease(any_statuses, jobs):
    """A job that nobody is heard of about is taken by the next, and the one that was cut off changes nothing."""
    job = await jobs.request(await new_job(any_statuses))
    first = await jobs.claim(lease_seconds=0.01, attempts_max=2)
    assert first is not None
    assert (first.job_uuid, first.attempt, first.status) == (job.job_uuid, 1, JobStatus.STARTED)
    await asyncio.sleep(0.05)
    second = await jobs.claim(lease_seconds=30, attempts_max=2)
    assert (second.attempt, await jobs.claim(lease_seconds=30, attempts_max=2)) == (2, None)
    assert not await jobs.renew(first, rows_done=5, lease_seconds=30)
    assert not await jobs.complete(first, byte_count=1)
    assert not await jobs.fail(first, Failure(name="X", message="m"))
    assert await jobs.renew(second, rows_done=5, lease_seconds=0.01)
    assert (await jobs.load(job.job_uuid)).rows_done == 5
    await asyncio.sleep(0.05)
    assert await jobs.claim(lease_seconds=30, attempts_max=2) is None
    assert await jobs.give_up(attempts_max=2) == [job.job_uuid]
    assert (await jobs.load(job.job_uuid)).failure.message == "The file was begun 2 times and lost each time."


async def test_jobs_go_with_their_query(any_statuses, jobs):
    """History that is forgotten takes its jobs along."""
    job = await jobs.request(await new_job(any_statuses))
    await any_statuses.request_cancel(job.query_uuid)
    await any_statuses.forget_history(before=datetime.now(UTC) + timedelta(days=1), count=10)
    assert await jobs.load(job.job_uuid) is None


async def test_job_of_an_unknown_query_is_refused(any_statuses, jobs):
    """A file of nothing is not promised."""
    with pytest.raises(NotFoundError):
        await jobs.request(await new_job(any_statuses, query_uuid=str(uuid.uuid4())))


async def test_made_file_is_there_for_the_next_name_and_failed_one_is_begun_again(any_statuses, jobs):
    """The same bytes under another name are there at once; a job that failed is not found again."""
    first = await jobs.request(job := await new_job(any_statuses))
    started = await jobs.claim(lease_seconds=30, attempts_max=2)
    assert await jobs.complete(started, byte_count=7)
    other = await jobs.request(await new_job(any_statuses, query_uuid=job.query_uuid, file_name="b.csv"))
    assert (other.status, other.byte_count, other.rows_done) == (JobStatus.COMPLETED, 7, 10)
    assert other.job_uuid != first.job_uuid
    lone = await new_job(any_statuses, object_key="results/b/1/exports/d.csv")
    failing = await jobs.request(lone)
    assert await jobs.fail(await jobs.claim(lease_seconds=30, attempts_max=2), Failure(name="X", message="m"))
    ended = await jobs.load(failing.job_uuid)
    assert (ended.is_ended, ended.failure.message) == (True, "m")
    again = await new_job(any_statuses, query_uuid=lone.query_uuid, object_key=lone.object_key)
    assert (await jobs.request(again)).job_uuid == again.job_uuid


async def test_signing_key_is_secret_and_stays(jobs):
    """Links that were signed a while ago are still known."""
    key = await jobs.signing_key()
    assert len(key) == 48
    assert await jobs.signing_key() == key


async def test_every_replica_signs_with_the_same_key(migrated_url):
    """A link that one replica gave leads somewhere at all of them."""
    keys = []
    for _ in range(2):
        replica = ExportJobs(migrated_url)
        await replica.open()
        keys.append(await replica.signing_key())
        await replica.close()
    assert keys[0] == keys[1]
