"""What the benchmarks of the whole service stand on: two warehouses, and `queryfleet up` as a process."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

import psycopg
from pydantic import SecretStr

from bench.connection import Connection, Place
from cluster.local.postgres import PostgresServer
from cluster.local.sample import PROJECT_UUID, write_shop_project
from queryfleet.results.store import StoreOptions
from tests.servers.service_process import ServiceProcess, marked_processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    import psutil


__all__ = ["RunningService", "Stand"]

LEDGER_UUID = "0c6e5c1e-9a0b-4d0a-8a53-1d5a4f6f7e20"
_PASSWORD_VARIABLE = "LEDGER_PASSWORD"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningService:
    """A service that answers."""

    process: ServiceProcess
    shop: Place  # the DuckDB project
    ledger: Place  # the PostgreSQL project
    stack_id: str

    @property
    def database_url(self) -> str:
        """Its own database, password included."""
        return str(self.process.about["database_url"])

    @property
    def store_url(self) -> str:
        """Where its results go."""
        return str(self.process.about["store_url"])

    @property
    def store_options(self) -> StoreOptions:
        """How to reach its S3 server."""
        secret = (self.process.data_dir / "s3.secret").read_text(encoding="utf-8").strip()
        return StoreOptions(
            endpoint_url=str(self.process.about["store_endpoint_url"]),
            access_key_id="QUERYFLEET",
            secret_access_key=SecretStr(secret),
        )

    def bucket_access(self) -> dict[str, object]:
        """Return what a Node script needs to reach the bucket; holds the secret, so it goes to standard input."""
        options = self.store_options
        assert options.secret_access_key is not None
        return {
            "endpoint": options.endpoint_url,
            "bucket": self.store_url.removeprefix("s3://").partition("/")[0],
            "accessKeyId": options.access_key_id,
            "secretAccessKey": options.secret_access_key.get_secret_value(),
        }

    def query_actors(self) -> list[psutil.Process]:
        """Return the processes of its query actors, oldest first."""
        found = marked_processes(self.stack_id, "ray::QueryActor")
        return sorted(found, key=lambda process: process.create_time())

    def run(self, sql: str, *, limit: int | None = None) -> str:
        """Run a query on the DuckDB project to its end and return its uuid."""
        with Connection(self.shop) as connection:
            query_uuid: str = connection.execute(sql, limit=limit).results["queryUuid"]
            connection.ready(query_uuid)
            return query_uuid


class Stand:
    """Makes what benchmarks ask for, each part once, and stops it at the end. A context manager.

    Args:
        folder: Empty; data of warehouses and services. Needs some 5 GB for a full run.
        quick: Smaller sizes, to see that everything works.
        megabytes: Size of the result that the client reads.
    """

    def __init__(self, folder: Path, *, quick: bool, megabytes: int = 250) -> None:
        self.folder = folder
        self.quick = quick
        self.megabytes = megabytes
        self._stack = ExitStack()
        self._services = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @cached_property
    def shop_folder(self) -> Path:
        """The project of the sample shop, two million orders."""
        return write_shop_project(self.folder / "shop")

    @cached_property
    def ledger_url(self) -> str:
        """A PostgreSQL server of its own, as a warehouse; password included."""
        return self._stack.enter_context(PostgresServer(self.folder / "ledger-server")).url

    @cached_property
    def _ledger_folder(self) -> Path:
        where = urlsplit(self.ledger_url)
        folder = self.folder / "ledger"
        folder.mkdir()
        (folder / "project.yml").write_text(
            f"name: Ledger\nproject_uuid: {LEDGER_UUID}\nwarehouse:\n  type: postgres\n  host: {where.hostname}\n"
            f"  port: {where.port}\n  user: {where.username}\n  password: ${{{_PASSWORD_VARIABLE}}}\n"
            f"  database: {where.path[1:]}\n",
            encoding="utf-8",
        )
        return folder

    def in_ledger(self, *statements: str) -> None:
        """Run statements in the PostgreSQL warehouse itself."""
        with psycopg.connect(self.ledger_url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    @contextmanager
    def service(self, environment: Mapping[str, str] | None = None) -> Iterator[RunningService]:
        """Run a service with an empty data folder and both projects; `environment` holds its settings."""
        self._services += 1
        data_dir = self.folder / f"service-{self._services}"
        password = unquote(urlsplit(self.ledger_url).password or "")
        process = ServiceProcess(
            data_dir,
            (self.shop_folder, self._ledger_folder),
            environment={
                "PYTHONWARNINGS": "ignore",
                _PASSWORD_VARIABLE: password,
                **_inherited(),
                **(environment or {}),
            },
        )
        process.start()
        try:
            yield RunningService(
                process=process,
                shop=Place(url=process.url, token=process.token, project_uuid=PROJECT_UUID),
                ledger=Place(url=process.url, token=process.token, project_uuid=LEDGER_UUID),
                stack_id=process.trace().stack_id,
            )
        finally:
            process.stop()


def _inherited() -> dict[str, str]:
    # Lets another checkout be measured with the programs of this environment.
    return {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
