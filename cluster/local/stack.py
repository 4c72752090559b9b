"""Everything the service needs, on one machine: what is not given is started, and stopped again.

<data folder>/
  postgres/  postgres.password  postgres.log     the database
  s3/        s3.secret          s3.log           the bucket, as plain files
  shop/                                          the sample project
  token                                          of this machine's user
  service.json                                   where the running service is
  ray.log
"""

from __future__ import annotations

import os
import secrets
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from cluster.environment import RAY_ENVIRONMENT
from cluster.local.postgres import PostgresServer
from cluster.local.ray_head import RayHead
from cluster.local.s3 import S3Server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from queryfleet.settings import Settings

__all__ = ["RAY", "LocalStack", "Parts", "private_file"]

RAY = "Ray"  # among the parts that can end

BUCKET = "queryfleet"
_ACCESS_KEY = "QUERYFLEET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Where the parts are, started here or given."""

    settings: Settings  # database and store filled in
    ray_address: str
    ray_client_address: str | None  # None: not ours to know
    wait_for_ray: Callable[[], None] | None  # until the Ray started here takes connections; None: it was given


def private_file(path: Path, make: Callable[[], str]) -> str:
    """Return the text of a file that only this user can read, made by `make` when it is not there yet."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        text = make()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        return text


class LocalStack:
    """Starts what `settings` and the environment do not name. A context manager."""

    def __init__(self, data_dir: Path, settings: Settings, *, say: Callable[[str], None]) -> None:
        self._data_dir = data_dir
        self._settings = settings
        self._say = say
        self._stack = ExitStack()
        self._head: RayHead | None = None
        self._parts: dict[str, Callable[[], bool]] = {}  # of those started here, whether they run

    def start(self) -> Parts:
        """Start the missing parts and say where all are; `stop` also after a failure.

        Ray is the slowest of them: it may still be starting when this returns, see `Parts.wait_for_ray`.
        """
        self._data_dir.mkdir(parents=True, exist_ok=True)
        given = os.environ.get("RAY_ADDRESS")
        if given:
            # Serve reads some of it in the process that starts it.
            os.environ.update(RAY_ENVIRONMENT | dict(os.environ))
        else:
            self._head = self._launch_ray()
        settings = self._with_store(self._with_database(self._settings))
        if self._head is None:
            return Parts(
                settings=settings,
                ray_address=given or "",
                ray_client_address=_client_of(given or ""),
                wait_for_ray=None,
            )
        return Parts(
            settings=settings,
            ray_address=self._head.address,
            ray_client_address=self._head.client_address,
            wait_for_ray=self._head.wait,
        )

    def _launch_ray(self) -> RayHead:
        self._say("Starting Ray …")
        environment = _worker_environment(self._settings)
        head = RayHead(uuid.uuid4().hex, log_path=self._data_dir / "ray.log", environment=environment)
        self._stack.callback(head.stop)  # in case `launch` fails half-way
        head.launch()
        self._parts[RAY] = lambda: head.is_running
        os.environ.update({name: value for name, value in head.environment().items() if name.startswith("RAY_")})
        return head

    def ended_part(self) -> str | None:
        """Return the name of a part that was started here and has ended by itself; None while all run."""
        return next((name for name, runs in self._parts.items() if not runs()), None)

    def stop(self) -> None:
        """Stop what was started; Ray first, since its actors use the rest. Idempotent."""
        if self._head is not None:
            self._head.stop()
        self._stack.close()

    def _with_database(self, settings: Settings) -> Settings:
        if settings.database_url is not None:
            return settings
        self._say("Starting PostgreSQL …")
        server = PostgresServer(self._data_dir / "postgres")
        self._stack.callback(server.stop)
        server.start()
        self._parts["PostgreSQL"] = lambda: server.pid is not None
        return settings.model_copy(update={"database_url": SecretStr(server.url)})

    def _with_store(self, settings: Settings) -> Settings:
        if settings.store_url is not None:
            return settings
        self._say("Starting an S3 server …")
        secret = SecretStr(private_file(self._data_dir / "s3.secret", lambda: secrets.token_hex(20)))
        server = S3Server(self._data_dir / "s3", access_key_id=_ACCESS_KEY, secret_access_key=secret)
        self._stack.callback(server.stop)
        server.ensure_bucket(BUCKET)
        server.start()
        self._parts["The S3 server"] = lambda: server.pid is not None
        return settings.model_copy(
            update={
                "store_url": f"s3://{BUCKET}/queryfleet",
                "store_endpoint_url": server.endpoint_url,
                "store_access_key_id": _ACCESS_KEY,
                "store_secret_access_key": secret,
            }
        )


def _worker_environment(settings: Settings) -> dict[str, str]:
    """What worker processes find in their environment; settings travel to actors as arguments."""
    return {
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore"),
        "QUERYFLEET_LOG_LEVEL": settings.log_level,
    }


def _client_of(address: str) -> str | None:
    return address if address.startswith("ray://") else None
