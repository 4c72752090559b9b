"""Waiting for tasks and events on an event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["is_set", "stop", "while_wanted"]

T = TypeVar("T")

_LOOK_SECONDS = 0.2


async def stop(task: asyncio.Task[T]) -> None:
    """Cancel a task and wait until it has ended, however it ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def is_set(event: asyncio.Event, *, timeout_seconds: float) -> bool:
    """Wait for an event, but not longer than that; tell whether it has happened."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await event.wait()
    except TimeoutError:
        return False


async def while_wanted(work: Awaitable[T], check: Callable[[], None]) -> T:
    """Return what some work returns; cancel it as soon as `check`, called several times a second, raises."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_LOOK_SECONDS)
            check()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return task.result()
