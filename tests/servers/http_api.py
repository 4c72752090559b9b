"""The service's HTTP interface through the standard library alone, as any stranger would use it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TIMEOUT_SECONDS = 90.0
_ENDED = ("ready", "error", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """One answer. `results` and `error` are those of the envelope, empty when absent."""

    status: int
    body: dict[str, Any]
    seconds: float

    @property
    def results(self) -> dict[str, Any]:
        """What an accepted request got."""
        assert self.status == 200, self.body
        return self.body["results"]

    @property
    def error(self) -> dict[str, Any]:
        """What a refused request got."""
        return self.body.get("error", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectApi:
    """One project of a service for one user. Holds no connection; may be used by many threads."""

    url: str
    token: str = field(repr=False)
    project_uuid: str

    def post(self, path: str, body: object = None, **headers: str) -> HttpAnswer:
        """Send `body` as JSON to a route of the project's queries; keyword `Idempotency_Key` is a header."""
        data = b"" if body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._send("POST", path, data, named)

    def get(self, path: str, **query: int | None) -> HttpAnswer:
        """Ask a route of the project's queries."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._send("GET", path + (f"?{urlencode(given)}" if given else ""), None, {})

    def submit(self, sql: str, **body: object) -> str:
        """Start a query of its own, whatever was asked before, and return its uuid."""
        return self.post("/sql", {"sql": sql, "invalidateCache": True, **body}).results["queryUuid"]

    def poll(
        self, query_uuid: str, *, page: int | None = None, page_size: int | None = None, wait_ms: int | None = None
    ) -> dict[str, Any]:
        """Poll a query once."""
        return self.get(f"/{query_uuid}", page=page, pageSize=page_size, waitMs=wait_ms).results

    def cancel(self, query_uuid: str) -> HttpAnswer:
        """Cancel a query."""
        return self.post(f"/{query_uuid}/cancel")

    def wait(self, query_uuid: str, *, seconds: float = 90.0, **page: int) -> dict[str, Any]:
        """Return the poll of an ended query."""
        return self.wait_for(query_uuid, lambda poll: poll["status"] in _ENDED, seconds=seconds, **page)

    def wait_for(
        self, query_uuid: str, condition: Callable[[dict[str, Any]], bool], *, seconds: float = 90.0, **page: int
    ) -> dict[str, Any]:
        """Poll until `condition` holds for the answer, and return that answer."""
        deadline = time.monotonic() + seconds
        while True:
            poll = self.poll(query_uuid, wait_ms=100, **page)
            if condition(poll):
                return poll
            assert poll["status"] not in _ENDED, f"ended before the condition held: {poll}"
            assert time.monotonic() < deadline, f"not in {seconds} s: {poll}"

    def pages(self, query_uuid: str, *, page_size: int) -> Iterator[list[dict[str, Any]]]:
        """Yield the raw rows of every page, following `nextPage`."""
        page: int | None = 1
        while page is not None:
            answer = self.poll(query_uuid, page=page, page_size=page_size)
            yield raw_rows(answer)
            page = answer.get("nextPage")

    def _send(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> HttpAnswer:
        began = time.monotonic()
        request = urllib.request.Request(
            f"{self.url}/api/v2/projects/{self.project_uuid}/query{path}",
            data=data,
            method=method,
            headers={"Authorization": f"ApiKey {self.token}", "Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, error.read()
        return HttpAnswer(status=status, body=json.loads(body), seconds=time.monotonic() - began)


def raw_rows(poll: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an answer with nothing but raw values."""
    assert "rows" in poll, poll
    return [{name: cell["value"]["raw"] for name, cell in row.items()} for row in poll["rows"]]
