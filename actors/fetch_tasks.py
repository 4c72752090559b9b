"""Groups of a result's pieces, fetched by Ray tasks on any node.

Tasks and not actors: a task keeps nothing between two calls, and Ray runs it again on another node when its process
dies.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import ray

from actors.ray_tasks import step_back, task_result
from queryfleet.errors import WarehouseConnectionError

if TYPE_CHECKING:
    from actors.fan_out import FetchGroup
    from queryfleet.model import ChunkRef
    from queryfleet.settings import Settings

__all__ = ["RayFetch"]

_RETRIES = 2  # by Ray, when the process of a task dies


class RayFetch:
    """Makes chunks in tasks; see `Fetch`.

    Args:
        settings: Of the service.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._remote: Any = None

    async def __call__(self, group: FetchGroup) -> ChunkRef:
        """See `Fetch`; a node that dies costs time, not the group."""
        if self._remote is None:
            self._remote = ray.remote(_fetch).options(
                num_cpus=0, max_retries=_RETRIES, scheduling_strategy="SPREAD", name="fetch_chunk"
            )
        reference = self._remote.remote(self._settings, group)
        chunk: ChunkRef = await task_result(
            reference,
            failed=lambda cause: _lost(f"A piece of the result failed: {type(cause).__name__}."),
            lost=lambda reason: _lost(f"The cluster could not fetch a piece of the result: {reason}."),
        )
        return chunk


def _lost(message: str) -> WarehouseConnectionError:
    return WarehouseConnectionError(message, transient=True)


def _fetch(settings: Settings, group: FetchGroup) -> ChunkRef:
    import pyarrow as pa

    step_back(settings.actor_niceness)
    ref = asyncio.run(_stored(settings, group))
    pa.default_memory_pool().release_unused()  # the process stays for the next group, its peak need not
    return ref


async def _stored(settings: Settings, group: FetchGroup) -> ChunkRef:
    from actors.fan_out import fetch_group
    from actors.services import open_result_store

    store = open_result_store(settings)
    try:
        return await fetch_group(group, store)
    finally:
        await store.close()
