"""Ctrl-C and a polite kill of `queryfleet up`: the first one breaks a start off, later ones are only remembered."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["StartInterrupted", "StopSignals", "kept_signal_handlers"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StartInterrupted(KeyboardInterrupt):
    """The operator wants to stop before everything has started."""


class StopSignals:
    """Takes SIGINT and SIGTERM of this process from its construction on. Main thread only."""

    def __init__(self) -> None:
        self.asked = threading.Event()  # set by the first signal
        self._breaks = False
        for number in _SIGNALS:
            signal.signal(number, self._take)

    @contextmanager
    def breaking_off(self) -> Iterator[None]:
        """Let the first signal end the block, at whatever it is doing.

        Raises:
            StartInterrupted: A signal came, in the block or before it.
        """
        self._breaks = True
        try:
            self._raise_if_asked()
            yield
        except Exception:
            # A library in whose midst it was raised may have made another error of it.
            self._raise_if_asked()
            raise
        finally:
            self._breaks = False

    def _raise_if_asked(self) -> None:
        if self.asked.is_set():
            raise StartInterrupted from None

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        first = not self.asked.is_set()
        self.asked.set()
        # A second one would break off the way down.
        if self._breaks and first:
            raise StartInterrupted


@contextmanager
def kept_signal_handlers() -> Iterator[None]:
    """Put back afterwards what was in place before: Ray takes SIGTERM for itself when a driver connects."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
