"""What PostgreSQL and its driver complain about, in our words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.errors import (
    JsonValue,
    WarehouseConnectionError,
    WarehouseError,
    WarehouseQueryError,
    WarehouseTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["connection_error", "query_error"]

_CANCELED = "57014"
_READ_ONLY = "25006"
# Connection exceptions, refused logins, unknown databases, too many connections, a server that goes or
# comes up.
_CONNECTION_STATES = ("08", "28", "3D000", "53300", "57P01", "57P02", "57P03", "57P05")
_LOST = re.compile(
    r"server closed the connection|no connection to the server|connection (?:not open|to server .* was lost)"
    r"|could not (?:receive|send) data|PQgetCopyData\(\) failed|terminating connection"
    r"|SSL connection has been closed|Connection (?:reset|refused|timed out)|[Bb]roken pipe",
)
# What a server says that is about to be there again, and the system when it is about to start.
_PASSING = re.compile(
    r"Connection refused|timeout expired|starting up|shutting down|recovery mode|not yet accepting connections|too many"
)
_ARRAY_BOUNDS = "Array value with lower bound"
_TEXT_ERROR = re.compile(r"ERROR:\s+(.*?)\s*(?:\n|$)")
_ADVICE = (
    ("password authentication failed", "Check `user` and `password` of the project's warehouse."),
    ("no password supplied", "Set `password` of the project's warehouse."),
    ("does not exist", "Check `database` and `user` of the project's warehouse."),
    ("Connection refused", "Check `host` and `port` of the project's warehouse, and that the server runs."),
    ("could not translate host name", "Check `host` of the project's warehouse."),
    ("timeout expired", "The server did not answer in time; check `host`, `port` and the firewall between."),
    ("too many", "Wait, or raise the server's limit of connections."),
    ("SSL", "Check `sslmode` of the project's warehouse."),
)


@dataclass(frozen=True, slots=True)
class _Diagnosis:
    message: str
    state: str  # SQLSTATE; "" when the server did not get to say one
    position: int | None  # in the statement that ran, from 1
    hint: str


def connection_error(text: str, *, target: str, secrets: Iterable[str]) -> WarehouseConnectionError:
    """Explain why the server could not be reached, or was lost, and what to do.

    Its details say with `transient` whether time alone may mend it: a wrong password is not.

    Args:
        text: What the driver said.
        target: Host, port and database, for the reader.
        secrets: Texts that must not appear, whatever the driver quotes.
    """
    said = _redacted(" ".join(text.split()), secrets)
    said = re.sub(r"^(?:IO: )?(?:\[libpq\] )?(?:Failed to connect: )?", "", said)
    advice = next((advice for sign, advice in _ADVICE if sign in said), "")
    message = f"PostgreSQL at {target} cannot be used: {said} {advice}".rstrip()
    transient = bool(_LOST.search(said) or _PASSING.search(said))
    return WarehouseConnectionError(message, transient=transient, cause=said)


def query_error(
    error: Exception, *, sql: str, offset: int, target: str, secrets: Iterable[str], query_id: str | None
) -> WarehouseError:
    """Make our error of one the driver raised while a statement was described, run or read.

    Args:
        error: Of the driver's manager, or Arrow's when it came through a stream.
        sql: The user's statement.
        offset: Characters that stood before it in the text the server saw.
        target: Host, port and database.
        secrets: Texts that must not appear.
        query_id: The warehouse query id.

    Returns:
        A connection error when the session is gone, a timeout, or a query error whose details may hold
        `sqlState`, `position` and `lineNumber` (from 1, in `sql`), `hint` and `warehouseQueryId`.
    """
    found = _diagnosis(error)
    if found.state.startswith(_CONNECTION_STATES) or (not found.state and _LOST.search(str(error))):
        return connection_error(str(error), target=target, secrets=secrets)
    message = _redacted(found.message, secrets)
    if _ARRAY_BOUNDS in message:
        message = "An array's first element does not have the number 1. Select that column as text: column::text"
    if found.state == _CANCELED and "timeout" in message:
        return WarehouseTimeoutError(f"PostgreSQL stopped the statement: {message}.", sqlState=found.state)
    details: dict[str, JsonValue] = {}
    if found.state:
        details["sqlState"] = found.state
    if found.position is not None and 1 <= found.position - offset <= len(sql):
        details["position"] = found.position - offset
        details["lineNumber"] = sql.count("\n", 0, found.position - offset - 1) + 1
    if found.state == _READ_ONLY:
        message += ". This project only reads; its setting `allow_writes: true` would allow it"
    if found.hint:
        details["hint"] = found.hint
        message = f"{message}. {found.hint}"
    if query_id is not None:
        details["warehouseQueryId"] = query_id
    return WarehouseQueryError(message, **details)


def _diagnosis(error: Exception) -> _Diagnosis:
    """Read the server's diagnosis fields, or what can be had from the text alone."""
    fields = dict(getattr(error, "details", None) or [])

    def field(name: str) -> str:
        value = fields.get(f"PG_DIAG_{name}".encode(), fields.get(f"PG_DIAG_{name}", b""))
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

    text = str(error)
    shown = _TEXT_ERROR.search(text)
    message = field("MESSAGE_PRIMARY") or (shown.group(1) if shown else text.strip())
    position = field("STATEMENT_POSITION")
    state = field("SQLSTATE") or (getattr(error, "sqlstate", None) or "")
    return _Diagnosis(message, state, int(position) if position.isdigit() else None, field("MESSAGE_HINT"))


def _redacted(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text
