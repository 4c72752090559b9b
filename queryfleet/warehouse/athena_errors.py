"""What Athena, S3 and their client complain about, in our words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from queryfleet.errors import JsonValue, WarehouseConnectionError, WarehouseQueryError, WarehouseTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from queryfleet.errors import WarehouseError

__all__ = ["AthenaFailure", "error_code", "explained"]

_NAME = re.compile(r"^([A-Z][A-Z_]+): ")
_PLACE = re.compile(r"\bline (\d+):(\d+): ?")
_LOGIN = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_PASSING = frozenset(
    {
        "InternalError",
        "InternalServerException",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_SYSTEM = 1  # the category of errors that are Athena's own
_LOGIN_ADVICE = (
    "Check the credentials (`access_key_id` and `secret_access_key`, `profile`, or those of the machine), and that "
    "they may use Athena, the Glue catalog, and the bucket of the results."
)
_PLACE_ADVICE = "Check `workgroup`, `catalog`, `database` and `output_location` of the project's warehouse."
_REACH_ADVICE = "Check `region` of the project's warehouse, and the network."


class AthenaFailure(Exception):  # noqa: N818 - what Athena says; becomes one of our errors
    """A statement that failed or was cancelled."""

    def __init__(self, reason: str, *, category: int = 0, kind: int | None = None, retryable: bool = False) -> None:
        """Keep Athena's words.

        Args:
            reason: As Athena says it.
            category: 1 for faults of its own, 2 for those of the user.
            kind: Its number of the error.
            retryable: It says that trying again may help.
        """
        super().__init__(reason)
        self.reason, self.category, self.kind, self.retryable = reason, category, kind, retryable


def error_code(error: BaseException) -> str:
    """Return the code of an answer other than success; Athena's own, which is finer, where there is one."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return ""
    code = response.get("AthenaErrorCode") or response.get("Error", {}).get("Code")
    return str(code or "")


def explained(
    error: BaseException,
    *,
    place: str,
    sql: str | None,
    lines_before: int,
    secrets: Iterable[str],
    query_id: str | None,
) -> WarehouseError:
    """Make our error of one of Athena or of its client.

    Args:
        error: An answer other than success, a statement that failed, or a connection.
        place: Region, workgroup and database, for the reader.
        sql: The user's statement; None where there is none.
        lines_before: How many lines we put before it.
        secrets: Texts that must not appear.
        query_id: The warehouse query id.

    Returns:
        A connection error, a timeout, or a query error whose details may hold `errorCode`, `errorName`, `lineNumber`
        and `position` (from 1, in `sql`), and `warehouseQueryId`.
    """
    if isinstance(error, AthenaFailure):
        said, code = error.reason, "" if error.kind is None else str(error.kind)
    else:
        response = getattr(error, "response", None)
        given = response.get("Error", {}).get("Message") if isinstance(response, dict) else None
        said, code = str(given or error), error_code(error)
        refused = sql is None or code not in {"MALFORMED_QUERY", "INVALID_INPUT", "InvalidRequestException"}
        if refused:
            return _refusal(error, code, place, _redacted(said, secrets))
    said = _redacted(" ".join(said.split()), secrets)
    if sql is None:
        return _connection(place, said, _PLACE_ADVICE, transient=isinstance(error, AthenaFailure) and error.retryable)
    if isinstance(error, AthenaFailure) and error.retryable and error.category == _SYSTEM:
        return _connection(place, said, "Try again later.", transient=True)
    name = _NAME.match(said)
    details: dict[str, JsonValue] = {}
    if code:
        details["errorCode"] = code
    if name is not None:
        details["errorName"] = name[1]
    if query_id is not None:
        details["warehouseQueryId"] = query_id
    shown = _PLACE.sub("", _NAME.sub("", said), count=1)
    if said.lower().startswith("query timeout") or (name is not None and name[1] == "EXCEEDED_TIME_LIMIT"):
        return WarehouseTimeoutError(f"Athena stopped the statement: {shown.rstrip('.')}.", **details)
    return WarehouseQueryError(shown, **details, **_position(said, sql, lines_before))


def _refusal(error: BaseException, code: str, place: str, said: str) -> WarehouseConnectionError:
    from botocore.exceptions import (
        ClientError,
        CredentialRetrievalError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
        SSOError,
        TokenRetrievalError,
    )

    said = " ".join(said.split())
    no_login = (
        CredentialRetrievalError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
        SSOError,
        TokenRetrievalError,
    )
    if code in _LOGIN or code == "403" or isinstance(error, no_login):
        return _connection(place, said, _LOGIN_ADVICE, transient=False)
    if isinstance(error, ClientError):
        passing = code in _PASSING
        return _connection(place, said, "Try again later." if passing else _PLACE_ADVICE, transient=passing)
    return _connection(place, said, _REACH_ADVICE, transient=True)


def _connection(place: str, said: str, advice: str, *, transient: bool) -> WarehouseConnectionError:
    return WarehouseConnectionError(
        f"Athena at {place} cannot be used: {said.rstrip('.')}. {advice}", transient=transient, cause=said
    )


def _position(said: str, sql: str, lines_before: int) -> dict[str, JsonValue]:
    """Return line and position of Athena's line and column, when they are inside the statement."""
    found = _PLACE.search(said)
    if found is None:
        return {}
    line, column = int(found[1]) - lines_before, int(found[2])
    lines = sql.split("\n")
    if not 1 <= line <= len(lines):
        return {}
    before = sum(len(each) + 1 for each in lines[: line - 1])
    return {"lineNumber": line, "position": before + min(column, len(lines[line - 1]) + 1)}


def _redacted(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
