"""A data scientist's program: asks the service through Ray, first by `ray://`, then as a driver in the cluster.

What it saw is written to `answer.json`, rows as Arrow files, in the folder it is given.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow as pa
import ray

import queryfleet.ray
from queryfleet.errors import ServiceError
from queryfleet.ray.door import Door

EVERY_TYPE = "select * from ledger order by entry_id"
NESTED = (
    "select n as id, array[n, null, n * 2] as pair, jsonb_build_object('n', n) as doc from generate_series(1, 5000) n"
)
EMPTY = "select entry_id, note from ledger where entry_id < 0"
GROUP_BYTES = 4_000_000
TASK = "ray::queryfleet_read"


def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--about", type=Path, required=True, help="what the service wrote about itself")
    parser.add_argument("--project", required=True)
    options = parser.parse_args()
    about = json.loads(options.about.read_text())
    seen: dict[str, object] = {}
    queryfleet.ray.connect(token=about["token"], project=options.project, address=about["ray_client_address"]).close()
    by_client(about, options, seen)
    ray.shutdown()
    ray.init(about["ray_address"], logging_level="error", log_to_driver=False)
    as_driver(about, options, seen)
    ray.shutdown()
    (options.folder / "answer.json").write_text(json.dumps(seen))


def by_client(about: dict[str, str], options: argparse.Namespace, seen: dict[str, object]) -> None:
    """Do everything that works over `ray://`, and what does not."""
    token, project = about["token"], options.project
    with queryfleet.ray.connect(token=token, project=project) as client:
        query = client.sql(EVERY_TYPE)
        keep(options.folder, "every_type", query.to_arrow())
        keep(options.folder, "every_type_refs", pa.concat_tables(ray.get(query.result().refs(group_bytes=GROUP_BYTES))))
        seen["groups"] = len(query.refs(group_bytes=GROUP_BYTES))
        nested = client.sql(NESTED)
        keep(options.folder, "nested", nested.to_arrow())
        keep(options.folder, "nested_refs", pa.concat_tables(ray.get(nested.refs())))
        keep(options.folder, "empty_refs", pa.concat_tables(ray.get(client.sql(EMPTY).refs())))
        metric = client.query("ledger", dimensions="ledger_is_even", metrics=["ledger_entry_count", "ledger_total"])
        keep(options.folder, "metric", metric.to_arrow())
        seen["query_uuids"] = [query.query_uuid, metric.query_uuid]
        seen["attached"] = client.attach(query.query_uuid).result().columns[0].reference
        seen["in_history"] = [entry.query_uuid for entry in client.history(limit=10)]
        slow = client.sql("select pg_sleep(120)::text as slept")
        seen["cancelled"] = slow.cancel().status
        path = query.download(options.folder / "every_type.csv")
        seen["csv_lines"] = path.read_bytes().count(b"\n")
        seen["in_notebook"] = asyncio.run(_on_a_loop(client))
        seen["errors"] = {
            "warehouse": told(lambda: client.sql("select * from nowhere").to_arrow()),
            "writing": told(lambda: client.sql("drop table ledger")),
            "field": told(lambda: client.query("ledger", dimensions="ledger_nte")),
            "stranger": told(lambda: client.attach("00000000-0000-4000-8000-000000000000")),
            "page": told(lambda: query.poll(page=10**6, page_size=500)),
            "dataset": told(query.to_dataset),
            "token": told(lambda: queryfleet.ray.connect(token="wrong", project=project).sql("select 1 as n")),
            "application": told(lambda: queryfleet.ray.connect(token=token, application="nobody")),
        }
        seen["dataset_in_task"] = ray.get(ray.remote(dataset_sums).remote(token, project))


async def _on_a_loop(client: queryfleet.ray.RayClient) -> int:
    """Ask as a notebook does, whose cells run on an event loop."""
    return client.sql("select 42 as n").to_arrow()["n"][0].as_py()


def dataset_sums(token: str, project: str) -> list[int]:
    """Return rows and the sum of a column, in a task on the cluster."""
    rows = queryfleet.ray.connect(token=token, project=project).sql(EVERY_TYPE).to_dataset()
    tables = ray.get(rows.to_arrow_refs())
    return [
        sum(table.num_rows for table in tables),
        sum(sum(table["entry_id"].to_pylist()) for table in tables),
        rows.schema().names == tables[0].schema.names,
    ]


def as_driver(about: dict[str, str], options: argparse.Namespace, seen: dict[str, object]) -> None:
    """Lose the worker that reads, and try what no client does."""
    client = queryfleet.ray.connect(token=about["token"], project=options.project)
    handed = queryfleet.ray.connect(token=about["token"], project=options.project, handle=client.handle)
    query = handed.attach(seen["query_uuids"][0])
    with lost_workers() as killed:
        keep(options.folder, "after_loss", pa.concat_tables(ray.get(query.refs())))
    seen["killed"] = len(killed)
    door = Door(client.handle, "queryfleet")
    grant = door.grant(f"ApiKey {about['token']}", options.project, query.query_uuid)
    seen["granted_lines"] = door.granted_chunk(grant, 0).count(b"\n")
    uuid, attempt, expires, signature = grant.split(".")
    empty = client.sql(EMPTY)
    empty.wait()
    seen["grants"] = {
        "longer": told(lambda: door.granted_chunk(f"{uuid}.{attempt}.{int(expires) + 1}.{signature}", 0)),
        "other": told(lambda: door.granted_chunk(f"{empty.query_uuid}.{attempt}.{expires}.{signature}", 0)),
        "nothing": told(lambda: door.granted_chunk("", 0)),
        "no_chunk": told(lambda: door.granted_chunk(grant, 999)),
        "token": told(lambda: door.grant("ApiKey wrong", options.project, query.query_uuid)),
    }


class lost_workers:  # noqa: N801 - used like a function
    """Ends the first process that reads rows in the block."""

    def __enter__(self) -> list[int]:
        self._killed: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self._killed

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        mine = os.environ["RAY_DOOR_STACK"]
        while not self._over.is_set() and not self._killed:
            for process in psutil.process_iter():
                with suppress(psutil.Error, OSError, IndexError):
                    is_reader = process.cmdline()[0].startswith(TASK)
                    if is_reader and process.environ().get("QUERYFLEET_STACK_ID") == mine:
                        process.send_signal(signal.SIGKILL)
                        self._killed.append(process.pid)
                        break
            time.sleep(0.002)


def told(work: object) -> list[object]:
    """Return class, code, status and details of the error that a piece of work raises."""
    try:
        work()
    except ServiceError as error:
        return [type(error).__name__, error.code, error.status, error.details, error.message]
    return ["nothing was raised"]


def keep(folder: Path, name: str, table: pa.Table) -> None:
    """Write a table."""
    with pa.OSFile(str(folder / f"{name}.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


if __name__ == "__main__":
    main()
