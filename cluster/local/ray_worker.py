"""One more Ray node on this machine, beside a head: what a second machine would be, for development and tests."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.local.child import Child
from cluster.local.ports import free_ports
from cluster.local.ray_environment import node_environment, node_folder
from cluster.local.reaper import Reaper, end_stack
from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RayWorker"]

_START_SECONDS = 60.0
_OBJECT_STORE_BYTES = 80 * 1024 * 1024  # little more than the least Ray accepts; results never pass through it


class RayWorker:
    """One worker node that joins a running head. It needs about 6 s: `launch`, do something else, `wait`.

    Args:
        stack_id: Marks every process of this node; unique on the machine, and not that of the head.
        head_address: `host:port` of the head.
        log_path: What `ray start` prints.
        environment: Added to the environment of every process of the node: settings and secrets that workers need.
    """

    def __init__(self, stack_id: str, *, head_address: str, log_path: Path, environment: Mapping[str, str]) -> None:
        self._stack_id = stack_id
        self._head_address = head_address
        self._log_path = log_path
        self._extra = dict(environment)
        self._folder = node_folder(stack_id)
        self._child: Child | None = None
        self._reaper: Reaper | None = None
        self._log_start = 0
        self._deadline = 0.0

    @property
    def stack_id(self) -> str:
        """What marks its processes."""
        return self._stack_id

    @property
    def is_running(self) -> bool:
        """Whether its `ray start` lives: it ends when the node's raylet does."""
        return self._child is not None and self._child.exit_code is None

    def launch(self) -> None:
        """Start the node without waiting for it; `stop` also after a failure.

        Raises:
            OSError: The program could not be started.
        """
        http_port, metrics_port, stats_port, export_port = free_ports(4)
        environment = node_environment(
            self._stack_id,
            metrics_port=metrics_port,
            stats_port=stats_port,
            # Every node has a proxy, and on one machine they cannot all have the service's port.
            extra={"RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(http_port), **self._extra},
        )
        (self._folder / "haproxy").mkdir(parents=True, exist_ok=True)
        ray = Path(sys.executable).with_name("ray")
        command = [
            str(ray), "start", f"--address={self._head_address}", "--block", "--disable-usage-stats",
            "--node-ip-address=127.0.0.1", f"--metrics-export-port={export_port}",
            f"--object-store-memory={_OBJECT_STORE_BYTES}", f"--temp-dir={self._folder}", "--log-color=false",
        ]  # fmt: skip
        self._log_start = self._log_path.stat().st_size if self._log_path.exists() else 0
        self._reaper = Reaper(self._stack_id, self._folder)
        self._child = Child(command, env=environment, log_path=self._log_path)
        self._deadline = time.monotonic() + _START_SECONDS

    def wait(self) -> None:
        """Return when the node has joined the cluster.

        Raises:
            ConfigurationError: It ended or did not join in time; the message names its log.
        """
        while not self._has_joined():
            if not self.is_running or time.monotonic() > self._deadline:
                self.stop()
                raise ConfigurationError(f"The Ray worker node did not start; see {self._log_path}.")
            time.sleep(0.05)

    def _has_joined(self) -> bool:
        if not self._log_path.exists():
            return False
        with self._log_path.open("rb") as log:
            log.seek(self._log_start)
            return b"Ray runtime started" in log.read()

    def stop(self) -> None:
        """Kill every process of the node, as the loss of its machine would, and remove its folder. Idempotent."""
        if self._child is not None:
            self._child.kill()
            self._child = None
        end_stack(self._stack_id, self._folder)
        if self._reaper is not None:
            self._reaper.release()
            self._reaper = None
