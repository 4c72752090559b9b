"""Which idle actor a query is given to: one that is probably logged in at its warehouse already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["IdleActor", "preferred"]

_RESTED_SECONDS = 0.1  # within which an actor has logged in again after a query, at most warehouses
_HELD_SECONDS = 60.0  # after which a session that nobody took is closed, at all warehouses


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleActor:
    """What is known of an actor that could take a query."""

    name: str
    project_uuid: str | None = None  # of its latest query; None: it has had none
    idle_since: float = 0.0  # monotonic seconds


def preferred(idle: Sequence[IdleActor], project_uuid: str, *, at: float) -> str | None:
    """Return the name of the actor to give a query of `project_uuid`; None when none is idle.

    First come actors whose latest query was of this project and is a moment ago, then those that certainly hold no
    session, then those that are just done with this project, then those of other projects, whose session would be
    thrown away. Of the first two kinds it is the oldest actor, so that a pool that is larger than needed has its
    youngest idle; of the others the one that has rested longest.

    Args:
        idle: Oldest actor first.
        project_uuid: Of the query.
        at: Now, in the seconds of `idle_since`.
    """

    def rank(actor: IdleActor) -> tuple[int, float]:
        rest = at - actor.idle_since
        if actor.project_uuid == project_uuid:
            return (0, 0.0) if rest >= _RESTED_SECONDS else (2, actor.idle_since)
        if actor.project_uuid is None or rest >= _HELD_SECONDS:
            return 1, 0.0
        return 3, actor.idle_since

    best = min(idle, key=rank, default=None)
    return best.name if best is not None else None
