"""How our actors are called in a Ray cluster."""

from __future__ import annotations

__all__ = ["NAMESPACE", "QUERY_ACTOR_PREFIX", "STATUS_ACTOR"]

NAMESPACE = "queryfleet"  # all our named actors live in it
STATUS_ACTOR = "status"
QUERY_ACTOR_PREFIX = "query-"
