"""What a person reads when something went wrong, and the exit code a script reads."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from queryfleet.client.texts import printable
from queryfleet.errors import ConfigurationError, ServiceUnreachableError

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue, ServiceError

__all__ = ["EXIT_CODES_HELP", "ExitCode", "exit_code", "failure_text"]


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    WRONG_USE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130  # 128 + SIGINT, as shells say it
    READER_GONE = 141  # 128 + SIGPIPE, as any Unix program ends when `head` has enough


EXIT_CODES_HELP = (
    "Exit codes: 0 done; 1 the query failed, was cancelled or was refused, or the disk refused; "
    "2 wrong use or configuration; 3 the service cannot be reached; "
    "130 interrupted, and a query that the command started is cancelled; "
    "141 the reader of the output went away."
)


def exit_code(error: ServiceError) -> ExitCode:
    """Return the exit code of a command that ended with `error`."""
    if isinstance(error, ServiceUnreachableError):
        return ExitCode.UNREACHABLE
    return ExitCode.WRONG_USE if isinstance(error, ConfigurationError) else ExitCode.FAILED


def failure_text(error: ServiceError, *, sql: str = "") -> str:
    """Return the message of `error`; for refused SQL with the place in `sql`, when the warehouse told it."""
    lines = [f"Error: {printable(error.message)}"]
    place = _place(error.details, sql)
    if place is not None:
        line, column = place
        lines.append(f"  at line {line}" + (f", column {column}:" if column else ":"))
        source = sql.splitlines()[line - 1].replace("\t", " ")
        lines.append(f"    {printable(source)}")
        if column:
            lines.append("    " + " " * (column - 1) + "^")
    warehouse_query_id = error.details.get("warehouseQueryId")
    if isinstance(warehouse_query_id, str) and warehouse_query_id:
        lines.append(f"  warehouse query id: {printable(warehouse_query_id)}")
    return "\n".join(lines)


def _place(details: dict[str, JsonValue], sql: str) -> tuple[int, int | None] | None:
    """Return line and column, both from 1, when they lie inside `sql`."""
    position, line, column = (details.get(name) for name in ("position", "lineNumber", "charNumber"))
    if isinstance(position, int) and 1 <= position <= len(sql):
        before = sql[: position - 1]
        return before.count("\n") + 1, position - 1 - (before.rfind("\n") + 1) + 1
    if isinstance(line, int) and 1 <= line <= len(sql.splitlines()):
        return line, column if isinstance(column, int) and column >= 1 else None
    return None
