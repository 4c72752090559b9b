"""Ctrl-C, a polite kill and a closed terminal as one exception, and a reader that went away."""

from __future__ import annotations

import os
import select
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import BinaryIO

__all__ = ["Interrupted", "discard_output", "interruptible", "is_reader_gone"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A person or the system asked the program to end."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into `Interrupted` in the block; a second one ends the process at once.

    Signals that whoever started the program chose to ignore (`nohup`) stay ignored. Main thread only.
    """
    taken = {number: signal.getsignal(number) for number in _SIGNALS}
    taken = {number: handler for number, handler in taken.items() if handler is not signal.SIG_IGN}

    def interrupt(number: int, _frame: FrameType | None) -> None:
        for other in taken:
            signal.signal(other, signal.SIG_DFL)
        raise Interrupted(signal.Signals(number).name)

    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


def is_reader_gone(stream: BinaryIO) -> bool:
    """Whether `stream` is a pipe whose other end is closed; writes nothing."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def discard_output(stream: BinaryIO) -> None:
    """Point a broken `stream` at nothing, so that flushing it when the process ends is silent."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, stream.fileno())
    os.close(sink)
