"""One file from stored chunks, or the plain way to the same file, in a process of its own: time, CPU, peak memory.

python -m bench.export_process FOLDER ours|plain FORMAT
"""

from __future__ import annotations

import asyncio
import json
import pickle
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from queryfleet.export.files import file_pieces
from queryfleet.export.options import ExportFormat, ExportOptions
from queryfleet.export.ordered import in_order
from queryfleet.export.parts import LocalParts, PartRequest
from queryfleet.export.plan import ExportPlan
from queryfleet.results.store import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["INDEX"]

INDEX = "index.pickle"  # schema and chunks, as the benchmark stored them


async def ours(folder: Path, format_: ExportFormat) -> int:
    """Make the file as the service does, with two parts at once, into the store."""
    schema, chunks = pickle.loads((folder / INDEX).read_bytes())
    plan = ExportPlan.of(ExportOptions(format=format_, only_raw=True, byte_order_mark=False), schema)
    store = open_store((folder / "store").as_uri())
    parts = LocalParts(store, at_once=2)

    async def requests() -> AsyncIterator[PartRequest]:
        for chunk in chunks:
            yield PartRequest.of(plan, chunk)

    async def made() -> AsyncIterator[bytes]:
        async for part in in_order(requests(), parts.part, at_once=parts.at_once):
            yield part.data

    return await store.put_stream(f"made/ours{format_.extension}", file_pieces(plan, made()))


def plain(folder: Path, format_: ExportFormat) -> int:
    """Read all lines with Polars, types guessed, and write them with Polars or PyArrow."""
    import polars as pl

    files = sorted((folder / "store").rglob("*.jsonl"))
    target = folder / f"plain{format_.extension}"
    frame = pl.concat([pl.read_ndjson(file) for file in files if "made" not in file.parts], how="vertical_relaxed")
    match format_:
        case ExportFormat.CSV:
            frame.write_csv(target)
        case ExportFormat.PARQUET:
            frame.write_parquet(target, compression="zstd")
        case ExportFormat.ARROW:
            frame.write_ipc(target)
        case ExportFormat.ARROW_STREAM:
            frame.write_ipc_stream(target)
        case _:
            frame.write_ndjson(target)
    return target.stat().st_size


def main(folder: Path, side: str, format_: ExportFormat) -> None:
    """Run one side and print what it took as one JSON line."""
    import polars as pl
    import pyarrow as pa

    pl.Series([1]).to_arrow().cast(pa.int8())  # imports are not part of what is measured
    began, cpu = time.perf_counter(), time.process_time()
    size = asyncio.run(ours(folder, format_)) if side == "ours" else plain(folder, format_)
    took = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu, "bytes": size}
    print(json.dumps(took | {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], ExportFormat(sys.argv[3]))
