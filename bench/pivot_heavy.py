"""Whole pivots of millions of cells, from the warehouse's table to stored lines, in each way there is.

The service makes them by both of its plans; *ranked by the warehouse* is its plan `sql`. The other sides are one
process each that reads the same rows from the same warehouse, pivots them with DuckDB's `PIVOT` or with Polars, writes
JSON lines in the order of the rows and puts them into the same bucket in pieces of 8 MiB. They keep no index and no
checksums, are not queued, write a null for each missing cell, and their start and imports do not count. All sides may
use every core.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.connection import Connection
from bench.figures import median
from bench.report import Finding, Report, seconds, times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bench.connection import Place
    from bench.stand import RunningService, Stand
    from queryfleet.results.store import ObjectStore

__all__ = ["run"]

WIDTH = 60
CONFIGURATION = {
    "indexColumn": {"reference": "i", "type": "category"},
    "groupByColumns": [{"reference": "g"}],
    "valuesColumns": [{"reference": "v", "aggregation": "sum"}],
    "sortBy": [{"reference": "i", "direction": "ASC"}],
}
_FLAT = "select i, g, sum(v) as v from ({rows}) as flat group by i, g"
_PIVOT = "copy (from (pivot ({flat}) on g using first(v) group by i) order by i) to '{path}' (format json)"
_TABLE = "select i, g, v from bench_cells"  # in PostgreSQL
_PIECE_BYTES = 8 * 2**20
_PUTS_AT_ONCE = 3
# Each way in one process: where the rows are, and who pivots them.
ENGINES = {
    "PostgreSQL, one process: Polars": ("postgres", "polars"),
    "DuckDB, one process: DuckDB PIVOT": ("duckdb", "duckdb"),
    "DuckDB, one process: Polars": ("duckdb", "polars"),
}


def rows_of(cells: int) -> str:
    """Return a statement of DuckDB that makes one row for each cell, a fifth of all cells missing."""
    return (
        f"select x // {WIDTH} as i, 'city ' || (x % {WIDTH}) as g, (x * 7919 % 100003) / 4.0 as v "
        f"from (select hash(n) % 5 as kept, n as x from range({cells * 5 // 4}) as s(n)) as made where kept > 0"
    )


def pivot_seconds(place: Place, sql: str, plan: str, cells: int) -> float:
    """Return the time from POST to `ready`."""
    more: Mapping[str, object] = {"pivotConfiguration": CONFIGURATION, "pivotPlan": plan}
    with Connection(place) as connection:
        began = time.perf_counter()
        results = connection.execute(sql, limit=cells, more=more).results
        connection.ready(results["queryUuid"])
        return time.perf_counter() - began


def process_seconds(source: str, engine: str, job: Mapping[str, object]) -> float:
    """Return the time one process takes, its start and imports left out."""
    command = [sys.executable, "-m", "bench.pivot_heavy", source, engine]
    # Through standard input: it holds passwords.
    done = subprocess.run(command, check=True, input=json.dumps(job), stdout=subprocess.PIPE, text=True, env=os.environ)
    return float(done.stdout)


def run(stand: Stand) -> Report:
    """Alternate the sides. Takes about six minutes."""
    cells, runs = (300_000, 1) if stand.quick else (5_000_000, 5)
    stand.in_ledger(
        "drop table if exists bench_cells",
        f"create table bench_cells as select x / {WIDTH} as i, 'city ' || (x % {WIDTH}) as g, "
        "(x * 7919 % 100003) / 4.0::double precision as v "
        f"from generate_series(0::bigint, {cells * 5 // 4}) as s(x) where x * 40503 % 1000 < 800",
        "vacuum analyze bench_cells",
    )
    found: dict[str, list[float]] = {}
    with stand.service({"QUERYFLEET_ACTOR_NICENESS": "0"}) as service:  # as nice as the processes it is compared with
        job = {
            "cells": cells,
            "path": str(stand.folder / "wide.json"),
            "conninfo": stand.ledger_url,
            "store": service.bucket_access(),
        }
        sides = _sides(service, cells, job)
        for number in range(runs + (not stand.quick)):  # the first run starts processes and does not count
            for name, side in sides.items():
                spent = side()
                if number or stand.quick:
                    found.setdefault(name, []).append(spent)
    findings = tuple(_compared({name: median(spent) for name, spent in found.items()}))
    setting = f"{cells:,} cells, {WIDTH} columns; wall time, medians of {runs} alternating runs."
    return Report(findings=findings, setting=setting)


def _sides(service: RunningService, cells: int, job: Mapping[str, object]) -> dict[str, Callable[[], float]]:
    sides: dict[str, Callable[[], float]] = {}
    for warehouse, place, sql in (
        ("PostgreSQL", service.ledger, _TABLE),
        ("DuckDB", service.shop, rows_of(cells)),
    ):
        for plan in ("distributed", "sql"):
            sides[f"{warehouse}, {plan}"] = partial(pivot_seconds, place, sql, plan, cells)
        for name, (source, engine) in ENGINES.items():
            if name.startswith(warehouse):
                sides[name] = partial(process_seconds, source, engine, job)
    return sides


def _compared(medians: Mapping[str, float]) -> Iterator[Finding]:
    for name, other in medians.items():
        warehouse, _, way = name.partition(", ")
        if way == "distributed":
            continue
        ours = medians[f"{warehouse}, distributed"]
        yield Finding(
            what=f"whole pivot, warehouse {warehouse}",
            ours=seconds(ours),
            other=f"{'ranked by the warehouse' if way == 'sql' else way}: {seconds(other)}",
            ratio=f"{times(other / ours)} faster",
            target="not slower",
            met=other >= ours,
        )


def main(source: str, engine: str, job: Mapping[str, Any]) -> None:
    """Read, pivot, write and store in this process, and print the seconds."""
    import duckdb
    import polars as pl
    from adbc_driver_postgresql import dbapi

    store = _bucket(job["store"])
    cells, path = job["cells"], job["path"]
    flat = _FLAT.format(rows=_TABLE if source == "postgres" else rows_of(cells))
    began = time.perf_counter()
    if engine == "duckdb":
        with duckdb.connect() as connection:
            connection.execute(_PIVOT.format(flat=flat, path=path))
    else:
        if source == "postgres":
            with dbapi.connect(job["conninfo"]) as connection, connection.cursor() as cursor:
                cursor.execute(flat)
                table = cursor.fetch_arrow_table()
        else:
            with duckdb.connect() as connection:
                table = connection.sql(flat).to_arrow_table()
        wide = pl.DataFrame(table).pivot("g", index="i", values="v", aggregate_function=None, sort_columns=True)
        wide.sort("i").write_ndjson(path)
    asyncio.run(_stored(Path(path).read_bytes(), store))
    print(time.perf_counter() - began)


def _bucket(access: Mapping[str, str]) -> ObjectStore:
    from pydantic import SecretStr

    from queryfleet.results.store import StoreOptions, open_store

    options = StoreOptions(
        endpoint_url=access["endpoint"],
        access_key_id=access["accessKeyId"],
        secret_access_key=SecretStr(access["secretAccessKey"]),
    )
    return open_store(f"s3://{access['bucket']}/bench", options)


async def _stored(data: bytes, store: ObjectStore) -> None:
    room = asyncio.Semaphore(_PUTS_AT_ONCE)

    async def put(begin: int) -> None:
        async with room:
            await store.put(f"pivot/{begin:012d}.jsonl", data[begin : begin + _PIECE_BYTES])

    await asyncio.gather(*map(put, range(0, len(data), _PIECE_BYTES)))
    await store.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.load(sys.stdin))
