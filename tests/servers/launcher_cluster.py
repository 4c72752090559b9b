"""The cluster of `ray-cluster.yaml` on this machine: its own start commands, with two nodes on one address.

The launcher would run the commands by ssh, each on a machine of its own. Here a shell runs them, so these things are
replaced, and nothing else: ports, because both nodes have one address; `$RAY_HEAD_IP`; the home folder, in which
the environment is a link to the one the tests run in; and where Ray and HAProxy keep their files. `ray stop` is left
out: it would end every Ray of this machine.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from cluster.local.ports import free_ports
from cluster.local.reaper import MARKER, Reaper

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
NODE_CPUS = 2
HTTP_SLOTS = 2
START_SECONDS = 90.0
_INHERITED = ("PATH", "LANG", "TMPDIR")


def launcher_config() -> dict[str, Any]:
    """Return `ray-cluster.yaml`."""
    return yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())


def start_command(commands: list[str]) -> str:
    """Return the one among a node's commands that starts Ray."""
    (command,) = [command for command in commands if "/ray start" in command]
    return command


class LauncherCluster:
    """A head and a worker, each with two CPUs and one home folder. A context manager.

    Args:
        environment: What `~/queryfleet.env` holds on every node.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.stack_id = uuid.uuid4().hex
        self.folder = Path(tempfile.gettempdir()) / f"qf-{self.stack_id[:8]}"  # short: sockets lie in it
        self.home = self.folder / "home"
        self._given = dict(environment or {})
        self._port, self._client_port, self._dashboard_port = free_ports(3)
        self._reaper: Reaper | None = None

    @property
    def address(self) -> str:
        """What RAY_ADDRESS has to be."""
        return f"127.0.0.1:{self._port}"

    @property
    def dashboard_url(self) -> str:
        """Where `serve deploy` and `ray list` go."""
        return f"http://127.0.0.1:{self._dashboard_port}"

    @property
    def driver_environment(self) -> dict[str, str]:
        """What a program on the head has in its environment to use the cluster."""
        kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return kept | {"HOME": str(self.home), "RAY_AUTH_MODE": "token", "RAY_ADDRESS": self.address, **_shortened()}

    def __enter__(self) -> Self:
        self._make_home()
        self._reaper = Reaper(self.stack_id, self.folder)
        config = launcher_config()
        try:
            self._run(self._head_command(config), "head")
            self._run(self._worker_command(config), "worker")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._reaper is not None:
            self._reaper.release()
            self._reaper = None

    def _make_home(self) -> None:
        (self.home / ".ray").mkdir(parents=True)
        (self.home / ".ray" / "auth_token").write_text(secrets.token_hex(32))
        (self.home / "queryfleet-env").symlink_to(Path(sys.prefix), target_is_directory=True)
        lines = [f"{name}={value}" for name, value in self._given.items()]
        (self.home / "queryfleet.env").write_text("\n".join([*lines, ""]))
        (self.home / "ray_bootstrap_config.yaml").write_text("")

    def _head_command(self, config: dict[str, Any]) -> str:
        command = start_command(config["head_start_ray_commands"])
        for written, here in (
            ("--port=6379", f"--port={self._port}"),
            ("--ray-client-server-port=10001", f"--ray-client-server-port={self._client_port}"),
            ("--dashboard-port=8265", f"--dashboard-port={self._dashboard_port}"),
            ("--metrics-export-port=8080", f"--metrics-export-port={free_ports(1)[0]}"),
            # It would make the head reach for the other machines by ssh.
            ("--autoscaling-config=~/ray_bootstrap_config.yaml", "--no-monitor"),
        ):
            assert written in command, f"{written} is not in {command}"
            command = command.replace(written, here)
        return f"{command} --node-ip-address=127.0.0.1 --temp-dir={self.folder} --num-cpus={NODE_CPUS}"

    def _worker_command(self, config: dict[str, Any]) -> str:
        command = start_command(config["worker_start_ray_commands"])
        for written, here in (
            ("$RAY_HEAD_IP:6379", self.address),
            ("--metrics-export-port=8080", f"--metrics-export-port={free_ports(1)[0]}"),
        ):
            assert written in command, f"{written} is not in {command}"
            command = command.replace(written, here)
        # As the pods for HTTP have it in deploy/kuberay; nobody else asks for it.
        http = f"--resources='{{\"queryfleet_http\": {HTTP_SLOTS}}}'"
        return f"{command} --node-ip-address=127.0.0.1 --num-cpus={NODE_CPUS} {http}"

    def _run(self, command: str, node: str) -> None:
        kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        haproxy = self.folder / node[0]  # short: the path of a socket in it may not exceed 97 characters
        haproxy.mkdir()
        stats, metrics, http = free_ports(3)
        environment = kept | {
            "HOME": str(self.home),
            "PYTHONWARNINGS": "ignore",
            MARKER: self.stack_id,
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
            **({} if node == "head" else {"RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(http)}),
            **_shortened(),
        }
        done = subprocess.run(
            ["bash", "-c", command],
            env=environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"the {node} did not start:\n{command}\n{done.stdout}\n{done.stderr}"


def _shortened() -> dict[str, str]:
    # A replica that goes would be waited for half a minute, also when nobody uses it.
    return {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0"}
