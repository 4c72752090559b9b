"""Every error raised on purpose.

    ServiceError
    ├─ RequestError
    │  ├─ InvalidRequestError
    │  ├─ ParameterError
    │  ├─ PaginationError
    │  ├─ AuthorizationError
    │  ├─ ForbiddenError
    │  ├─ NotFoundError
    │  ├─ ResultsExpiredError
    │  ├─ ConflictError
    │  ├─ PayloadTooLargeError
    │  ├─ TooManyRequestsError
    │  ├─ NotSupportedError
    │  ├─ CompileError
    │  └─ FieldReferenceError
    ├─ WarehouseError
    │  ├─ WarehouseConnectionError
    │  ├─ WarehouseQueryError
    │  └─ WarehouseTimeoutError
    ├─ LimitExceededError
    ├─ StorageError
    │  ├─ ObjectNotFoundError
    │  └─ ResultCorruptError
    ├─ StatusStoreError
    │  ├─ IllegalTransitionError
    │  └─ AttemptFencedError
    ├─ QueryCancelledError
    ├─ ServiceUnreachableError
    ├─ ConfigurationError
    └─ InternalError

No subclass adds constructor parameters: an error raised in an actor is pickled on its way to the caller, and only the
one shape `(message, **details)` is known to arrive with class, code and details intact. Put the text of a cause into
`details` before the error leaves its process; `__cause__` does not travel.

The wire names and status codes are those of the HTTP contract (`docs/architecture.md`); one table test pins them.
"""

from __future__ import annotations

from typing import TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

__all__ = [
    "AttemptFencedError",
    "AuthorizationError",
    "CompileError",
    "ConfigurationError",
    "ConflictError",
    "FieldReferenceError",
    "ForbiddenError",
    "IllegalTransitionError",
    "InternalError",
    "InvalidRequestError",
    "JsonValue",
    "LimitExceededError",
    "NotFoundError",
    "NotSupportedError",
    "ObjectNotFoundError",
    "PaginationError",
    "ParameterError",
    "PayloadTooLargeError",
    "QueryCancelledError",
    "RequestError",
    "ResultCorruptError",
    "ResultsExpiredError",
    "ServiceError",
    "ServiceUnreachableError",
    "StatusStoreError",
    "StorageError",
    "TooManyRequestsError",
    "WarehouseConnectionError",
    "WarehouseError",
    "WarehouseQueryError",
    "WarehouseTimeoutError",
]


def _rebuild(cls: type[ServiceError], message: str, details: dict[str, JsonValue]) -> ServiceError:
    return cls(message, **details)


class ServiceError(Exception):
    """Base of every error raised on purpose; see the tree above.

    Args:
        message: For the person who reads it: what is wrong, and what to do about it. Never a secret.
        details: For the machine: JSON values, part of the HTTP answer's `data`.
    """

    code = "internal_error"  # stable; stored with a failed query
    wire_name = "UnexpectedServerError"  # `error.name` in the HTTP envelope
    status = 500  # HTTP status
    retryable = False  # may the same request succeed later, unchanged?

    def __init__(self, message: str, /, **details: JsonValue) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.details)


class RequestError(ServiceError):
    """The caller can fix it."""

    code = "request_error"
    wire_name = "ParameterError"
    status = 400


class InvalidRequestError(RequestError):
    """A body or query parameter has the wrong shape; `details` maps field paths to what is wrong with them."""

    code = "invalid_request"
    wire_name = "ValidateError"
    status = 422


class ParameterError(RequestError):
    """A well-formed value that cannot be accepted."""

    code = "parameter_error"


class PaginationError(RequestError):
    """`page` or `pageSize` is out of range."""

    code = "pagination_error"
    wire_name = "PaginationError"
    status = 422


class AuthorizationError(RequestError):
    """No token, or one that is not valid."""

    code = "unauthorized"
    wire_name = "AuthorizationError"
    status = 401


class ForbiddenError(RequestError):
    """The token is valid but its role does not allow this."""

    code = "forbidden"
    wire_name = "ForbiddenError"
    status = 403


class NotFoundError(RequestError):
    """No such thing, or not the caller's to see: both look the same from outside."""

    code = "not_found"
    wire_name = "NotFoundError"
    status = 404


class ResultsExpiredError(RequestError):
    """The query finished, but its rows are no longer kept."""

    code = "results_expired"
    wire_name = "ResultsExpiredError"
    status = 404


class ConflictError(RequestError):
    """The request contradicts what is already there."""

    code = "conflict"
    wire_name = "ConflictError"
    status = 409


class PayloadTooLargeError(RequestError):
    """The request body is larger than the configured limit."""

    code = "payload_too_large"
    wire_name = "PayloadTooLargeError"
    status = 413


class TooManyRequestsError(RequestError):
    """A limit on waiting or running queries is reached; `details.retryAfterSeconds` says when to come back."""

    code = "too_many_requests"
    wire_name = "TooManyRequestsError"
    status = 429
    retryable = True


class NotSupportedError(RequestError):
    """The warehouse or the configuration cannot do this."""

    code = "not_supported"
    wire_name = "NotImplemented"
    status = 501


class CompileError(RequestError):
    """A model, or a question about it, cannot be turned into SQL."""

    code = "compile_error"
    wire_name = "CompileError"


class FieldReferenceError(RequestError):
    """A name that no field has; the message has the nearest right one."""

    code = "field_reference_error"
    wire_name = "FieldReferenceError"


class WarehouseError(ServiceError):
    """The warehouse failed; ends a query with status `error`."""

    code = "warehouse_error"
    wire_name = "WarehouseQueryError"
    status = 400


class WarehouseConnectionError(WarehouseError):
    """The warehouse cannot be reached, refused the login, or dropped the connection."""

    code = "warehouse_connection_error"
    wire_name = "WarehouseConnectionError"
    retryable = True


class WarehouseQueryError(WarehouseError):
    """The warehouse refused it; details may hold `sqlState`, `position`, `lineNumber`, `warehouseQueryId`."""

    code = "warehouse_query_error"


class WarehouseTimeoutError(WarehouseError):
    """The statement ran longer than its limit."""

    code = "warehouse_timeout"
    wire_name = "TimeoutError"


class LimitExceededError(ServiceError):
    """The result is larger than the project allows, and the project wants an error then."""

    code = "limit_exceeded"
    wire_name = "LimitExceededError"
    status = 400


class StorageError(ServiceError):
    """The object store cannot be read or written now."""

    code = "storage_error"
    wire_name = "S3Error"
    status = 503
    retryable = True


class ObjectNotFoundError(StorageError):
    """There is no object under this key."""

    code = "object_not_found"
    retryable = False


class ResultCorruptError(StorageError):
    """Stored bytes are not those that were written: wrong length or checksum."""

    code = "result_corrupt"
    status = 500
    retryable = False


class StatusStoreError(ServiceError):
    """Postgres cannot be reached or failed."""

    code = "status_store_error"
    wire_name = "UnexpectedDatabaseError"
    status = 503
    retryable = True


class IllegalTransitionError(StatusStoreError):
    """The life of a query has no such step. A bug when it reaches a client."""

    code = "illegal_transition"
    status = 500
    retryable = False


class AttemptFencedError(StatusStoreError):
    """A write was refused because its attempt is no longer the current one, or the query has ended."""

    code = "attempt_fenced"
    status = 500
    retryable = False


class QueryCancelledError(ServiceError):
    """The query was cancelled. Not a failure."""

    code = "query_cancelled"
    wire_name = "ConflictError"
    status = 409


class ServiceUnreachableError(ServiceError):
    """The service did not answer; made by the client, which names the address. Never on the wire."""

    code = "service_unreachable"
    wire_name = "ServiceUnreachableError"
    status = 503
    retryable = True


class ConfigurationError(ServiceError):
    """A setting or a project file is wrong; the message names it and the fix."""

    code = "configuration_error"
    wire_name = "MissingConfigError"
    status = 422


class InternalError(ServiceError):
    """Anything unexpected, after it was logged. The message is generic and carries an incident id."""

    code = "internal_error"
