"""How error answers are described in the API's documentation."""

from __future__ import annotations

from typing import Any

from queryfleet.schemas.responses import ErrorAnswer

__all__ = ["errors"]

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
