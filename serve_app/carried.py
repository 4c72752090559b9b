"""Answers to requests that did not come by a socket: the application is called as a server would call it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from queryfleet.client.carried import CarriedAnswer
from queryfleet.errors import PayloadTooLargeError, ServiceError
from serve_app.envelope import error_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from queryfleet.client.carried import CarriedRequest

    Message = MutableMapping[str, Any]
    Application = Callable[
        [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
    ]

__all__ = ["answer_of"]

_ANSWER_BYTES_MAX = 256 * 1024 * 1024  # a chunk has 8 MiB; an answer is held in memory as a whole


async def answer_of(app: Application, request: CarriedRequest) -> CarriedAnswer:
    """Have `app` answer a request.

    The answer is held in memory as a whole. One of more than 256 MiB becomes a `PayloadTooLargeError`: a whole result
    is read by its chunks.
    """
    exchange = _Exchange(request.body)
    try:
        await app(_scope(request), exchange.receive, exchange.send)
    except Exception:
        # The application answers what goes wrong, and raises it all the same for a server to log.
        if exchange.is_too_large:
            return _refusal()
        if not exchange.is_whole:
            raise
    finally:
        exchange.gone.set()
    if not exchange.is_whole:
        raise ServiceError("The service ended its answer before it was whole.")
    return exchange.answer


class _Exchange:
    """One request and its answer, message by message."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._parts: list[bytes] = []
        self._size = 0
        self._headers: tuple[tuple[str, str], ...] = ()
        self._status = 0
        self.is_whole = False
        self.is_too_large = False
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]
            )
        elif message["type"] == "http.response.body":
            part = bytes(message.get("body", b""))
            self._size += len(part)
            if self._size > _ANSWER_BYTES_MAX:
                self.is_too_large = True
                self._parts.clear()
                raise OSError("The answer is too large.")  # what a server raises when the client is gone
            self._parts.append(part)
            self.is_whole = not message.get("more_body", False)

    @property
    def answer(self) -> CarriedAnswer:
        return CarriedAnswer(status=self._status, headers=self._headers, body=b"".join(self._parts))


def _scope(request: CarriedRequest) -> Message:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
    host = next((value for name, value in headers if name == b"host"), b"service")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(request.path),
        "raw_path": request.path.encode("ascii"),
        "query_string": request.query.encode("ascii"),
        "root_path": "",
        "headers": headers,
        "server": (host.decode("latin-1"), None),
        "client": None,
    }


def _refusal() -> CarriedAnswer:
    response = error_response(
        PayloadTooLargeError(
            f"An answer of more than {_ANSWER_BYTES_MAX} bytes is not carried; read the rows by chunks, or over HTTP.",
            maxBytes=_ANSWER_BYTES_MAX,
        )
    )
    return CarriedAnswer(
        status=response.status_code,
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers),
        body=bytes(response.body),
    )
