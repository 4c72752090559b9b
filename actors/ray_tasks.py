"""Tasks on the cluster: waiting for one, with its errors as they were there, and what each does first."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError, RayTaskError

from actors.pool import awaitable
from queryfleet.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["step_back", "task_errors", "task_result"]


def step_back(niceness: int) -> None:
    """Let whoever answers polls go first on this machine: give this process at least that niceness."""
    os.nice(max(0, niceness - os.nice(0)))


@contextmanager
def task_errors(
    *, failed: Callable[[BaseException], ServiceError], lost: Callable[[str], ServiceError]
) -> Iterator[None]:
    """Let the errors of tasks that are waited for in the block out as ours.

    Args:
        failed: Makes one of what a task raised that is not ours.
        lost: Makes one of the name of what the cluster itself failed with.

    Raises:
        ServiceError: The very one a task raised, or one of those two.
    """
    try:
        yield
    except RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, ServiceError) else failed(cause)) from None
    except RayError as error:
        raise lost(type(error).__name__) from error


async def task_result(
    reference: Any, *, failed: Callable[[BaseException], ServiceError], lost: Callable[[str], ServiceError]
) -> Any:
    """Return what a task returns; a waiter that is cancelled cancels it. Raises like `task_errors`."""
    with task_errors(failed=failed, lost=lost):
        try:
            return await awaitable(reference)
        except asyncio.CancelledError:
            ray.cancel(reference)
            raise
