"""Reads a result that the warehouse keeps chunk by chunk, a few of them ahead, from any row on.

Chunks are numbered by rows, not by position: links expire, and a result asked for again may be cut differently. What
was read stays read; reading goes on at the very next row.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

import structlog

from queryfleet.errors import QueryCancelledError, WarehouseConnectionError, WarehouseQueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    import pyarrow as pa

    from queryfleet.warehouse.background import BackgroundCalls

__all__ = ["Chunk", "Plan", "ResultReader", "Rows", "StoredPartition", "StoredResult", "partitions_of", "row_count"]

Rows: TypeAlias = "pa.Table | list[tuple[object, ...]]"


class Chunk(Protocol):
    """One piece of a result. Can be pickled and read in any process; its link expires."""

    @property
    def row_count(self) -> int:
        """How many rows it has."""
        ...

    @property
    def byte_count(self) -> int:
        """Of its rows in memory, as the warehouse says; 0 when they came with the result."""
        ...

    def read(self) -> Rows:
        """Download it; raises the driver's own errors."""
        ...


class StoredResult(Protocol):
    """A result in the warehouse, with links to its pieces."""

    @property
    def chunks(self) -> Sequence[Chunk]:
        """In the order of the rows."""
        ...


class Plan(Protocol):
    """How the chunks of one result become batches of one schema."""

    @property
    def schema(self) -> pa.Schema:
        """Of all batches."""
        ...

    def batch(self, chunk: Rows) -> pa.RecordBatch:
        """Bring a chunk to the schema; raises `WarehouseQueryError` for a value that does not fit."""
        ...


Result = TypeVar("Result", bound=StoredResult)
Planned = TypeVar("Planned", bound=Plan)

_AHEAD_CHUNKS = 4  # under way at most
_AHEAD_BYTES = 32 * 1024 * 1024  # likewise, in memory; one chunk may be more
_TRIES = 4  # for one chunk, each with fresh links
_PAUSE_SECONDS = 0.25  # before the second one; doubles

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPartition:
    """Some rows of one chunk, and how they are delivered; see `ResultPartition`."""

    chunk: Chunk
    plan: Plan
    skipped: int  # rows at the beginning of the chunk that are not wanted
    row_count: int  # rows after them that are

    @property
    def byte_count(self) -> int:
        """Of the chunk's rows in memory, as the server says."""
        return self.chunk.byte_count

    def read(self) -> pa.RecordBatch:
        """Download the chunk; raises the driver's own errors."""
        return self.plan.batch(_complete(self.chunk)).slice(self.skipped, self.row_count)


def partitions_of(
    result: StoredResult, plan: Plan, *, first_row: int, end_row: int | None
) -> tuple[StoredPartition, ...]:
    """Return the pieces that hold exactly the rows from `first_row` to before `end_row`."""
    pieces, begin = [], 0
    for chunk in result.chunks:
        low = max(begin, first_row)
        begin += chunk.row_count
        high = begin if end_row is None else min(begin, end_row)
        if low < high:
            skipped = low - (begin - chunk.row_count)
            pieces.append(StoredPartition(chunk=chunk, plan=plan, skipped=skipped, row_count=high - low))
    return tuple(pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Download:
    first_row: int
    chunk: Chunk
    rows: Future[Rows]


class ResultReader(Generic[Result, Planned]):
    """Reads one result; used by one thread.

    Args:
        load: Asks for the result with fresh links; called in the background.
        plan_of: Makes the plan of a result.
        calls: Where downloads run; stopping it ends every wait here.
        first_row: Where to begin.
        link_seconds: How long links are good for.
        needs_rows: The plan depends on the first rows of the result; False: they are not asked for.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        load: Callable[[], Result],
        plan_of: Callable[[Result, Rows | None], Planned],
        calls: BackgroundCalls,
        *,
        first_row: int = 0,
        link_seconds: float,
        needs_rows: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._plan_of = plan_of
        self._calls = calls
        self._link_seconds = link_seconds
        self._needs_rows = needs_rows
        self._clock = clock
        self._next_row = first_row
        self._waiting: deque[tuple[int, Chunk]] = deque()  # not asked for yet, each with its first row
        self._downloads: deque[_Download] = deque()
        self._links_end = 0.0

    def plan(self) -> Planned:
        """Ask for the result and say what its batches look like. May read its first rows, wherever it begins."""
        result = self._renew()
        self._fill()
        if not result.chunks or not self._needs_rows:
            return self._plan_of(result, None)
        if self._downloads and self._downloads[0].first_row == 0:
            return self._plan_of(result, self._first()[1])
        return self._plan_of(result, self._calls.run(result.chunks[0].read))

    def pieces(self, plan: Plan) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, a chunk at a time; raises the driver's own errors."""
        while self._waiting or self._downloads:
            if self._clock() > self._links_end:
                self._renew()
            self._fill()
            download, rows = self._first()
            self._downloads.popleft()
            skipped = self._next_row - download.first_row
            self._next_row = download.first_row + download.chunk.row_count
            yield plan.batch(rows[skipped:] if isinstance(rows, list) else rows.slice(skipped))

    def _renew(self) -> Result:
        """Ask for the result once more, and forget what is under way."""
        result = self._calls.run(self._load)
        ends = accumulate(chunk.row_count for chunk in result.chunks)
        begins = [(end - chunk.row_count, chunk) for end, chunk in zip(ends, result.chunks, strict=True)]
        self._waiting = deque(pair for pair in begins if pair[0] + pair[1].row_count > self._next_row)
        self._downloads.clear()
        self._links_end = self._clock() + self._link_seconds
        return result

    def _fill(self) -> None:
        under_way = sum(download.chunk.byte_count for download in self._downloads)
        while self._waiting and len(self._downloads) < _AHEAD_CHUNKS:
            first_row, chunk = self._waiting[0]
            if self._downloads and under_way + chunk.byte_count > _AHEAD_BYTES:
                break
            self._waiting.popleft()
            rows = self._calls.start(lambda chunk=chunk: _complete(chunk))  # type: ignore[misc]
            self._downloads.append(_Download(first_row=first_row, chunk=chunk, rows=rows))
            under_way += chunk.byte_count

    def _first(self) -> tuple[_Download, Rows]:
        """Wait for the first chunk under way; where it fails, again with fresh links."""
        tries = 1
        while True:
            download = self._downloads[0]
            try:
                return download, self._calls.result(download.rows)
            except (QueryCancelledError, WarehouseQueryError):
                raise  # the latter: a value that cannot be delivered, however often it is read
            except Exception as error:
                if tries >= _TRIES:
                    raise
                log.warning("warehouse.chunk_retried", first_row=self._next_row, reason=type(error).__name__)
            self._calls.pause(_PAUSE_SECONDS * 2 ** (tries - 1))
            tries += 1
            self._renew()
            self._fill()


def _complete(chunk: Chunk) -> Rows:
    """Read a chunk; one that lacks rows is no chunk."""
    rows = chunk.read()
    count = row_count(rows)
    if count != chunk.row_count:
        raise WarehouseConnectionError(
            f"The warehouse delivered {count} rows of a piece that has {chunk.row_count}.", transient=True
        )
    return rows


def row_count(rows: Rows) -> int:
    """Return how many there are."""
    return len(rows) if isinstance(rows, list) else int(rows.num_rows)
