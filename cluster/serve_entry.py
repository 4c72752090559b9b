"""The service as a Serve application, for `serve run`, `serve deploy` and RayService.

    serve run cluster.serve_entry:app projects=/srv/projects/shop

Everything else comes from the environment of the node that builds the application: `QUERYFLEET_…` settings, and
`QUERYFLEET_TOKEN` for a first token. Building it also brings the database schema up to date, stores the projects and
starts the actors, each only if needed; so nobody has to run `queryfleet up` on such a cluster. When code, settings or
arguments have changed, the actors of the new generation take over from the old (see `actors.status_actor`).
"""

# No postponed annotations here: Serve looks at the class of the builder's argument.
import os
from pathlib import Path
from typing import Any

import ray
import structlog
from pydantic import BaseModel, ConfigDict, field_validator

from cluster.preparation import check_nodes, check_packages, check_store, prepare_database, unreadable_projects
from queryfleet.errors import ConfigurationError

__all__ = ["ServeArguments", "app"]

log = structlog.get_logger()


class ServeArguments(BaseModel):
    """What `args` of the Serve configuration may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    projects: tuple[Path, ...] = ()  # absolute folders, on every node; as one text they are separated by commas
    release: str = ""  # a new value deploys the application anew although nothing else in the configuration changed

    @field_validator("projects", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(",") if part] if isinstance(value, str) else value

    @field_validator("projects")
    @classmethod
    def _absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        if any(not path.is_absolute() for path in value):
            raise ValueError("folders must be absolute: the application may be built on any node")
        return value


def app(args: ServeArguments) -> Any:
    """Build the Serve application. Ray must be connected; Serve calls this itself.

    Raises:
        ConfigurationError: A setting, a project or an argument is wrong or missing.
        StatusStoreError: The database is away.
    """
    from actors.status_actor import start_status_actor
    from queryfleet.project import load_project
    from queryfleet.settings import load_settings
    from serve_app.deployments import http_application

    check_packages()
    settings = load_settings()
    if settings.store_url is None:
        raise ConfigurationError(
            "QUERYFLEET_STORE_URL is not set; on a cluster it must be, e.g. s3://bucket/prefix, or none."
        )
    check_store(settings)
    if not ray.is_initialized():
        raise ConfigurationError("Ray is not connected; use `serve run`, `serve deploy` or RayService.")
    check_nodes(settings, nodes=sum(1 for node in ray.nodes() if node["Alive"]))
    projects = [load_project(folder) for folder in args.projects]
    for line in unreadable_projects(settings, projects):
        log.warning("project.unreadable", text=line)
    for line in prepare_database(settings, projects, token=os.environ.get("QUERYFLEET_TOKEN") or None):
        log.warning("models.problem", text=line)
    start_status_actor(settings)
    return http_application(settings)
