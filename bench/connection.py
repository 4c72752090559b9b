"""The service over one kept-alive HTTP connection, through the standard library, so that the client costs little."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["ENDED", "Answer", "Connection", "Place"]

ENDED = ("ready", "error", "cancelled")
_TIMEOUT_SECONDS = 120.0
_WAIT_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One project of a running service."""

    url: str
    token: str
    project_uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, unparsed until asked: parsing is not part of what is measured."""

    body: bytes
    seconds: float  # from before the request was sent until the last byte was here

    @property
    def results(self) -> dict[str, Any]:
        """Member `results` of the envelope."""
        results: dict[str, Any] = json.loads(self.body)["results"]
        return results


class Connection:
    """One connection to one project. For one thread; a context manager."""

    def __init__(self, place: Place) -> None:
        target = urlsplit(place.url)
        self._http = http.client.HTTPConnection(target.hostname or "", target.port, timeout=_TIMEOUT_SECONDS)
        self._base = f"/api/v2/projects/{place.project_uuid}/query"
        self._headers = {"Authorization": f"ApiKey {place.token}", "Content-Type": "application/json"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def execute(
        self,
        sql: str,
        *,
        wait_ms: int = 0,
        fresh: bool = True,
        limit: int | None = None,
        more: Mapping[str, object] | None = None,
    ) -> Answer:
        """Start a query; with `wait_ms` the answer has its first page. `fresh` never takes shared rows.

        `more` has further members of the request.
        """
        body = {"sql": sql, "invalidateCache": fresh} | ({"limit": limit} if limit else {}) | dict(more or {})
        return self._send("POST", f"/sql?waitMs={wait_ms}", json.dumps(body).encode())

    def poll(self, query_uuid: str, **query: int) -> Answer:
        """Poll once; keywords are the route's parameters."""
        return self._send("GET", f"/{query_uuid}" + (f"?{urlencode(query)}" if query else ""))

    def cancel(self, query_uuid: str) -> None:
        """Cancel a query."""
        self._send("POST", f"/{query_uuid}/cancel")

    def ready(self, query_uuid: str) -> dict[str, Any]:
        """Wait for the end of a query and return its poll; RuntimeError when it is not `ready`."""
        while True:
            results = self.poll(query_uuid, waitMs=_WAIT_MS, pageSize=1).results
            if results["status"] in ENDED:
                break
        if results["status"] != "ready":
            raise RuntimeError(f"the query ended as {results['status']}: {results.get('error')}")
        return results

    def _send(self, method: str, path: str, body: bytes | None = None) -> Answer:
        began = time.perf_counter()
        self._http.request(method, self._base + path, body=body, headers=self._headers)
        response = self._http.getresponse()
        data = response.read()
        elapsed = time.perf_counter() - began
        if response.status != http.client.OK:
            raise RuntimeError(f"{method} {path}: HTTP {response.status} {data[:500]!r}")
        return Answer(body=data, seconds=elapsed)
