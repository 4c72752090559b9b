"""The envelope around every answer, and errors made classes again."""

from __future__ import annotations

import json
from typing import Final

from queryfleet import errors
from queryfleet.errors import JsonValue, ServiceError, ServiceUnreachableError

__all__ = ["error_class", "results_of"]

# Where several classes share a name, the one a caller can act on; the first entry of a name also stands for a
# query's stored failure, which has no status code.
_CLASSES: Final[tuple[type[ServiceError], ...]] = (
    errors.InvalidRequestError,
    errors.ParameterError,
    errors.PaginationError,
    errors.AuthorizationError,
    errors.ForbiddenError,
    errors.NotFoundError,
    errors.ResultsExpiredError,
    errors.ConflictError,
    errors.PayloadTooLargeError,
    errors.TooManyRequestsError,
    errors.NotSupportedError,
    errors.CompileError,
    errors.FieldReferenceError,
    errors.WarehouseConnectionError,
    errors.WarehouseQueryError,
    errors.WarehouseTimeoutError,
    errors.LimitExceededError,
    errors.StorageError,
    errors.ResultCorruptError,
    errors.StatusStoreError,
    errors.ConfigurationError,
    errors.InternalError,
)
_BY_NAME: Final[dict[str, type[ServiceError]]] = {cls.wire_name: cls for cls in reversed(_CLASSES)}
_BY_NAME_AND_STATUS: Final[dict[tuple[str, int], type[ServiceError]]] = {
    (cls.wire_name, cls.status): cls for cls in reversed(_CLASSES)
}


def error_class(name: str, status: int | None = None) -> type[ServiceError]:
    """Return the class an error had on the service.

    Args:
        name: Its wire name.
        status: The HTTP status it came with, when there was one.

    Returns:
        `ServiceError` when the name is not known here.
    """
    by_name = _BY_NAME.get(name, ServiceError)
    return by_name if status is None else _BY_NAME_AND_STATUS.get((name, status), by_name)


def results_of(status: int, content_type: str, body: bytes, *, url: str) -> JsonValue:
    """Take the `results` out of an answer.

    Args:
        status: HTTP status.
        content_type: Named in the message when the body is not the service's.
        body: The whole body.
        url: The service's address, for messages.

    Raises:
        ServiceUnreachableError: Something in front of the service answered 502, 503 or 504 in its place.
        ServiceError: The class the service raised; or `ServiceError` itself when the answer is not an
            envelope.
    """
    envelope = _envelope(body)
    if envelope is not None and envelope.get("status") == "ok" and status < 300:  # noqa: PLR2004
        return envelope.get("results")
    if envelope is not None and isinstance(envelope.get("error"), dict):
        raise _error(status, envelope["error"])
    kind = content_type.partition(";")[0] or "no content type"
    if status in (502, 503, 504):
        text = f"{url} answered {status} ({kind}) in place of the query service. Check that it runs."
        raise ServiceUnreachableError(text, httpStatus=status)
    text = f"{url} answered {status} ({kind}), which is not the query service's. Check the address."
    raise ServiceError(text, httpStatus=status)


def _envelope(body: bytes) -> dict[str, JsonValue] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _error(status: int, error: JsonValue) -> ServiceError:
    given = error if isinstance(error, dict) else {}
    name = str(given.get("name", ""))
    data = given.get("data")
    details = dict(data) if isinstance(data, dict) else {}
    cls = error_class(name, status)
    if cls is ServiceError:
        details.setdefault("errorName", name)
    if cls.status != status:
        details.setdefault("httpStatus", status)
    return cls(str(given.get("message") or f"The service answered {status} without a message."), **details)
