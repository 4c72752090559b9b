"""A large stored result, fetched by many: groups of its pieces become chunks in tasks on any node.

Each group is one chunk, whose number and first row are known beforehand, so groups may end in any order; they are
committed in order. A group that is lost or fails is fetched again, alone, with fresh links; it writes the same bytes
under the same key, so it does not matter if the lost one writes too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import structlog

from queryfleet.errors import ServiceError, StorageError, WarehouseConnectionError
from queryfleet.results.chunking import ChunkBuilder, ChunkLimits
from queryfleet.warehouse.base import PartitionedSession

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from actors.messages import Assignment
    from queryfleet.model import ChunkRef
    from queryfleet.results.store import ObjectStore
    from queryfleet.settings import Settings
    from queryfleet.warehouse.base import ResultPartition, WarehouseSession

__all__ = ["FAN_OUT_BYTES", "FanOut", "Fetch", "FetchGroup", "fetch_group", "groups_in", "groups_of"]

FAN_OUT_BYTES = 512 * 1024 * 1024  # of a result's rows in memory: a smaller one is fetched sooner by its own actor

_TRIES = 3  # for one group
_LOOK_SECONDS = 0.2  # between two looks whether the attempt is still wanted
_NO_LIMIT = 1 << 60

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchGroup:
    """Adjacent pieces of a result that become one chunk. Crosses process boundaries."""

    query_uuid: str
    attempt: int
    index: int  # of the chunk
    first_row: int  # of the whole result
    block_rows: int
    partitions: tuple[ResultPartition, ...]

    @property
    def end_row(self) -> int:
        """The first row after it."""
        return self.first_row + sum(partition.row_count for partition in self.partitions)


class Fetch(Protocol):
    """Makes one chunk of a group, somewhere."""

    async def __call__(self, group: FetchGroup) -> ChunkRef:
        """Return its reference once its object is durable; may raise any `ServiceError`."""
        ...


def groups_in(
    session: WarehouseSession, assignment: Assignment, *, chunks: Sequence[ChunkRef], settings: Settings
) -> tuple[FetchGroup, ...]:
    """Return what tasks may fetch of a session's result; nothing where that is not worth it.

    Args:
        session: Its columns are known.
        assignment: Names the chunks.
        chunks: Those that are there already, the first of the result.
        settings: Sizes.

    Raises like `PartitionedSession.partitions`.
    """
    if not isinstance(session, PartitionedSession):
        return ()
    row = sum(chunk.row_count for chunk in chunks)
    partitions = session.partitions(first_row=row)
    if sum(partition.byte_count for partition in partitions) < FAN_OUT_BYTES:
        return ()
    first = FetchGroup(
        query_uuid=assignment.query_uuid,
        attempt=assignment.attempt,
        index=len(chunks),
        first_row=row,
        block_rows=settings.block_rows,
        partitions=(),
    )
    return groups_of(partitions, first=first, target_bytes=settings.chunk_bytes)


def groups_of(partitions: Sequence[ResultPartition], *, first: FetchGroup, target_bytes: int) -> tuple[FetchGroup, ...]:
    """Put adjacent pieces together until each group has about `target_bytes`; none is taken apart.

    Args:
        partitions: In order, beginning at `first.first_row`.
        first: Index and first row of the first group; its pieces are ignored.
        target_bytes: In the warehouse's own measure of rows in memory.
    """
    groups: list[FetchGroup] = []
    held: list[ResultPartition] = []
    index, row = first.index, first.first_row
    for partition in partitions:
        held.append(partition)
        if sum(piece.byte_count for piece in held) >= target_bytes or partition is partitions[-1]:
            groups.append(replace(first, index=index, first_row=row, partitions=tuple(held)))
            index, row, held = index + 1, groups[-1].end_row, []
    return tuple(groups)


async def fetch_group(group: FetchGroup, store: ObjectStore) -> ChunkRef:
    """Read the pieces of a group, encode them, and store them as its chunk.

    Raises:
        WarehouseQueryError: A value cannot be delivered.
        WarehouseConnectionError: A piece could not be read, perhaps because its link has expired.
        StorageError: The store is away.

    Cost: memory of the whole chunk and of one piece.
    """
    from queryfleet.results.encoder import Encoder

    limits = ChunkLimits(chunk_bytes=_NO_LIMIT, chunk_bytes_first=_NO_LIMIT, block_rows=group.block_rows)
    builder = ChunkBuilder(group.query_uuid, group.attempt, limits)
    builder.continue_at(index=group.index, row=group.first_row)
    for partition in group.partitions:
        try:
            batch = await asyncio.to_thread(partition.read)
        except ServiceError:
            raise
        except Exception as error:
            reason = type(error).__name__  # the driver's own may not survive the way to another process
            raise WarehouseConnectionError(
                f"A piece of the result could not be read: {reason}.", transient=True
            ) from error
        builder.append(Encoder(batch.schema).encode(batch))
    chunk = builder.seal()
    if chunk is None or chunk.ref.row_count != group.end_row - group.first_row:
        raise WarehouseConnectionError("A piece of the result lacks rows.", transient=True)
    await store.put(chunk.ref.key, chunk.data)
    return chunk.ref


class FanOut:
    """Fetches groups, a few at once, and hands their chunks over in order. Lives on one event loop.

    Args:
        session: Gives pieces with fresh links; a `PartitionedSession`.
        fetch: Makes a chunk of a group.
        at_once: Most groups under way.
        check: Raises when the attempt is not wanted any more.
    """

    def __init__(self, session: WarehouseSession, fetch: Fetch, *, at_once: int, check: Callable[[], None]) -> None:
        self._session = session
        self._fetch = fetch
        self._at_once = at_once
        self._check = check

    async def run(self, groups: Sequence[FetchGroup], add: Callable[[ChunkRef], Awaitable[None]]) -> None:
        """Fetch all groups; `add` gets each chunk as it is stored, in any order. Raises what a group failed with."""
        waiting = list(reversed(groups))
        under_way: set[asyncio.Task[ChunkRef]] = set()
        try:
            while waiting or under_way:
                while waiting and len(under_way) < self._at_once:
                    under_way.add(asyncio.create_task(self._patient(waiting.pop())))
                ended, under_way = await asyncio.wait(
                    under_way, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                self._check()
                for task in ended:
                    await add(task.result())
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _patient(self, group: FetchGroup) -> ChunkRef:
        """Fetch one group; again, alone, where that may help."""
        tries = 1
        while True:
            try:
                return await self._fetch(group)
            except (WarehouseConnectionError, StorageError) as error:
                if tries >= _TRIES:
                    raise
                log.warning("query.group_retried", query_uuid=group.query_uuid, index=group.index, reason=error.message)
            tries += 1
            group = await asyncio.to_thread(self._renewed, group)

    def _renewed(self, group: FetchGroup) -> FetchGroup:
        assert isinstance(self._session, PartitionedSession)  # noqa: S101 - else there were no groups
        partitions = self._session.partitions(first_row=group.first_row, end_row=group.end_row)
        return replace(group, partitions=tuple(partitions))
