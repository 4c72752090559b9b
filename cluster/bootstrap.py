"""From parts to a service that answers: schema, projects, token, actors, HTTP, in this order."""

from __future__ import annotations

import asyncio
import logging
import time
import urllib.request
import uuid
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from actors.services import database_url, open_status_store
from queryfleet.errors import ConfigurationError
from queryfleet.status.migrations import migrate
from serve_app.accounts import token_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cluster.local.stack import Parts
    from queryfleet.project import Project

__all__ = ["Service", "foreign_packages"]

_OURS = ("queryfleet", "actors", "serve_app", "cluster")
_APPLICATION = "queryfleet"
_POOL_SECONDS = 120.0
_HTTP_SECONDS = 60.0
_RELEASE_SECONDS = 3.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service to be started on parts that are there."""

    parts: Parts
    projects: Sequence[Project]
    token: str
    port: int
    say: Callable[[str], None]

    @property
    def url(self) -> str:
        """Where it answers; a service that listens on every address is told by the one of this machine."""
        host = self.parts.settings.host
        return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{self.port}"  # noqa: S104

    def start(self) -> None:
        """Start everything and return when a query can be answered.

        Raises:
            ConfigurationError: A part is missing or wrong.
            StatusStoreError: The database is away.
        """
        clashes = foreign_packages()
        if clashes:
            raise ConfigurationError(f"Other packages replace ours: {clashes}. Uninstall them and reinstall queryfleet.")
        settings = self.parts.settings
        migrate(database_url(settings))
        asyncio.run(self._store_projects())
        # Imported this late because Ray reads its environment then. It takes 1.5 s, in which the head goes on
        # starting.
        import ray.serve  # noqa: F401

        from actors.status_actor import start_status_actor

        if self.parts.wait_for_ray is not None:
            self.parts.wait_for_ray()
        self._connect()
        self.say("Starting actors and HTTP …")
        start_status_actor(settings)  # it starts the query actors, while we start the replicas
        self._start_http()
        self._wait_actors()
        self._wait_http()

    async def _store_projects(self) -> None:
        statuses = await open_status_store(self.parts.settings, connections_max=2)
        try:
            for project in self.projects:
                await statuses.put_project(project.project_uuid, project.name, project.to_json())
            user_uuid = str(uuid.uuid5(uuid.NAMESPACE_URL, "queryfleet:local-user"))
            await statuses.put_token(
                token_uuid=str(uuid.uuid4()),
                token_hash=token_hash(self.token),
                user_uuid=user_uuid,
                name="local",
                roles={project.project_uuid: "admin" for project in self.projects},
            )
        finally:
            await statuses.close()

    def _connect(self) -> None:
        import ray

        from actors.names import NAMESPACE

        ray.init(
            address=self.parts.ray_address, namespace=NAMESPACE, logging_level=logging.WARNING, log_to_driver=False
        )
        store_url = self.parts.settings.store_url or ""
        nodes = sum(1 for node in ray.nodes() if node["Alive"])
        if store_url.startswith("file:") and nodes > 1 and not self.parts.settings.store_shared:
            raise ConfigurationError(
                f"A file:// store serves one machine, and this cluster has {nodes}. Use s3://, or set "
                "QUERYFLEET_STORE_SHARED=true if every node mounts the same folder."
            )

    def _wait_actors(self) -> None:
        import ray

        from actors.status_actor import start_status_actor

        actor = start_status_actor(self.parts.settings)
        deadline = time.monotonic() + _POOL_SECONDS
        while True:
            pool: dict[str, int] = ray.get(actor.pool.remote(), timeout=_POOL_SECONDS)
            if pool["idle"] > 0 and pool["actors"] >= min(2, pool["size"]):
                return
            if time.monotonic() > deadline:
                raise ConfigurationError("No query actor became ready; see the Ray logs.", **pool)
            time.sleep(0.1)

    def _start_http(self) -> None:
        from ray import serve

        from serve_app.deployments import http_application

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        serve.start(
            http_options={"host": self.parts.settings.host, "port": self.port},
            logging_config={"encoding": "JSON", "enable_access_log": False},
        )
        serve.run(http_application(self.parts.settings), name=_APPLICATION, route_prefix="/")

    def _wait_http(self) -> None:
        deadline = time.monotonic() + _HTTP_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/api/v1/readyz", timeout=5) as answer:  # noqa: S310 - our own
                    if answer.status == 200:  # noqa: PLR2004 - the HTTP status
                        return
            except OSError as error:
                reason = str(error)
            if time.monotonic() > deadline:
                raise ConfigurationError(f"The service does not answer at {self.url}: {reason}.")
            time.sleep(0.1)

    def stop(self) -> None:
        """Take the service down and leave Ray. Queries under way are taken up at the next start."""
        import ray
        from ray import serve

        if not ray.is_initialized():
            return
        if self.parts.wait_for_ray is None:
            serve.shutdown()  # a Ray of our own is about to be ended with everything in it
        _end_actors()
        ray.shutdown()


def _end_actors() -> None:
    """End our actors; those that run a query let go of it first, so that no warehouse works on for nobody."""
    import ray

    from actors.names import NAMESPACE, STATUS_ACTOR

    ours: list[dict[str, Any]] = ray.util.list_named_actors(all_namespaces=True)
    names = [entry["name"] for entry in ours if entry["namespace"] == NAMESPACE]
    # The status actor first: it would replace the others.
    handles = [_actor(name) for name in sorted(names, key=lambda name: name != STATUS_ACTOR)]
    if STATUS_ACTOR in names and handles[0] is not None:
        ray.kill(handles.pop(0))
    handles = [handle for handle in handles if handle is not None]
    released = [handle.release.remote() for handle in handles]
    if released:
        ray.wait(released, num_returns=len(released), timeout=_RELEASE_SECONDS)
    for handle in handles:
        ray.kill(handle)


def _actor(name: str) -> Any:
    """Return an actor's handle, or None when it is gone."""
    import ray

    from actors.names import NAMESPACE

    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None
