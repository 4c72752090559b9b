"""What the routes of one replica work with, opened and closed together."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.kept_pages import KeptPages, LocalPages
from actors.services import database_url, open_result_store, open_status_store, warm_up_store
from actors.warehouses import resolved_config, warehouse_of
from queryfleet.content.postgres import PostgresContentStore
from queryfleet.errors import NotFoundError
from queryfleet.export.parts import LocalParts
from queryfleet.status.changes import QUERY_CHANNEL, ChangeListener
from queryfleet.status.export_jobs import ExportJobs
from serve_app.accounts import Accounts
from serve_app.exports import Exports
from serve_app.lines import ResultLines
from serve_app.models import Models
from serve_app.pages import Pages
from serve_app.queries import Queries
from serve_app.streams import ResultStreams

if TYPE_CHECKING:
    from actors.kept_pages import PageReader
    from queryfleet.content.store import ContentStore
    from queryfleet.export.parts import PartMaker
    from queryfleet.results.store import ObjectStore
    from queryfleet.settings import Settings
    from queryfleet.status.export_jobs import ExportJobStore
    from queryfleet.status.store import StatusStore
    from queryfleet.status.watchers import Watchers
    from queryfleet.telemetry import Meter

__all__ = ["Services", "Stores", "close_services", "open_services", "services_on"]

_CONNECTIONS_MAX = 8
_JOB_CONNECTIONS_MAX = 2
_CONTENT_CONNECTIONS_MAX = 2
_REMEMBER_SECONDS = 5.0


class Projects:
    """Project definitions, remembered for a few seconds."""

    def __init__(self, statuses: StatusStore) -> None:
        self._statuses = statuses
        self._known: dict[str, tuple[float, dict[str, Any]]] = {}

    async def definition(self, project_uuid: str) -> dict[str, Any]:
        """Return one project's definition; raises `NotFoundError`."""
        remembered = self._known.get(project_uuid)
        if remembered is not None and time.monotonic() < remembered[0]:
            return remembered[1]
        definition = await self._statuses.load_project(project_uuid)
        if definition is None:
            raise NotFoundError("There is no such project.", projectUuid=project_uuid)
        self._known[project_uuid] = (time.monotonic() + _REMEMBER_SECONDS, definition)
        return definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a route needs."""

    settings: Settings
    statuses: StatusStore
    listener: Watchers
    store: ObjectStore
    accounts: Accounts
    projects: Projects
    models: Models
    queries: Queries
    lines: ResultLines
    pages: Pages
    streams: ResultStreams
    exports: Exports
    jobs: ExportJobStore
    content: ContentStore


async def open_services(
    settings: Settings, meter: Meter, parts: PartMaker | None = None, kept_pages: PageReader | None = None
) -> Services:
    """Open everything on the running loop. The database may still be away: the first requests then answer 503.

    Args:
        settings: Of the service.
        meter: Takes measurements.
        parts: Makes the parts of streams; None: threads of this process do.
        kept_pages: Reads pages of results that stay in the warehouse; None: likewise.
    """
    statuses = await open_status_store(settings, connections_max=_CONNECTIONS_MAX)
    listener = ChangeListener(database_url(settings), QUERY_CHANNEL)
    listener.start()
    jobs = ExportJobs(database_url(settings), connections_max=_JOB_CONNECTIONS_MAX)
    await jobs.open()
    content = PostgresContentStore(database_url(settings), connections_max=_CONTENT_CONNECTIONS_MAX)
    await content.open()
    store = open_result_store(settings)
    await asyncio.gather(warm_up_store(store), asyncio.to_thread(_warm_up), _warm_up_reads(statuses))
    stores = Stores(statuses=statuses, listener=listener, jobs=jobs, content=content, results=store)
    kept_pages = kept_pages or _local_pages()
    if not settings.stores_rows:
        await kept_pages.prepare()
    return services_on(stores, settings, meter, parts, kept_pages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Where everything is kept, and who tells of changes."""

    statuses: StatusStore
    listener: Watchers
    jobs: ExportJobStore
    content: ContentStore
    results: ObjectStore


def services_on(
    stores: Stores,
    settings: Settings,
    meter: Meter,
    parts: PartMaker | None = None,
    kept_pages: PageReader | None = None,
) -> Services:
    """Put the services of a replica together; opens nothing."""
    statuses, listener, store = stores.statuses, stores.listener, stores.results
    queries = Queries(statuses, listener, waiters_max=settings.waiters_max)
    projects = Projects(statuses)
    kept_pages = kept_pages or _local_pages()
    lines = ResultLines(queries, store, kept_pages, definition_of=projects.definition, settings=settings)
    return Services(
        settings=settings,
        statuses=statuses,
        listener=listener,
        store=store,
        accounts=Accounts(statuses),
        projects=projects,
        models=Models(statuses),
        queries=queries,
        lines=lines,
        pages=Pages(queries, lines, meter),
        streams=ResultStreams(queries, store, parts or LocalParts(store)),
        exports=Exports(stores.jobs, statuses, store, listener=listener),
        jobs=stores.jobs,
        content=stores.content,
    )


def _local_pages() -> PageReader:
    return LocalPages(KeptPages(config_of=resolved_config, warehouse_of=warehouse_of))


def _warm_up() -> None:
    """Import and exercise what the first question and the first page would otherwise wait for."""
    import pyarrow as pa

    from queryfleet.results.page import render_rows, schema_from_bytes, schema_to_bytes
    from queryfleet.schemas.requests import SqlRequest
    from queryfleet.warehouse.statement import check_statement

    for dialect in ("duckdb", "postgres"):
        check_statement("select count(*) as n from t order by 1", dialect=dialect, allow_writes=False)
    SqlRequest.model_validate({"sql": "select 1", "limit": 1, "context": "api"})
    schema = pa.schema([("n", pa.int64()), ("t", pa.string()), ("x", pa.float64())])
    render_rows(b'{"n":1,"t":"a","x":0.5}\n', schema_from_bytes(schema_to_bytes(schema)))


async def _warm_up_reads(statuses: StatusStore) -> None:
    """Have the first reads behind us: of a query and a token that do not exist. What fails is only slower later."""
    nobody = str(uuid.uuid4())
    with contextlib.suppress(Exception):
        await statuses.load_token(b"")
        await statuses.load_project(nobody)
        await statuses.load(nobody)
        await statuses.chunks(nobody, 0, first_row=0, end_row=1)


async def close_services(services: Services) -> None:
    """Close everything that `open_services` opened."""
    await services.listener.close()
    await services.jobs.close()
    await services.content.close()
    await services.store.close()
    await services.statuses.close()
