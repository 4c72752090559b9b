"""The chunks of a result as they are committed, also while its query runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.errors import ConflictError, ResultCorruptError
from serve_app.stored_lines import require_ready

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from queryfleet.model import ChunkRef
    from queryfleet.status.record import QueryRecord
    from serve_app.queries import Queries

__all__ = ["committed_chunks", "with_columns"]

_WAIT_SECONDS = 30.0  # then the query is looked at again


async def with_columns(queries: Queries, record: QueryRecord) -> QueryRecord:
    """Return a query once its columns are known, however long that takes.

    Raises:
        ServiceError: It ended without a result.
    """
    while record.arrow_schema is None:
        if record.is_terminal:
            require_ready(record)
            return record
        record = await _changed(queries, record, rows=0)
    return record


async def committed_chunks(queries: Queries, record: QueryRecord) -> AsyncIterator[ChunkRef]:
    """Yield every chunk of a query's result in order, each once it is committed, until the query is ready.

    Raises:
        ConflictError: The query was begun again after chunks of an earlier attempt had been yielded.
        ResultCorruptError: The chunks do not add up to the result.
        ServiceError: The query failed or was cancelled.
    """
    row = 0
    source = None
    while True:
        if row and (record.result_query_uuid, record.result_attempt) != source:
            raise ConflictError("The query was begun again, and its rows may come in another order; read them anew.")
        source = record.result_query_uuid, record.result_attempt
        if record.row_count > row:
            for chunk in await queries.chunks(record, row, record.row_count):
                if chunk.first_row == row:
                    yield chunk
                    row += chunk.row_count
        if record.is_terminal:
            require_ready(record)
            if row != record.row_count:
                raise ResultCorruptError("The stored rows are not all there; run the query again.")
            return
        if record.row_count <= row:
            record = await _changed(queries, record, rows=row)


async def _changed(queries: Queries, record: QueryRecord, *, rows: int) -> QueryRecord:
    """Wait until a query has more than `rows` rows, or knows its columns, or has ended, or some time has passed."""
    knew = record.arrow_schema is not None
    source = record.result_query_uuid, record.result_attempt

    def is_news(now: QueryRecord) -> bool:
        moved = (now.result_query_uuid, now.result_attempt) != source
        return moved or now.row_count > rows or (now.arrow_schema is not None) != knew

    return await queries.wait_in_any_crowd(record, until=is_news, timeout_seconds=_WAIT_SECONDS)
