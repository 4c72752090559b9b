"""How our actors are called in a Ray cluster.

A *generation* is one version of code and settings. Its status actor and its query actors carry its number, so that a
new generation can start beside the one it replaces:

    status-0007      query-0007-5f0c2a529d0f
"""

from __future__ import annotations

import re
import uuid

__all__ = [
    "NAMESPACE",
    "generation_of_query_actor",
    "generation_of_status_actor",
    "query_actor_name",
    "status_actor_name",
]

NAMESPACE = "queryfleet"  # all our named actors live in it

_STATUS_ACTOR = re.compile(r"status-(\d+)")
_QUERY_ACTOR = re.compile(r"query-(\d+)-[0-9a-f]+")


def status_actor_name(generation: int) -> str:
    """Return the name of a generation's status actor. Generations count from 1."""
    return f"status-{generation:04d}"


def query_actor_name(generation: int) -> str:
    """Return a new name for a query actor of a generation."""
    return f"query-{generation:04d}-{uuid.uuid4().hex[:12]}"


def generation_of_status_actor(name: str) -> int | None:
    """Return whose status actor this is, or None when the name is not one of a status actor."""
    found = _STATUS_ACTOR.fullmatch(name)
    return int(found[1]) if found else None


def generation_of_query_actor(name: str) -> int | None:
    """Return whose query actor this is, or None when the name is not one of a query actor."""
    found = _QUERY_ACTOR.fullmatch(name)
    return int(found[1]) if found else None
