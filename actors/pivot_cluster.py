"""The cells of large pivots on the cluster: in Ray's object store, pivoted by tasks on all nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray

from actors.chunk_sizes import chunk_limits_of
from actors.pivot_tasks import PivotJob, pivot_on_cluster

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import pyarrow as pa

    from queryfleet.model import ChunkRef
    from queryfleet.pivot.dictionary import ColumnDictionary
    from queryfleet.pivot.task import PivotTask
    from queryfleet.results.writer import FinishedResult
    from queryfleet.settings import Settings

__all__ = ["RayCells"]

_RANGES_PER_CPU = 2


class RayCells:
    """Cells of one attempt; see `CellStore`.

    Args:
        query_uuid: Names the stored chunks.
        attempt: Likewise.
        settings: Of the service.
    """

    def __init__(self, query_uuid: str, attempt: int, settings: Settings) -> None:
        self._query_uuid = query_uuid
        self._attempt = attempt
        self._settings = settings

    def put(self, cells: pa.Table) -> object:
        """Keep some cells in the object store; see `CellStore.put`."""
        return ray.put(cells)

    async def pivot(
        self,
        partitions: Sequence[Any],
        task: PivotTask,
        *,
        announce: Callable[[ColumnDictionary], None],
        commit: Callable[[ChunkRef], Awaitable[None]],
    ) -> FinishedResult:
        """Pivot on the cluster; see `CellStore.pivot`."""
        job = PivotJob(
            query_uuid=self._query_uuid,
            attempt=self._attempt,
            plan=task.plan,
            display=task.display,
            chunk_limits=chunk_limits_of(self._settings),
            settings=self._settings,
        )
        range_count = _RANGES_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1)))
        finished = await pivot_on_cluster(partitions, job, range_count=range_count, announce=announce, commit=commit)
        return finished.result
