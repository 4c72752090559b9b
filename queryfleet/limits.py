"""The limits and shares of one project: what its definition says, and the service's defaults for the rest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.errors import JsonValue
    from queryfleet.settings import Settings

__all__ = ["LIMIT_KEYS", "ProjectLimits", "limit_fault"]

_COUNTS = ("running", "running_per_user", "running_per_connection", "queue", "rows", "bytes")
_SECONDS = (
    "queue_seconds",
    "connect_seconds",
    "execute_seconds",
    "idle_seconds",
    "total_seconds",
    "cache_seconds",
)
LIMIT_KEYS = ("weight", *_COUNTS, *_SECONDS, "on_limit", "cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectLimits:
    """`limits` of `project.yml`, with the service's defaults filled in. None: no limit."""

    weight: float  # share of the service; of two projects with work, twice the weight runs twice as many
    running: int | None  # queries of the project at once
    running_per_user: int | None  # queries of one user at once
    running_per_connection: int | None  # queries at once on the warehouse, over all projects that use it
    queue: int  # queries of the project that may wait; one more is refused with 429
    queue_seconds: float  # longest wait; then `error`
    connect_seconds: float  # longest login at the warehouse
    execute_seconds: float | None  # longest time until the warehouse gives the first row
    idle_seconds: float | None  # longest pause between two batches
    total_seconds: float | None  # longest run of one attempt
    rows: int | None  # most rows of a result
    bytes: int | None  # most bytes of a result's JSONL
    on_limit: str  # what happens at the last two: `truncate` or `error`
    cache: bool  # equal questions may share rows
    cache_seconds: int  # how long results are kept, and with that may be shared
    connection: str  # names the warehouse connection

    @classmethod
    def of(cls, definition: Mapping[str, JsonValue], settings: Settings) -> ProjectLimits:
        """Read a project's stored definition.

        Raises:
            ConfigurationError: A limit is unknown, or not what it must be; the message names it.
        """
        given = definition.get("limits") or {}
        if not isinstance(given, dict):
            raise ConfigurationError("`limits` must be a mapping of limits to numbers.", field="limits")
        _check(given)
        warehouse = json.dumps(definition.get("warehouse"), sort_keys=True)
        values: dict[str, object] = {
            "weight": 1.0,
            "running": settings.running_per_project_max or None,
            "running_per_user": settings.running_per_user_max or None,
            "running_per_connection": settings.running_per_connection_max or None,
            "queue": settings.queue_max,
            "queue_seconds": settings.queue_seconds_max,
            "connect_seconds": settings.connect_seconds_max,
            "execute_seconds": settings.execute_seconds_max or None,
            "idle_seconds": settings.idle_seconds_max or None,
            "total_seconds": settings.total_seconds_max or None,
            "rows": settings.result_rows_max or None,
            "bytes": settings.result_bytes_max or None,
            "on_limit": "truncate",
            "cache": True,
            "cache_seconds": settings.results_ttl_seconds,
            "connection": hashlib.sha256(warehouse.encode()).hexdigest()[:16],
        }
        return cls(**(values | given))  # type: ignore[arg-type]  # checked above

    def cache_margin_seconds(self) -> float:
        """Return how much longer a result must last to be shared: paging through it takes a while."""
        long_lived = 40 * 60
        return 600.0 if self.cache_seconds > long_lived else self.cache_seconds / 4


def limit_fault(name: str, value: JsonValue) -> str | None:
    """Return what is wrong with one limit, as the end of a sentence that begins with its name; None when nothing is."""
    if name not in LIMIT_KEYS:
        return f"is not a limit; there are {', '.join(LIMIT_KEYS)}"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in _COUNTS:
        good, form = isinstance(value, int) and is_number and value >= 1, "a whole number of at least 1"
    elif name == "on_limit":
        good, form = value in ("truncate", "error"), "truncate or error"
    elif name == "cache":
        good, form = isinstance(value, bool), "true or false"
    else:
        good, form = isinstance(value, int | float) and is_number and value > 0, "a number above 0"
    return None if good else f"must be {form}"


def _check(given: Mapping[str, JsonValue]) -> None:
    for name, value in given.items():
        fault = limit_fault(name, value)
        if fault is not None:
            raise ConfigurationError(f"`limits.{name}` {fault}.", field=f"limits.{name}")
