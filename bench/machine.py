"""The machine and the versions a figure belongs to."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

__all__ = ["load_average", "machine_line"]


def load_average() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]


def machine_line() -> str:
    """Return date, cores, memory and versions in one line. Starts Node once to ask for its version."""
    node = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {len(os.sched_getaffinity(0))} cores of {_cpu_model()}, "
        f"{gigabytes:.0f} GB; Linux {platform.release()}; Python {platform.python_version()}, "
        f"Ray {metadata.version('ray')}, Node {node.removeprefix('v')}"
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()
