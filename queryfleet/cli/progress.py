"""One line on stderr about a query that is still going on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TextIO

from queryfleet.cli.failure import printable

if TYPE_CHECKING:
    from queryfleet.client import QuerySnapshot

__all__ = ["ProgressLine", "megabytes", "progress_text"]

_PLAIN_LINE_SECONDS: Final = 10.0


def progress_text(snapshot: QuerySnapshot, *, seconds: float) -> str:
    """Return what is known about a running query, in one line."""
    parts = [snapshot.phase or snapshot.status.value]
    if snapshot.queue_position is not None:
        parts.append(f"number {snapshot.queue_position} in the queue")
    progress = snapshot.progress
    if progress.rows:
        parts += [f"{progress.rows:,} rows", megabytes(progress.bytes), f"{progress.chunks:,} chunks"]
    if snapshot.attempt is not None and snapshot.attempt > 1:
        parts.append(f"attempt {snapshot.attempt}")
    return printable(" · ".join([*parts, f"{seconds:.1f} s"]))


def megabytes(byte_count: int) -> str:
    """Return a size for people, in units of a million bytes."""
    return f"{byte_count / 1e6:,.1f} MB"


class ProgressLine:
    """Shows how far a query is: rewritten in place on a terminal, a plain line now and then elsewhere.

    Args:
        stream: stderr.
        is_quiet: Show nothing, except what `note` is told to always say.
        started_at: `time.monotonic()` when the command began.
    """

    def __init__(self, stream: TextIO, *, is_quiet: bool, started_at: float) -> None:
        self._stream = stream
        self._is_quiet = is_quiet
        self._is_terminal = stream.isatty()
        self._started_at = started_at
        self._shown_at = started_at
        self._is_shown = False

    @property
    def interval_seconds(self) -> float:
        """How often it is worth asking for news."""
        return 0.5 if self._is_terminal and not self._is_quiet else 2.0

    @property
    def seconds(self) -> float:
        """Since the command began."""
        return time.monotonic() - self._started_at

    def show(self, text: str) -> None:
        """Replace the line; without a terminal at most one line in ten seconds appears."""
        if self._is_quiet:
            return
        if self._is_terminal:
            self._stream.write(f"\r\x1b[2K{text}")
            self._stream.flush()
            self._is_shown = True
        elif time.monotonic() - self._shown_at >= _PLAIN_LINE_SECONDS:
            self._shown_at = time.monotonic()
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away, before anything else is written to the terminal."""
        if self._is_shown:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._is_shown = False

    def note(self, text: str, *, always: bool = False) -> None:
        """Write a line that stays; when quiet only if `always`."""
        self.clear()
        if always or not self._is_quiet:
            self._stream.write(f"{text}\n")
            self._stream.flush()
