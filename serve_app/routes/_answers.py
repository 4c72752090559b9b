"""What routes share: how bodies and errors are described in the API's documentation, and members of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from queryfleet.errors import InvalidRequestError
from queryfleet.schemas.responses import ErrorAnswer
from serve_app.envelope import iso

if TYPE_CHECKING:
    from pydantic import BaseModel

    from queryfleet.status.record import QueryRecord

__all__ = ["KEY_CHARACTERS_MAX", "body_of", "cache_metadata", "errors", "wait_ms_of"]

KEY_CHARACTERS_MAX = 255  # of an Idempotency-Key

_MEANING = {
    400: "A well-formed value that cannot be accepted, or a body that is not JSON.",
    401: "No token, or one that is not valid.",
    403: "The token's role, or the project, does not allow this.",
    404: "No such project, query or result; or not this caller's.",
    409: "The Idempotency-Key was used for another request.",
    413: "The body is too large.",
    422: "A parameter or body member is missing, of the wrong type or out of range; `data` names it.",
    429: "Too many queries are waiting; see `Retry-After`.",
    501: "This is not available.",
    503: "A part of the service is away; see `Retry-After`.",
}


def errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of these statuses."""
    described: dict[int | str, dict[str, Any]] = {
        code: {"model": ErrorAnswer, "description": _MEANING[code]} for code in codes
    }
    return described | {"default": {"model": ErrorAnswer, "description": "Any other error looks the same."}}


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the documentation of a JSON body that is read by hand, to bound its size; see `read_body`."""
    schema = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    return {"requestBody": {"required": True, "content": {"application/json": schema}}}


def cache_metadata(record: QueryRecord) -> dict[str, Any]:
    """Return whether a query took rows that were there, and of when they are."""
    if not record.cache_hit or record.results_created_at is None or record.results_expire_at is None:
        return {"cacheHit": False}
    return {
        "cacheHit": True,
        "cacheUpdatedTime": iso(record.results_created_at),
        "cacheExpiresAt": iso(record.results_expire_at),
    }


def wait_ms_of(wanted: int | None, longest: int) -> int:
    """Return how long an answer may be held.

    Raises:
        InvalidRequestError: Longer than is allowed.
    """
    if wanted is not None and wanted > longest:
        raise InvalidRequestError(
            f"waitMs must be at most {longest}.", waitMs={"message": f"must be at most {longest}", "value": wanted}
        )
    return wanted or 0
