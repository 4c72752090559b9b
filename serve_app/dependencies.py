"""What routes ask for by type: the services, the caller, the project, the body."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import Depends, Path, Request
from pydantic import BaseModel, ValidationError

from queryfleet.errors import InvalidRequestError, ParameterError, PayloadTooLargeError
from serve_app.accounts import Account
from serve_app.services import Services

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from queryfleet.errors import JsonValue

__all__ = ["Caller", "ProjectUuid", "QueryUuid", "ServicesOf", "invalid_request", "read_body"]

Model = TypeVar("Model", bound=BaseModel)

_PARSE_INLINE_BYTES = 32 * 1024  # larger bodies are parsed in a thread
_SHOWN_CHARACTERS = 100


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesOf = Annotated[Services, Depends(_services)]


async def _caller(request: Request, services: ServicesOf) -> Account:
    return await services.accounts.of(request.headers.get("authorization"))


Caller = Annotated[Account, Depends(_caller)]
ProjectUuid = Annotated[str, Path(description="A project this token has a role in.")]
QueryUuid = Annotated[str, Path(description="From the execute call.")]


async def read_body(request: Request, model: type[Model], *, bytes_max: int) -> Model:
    """Read and check a JSON body.

    Raises:
        PayloadTooLargeError: Longer than `bytes_max`; nothing beyond that is read.
        ParameterError: Not JSON.
        InvalidRequestError: JSON of another shape; details name the fields.
    """
    too_large = PayloadTooLargeError(
        f"The body is larger than {bytes_max} bytes; the limit is QUERYFLEET_BODY_BYTES_MAX.", maxBytes=bytes_max
    )
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > bytes_max:
        raise too_large
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > bytes_max:
            raise too_large
    if len(body) <= _PARSE_INLINE_BYTES:
        return _parse(bytes(body), model)
    return await asyncio.to_thread(_parse, bytes(body), model)


def _parse(body: bytes, model: type[Model]) -> Model:
    try:
        document = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = _reason(error)
        raise ParameterError(f"The body is not valid JSON: {reason}.", body={"message": reason}) from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid_request(error.errors(include_url=False), with_source=False) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _reason(error: ValueError | RecursionError) -> str:
    match error:
        case json.JSONDecodeError():
            return f"{error.msg} at line {error.lineno}"
        case UnicodeDecodeError():
            return "not UTF-8 text"
        case RecursionError():
            return "nested too deeply"
        case _:
            return str(error)[:_SHOWN_CHARACTERS]


def invalid_request(problems: Sequence[Mapping[str, Any]], *, with_source: bool = True) -> InvalidRequestError:
    """Turn a validator's findings into our error: details map each field's path to what is wrong with it.

    Args:
        problems: As pydantic lists them.
        with_source: Paths begin with where the field comes from (`query`, `path`, …), which is left out.
    """
    fields: dict[str, JsonValue] = {}
    for problem in problems:
        path = [str(part) for part in problem["loc"][1 if with_source else 0 :]]
        entry: dict[str, JsonValue] = {"message": _sentence(problem)}
        value = problem.get("input")
        if isinstance(value, str):
            entry["value"] = value[:_SHOWN_CHARACTERS]
        elif isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            entry["value"] = value
        fields[".".join(path) or "body"] = entry
    summary = "; ".join(f"{name}: {entry['message']}" for name, entry in fields.items() if isinstance(entry, dict))
    return InvalidRequestError(f"The request is not valid: {summary}.", **fields)


def _sentence(problem: Mapping[str, Any]) -> str:
    message = str(problem["msg"])
    return message.removeprefix("Value error, ")
