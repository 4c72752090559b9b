"""The rows of a query that is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.client.answers import parse_snapshot
from queryfleet.client.calls import poll_call
from queryfleet.client.concurrent.chunks import AsyncChunks
from queryfleet.client.concurrent.download import download
from queryfleet.client.concurrent.lanes import ArrowStream
from queryfleet.client.frames import pandas_of, polars_of, table_of
from queryfleet.client.texts import page_html, page_text, printable, result_line
from queryfleet.errors import ServiceError

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from queryfleet.client.answers import QuerySnapshot, ResultPage, Timings
    from queryfleet.client.concurrent.wire import AsyncWire
    from queryfleet.model import Column

__all__ = ["AsyncResult"]

_PAGE_SIZE = 500


class AsyncResult(ArrowStream):
    """The rows of one query, read from the service as they are asked for; none but the first few are kept here.

    `len(result)` is the number of rows.

    Args:
        wire: Speaks with the service.
        project_uuid: The query's project.
        snapshot: The query, ready, with the first rows.
        sql: What was run, if it is known.
        at_once: Chunks read at the same time, 1 to 32.
    """

    def __init__(
        self, wire: AsyncWire, project_uuid: str, snapshot: QuerySnapshot, *, sql: str | None, at_once: int
    ) -> None:
        if snapshot.page is None or snapshot.page.total_rows is None:
            uuid = snapshot.query_uuid
            raise ServiceError(f"Query {uuid} is ready, but the service sent no rows with that answer.", queryUuid=uuid)
        self._wire = wire
        self._project_uuid = project_uuid
        self._snapshot = snapshot
        self._first = snapshot.page
        self._row_count = snapshot.page.total_rows
        self._sql = sql
        self._chunks = AsyncChunks(wire, project_uuid, snapshot.query_uuid, at_once=at_once)

    def __len__(self) -> int:
        return self._row_count

    @property
    def query_uuid(self) -> str:
        """Name of the query; `AsyncClient.attach` finds it again as long as its rows are kept."""
        return self._snapshot.query_uuid

    @property
    def columns(self) -> tuple[Column, ...]:
        """Names and kinds of the columns, in order; there also when there are no rows."""
        return self._first.columns

    @property
    def sql(self) -> str | None:
        """The SQL that was asked for, or that the models made.

        None where it is not known: the query was attached to, or the user may not run SQL.
        """
        return self._sql

    @property
    def timings(self) -> Timings:
        """How long each phase took."""
        return self._snapshot.timings

    @property
    def truncated(self) -> bool:
        """Whether a limit cut the result short."""
        return self._snapshot.truncated

    @property
    def warehouse_query_id(self) -> str | None:
        """The warehouse's own name for the execution."""
        return self._snapshot.warehouse_query_id

    async def schema(self) -> pa.Schema:
        """Return names and types as the warehouse gave them; raises like `batches`."""
        return await self._chunks.schema()

    async def batches(self) -> AsyncIterator[pa.RecordBatch]:
        """Yield the rows in order, a stored chunk at a time, of at most some ten megabytes.

        Chunks are read several at a time, from the object store itself where it can be reached, and each is checked by
        length, checksum and number of rows. A connection that breaks is repeated.

        Raises:
            ResultCorruptError: Bytes or rows are missing, or not those that were written.
            ResultsExpiredError: The rows are no longer kept.
            ServiceUnreachableError: No answer, also after repeating.
            ServiceError: Refused by the service; the class says why.
        """
        async for batch in self._chunks.batches():
            yield batch

    async def rows(self) -> AsyncIterator[dict[str, object]]:
        """Yield the rows in order, each as value by column, in Python's types; raises like `batches`.

        Cost: some microseconds a value. Arrow, pandas and Polars need a hundredth of that.
        """
        async for batch in self._chunks.batches():
            for row in batch.to_pylist():
                yield row

    async def page(self, page: int = 1, *, page_size: int = _PAGE_SIZE) -> ResultPage:
        """Return one page of rows as the wire has them: raw values and display texts.

        Args:
            page: Counted from 1.
            page_size: Rows, 1 to 5000 or what the service allows.

        Raises:
            PaginationError: The result has no such page, or the page size is not allowed.
            ServiceError: As `batches`.
        """
        call = poll_call(self._project_uuid, self.query_uuid, page=page, page_size=page_size, wait_seconds=0)
        found = parse_snapshot(await self._wire.send(call), query_uuid=self.query_uuid, page_size=page_size)
        if found.page is None:
            raise ServiceError(f"The service sent no rows of query {self.query_uuid}.", queryUuid=self.query_uuid)
        return found.page

    async def to_arrow(self) -> pa.Table:
        """Return all rows; raises like `batches`."""
        batches = [batch async for batch in self._chunks.batches()]
        return table_of(batches, None if batches else await self._chunks.schema())

    async def to_pandas(self) -> pd.DataFrame:
        """Return all rows as a pandas data frame; raises like `batches`.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        return pandas_of(await self.to_arrow())

    async def to_polars(self) -> pl.DataFrame:
        """Return all rows as a Polars data frame; raises like `batches`.

        Raises:
            ModuleNotFoundError: Polars is not installed.
        """
        return polars_of(await self.to_arrow())

    async def download(
        self,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,  # noqa: A002 - the word for it
        formatted: bool = False,
        on_bytes: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Write all rows to a file, which the service makes, and return its path.

        The file gets its name when it is whole; until then it is a hidden file beside it. What broke off is gone on
        with where it stood, also by the next call. A file of that name is replaced.

        Args:
            path: Where to write.
            format: `csv`, `xlsx`, `jsonl`, `parquet`, `arrow` or `arrow_stream`; None: by the ending of `path`.
            formatted: csv, xlsx: values as people read them, not as they are.
            on_bytes: Called with the bytes that are here, and all there are.

        Raises:
            ParameterError: There is no such format; or Excel cannot hold so many rows.
            ResultsExpiredError: The rows are no longer kept.
            ConflictError: Another download writes the same file.
            OSError: The disk is full, or the folder cannot be written.
            ServiceUnreachableError: No answer of service or store, also after repeating.
            ServiceError: Refused by the service; the class says why.
        """
        return await download(
            self._wire,
            self._project_uuid,
            self.query_uuid,
            path,
            format_=format,
            formatted=formatted,
            on_bytes=on_bytes,
        )

    def __repr__(self) -> str:
        return page_text(self._first, f"{self._line()} · {printable(self.query_uuid)}")

    def _repr_html_(self) -> str:
        """What a notebook shows: the first rows, types, counts and seconds."""
        return page_html(self._first, f"{self._line()} · {self.query_uuid}")

    def _line(self) -> str:
        return result_line(
            row_count=len(self),
            column_count=len(self.columns),
            timings=self.timings,
            cache_hit=self._snapshot.cache_hit,
            truncated=self.truncated,
        )
