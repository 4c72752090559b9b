"""Arrow to JSON lines: the encoder against Node's JSON.stringify per row, on the same rows.

Both sides start from rows in memory: Arrow batches of 8,192 rows here, row objects as database drivers give
them there (see bench/node/encode.mjs). Runs alternate; printed are medians of the process's CPU time, the
ratio, what Polars' `struct.json_encode` does with the same batches after casts that give nearly the same
spellings, and how two threads scale.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import polars as pl
import pyarrow as pa

from bench.figures import median
from bench.node_side import NodeSide
from bench.report import Finding, Report, times
from queryfleet.results.encoder import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from bench.stand import Stand

__all__ = ["run"]

BATCH_ROWS = 8192
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

    def with_nulls(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
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


def _decimals(unscaled: npt.NDArray[np.int64], precision: int, scale: int) -> pa.Array:
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


def run_node(node: NodeSide) -> tuple[float, int]:
    answer = node.ask({})
    return answer["cpuSeconds"], answer["bytes"]


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
            pl.Series("created_at", pl.from_arrow(batch["created_at"].cast(pa.timestamp("ms")).cast(pa.string()))),
        )
        lines = frame.select(pl.struct(pl.all()).struct.json_encode()).to_series()
        array = lines.to_arrow(compat_level=pl.CompatLevel.oldest())
        size += array.buffers()[2].size + len(array)
    return time.process_time() - started, size


def thread_scaling(batches: list[pa.RecordBatch]) -> float:
    """Return how much faster two threads encode than one, in wall time; 2 is the best."""

    def work() -> None:
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


def run(stand: Stand) -> Report:
    """Alternate the three sides. Takes about a minute and a half."""
    rows, runs = (50_000, 5) if stand.quick else (300_000, 7)
    table = mixed_table(rows)
    batches = table.combine_chunks().to_batches(max_chunksize=BATCH_ROWS)
    run_encoder(batches[:2])
    path = stand.folder / "rows.json"
    write_for_node(table, path)
    with NodeSide("encode.mjs", {"path": str(path)}) as node:
        sides: dict[str, Callable[[], tuple[float, int]]] = {
            "queryfleet": lambda: run_encoder(batches),
            "node": lambda: run_node(node),
            "polars": lambda: run_polars(batches),
        }
        found: dict[str, list[tuple[float, int]]] = {name: [] for name in sides}
        for _ in range(runs):
            for name, side in sides.items():
                found[name].append(side())
    scaling = median([thread_scaling(batches) for _ in range(5)])
    setting = f"{rows:,} rows of {len(NODE_TYPES)} columns; CPU time, medians of {runs} alternating runs."
    return Report(findings=tuple(findings(found, rows, scaling)), setting=setting)


def findings(found: dict[str, list[tuple[float, int]]], rows: int, scaling: float) -> list[Finding]:
    cpu = {name: median([seconds for seconds, _ in runs]) for name, runs in found.items()}
    size = {name: runs[0][1] for name, runs in found.items()}
    speed = {name: size[name] / cpu[name] for name in found}
    lines = []
    for name, title in (("node", "Node"), ("polars", "Polars")):
        ratio = cpu[name] / cpu["queryfleet"]
        lines.append(
            Finding(
                what=f"rows per core-second, against {title}",
                ours=f"{rows / cpu['queryfleet']:,.0f}",
                other=f"{title}: {rows / cpu[name]:,.0f}",
                ratio=f"{times(ratio)} faster",
                target=">= 5x" if name == "node" else "",
                met=ratio >= 5 if name == "node" else None,
            )
        )
    ours, theirs = f"{speed['queryfleet'] / 1e6:.0f} MB", f"Node: {speed['node'] / 1e6:.0f} MB"
    denser = times(speed["queryfleet"] / speed["node"])
    lines.append(Finding(what="bytes per core-second", ours=ours, other=theirs, ratio=f"{denser} faster"))
    per_value = cpu["queryfleet"] / rows / len(NODE_TYPES) * 1e9
    lines.append(Finding(what="time of a value", ours=f"{per_value:.0f} ns"))
    lines.append(Finding(what="two threads against one, wall time", ours=f"{scaling:.2f}x"))
    return lines
