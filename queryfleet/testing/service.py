"""A whole service inside a test: the real application and the real way of running queries, on memory.

    with queryfleet.testing.service(answers={"select 1 as n": pa.table({"n": [1]})}) as service:
        with service.client() as client:
            ...

No Ray, no database, no socket. What the warehouse answers is up to the test.
"""

from __future__ import annotations

import importlib
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from queryfleet.client import AsyncClient, Client, RetryPolicy
from queryfleet.client.carried import AsyncCarryingTransport, CarryingTransport
from queryfleet.errors import ConfigurationError
from queryfleet.testing.answers import Answers
from queryfleet.testing.scripted_warehouse import ScriptedWarehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from queryfleet.client.carried import CarriedAnswer, CarriedRequest
    from queryfleet.testing.answers import Answer

__all__ = ["RunningService", "TestService", "service"]

PROJECT_UUID = "7e57ab1e-0000-4000-8000-000000000001"

_URL = "http://queryfleet.test"
_RETRY = RetryPolicy(total_seconds=2)
_PROJECT_FILE = f"""
name: Test
project_uuid: {PROJECT_UUID}
warehouse: {{type: duckdb, path: /nowhere/test.duckdb}}
"""


class RunningService(Protocol):
    """What a test can do to the service behind its clients."""

    @property
    def project_uuid(self) -> str:
        """Of the only project."""

    def carry(self, request: CarriedRequest) -> CarriedAnswer:
        """Answer a request."""

    async def carry_async(self, request: CarriedRequest) -> CarriedAnswer:
        """Answer a request, from any event loop."""

    def add_token(self, token: str, *, role: str, attributes: Mapping[str, Sequence[str]], email: str | None) -> None:
        """Let a new user in."""

    def listening(self) -> AbstractContextManager[str]:
        """Answer at a port of this machine too."""


class TestService:
    """One service of a test; all methods may be called from any thread.

    Attributes:
        token: Of a user with the role admin.
        project: Uuid of its only project.
        warehouse: Plays the answers; its `sessions` tell what was asked and how it went.
    """

    __test__ = False  # not a test class, whatever its name begins with

    def __init__(self, running: RunningService, warehouse: ScriptedWarehouse, answers: Answers) -> None:
        self._running = running
        self._answers = answers
        self.warehouse = warehouse
        self.project = running.project_uuid
        self.token = self.add_user(role="admin")

    def client(self, *, token: str | None = None, retry: RetryPolicy | None = None) -> Client:
        """Return a blocking client; close it, or use it in a `with` block.

        Args:
            token: Whose; None: the admin's.
            retry: How long it repeats what was refused for now; None: two seconds, since nothing here recovers later.
        """
        transport = CarryingTransport(self._running.carry)
        return Client(_URL, token=token or self.token, project=self.project, retry=retry or _RETRY, transport=transport)

    def async_client(self, *, token: str | None = None, retry: RetryPolicy | None = None) -> AsyncClient:
        """Return an asyncio client, for whatever loop uses it; see `client`."""
        transport = AsyncCarryingTransport(self._running.carry_async)
        return AsyncClient(
            _URL, token=token or self.token, project=self.project, retry=retry or _RETRY, transport=transport
        )

    def answer(self, sql: str, answer: Answer) -> None:
        """Add or replace the warehouse's answer to a statement. Rows of earlier queries stay in the cache."""
        self._answers.put(sql, answer)

    def add_user(
        self,
        *,
        role: str = "viewer",
        attributes: Mapping[str, Sequence[str]] | None = None,
        email: str | None = None,
    ) -> str:
        """Make a user of the project and return the token.

        Args:
            role: `viewer`, `editor` or `admin`; a viewer may not run SQL.
            attributes: Values by name, which row filters of models refer to.
            email: Of the user.
        """
        if role not in ("viewer", "editor", "admin"):
            raise ConfigurationError(f"role is {role!r}; it must be viewer, editor or admin.")
        token = secrets.token_urlsafe(24)
        self._running.add_token(token, role=role, attributes=attributes or {}, email=email)
        return token

    @property
    def statements(self) -> list[str]:
        """What the warehouse was asked, in order: SQL as sent, or as compiled from a question to the models."""
        asked = [session.statement for session in list(self.warehouse.sessions)]
        return [statement.sql for statement in asked if statement is not None]

    def listening(self) -> AbstractContextManager[str]:
        """Answer at a free port of this machine too, in a `with` block that gets the address: for other programs."""
        return self._running.listening()


@contextmanager
def service(
    answers: Mapping[str, Answer] | Callable[[str], Answer | None] | None = None,
    *,
    project: Path | Mapping[str, str] | None = None,
    settings: Mapping[str, object] | None = None,
) -> Iterator[TestService]:
    """Run a service of its own in this process, for the time of the block.

    Args:
        answers: What the warehouse answers: tables, errors or scripts by SQL text, or a function from SQL text.
        project: Folder of a project, or its files as text by path, such as `{"models/orders.yml": …}`; the warehouse
            of a `project.yml` gives the dialect and is never asked. None: a project without models.
        settings: Of the service, by name in lower case, such as `{"page_size_max": 100}`. The environment is not read.

    Raises:
        ConfigurationError: The service is not installed (`pip install 'queryfleet[server]'`), the project is wrong, or
            a setting is.
    """
    try:
        implementation = importlib.import_module("cluster.in_process.service")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"queryfleet.testing.service runs the real service, of which {error.name!r} is not installed here: "
            "pip install 'queryfleet[server]'"
        ) from error
    files = _files_of(project)
    found = Answers(answers or {}, dialect=_dialect_of(files))
    warehouse = ScriptedWarehouse(found)
    running = implementation.InProcessService(warehouse, files, implementation.in_process_settings(settings or {}))
    running.start()
    try:
        yield TestService(running, warehouse, found)
    finally:
        running.stop()


def _files_of(project: Path | Mapping[str, str] | None) -> dict[str, str]:
    if isinstance(project, Path):
        from queryfleet.content.files import collect_content
        from queryfleet.semantic.project_files import collect_files

        return collect_files(project) | collect_content(project)
    return {"project.yml": _PROJECT_FILE, **(project or {})}


def _dialect_of(files: Mapping[str, str]) -> str:
    from queryfleet.yaml_document import parse_yaml

    document = parse_yaml(files.get("project.yml", "").encode(), source="project.yml").value
    warehouse = document.get("warehouse") if isinstance(document, dict) else None
    return str(warehouse.get("type", "duckdb")) if isinstance(warehouse, dict) else "duckdb"
