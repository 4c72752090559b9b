"""What Snowflake and its driver complain about, in our words.

The driver's two generations use the server's own numbers where the server said something, and numbers of their own
for the network between, so whatever is not known to be the server's counts as the network.
"""

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

__all__ = ["connection_error", "query_error"]

_TIMED_OUT = frozenset({630, 632})  # statement time limit of the session, of the warehouse
# Numbers of the server: 390xxx and 394xxx speak of logins and sessions, what is below 300000 of statements.
_LOGIN = range(390_000, 395_000)
_STATEMENT = range(600, 250_000)
_SESSION_GONE = frozenset({390_110, 390_111, 390_112, 390_114, 390_115, 390_195, 390_318})
_PREFIX = re.compile(r"^(?:\d{6}|-{6})(?: \(\w{5}\))?: |^\d{6}: ")
_IDS = re.compile(r" \((?:request_id|sfqid)=[^)]*\)$")
_LOGIN_NOISE = re.compile(r"^Failed to (?:login: Login error|connect to DB: \S+?)[:.] |, code: \d+$")
_PLACE = re.compile(r"\bline (\d+) at position (\d+)")
_ADVICE = {
    390_100: "Check `user` and `password` of the project's warehouse.",
    390_144: "Check `account` and `user`, that the public half of the private key is set for that user, and that this "
    "machine's clock is right.",
    390_189: "Check `role` of the project's warehouse.",
    390_201: "Check `database`, `schema` and `warehouse` of the project's warehouse.",
    390_303: "Check `token`, and that `authenticator` says what kind of token it is.",
    390_318: "The OAuth token has expired; set a new one.",
    394_400: "Check `token`, and that `authenticator` says what kind of token it is.",
}


def connection_error(error: Exception, *, target: str, secrets: Iterable[str]) -> WarehouseConnectionError:
    """Explain why Snowflake could not be reached, refused the login, or was lost, and what to do.

    Its details say with `transient` whether time alone may mend it: a wrong password is not.

    Args:
        error: What the driver raised.
        target: Account and host, for the reader.
        secrets: Texts that must not appear, whatever the driver quotes.
    """
    number = _number(error)
    said = _redacted(_LOGIN_NOISE.sub("", _said(error)), secrets)
    refused = number in _LOGIN and number not in _SESSION_GONE
    advice = _ADVICE.get(number, "" if refused else "Check `account` and `host`, and that Snowflake can be reached.")
    sentence = said if said.endswith((".", "!", "?")) else f"{said}."
    message = f"Snowflake at {target} cannot be used: {sentence} {advice}".rstrip()
    return WarehouseConnectionError(message, transient=not refused, cause=said, errorCode=number)


def query_error(
    error: Exception, *, sql: str, target: str, secrets: Iterable[str], query_id: str | None
) -> WarehouseError:
    """Make our error of one the driver raised while a statement was submitted, awaited or read.

    Returns:
        A query error whose details hold `errorCode`, `sqlState`, `warehouseQueryId`, and where the server says the
        place `lineNumber` and `position`, both from 1, the latter in characters of `sql`. A time-out when the
        statement ran too long for a limit of the server. A connection error when it is not the server's at all.
    """
    number = _number(error)
    if number not in _STATEMENT:
        return connection_error(error, target=target, secrets=secrets)
    said = _redacted(_said(error), secrets)
    details: dict[str, JsonValue] = {"errorCode": f"{number:06d}"}
    state = getattr(error, "sqlstate", None)
    if state is not None and state != "n/a":
        details["sqlState"] = str(state)
    if query_id is not None:
        details["warehouseQueryId"] = query_id
    if number in _TIMED_OUT:
        return WarehouseTimeoutError(said, **details)
    place = _PLACE.search(said)
    if place is not None:
        details |= _place(sql, line=int(place[1]), column=int(place[2]))
    return WarehouseQueryError(said, **details)


def _place(sql: str, *, line: int, column: int) -> dict[str, JsonValue]:
    lines = sql.split("\n")
    if not 1 <= line <= len(lines):
        return {}
    before = sum(len(text) + 1 for text in lines[: line - 1])
    return {"lineNumber": line, "position": before + column + 1}


def _number(error: Exception) -> int:
    number = getattr(error, "errno", None)
    return number if isinstance(number, int) else -1


def _said(error: Exception) -> str:
    """Return the driver's message without the numbers and ids it wraps around what the server said."""
    text = str(getattr(error, "msg", None) or error)
    return _IDS.sub("", _PREFIX.sub("", text)).strip()


def _redacted(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text
