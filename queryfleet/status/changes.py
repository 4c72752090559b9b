"""Waiting for a query to change, without a thread and without polling: one LISTEN connection for everybody.

A notification can be lost with its connection. So everybody is woken when the connection comes back, and waiters are
expected to look at the store themselves after each wake-up and from time to time.
"""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
import structlog

from queryfleet.status.watchers import Watchers

__all__ = ["EXPORT_WORK", "QUERY_CHANNEL", "WORK_CHANNEL", "ChangeListener"]

QUERY_CHANNEL = "queryfleet_query"  # a query changed; payload: its uuid
WORK_CHANNEL = "queryfleet_work"  # the status actor has something to do; payload: the query's uuid
EXPORT_WORK = "export"  # payload there when it is a file that is to be made

_RECONNECT_SECONDS = (0.1, 0.2, 0.5, 1.0)

log = structlog.get_logger()


class ChangeListener(Watchers):
    """Listens on one channel and wakes those who watch a payload.

    Args:
        database_url: Where to listen.
        channel: One of the channels above.
    """

    def __init__(self, database_url: str, channel: str) -> None:
        super().__init__()
        self._database_url = database_url
        self._channel = channel
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen, on the running loop. Returns at once; the connection is made in the background."""
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._database_url, autocommit=True, connect_timeout=5
                ) as connection:
                    await connection.execute(f"listen {self._channel}".encode())
                    failures = 0
                    self.wake_everybody()
                    async for notification in connection.notifies():
                        self.wake(notification.payload)
            except psycopg.Error as error:
                log.warning("listener.lost", channel=self._channel, sql_state=error.sqlstate)
                delay = _RECONNECT_SECONDS[min(failures, len(_RECONNECT_SECONDS) - 1)]
                failures += 1
                await asyncio.sleep(delay)
