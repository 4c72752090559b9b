"""How long each part of an attempt may take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from queryfleet.errors import WarehouseTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from queryfleet.limits import ProjectLimits

__all__ = ["Deadlines"]

_WORDS = {
    "connect": "The warehouse did not let us in",
    "execute": "The warehouse gave no first row",
    "idle": "The warehouse gave no further rows",
    "total": "The query was not done",
}


class Deadlines:
    """Watches one attempt. `enter` is called by the work thread, `overdue` by the event loop.

    Args:
        limits: Of the project.
        clock: Monotonic seconds.
    """

    def __init__(self, limits: ProjectLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits: dict[str, float | None] = {
            "connect": limits.connect_seconds,
            "execute": limits.execute_seconds,
            "idle": limits.idle_seconds,
            "total": limits.total_seconds,
        }
        self._clock = clock
        self._began = clock()
        self._phase: tuple[str | None, float] = (None, self._began)

    def enter(self, phase: str | None) -> None:
        """Begin `connect`, `execute` or `idle`; None: nothing is waited for, only the total counts."""
        self._phase = (phase, self._clock())

    def overdue(self) -> WarehouseTimeoutError | None:
        """Return the limit that has passed, as the error that ends the query; None when none has."""
        now = self._clock()
        phase, since = self._phase
        for name, begin in ((phase, since), ("total", self._began)):
            limit = self._limits.get(name) if name is not None else None
            if name is not None and limit is not None and now - begin > limit:
                return WarehouseTimeoutError(
                    f"{_WORDS[name]} within {limit:g} s, the limit `{name}_seconds` of the project.",
                    limit=f"{name}_seconds",
                    seconds=limit,
                )
        return None

    def pause_seconds(self) -> float:
        """Return how long to sleep between two looks: a fraction of the shortest limit, between 20 ms and 1 s."""
        shortest = min((limit for limit in self._limits.values() if limit is not None), default=10.0)
        return min(1.0, max(0.02, shortest / 10))
