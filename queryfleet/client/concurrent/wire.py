"""Requests that are sent, repeated while that may help, and their answers. The only module of a client with HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2

from queryfleet.client.concurrent.lanes import sleep
from queryfleet.client.session import Retries
from queryfleet.errors import JsonValue, ServiceError, ServiceUnreachableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from queryfleet.client.calls import Call
    from queryfleet.client.retry import RetryPolicy
    from queryfleet.client.session import Session

__all__ = ["AsyncWire"]

_OK = 200
_PARTIAL = 206
_STORE_SECONDS = 60.0
_STORE_CONNECT_SECONDS = 2.0  # a store that clients cannot reach should be noticed soon


class AsyncWire:
    """Speaks with one service, and with the store that its links lead to; holds the connections of both.

    Args:
        session: Where the service is, and how patient we are.
        transport: Replaces the network on the way to the service.
    """

    def __init__(self, session: Session, transport: httpx2.AsyncBaseTransport | None) -> None:
        self.session = session
        self._is_known = False  # has the service ever answered?
        trusts_environment = session.trusts_environment
        self._http = httpx2.AsyncClient(
            headers=dict(session.headers), trust_env=trusts_environment, transport=transport
        )
        # Knows no token: links carry what opens them. Those to the service itself go the service's way.
        self._store = httpx2.AsyncClient(
            timeout=httpx2.Timeout(_STORE_SECONDS, connect=_STORE_CONNECT_SECONDS),
            trust_env=trusts_environment,
            mounts=None if transport is None else {session.url: transport},
        )
        self._reaches_store = True

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        await self._store.aclose()

    async def send(self, call: Call, *, retry: RetryPolicy | None = None) -> JsonValue:
        """Return the `results` of an answer.

        Raises:
            ServiceUnreachableError: No answer, also after repeating.
            ServiceError: Refused by the service; the class says why.
        """
        return self.session.results(await self._answer(call, retry))

    async def fetch(self, call: Call) -> bytes:
        """Return the body of an answer that is no envelope; raises like `send`."""
        answer = await self._answer(call, None)
        return answer.content

    async def read_link(self, url: str) -> bytes | None:
        """Return what a link to the store gives; None when the store cannot be reached, or the link does not work."""
        if not self._reaches_store:
            return None
        try:
            answer = await self._store.get(url, headers={"Accept-Encoding": "identity"})
        except httpx2.RequestError:
            self._reaches_store = False
            return None
        return answer.content if answer.status_code == _OK else None

    async def read_file(self, url: str, begin: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes of a file from `begin` up to `end`; goes on where it stood when the connection breaks.

        Raises:
            ServiceUnreachableError: No answer, also after repeating, and not a byte more.
            ServiceError: Refused by the service or the store; the class says why.
        """
        retries = Retries(self.session.retry, is_first_contact=False)
        while begin < end:
            response: httpx2.Response | None = None
            try:
                headers = {"Range": f"bytes={begin}-", "Accept-Encoding": "identity"}
                async with self._store.stream("GET", url, headers=headers, follow_redirects=True) as response:
                    if response.status_code not in (_OK, _PARTIAL):
                        await response.aread()
                        self.session.results(response)
                        raise ServiceError(f"The file was answered with {response.status_code}.")  # noqa: TRY301
                    # Not every store knows ranges, and some answer one from the first byte on with 200.
                    skipped = begin if response.status_code == _OK else 0
                    async for piece in response.aiter_bytes():
                        new = piece[skipped:]
                        skipped -= len(piece) - len(new)
                        if not new:
                            continue
                        begin += len(new)
                        yield new
                        retries = Retries(self.session.retry, is_first_contact=False)
                # A body that ends too early without an error is asked for again, too.
                failure: ServiceError = ServiceUnreachableError(f"The file at {_place(url)} ended too early.")
            except httpx2.RequestError as error:
                failure = self.session.unreachable(error, at=_place(str(error.request.url)))
                failure.__cause__ = error
                response = None
            except ServiceError as error:
                failure = error
            if begin < end:
                await sleep(retries.pause(failure, response))

    async def _answer(self, call: Call, retry: RetryPolicy | None) -> httpx2.Response:
        """Return an answer that is no error."""
        retries = Retries(retry or self.session.retry, is_first_contact=not self._is_known)
        while True:
            response: httpx2.Response | None = None
            try:
                response = await self._http.send(self.session.request(call, self._http))
                self._is_known = True
                if response.status_code == _OK:
                    return response
                self.session.results(response)
                raise ServiceError(f"The service answered {response.status_code} without a reason.")  # noqa: TRY301
            except httpx2.RequestError as error:
                failure: ServiceError = self.session.unreachable(error)
                failure.__cause__ = error
            except ServiceError as error:
                failure = error
            await sleep(retries.pause(failure, response))


def _place(url: str) -> str:
    """Return a link without what opens it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
