# Made of queryfleet/client/concurrent/query.py by tools/make_blocking.py: change that one.
"""One query: waited for, watched, read, cancelled."""

from __future__ import annotations

import time
from contextlib import suppress
from html import escape
from typing import TYPE_CHECKING, Self

from queryfleet.client.answers import parse_snapshot
from queryfleet.client.blocking.chunks import Chunks
from queryfleet.client.blocking.lanes import INTERRUPTIONS, ArrowStream, sleep
from queryfleet.client.blocking.result import Result
from queryfleet.client.calls import cancel_call, poll_call
from queryfleet.client.paging import PageReader, idle_seconds
from queryfleet.client.progress import wait_display
from queryfleet.client.retry import CANCEL_RETRY
from queryfleet.client.texts import SHOWN_ROWS, snapshot_text
from queryfleet.errors import PaginationError, ServiceError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from queryfleet.client.answers import QuerySnapshot, ResultPage
    from queryfleet.client.blocking.wire import Wire
    from queryfleet.errors import JsonValue
    from queryfleet.status.transitions import QueryStatus

__all__ = ["Query"]


class Query(ArrowStream):
    """One query, from its start to its rows; made by `Client`.

    A context manager: leaving the block cancels the query if it has not ended. An interruption, such as Ctrl-C, while
    one of its methods waits cancels it too. Neither cancels a query that was only attached to.

    Args:
        wire: Speaks with the service.
        project_uuid: The query's project.
        snapshot: As it was last seen.
        sql: What is run, if it is known.
        is_own: Whether giving up on it cancels it.
        progress: Whether waiting is shown; None: where somebody sees it.
    """

    def __init__(
        self,
        wire: Wire,
        project_uuid: str,
        snapshot: QuerySnapshot,
        *,
        sql: str | None,
        is_own: bool,
        progress: bool | None,
    ) -> None:
        self._wire = wire
        self._project_uuid = project_uuid
        self._started = snapshot  # knows what only the first answer tells
        self._snapshot = snapshot
        self._sql = sql
        self._is_own = is_own
        self._progress = progress

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_own and not self._snapshot.is_ended:
            if error is None:
                self.cancel()
            else:
                self._abandon()

    @property
    def query_uuid(self) -> str:
        """Its name, by which `Client.attach` finds it again."""
        return self._snapshot.query_uuid

    @property
    def project_uuid(self) -> str:
        """Its project."""
        return self._project_uuid

    @property
    def snapshot(self) -> QuerySnapshot:
        """The query as it was last seen; asks nobody."""
        return self._snapshot

    @property
    def status(self) -> QueryStatus:
        """How it was when it was last seen: `pending`, `running`, `ready`, `error` or `cancelled`."""
        return self._snapshot.status

    @property
    def sql(self) -> str | None:
        """The SQL that was asked for, or that the models made; None where it is not known, see `Result.sql`."""
        return self._sql

    @property
    def fields(self) -> Mapping[str, JsonValue]:
        """Of a question to the models: the description of each column by its reference."""
        return self._started.fields

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the service did differently from what was asked, such as a lowered limit."""
        return tuple(dict.fromkeys((*self._started.warnings, *self._snapshot.warnings)))

    def poll(self, *, page: int | None = None, page_size: int | None = None, wait_seconds: float = 0) -> QuerySnapshot:
        """Ask how it is, and for one page of its rows.

        Args:
            page: Counted from 1; None means the first, once the query is ready.
            page_size: Rows per page; None for the service's default, at most the `max_page_size` of `health`.
            wait_seconds: How long the service may hold the answer, 0 to 60: until the query has ended or,
                with `page`, until that page is stored.

        Raises:
            NotFoundError: There is no such query of this user.
            ResultsExpiredError: The query was ready; its rows are no longer kept.
            PaginationError: The result has no such page, or the page size is not allowed.
            ServiceUnreachableError: No answer, also after repeating.
            ServiceError: Anything else the service refuses. A query that failed is not an error here: see
                `QuerySnapshot.raise_if_failed`.
        """
        call = poll_call(self._project_uuid, self.query_uuid, page=page, page_size=page_size, wait_seconds=wait_seconds)
        self._snapshot = parse_snapshot(self._wire.send(call), query_uuid=self.query_uuid, page_size=page_size)
        return self._snapshot

    def watch(self, *, interval_seconds: float = 0.5, page_size: int | None = None) -> Iterator[QuerySnapshot]:
        """Yield the query as it is now, and again and again until it has ended: phase, progress, place in the queue.

        Args:
            interval_seconds: How long one snapshot may be old, 0.05 to 60; its end is seen at once.
            page_size: Rows of the first page, which comes with a ready query.

        Yields:
            At least one snapshot; the last `is_ended`. A query that failed is not an error here.

        Raises:
            ServiceError: As `poll`.
        """
        interval_seconds = min(60.0, max(0.05, interval_seconds))
        wait_seconds, empty_polls = 0.0, 0
        while True:
            began = time.monotonic()
            snapshot = self.poll(page_size=page_size, wait_seconds=wait_seconds)
            yield snapshot
            if snapshot.is_ended:
                return
            empty_polls += 1
            if wait_seconds:
                held = time.monotonic() - began
                sleep(idle_seconds(empty_polls=empty_polls, held_seconds=held, wait_seconds=wait_seconds))
            wait_seconds = interval_seconds

    def wait(self, timeout: float | None = None) -> QuerySnapshot:
        """Wait until it has ended and return how; a query that failed or was cancelled is not an error here.

        Args:
            timeout: Most seconds; None: as long as it takes.

        Raises:
            TimeoutError: It has not ended in time. It goes on; `cancel` ends it.
            ServiceError: As `poll`.
        """
        # The answer to a submit may tell that it has ended and neither rows nor reason.
        if self._snapshot.is_ended and (self._snapshot.page is not None or self._snapshot is not self._started):
            return self._snapshot
        began, empty_polls = time.monotonic(), 0
        display = wait_display(self._progress)
        try:
            while True:
                asked = time.monotonic()
                left = None if timeout is None else max(0.0, began + timeout - asked)
                hold = display.interval_seconds if left is None else min(left, display.interval_seconds)
                snapshot = self.poll(page_size=SHOWN_ROWS, wait_seconds=hold)
                if snapshot.is_ended:
                    return snapshot
                if left is not None and time.monotonic() - began >= (timeout or 0):
                    text = f"Query {self.query_uuid} has not ended within {timeout:g} seconds; it goes on."
                    raise TimeoutError(text)
                display.look_at(snapshot)
                empty_polls += 1
                held = time.monotonic() - asked
                pause = idle_seconds(empty_polls=empty_polls, held_seconds=held, wait_seconds=hold)
                sleep(pause if left is None else min(pause, left))
        except INTERRUPTIONS:
            self._abandon()
            raise
        finally:
            display.end()

    def result(self, timeout: float | None = None, *, at_once: int = 4) -> Result:
        """Wait until it is ready and return its rows.

        Args:
            timeout: Most seconds; None: as long as it takes.
            at_once: Chunks read at the same time, 1 to 32.

        Raises:
            TimeoutError: It has not ended in time. It goes on.
            QueryCancelledError: It was cancelled.
            WarehouseQueryError: The warehouse refused it; `details` has `warehouseQueryId`, and the place in the SQL.
            ServiceError: It failed otherwise, or as `poll`; the class says why.
        """
        snapshot = self.wait(timeout)
        snapshot.raise_if_failed()
        return Result(self._wire, self._project_uuid, snapshot, sql=self._sql, at_once=at_once)

    def pages(
        self,
        *,
        page_size: int,
        wait_seconds: float = 20.0,
        on_wait: Callable[[QuerySnapshot], None] | None = None,
    ) -> Iterator[ResultPage]:
        """Yield every page in order, each as soon as it is stored, also while the query runs.

        Args:
            page_size: Rows per page, at most the `max_page_size` of `health`.
            wait_seconds: How long one request may be held, 0 to 60.
            on_wait: Called with every answer that brought no page; may raise to stop.

        Yields:
            At least one page: an empty result is one page with columns and no rows.

        Raises:
            QueryCancelledError: The query was cancelled.
            ConflictError: The query was begun again after some pages had been yielded.
            ServiceError: The query failed, or as `poll`.
        """
        reader = PageReader(page_size)
        empty_polls = 0
        try:
            while not reader.is_done:
                began = time.monotonic()
                try:
                    snapshot = self.poll(page=reader.page, page_size=page_size, wait_seconds=wait_seconds)
                except PaginationError as error:
                    reader.accept_beyond_end(error)
                    continue
                page = reader.accept(snapshot)
                if page is not None:
                    empty_polls = 0
                    yield page
                elif not reader.is_done:
                    empty_polls += 1
                    if on_wait is not None:
                        on_wait(snapshot)
                    held = time.monotonic() - began
                    sleep(idle_seconds(empty_polls=empty_polls, held_seconds=held, wait_seconds=wait_seconds))
        except INTERRUPTIONS:
            self._abandon()
            raise

    def schema(self) -> pa.Schema:
        """Return names and types as the warehouse gave them; waits until the query knows them.

        Raises:
            QueryCancelledError: The query was cancelled.
            ServiceError: The query failed, or as `poll`.
        """
        try:
            return Chunks(self._wire, self._project_uuid, self.query_uuid, at_once=1).schema()
        except INTERRUPTIONS:
            self._abandon()
            raise

    def batches(self, *, at_once: int = 4) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, a stored chunk at a time, each as soon as it is stored, also while the query runs.

        Args:
            at_once: Chunks read at the same time, and held in memory until they are taken; 1 to 32.

        Raises:
            ConflictError: The query was begun again after some rows had been yielded.
            QueryCancelledError: The query was cancelled.
            ServiceError: The query failed, or as `Result.batches`.
        """
        try:
            yield from Chunks(self._wire, self._project_uuid, self.query_uuid, at_once=at_once).batches()
        except INTERRUPTIONS:
            self._abandon()
            raise

    def to_arrow(self) -> pa.Table:
        """Wait, and return all rows; raises like `result` and `Result.batches`."""
        result = self.result()
        return result.to_arrow()

    def to_pandas(self) -> pd.DataFrame:
        """Wait, and return all rows as a pandas data frame, which must be installed; raises like `to_arrow`."""
        result = self.result()
        return result.to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Wait, and return all rows as a Polars data frame, which must be installed; raises like `to_arrow`."""
        result = self.result()
        return result.to_polars()

    def download(
        self,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,  # noqa: A002 - the word for it
        formatted: bool = False,
    ) -> Path:
        """Wait, and write all rows to a file; see `Result.download`."""
        result = self.result()
        return result.download(path, format=format, formatted=formatted)

    def cancel(self) -> QuerySnapshot:
        """Cancel it, in the warehouse too, and return how it is then; one that has ended stays as it is.

        Raises:
            NotFoundError: There is no such query of this user.
            ServiceUnreachableError: No answer, also after repeating.
        """
        self._wire.send(cancel_call(self._project_uuid, self.query_uuid))
        return self.poll(page_size=SHOWN_ROWS)

    def _abandon(self) -> None:
        """Cancel it, within a few seconds, for a caller who has given up and whom an error would not help."""
        if self._is_own and not self._snapshot.is_ended:
            with suppress(ServiceError):
                self._wire.send(cancel_call(self._project_uuid, self.query_uuid), retry=CANCEL_RETRY)

    def __repr__(self) -> str:
        return f"<Query {snapshot_text(self._snapshot)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: how the query was when it was last seen."""
        return f"<div><b>Query</b> {escape(snapshot_text(self._snapshot))}</div>"
