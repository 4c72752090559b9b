"""Projects with their models, as one replica knows them: read once for each version, never an old one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.errors import NotFoundError
from queryfleet.semantic.stored_catalog import catalog_from_bytes

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue
    from queryfleet.semantic.catalog import Catalog
    from queryfleet.status.store import StatusStore

__all__ = ["Models", "ProjectModels"]

_REMEMBERED_PROJECTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectModels:
    """A project as of one version."""

    project_uuid: str
    version: int
    name: str
    definition: dict[str, JsonValue]  # as `Project.to_json` gave it
    catalog: Catalog

    @property
    def warehouse_type(self) -> str:
        """The warehouse's kind, such as `duckdb`."""
        warehouse = self.definition.get("warehouse")
        return str(warehouse.get("type", "")) if isinstance(warehouse, dict) else ""

    @property
    def timezone(self) -> str:
        """The project's own zone, an IANA name."""
        return str(self.definition.get("timezone") or "UTC")

    @property
    def start_of_week(self) -> int | None:
        """0 = Monday … 6 = Sunday; None: as the warehouse counts."""
        day = self.definition.get("start_of_week")
        return day if isinstance(day, int) else None


class Models:
    """Reads projects for one replica. A new version is seen by the next question, whoever stored it."""

    def __init__(self, statuses: StatusStore) -> None:
        self._statuses = statuses
        self._known: OrderedDict[str, ProjectModels] = OrderedDict()
        self._reading: dict[str, asyncio.Lock] = {}

    async def of(self, project_uuid: str) -> ProjectModels:
        """Return a project as it is now.

        Raises:
            NotFoundError: There is no such project.
            ConfigurationError: Its stored models cannot be read.
            StatusStoreError: The database is away.

        Cost: one primary-key read; a new version is read and rebuilt in a thread, once for all who wait for it.
        """
        version = await self._statuses.project_version(project_uuid)
        if version is None:
            raise NotFoundError("There is no such project.", projectUuid=project_uuid)
        known = self._known.get(project_uuid)
        if known is None or known.version < version:
            async with self._reading.setdefault(project_uuid, asyncio.Lock()):
                known = self._known.get(project_uuid)
                if known is None or known.version < version:
                    known = await self._read(project_uuid)
        self._known.move_to_end(project_uuid)
        return known

    async def _read(self, project_uuid: str) -> ProjectModels:
        stored = await self._statuses.load_stored_project(project_uuid)
        if stored is None:
            raise NotFoundError("There is no such project.", projectUuid=project_uuid)
        catalog = await asyncio.to_thread(catalog_from_bytes, stored["models"])
        models = ProjectModels(
            project_uuid=project_uuid,
            version=stored["version"],
            name=stored["name"],
            definition=stored["definition"],
            catalog=catalog,
        )
        self._known[project_uuid] = models
        while len(self._known) > _REMEMBERED_PROJECTS:
            dropped, _ = self._known.popitem(last=False)
            self._reading.pop(dropped, None)
        return models
