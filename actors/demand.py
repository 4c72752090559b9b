"""How many query actors the queries of the last minutes call for. No clock, no Ray."""

from __future__ import annotations

from collections import deque

__all__ = ["Demand", "default_pool_size"]

_ACTOR_BYTES = 512 * 1024 * 1024
_REMEMBER_SECONDS = 180.0


def default_pool_size(cpus: float, memory_bytes: float) -> int:
    """Return how many query actors a cluster of this size should keep warm: two per core, as memory allows."""
    return max(1, int(min(2 * cpus, memory_bytes / _ACTOR_BYTES)))


class Demand:
    """Remembers the highest number of queries that ran or waited at once.

    A pool follows it upwards at once and downwards only after a while, so that a pause between two bursts costs no
    start of new processes.

    Args:
        remember_seconds: How long a peak counts.
    """

    def __init__(self, *, remember_seconds: float = _REMEMBER_SECONDS) -> None:
        self._remember_seconds = remember_seconds
        self._seen: deque[tuple[float, int]] = deque()  # falling in number: what a later, higher one hides is dropped

    def note(self, queries: int, *, at: float) -> None:
        """Record how many queries run or wait at the monotonic time `at`, which never goes back."""
        while self._seen and self._seen[-1][1] <= queries:
            self._seen.pop()
        self._seen.append((at, queries))

    def wanted(self, *, smallest: int, largest: int, at: float) -> int:
        """Return the size of the pool, `smallest` to `largest`; `largest` below `smallest` counts as `smallest`."""
        while self._seen and self._seen[0][0] < at - self._remember_seconds:
            self._seen.popleft()
        peak = self._seen[0][1] if self._seen else 0
        return max(smallest, min(largest, peak))
