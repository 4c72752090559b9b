"""Which generations of the service run on a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from actors.names import NAMESPACE, generation_of_status_actor, status_actor_name

__all__ = ["Generation", "fingerprint_of", "generations", "newest_status_actor"]

_ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A generation that runs."""

    number: int  # counted from 1
    status_actor: Any  # its handle
    replaces: tuple[int, ...]  # generations that were there before it and have not ended; empty: it was there already


def generations() -> list[int]:
    """Return the numbers of the generations whose status actor runs or restarts, in order."""
    named: list[dict[str, str]] = ray.util.list_named_actors(all_namespaces=True)
    found = (generation_of_status_actor(entry["name"]) for entry in named if entry["namespace"] == NAMESPACE)
    return sorted(number for number in found if number is not None)


def newest_status_actor() -> Any:
    """Return the handle of the newest generation's status actor.

    Raises:
        ValueError: There is none.
    """
    known = generations()
    if not known:
        raise ValueError("no status actor runs on this cluster")
    return ray.get_actor(status_actor_name(known[-1]), namespace=NAMESPACE)


def fingerprint_of(number: int) -> str | None:
    """Return what code and settings a generation has; None when it does not say."""
    try:
        handle = ray.get_actor(status_actor_name(number), namespace=NAMESPACE)
        mark: str = ray.get(handle.fingerprint.remote(), timeout=_ANSWER_SECONDS)
    except (ValueError, RayError):
        return None
    return mark
