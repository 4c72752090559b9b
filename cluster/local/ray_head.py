"""A Ray head on this machine, with ports and folders of its own, that leaves nothing behind.

Every process that Ray starts inherits a marker in its environment. After the head was stopped, whatever still carries
the marker (HAProxy outlives a killed cluster) is ended too; no other process is touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from cluster.environment import RAY_ENVIRONMENT
from cluster.local.child import Child
from cluster.local.ports import free_ports
from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RayHead"]

MARKER = "QUERYFLEET_STACK_ID"
_START_SECONDS = 90.0
_STOP_SECONDS = 10.0
_OBJECT_STORE_BYTES = 128 * 1024 * 1024  # results never pass through it


class RayHead:
    """One head node. `start` blocks for about 8 s.

    Args:
        stack_id: Marks every process of this head; unique on the machine.
        log_path: What `ray start` prints.
        environment: Added to the environment of every Ray process: settings and secrets that workers need.
    """

    def __init__(self, stack_id: str, *, log_path: Path, environment: Mapping[str, str]) -> None:
        self._stack_id = stack_id
        self._log_path = log_path
        self._extra = dict(environment)
        self._child: Child | None = None
        self._port, self._client_port = 0, 0
        # Short: the path of a socket inside may not exceed 107 characters.
        self._folder = Path(tempfile.gettempdir()) / f"qf-{stack_id[:8]}"

    @property
    def address(self) -> str:
        """What `ray.init(address=…)` takes."""
        return f"127.0.0.1:{self._port}"

    @property
    def client_address(self) -> str:
        """What a Ray client connects to."""
        return f"ray://127.0.0.1:{self._client_port}"

    def environment(self) -> dict[str, str]:
        """Return the environment of the head's processes; the driver that uses it needs the same."""
        haproxy = self._folder / "haproxy"
        metrics_port, stats_port = self._haproxy_ports
        ours = {
            "RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "disabled"),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics_port),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(stats_port),
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
            MARKER: self._stack_id,
        }
        return {**os.environ, **RAY_ENVIRONMENT, **ours, **self._extra}

    def start(self) -> None:
        """Start the head and wait until it takes connections.

        Raises:
            ConfigurationError: It ended or did not answer in time; the message names its log.
        """
        self._port, self._client_port, *rest = free_ports(5)
        self._haproxy_ports = (rest[0], rest[1])
        (self._folder / "haproxy").mkdir(parents=True, exist_ok=True)
        ray = Path(sys.executable).with_name("ray")
        command = [
            str(ray), "start", "--head", "--block", "--disable-usage-stats", "--include-dashboard=false",
            "--include-log-monitor=false", "--no-monitor",  # nobody follows worker logs, nothing scales one machine
            "--node-ip-address=127.0.0.1", f"--port={self._port}", f"--ray-client-server-port={self._client_port}",
            f"--metrics-export-port={rest[2]}", f"--object-store-memory={_OBJECT_STORE_BYTES}",
            f"--temp-dir={self._folder}", "--log-color=false",
        ]  # fmt: skip
        self._child = Child(command, env=self.environment(), log_path=self._log_path)
        deadline = time.monotonic() + _START_SECONDS
        while not (_listens(self._port) and _listens(self._client_port)):
            if self._child.exit_code is not None or time.monotonic() > deadline:
                self.stop()
                raise ConfigurationError(f"Ray did not start; see {self._log_path}.")
            time.sleep(0.05)

    def stop(self) -> None:
        """End every process of the head and remove its folder. Idempotent."""
        if self._child is not None:
            self._child.stop(grace_seconds=_STOP_SECONDS)
            self._child = None
        _end_marked(self._stack_id)
        shutil.rmtree(self._folder, ignore_errors=True)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _end_marked(stack_id: str) -> None:
    """Kill what still carries the marker, ourselves excepted."""
    for _ in range(5):
        left = [process for process in psutil.process_iter() if _is_marked(process, stack_id)]
        if not left:
            return
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=2)


def _is_marked(process: psutil.Process, stack_id: str) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARKER) == stack_id
    except (psutil.Error, OSError):
        return False
