"""The process that reads pages of results which stay in the warehouse, one for each replica.

It is made ahead where results are not stored, and else at the first such page. A replica neither speaks to a warehouse
nor encodes rows. An actor and not tasks: logins, links and pieces that it holds make the next page cheap. It belongs to
its replica and ends with it; when it dies, Ray starts it anew and repeats the call.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import ray

from actors.ray_tasks import step_back, task_result
from queryfleet.errors import WarehouseConnectionError

if TYPE_CHECKING:
    from actors.kept_pages import PageOfRows
    from queryfleet.errors import ServiceError
    from queryfleet.settings import Settings

__all__ = ["PAGES_AT_ONCE", "PageActor", "RayPages"]

PAGES_AT_ONCE = 4  # in one actor: each may hold a piece of a result, some ten megabytes
_RETRIES = 2  # of one page, when the actor dies


class PageActor:
    """Reads pages, a few at once.

    Args:
        settings: Of the service.
    """

    def __init__(self, settings: Settings) -> None:
        from actors.kept_pages import KeptPages
        from actors.warehouses import resolved_config, warehouse_of
        from queryfleet.telemetry import configure_logging

        configure_logging(settings.log_level)
        step_back(settings.actor_niceness)
        _import_all()
        self._pages = KeptPages(config_of=resolved_config, warehouse_of=warehouse_of)

    def lines(self, page: PageOfRows) -> bytes:
        """Return the rows of a page; see `KeptPages.lines`."""
        return self._pages.lines(page)


class RayPages:
    """Reads pages in an actor of its own; see `PageReader`.

    Args:
        settings: Of the service.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._starting = asyncio.Lock()
        self._actor: Any = None

    async def prepare(self) -> None:
        """Start the actor, without waiting for it; see `PageReader`."""
        await self._started()

    async def lines(self, page: PageOfRows) -> bytes:
        """See `PageReader`; a process or node that dies costs time, not the page."""
        actor = await self._started()
        lines: bytes = await task_result(
            actor.lines.remote(page),
            failed=lambda cause: WarehouseConnectionError(f"The page could not be read: {type(cause).__name__}."),
            lost=self._lost,
        )
        return lines

    async def _started(self) -> Any:
        async with self._starting:
            if self._actor is None:
                self._actor = await asyncio.to_thread(self._start)
            return self._actor

    def _lost(self, reason: str) -> ServiceError:
        self._actor = None  # whatever became of it, the next page has another one
        return WarehouseConnectionError(f"The cluster could not read the page: {reason}; try again.", transient=True)

    def _start(self) -> Any:
        remote = ray.remote(PageActor).options(
            num_cpus=0, max_concurrency=PAGES_AT_ONCE, max_restarts=-1, max_task_retries=_RETRIES
        )
        return remote.remote(self._settings)


def _import_all() -> None:
    """Import what the first page would otherwise wait for."""
    import pyarrow as pa

    from queryfleet.results.encoder import Encoder

    schema = pa.schema([("n", pa.int64())])
    Encoder(schema).encode(pa.record_batch([pa.array([1], pa.int64())], schema=schema))
    with contextlib.suppress(ImportError):  # no project may need it
        import snowflake.connector  # noqa: F401
