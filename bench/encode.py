"""Arrow to JSON lines: the encoder against Node's JSON.stringify per row, on the same rows.

    python bench/encode.py [--rows 300000] [--runs 7]

Both sides start from rows in memory: Arrow batches of 8,192 rows here, row objects as database drivers give
them there (see bench/node/encode.mjs). Runs alternate; printed are medians of the process's CPU time, the
ratio, what Polars' `struct.json_encode` does with the same batches after casts that give nearly the same
spellings, and how two threads scale.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import polars as pl
import pyarrow as pa

from queryfleet.results.encoder import Encoder

BATCH_ROWS = 8192
NODE_SCRIPT = Path(__file__).parent / "node" / "encode.mjs"
NODE_TYPES = {
    "order_id": "bigint",
    "customer_id": "int",
    "quantity": "int",
    "price": "numeric",
    "discount": "numeric",
    "score": "float",
    "ordered_on": "date",
    "created_at": "timestamp",
    "city": "text",
    "status": "text",
    "comment": "text",
    "paid": "bool",
}


def mixed_table(rows: int) -> pa.Table:
    """Make orders of twelve columns; a tenth of the values of some of them are null."""
    random = np.random.default_rng(7)

    def with_nulls(values, kind):
        return pa.array(values, kind, mask=random.random(rows) < 0.1)

    cities = np.array(["Oslo", "Berlin", "São Paulo", "New York", "東京", "Zürich"], dtype=object)
    words = np.array(
        ["fragile", "leave at the door", 'called "twice"', "", "gift wrapping, no invoice in the parcel"],
        dtype=object,
    )
    cents = random.integers(-10_000, 10_000_000, rows)
    return pa.table(
        {
            "order_id": pa.array(random.integers(1, 10**12, rows)),
            "customer_id": pa.array(random.integers(1, 10**6, rows), pa.int32()),
            "quantity": with_nulls(random.integers(0, 100, rows), pa.int32()),
            "price": _decimals(cents, 18, 2),
            "discount": _decimals(random.integers(0, 10_000, rows), 10, 4),
            "score": pa.array(random.random(rows)),
            "ordered_on": with_nulls(random.integers(18_000, 20_000, rows).astype(np.int32), pa.int32()).cast(
                pa.date32()
            ),
            "created_at": pa.array(random.integers(15 * 10**11, 17 * 10**11, rows) * 1000).cast(
                pa.timestamp("us", "UTC")
            ),
            "city": with_nulls(cities[random.integers(0, len(cities), rows)], pa.string()),
            "status": pa.array(
                np.array(["open", "paid", "shipped"], dtype=object)[random.integers(0, 3, rows)], pa.string()
            ),
            "comment": with_nulls(words[np.minimum(random.integers(0, 40, rows), 4)], pa.string()),
            "paid": with_nulls(random.random(rows) < 0.5, pa.bool_()),
        }
    )


def _decimals(unscaled, precision, scale):
    words = np.stack([unscaled, unscaled >> 63], axis=1).astype(np.int64)
    return pa.Array.from_buffers(pa.decimal128(precision, scale), len(unscaled), [None, pa.py_buffer(words)])


def write_for_node(table: pa.Table, path: Path) -> None:
    """Write the same rows as text per value, as a database sends them."""
    columns = {}
    for name, kind in NODE_TYPES.items():
        column = table[name]
        as_text = kind in ("bigint", "int", "numeric", "float", "date", "timestamp")
        if kind == "timestamp":
            columns[name] = [value.isoformat() for value in column.to_pylist()]
        else:
            columns[name] = (column.cast(pa.string()) if as_text else column).to_pylist()
    path.write_text(json.dumps({"types": NODE_TYPES, "columns": columns}, ensure_ascii=False))


class NodeRows:
    """The Node side: one process that encodes all rows each time it is told to."""

    def __init__(self, path: Path) -> None:
        command = ["node", "--max-old-space-size=4096", str(NODE_SCRIPT), str(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def _answer(self):
        return json.loads(self._process.stdout.readline())

    def run(self) -> tuple[float, int]:
        """Return CPU seconds and bytes of one run."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        answer = self._answer()
        return answer["cpuSeconds"], answer["bytes"]

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=30)


def run_encoder(batches: list[pa.RecordBatch]) -> tuple[float, int]:
    encoder = Encoder(batches[0].schema)
    started = time.process_time()
    size = sum(len(encoder.encode(batch).data) for batch in batches)
    return time.process_time() - started, size


def run_polars(batches: list[pa.RecordBatch]) -> tuple[float, int]:
    """Encode with Polars after casts of times and decimals; exact only for the values of this table."""
    started, size = time.process_time(), 0
    for batch in batches:
        frame = pl.DataFrame(batch).with_columns(
            pl.col("price", "discount").cast(pl.Float64),
            pl.Series("ordered_on", pl.from_arrow(batch["ordered_on"].cast(pa.string()))),
            pl.Series(
                "created_at", pl.from_arrow(batch["created_at"].cast(pa.timestamp("ms")).cast(pa.string()))
            ),
        )
        lines = frame.select(pl.struct(pl.all()).struct.json_encode()).to_series()
        array = lines.to_arrow(compat_level=pl.CompatLevel.oldest())
        size += array.buffers()[2].size + len(array)
    return time.process_time() - started, size


def thread_scaling(batches: list[pa.RecordBatch]) -> float:
    """Return how much faster two threads encode than one, in wall time; 2 is the best."""

    def work():
        run_encoder(batches)

    started = time.perf_counter()
    work()
    one = time.perf_counter() - started
    threads = [threading.Thread(target=work) for _ in range(2)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 2 * one / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Compare the encoder with Node's JSON.stringify on the same rows."
    )
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    table = mixed_table(options.rows)
    batches = table.combine_chunks().to_batches(max_chunksize=BATCH_ROWS)
    run_encoder(batches[:2])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        write_for_node(table, path)
        node = NodeRows(path)
        sides = {
            "queryfleet": lambda: run_encoder(batches),
            "node": node.run,
            "polars": lambda: run_polars(batches),
        }
        found: dict[str, list[tuple[float, int]]] = {name: [] for name in sides}
        for _ in range(options.runs):
            for name, run in sides.items():
                found[name].append(run())
        node.close()
    report(found, options.rows)
    scaling = statistics.median(thread_scaling(batches) for _ in range(3))
    print(f"two threads: {scaling:.2f}x of one")


def report(found: dict[str, list[tuple[float, int]]], rows: int) -> None:
    seconds = {name: statistics.median(cpu for cpu, _ in runs) for name, runs in found.items()}
    print(f"{rows:,} rows of {len(NODE_TYPES)} columns; medians of {len(found['node'])} alternating runs")
    print(f"{'':12}{'MB':>8}{'CPU s':>9}{'MB/CPU-s':>10}{'rows/CPU-s':>13}{'ns/value':>10}")
    for name, runs in found.items():
        cpu, size = seconds[name], runs[0][1]
        numbers = f"{size / 1e6:8.1f}{cpu:9.3f}{size / cpu / 1e6:10.0f}{rows / cpu:13,.0f}"
        print(f"{name:12}{numbers}{cpu / rows / len(NODE_TYPES) * 1e9:10.1f}")
    ours, theirs = found["queryfleet"][0][1], found["node"][0][1]
    ratio = seconds["node"] / seconds["queryfleet"]
    print(f"against node: {ratio:.1f}x rows, {ratio * ours / theirs:.1f}x MB per core-second")


if __name__ == "__main__":
    main()
