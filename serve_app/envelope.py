"""Envelopes: `{"status":"ok","results":…}` and `{"status":"error","error":…}`, as bytes."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from datetime import datetime

    from queryfleet.errors import ServiceError

__all__ = ["error_response", "iso", "ok", "ok_with_rows"]

_RETRY_AFTER_SECONDS = 2


def iso(moment: datetime) -> str:
    """Return an aware time as the wire spells it: milliseconds and `Z`."""
    moment = moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def ok(results: Any) -> Response:
    """Wrap a result."""
    return Response(b'{"status":"ok","results":' + _text(results) + b"}", media_type="application/json")


def ok_with_rows(results: dict[str, Any], rows: bytes) -> Response:
    """Wrap a result whose member `rows` is JSON text already; `results` has at least one other member."""
    body = b'{"status":"ok","results":' + _text(results)[:-1] + b',"rows":' + rows + b"}}"
    return Response(body, media_type="application/json")


def error_response(error: ServiceError, *, status: int | None = None) -> Response:
    """Wrap an error; `status` replaces the HTTP status of its class."""
    status = error.status if status is None else status
    body = {
        "status": "error",
        "error": {
            "statusCode": status,
            "name": error.wire_name,
            "message": error.message,
            "data": error.details,
        },
    }
    headers = {}
    if status in (429, 503):
        headers["Retry-After"] = str(error.details.get("retryAfterSeconds", _RETRY_AFTER_SECONDS))
    if status == 401:  # noqa: PLR2004 - the HTTP status
        headers["WWW-Authenticate"] = "ApiKey"
    return Response(_text(body), status_code=status, media_type="application/json", headers=headers)
