"""What a replica knows about queries: reads with a cache of what cannot change, and waiting."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from queryfleet.errors import NotFoundError
from queryfleet.formatting import rule_of
from serve_app.accounts import canonical_uuid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from queryfleet.formatting import FormatRule
    from queryfleet.model import ChunkRef
    from queryfleet.status.record import QueryRecord
    from queryfleet.status.store import StatusStore
    from queryfleet.status.watchers import Watchers

__all__ = ["Queries"]

_REMEMBERED_QUERIES = 2000
_REMEMBERED_INDEX_BYTES = 64 * 1024 * 1024
_BUSY_SECONDS = 0.5  # between two looks when too many wait already
_LOOK_AGAIN_SECONDS = 2.0  # a notification can be lost with its connection


class Queries:
    """Reads queries for one replica.

    Args:
        statuses: The truth.
        listener: Tells when a query changed.
        waiters_max: Requests held at once; beyond it they are answered at once.
    """

    def __init__(self, statuses: StatusStore, listener: Watchers, *, waiters_max: int) -> None:
        self._statuses = statuses
        self._listener = listener
        self._waiters_max = waiters_max
        self._ended: OrderedDict[str, QueryRecord] = OrderedDict()
        self._indexes: OrderedDict[str, tuple[ChunkRef, ...]] = OrderedDict()
        self._index_bytes = 0
        self._rules: OrderedDict[str, dict[str, FormatRule]] = OrderedDict()

    async def load(self, query_uuid: str, *, project_uuid: str, user_uuid: str) -> QueryRecord:
        """Return one query of this caller.

        Raises:
            NotFoundError: There is none, or it is another project's or another user's: they all look the same.
        """
        known = canonical_uuid(query_uuid)
        record = None
        if known is not None:
            record = self._ended.get(known) or await self._statuses.load(known)
        if record is None or record.project_uuid != project_uuid or record.user_uuid != user_uuid:
            raise NotFoundError("There is no such query.", queryUuid=query_uuid)
        if record.is_terminal:
            self._remember(record)
        elif record.poll_ttl_seconds is not None:
            await self._statuses.touch(record.query_uuid)
        return record

    async def project_of(self, query_uuid: str, *, user_uuid: str) -> str | None:
        """Return the project of one of a user's queries; None when the user has no such query."""
        record = self._ended.get(query_uuid) or await self._statuses.load(query_uuid)
        return record.project_uuid if record is not None and record.user_uuid == user_uuid else None

    def _remember(self, record: QueryRecord) -> None:
        self._ended[record.query_uuid] = record
        self._ended.move_to_end(record.query_uuid)
        while len(self._ended) > _REMEMBERED_QUERIES:
            self._ended.popitem(last=False)

    async def wait(
        self, record: QueryRecord, *, until: Callable[[QueryRecord], bool], timeout_seconds: float
    ) -> QueryRecord:
        """Return the query once it has ended or `until` holds, or as it is when the time is up."""
        if record.is_terminal or until(record) or timeout_seconds <= 0:
            return record
        if self._listener.watcher_count >= self._waiters_max:
            return record
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        # A query that waits for another one's result changes when that one does.
        watched = {record.query_uuid, record.leader_uuid or record.query_uuid}
        with self._listener.watch(*watched) as changed:
            while True:
                changed.clear()
                record = await self.load(
                    record.query_uuid, project_uuid=record.project_uuid, user_uuid=record.user_uuid
                )
                left = deadline - asyncio.get_running_loop().time()
                if record.is_terminal or until(record) or left <= 0:
                    return record
                try:
                    async with asyncio.timeout(min(left, _LOOK_AGAIN_SECONDS)):
                        await changed.wait()
                except TimeoutError:
                    continue

    async def wait_in_any_crowd(
        self, record: QueryRecord, *, until: Callable[[QueryRecord], bool], timeout_seconds: float
    ) -> QueryRecord:
        """Wait like `wait`; when too many requests are held already, look again after half a second instead."""
        began = asyncio.get_running_loop().time()
        after = await self.wait(record, until=until, timeout_seconds=timeout_seconds)
        if after is record and asyncio.get_running_loop().time() - began < _BUSY_SECONDS:
            await asyncio.sleep(_BUSY_SECONDS)
            after = await self.load(record.query_uuid, project_uuid=record.project_uuid, user_uuid=record.user_uuid)
        return after

    async def chunks(self, record: QueryRecord, first_row: int, end_row: int) -> tuple[ChunkRef, ...]:
        """Return the chunks that hold these rows; those of an ended query come from memory after the first read."""
        if not record.is_terminal:
            return await self._statuses.chunks(
                record.result_query_uuid, record.result_attempt, first_row=first_row, end_row=end_row
            )
        chunks = self._indexes.get(record.query_uuid)
        if chunks is None:
            chunks = await self._statuses.chunks(
                record.result_query_uuid, record.result_attempt, first_row=0, end_row=max(1, record.row_count)
            )
            self._remember_index(record.query_uuid, chunks)
        else:
            self._indexes.move_to_end(record.query_uuid)
        return chunks

    def _remember_index(self, query_uuid: str, chunks: tuple[ChunkRef, ...]) -> None:
        self._index_bytes += _index_bytes(chunks) - _index_bytes(self._indexes.pop(query_uuid, ()))
        self._indexes[query_uuid] = chunks
        while self._index_bytes > _REMEMBERED_INDEX_BYTES:
            _, dropped = self._indexes.popitem(last=False)
            self._index_bytes -= _index_bytes(dropped)

    def rules(self, record: QueryRecord) -> Mapping[str, FormatRule]:
        """Return how the columns of a question to the models are shown; they are read once for each query."""
        if record.fields is None:
            return {}
        rules = self._rules.get(record.query_uuid)
        if rules is None:
            fields = record.column_fields or {}
            rules = {name: rule_of(item) for name, item in fields.items() if isinstance(item, dict)}
            if record.pivot is not None and record.pivot_details is None:
                return rules  # its columns are not known yet
            self._rules[record.query_uuid] = rules
            while len(self._rules) > _REMEMBERED_QUERIES:
                self._rules.popitem(last=False)
        return rules

    async def queue_position(self, query_uuid: str) -> int | None:
        """Return the place of a pending query in the queue, from 1."""
        return await self._statuses.queue_position(query_uuid)


def _index_bytes(chunks: tuple[ChunkRef, ...]) -> int:
    return sum(len(chunk.blocks) + 200 for chunk in chunks)
