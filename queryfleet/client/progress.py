"""One line about a query that is still going on: in a terminal, in a notebook, or nowhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Protocol, TextIO, cast

from queryfleet.client.texts import progress_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from queryfleet.client.answers import QuerySnapshot

__all__ = ["ProgressLine", "WaitDisplay", "wait_display"]

_PLAIN_LINE_SECONDS: Final = 10.0
_SILENT_SECONDS: Final = 0.5  # what ends sooner shows nothing


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


class WaitDisplay:
    """Shows how far a query is while its caller waits; taken away in the end.

    Args:
        show: Shows a line in the place of the last; None shows nothing.
        clear: Takes the last line away.
    """

    def __init__(self, show: Callable[[str], None] | None = None, clear: Callable[[], None] | None = None) -> None:
        self._show = show
        self._clear = clear
        self._began = time.monotonic()

    @property
    def interval_seconds(self) -> float:
        """How long it is worth waiting for news at a time."""
        return 20.0 if self._show is None else 0.5

    def look_at(self, snapshot: QuerySnapshot) -> None:
        """Show the news, if the wait is long enough to be worth it."""
        seconds = time.monotonic() - self._began
        if self._show is not None and seconds >= _SILENT_SECONDS:
            self._show(progress_text(snapshot, seconds=seconds))

    def end(self) -> None:
        """Take the line away."""
        if self._clear is not None:
            self._clear()


def wait_display(wanted: bool | None) -> WaitDisplay:
    """Return what shows the wait for a query.

    Args:
        wanted: True and False are as they say; None shows it in a notebook, and where stderr is a terminal.
    """
    if wanted is False:
        return WaitDisplay()
    cell = _notebook_cell()
    if cell is not None:
        return WaitDisplay(cell.show, cell.clear)
    if sys.stderr is None or not (wanted or sys.stderr.isatty()):
        return WaitDisplay()
    line = ProgressLine(sys.stderr, is_quiet=False, started_at=time.monotonic())
    return WaitDisplay(line.show, line.clear)


class _Handle(Protocol):
    """What IPython gives for an output that can be replaced."""

    def update(self, data: object, *, raw: bool) -> None: ...


class _Display(Protocol):
    """IPython's `display`."""

    def __call__(self, data: object, *, raw: bool, display_id: bool) -> _Handle: ...


class _NotebookCell:
    """One output of a notebook's cell, replaced by each line. It is made when there is something to show."""

    def __init__(self, display: _Display) -> None:
        self._display = display
        self._handle: _Handle | None = None

    def show(self, text: str) -> None:
        if self._handle is None:
            self._handle = self._display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": text}, raw=True)

    def clear(self) -> None:
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True)


def _notebook_cell() -> _NotebookCell | None:
    # Never imported here: where it is not loaded, this is no notebook.
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None and hasattr(module, "get_ipython") else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from importlib import import_module

    return _NotebookCell(cast("_Display", import_module("IPython.display").display))
