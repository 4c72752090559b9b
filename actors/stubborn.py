"""Writes to the status store that go on until it answers, for as long as somebody wants what is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import structlog

from queryfleet.errors import StatusStoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from actors.messages import Assignment
    from queryfleet.status.record import Lease
    from queryfleet.status.store import StatusStore

__all__ = ["insist", "keep_lease"]

T = TypeVar("T")

_RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)

log = structlog.get_logger()


async def insist(work: Callable[[], Awaitable[T]], *, is_wanted: Callable[[], bool], query_uuid: str) -> T:
    """Return what an idempotent write returns; repeat it while the store is away and `is_wanted`.

    Raises:
        StatusStoreError: The store refused it, or was away until it was not wanted any more.
    """
    tries = 0
    while True:
        try:
            return await work()
        except StatusStoreError as error:
            if not error.retryable or not is_wanted():
                raise
            log.warning("query.write_retried", query_uuid=query_uuid, reason=error.message)
        await asyncio.sleep(_RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)])
        tries += 1


async def keep_lease(
    statuses: StatusStore,
    assignment: Assignment,
    obey: Callable[[Lease], Awaitable[None]],
    *,
    lease_seconds: float,
) -> None:
    """Renew the lease of an attempt until cancelled; `obey` is given each answer."""
    pause = lease_seconds / 8  # a claim gives half of a lease
    while True:
        await asyncio.sleep(pause)
        pause = lease_seconds / 4
        try:
            lease = await statuses.renew(assignment.query_uuid, assignment.attempt, lease_seconds=lease_seconds)
        except StatusStoreError as error:
            log.warning("query.lease_not_renewed", query_uuid=assignment.query_uuid, reason=error.message)
            continue
        await obey(lease)
