"""Rows of a result as lines of JSON: out of the store, or out of the warehouse where they were left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from actors.kept_pages import PageOfRows
from queryfleet.errors import ResultsExpiredError, TooManyRequestsError, WarehouseTimeoutError
from queryfleet.results.reader import read_lines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from actors.kept_pages import PageReader
    from queryfleet.results.store import ObjectStore
    from queryfleet.settings import Settings
    from queryfleet.status.record import QueryRecord
    from serve_app.queries import Queries

__all__ = ["ResultLines"]

_WAITING_MAX = 200  # pages of one replica that are being read from warehouses, or wait for it
_RETRY_SECONDS = 2


class ResultLines:
    """Reads rows for one replica.

    Args:
        queries: Knows the chunks of results.
        store: Holds them.
        pages: Reads what is not stored, in another process.
        definition_of: Returns the stored definition of a project.
        settings: Of the service.
    """

    def __init__(
        self,
        queries: Queries,
        store: ObjectStore,
        pages: PageReader,
        *,
        definition_of: Callable[[str], Awaitable[dict[str, Any]]],
        settings: Settings,
    ) -> None:
        self._queries = queries
        self._store = store
        self._pages = pages
        self._definition_of = definition_of
        self._seconds_max = settings.page_seconds_max
        self._waiting = 0

    async def read(self, record: QueryRecord, first_row: int, row_count: int) -> bytes:
        """Return some rows of a query, each a line with its newline.

        Args:
            record: Its columns are known.
            first_row: From 0.
            row_count: At least 1; the query has so many rows from there on.

        Raises:
            ResultsExpiredError: The rows are no longer kept.
            ResultCorruptError: Stored bytes are damaged, or the warehouse has lost rows.
            NotSupportedError: They were stored, and storage has been switched off since.
            WarehouseTimeoutError: The warehouse did not give rows that are not stored in time.
            TooManyRequestsError: Too many such rows are being read already.
            ServiceError: The store or the warehouse cannot be used.
        """
        if record.is_unstored:
            return await self._unstored(record, first_row, row_count)
        chunks = await self._queries.chunks(record, first_row, first_row + row_count)
        return await read_lines(self._store, chunks, first_row, row_count)

    async def _unstored(self, record: QueryRecord, first_row: int, row_count: int) -> bytes:
        if record.warehouse_query_id is None:
            raise ResultsExpiredError("Nobody knows where the rows of this query are; run the query again.")
        if self._waiting >= _WAITING_MAX:
            raise TooManyRequestsError(
                "Too many pages are being read from the warehouse; ask again shortly.",
                retryAfterSeconds=_RETRY_SECONDS,
            )
        page = PageOfRows(
            project=await self._definition_of(record.project_uuid),
            query_id=record.warehouse_query_id,
            arrow_schema=record.arrow_schema or b"",
            total_rows=record.row_count,
            first_row=first_row,
            row_count=row_count,
        )
        self._waiting += 1
        try:
            async with asyncio.timeout(self._seconds_max):
                return await self._pages.lines(page)
        except TimeoutError:
            raise WarehouseTimeoutError(
                f"The warehouse did not give the rows within {self._seconds_max:g} s; ask again. "
                "QUERYFLEET_PAGE_SECONDS_MAX sets the limit.",
                warehouseQueryId=record.warehouse_query_id,
            ) from None
        finally:
            self._waiting -= 1
