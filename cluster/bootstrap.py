"""From parts to a service that answers: schema, projects, token, actors, HTTP, in this order.

On a Ray cluster where the service runs already, with other code or settings, this is a hand-over: the new generation
gets its actors ready beside the old one, then HTTP is deployed anew, replica by replica. See `actors.status_actor`.
"""

from __future__ import annotations

import logging
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster.preparation import check_nodes, check_packages, prepare_database
from cluster.stop_signals import kept_signal_handlers
from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.generation import Generation
    from cluster.local.stack import Parts
    from queryfleet.project import Project

__all__ = ["APPLICATION", "Service"]

APPLICATION = "queryfleet"  # our name in Serve
_POOL_SECONDS = 120.0
_ANSWER_SECONDS = 10.0
_HTTP_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class Service:
    """A service to be started on parts that are there."""

    parts: Parts
    projects: Sequence[Project]
    token: str
    port: int  # of HTTP; that of the Serve that runs on the cluster, once started
    say: Callable[[str], None]
    _generation: Generation | None = field(default=None, init=False)
    _is_whole: bool = field(default=False, init=False)  # `start` came to its end

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
        check_packages()
        settings = self.parts.settings
        for line in prepare_database(settings, self.projects, token=self.token):
            self.say(line)
        # Imported this late because Ray reads its environment then. It takes 1.5 s, in which the head goes on
        # starting.
        import ray.serve  # noqa: F401

        from actors.status_actor import start_status_actor

        if self.parts.wait_for_ray is not None:
            self.parts.wait_for_ray()
        self._connect()
        self.say("Starting actors and HTTP …")
        self._generation = start_status_actor(settings)  # it starts the query actors, while we start the replicas
        if self._generation.replaces:
            self.say("Taking over from the service that runs on this cluster …")
            self._wait_actors()  # before HTTP changes: if they fail, the old service stays whole
        self._start_http()
        self._wait_actors()
        self._wait_http()
        self._is_whole = True

    def _connect(self) -> None:
        import ray

        from actors.names import NAMESPACE

        with kept_signal_handlers():
            ray.init(
                address=self.parts.ray_address,
                namespace=NAMESPACE,
                logging_level=logging.WARNING,
                log_to_driver=False,
            )
        check_nodes(self.parts.settings, nodes=sum(1 for node in ray.nodes() if node["Alive"]))

    def _wait_actors(self) -> None:
        import ray

        assert self._generation is not None  # noqa: S101 - set before
        actor = self._generation.status_actor
        deadline = time.monotonic() + _POOL_SECONDS
        while True:
            pool: dict[str, int] = ray.get(actor.pool.remote(), timeout=_POOL_SECONDS)
            if pool["actors"] > 0 and pool["actors"] >= min(2, pool["size"]):
                return
            if time.monotonic() > deadline:
                raise ConfigurationError("No query actor became ready; see the Ray logs.", **pool)
            time.sleep(0.1)

    def _start_http(self) -> None:
        from ray import serve

        from serve_app.deployments import http_application

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        running = _serve_port()  # it cannot be changed while Serve runs
        if running is not None and running != self.port:
            self.say(f"note: Serve on this cluster listens on port {running}, so the service does too.")
            self.port = running
        serve.start(
            http_options={"host": self.parts.settings.host, "port": self.port},
            logging_config={"encoding": "JSON", "enable_access_log": False},
        )
        serve.run(http_application(self.parts.settings), name=APPLICATION, route_prefix="/")

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

    @property
    def is_superseded(self) -> bool:
        """Whether a newer generation has taken over, so that this one has nothing left to say.

        A newer one that is still starting has not: it may yet give up.
        """
        import ray
        from ray.exceptions import RayError

        if self._generation is None or not self._has_successor():
            return False
        try:
            retired: bool = ray.get(self._generation.status_actor.is_retired.remote(), timeout=_ANSWER_SECONDS)
        except RayError:
            from actors.generation import generations

            return self._generation.number not in generations()  # it ended, or only restarts
        return retired

    def _has_successor(self) -> bool:
        from actors.generation import generations

        return self._generation is not None and any(other > self._generation.number for other in generations())

    def stop(self) -> None:
        """Take the service down and leave Ray. Queries under way are taken up at the next start.

        A newer generation on the cluster is left alone, and so is an older one that this one failed to replace.
        """
        import ray
        from ray import serve

        from cluster.teardown import end_actors

        if not ray.is_initialized():
            return
        generation = self._generation
        if generation is not None and generation.replaces and not self._is_whole:
            end_actors(generation.number)
        elif not self._has_successor():
            if self.parts.wait_for_ray is None:
                serve.shutdown()  # a Ray of our own is about to be ended with everything in it
            end_actors()
        ray.shutdown()


def _serve_port() -> int | None:
    """Return the port of the Serve that runs on this cluster; None when there is none."""
    from ray.serve.context import _get_global_client

    client = _get_global_client(raise_if_no_controller_running=False)
    return int(client.http_config.port) if client is not None else None
