"""The memory of a pivot of ten million flat cells and two thousand columns in one process, as a query actor makes it.

Batches come in no order, as from a warehouse, and are gone once they were taken. Lines are cut into chunks and written
to a folder. The process may have no more than 2 GB of address space beyond what it has before its first batch, so that
it fails when it needs more; peak memory is the kernel's figure of what it really had. The other side holds the same
rows in one table and has Polars pivot and write them.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from bench.pivot import high_water_bytes
from bench.report import Finding, Report, seconds, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.stand import Stand

__all__ = ["run"]

WIDTH = 2000
LIMIT_BYTES = 2 * 10**9
_BATCH_ROWS = 65_536
_STEP = 7_368_787  # coprime to every number of cells here, so that it visits all of them


def flat_batches(cells: int) -> Iterator[pa.RecordBatch]:
    """Yield one row for each cell, neighbours far apart."""
    cities = pa.array([f"city {number:04d}" for number in range(WIDTH)])
    for begin in range(0, cells, _BATCH_ROWS):
        cell = np.arange(begin, min(begin + _BATCH_ROWS, cells), dtype=np.int64) * _STEP % cells
        yield pa.RecordBatch.from_arrays(
            [
                pa.array(cell // WIDTH + 1000),
                cities.take(pa.array(cell % WIDTH)),
                pa.array((cell * 7919 % 100_003) / 4),
            ],
            names=["i", "g", "v_sum"],
        )


async def pivot_here(cells: int, sort: str, folder: Path) -> int:
    """Pivot and store the lines; returns how many there are."""
    from actors.pivoting import Pivoting
    from queryfleet.pivot.spec import PivotLimits, PivotPlan
    from queryfleet.pivot.task import PivotTask, PivotWay
    from queryfleet.pivot.wire import parse_pivot
    from queryfleet.results.chunking import ChunkBuilder, ChunkLimits
    from queryfleet.results.store import open_store

    spec = parse_pivot(
        {
            "indexColumn": [{"reference": "i"}],
            "groupByColumns": [{"reference": "g"}],
            "valuesColumns": [{"reference": "v", "aggregation": "sum"}],
            "sortBy": [{"reference": sort, "direction": "DESC"}],
        }
    )
    plan = PivotPlan(spec=spec, limits=PivotLimits(rows=None, columns=WIDTH))
    pivoting = Pivoting(PivotTask(way=PivotWay.DISTRIBUTED, plan=plan), cells_max=cells, cells=None)
    batches = flat_batches(cells)
    schema = next(flat_batches(1)).schema
    store = open_store(f"file://{folder}")
    builder = ChunkBuilder("00000000-0000-4000-8000-000000000000", 1, ChunkLimits())
    resource.setrlimit(resource.RLIMIT_AS, (_address_space_bytes() + LIMIT_BYTES,) * 2)
    for lines in pivoting.lines(schema, batches, lambda _: None):
        full = builder.append(lines)
        if full is not None:
            await store.put(full.ref.key, full.data)
    if (last := builder.seal()) is not None:
        await store.put(last.ref.key, last.data)
    await store.close()
    return builder.row_count


def pivot_by_polars(cells: int, folder: Path) -> int:
    """Pivot the same rows with Polars and write them; returns how many lines there are."""
    import polars as pl

    frame = pl.DataFrame(pa.Table.from_batches(flat_batches(cells)))
    wide = frame.pivot("g", index="i", values="v_sum", aggregate_function=None).sort("i")
    wide.write_ndjson(folder / "wide.jsonl")
    return wide.height


def _address_space_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")


def measured(side: str, cells: int) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "bench.pivot_memory", side, str(cells)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run(stand: Stand) -> Report:
    """Run each side once. Takes about a minute."""
    cells = 1_000_000 if stand.quick else 10_000_000
    polars = measured("polars", cells)
    findings = []
    for sort, title in (("i", "by index"), ("v", "by value")):
        ours = measured(sort, cells)
        findings += [
            Finding(
                what=f"peak memory, {cells:,} cells x {WIDTH:,} columns, {title}",
                ours=f"{ours['peak'] / 1e6:,.0f} MB",
                other=f"Polars: {polars['peak'] / 1e6:,.0f} MB",
                ratio=f"{times(polars['peak'] / ours['peak'])} less",
                target="<= 2,000 MB",
                met=ours["peak"] <= LIMIT_BYTES,
            ),
            Finding(
                what=f"wall time, {title}",
                ours=seconds(ours["seconds"]),
                other=f"Polars: {seconds(polars['seconds'])}",
                ratio=f"{times(polars['seconds'] / ours['seconds'])} faster",
            ),
        ]
    findings.append(Finding(what="the same process before its first batch", ours=f"{ours['before'] / 1e6:,.0f} MB"))
    return Report(findings=tuple(findings), setting=f"{cells:,} cells, {cells // WIDTH:,} rows; one run each.")


def main(side: str, cells: int) -> None:
    """Print what one side needed as JSON."""
    import polars as pl  # noqa: F401 - so that imports are no part of what is measured

    before = high_water_bytes()
    with tempfile.TemporaryDirectory(prefix="queryfleet-memory-") as name:
        began = time.perf_counter()
        rows = (
            pivot_by_polars(cells, Path(name)) if side == "polars" else asyncio.run(pivot_here(cells, side, Path(name)))
        )
        spent = time.perf_counter() - began
    if rows != cells // WIDTH:
        raise RuntimeError(f"there are {rows} lines of {cells // WIDTH}")
    print(json.dumps({"peak": high_water_bytes(), "before": before, "seconds": spent}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
