"""`queryfleet doctor`: look at each part, say what is wrong and what to do about it."""

from __future__ import annotations

import asyncio
import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.services import open_result_store, open_status_store
from actors.warehouses import open_warehouse
from cluster.preparation import foreign_packages
from queryfleet.errors import ServiceError
from queryfleet.status.migrations import LATEST, schema_version
from queryfleet.warehouse_config import KEEPING_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from queryfleet.settings import Settings

__all__ = ["Finding", "findings"]

_PROBE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was seen of one part."""

    part: str
    is_well: bool
    text: str  # what was seen; when not well, what is wrong
    advice: str = ""  # when not well: what to do


def findings(settings: Settings, *, ray_address: str | None, warehouses_only: bool = False) -> Iterator[Finding]:
    """Yield one finding after the other; each check goes on when another has failed.

    Args:
        settings: Where database and store are.
        ray_address: Of a running cluster; None when there is none to look at.
        warehouses_only: Leave out everything but the warehouses, and the database that knows them.
    """
    if warehouses_only:
        if settings.database_url is None:
            yield from _database(settings)
        yield from _warehouses(settings)
        return
    yield _names()
    yield from _database(settings)
    if settings.stores_rows:
        advice = "Check QUERYFLEET_STORE_URL and the S3 keys."
        yield _checked("result store", lambda: asyncio.run(_store(settings)), advice)
    else:
        yield Finding(part="result store", is_well=True, text="switched off; pages are read from Snowflake again")
    yield from _warehouses(settings)
    yield _checked("ray", lambda: _ray(ray_address), "Start `queryfleet up`, or set RAY_ADDRESS to a running cluster.")


def _checked(part: str, check: Callable[[], str], advice: str) -> Finding:
    try:
        return Finding(part=part, is_well=True, text=check())
    except ServiceError as error:
        cause = str(error.details.get("cause") or "")
        more = f" ({cause})" if cause and cause.rstrip(".") not in error.message else ""
        return Finding(part=part, is_well=False, text=error.message + more, advice=advice)


def _names() -> Finding:
    clashes = foreign_packages()
    if not clashes:
        return Finding(part="package names", is_well=True, text="nobody else provides our packages")
    others = sorted({name for names in clashes.values() for name in names})
    return Finding(
        part="package names",
        is_well=False,
        text=f"{', '.join(others)} also provides {', '.join(sorted(clashes))}",
        advice=f"pip uninstall {' '.join(others)}, then reinstall queryfleet.",
    )


def _database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is None:
        yield Finding(
            part="database",
            is_well=False,
            text="not known",
            advice="Start `queryfleet up`, or set QUERYFLEET_DATABASE_URL.",
        )
        return
    url = settings.database_url.get_secret_value()
    try:
        version = schema_version(url)
    except ServiceError as error:
        yield Finding(
            part="database",
            is_well=False,
            text=f"{error.message} {error.details.get('cause', '')}".strip(),
            advice="Check that PostgreSQL runs and that QUERYFLEET_DATABASE_URL names it.",
        )
        return
    yield Finding(
        part="database",
        is_well=version == LATEST,
        text=f"answers; schema {version or 'missing'}, this release has {LATEST}",
        advice="" if version == LATEST else "Start `queryfleet up` once: it brings the schema up to date.",
    )


async def _store(settings: Settings) -> str:
    store = open_result_store(settings)
    key = f"probe/doctor-{uuid.uuid4().hex}"
    content = os.urandom(_PROBE_BYTES)
    try:
        await store.put(key, content)
        if await store.get_range(key, 1, _PROBE_BYTES) != content[1:]:
            raise ServiceError("The store gave back other bytes than were written.")
        await store.delete([key])
    finally:
        await store.close()
    return f"writes, reads ranges and deletes at {store.url}"


def _warehouses(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is None:
        return
    try:
        projects = asyncio.run(_projects(settings))
    except ServiceError as error:
        yield Finding(part="projects", is_well=False, text=error.message, advice="See the database above.")
        return
    for name, definition in projects:
        if not settings.stores_rows and not _keeps_results(definition):
            yield Finding(
                part=f"warehouse of {name}",
                is_well=False,
                text="keeps no results, and neither does the service: all queries are refused",
                advice="Set QUERYFLEET_STORE_URL to s3://bucket/prefix or file:///folder.",
            )
            continue
        yield _checked(
            f"warehouse of {name}",
            lambda definition=definition: open_warehouse(definition).ping(),  # type: ignore[misc]
            "Check the warehouse part of project.yml, and that its ${…} variables are set.",
        )


def _keeps_results(definition: dict[str, Any]) -> bool:
    warehouse = definition.get("warehouse")
    return isinstance(warehouse, dict) and warehouse.get("type") in KEEPING_TYPES


async def _projects(settings: Settings) -> list[tuple[str, dict[str, Any]]]:
    statuses = await open_status_store(settings, connections_max=1)
    try:
        rows = await statuses.projects()
        found = [(str(row["name"]), await statuses.load_project(row["project_uuid"])) for row in rows]
        return [(name, definition) for name, definition in found if definition is not None]
    finally:
        await statuses.close()


def _ray(address: str | None) -> str:
    if address is None:
        raise ServiceError("no cluster is known")
    import ray
    from ray.exceptions import RayError

    from actors.generation import newest_status_actor
    from actors.names import NAMESPACE

    try:
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, RayError) as error:
        raise ServiceError(f"cannot connect to {address}: {type(error).__name__}") from None
    try:
        nodes = sum(1 for node in ray.nodes() if node["Alive"])
        cpus = ray.cluster_resources().get("CPU", 0)
        pool = ray.get(newest_status_actor().pool.remote(), timeout=10)
    except (ValueError, RayError):
        raise ServiceError(f"{nodes} nodes, {cpus:g} CPUs, but the status actor does not answer") from None
    finally:
        ray.shutdown()
    return f"{nodes} node(s), {cpus:g} CPUs; query actors: {pool['actors']} of {pool['size']}, {pool['idle']} idle"
