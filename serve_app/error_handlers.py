"""Errors to answers. No traceback and no text of an unexpected error reaches a client."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from queryfleet.errors import InternalError, NotFoundError, RequestError, ServiceError
from serve_app.dependencies import invalid_request
from serve_app.envelope import error_response

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["install"]

log = structlog.get_logger()


def install(app: FastAPI) -> None:
    """Register every handler on `app`."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unexpected)


async def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101 - by registration
    if error.status >= 500:  # noqa: PLR2004 - the HTTP boundary of "our fault"
        log.warning("request.failed", path=request.url.path, name=error.wire_name, reason=error.message)
    return error_response(error)


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - by registration
    return error_response(invalid_request(error.errors()))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - by registration
    if error.status_code == 404:  # noqa: PLR2004 - the HTTP status
        return error_response(NotFoundError(f"There is no route {request.method} {request.url.path}."))
    wrapped = RequestError(f"{error.detail}: {request.method} {request.url.path}")
    response = error_response(wrapped, status=error.status_code)
    response.headers.update(error.headers or {})  # such as `Allow`
    return response


async def _unexpected(request: Request, error: Exception) -> Response:
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, ServiceError):
        # An error of ours in the middle of a body: it was logged there, and the connection is broken off.
        return error_response(error.__cause__)
    incident = uuid.uuid4().hex[:12]
    log.error("request.unexpected_error", path=request.url.path, incident=incident, exc_info=error)
    return error_response(InternalError(f"Something unexpected went wrong (incident {incident}).", incident=incident))
