"""The environment that every `ray start` of a cluster needs, from one place.

    eval "$(python -m cluster.environment)"             every node: `export` lines for a shell
    eval "$(python -m cluster.environment --head)"      the head node: those and its own
    python -m cluster.environment --kubernetes          a ConfigMap for `envFrom`

`ray-cluster.yaml` uses the first two, `deploy/kuberay/ray-environment.yaml` is the third. Why each variable is set
stands beside it; what was measured stands in `docs/architecture.md`.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, Final

from cluster.haproxy import haproxy_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["RAY_ENVIRONMENT", "cluster_environment", "config_map", "export_lines", "head_environment"]

RAY_ENVIRONMENT: Final[dict[str, str]] = {
    # Ray nices every worker, replicas too. Ours stay at 0, and query actors step back by themselves.
    "RAY_worker_niceness": "0",
    # HAProxy in front of the replicas answers several times as many polls as the Python proxy.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    # A dead HAProxy is replaced after about 4 s instead of 30 s: three failed checks, one a second.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    # A node that is cut off is noticed in about 9 s instead of 65 s.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    # Replacements of query actors are ready one import earlier.
    "RAY_preload_python_modules": "pyarrow",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
}

_CONFIG_MAP_NAME: Final = "queryfleet-ray-environment"


def cluster_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what every node of a cluster needs.

    Args:
        environ: May choose `RAY_AUTH_MODE`; without a choice it is `token`, because Ray's ports are as good as a shell.
    """
    return {**RAY_ENVIRONMENT, **haproxy_environment(), "RAY_AUTH_MODE": environ.get("RAY_AUTH_MODE", "token")}


def head_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the head of a cluster of machines needs.

    Its control store is kept in a folder, so that the other nodes survive a restart of the head. `environ` may choose
    another (`RAY_gcs_storage_path`), or Redis (`RAY_REDIS_ADDRESS`).
    """
    storage = {}
    if "RAY_REDIS_ADDRESS" not in environ:
        folder = environ.get("RAY_gcs_storage_path") or f"{environ.get('HOME', '')}/.queryfleet-gcs"
        storage = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": folder}
    return cluster_environment(environ) | storage


def export_lines(variables: Mapping[str, str]) -> str:
    """Return the variables as lines for a POSIX shell, each ending with a line feed."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def config_map(variables: Mapping[str, str]) -> str:
    """Return the variables as a Kubernetes ConfigMap in YAML."""
    lines = "".join(f'  {name}: "{value}"\n' for name, value in variables.items())
    return (
        "# Made by `python -m cluster.environment --kubernetes`; why each is set stands in cluster/environment.py.\n"
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {_CONFIG_MAP_NAME}\ndata:\n{lines}"
    )


def _text(arguments: Sequence[str], environ: Mapping[str, str]) -> str | None:
    match list(arguments):
        case []:
            return export_lines(cluster_environment(environ))
        case ["--head"]:
            return export_lines(head_environment(environ))
        case ["--kubernetes"]:
            return config_map(RAY_ENVIRONMENT)  # KubeRay sets the authentication mode itself, from `authOptions`
        case _:
            return None


if __name__ == "__main__":
    text = _text(sys.argv[1:], os.environ)
    if text is None:
        sys.exit("usage: python -m cluster.environment [--head | --kubernetes]")
    sys.stdout.write(text)
