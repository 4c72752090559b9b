"""A pivot on the cluster, on one core and on two: what each stage costs, and what more nodes would do to it.

Flat rows lie in Ray's object store, in no order, made by tasks, as they do when a query actor has handed them over.
Lines go to a folder. Both sides run in turn in one process on one node; the first run, which starts workers, does not
count. One side has one core for everything, Ray and uploads included, and one task at once; the other has two of each.
Libraries use one thread. Of each stage the shortest run counts, and a loop of plain arithmetic beside it says what two
processes gain on this machine at all.

The projection says: a stage whose work is cut into tasks takes its core-seconds divided by the cores, but no less than
its longest task; a stage that is not cut takes what it takes. It leaves the network out.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report import Finding, Report, seconds, times

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from bench.stand import Stand
    from queryfleet.pivot.spec import PivotPlan

__all__ = ["projected", "run"]

SERIAL = ("dictionary", "row plan")  # done once, where the query actor is
ARITHMETIC = "plain arithmetic"  # no stage: eight tasks that only use a core
WIDTH = 60
PARTITION_CELLS = 2_000_000
NODES, CORES_PER_NODE = 8, 4
STORE_BYTES = 2 * 2**30  # of the object store: all of it in memory, so that no disk is measured
_ENVIRONMENT = {"RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The shortest runs of one pivot."""

    one: Mapping[str, float]  # seconds of each stage on one core
    two: Mapping[str, float]  # on two


def flat_partition(number: int, cells: int, partitions: int) -> pa.Table:
    """Make one partition of flat rows in no order, as a query actor keeps them; together they have whole rows."""
    import numpy as np
    import pyarrow as pa

    from queryfleet.pivot.flat import compacted

    random = np.random.default_rng(number)
    cell = random.permutation(cells) * partitions + number
    cities = np.array([f"city {column:04d}" for column in range(WIDTH)], dtype=object)
    table = pa.table(
        {
            "orders_customer_id": pa.array(cell // WIDTH),
            "orders_city": pa.array(cities[cell % WIDTH], pa.string()),
            "orders_amount_sum": pa.array(random.integers(0, 10_000_000, cells) / 100),
        }
    )
    return compacted(table, plan_of("orders_customer_id"))


def projected(measured: Mapping[str, float], *, cores: int, tasks: int) -> float:
    """Return how many seconds a pivot takes on so many cores.

    Args:
        measured: Seconds of each stage on one core.
        cores: Of all nodes.
        tasks: Into how many tasks a stage is cut.
    """
    shared = sum(spent for name, spent in measured.items() if name not in (*SERIAL, ARITHMETIC))
    serial = sum(spent for name, spent in measured.items() if name in SERIAL)
    return serial + shared * math.ceil(tasks / cores) / tasks


def measure(sort: str, cells: int, runs: int) -> Measured:
    """Run pivots in a process of its own, with a Ray of its own."""
    command = [sys.executable, "-m", "bench.pivot_scaling", sort, str(cells), str(runs)]
    environment = os.environ | _ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found = json.loads(done.stdout.splitlines()[-1])
    return Measured(one=found["1"], two=found["2"])


def findings_of(title: str, measured: Measured, tasks: int) -> Iterator[Finding]:
    """Yield a line for each stage, the sum of those that are cut, and the projection."""
    stages = [name for name in measured.one if name != ARITHMETIC]
    for name, one in measured.one.items():
        two = measured.two[name]
        yield Finding(
            what=f"{title}: {name}", ours=seconds(two), other=f"one core: {seconds(one)}", ratio=times(one / two)
        )
    one, two = (sum(side[name] for name in stages if name not in SERIAL) for side in (measured.one, measured.two))
    ratio = one / two
    yield Finding(
        what=f"{title}: stages that are cut, on two cores",
        ours=seconds(two),
        other=f"one core: {seconds(one)}",
        ratio=f"{times(ratio)} faster",
        target=">= 1.6x",
        met=ratio >= 1.6,
    )
    whole = sum(measured.one[name] for name in stages)
    cores = NODES * CORES_PER_NODE
    then = projected(measured.one, cores=cores, tasks=max(tasks, 2 * cores))
    yield Finding(
        what=f"{title}: projected to {NODES} nodes of {CORES_PER_NODE} cores",
        ours=seconds(then),
        other=f"one core: {seconds(whole)}",
        ratio=f"{times(whole / then)} faster",
    )


def run(stand: Stand) -> Report:
    """Measure a pivot by index and one by value. Takes about a minute."""
    cells, runs = (4_000_000, 1) if stand.quick else (16_000_000, 4)
    findings: list[Finding] = []
    for title, sort in (("by index", "orders_customer_id"), ("by value", "orders_amount")):
        findings += findings_of(title, measure(sort, cells, runs), cells // PARTITION_CELLS)
    setting = (
        f"{cells:,} cells, {WIDTH} columns, partitions of {PARTITION_CELLS:,}; the shortest of {runs} alternating runs."
    )
    return Report(findings=tuple(findings), setting=setting)


def plan_of(sort: str) -> PivotPlan:
    """Return the pivot, sorted by an index or a value column."""
    from queryfleet.pivot.spec import PivotLimits, PivotPlan
    from queryfleet.pivot.wire import parse_pivot

    spec = parse_pivot(
        {
            "indexColumn": {"reference": "orders_customer_id", "type": "category"},
            "valuesColumns": [{"reference": "orders_amount", "aggregation": "sum"}],
            "groupByColumns": [{"reference": "orders_city"}],
            "sortBy": [{"reference": sort, "direction": "DESC"}],
        }
    )
    return PivotPlan(spec=spec, limits=PivotLimits(rows=None, columns=200))


async def _pivot(sort: str, partitions: list[object], at_once: int, folder: Path) -> dict[str, float]:
    from actors.pivot_tasks import PivotJob, pivot_on_cluster
    from queryfleet.pivot.naming import Display
    from queryfleet.results.chunking import ChunkLimits
    from queryfleet.settings import Settings

    query_uuid = str(uuid.uuid4())
    job = PivotJob(
        query_uuid=query_uuid,
        attempt=1,
        plan=plan_of(sort),
        display=Display(rules={}),
        chunk_limits=ChunkLimits(),
        settings=Settings(store_url=f"file://{folder}", actor_niceness=0),
    )

    async def commit(_: object) -> None:
        """Publish nothing."""

    found = await pivot_on_cluster(partitions, job, range_count=len(partitions), commit=commit, at_once=at_once)
    shutil.rmtree(folder / "results" / query_uuid, ignore_errors=True)
    return dict(found.stage_seconds)


def _count() -> int:
    return sum(range(4_000_000))


async def _arithmetic(at_once: int) -> float:
    import ray

    room = asyncio.Semaphore(at_once)
    task = ray.remote(_count).options(num_cpus=0, scheduling_strategy="SPREAD")

    async def one() -> None:
        async with room:
            await task.remote()

    began = time.monotonic()
    await asyncio.gather(*(one() for _ in range(8)))
    return time.monotonic() - began


def _use_cores(count: int) -> None:
    """Let every thread of this process, of Ray and of its workers run on so many cores only."""
    import psutil

    cores = sorted(os.sched_getaffinity(os.getppid()))[:count]
    this = psutil.Process()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.Error):
            for thread in process.threads():
                with suppress(ProcessLookupError):  # it has just ended
                    os.sched_setaffinity(thread.id, cores)


def main(sort: str, cells: int, runs: int) -> None:
    """Print the shortest times as JSON."""
    import ray

    count = max(2, cells // PARTITION_CELLS)
    ray.init(
        num_cpus=2, include_dashboard=False, object_store_memory=STORE_BYTES, logging_level="error", log_to_driver=False
    )
    try:
        make = ray.remote(flat_partition).options(num_cpus=0)
        partitions = [make.remote(number, cells // count, count) for number in range(count)]
        ray.wait(partitions, num_returns=count)
        found: dict[int, list[dict[str, float]]] = {1: [], 2: []}
        with tempfile.TemporaryDirectory(prefix="queryfleet-scaling-") as folder:
            asyncio.run(_pivot(sort, partitions, 2, Path(folder)))  # starts the workers
            for _ in range(runs):
                for at_once, each in found.items():
                    _use_cores(at_once)
                    spent = asyncio.run(_pivot(sort, partitions, at_once, Path(folder)))
                    each.append(spent | {ARITHMETIC: asyncio.run(_arithmetic(at_once))})
    finally:
        ray.shutdown()
    print(
        json.dumps({side: {name: min([one[name] for one in each]) for name in each[0]} for side, each in found.items()})
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
