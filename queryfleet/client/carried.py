"""Requests that travel by other means than a socket: to a service in this process, or through Ray.

Both clients take a transport. One of these hands each request, as a value, to a function that brings the answer; the
rest of the client, retries and errors included, stays as it is over HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["AsyncCarryingTransport", "CarriedAnswer", "CarriedRequest", "CarryingTransport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedRequest:
    """One request; may be pickled. What it shows of itself holds no token."""

    method: str
    path: str  # percent-encoded, with a leading slash and without the query
    query: str  # percent-encoded, without the question mark
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    wait_seconds: float | None  # how long the caller is willing to wait for the answer; None: for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedAnswer:
    """One whole response; may be pickled."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)


class CarryingTransport(httpx2.BaseTransport):
    """Brings requests of the blocking client.

    Args:
        carry: Returns the answer. It may be called from several threads at once, and raises an `httpx2.RequestError`
            when there is none.
    """

    def __init__(self, carry: Callable[[CarriedRequest], CarriedAnswer]) -> None:
        self._carry = carry

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request and wait for its answer."""
        request.read()
        return _response(self._carry(_carried(request)), request)


class AsyncCarryingTransport(httpx2.AsyncBaseTransport):
    """Brings requests of the asyncio client; see `CarryingTransport`."""

    def __init__(self, carry: Callable[[CarriedRequest], Awaitable[CarriedAnswer]]) -> None:
        self._carry = carry

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request and wait for its answer."""
        await request.aread()
        return _response(await self._carry(_carried(request)), request)


def _carried(request: httpx2.Request) -> CarriedRequest:
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    return CarriedRequest(
        method=request.method,
        path=path,
        query=query,
        headers=tuple(request.headers.multi_items()),
        body=request.content,
        wait_seconds=request.extensions.get("timeout", {}).get("read"),
    )


def _response(answer: CarriedAnswer, request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(answer.status, headers=list(answer.headers), content=answer.body, request=request)
