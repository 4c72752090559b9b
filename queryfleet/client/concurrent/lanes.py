"""How asyncio code waits and does several things at once; the twin of `queryfleet.client.blocking.lanes`."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, ParamSpec, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["INTERRUPTIONS", "ArrowStream", "Lanes", "in_thread", "sleep"]

T = TypeVar("T")
P = ParamSpec("P")

# How a caller who wants to wait no longer makes itself felt.
INTERRUPTIONS: Final = (asyncio.CancelledError, KeyboardInterrupt)


async def sleep(seconds: float) -> None:
    """Let others run for so long."""
    await asyncio.sleep(seconds)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a blocking function returns, without blocking the event loop."""
    return await asyncio.to_thread(function, *args, **kwargs)


class Lanes(Generic[T]):
    """Several pieces of work at once, their outcomes taken in order of their start. A context manager.

    Args:
        count: Most pieces at the same time, those that are done and not taken included.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._started: deque[asyncio.Task[T]] = deque()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._started:
            task.cancel()
        await asyncio.gather(*self._started, return_exceptions=True)

    @property
    def is_full(self) -> bool:
        """Whether one must be taken before another is started."""
        return len(self._started) >= self._count

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        return not self._started

    def start(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Begin a piece of work."""
        self._started.append(asyncio.ensure_future(work(*args, **kwargs)))

    async def take(self) -> T:
        """Return the outcome of the oldest piece, or raise what it raised."""
        return await self._started.popleft()


class ArrowStream:
    """Nothing here: whoever takes an Arrow stream would block the event loop. `to_arrow` gives a table that has one."""
