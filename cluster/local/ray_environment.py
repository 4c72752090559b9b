"""The environment of one Ray node on this machine: files and ports of its own, so that several nodes can share it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.environment import RAY_ENVIRONMENT
from cluster.haproxy import haproxy_environment
from cluster.local.reaper import MARKER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.local.ports import PortRange

__all__ = ["node_environment", "node_folder", "serve_ports"]


def node_folder(stack_id: str) -> Path:
    """Return where a node keeps sockets and logs.

    Short: the path of a socket inside may not exceed 107 characters.
    """
    return Path(tempfile.gettempdir()) / f"qf-{stack_id[:8]}"


def node_environment(stack_id: str, *, metrics_port: int, stats_port: int, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a node's processes.

    Args:
        stack_id: Marks every process of the node; unique on the machine.
        metrics_port: Of the node's HAProxy.
        stats_port: Of the node's HAProxy.
        extra: Added last: settings and secrets that workers need.
    """
    haproxy = node_folder(stack_id) / "haproxy"
    ours = {
        "RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "disabled"),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics_port),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats_port),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
        MARKER: stack_id,
    }
    return {**os.environ, **RAY_ENVIRONMENT, **haproxy_environment(), **ours, **extra}


def serve_ports(ports: PortRange) -> dict[str, str]:
    """Return what makes a head's Serve use these ports and no others, for `extra` above."""
    return {
        # HAProxy goes on asking a dead replica's port for a moment: no replica of another cluster may be there.
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.first + 1),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.last),
        # Who answers while no replica is there; at its usual port it would be that of any cluster on the machine.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.first),
    }
