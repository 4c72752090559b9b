"""What SQLAlchemy and the drivers below it complain about, in our words."""

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

_MYSQL_TIMEOUTS = frozenset({1969, 3024})
_MYSQL_READ_ONLY = frozenset({1290, 1792, 1836})
# Too many connections, refused logins, unknown databases, servers that go, are gone or were never there; and
# a session that was ended.
_MYSQL_CONNECTION = frozenset({1040, 1044, 1045, 1049, 1053, 1129, 1130, 1203, 1927, 2002, 2003, 2006, 2013, 2026})
_MYSQL_PASSING = frozenset({1040, 1053, 1203, 1927, 2002, 2003, 2006, 2013})
_SYNTAX_PLACE = re.compile(r"near '(.*)' at line (\d+)", re.DOTALL)
_POSTGRES_CONNECTION = ("08", "28", "3D000", "53300", "57P01", "57P02", "57P03", "57P05")
_READ_ONLY_TEXT = re.compile(r"readonly database|read-only (?:transaction|database)", re.IGNORECASE)
_READ_ONLY_ADVICE = ". This project only reads; its setting `allow_writes: true` would allow it"
_ADVICE = (
    ("to database", "Check the database in `url` of the project's warehouse, and that the user may read it."),
    ("access denied", "Check user and password in `url` of the project's warehouse."),
    ("authentication failed", "Check user and password in `url` of the project's warehouse."),
    ("unknown database", "Check the database in `url` of the project's warehouse."),
    ("does not exist", "Check the database in `url` of the project's warehouse."),
    ("too many connections", "Wait, or raise the server's limit of connections."),
    ("connect", "Check host and port in `url` of the project's warehouse, and that the server runs."),
)


def explained(
    cause: BaseException, *, place: str, sql: str | None, lost: bool, secrets: Iterable[str], query_id: str | None
) -> WarehouseError:
    """Make our error of one of the driver.

    Args:
        cause: What the driver raised.
        place: Dialect, host and database, for the reader.
        sql: The user's statement; None while connecting.
        lost: Whether it means that the connection is gone.
        secrets: Texts that must not appear.
        query_id: The warehouse query id.

    Returns:
        A connection error when the session is gone, a timeout, or a query error whose details may hold
        `sqlState`, `errorCode`, `position` and `lineNumber` (from 1, in `sql`), and `warehouseQueryId`.
    """
    code, said = _code_and_text(cause)
    said = _redacted(" ".join(said.split()), secrets)
    state = str(getattr(cause, "sqlstate", None) or "")
    if sql is None or lost or code in _MYSQL_CONNECTION or state.startswith(_POSTGRES_CONNECTION):
        return _connection_error(said, place=place, code=code, transient=lost or code in _MYSQL_PASSING)
    if code in _MYSQL_TIMEOUTS or (state == "57014" and "timeout" in said):
        return WarehouseTimeoutError(f"{place} stopped the statement: {said}.", errorCode=code)
    details: dict[str, JsonValue] = {}
    if state:
        details["sqlState"] = state
    if code is not None:
        details["errorCode"] = code
    details |= _place(said)
    if query_id is not None:
        details["warehouseQueryId"] = query_id
    if code in _MYSQL_READ_ONLY or _READ_ONLY_TEXT.search(said):
        said += _READ_ONLY_ADVICE
    return WarehouseQueryError(said, **details)


def _connection_error(said: str, *, place: str, code: int | None, transient: bool) -> WarehouseConnectionError:
    lowered = said.lower()
    advice = next((advice for sign, advice in _ADVICE if sign in lowered), "")
    details: dict[str, JsonValue] = {} if code is None else {"errorCode": code}
    return WarehouseConnectionError(
        f"{place} cannot be used: {said.rstrip('.')}. {advice}".rstrip(), transient=transient, cause=said, **details
    )


def _code_and_text(cause: BaseException) -> tuple[int | None, str]:
    """Return a MySQL driver's number and text, or the text alone."""
    match cause.args:
        case (int() as code, str() as text, *_):
            return code, text
        case _:
            return None, str(cause).split("\n", 1)[0] or type(cause).__name__


def _place(said: str) -> dict[str, JsonValue]:
    """Return the line of a syntax error, as MySQL gives it."""
    found = _SYNTAX_PLACE.search(said)
    return {"lineNumber": int(found[2])} if found is not None else {}


def _redacted(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text
