"""Who runs next: a pure function over what waits and what runs.

Projects take turns by weight: the next query comes from the project whose share of what runs is smallest, so a project
that floods the queue only ever waits for itself. Inside a project its users take turns in the same way, and a user's
own queries run in the order they were asked. A project, user or warehouse connection at its limit is passed over; what
it has waiting keeps its place.

This is weighted fair queueing over slots instead of bytes (Demers, Keshav, Shenker 1989), with the number of running
queries as the virtual time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

__all__ = ["ProjectShare", "Slot", "Waiting", "claim_order"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectShare:
    """What one project may use."""

    weight: float = 1.0  # of two projects with work, the one with twice the weight runs twice as many
    running_max: int | None = None  # most queries of the project at once; None: no limit of its own
    running_per_user_max: int | None = None  # most queries of one user in the project at once
    connection: str = ""  # names the warehouse connection; projects with the same name share its limit
    running_per_connection_max: int | None = None  # most queries on that connection at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One query that waits."""

    query_uuid: str
    project_uuid: str
    user_uuid: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One query that runs."""

    project_uuid: str
    user_uuid: str


class _Load:
    """How much runs where; changes as queries are chosen."""

    def __init__(self, running: Iterable[Slot], shares: Mapping[str, ProjectShare]) -> None:
        self._shares = shares
        self._projects: Counter[str] = Counter()
        self._users: Counter[tuple[str, str]] = Counter()
        self._connections: Counter[str] = Counter()
        for slot in running:
            self.add(slot.project_uuid, slot.user_uuid)

    def share(self, project_uuid: str) -> ProjectShare:
        return self._shares.get(project_uuid, ProjectShare())

    def add(self, project_uuid: str, user_uuid: str) -> None:
        self._projects[project_uuid] += 1
        self._users[project_uuid, user_uuid] += 1
        self._connections[self._connection(project_uuid)] += 1

    def _connection(self, project_uuid: str) -> str:
        return self.share(project_uuid).connection or project_uuid

    def has_room(self, query: Waiting) -> bool:
        share = self.share(query.project_uuid)
        taken = (
            (self._projects[query.project_uuid], share.running_max),
            (self._users[query.project_uuid, query.user_uuid], share.running_per_user_max),
            (self._connections[self._connection(query.project_uuid)], share.running_per_connection_max),
        )
        return all(limit is None or count < limit for count, limit in taken)

    def turn(self, query: Waiting) -> tuple[float, int, datetime, str]:
        """Return what the next query has least of: its project's share, its user's, its age."""
        share = self.share(query.project_uuid)
        return (
            (self._projects[query.project_uuid] + 1) / share.weight,
            self._users[query.project_uuid, query.user_uuid],
            query.created_at,
            query.query_uuid,
        )


def claim_order(
    waiting: Sequence[Waiting],
    running: Iterable[Slot],
    shares: Mapping[str, ProjectShare],
    *,
    count: int,
) -> list[Waiting]:
    """Return the next queries to start, in order.

    Args:
        waiting: Everything that waits, in any order.
        running: Everything that runs.
        shares: By project; a project without an entry has weight 1 and no limits.
        count: Most queries to return: the free actors.

    Returns:
        At most `count` queries, fewer when limits or the queue do not give more.

    Cost: O(waiting + count times users that wait); each step looks at one query per user.
    """
    load = _Load(running, shares)
    lines: dict[tuple[str, str], list[Waiting]] = {}
    for query in sorted(waiting, key=lambda query: (query.created_at, query.query_uuid), reverse=True):
        lines.setdefault((query.project_uuid, query.user_uuid), []).append(query)
    chosen: list[Waiting] = []
    while len(chosen) < count:
        heads = [line[-1] for line in lines.values() if line and load.has_room(line[-1])]
        if not heads:
            break
        best = min(heads, key=load.turn)
        lines[best.project_uuid, best.user_uuid].pop()
        load.add(best.project_uuid, best.user_uuid)
        chosen.append(best)
    return chosen
