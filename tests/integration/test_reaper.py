"""Nothing of a stack outlives its owner, however that ends."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import psutil
import pytest

from cluster.local.reaper import MARKER, Reaper, end_stack
from tests.servers.service_process import wait_until

pytestmark = pytest.mark.integration

_SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# Owns a stack of one process, says so, and waits to be killed.
_OWNER = """
import subprocess, sys, time
from pathlib import Path
from cluster.local.reaper import MARKER, Reaper
stack_id, folder = sys.argv[1:]
Reaper(stack_id, Path(folder))
child = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(600)"], env={MARKER: stack_id}, start_new_session=True
)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def stack_id():
    """An identity nobody else has."""
    return uuid.uuid4().hex


@pytest.fixture
def folder(tmp_path):
    """The folder of a stack, with something in it."""
    folder = tmp_path / "stack"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").touch()
    return folder


@pytest.fixture
def start():
    """Start a process with variables of its own; killed with the test."""
    started = []

    def start(**variables):
        process = subprocess.Popen(_SLEEP, env=variables, start_new_session=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def _open_files(pid):
    return [file.path for file in psutil.Process(pid).open_files()]


def _is_gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_end_stack_kills_what_is_marked_and_nothing_else(stack_id, folder, start):
    """The marker and the folder tell ours; another stack, or one whose name ours begins with, lives on."""
    ours = [start(**{MARKER: stack_id}), start(SOME_SOCKET=f"{folder}/admin.sock")]
    others = [start(), start(**{MARKER: uuid.uuid4().hex}), start(SOME_SOCKET=f"{folder}2/admin.sock")]
    end_stack(stack_id, folder)
    assert all(_is_gone(process.pid) for process in ours)
    assert [process.poll() for process in others] == [None, None, None]
    assert not folder.exists()
    end_stack(stack_id, folder)


def test_end_stack_kills_ray_processes_that_overwrote_their_environment(stack_id, folder, start):
    """A titled process is known by the logs it has open; somebody's own driver with such a log lives on."""
    log = folder / "inner" / "file"
    program = f"open({str(log)!r}); kept = open({str(log)!r}); import time; time.sleep(600)"
    titled, driver = (
        subprocess.Popen([title, "-c", program], executable=sys.executable, env={}, start_new_session=True)
        for title in ("ray::DashboardAgent", "python")
    )
    try:
        for process in (titled, driver):
            assert wait_until(lambda pid=process.pid: str(log) in _open_files(pid), seconds=10)
        end_stack(stack_id, folder)
        assert _is_gone(titled.pid)
        assert driver.poll() is None
    finally:
        for process in (titled, driver):
            process.kill()
            process.wait()


def test_end_stack_spares_the_process_that_calls_it(stack_id, folder):
    """An owner that carries the marker itself survives its own stop."""
    code = (
        "import sys; from pathlib import Path; from cluster.local.reaper import end_stack;"
        "end_stack(sys.argv[1], Path(sys.argv[2])); print('alive')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, stack_id, str(folder)],
        env={**os.environ, MARKER: stack_id},
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.split() == [b"alive"]


def test_reaper_works_when_its_owner_was_killed(stack_id, folder):
    """A kill -9 of the owner: its processes and its folder are gone within seconds."""
    command = [sys.executable, "-c", _OWNER, stack_id, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as owner:
        child_pid = int(owner.stdout.readline())
        owner.kill()
    assert wait_until(lambda: _is_gone(child_pid) and not folder.exists(), seconds=20)


def test_reaper_release_ends_it(stack_id, folder):
    """An orderly stop waits for the reaper, which is then gone itself."""
    reaper = Reaper(stack_id, folder)
    reaper.release()
    assert not folder.exists()
    reaper.release()
