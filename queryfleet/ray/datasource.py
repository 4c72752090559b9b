"""A stored result as a source of `ray.data`: its read tasks read chunks on all nodes at the same time."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

from queryfleet.client.manifest import schema_of
from queryfleet.ray.reading import GROUP_BYTES, grouped, read_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queryfleet.ray.reading import ChunkGroup

__all__ = ["ResultDatasource"]


class ResultDatasource(Datasource):  # type: ignore[misc]  # Ray ships no types
    """Reads one result.

    Args:
        whole: All chunks of the result, as one group.
    """

    def __init__(self, whole: ChunkGroup) -> None:
        super().__init__()
        self._whole = whole

    def get_name(self) -> str:
        """Return what progress bars call it."""
        return "Queryfleet"

    def estimate_inmemory_data_size(self) -> int:
        """Return the bytes of the stored lines, which tables seldom exceed."""
        return self._whole.byte_count

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: object | None = None
    ) -> list[ReadTask]:
        """Return one task for each group of adjacent chunks: about `parallelism`, more where groups would be large."""
        del data_context
        schema = schema_of(self._whole.arrow_schema)
        groups = [
            replace(self._whole, chunks=chunks)
            for chunks in grouped(self._whole.chunks, group_bytes=GROUP_BYTES, groups_min=parallelism)
        ]
        return [
            ReadTask(
                partial(_tables, group),
                BlockMetadata(num_rows=group.row_count, size_bytes=group.byte_count, exec_stats=None),
                schema=schema,
                per_task_row_limit=per_task_row_limit,
            )
            for group in groups
        ]


def _tables(group: ChunkGroup) -> Iterator[pa.Table]:
    if not group.chunks:
        yield schema_of(group.arrow_schema).empty_table()
    for batch in read_chunks(group):
        yield pa.Table.from_batches([batch])
