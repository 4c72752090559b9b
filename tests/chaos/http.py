"""One HTTP request at a time, each on a connection of its own, and a journal of what came back."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_SECONDS = 60.0
_SHOWN_BYTES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one request came to. Times are seconds of `time.monotonic`."""

    method: str
    path: str
    began_at: float
    ended_at: float
    status: int | None  # None: no whole answer came
    headers: dict[str, str]
    body: bytes
    failure: str  # why no answer came

    @property
    def is_good(self) -> bool:
        """Whether the request was carried out."""
        return self.status == 200

    @property
    def results(self) -> dict[str, Any]:
        """The envelope's content; only of a good answer."""
        return json.loads(self.body)["results"]

    @property
    def retry_seconds(self) -> float:
        """How long to wait before the same request again."""
        return min(1.0, float(self.headers.get("retry-after", "0.2")))

    def described(self) -> str:
        """Say in a line what came back."""
        came = (
            self.failure
            if self.status is None
            else f"{self.status} {self.body[:_SHOWN_BYTES].decode(errors='replace')!r}"
        )
        return f"{self.method} {self.path.split('?')[0]}: {came} after {self.ended_at - self.began_at:.2f} s"


@dataclass(slots=True)
class Journal:
    """Every answer of a run, and whatever was wrong at once. Safe to share between threads."""

    answers: list[Answer] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    began_at: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, answer: Answer) -> None:
        """Remember an answer, and of its body no more than is shown."""
        with self._lock:
            self.answers.append(replace(answer, body=answer.body[:_SHOWN_BYTES]))

    def write_bad(self, path: Path) -> None:
        """Write a line about every answer that was not good."""
        bad = (answer for answer in self.answers if not answer.is_good)
        path.write_text("".join(f"{a.ended_at - self.began_at:8.2f} {a.described()}\n" for a in bad))

    def accuse(self, text: str) -> None:
        """Remember a broken promise."""
        with self._lock:
            self.violations.append(f"{time.monotonic() - self.began_at:.1f} s: {text}")


class Http:
    """Sends requests to one service for one user.

    Args:
        url: Of the service.
        token: Of the user.
        journal: Gets every answer.
    """

    def __init__(self, url: str, token: str, journal: Journal) -> None:
        self._host = urlsplit(url).netloc
        self._token = token
        self._journal = journal

    def ask(
        self, method: str, path: str, body: object = None, *, key: str | None = None, seconds: float = TIMEOUT_SECONDS
    ) -> Answer:
        """Send one request and return what came back; never raises for the network's sake."""
        headers = {"Authorization": f"ApiKey {self._token}", "Connection": "close"}
        if key is not None:
            headers["Idempotency-Key"] = key
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        began_at = time.monotonic()
        status, got, content, failure = None, {}, b"", ""
        connection = http.client.HTTPConnection(self._host, timeout=seconds)
        try:
            connection.request(method, path, body=data, headers=headers)
            response = connection.getresponse()
            content = response.read()
            status, got = response.status, {name.lower(): value for name, value in response.getheaders()}
        except (OSError, http.client.HTTPException) as error:
            failure = f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        answer = Answer(
            method=method, path=path, began_at=began_at, ended_at=time.monotonic(), status=status,
            headers=got, body=content, failure=failure,
        )  # fmt: skip
        self._journal.keep(answer)
        return answer
