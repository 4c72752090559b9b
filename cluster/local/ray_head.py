"""A Ray head on this machine, with ports and folders of its own, that leaves nothing behind.

Every process that Ray starts inherits a marker in its environment. After the head was stopped, whatever still carries
the marker (HAProxy outlives a killed cluster) is ended too; no other process is touched.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.local.child import Child
from cluster.local.ports import PortRange, free_ports
from cluster.local.ray_environment import node_environment, node_folder, serve_ports
from cluster.local.reaper import Reaper, end_stack
from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RayHead"]

_START_SECONDS = 90.0
_OBJECT_STORE_BYTES = 128 * 1024 * 1024  # results never pass through it


class RayHead:
    """One head node. It needs about 6 s to start: `launch`, do something else, `wait`.

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
        self._reaper: Reaper | None = None
        self._ports: PortRange | None = None  # while it runs
        self._deadline = 0.0
        self._port, self._client_port = 0, 0
        self._folder = node_folder(stack_id)

    @property
    def address(self) -> str:
        """What `ray.init(address=…)` takes."""
        return f"127.0.0.1:{self._port}"

    @property
    def client_address(self) -> str:
        """What a Ray client connects to."""
        return f"ray://127.0.0.1:{self._client_port}"

    @property
    def is_running(self) -> bool:
        """Whether its `ray start` lives: it ends when a process that the node cannot do without does."""
        return self._child is not None and self._child.exit_code is None

    def environment(self) -> dict[str, str]:
        """Return the environment of the head's processes; the driver that uses it needs the same."""
        metrics_port, stats_port = self._haproxy_ports
        ports = serve_ports(self._ports) if self._ports is not None else {}
        return node_environment(
            self._stack_id, metrics_port=metrics_port, stats_port=stats_port, extra=ports | self._extra
        )

    def launch(self) -> None:
        """Start the head without waiting for it; `stop` also after a failure.

        Raises:
            OSError: The program could not be started.
        """
        self._port, self._client_port, *rest = free_ports(5)
        self._haproxy_ports = (rest[0], rest[1])
        self._ports = PortRange.claim()
        (self._folder / "haproxy").mkdir(parents=True, exist_ok=True)
        ray = Path(sys.executable).with_name("ray")
        command = [
            str(ray), "start", "--head", "--block", "--disable-usage-stats", "--include-dashboard=false",
            "--include-log-monitor=false", "--no-monitor",  # nobody follows worker logs; one machine does not scale
            "--node-ip-address=127.0.0.1", f"--port={self._port}", f"--ray-client-server-port={self._client_port}",
            f"--metrics-export-port={rest[2]}", f"--object-store-memory={_OBJECT_STORE_BYTES}",
            f"--temp-dir={self._folder}", "--log-color=false",
        ]  # fmt: skip
        self._reaper = Reaper(self._stack_id, self._folder)
        self._child = Child(command, env=self.environment(), log_path=self._log_path)
        self._deadline = time.monotonic() + _START_SECONDS

    def wait(self) -> None:
        """Return when the head takes connections.

        Raises:
            ConfigurationError: It ended or did not answer in time; the message names its log.
        """
        while not (_listens(self._port) and _listens(self._client_port)):
            if self._child is None or self._child.exit_code is not None or time.monotonic() > self._deadline:
                self.stop()
                raise ConfigurationError(f"Ray did not start; see {self._log_path}.")
            time.sleep(0.05)

    def stop(self) -> None:
        """End every process of the head and remove its folder. Idempotent.

        They are killed: Ray's own way of stopping waits up to half a minute for actors that are meant to stay. What
        runs in them should have been told before.
        """
        if self._child is not None:
            self._child.kill()
            self._child = None
        end_stack(self._stack_id, self._folder)
        if self._reaper is not None:
            self._reaper.release()
            self._reaper = None
        if self._ports is not None:
            self._ports.release()
            self._ports = None


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
