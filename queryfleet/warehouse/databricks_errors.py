"""What Databricks complains about, in our words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from queryfleet.errors import JsonValue, WarehouseConnectionError, WarehouseQueryError, WarehouseTimeoutError
from queryfleet.warehouse.databricks_api import DatabricksFailure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from queryfleet.errors import WarehouseError

__all__ = ["explained"]

_NAME = re.compile(r"^\[([A-Z0-9_.]+)\] ?")
_STATE = re.compile(r"\s*\(?SQLSTATE: ([0-9A-Z]{5})\)?")
_PLACE = re.compile(r"[;,]?\s*\(?line (\d+),? pos(?:ition)? (\d+)\)?")
_TREE = re.compile(r";\n['+].*", re.DOTALL)  # the plan that Spark appends
_PASSING = frozenset(
    {
        "ABORTED",
        "INTERNAL_ERROR",
        "IO_ERROR",
        "RESOURCE_EXHAUSTED",
        "SERVICE_UNDER_MAINTENANCE",
        "TEMPORARILY_UNAVAILABLE",
        "WORKSPACE_TEMPORARILY_UNAVAILABLE",
    }
)
_TIMEOUT_STATES = frozenset({"57KD0"})
_LOGIN, _BAD = frozenset({401, 403}), 400
_LOGIN_ADVICE = "Check `token`, or `client_id` and `client_secret`, and that they may use the SQL warehouse."
_REACH_ADVICE = "Check `host` of the project's warehouse, and the network."
_PLACE_ADVICE = "Check `http_path` of the project's warehouse."
_SCHEMA_ADVICE = "Check `catalog` and `schema` of the project's warehouse."


def explained(
    error: BaseException, *, place: str, sql: str | None, secrets: Iterable[str], query_id: str | None
) -> WarehouseError:
    """Make our error of one of Databricks or of the HTTP client.

    Args:
        error: An answer other than success, a statement that failed, or a connection.
        place: Host and SQL warehouse, for the reader.
        sql: The user's statement; None where there is none.
        secrets: Texts that must not appear.
        query_id: The warehouse query id.

    Returns:
        A connection error, a timeout, or a query error whose details may hold `errorCode`, `errorName`, `sqlState`,
        `lineNumber` and `position` (from 1, in `sql`), and `warehouseQueryId`.
    """
    if not isinstance(error, DatabricksFailure):
        said = _redacted(" ".join(str(error).split()) or type(error).__name__, secrets)
        return _connection(place, said, _REACH_ADVICE, transient=True)
    said = _redacted(_plain(error.message), secrets)
    state = error.sql_state or _first(_STATE, error.message)
    name = _first(_NAME, error.message)
    if sql is None or error.status not in {0, _BAD}:
        return _refusal(error, place, said)
    if error.code in _PASSING:
        return _connection(place, said, "Try again later.", transient=True)
    told = {"errorCode": error.code, "errorName": name, "sqlState": state, "warehouseQueryId": query_id}
    details: dict[str, JsonValue] = {key: value for key, value in told.items() if value}
    if error.code == "DEADLINE_EXCEEDED" or state in _TIMEOUT_STATES:
        return WarehouseTimeoutError(f"Databricks stopped the statement: {said.rstrip('.')}.", **details)
    return WarehouseQueryError(said, **details, **_position(error.message, sql))


def _refusal(error: DatabricksFailure, place: str, said: str) -> WarehouseConnectionError:
    if error.status in _LOGIN or error.code in {"PERMISSION_DENIED", "UNAUTHENTICATED", "invalid_client"}:
        return _connection(place, said, _LOGIN_ADVICE, transient=False)
    if error.status == 0:  # a statement of our own failed
        passing = error.code in _PASSING
        return _connection(place, said, "Try again later." if passing else _SCHEMA_ADVICE, transient=passing)
    passing = error.status == 429 or error.status >= 500  # noqa: PLR2004 - busy, and faults of the server
    return _connection(place, said, _REACH_ADVICE if passing else _PLACE_ADVICE, transient=passing)


def _connection(place: str, said: str, advice: str, *, transient: bool) -> WarehouseConnectionError:
    return WarehouseConnectionError(
        f"Databricks at {place} cannot be used: {said.rstrip('.')}. {advice}", transient=transient, cause=said
    )


def _plain(message: str) -> str:
    """Leave out what is said in the details: the error's name, its state, and the place."""
    shown = _TREE.sub("", message)
    for pattern in (_NAME, _STATE, _PLACE):
        shown = pattern.sub("", shown)
    return " ".join(shown.split()).rstrip("; ")


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None


def _position(message: str, sql: str) -> dict[str, JsonValue]:
    """Return line and position: Databricks counts lines from 1 and characters in a line from 0."""
    found = _PLACE.search(message)
    if found is None:
        return {}
    line, column = int(found[1]), int(found[2])
    lines = sql.split("\n")
    if not 1 <= line <= len(lines):
        return {}
    before = sum(len(each) + 1 for each in lines[: line - 1])
    return {"lineNumber": line, "position": before + min(column, len(lines[line - 1])) + 1}


def _redacted(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
