"""What BigQuery and its client complain about, in our words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from queryfleet.errors import JsonValue, WarehouseConnectionError, WarehouseQueryError, WarehouseTimeoutError

if TYPE_CHECKING:
    from queryfleet.errors import WarehouseError

__all__ = ["explained"]

_QUERY_REASONS = frozenset(
    {"billingTierLimitExceeded", "bytesBilledLimitExceeded", "invalid", "invalidQuery", "notFound", "resourcesExceeded"}
)
_PASSING = frozenset({"backendError", "internalError", "jobBackendError", "rateLimitExceeded", "quotaExceeded"})
_PLACE = re.compile(r" at \[(\d+):(\d+)\]")
_PREFIX = re.compile(r"^\d{3} (?:[A-Z]+ \S+?: )?")


def explained(error: BaseException, *, place: str, sql: str | None, query_id: str | None) -> WarehouseError:
    """Make our error of one of the client.

    Args:
        error: Of the API, of the login, or of a connection.
        place: Project and location, for the reader.
        sql: The user's statement; None where there is none.
        query_id: The warehouse query id.

    Returns:
        A connection error, a timeout, or a query error whose details may hold `errorName`, `position` and
        `lineNumber` (from 1, in `sql`), and `warehouseQueryId`.
    """
    reason = _reason(error)
    said = _PREFIX.sub("", " ".join(str(getattr(error, "message", None) or error).split()))
    details: dict[str, JsonValue] = {"errorName": reason} if reason else {}
    if query_id is not None:
        details["warehouseQueryId"] = query_id
    if reason in {"timeout", "stopped"}:
        return WarehouseTimeoutError(f"BigQuery stopped the statement: {said}.", **details)
    if sql is None or reason not in _QUERY_REASONS:
        passing = reason in _PASSING or (reason is None and not _is_refused(error))
        advice = "" if passing else " Check `project` and `credentials_path` of the project's warehouse."
        return WarehouseConnectionError(
            f"BigQuery at {place} cannot be used: {said.rstrip('.')}.{advice}", transient=passing, cause=said
        )
    return WarehouseQueryError(_PLACE.sub("", said), **details, **_position(said, sql))


def _reason(error: BaseException) -> str | None:
    errors = getattr(error, "errors", None) or []
    first = errors[0] if errors else None
    reason = first.get("reason") if isinstance(first, dict) else None
    return str(reason) if reason else None


def _is_refused(error: BaseException) -> bool:
    from google.auth.exceptions import GoogleAuthError, TransportError

    return isinstance(error, GoogleAuthError) and not isinstance(error, TransportError)


def _position(said: str, sql: str) -> dict[str, JsonValue]:
    found = _PLACE.search(said)
    if found is None:
        return {}
    line, column = int(found[1]), int(found[2])
    lines = sql.split("\n")
    if not 1 <= line <= len(lines):
        return {}
    return {"lineNumber": line, "position": sum(len(each) + 1 for each in lines[: line - 1]) + column}
