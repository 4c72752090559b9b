"""What must be in the database before a service starts: schema, projects, and a token to ask with."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from actors.services import database_url, open_result_store, open_status_store
from queryfleet.errors import ConfigurationError
from queryfleet.status.migrations import migrate
from queryfleet.warehouse_config import KEEPING_TYPES
from serve_app.accounts import token_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from queryfleet.content.record import FileContent
    from queryfleet.project import Project
    from queryfleet.semantic.catalog import Catalog
    from queryfleet.semantic.problem import Problem
    from queryfleet.settings import Settings

__all__ = [
    "check_nodes",
    "check_packages",
    "check_store",
    "foreign_packages",
    "prepare_database",
    "unreadable_projects",
]

_OURS = ("queryfleet", "actors", "serve_app", "cluster")
_USER_UUID = str(uuid.uuid5(uuid.NAMESPACE_URL, "queryfleet:local-user"))


def foreign_packages() -> dict[str, list[str]]:
    """Return our import names that another distribution also provides, with the names of those distributions.

    Installing such a one replaces our files without a word. An editable install is not listed at all, which is fine.
    """
    providers = metadata.packages_distributions()
    return {
        name: sorted(set(providers.get(name, ())) - {"queryfleet"})
        for name in _OURS
        if set(providers.get(name, ())) - {"queryfleet"}
    }


def check_packages() -> None:
    """Raise `ConfigurationError` when another distribution replaces our packages."""
    clashes = foreign_packages()
    if clashes:
        raise ConfigurationError(f"Other packages replace ours: {clashes}. Uninstall them and reinstall queryfleet.")


def check_nodes(settings: Settings, *, nodes: int) -> None:
    """Raise `ConfigurationError` when results would go to a folder that not every one of `nodes` machines sees."""
    if (settings.store_url or "").startswith("file:") and nodes > 1 and not settings.store_shared:
        raise ConfigurationError(
            f"A file:// store serves one machine, and this cluster has {nodes}. Use s3://, or set "
            "QUERYFLEET_STORE_SHARED=true if every node mounts the same folder."
        )


def check_store(settings: Settings) -> None:
    """Raise `ConfigurationError` when QUERYFLEET_STORE_URL is given and names no store; nothing is connected to."""
    if settings.store_url is None:
        return
    try:
        open_result_store(settings)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"QUERYFLEET_STORE_URL: {error.message}.", **error.details | {"variable": "QUERYFLEET_STORE_URL"}
        ) from None


def unreadable_projects(settings: Settings, projects: Sequence[Project]) -> list[str]:
    """Return a line for each project whose queries are all refused because results are not stored."""
    if settings.stores_rows:
        return []
    return [
        f"{project.name}: all queries are refused, because results are not stored (QUERYFLEET_STORE_URL is `none`) "
        f"and {project.warehouse.type} does not keep them"
        for project in projects
        if project.warehouse.type not in KEEPING_TYPES
    ]


def prepare_database(settings: Settings, projects: Sequence[Project], *, token: str | None) -> list[str]:
    """Bring the schema up to date, store projects, models, content and token. Idempotent; safe in several processes.

    Args:
        settings: Name the database.
        projects: To add or replace; others that are stored stay.
        token: Becomes `admin` in these projects, with their `user_attributes`; None leaves the tokens as they are.

    Returns:
        What is wrong with models and content, a line each. What is right can be used all the same.

    Raises:
        ConfigurationError: No database is named, or dbt's manifest cannot be read.
        StatusStoreError: The database is away, or its schema is that of a newer release.
    """
    found = [_Prepared.of(project) for project in projects]
    migrate(database_url(settings))
    asyncio.run(_store(settings, found, token))
    return [
        f"{each.project.name}: {'error' if problem.is_error else 'warning'}: {problem.text}"
        for each in found
        for problem in each.problems
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A project with what its folder says."""

    project: Project
    catalog: Catalog
    content: tuple[FileContent, ...]
    problems: tuple[Problem, ...]

    @classmethod
    def of(cls, project: Project) -> _Prepared:
        """Read the folder of a project."""
        from queryfleet.content.files import collect_content, read_content
        from queryfleet.semantic.catalog import load_catalog
        from queryfleet.semantic.problem import Problems

        catalog, problems = load_catalog(project), Problems()
        content = read_content(collect_content(project.folder), project.project_uuid, problems, catalog)
        return cls(project=project, catalog=catalog, content=content, problems=(*catalog.problems, *problems.found))


async def _store(settings: Settings, projects: Sequence[_Prepared], token: str | None) -> None:
    from queryfleet.content.postgres import PostgresContentStore
    from queryfleet.semantic.stored_catalog import catalog_to_bytes

    statuses = await open_status_store(settings, connections_max=2)
    contents = PostgresContentStore(database_url(settings), connections_max=1)
    await contents.open()
    try:
        for each in projects:
            project, models = each.project, catalog_to_bytes(each.catalog)
            await statuses.put_project(project.project_uuid, project.name, project.to_json(), models)
            await contents.replace_files(project.project_uuid, each.content)
        if token is not None:
            await statuses.put_token(
                token_uuid=str(uuid.uuid4()),
                token_hash=token_hash(token),
                user_uuid=_USER_UUID,
                name="local",
                roles={each.project.project_uuid: "admin" for each in projects},
                attributes={
                    each.project.project_uuid: {
                        name: [value] if isinstance(value, str) else value
                        for name, value in each.project.user_attributes.items()
                    }
                    for each in projects
                },
            )
    finally:
        await contents.close()
        await statuses.close()
