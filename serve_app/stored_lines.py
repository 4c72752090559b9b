"""A whole result as it is stored: lines of JSON, chunk by chunk."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from queryfleet.errors import (
    ConflictError,
    ObjectNotFoundError,
    QueryCancelledError,
    ResultCorruptError,
    ResultsExpiredError,
    WarehouseQueryError,
)
from queryfleet.status.transitions import QueryStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from queryfleet.model import ChunkRef
    from queryfleet.results.store import ObjectStore
    from queryfleet.status.record import QueryRecord

__all__ = ["require_ready", "stored_lines"]


def require_ready(record: QueryRecord) -> None:
    """Raise unless a query has a result.

    Raises:
        ConflictError: It still waits or runs; `data.status` says which.
        QueryCancelledError: It was cancelled.
        ServiceError: It failed, with its own error's text.
    """
    if record.status is QueryStatus.CANCELLED:
        raise QueryCancelledError(
            "The query was cancelled; there are no rows.", queryUuid=record.query_uuid, status=record.status.value
        )
    if record.status is QueryStatus.ERROR:
        failure = record.failure
        raise WarehouseQueryError(failure.message if failure is not None else "The query failed.")
    if record.status is not QueryStatus.READY:
        text = f"The query is {record.status.value}; ask again when it is ready."
        raise ConflictError(text, status=record.status.value)


async def stored_lines(store: ObjectStore, chunks: Sequence[ChunkRef]) -> AsyncIterator[bytes]:
    """Yield the bytes of each chunk in order, checked. Memory: one chunk.

    Raises:
        ResultsExpiredError: A chunk's object is gone.
        ResultCorruptError: Its bytes are not those that were written.
        StorageError: The store is away.
    """
    for chunk in chunks:
        try:
            data = await store.get(chunk.key)
        except ObjectNotFoundError:
            raise ResultsExpiredError("The stored rows of this query are gone; run the query again.") from None
        if len(data) != chunk.byte_count or zlib.crc32(data) != chunk.crc32:
            raise ResultCorruptError("Stored rows are damaged; run the query again.", key=chunk.key)
        yield data
