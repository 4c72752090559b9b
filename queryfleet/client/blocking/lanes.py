"""How blocking code waits and does several things at once; the twin of `queryfleet.client.concurrent.lanes`."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Generic, ParamSpec, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    import pyarrow as pa

__all__ = ["INTERRUPTIONS", "ArrowStream", "Lanes", "in_thread", "sleep"]

T = TypeVar("T")
P = ParamSpec("P")

# How a caller who wants to wait no longer makes itself felt.
INTERRUPTIONS: Final = (KeyboardInterrupt,)


def sleep(seconds: float) -> None:
    """Do nothing for so long."""
    time.sleep(seconds)


def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a blocking function returns; here nobody else waits."""
    return function(*args, **kwargs)


class Lanes(Generic[T]):
    """Several pieces of work at once, their outcomes taken in order of their start. A context manager.

    Args:
        count: Most pieces at the same time, those that are done and not taken included.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._started: deque[Future[T]] = deque()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="queryfleet-chunks")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        # Whoever gives up, by Ctrl-C or an error, need not wait for what nobody will take.
        self._threads.shutdown(wait=kind is None, cancel_futures=True)

    @property
    def is_full(self) -> bool:
        """Whether one must be taken before another is started."""
        return len(self._started) >= self._count

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        return not self._started

    def start(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
        """Begin a piece of work."""
        self._started.append(self._threads.submit(work, *args, **kwargs))

    def take(self) -> T:
        """Return the outcome of the oldest piece, or raise what it raised."""
        return self._started.popleft().result()


class _Rows(Protocol):
    """Rows that can be read more than once."""

    def schema(self) -> pa.Schema: ...

    def batches(self) -> Iterator[pa.RecordBatch]: ...


class ArrowStream:
    """Gives rows to whatever takes an Arrow stream: DuckDB, Polars, pandas, PyArrow."""

    def __arrow_c_stream__(self: _Rows, requested_schema: object | None = None) -> object:
        """Return the rows as a stream of Arrow's C interface; they are read as they are taken, at each call anew."""
        import pyarrow as pa

        reader = pa.RecordBatchReader.from_batches(self.schema(), self.batches())
        return reader.__arrow_c_stream__(requested_schema)
