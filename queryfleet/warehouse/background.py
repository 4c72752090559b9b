"""Calls into a driver that cannot be stopped: they run on threads of their own, and whoever waits can be let go.

work thread ──run──▶ thread of the call ──▶ driver, network
     ╰──waits for its end, or for `stop`, whichever comes first
"""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

from queryfleet.errors import QueryCancelledError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BackgroundCalls"]

T = TypeVar("T")


class BackgroundCalls:
    """Runs calls in the background. Safe to use from several threads.

    A call that nobody waits for any more goes on to its own end: what it makes it must clean up itself.
    """

    def __init__(self, name: str) -> None:
        """Take the name of the threads."""
        self._name = name
        self._stopped: Future[None] = Future()
        self._stopping = threading.Lock()

    def stop(self) -> None:
        """Let go of everybody who waits, now and later. Idempotent."""
        with self._stopping:
            if not self._stopped.done():
                self._stopped.set_result(None)

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Begin a call. Cost: one thread, about 0.1 ms."""
        future: Future[T] = Future()
        threading.Thread(target=_run, args=(work, future), name=self._name, daemon=True).start()
        return future

    def result(self, future: Future[T]) -> T:
        """Wait for a call and return what it returns, or raise what it raises.

        Raises:
            QueryCancelledError: `stop` was called.
        """
        either: list[Future[Any]] = [future, self._stopped]
        wait(either, return_when=FIRST_COMPLETED)
        self.check()
        return future.result()

    def run(self, work: Callable[[], T]) -> T:
        """Begin a call and wait for it; raises like `result`."""
        self.check()
        return self.result(self.start(work))

    def pause(self, seconds: float) -> None:
        """Wait for so long; raises like `result`."""
        wait((self._stopped,), timeout=seconds)
        self.check()

    def check(self) -> None:
        """Pass unless `stop` was called; raises like `result`."""
        if self._stopped.done():
            raise QueryCancelledError("The query was cancelled.")


def _run(work: Callable[[], T], future: Future[T]) -> None:
    try:
        value = work()
    except BaseException as error:  # noqa: BLE001 - raised again where the call is waited for
        future.set_exception(error)
    else:
        future.set_result(value)
