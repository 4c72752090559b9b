"""A whole service of which every part can be killed and started on its own.

Database, warehouse and result store are servers of this process, each with a fixed port, and the cluster is a head
with one worker node; what `queryfleet up` does is join them. So whatever is killed, all the rest stays as it is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import psycopg
from pydantic import SecretStr

from cluster.local.ports import free_ports
from cluster.local.postgres import PostgresServer
from cluster.local.ray_head import RayHead
from cluster.local.ray_worker import RayWorker
from cluster.local.s3 import S3Server
from cluster.local.sample import PROJECT_TEXT, PROJECT_UUID, create_shop
from tests.servers.service_process import ServiceProcess, marked_processes, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self


LEDGER_UUID = "0e8f5a34-6b1f-4f6a-8b8e-64f1b6a3a5d2"
PROJECTS = {"shop": PROJECT_UUID, "ledger": LEDGER_UUID}
BUCKET = "chaos"
PREFIX = "service"
PASSWORD_VARIABLE = "LEDGER_PASSWORD"
# A killed server must not lose what it has acknowledged; the machine itself is not switched off.
_SERVER_SETTINGS = {"fsync": "off", "full_page_writes": "off"}
_FIND_SECONDS = 30.0


class ChaosStack:
    """The parts. A context manager that starts and ends all of them.

    Args:
        root: An empty folder of its own.
        settings: More settings of the service, by their variables' names.
    """

    def __init__(self, root: Path, settings: Mapping[str, str] | None = None) -> None:
        self.root = root
        database_port, warehouse_port, store_port, self._http_port = free_ports(4)
        self.database = PostgresServer(root / "database", port=database_port, settings=_SERVER_SETTINGS)
        self.warehouse = PostgresServer(root / "warehouse", port=warehouse_port, settings=_SERVER_SETTINGS)
        self._store_secret = uuid.uuid4().hex
        self.store = S3Server(
            root / "store",
            access_key_id="CHAOS",
            secret_access_key=SecretStr(self._store_secret),
            port=store_port,
        )
        self._settings = {
            "QUERYFLEET_POOL_SIZE": "3",
            "QUERYFLEET_JANITOR_SECONDS": "4",
            "QUERYFLEET_ORPHAN_SECONDS": "10",
            **(settings or {}),
        }
        self.database_url = ""
        self.warehouse_url = ""
        self.token = uuid.uuid4().hex
        self._head: RayHead | None = None
        self._head_id = ""
        self._worker: RayWorker | None = None
        self._up: ServiceProcess | None = None
        self._folders: Sequence[Path] = ()

    @property
    def url(self) -> str:
        """Where the service answers, whenever it does."""
        return f"http://127.0.0.1:{self._http_port}"

    @property
    def results_folder(self) -> Path:
        """Where the store keeps the objects of results, one folder for each query."""
        return self.root / "store" / BUCKET / PREFIX / "results"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        self.store.ensure_bucket(BUCKET)
        for server in (self.database, self.warehouse, self.store):
            server.start()
        self.database_url, self.warehouse_url = self.database.url, self.warehouse.url
        self._folders = self._write_projects()
        self.start_service()

    def _write_projects(self) -> tuple[Path, Path]:
        shop, ledger = self.root / "shop", self.root / "ledger"
        for folder in (shop, ledger):
            folder.mkdir()
        (shop / "project.yml").write_text(PROJECT_TEXT)
        create_shop(shop / "shop.duckdb", orders=1000)
        where = urlsplit(self.warehouse_url)
        (ledger / "project.yml").write_text(
            f"name: Ledger\nproject_uuid: {LEDGER_UUID}\n"
            f"warehouse:\n  type: postgres\n  host: {where.hostname}\n  port: {where.port}\n"
            f"  user: {where.username}\n  password: ${{{PASSWORD_VARIABLE}}}\n  database: {where.path[1:]}\n"
        )
        return shop, ledger

    # The cluster and the service on it ------------------------------------------------------------------------------

    def start_service(self) -> None:
        """Start head and worker node and run `queryfleet up` on them; returns when a query can be answered."""
        secrets = {PASSWORD_VARIABLE: urlsplit(self.warehouse_url).password or "", "PYTHONWARNINGS": "ignore"}
        self._head_id = uuid.uuid4().hex
        self._head = RayHead(self._head_id, log_path=self.root / "head.log", environment=secrets)
        self._head.launch()
        self._head.wait()
        self.start_worker()
        ray = {name: value for name, value in self._head.environment().items() if name.startswith("RAY_")}
        self._up = ServiceProcess(
            self.root / "data",
            self._folders,
            environment={**ray, **secrets, **self._settings, **self._places()},
            arguments=("--port", str(self._http_port)),
        )
        self._up.start()

    def _places(self) -> dict[str, str]:
        assert self._head is not None
        return {
            "RAY_ADDRESS": self._head.address,
            "QUERYFLEET_TOKEN": self.token,
            "QUERYFLEET_DATABASE_URL": self.database_url,
            "QUERYFLEET_STORE_URL": f"s3://{BUCKET}/{PREFIX}",
            "QUERYFLEET_STORE_ENDPOINT_URL": self.store.endpoint_url,
            "QUERYFLEET_STORE_ACCESS_KEY_ID": "CHAOS",
            "QUERYFLEET_STORE_SECRET_ACCESS_KEY": self._store_secret,
        }

    def kill_head(self) -> None:
        """Kill every process of the head, and `queryfleet up`, at once; the worker node loses its head."""
        if self._up is not None:
            self._up.kill()
        if self._head is not None:
            self._head.stop()

    def restart_head(self) -> None:
        """Replace the cluster by a new one on the same data."""
        if self._worker is not None:
            self._worker.stop()
        self.start_service()

    def start_worker(self) -> None:
        """Add a worker node; returns when it has joined."""
        assert self._head is not None
        secrets = {PASSWORD_VARIABLE: urlsplit(self.warehouse_url).password or "", "PYTHONWARNINGS": "ignore"}
        self._worker = RayWorker(
            uuid.uuid4().hex,
            head_address=self._head.address,
            log_path=self.root / "worker.log",
            environment=secrets,
        )
        self._worker.launch()
        self._worker.wait()

    def kill_worker(self) -> None:
        """Kill the raylet of the worker node; Ray itself must end what ran there."""
        assert self._worker is not None
        raylets = [
            process for process in marked_processes(self._worker.stack_id) if process.name().startswith("raylet")
        ]
        assert raylets, "the worker node has a raylet"
        for raylet in raylets:
            raylet.kill()

    def replace_worker(self) -> None:
        """Clear the dead worker node away and start a new one."""
        assert self._worker is not None
        self._worker.stop()
        self.start_worker()

    @property
    def stack_ids(self) -> list[str]:
        """The markers of the nodes that run."""
        return [self._head_id] + ([self._worker.stack_id] if self._worker is not None else [])

    def store_process(self) -> psutil.Process:
        """Return the process of the result store."""
        assert self.store.pid is not None
        return psutil.Process(self.store.pid)

    def processes(self, title: str) -> list[psutil.Process]:
        """Return the live processes of the cluster whose command line begins with `title`."""
        return [process for stack_id in self.stack_ids for process in marked_processes(stack_id, title)]

    def await_process(self, title: str) -> list[psutil.Process]:
        """Return the processes with this title, waiting until there is one."""
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = self.processes(title)
            return bool(found)

        assert wait_until(look, seconds=_FIND_SECONDS), f"no process {title}"
        return found

    # Databases and store --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def status_connection(self) -> psycopg.Connection:
        """Give a connection to the service's database."""
        with psycopg.connect(self.database_url, autocommit=True, connect_timeout=5) as connection:
            yield connection

    def close(self) -> None:
        """End everything. Idempotent."""
        with contextlib.ExitStack() as stack:
            for server in (self.store, self.warehouse, self.database):
                stack.callback(server.stop)
            for part in (self._head, self._worker):
                if part is not None:
                    stack.callback(part.stop)
            if self._up is not None:
                stack.callback(self._up.kill)


def kill_postgres(server: PostgresServer) -> None:
    """Kill a server as the kernel does when memory runs out; returns when it is gone."""
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    assert wait_until(lambda: server.pid is None, seconds=deadline - time.monotonic())
