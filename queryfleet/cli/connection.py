"""Where the service is, from what a person said and what `queryfleet up` left behind.

Flag before environment variable before `service.json` in the data folder, each value on its own. The token in
that file belongs to the service in that file: it is not sent to any other address.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from queryfleet.errors import ConfigurationError, JsonValue

if TYPE_CHECKING:
    from pathlib import Path

    from queryfleet.client import Client, RetryPolicy

__all__ = ["Connection", "ServiceFile", "find_connection", "read_service_file"]

_SERVICE_FILE = "service.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One project of one service."""

    url: str
    token: str = field(repr=False)
    project_uuid: str

    def client(self, *, retry: RetryPolicy | None = None, timeout_seconds: float = 30.0) -> Client:
        """Return a new client; the caller closes it."""
        from queryfleet.client import Client

        return Client(self.url, token=self.token, retry=retry, timeout_seconds=timeout_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFile:
    """What `queryfleet up` wrote about the service it started; empty values when it wrote none."""

    path: Path
    url: str = ""
    token: str = field(default="", repr=False)
    project_uuids: tuple[str, ...] = ()


def read_service_file(data_dir: Path) -> ServiceFile:
    """Read `service.json`; a folder without one gives empty values.

    Raises:
        ConfigurationError: The file is there but cannot be read.
    """
    path = data_dir / _SERVICE_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ServiceFile(path=path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        data: JsonValue = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path} is not what `queryfleet up` writes. Delete it and start the service again.")
    projects = data.get("project_uuids")
    return ServiceFile(
        path=path,
        url=_text(data, "url"),
        token=_text(data, "token"),
        project_uuids=tuple(str(uuid) for uuid in projects) if isinstance(projects, list) else (),
    )


def find_connection(*, url: str | None, token: str | None, project: str | None, file: ServiceFile) -> Connection:
    """Return where to send a query.

    Args:
        url: From the flag or the environment; None or empty when neither is set. So are the next two.
        token: The same.
        project: The same.
        file: Fills what is missing.

    Raises:
        ConfigurationError: Something is missing everywhere, or the file has several projects and none was
            chosen.
    """
    address = url or file.url
    if not address:
        text = "No service is known. Start one with `queryfleet up`, or name one with --url or QUERYFLEET_URL."
        raise ConfigurationError(text)
    file_applies = address.rstrip("/") == file.url.rstrip("/")
    secret = token or (file.token if file_applies else "")
    if not secret:
        raise ConfigurationError(f"No token for {address}. Set QUERYFLEET_TOKEN (or --token).")
    return Connection(
        url=address,
        token=secret,
        project_uuid=project or _only_project(file if file_applies else None, address),
    )


def _only_project(file: ServiceFile | None, address: str) -> str:
    projects = file.project_uuids if file is not None else ()
    if len(projects) == 1:
        return projects[0]
    if not projects:
        text = f"No project of {address} is chosen. Set QUERYFLEET_PROJECT (or --project) to its UUID."
        raise ConfigurationError(text)
    listed = "\n".join(f"  {uuid}" for uuid in projects)
    text = f"{address} has {len(projects)} projects. Choose one with --project or QUERYFLEET_PROJECT:\n{listed}"
    raise ConfigurationError(text)


def _text(data: dict[str, JsonValue], member: str) -> str:
    value = data.get(member)
    return value if isinstance(value, str) else ""
