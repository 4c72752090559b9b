"""What ClickHouse and its client complain about, in our words."""

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

__all__ = ["error_in", "explained"]

_TIMEOUTS = frozenset({159, 160})
_READ_ONLY = 164
# Unknown database, network, too many queries, wrong user or password.
_CONNECTION = frozenset({81, 192, 193, 194, 202, 209, 210, 279, 516})
_PASSING = frozenset({202, 209, 210, 279})
_ERROR = re.compile(
    r"Code: (\d+)\. DB::(?:Net)?Exception: (.*?)(?:\s*\(version [^)]*\))?\s*(?:\.?\s*$|\r?\n__exception__)", re.DOTALL
)
_FOR_URL = re.compile(r"\s*\(for url [^)]*\)\s*$")  # what the client adds
_NAME = re.compile(r"\s*\(([A-Z][A-Z0-9_]+)\)\.?\s*$")
_POSITION = re.compile(r"failed at position (\d+)(?: \([^)]*\))? (?:\(line (\d+), col (\d+)\))?")
_ADVICE = {
    81: "Check `database` of the project's warehouse.",
    192: "Check `user` and `password` of the project's warehouse.",
    193: "Check `user` and `password` of the project's warehouse.",
    194: "Check `user` and `password` of the project's warehouse.",
    202: "Wait, or raise the server's limit of queries.",
    516: "Check `user` and `password` of the project's warehouse.",
}
_REACH_ADVICE = "Check `host`, `port` and `secure` of the project's warehouse, and that the server runs."


def error_in(tail: bytes) -> str | None:
    """Return the server's complaint at the end of a broken stream, or None."""
    text = tail.decode(errors="replace")
    place = text.rfind("Code: ")
    return text[place:] if place >= 0 and _ERROR.search(text, place) else None


def explained(
    text: str, *, place: str, sql: str | None, offset: int, secrets: Iterable[str], query_id: str | None
) -> WarehouseError:
    """Make our error of what the client or the server said.

    Args:
        text: It may hold the server's `Code: n. DB::Exception: …`.
        place: Host, port and database, for the reader.
        sql: The user's statement; None while connecting.
        offset: Characters that stood before it in the text the server saw.
        secrets: Texts that must not appear.
        query_id: The warehouse query id.

    Returns:
        A connection error when there is no code or the code says so, a timeout, or a query error whose details
        may hold `errorCode`, `errorName`, `position` and `lineNumber` (from 1, in `sql`), `warehouseQueryId`.
    """
    found = _ERROR.search(_FOR_URL.sub("", text))
    code = int(found[1]) if found else None
    said = " ".join((found[2] if found else text).split())
    for secret in secrets:
        said = said.replace(secret, "***") if secret else said
    if code is None or code in _CONNECTION:
        advice = _ADVICE.get(code or 0, _REACH_ADVICE)
        return WarehouseConnectionError(
            f"ClickHouse at {place} cannot be used: {said.rstrip('.')}. {advice}",
            transient=code is None or code in _PASSING,
            cause=said,
            **({} if code is None else {"errorCode": code}),
        )
    details: dict[str, JsonValue] = {"errorCode": code}
    name = _NAME.search(said)
    if name is not None:
        details["errorName"] = name[1]
        said = said[: name.start()].rstrip(" .")
    if code in _TIMEOUTS:
        return WarehouseTimeoutError(f"ClickHouse stopped the statement: {said}.", **details)
    details |= _place(said, sql or "", offset)
    if query_id is not None:
        details["warehouseQueryId"] = query_id
    if code == _READ_ONLY:
        said += ". This project only reads; its setting `allow_writes: true` would allow it"
    return WarehouseQueryError(said, **details)


def _place(said: str, sql: str, offset: int) -> dict[str, JsonValue]:
    """Return where in `sql` the error is; what we put before it is one line of its own, if there is anything."""
    found = _POSITION.search(said)
    if found is None:
        return {}
    if found[2] is None:
        position = int(found[1]) - offset
    else:
        line = int(found[2]) - (offset > 0)
        position = sum(len(each) + 1 for each in sql.split("\n")[: line - 1]) + int(found[3])
    if not 1 <= position <= len(sql):
        return {}
    return {"position": position, "lineNumber": sql.count("\n", 0, position - 1) + 1}
