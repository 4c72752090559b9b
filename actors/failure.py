"""What a client reads about a query that ended in `error`."""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING

import structlog

from queryfleet.errors import ServiceError
from queryfleet.status.record import Failure

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue

__all__ = ["failure_of"]

log = structlog.get_logger()


def failure_of(error: Exception) -> Failure:
    """Describe an error the way a client will read it; anything unexpected is logged and gets an incident number."""
    if isinstance(error, ServiceError):
        return Failure(
            name=error.wire_name,
            message=_storable_text(error.message),
            status=error.status,
            details={_storable_text(name): _storable(value) for name, value in error.details.items()},
        )
    incident = uuid.uuid4().hex[:12]
    log.error("query.unexpected_error", incident=incident, exc_info=error)
    return Failure(
        name=ServiceError.wire_name,
        message=f"Something unexpected went wrong (incident {incident}).",
        status=500,
    )


def _storable_text(text: str) -> str:
    # PostgreSQL keeps neither NUL characters nor halves of one, and a driver may quote them from the data.
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _storable(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return _storable_text(value)
        case float() if not math.isfinite(value):
            return str(value)
        case list():
            return [_storable(item) for item in value]
        case dict():
            return {_storable_text(name): _storable(item) for name, item in value.items()}
        case _:
            return value
