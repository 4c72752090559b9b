"""Requests as values: what both clients send, built without sending anything."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from queryfleet.errors import ConfigurationError, JsonValue, ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Call",
    "cancel_call",
    "checked_url",
    "chunk_call",
    "download_call",
    "health_call",
    "is_loopback",
    "manifest_call",
    "poll_call",
    "queries_path",
    "wait_params",
]

_LONGEST_WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. Every call here is safe to repeat: the service answers a repetition like the first."""

    method: str
    path: str  # with a leading slash, already quoted
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    body: Mapping[str, JsonValue] | None = None  # sent as JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_seconds: float = 0.0  # how long the service may hold it

    def without_wait(self) -> Call:
        """Return the same request, not to be held."""
        params = {name: value for name, value in self.params.items() if name != "waitMs"}
        return replace(self, params=params, wait_seconds=0.0)


def poll_call(
    project_uuid: str, query_uuid: str, *, page: int | None, page_size: int | None, wait_seconds: float
) -> Call:
    """Return the call that asks how a query is, and for a page of it.

    Raises:
        ParameterError: `wait_seconds` is not between 0 and 60.
    """
    params = wait_params(wait_seconds)
    if page is not None:
        params["page"] = str(page)
    if page_size is not None:
        params["pageSize"] = str(page_size)
    path = f"{queries_path(project_uuid)}/{quote(query_uuid, safe='')}"
    return Call(method="GET", path=path, params=params, wait_seconds=wait_seconds)


def cancel_call(project_uuid: str, query_uuid: str) -> Call:
    """Return the call that cancels a query; harmless when it has ended."""
    return Call(method="POST", path=f"{queries_path(project_uuid)}/{quote(query_uuid, safe='')}/cancel")


def manifest_call(project_uuid: str, query_uuid: str, *, first_chunk: int, wait_seconds: float) -> Call:
    """Return the call that lists stored chunks from one on, waiting for it while the query runs.

    Raises:
        ParameterError: `wait_seconds` is not between 0 and 60.
    """
    params = wait_params(wait_seconds) | {"firstChunk": str(first_chunk)}
    path = f"{queries_path(project_uuid)}/{quote(query_uuid, safe='')}/manifest"
    return Call(method="GET", path=path, params=params, wait_seconds=wait_seconds)


def chunk_call(project_uuid: str, query_uuid: str, index: int, *, attempt: int, typed: bool = False) -> Call:
    """Return the call that reads one stored chunk: its lines, or as an Arrow stream when `typed`."""
    accept = "application/vnd.apache.arrow.stream" if typed else "application/x-ndjson"
    return Call(
        method="GET",
        path=f"{queries_path(project_uuid)}/{quote(query_uuid, safe='')}/chunks/{index}",
        params={"attempt": str(attempt)},
        headers={"Accept": accept},
    )


def download_call(project_uuid: str, query_uuid: str, body: Mapping[str, JsonValue], *, wait_seconds: float) -> Call:
    """Return the call that has a file made and waits for it as long as the service does, `wait_seconds` or less."""
    path = f"{queries_path(project_uuid)}/{quote(query_uuid, safe='')}/download"
    return Call(method="POST", path=path, body=body, wait_seconds=wait_seconds)


def health_call() -> Call:
    """Return the call that asks for the service's version and limits."""
    return Call(method="GET", path="/api/v1/health")


def checked_url(url: str) -> str:
    """Return the service's address without a slash at the end.

    Raises:
        ConfigurationError: Not an `http` or `https` address, or one that carries a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"The service's URL cannot be read: {error}.") from error
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("The service's URL must not hold a user or password; give the token separately.")
    is_address = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
    if not is_address or any(character.isspace() for character in url):
        text = f"{url!r} is not the address of a service. It looks like `http://127.0.0.1:8000`."
        raise ConfigurationError(text)
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether `url` is on this machine; such a service is never asked through a proxy."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def queries_path(project_uuid: str) -> str:
    """Return the path of the routes of a project's queries."""
    return f"/api/v2/projects/{quote(project_uuid, safe='')}/query"


def wait_params(wait_seconds: float) -> dict[str, str | Sequence[str]]:
    """Return the parameters that have an answer held.

    Raises:
        ParameterError: `wait_seconds` is not between 0 and 60.
    """
    if not 0 <= wait_seconds <= _LONGEST_WAIT_SECONDS:
        text = f"wait_seconds is {wait_seconds}; it must be between 0 and {_LONGEST_WAIT_SECONDS:.0f}."
        raise ParameterError(text)
    return {"waitMs": str(round(wait_seconds * 1000))} if wait_seconds else {}
