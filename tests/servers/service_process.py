"""A whole service as a process of its own: `queryfleet up` on a data folder, and the proof that it left nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil

from tests.servers.http_api import ProjectApi

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

START_SECONDS = 120.0
STOP_SECONDS = 60.0
MARKER = "QUERYFLEET_STACK_ID"
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Look at another process until `condition` holds; False when it did not in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.02)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a running service can be recognised by when it should be gone."""

    processes: tuple[psutil.Process, ...]  # all below `queryfleet up`, itself included
    stack_id: str
    ports: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """Where its Ray keeps sockets and logs."""
        return Path(tempfile.gettempdir()) / f"qf-{self.stack_id[:8]}"

    def left(self) -> list[str]:
        """Say what is still there: nothing, once the service has ended."""
        left = [_described(process) for process in self.processes if _lives(process)]
        left += [_described(process) for process in marked_processes(self.stack_id)]
        left += [f"port {port}" for port in self.ports if _listens(port)]
        return left + ([f"folder {self.folder}"] if self.folder.exists() else [])


class ServiceProcess:
    """One `queryfleet up`.

    Args:
        data_dir: Its data folder; log and ready file are put beside it.
        projects: Folders of the projects.
        environment: Variables it gets besides PATH and the like.
        arguments: More words for its command line.
    """

    def __init__(
        self,
        data_dir: Path,
        projects: Sequence[Path],
        *,
        environment: Mapping[str, str],
        arguments: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir
        self.log_path = data_dir.with_name(data_dir.name + ".up.log")
        self.ready_path = data_dir.with_name(data_dir.name + ".ready.json")
        self._environment = dict(environment)
        self._command = [
            str(Path(sys.executable).with_name("queryfleet")), "up", "--port", "0",
            "--data-dir", str(data_dir), "--ready-file", str(self.ready_path), *arguments,
            *(word for folder in projects for word in ("--project", str(folder))),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.about: dict[str, object] = {}

    def launch(self) -> None:
        """Start it without waiting."""
        kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=kept | self._environment,
                cwd=self.data_dir.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start it and return when it says that a query can be answered; fails with its log otherwise."""
        self.launch()
        came = wait_until(lambda: self.ready_path.exists() or not self.is_running, seconds=START_SECONDS)
        if not came or not self.ready_path.exists():
            self.stop()
            message = f"the service did not start:\n{self.log_path.read_text()}"
            raise AssertionError(message)
        self.about = json.loads(self.ready_path.read_text())

    @property
    def is_running(self) -> bool:
        """Whether the process itself lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the process itself ended; None while it runs."""
        return self._process.poll() if self._process is not None else None

    @property
    def url(self) -> str:
        """Where it answers."""
        return str(self.about["url"])

    @property
    def token(self) -> str:
        """Of the local user."""
        return str(self.about["token"])

    def api(self, project_uuid: str, *, token: str | None = None) -> ProjectApi:
        """Return the interface to one project."""
        return ProjectApi(url=self.url, token=token or self.token, project_uuid=project_uuid)

    def trace(self) -> Trace:
        """Take down what must be gone after the end; its ports only when it was ready."""
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        processes = (parent, *parent.children(recursive=True))
        stack_ids = {stack_id for process in processes if (stack_id := _stack_id(process))}
        assert len(stack_ids) == 1, "every process of one Ray carries the same marker"
        named = ("url", "database_url", "store_endpoint_url", "ray_client_address")
        addresses = [str(self.about.get(name) or "") for name in named]
        addresses.append(f"//{self.about.get('ray_address', '')}")
        ports = [port for address in addresses if (port := urlsplit(address).port)]
        return Trace(processes=processes, stack_id=stack_ids.pop(), ports=tuple(ports))

    def stop(self) -> float:
        """Ask it to end as a supervisor does; returns the seconds it took."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process, and only this one, as the kernel does when memory runs out."""
        self._end(signal.SIGKILL)
        self.ready_path.unlink(missing_ok=True)

    def _end(self, number: signal.Signals) -> float:
        if self._process is None:
            return 0.0
        began = time.monotonic()
        if self.is_running:
            self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            message = f"the service did not stop in {STOP_SECONDS} s:\n{self.log_path.read_text()}"
            raise AssertionError(message) from None
        self._process = None
        return time.monotonic() - began


def marked_processes(stack_id: str, title: str = "") -> list[psutil.Process]:
    """Return the live processes of one stack's Ray whose command line begins with `title`."""
    found = (process for process in psutil.process_iter() if _stack_id(process) == stack_id and _lives(process))
    return [process for process in found if _command_line(process).startswith(title)]


def _stack_id(process: psutil.Process) -> str | None:
    with contextlib.suppress(psutil.Error, OSError):
        return process.environ().get(MARKER)
    return None


def _command_line(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _described(process: psutil.Process) -> str:
    return f"process {process.pid} {_command_line(process)[:80]}"


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
