"""Whole pivots of millions of cells, from the warehouse's table to stored lines, in each way there is.

The service makes them by both of its plans. *Ranked by the warehouse* is its plan `sql`. The other sides are one
process each that has DuckDB read the same rows, pivots them with DuckDB's `PIVOT` or with Polars, and writes lines to a
file; they keep no index, upload nothing, and write a null for each missing cell. All of them may use every core.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from bench.connection import Connection
from bench.figures import median
from bench.report import Finding, Report, seconds, times

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.connection import Place
    from bench.stand import Stand

__all__ = ["run"]

WIDTH = 60
CONFIGURATION = {
    "indexColumn": {"reference": "i", "type": "category"},
    "groupByColumns": [{"reference": "g"}],
    "valuesColumns": [{"reference": "v", "aggregation": "sum"}],
    "sortBy": [{"reference": "i", "direction": "ASC"}],
}
_FLAT = "select i, g, sum(v) as v from ({rows}) as flat group by i, g"
_DUCKDB = {
    "duckdb": "copy (from (pivot ({flat}) on g using first(v) group by i) order by i) to '{path}' (format json)",
    "polars": "{flat}",
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


def process_seconds(engine: str, cells: int, path: str) -> float:
    """Return the time one process takes, its start and imports left out."""
    command = [sys.executable, "-m", "bench.pivot_heavy", engine, str(cells), path]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout)


def run(stand: Stand) -> Report:
    """Alternate the sides. Takes about four minutes."""
    cells, runs = (300_000, 1) if stand.quick else (2_000_000, 3)
    stand.in_ledger(
        "drop table if exists bench_cells",
        f"create table bench_cells as select x / {WIDTH} as i, 'city ' || (x % {WIDTH}) as g, "
        "(x * 7919 % 100003) / 4.0::double precision as v "
        f"from generate_series(0::bigint, {cells * 5 // 4}) as s(x) where x * 40503 % 1000 < 800",
        "vacuum analyze bench_cells",
    )
    path = str(stand.folder / "wide.json")
    with stand.service() as service:
        sides: dict[str, Callable[[], float]] = {
            f"{name}, {plan}": (
                lambda place=place, sql=sql, plan=plan: pivot_seconds(place, sql, plan, cells)  # type: ignore[misc]
            )
            for name, place, sql in (
                ("PostgreSQL", service.ledger, "select i, g, v from bench_cells"),
                ("DuckDB", service.shop, rows_of(cells)),
            )
            for plan in ("distributed", "sql")
        }
        sides |= {engine: lambda engine=engine: process_seconds(engine, cells, path) for engine in _DUCKDB}  # type: ignore[misc]
        found: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(runs + (not stand.quick)):  # the first run starts processes and does not count
            for name, side in sides.items():
                spent = side()
                if number or stand.quick:
                    found[name].append(spent)
    medians = {name: median(spent) for name, spent in found.items()}
    compared = {
        "PostgreSQL, distributed": {"ranked by the warehouse": "PostgreSQL, sql"},
        "DuckDB, distributed": {"ranked by the warehouse": "DuckDB, sql", "DuckDB PIVOT": "duckdb", "Polars": "polars"},
    }
    findings = tuple(
        Finding(
            what=f"whole pivot, warehouse {ours.partition(',')[0]}",
            ours=seconds(medians[ours]),
            other=f"{title}: {seconds(medians[other])}",
            ratio=f"{times(medians[other] / medians[ours])} faster",
            target="not slower",
            met=medians[other] >= medians[ours],
        )
        for ours, others in compared.items()
        for title, other in others.items()
    )
    setting = f"{cells:,} cells, {WIDTH} columns; wall time, medians of {runs} alternating runs."
    return Report(findings=findings, setting=setting)


def main(engine: str, cells: int, path: str) -> None:
    """Pivot in this process and print the seconds."""
    import duckdb
    import polars as pl

    flat = _FLAT.format(rows=rows_of(cells))
    with duckdb.connect() as connection:
        began = time.perf_counter()
        answer = connection.execute(_DUCKDB[engine].format(flat=flat, path=path))
        if engine == "polars":
            wide = pl.DataFrame(answer.to_arrow_table()).pivot("g", index="i", values="v", aggregate_function=None)
            wide.sort("i").write_ndjson(path)
        print(time.perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
