"""What Trino and its client complain about, in our words."""

from __future__ import annotations

import re
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

__all__ = ["explained"]

_TIMEOUTS = frozenset({"EXCEEDED_TIME_LIMIT"})
_PASSING = frozenset({"SERVER_SHUTTING_DOWN", "SERVER_STARTING_UP", "CLUSTER_OUT_OF_MEMORY", "QUERY_QUEUE_FULL"})
_PLACE = re.compile(r"^line \d+:\d+: ")
_REFUSED = re.compile(r"error 40[13]")
_LOGIN_ADVICE = "Check `user`, `password` or `token` of the project's warehouse."
_REACH_ADVICE = "Check `host`, `port` and `http_scheme` of the project's warehouse, and that the cluster runs."


def explained(
    error: BaseException, *, place: str, sql: str | None, secrets: Iterable[str], query_id: str | None
) -> WarehouseError:
    """Make our error of one of the client.

    Args:
        error: Its error of a statement, of HTTP, or of a connection.
        place: Host, port and catalog, for the reader.
        sql: The user's statement; None where there is none.
        secrets: Texts that must not appear.
        query_id: The warehouse query id.

    Returns:
        A connection error, a timeout, or a query error whose details may hold `errorCode`, `errorName`,
        `position` and `lineNumber` (from 1, in `sql`), and `warehouseQueryId`.
    """
    name = getattr(error, "error_name", None)
    if name is None:
        return _connection_error(error, place=place, secrets=secrets)
    said = _redacted(_PLACE.sub("", " ".join(str(getattr(error, "message", "")).split())), secrets)
    details: dict[str, JsonValue] = {"errorName": str(name), "errorCode": getattr(error, "error_code", None)}
    known = query_id or getattr(error, "query_id", None)
    if known:
        details["warehouseQueryId"] = str(known)
    if name in _TIMEOUTS:
        return WarehouseTimeoutError(f"Trino stopped the statement: {said}.", **details)
    if name in _PASSING:
        return WarehouseConnectionError(f"Trino at {place} cannot be used: {said}.", transient=True, cause=said)
    return WarehouseQueryError(said, **details, **_position(getattr(error, "error_location", None), sql or ""))


def _connection_error(error: BaseException, *, place: str, secrets: Iterable[str]) -> WarehouseConnectionError:
    below = error
    while True:
        reason = getattr(below, "reason", None) or (below.args[0] if below.args else None)
        if not isinstance(reason, BaseException):
            break
        below = reason
    said = _redacted(" ".join(str(below).split()), secrets)
    refused = _REFUSED.match(said) is not None
    return WarehouseConnectionError(
        f"Trino at {place} cannot be used: {said.rstrip('.')}. {_LOGIN_ADVICE if refused else _REACH_ADVICE}",
        transient=not refused,
        cause=said,
    )


def _position(location: object, sql: str) -> dict[str, JsonValue]:
    """Return line and position of Trino's line and column, when they are inside the statement."""
    if not isinstance(location, tuple):
        return {}
    line, column = location
    lines = sql.split("\n")
    if not isinstance(line, int) or not isinstance(column, int) or not 1 <= line <= len(lines):
        return {}
    before = sum(len(each) + 1 for each in lines[: line - 1])
    return {"lineNumber": line, "position": before + min(column, len(lines[line - 1]) + 1)}


def _redacted(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
