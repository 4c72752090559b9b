"""What DuckDB complains about, in our words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from queryfleet.errors import JsonValue, WarehouseConnectionError, WarehouseQueryError

if TYPE_CHECKING:
    import duckdb

__all__ = ["connection_error", "query_error", "without_prefix"]

_PLACE = re.compile(r"\n\nLINE (\d+): (.*)\n( *)\^[\^~]*$")
_READ_ONLY = ("in read-only mode", "launched in read-only mode")
_NO_FILES = ("disabled by configuration", "disabled through configuration")
_HINTS = (
    (
        _READ_ONLY,
        "The statement would write, and this project only reads; see `read_only` and `allow_writes`.",
    ),
    (_NO_FILES, "Files, other databases and extensions are out of reach here; see `allow_external_access`."),
    (("the configuration has been locked",), "Settings cannot be changed by a query."),
    (("Out of Memory Error",), "Raise `memory_limit` of the warehouse, or ask for less at once."),
)


def connection_error(error: duckdb.Error, *, path: str) -> WarehouseConnectionError:
    """Explain why a database file could not be opened, and what to do."""
    text = str(error)
    if "Could not set lock" in text or "Conflicting lock" in text:
        message = (
            f"The DuckDB database {path} is in use by a process that writes to it. Close that process, "
            f"or try again when it is done: DuckDB allows one writer or many readers of a file."
        )
    elif "different configuration" in text:
        message = (
            f"The DuckDB database {path} is open in this process with other settings. Give all projects "
            f"that use the file the same warehouse settings, or a copy of the file."
        )
    elif "not a valid DuckDB database" in text:
        message = f"The file {path} is not a DuckDB database. Correct `path` in the project."
    else:
        message = f"The DuckDB database {path} cannot be opened: {text}"
    return WarehouseConnectionError(message, path=path, cause=text)


def query_error(text: str, *, sql: str) -> WarehouseQueryError:
    """Make an error of what DuckDB said about `sql`.

    Returns:
        Its message without DuckDB's drawing of the line. Details: `lineNumber` and `position` (both from 1,
        in characters of `sql`) where DuckDB says them, and a `hint` where we know one.
    """
    details: dict[str, JsonValue] = {}
    place = _PLACE.search(text)
    if place is not None:
        text = text[: place.start()]
        details["lineNumber"] = int(place.group(1))
        position = _position(sql, place)
        if position is not None:
            details["position"] = position
    for signs, hint in _HINTS:
        if any(sign in text for sign in signs):
            details["hint"] = hint
            text = f"{text.rstrip('.!')}. {hint}"
            break
    return WarehouseQueryError(text, **details)


def without_prefix(text: str, *, prefix: str) -> str:
    """Move the mark in an error about `prefix` and a statement to where it is in the statement alone."""
    place = _PLACE.search(text)
    if place is None or place.group(1) != "1" or not place.group(2).startswith(prefix):
        return text
    shown, spaces = place.group(2)[len(prefix) :], place.group(3)[len(prefix) :]
    return f"{text[: place.start()]}\n\nLINE 1: {shown}\n{spaces}^"


def _position(sql: str, place: re.Match[str]) -> int | None:
    """Find the marked character; long lines are shown cut, then there is no telling where it is."""
    lines = sql.split("\n")
    number, shown = int(place.group(1)), place.group(2)
    if number > len(lines) or shown not in lines[number - 1]:
        return None
    column = len(place.group(3)) - len(f"LINE {number}: ")
    if column < 0:
        return None
    start = lines[number - 1].index(shown)
    return sum(len(line) + 1 for line in lines[: number - 1]) + start + column + 1
