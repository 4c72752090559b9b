"""The HTTP application on stores in memory, with its loop in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2
import structlog
from pydantic import ValidationError

from cluster.in_process.runner import Runner
from queryfleet.content.files import read_content
from queryfleet.content.memory import MemoryContentStore
from queryfleet.errors import ConfigurationError
from queryfleet.results.store_memory import MemoryStore
from queryfleet.semantic.problem import Problems
from queryfleet.semantic.project_files import compile_files
from queryfleet.semantic.stored_catalog import catalog_to_bytes
from queryfleet.settings import Settings
from queryfleet.status.export_jobs_memory import MemoryExportJobs
from queryfleet.status.memory import MemoryStatusStore
from queryfleet.status.watchers import Watchers
from queryfleet.telemetry import configure_logging
from serve_app.accounts import token_hash
from serve_app.app import create_app
from serve_app.carried import answer_of
from serve_app.services import Stores

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

    from queryfleet.client.carried import CarriedAnswer, CarriedRequest
    from queryfleet.status.record import Acceptance, NewQuery
    from queryfleet.status.rows import Row
    from queryfleet.status.transitions import LifeState
    from queryfleet.warehouse.base import Warehouse

__all__ = ["InProcessService", "in_process_settings"]

T = TypeVar("T")

_QUERIES_AT_ONCE = 4


class _GivenSettings(Settings):
    """Settings that no variable of the environment reaches."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


class _Statuses(MemoryStatusStore):
    """The store in memory; it tells of every change, as the database does."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        super().__init__()
        self._changed = changed

    async def accept(self, query: NewQuery) -> Acceptance:
        accepted = await super().accept(query)
        self._changed(query.query_uuid)
        return accepted

    def _write(self, row: Row, after: LifeState) -> None:
        super()._write(row, after)
        self._changed(row["query_uuid"])  # nobody looks before this method's caller is done


class InProcessService:
    """A running service.

    Args:
        warehouse: Where all statements go.
        files: Of the project's folder, text by path.
        settings: Of the service, `in_process_settings`.
    """

    def __init__(self, warehouse: Warehouse, files: Mapping[str, str], settings: Settings) -> None:
        self._settings = settings
        self._project, catalog = compile_files(files)
        problems = Problems()
        self._content = read_content(files, self._project.project_uuid, problems, catalog)
        self._models = catalog_to_bytes(catalog)
        _require_right([each.text for each in (*catalog.problems, *problems.found) if each.is_error])
        self._listener = Watchers()
        self._statuses = _Statuses(self._listener.wake)
        self._stores = Stores(
            statuses=self._statuses,
            listener=self._listener,
            jobs=MemoryExportJobs(self._statuses, on_change=self._listener.wake),
            content=MemoryContentStore([self._project.project_uuid]),
            results=MemoryStore(),
        )
        self._runner = Runner(
            stores=self._stores, warehouse=warehouse, settings=settings, queries_at_once=_QUERIES_AT_ONCE
        )
        self._app = create_app(settings, stores=self._stores)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="queryfleet-service", daemon=True)

    @property
    def project_uuid(self) -> str:
        """Of the only project."""
        return self._project.project_uuid

    def start(self) -> None:
        """Begin to answer."""
        if not structlog.is_configured():
            configure_logging("WARNING")  # else every query is told of on standard output
        self._thread.start()
        self._ended = asyncio.run_coroutine_threadsafe(self._serve(started := threading.Event()), self._loop)
        while not started.wait(0.05):
            if self._ended.done():
                self._end_loop()
                self._ended.result()

    def stop(self) -> None:
        """Stop queries that run, and everything else."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._ended.result()
        self._end_loop()

    def carry(self, request: CarriedRequest) -> CarriedAnswer:
        """Answer a request of a blocking client.

        Raises:
            httpx2.ReadTimeout: The request's time was over.
            httpx2.ConnectError: The service has ended.
        """
        answer = self._submitted(answer_of(self._app, request))
        try:
            return answer.result(request.wait_seconds)
        except TimeoutError as error:
            answer.cancel()
            raise httpx2.ReadTimeout("no answer in time") from error

    async def carry_async(self, request: CarriedRequest) -> CarriedAnswer:
        """Answer a request of an asyncio client, whatever its loop; raises like `carry`."""
        answer = asyncio.wrap_future(self._submitted(answer_of(self._app, request)))
        try:
            async with asyncio.timeout(request.wait_seconds):
                return await answer
        except TimeoutError as error:
            raise httpx2.ReadTimeout("no answer in time") from error

    def add_token(self, token: str, *, role: str, attributes: Mapping[str, Sequence[str]], email: str | None) -> None:
        """Let a new user in."""
        project_uuid = self.project_uuid
        put = self._statuses.put_token(
            token_uuid=str(uuid.uuid4()),
            token_hash=token_hash(token),
            user_uuid=str(uuid.uuid4()),
            name=f"test {role}",
            roles={project_uuid: role},
            attributes={project_uuid: {name: list(values) for name, values in attributes.items()}},
            email=email,
        )
        self._submitted(put).result()

    @contextlib.contextmanager
    def listening(self) -> Iterator[str]:
        """Answer at a free port of this machine too, in the block; yields the address."""
        import socket

        import uvicorn

        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()  # who comes before the server has begun waits for it
            config = uvicorn.Config(self._app, lifespan="off", log_config=None, log_level="critical")
            server = uvicorn.Server(config)
            served = self._submitted(server.serve(sockets=[listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                served.result()

    async def _serve(self, started: threading.Event) -> None:
        self._stopping = asyncio.Event()
        project = self._project
        await self._statuses.put_project(project.project_uuid, project.name, project.to_json(), self._models)
        await self._stores.content.replace_files(project.project_uuid, self._content)
        async with self._app.router.lifespan_context(self._app):
            running = asyncio.create_task(self._runner.run())
            started.set()
            await self._stopping.wait()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    def _submitted(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if self._ended.done():
            work.close()
            raise httpx2.ConnectError("the service of this test has ended")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def in_process_settings(given: Mapping[str, object]) -> Settings:
    """Return settings that depend on nothing but `given`, named as fields of `Settings`.

    Raises:
        ConfigurationError: There is no such setting, or it cannot have that value.
    """
    unknown = sorted(set(given) - set(Settings.model_fields))
    if unknown:
        raise ConfigurationError(f"There is no setting {unknown[0]!r}; docs/settings.md lists them, in lower case.")
    try:
        return _GivenSettings(**{"log_level": "WARNING", **given})  # type: ignore[arg-type]  # the model checks
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(f"settings: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _require_right(problems: Sequence[str]) -> None:
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigurationError(f"The project is wrong: {problems[0]}{more}", problems=list(problems))
