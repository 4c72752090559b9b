"""When the dispatch of files looks for jobs, without a database and without a cluster."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest

from actors import export_dispatch as module
from actors.export_dispatch import ExportDispatch
from queryfleet.errors import StatusStoreError
from queryfleet.settings import Settings
from queryfleet.status.export_jobs import ExportJob, JobStatus
from queryfleet.telemetry import NoMeter

pytestmark = pytest.mark.anyio


class Jobs:
    """Jobs that wait, and how often somebody looked."""

    def __init__(self):
        self.waiting = []
        self.asked = 0
        self.is_away = False

    async def claim(self, **_):
        self.asked += 1
        if self.is_away:
            raise StatusStoreError("away")
        return self.waiting.pop(0) if self.waiting else None

    async def give_up(self, **_):
        return []


class Task:
    """A task on the cluster that ends when it is told to."""

    def __init__(self):
        self.ended = Future()

    def future(self):
        return self.ended


@pytest.fixture
def dispatch(monkeypatch):
    """A dispatch that makes one file at a time; `tasks` are those it has started."""
    monkeypatch.setattr(module, "ExportJobs", lambda *_, **__: Jobs())
    made = ExportDispatch(Settings(exports_max=1, database_url="postgresql://nobody@localhost/none"), NoMeter())
    made.tasks = []

    def start(_settings, _job):
        made.tasks.append(Task())
        return made.tasks[-1]

    monkeypatch.setattr(module, "start_export", start)
    return made


def _job(number):
    return ExportJob(
        job_uuid=f"job {number}",
        project_uuid="project",
        user_uuid="user",
        query_uuid="query",
        digest="digest",
        options={"format": "csv"},
        file_name="file.csv",
        object_key="key",
        row_count=1,
        status=JobStatus.STARTED,
        attempt=1,
        rows_done=0,
        byte_count=None,
        failure=None,
    )


async def test_claim_without_news_asks_nobody(dispatch):
    """Rounds for queries cost no look for files."""
    await dispatch.claim()
    assert dispatch._jobs.asked == 1, "whatever waited before it started"
    await dispatch.claim()
    assert dispatch._jobs.asked == 1
    dispatch.due.set()
    await dispatch.claim()
    assert dispatch._jobs.asked == 2


async def test_job_that_waited_for_room_is_begun_when_a_file_is_made(dispatch):
    """The end of one file is news for the next."""
    dispatch._jobs.waiting = [_job(1), _job(2)]
    await dispatch.claim()
    await asyncio.sleep(0)
    assert (len(dispatch.tasks), dispatch.is_idle, dispatch.due.is_set()) == (1, False, False)
    dispatch.tasks[0].ended.set_result(None)
    async with asyncio.timeout(5):
        await dispatch.due.wait()
    await dispatch.claim()
    await asyncio.sleep(0)
    assert len(dispatch.tasks) == 2
    dispatch.tasks[1].ended.set_result(None)
    await asyncio.gather(*dispatch._running)


async def test_look_that_failed_is_repeated_by_the_next_sweep(dispatch):
    """A database that was away loses no job."""
    dispatch._jobs.is_away = True
    with pytest.raises(StatusStoreError):
        await dispatch.claim()
    dispatch._jobs.is_away = False
    await dispatch.sweep()
    dispatch._jobs.waiting = [_job(1)]
    await dispatch.claim()
    await asyncio.sleep(0)
    assert len(dispatch.tasks) == 1
    dispatch.tasks[0].ended.set_result(None)
    await asyncio.gather(*dispatch._running)
