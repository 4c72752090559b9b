"""Flat rows to pivoted JSON lines: the fold against Node's row-by-row transform, and whole pivots of other engines.

*Ranked* rows have been put in order by the warehouse and say their place; both sides fold them as they come, and
write the same bytes, which is checked. *Unranked* rows are in no order: ranking, sorting and folding are measured
together, against Polars and DuckDB, whose output is a dense table with nulls for missing cells. All sides use one
thread. Memory is that of a process that folds ranked rows made on the way.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import pyarrow as pa

from bench.figures import median
from bench.node_side import NodeSide
from bench.report import Finding, Report, times
from queryfleet.pivot.fold import folded
from queryfleet.pivot.local import pivoted
from queryfleet.pivot.naming import Display
from queryfleet.pivot.ranked import RankedColumns
from queryfleet.pivot.spec import PivotLimits, PivotPlan
from queryfleet.pivot.wire import parse_pivot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.stand import Stand

__all__ = ["run"]

BATCH_ROWS = 8192
WIDTHS = (60, 200, 1000)
SHARE = 0.8  # of the cells are there
PLAN = PivotPlan(
    spec=parse_pivot(
        {
            "indexColumn": {"reference": "orders_customer_id", "type": "category"},
            "valuesColumns": [{"reference": "orders_amount", "aggregation": "sum"}],
            "groupByColumns": [{"reference": "orders_city"}],
        }
    ),
    limits=PivotLimits(rows=None, columns=20_000),
)
DISPLAY = Display(rules={})


def ranked_table(cells: int, width: int, *, first_row: int = 0) -> pa.Table:
    """Make cells of `width` columns in order, of which a fifth are missing."""
    random = np.random.default_rng(7 + first_row)
    kept = np.flatnonzero(random.random(int(cells / SHARE) // width * width) < SHARE)
    row, column = kept // width, kept % width
    cities = np.array([f"city {number:04d}" for number in range(width)], dtype=object)
    return pa.table(
        {
            "orders_customer_id": pa.array(row + 1000 + first_row),
            "orders_city": pa.array(cities[column], pa.string()),
            "orders_amount_sum": pa.array(random.integers(0, 10_000_000, len(kept)) / 100),
            "row_index": pa.array(row + 1 + first_row),
            "column_index": pa.array(column + 1),
            "total_columns": pa.array(np.full(len(kept), width)),
        }
    )


def fold_ranked(batches: Iterator[pa.RecordBatch] | list[pa.RecordBatch]) -> Iterator[memoryview]:
    columns = RankedColumns(PLAN, DISPLAY)
    for lines in folded(map(columns.cells, batches), PLAN.spec, columns.columns):
        yield lines.data


def run_ranked(batches: list[pa.RecordBatch]) -> float:
    started = time.process_time()
    sum(map(len, fold_ranked(batches)))
    return time.process_time() - started


def run_unranked(table: pa.Table) -> float:
    started = time.process_time()
    found = pivoted(table, PLAN, DISPLAY)
    sum(len(lines.data) for lines in folded([found.cells], PLAN.spec, found.dictionary.columns))
    return time.process_time() - started


def run_polars(table: pa.Table, path: Path) -> float:
    import polars as pl

    started = time.process_time()
    frame = pl.DataFrame(table)
    wide = frame.pivot("orders_city", index="orders_customer_id", values="orders_amount_sum", aggregate_function=None)
    wide.sort("orders_customer_id").write_ndjson(path)
    return time.process_time() - started


def run_duckdb(table: pa.Table, path: Path) -> float:
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("flat", table)
        started = time.process_time()
        connection.execute(
            "copy (from (pivot (select orders_customer_id, orders_city, orders_amount_sum from flat) on orders_city "
            f"using first(orders_amount_sum) group by orders_customer_id) order by 1) to '{path}' (format json)"
        )
        return time.process_time() - started


def alternated(sides: dict[str, Callable[[], float]], runs: int) -> dict[str, float]:
    """Return the median CPU seconds of each side."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, side in sides.items():
            found[name].append(side())
    return {name: median(seconds) for name, seconds in found.items()}


def compare(cells: int, width: int, runs: int, folder: Path) -> Iterator[Finding]:
    table = ranked_table(cells, width).combine_chunks()
    batches = table.to_batches(max_chunksize=BATCH_ROWS)
    order = np.random.default_rng(5).permutation(table.num_rows)
    shuffled = table.select(["orders_customer_id", "orders_city", "orders_amount_sum"]).take(pa.array(order))
    path = folder / "flat.json"
    path.write_text(json.dumps({name: table[name].to_pylist() for name in table.column_names}))
    digest = hashlib.sha256()
    for data in fold_ranked(batches):
        digest.update(data)
    with NodeSide("pivot.mjs", {"path": str(path)}) as node:
        if node.ask({})["sha256"] != digest.hexdigest():
            raise RuntimeError("both sides do not write the same lines")
        seconds = alternated({"ours": lambda: run_ranked(batches), "node": lambda: node.ask({})["cpuSeconds"]}, runs)
    yield finding(f"{width} columns, ranked", table.num_rows, seconds, other="node", title="Node", target=8)
    # Each gets its own run beside ours: what one leaves in the caches would otherwise meet the next.
    wide = folder / "wide.json"
    for name, side in (("Polars", run_polars), ("DuckDB", run_duckdb)):
        pair = {"ours": lambda: run_unranked(shuffled), "other": lambda side=side: side(shuffled, wide)}  # type: ignore[misc]
        yield finding(
            f"{width} columns, unranked", table.num_rows, alternated(pair, max(3, runs // 2)), other="other", title=name
        )


def finding(
    what: str, cells: int, seconds: dict[str, float], *, other: str, title: str, target: float | None = None
) -> Finding:
    ratio = seconds[other] / seconds["ours"]
    return Finding(
        what=f"cells per core-second, {what}",
        ours=f"{cells / seconds['ours'] / 1e6:.1f} M",
        other=f"{title}: {cells / seconds[other] / 1e6:.2f} M",
        ratio=f"{times(ratio)} faster",
        target="" if target is None else f">= {target:g}x",
        met=None if target is None else ratio >= target,
    )


def memory_of(cells: int, work: str) -> float:
    """Return the peak memory in bytes of a process that makes so many cells of 200 columns, and maybe folds them."""
    command = [sys.executable, "-m", "bench.pivot", work, str(cells)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def high_water_bytes() -> int:
    """Return the most memory this process has had; the kernel's other figure begins with that of the parent."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell VmHWM")


def stream(cells: int) -> Iterator[pa.RecordBatch]:
    piece = 100_000
    for number in range(max(1, cells // piece)):
        yield from ranked_table(piece, 200, first_row=number * piece).to_batches(max_chunksize=BATCH_ROWS)


def run(stand: Stand) -> Report:
    """Alternate the sides. Takes about two minutes."""
    cells, runs = (100_000, 3) if stand.quick else (800_000, 7)
    findings = [found for width in WIDTHS for found in compare(cells, width, runs, stand.folder)]
    sizes = (10**5, 10**6) if stand.quick else (10**6, 10**7)
    idle = memory_of(sizes[0], "make")
    small, large = (memory_of(size, "fold") for size in sizes)
    findings.append(
        Finding(
            what=f"peak memory, {sizes[1]:,} cells folded",
            ours=f"{large / 1e6:,.0f} MB",
            other=f"{sizes[0]:,} cells: {small / 1e6:,.0f} MB",
            ratio=f"{(large / small - 1) * 100:+.1f} %",
            target="within 10 %",
            met=large / small <= 1.1,
        )
    )
    findings.append(Finding(what="the same process without the fold", ours=f"{idle / 1e6:,.0f} MB"))
    setting = f"{cells:,} cells, a fifth of all missing; CPU time, medians of {runs} alternating runs."
    return Report(findings=tuple(findings), setting=setting)


if __name__ == "__main__":
    made = stream(int(sys.argv[2]))
    sum(map(len, fold_ranked(made)) if sys.argv[1] == "fold" else (batch.num_rows for batch in made))
    print(high_water_bytes())
