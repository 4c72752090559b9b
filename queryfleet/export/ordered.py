"""Many parts at once, handed on in order, with a bound on how many wait."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

__all__ = ["in_order"]

_In = TypeVar("_In")
_Out = TypeVar("_Out")


async def in_order(
    items: AsyncIterator[_In], make: Callable[[_In], Awaitable[_Out]], *, at_once: int
) -> AsyncGenerator[_Out, None]:
    """Yield `make(item)` for every item, in their order.

    Args:
        items: May pause; what was made before is yielded meanwhile.
        make: Called for at most `at_once` items that have not been yielded yet.
        at_once: At least 1.

    Raises:
        Exception: What `items` or `make` raised, in its place in the order; nothing is begun after it.
    """
    room = asyncio.Semaphore(at_once)
    waiting: asyncio.Queue[asyncio.Future[_Out] | None] = asyncio.Queue()
    begun: set[asyncio.Future[_Out]] = set()

    async def feed() -> None:
        try:
            await room.acquire()  # before the next item is looked for, so that nothing is fetched ahead of the room
            async for item in items:
                task = asyncio.ensure_future(make(item))
                begun.add(task)
                waiting.put_nowait(task)
                await room.acquire()
        except Exception as error:  # noqa: BLE001 - raised to the reader in its place
            failed: asyncio.Future[_Out] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            waiting.put_nowait(failed)
        finally:
            waiting.put_nowait(None)

    feeding = asyncio.create_task(feed())
    try:
        while (task := await waiting.get()) is not None:
            begun.discard(task)
            yield await task
            room.release()
    finally:
        feeding.cancel()
        for task in begun:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(feeding, *begun, return_exceptions=True)
