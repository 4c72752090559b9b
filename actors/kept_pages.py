"""Pages of results that stay in the warehouse: the pieces that hold a page are fetched, and their lines made.

    request ──▶ login of the project ──▶ pieces of the result ──▶ those of the page ──▶ lines, as they would be stored
                 └── kept ──────────────── kept ────────────────── kept, to a limit ┘

What is kept makes the next page cheap: it mostly lies in the same piece. A login that was lost and links that have
expired cost one repetition each. Everything here blocks.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

import structlog

from queryfleet.errors import ResultCorruptError, ServiceError, WarehouseConnectionError
from queryfleet.results.store_none import storage_is_off
from queryfleet.warehouse.base import KeepingWarehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import pyarrow as pa

    from queryfleet.errors import JsonValue
    from queryfleet.warehouse.base import KeptRows, ResultPartition, Warehouse
    from queryfleet.warehouse_config import WarehouseConfig

__all__ = ["KeptPages", "LocalPages", "PageOfRows", "PageReader"]

_LOGINS_MAX = 32
_RESULTS_MAX = 200
_LINK_SECONDS = 4 * 3600.0  # links of Snowflake live about six hours
_BATCH_BYTES_MAX = 128 * 1024 * 1024  # of pieces in memory, besides those being read
_MAKING_SECONDS = 5.0  # that one page waits for what another one is getting; then it gets it itself
_TRIES = 3  # of one page: a lost login and an expired link may each need another

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOfRows:
    """Rows that are wanted of a result. Crosses process boundaries."""

    project: dict[str, JsonValue]  # the project's stored definition: secrets only by reference
    query_id: str  # the warehouse's
    arrow_schema: bytes  # of the result
    total_rows: int  # of the result
    first_row: int  # from 0
    row_count: int  # at least 1


class PageReader(Protocol):
    """Reads pages, somewhere."""

    async def prepare(self) -> None:
        """Get ready, so that the first page need not wait for that; returns soon."""
        ...

    async def lines(self, page: PageOfRows) -> bytes:
        """Return the rows as lines of JSON, each with its newline: what would be stored; raises like `KeptPages`."""
        ...


class KeptPages:
    """Reads pages for one process. Safe to use from several threads.

    Args:
        config_of: Makes of a stored project where its warehouse is, secrets put in; may raise `ServiceError`.
        warehouse_of: Makes the warehouse of that; may raise `ServiceError`.
        batch_bytes_max: Of pieces kept in memory.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        config_of: Callable[[dict[str, JsonValue]], WarehouseConfig],
        warehouse_of: Callable[[WarehouseConfig], Warehouse],
        batch_bytes_max: int = _BATCH_BYTES_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config_of = config_of
        self._warehouse_of = warehouse_of
        self._clock = clock
        self._logins: _Kept[WarehouseConfig, KeptRows] = _Kept(_LOGINS_MAX, dropped=lambda login: login.close())
        self._results: _Kept[_ResultKey, _Pieces] = _Kept(_RESULTS_MAX)
        # By rows and not by the piece's number: a result that is asked for again may be cut differently.
        self._batches: _Kept[tuple[_ResultKey, int, int], pa.RecordBatch] = _Kept(batch_bytes_max, size=_size)

    def lines(self, page: PageOfRows) -> bytes:
        """Return the rows of a page as lines of JSON, each with its newline: what would be stored.

        Raises:
            ResultsExpiredError: The warehouse keeps the result no more, or not for the project's user.
            ResultCorruptError: What it keeps has fewer rows than there were.
            WarehouseConnectionError: The warehouse cannot be reached.
            WarehouseQueryError: A value cannot be delivered.
            ServiceError: The project's warehouse cannot be used, or keeps no results.

        Cost: a login for the first page of a project, one request for the first page of a result, and the download of
        the pieces that hold the page and are not in memory.
        """
        config = self._config_of(page.project)
        tries = 1
        while True:
            try:
                return self._lines(config, page)
            except WarehouseConnectionError as error:
                if tries >= _TRIES or not error.details.get("transient"):
                    raise
                log.warning("page.retried", warehouse_query_id=page.query_id, reason=error.message)
            tries += 1
            self._results.drop((config, page.query_id))  # for fresh links

    def _lines(self, config: WarehouseConfig, page: PageOfRows) -> bytes:
        from queryfleet.results.encoder import Encoder
        from queryfleet.results.page import schema_from_bytes

        schema = schema_from_bytes(page.arrow_schema)
        key = (config, page.query_id)
        pieces = self._pieces(key, schema).pieces
        there = sum(piece.row_count for piece in pieces)
        if there < page.total_rows:
            raise ResultCorruptError(
                f"The warehouse keeps {there} rows of a result that had {page.total_rows}; run the query again.",
                warehouseQueryId=page.query_id,
            )
        encoder, parts = Encoder(schema), []
        begin = 0
        for piece in pieces:
            low, high = max(page.first_row, begin), min(page.first_row + page.row_count, begin + piece.row_count)
            if low < high:
                batch = self._batches.get((key, begin, piece.row_count), partial(_read, piece))
                parts.append(encoder.encode(batch.slice(low - begin, high - low)).data)
            begin += piece.row_count
        return b"".join(parts)

    def _pieces(self, key: _ResultKey, schema: pa.Schema) -> _Pieces:
        config, query_id = key

        def load() -> _Pieces:
            try:
                pieces = self._login(config).pieces(query_id, schema)
            except WarehouseConnectionError:
                self._logins.drop(config)
                raise
            return _Pieces(tuple(pieces), self._clock() + _LINK_SECONDS)

        found = self._results.get(key, load)
        if self._clock() > found.until:
            self._results.drop(key)
            found = self._results.get(key, load)
        return found

    def _login(self, config: WarehouseConfig) -> KeptRows:
        def load() -> KeptRows:
            warehouse = self._warehouse_of(config)
            if not isinstance(warehouse, KeepingWarehouse):
                raise storage_is_off("A query on this warehouse")
            return warehouse.kept_rows()

        return self._logins.get(config, load)

    def close(self) -> None:
        """Log out everywhere."""
        self._logins.clear()


class LocalPages:
    """Reads pages in threads of this process; see `PageReader`.

    Args:
        pages: Reads them.
    """

    def __init__(self, pages: KeptPages) -> None:
        self._pages = pages

    async def prepare(self) -> None:
        """Do nothing: this process is there."""

    async def lines(self, page: PageOfRows) -> bytes:
        """See `PageReader`."""
        return await asyncio.to_thread(self._pages.lines, page)


_ResultKey = tuple["WarehouseConfig", str]


@dataclass(frozen=True, slots=True)
class _Pieces:
    pieces: tuple[ResultPartition, ...]
    until: float  # when their links are too old


def _read(piece: ResultPartition) -> pa.RecordBatch:
    try:
        return piece.read()
    except ServiceError:
        raise
    except Exception as error:
        reason = type(error).__name__  # the driver's own may not survive the way to another process
        raise WarehouseConnectionError(f"A piece of the result could not be read: {reason}.", transient=True) from error


def _size(batch: pa.RecordBatch) -> int:
    return int(batch.nbytes)


class _Kept(Generic[K, V]):
    """Remembers values, the least lately used of them only up to a limit, and makes each by one thread at a time.

    Args:
        most: Sum of the sizes of what is kept; a value larger than that is not.
        size: Of a value.
        dropped: Called with each value that is kept no more.
    """

    def __init__(
        self, most: int, *, size: Callable[[V], int] = lambda _: 1, dropped: Callable[[V], None] = lambda _: None
    ) -> None:
        self._most = most
        self._size = size
        self._dropped = dropped
        self._lock = threading.Lock()  # guards all below
        self._values: OrderedDict[K, V] = OrderedDict()
        self._total = 0
        self._making: WeakValueDictionary[K, _Making] = WeakValueDictionary()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of a key, made by `make` when there is none.

        Whoever else wants it waits for that; but not for ever, since what makes it may be stuck.
        """
        with self._lock:
            making = self._making.get(key)
            if making is None:
                making = self._making[key] = _Making()
        is_mine = making.lock.acquire(timeout=_MAKING_SECONDS)
        try:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]
            value = make()
            self._put(key, value)
        finally:
            if is_mine:
                making.lock.release()
        return value

    def _put(self, key: K, value: V) -> None:
        with self._lock:
            dropped = [self._pop(key)] if key in self._values else []
            self._values[key] = value
            self._total += self._size(value)
            dropped += [self._pop(next(iter(self._values))) for _ in iter(self._is_over, False)]
        for each in dropped:
            self._dropped(each)

    def drop(self, key: K) -> None:
        """Forget one value."""
        with self._lock:
            dropped = [self._pop(key)] if key in self._values else []
        for each in dropped:
            self._dropped(each)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            dropped = [self._pop(key) for key in tuple(self._values)]
        for each in dropped:
            self._dropped(each)

    def _is_over(self) -> bool:
        return self._total > self._most

    def _pop(self, key: K) -> V:
        value = self._values.pop(key)
        self._total -= self._size(value)
        return value


class _Making:
    """Held by the thread that makes a value."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
