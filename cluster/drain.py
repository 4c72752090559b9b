"""Make the service on a cluster take no more queries, and wait until those it runs have ended.

    RAY_ADDRESS=auto python -m cluster.drain [SECONDS]

HTTP stays up, and accepted queries stay in the database: a service on another cluster with the same database runs them,
or the next one that starts here. Exit code 1: some were still running after SECONDS (default 600).
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING

import ray
from ray.exceptions import RayError

from actors.generation import generations
from actors.names import NAMESPACE, status_actor_name

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["drain"]

_SECONDS = 600.0
_LOOK_SECONDS = 0.5


def drain(*, seconds: float, say: Callable[[str], None]) -> bool:
    """Retire every generation on the connected cluster; returns whether all have ended in time.

    Args:
        seconds: Longest wait.
        say: Gets a line for a person when something changes.
    """
    deadline = time.monotonic() + seconds
    said: list[int] = []
    while known := generations():
        if known != said:
            said = known
            say(f"waiting for the queries of generation {', '.join(map(str, known))}")
        for number in known:
            _retire(number)  # again each time: it may just be restarting
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    say("nothing runs here any more")
    return True


def _retire(number: int) -> None:
    try:
        handle = ray.get_actor(status_actor_name(number), namespace=NAMESPACE)
        ray.get(handle.retire.remote(), timeout=_LOOK_SECONDS)
    except (ValueError, RayError):
        return  # it has just ended, or is restarting


def main() -> None:
    """Drain the cluster of RAY_ADDRESS."""
    ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), log_to_driver=False, logging_level=logging.WARNING)
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else _SECONDS
    if not drain(seconds=seconds, say=lambda line: print(line, flush=True)):  # noqa: T201 - a program's output
        sys.exit(f"queries were still running after {seconds:g} s")


if __name__ == "__main__":
    main()
