"""Databricks' REST interface: logging in, requests, and what is repeated when it fails.

A personal access token is sent as it is. A service principal's id and secret are traded for a token of an hour, which
is renewed a few minutes before its end.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from queryfleet.errors import WarehouseConnectionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx2
    import pyarrow as pa

    from queryfleet.errors import JsonValue

__all__ = ["DatabricksApi", "DatabricksFailure", "DatabricksLogin", "downloaded"]

_CONNECT_SECONDS, _ANSWER_SECONDS = 10.0, 60.0
_TRIES = 4  # of a request that may be repeated
_PAUSE_SECONDS = 0.25  # before the second one; doubles
_LONGEST_PAUSE_SECONDS = 10.0  # however long Databricks asks us to wait
_BUSY, _AWAY = 429, frozenset({502, 503, 504})
_UNAUTHENTICATED, _GOOD = 401, 200
_RENEWAL_SECONDS = 300.0  # before the end of a token
_TOKEN_SECONDS = 3600.0  # that a token is good for, where Databricks does not say
_AGENT = "queryfleet"


class DatabricksFailure(Exception):  # noqa: N818 - what Databricks says; becomes one of our errors
    """An answer other than success, or a statement that failed."""

    def __init__(self, message: str, *, code: str = "", status: int = 0, sql_state: str | None = None) -> None:
        """Keep Databricks' words.

        Args:
            message: As Databricks says it.
            code: Its `error_code`, such as `PERMISSION_DENIED`.
            status: The answer's; 0 for a statement that failed.
            sql_state: Of a statement that failed.
        """
        super().__init__(message)
        self.message, self.code, self.status, self.sql_state = message, code, status, sql_state


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabricksLogin:
    """Where the workspace is, and who asks: a token, or the id and secret of a service principal."""

    url: str  # of the workspace, without a path
    token: str | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message may show."""
        return tuple(secret for secret in (self.token, self.client_secret) if secret)


class DatabricksApi:
    """Requests to one workspace. Safe to share between threads."""

    def __init__(self, login: DatabricksLogin) -> None:
        """Open nothing yet."""
        import httpx2

        self._login = login
        self._client = httpx2.Client(
            base_url=login.url,
            timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            headers={"User-Agent": _AGENT},
        )
        self._using = threading.Lock()  # guards the two below
        self._requests = 0  # under way
        self._closed = False
        self._renewing = threading.Lock()
        self._token, self._token_ends = login.token or "", float("inf") if login.token else 0.0

    def get(self, path: str) -> dict[str, JsonValue]:
        """Ask for something; raises `DatabricksFailure`, or what the HTTP client raises."""
        return self._request("GET", path, None, again_when_unanswered=True)

    def post(self, path: str, body: Mapping[str, JsonValue] | None = None, *, once: bool) -> dict[str, JsonValue]:
        """Send something; raises like `get`.

        Args:
            path: From the workspace's root.
            body: Sent as JSON.
            once: Not to be sent again unless Databricks has certainly not taken it.
        """
        return self._request("POST", path, body, again_when_unanswered=not once)

    def download(self, url: str, headers: Mapping[str, str]) -> pa.Table:
        """Fetch one piece of a result from cloud storage; raises like `get`. The token does not go there."""
        with self._in_use() as client:
            return downloaded(client, url, headers)

    def close(self) -> None:
        """Close connections, those in use when they are free."""
        with self._using:
            self._closed, requests = True, self._requests
        if not requests:
            self._client.close()

    @contextmanager
    def _in_use(self) -> Iterator[httpx2.Client]:
        with self._using:
            if self._closed:
                raise WarehouseConnectionError("The session is closed.")
            self._requests += 1
        try:
            yield self._client
        finally:
            self._done_using()

    def _done_using(self) -> None:
        with self._using:
            self._requests -= 1
            last = self._closed and not self._requests
        if last:
            self._client.close()

    def _request(
        self, method: str, path: str, body: Mapping[str, JsonValue] | None, *, again_when_unanswered: bool
    ) -> dict[str, JsonValue]:
        import httpx2

        harmless = (httpx2.ConnectError, httpx2.ConnectTimeout)  # nothing was sent
        for tries in range(1, _TRIES + 1):
            wait_seconds = _PAUSE_SECONDS * 2 ** (tries - 1)
            try:
                with self._in_use() as client:
                    answer = client.request(method, path, json=body, headers=self._authorization())
            except httpx2.TransportError as error:
                if tries == _TRIES or not (again_when_unanswered or isinstance(error, harmless)):
                    raise
            else:
                if answer.status_code == _UNAUTHENTICATED and self._login.token is None and tries == 1:
                    self._token_ends = 0.0
                elif tries == _TRIES or not _may_repeat(answer.status_code, again_when_unanswered):
                    return _content(answer)
                wait_seconds = _wanted_pause(answer, wait_seconds)
            time.sleep(min(wait_seconds, _LONGEST_PAUSE_SECONDS))
        raise AssertionError  # the last try returns or raises

    def _authorization(self) -> dict[str, str]:
        with self._renewing:
            if time.monotonic() > self._token_ends - _RENEWAL_SECONDS:
                self._renew()
            return {"Authorization": f"Bearer {self._token}"}

    def _renew(self) -> None:
        answer = self._client.post(
            "/oidc/v1/token",
            data={"grant_type": "client_credentials", "scope": "all-apis"},
            auth=(self._login.client_id or "", self._login.client_secret or ""),
        )
        given = _content(answer)
        seconds = given.get("expires_in")
        self._token = str(given["access_token"])
        self._token_ends = time.monotonic() + (float(seconds) if isinstance(seconds, int | float) else _TOKEN_SECONDS)


def downloaded(client: httpx2.Client, url: str, headers: Mapping[str, str]) -> pa.Table:
    """Fetch one piece of a result and read it as an Arrow stream.

    Raises:
        WarehouseConnectionError: It was refused, such as by a link that has expired, or is cut short.

    Cost: memory of the piece; its buffers are used where they are.
    """
    import pyarrow as pa

    answer = client.get(url, headers=dict(headers))
    if answer.status_code != _GOOD:
        raise WarehouseConnectionError(
            f"A piece of the result could not be fetched: cloud storage answered {answer.status_code}.", transient=True
        )
    try:
        with pa.ipc.open_stream(pa.py_buffer(answer.content)) as stream:
            table: pa.Table = stream.read_all()
            return table
    except (pa.ArrowInvalid, OSError) as error:
        raise WarehouseConnectionError(
            "A piece of the result arrived incomplete: it is no whole Arrow stream.", transient=True
        ) from error


def _may_repeat(status: int, again_when_unanswered: bool) -> bool:
    return status == _BUSY or (again_when_unanswered and status in _AWAY)


def _wanted_pause(answer: httpx2.Response, usual: float) -> float:
    asked = answer.headers.get("Retry-After", "")
    return max(float(asked), usual) if asked.isdecimal() else usual


def _content(answer: httpx2.Response) -> dict[str, JsonValue]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise DatabricksFailure(
            f"it answered {answer.status_code}, and not as Databricks' REST interface does", status=answer.status_code
        )
    known: dict[str, JsonValue] = content
    if answer.status_code != _GOOD:
        said = known.get("message") or known.get("error_description") or f"it answered {answer.status_code}"
        code = known.get("error_code") or known.get("error") or ""
        raise DatabricksFailure(str(said), code=str(code), status=answer.status_code)
    return known
