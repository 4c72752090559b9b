"""A program that pivots on the cluster of its environment and writes what came out to `answer.json`.

Partitions are made by tasks, each of which leaves a line in a file, so that it shows which ones were made again. Told
to, it ends the other node's raylet as soon as the first chunk is there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import threading
import time
import uuid
from pathlib import Path

import ray

from actors.pivot_tasks import PivotJob, pivot_on_cluster
from queryfleet.errors import ServiceError
from queryfleet.pivot.naming import Display
from queryfleet.pivot.spec import PivotLimits, PivotPlan
from queryfleet.pivot.wire import parse_pivot
from queryfleet.results.chunking import ChunkLimits
from queryfleet.settings import Settings

PARTITIONS, ROWS, COLUMNS = 4, 6000, 40
RANGES = 8


def plan_of(sort: str, columns_max: int = 20_000) -> PivotPlan:
    """Return the plan; sorted by a value it needs whole rows in a partition."""
    spec = parse_pivot(
        {
            "indexColumn": [{"reference": "i"}],
            "valuesColumns": [{"reference": "v", "aggregation": "any"}],
            "groupByColumns": [{"reference": "g"}],
            "sortBy": [{"reference": sort, "direction": "DESC"}],
        }
    )
    return PivotPlan(spec=spec, limits=PivotLimits(rows=None, columns=30, columns_max=columns_max))


def partition(number: int, marks: str | None = None):
    """Make one partition of rows in no order."""
    import random

    import pyarrow as pa

    if marks is not None:
        with Path(marks).open("a", encoding="ascii") as file:
            file.write(f"{number}\n")
    cells = [cell for cell in range(ROWS * COLUMNS) if cell * 2654435761 % 2**32 % PARTITIONS == number]
    cells = [cell for cell in cells if cell * 40503 % 1000 < 700]
    random.Random(number).shuffle(cells)
    return pa.table(
        {
            "i": pa.array([cell // COLUMNS for cell in cells], pa.int64()),
            "g": pa.array([f"group {cell % COLUMNS}" for cell in cells], pa.string()),
            "v_any": pa.array([cell * 7919 % 100_003 / 4 for cell in cells], pa.float64()),
        }
    )


def raylet_of(node_id: str) -> int:
    """Return the process of a node's raylet: the parent of its workers."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def parent() -> int:
        return os.getppid()

    where = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return ray.get(ray.remote(parent).options(num_cpus=0, scheduling_strategy=where).remote())


def end_when_stored(pid: int, folder: Path, ended: list[float]) -> None:
    """End a process once there is a chunk."""
    while not any(folder.rglob("*.jsonl")):
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    ended.append(time.monotonic())


async def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sort", default="i")
    parser.add_argument("--columns-max", type=int, default=20_000)
    parser.add_argument("--lose", action="store_true")
    options = parser.parse_args()
    ray.init(logging_level="error", log_to_driver=False)
    try:
        answer = await pivot(options)
    except ServiceError as error:
        answer = {"error": error.code, "details": error.details}
    finally:
        ray.shutdown()
    (options.folder / "answer.json").write_text(json.dumps(answer))


async def pivot(options: argparse.Namespace) -> dict[str, object]:
    """Pivot and describe the outcome."""
    here = ray.get_runtime_context().get_node_id()
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    (other,) = [node for node in nodes if node != here]
    store = options.folder / "store"
    marks = options.folder / "marks"
    make = ray.remote(partition).options(num_cpus=0, scheduling_strategy="SPREAD", max_retries=3)
    partitions = [make.remote(number, str(marks)) for number in range(PARTITIONS)]
    ended: list[float] = []
    if options.lose:
        threading.Thread(target=end_when_stored, args=(raylet_of(other), store, ended), daemon=True).start()
    committed = []

    async def commit(chunk):
        committed.append(chunk)

    job = PivotJob(
        query_uuid=str(uuid.uuid4()),
        attempt=1,
        plan=plan_of(options.sort, options.columns_max),
        display=Display(rules={}),
        chunk_limits=ChunkLimits(chunk_bytes=100_000, chunk_bytes_first=10_000),
        settings=Settings(store_url=f"file://{store}"),
    )
    began = time.monotonic()
    found = await pivot_on_cluster(partitions, job, range_count=RANGES, commit=commit)
    chunks = [*committed, *found.result.uncommitted]
    return {
        "chunks": [
            {
                "index": chunk.index,
                "key": chunk.key,
                "first_row": chunk.first_row,
                "row_count": chunk.row_count,
                "byte_count": chunk.byte_count,
                "crc32": chunk.crc32,
                "blocks": chunk.blocks.hex(),
            }
            for chunk in chunks
        ],
        "row_count": found.result.row_count,
        "byte_count": found.result.byte_count,
        "chunk_count": found.result.chunk_count,
        "names": found.schema.names,
        "here": here,
        "other": other,
        "node_ids": found.node_ids,
        "seconds": time.monotonic() - began,
        "lost": bool(ended),
    }


if __name__ == "__main__":
    asyncio.run(main())
