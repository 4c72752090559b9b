"""The end of our actors, with nothing left working in a warehouse for nobody."""

from __future__ import annotations

from typing import Any

import ray

from actors.names import NAMESPACE, generation_of_query_actor, generation_of_status_actor

__all__ = ["end_actors"]

_RELEASE_SECONDS = 3.0


def end_actors(generation: int | None = None) -> None:
    """End the actors of one generation, or of all.

    Those that run a query let go of it first, in the warehouse too; the query is taken up by whoever runs next.

    Args:
        generation: Its number; None: of every generation on the cluster.
    """
    named: list[dict[str, str]] = ray.util.list_named_actors(all_namespaces=True)
    names = [entry["name"] for entry in named if entry["namespace"] == NAMESPACE]
    # The status actors first: they would replace the others.
    for name in names:
        if _is_of(generation_of_status_actor(name), generation) and (handle := _actor(name)) is not None:
            ray.kill(handle)
    handles = [
        handle
        for name in names
        if _is_of(generation_of_query_actor(name), generation) and (handle := _actor(name)) is not None
    ]
    released = [handle.release.remote() for handle in handles]
    if released:
        ray.wait(released, num_returns=len(released), timeout=_RELEASE_SECONDS)
    for handle in handles:
        ray.kill(handle)


def _is_of(found: int | None, wanted: int | None) -> bool:
    return found is not None and wanted in (None, found)


def _actor(name: str) -> Any | None:
    """Return an actor's handle, or None when it is gone."""
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None
