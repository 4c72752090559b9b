"""Waiting for something to change, without a thread and without polling; whoever knows of a change says so."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Watchers"]


class Watchers:
    """Those who wait, by what they wait for. For one event loop."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._anything: set[asyncio.Event] = set()

    async def close(self) -> None:
        """Do nothing; a source of news may have something to end."""

    @property
    def watcher_count(self) -> int:
        """How many waiters there are."""
        return sum(len(events) for events in self._watchers.values())

    @contextlib.contextmanager
    def watch(self, *payloads: str, event: asyncio.Event | None = None) -> Iterator[asyncio.Event]:
        """Give an event that is set at each change of one of `payloads`; the watcher clears it.

        Args:
            payloads: What to watch.
            event: The one to set; None: a new one.
        """
        event = event or asyncio.Event()
        for payload in payloads:
            self._watchers.setdefault(payload, set()).add(event)
        try:
            yield event
        finally:
            for payload in payloads:
                events = self._watchers[payload]
                events.discard(event)
                if not events:
                    del self._watchers[payload]

    @contextlib.contextmanager
    def watch_all(self) -> Iterator[asyncio.Event]:
        """Give an event that is set at each notification; the watcher clears it."""
        event = asyncio.Event()
        self._anything.add(event)
        try:
            yield event
        finally:
            self._anything.discard(event)

    def wake(self, payload: str) -> None:
        """Wake those who watch this, and those who watch everything."""
        for event in self._watchers.get(payload, ()):
            event.set()
        for event in self._anything:
            event.set()

    def wake_everybody(self) -> None:
        """Wake all: something may have been missed."""
        for payload in list(self._watchers):
            self.wake(payload)
        for event in self._anything:
            event.set()
