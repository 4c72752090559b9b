"""How fast stored results become files, and in how much memory, against the plain way with Polars.

The plain way reads every stored line into one frame, types guessed, and writes it. Ours restores the types of the
warehouse, checks every chunk, and holds a few chunks at a time.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from bench.export_process import INDEX
from bench.figures import median
from bench.report import Finding, Report
from queryfleet.export.options import ExportFormat
from queryfleet.results.chunking import ChunkBuilder, ChunkLimits
from queryfleet.results.encoder import Encoder
from queryfleet.results.page import schema_to_bytes
from queryfleet.results.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from bench.stand import Stand
    from queryfleet.model import ChunkRef
    from queryfleet.results.chunking import SealedChunk

__all__ = ["run"]

RUNS = 3
_BATCH_ROWS = 8192
_SHEET_ROWS = 100_000
_AMOUNT = pa.decimal128(23, 2)
_LARGER = 4  # times as many rows, to see that memory does not grow with them


def run(stand: Stand) -> Report:
    """Make each format a few times on both sides, alternating. Takes about two minutes."""
    rows = 100_000 if stand.quick else 1_000_000
    folder, small = stand.folder / "export", stand.folder / "export-small"
    larger = stand.folder / "export-larger"
    for place, count in ((folder, rows), (larger, _LARGER * rows), (small, _SHEET_ROWS)):
        _prepare(place, count)
    findings = [
        finding
        for format_ in ExportFormat
        if format_ is not ExportFormat.XLSX
        for finding in _compared(folder, format_, rows)
    ]
    whole, many = (median(_peaks(place)) for place in (folder, larger))
    ratio = many / whole
    findings.append(
        Finding(
            what=f"csv, peak memory, {_LARGER * rows:,} rows",
            ours=_megabytes(many),
            other=f"{rows:,} rows: {_megabytes(whole)}",
            ratio=f"{(ratio - 1) * 100:+.1f} %",
            target="within 15 %",
            met=ratio <= 1.15,
        )
    )
    sheet = [_made(small, "ours", ExportFormat.XLSX) for _ in range(RUNS)]
    sheet_rows = _SHEET_ROWS / median([one["seconds"] for one in sheet])
    findings.append(Finding(what=f"xlsx, rows/s of {_SHEET_ROWS:,}", ours=f"{sheet_rows:,.0f}"))
    findings.append(Finding(what="xlsx, peak memory", ours=_megabytes(median([one["peak_bytes"] for one in sheet]))))
    setting = (
        f"{rows:,} rows of ten columns in chunks of 8 MiB in a folder, raw values; each file in a process of its own, "
        f"two parts at once; medians of {RUNS} alternating runs."
    )
    return Report(findings=tuple(findings), setting=setting)


def _peaks(folder: Path) -> list[float]:
    return [_made(folder, "ours", ExportFormat.CSV)["peak_bytes"] for _ in range(RUNS)]


def _compared(folder: Path, format_: ExportFormat, rows: int) -> list[Finding]:
    ours: list[dict[str, Any]] = []
    plain: list[dict[str, Any]] = []
    for _ in range(RUNS):
        ours.append(_made(folder, "ours", format_))
        plain.append(_made(folder, "plain", format_))

    def of(name: str) -> tuple[float, float]:
        return median([one[name] for one in ours]), median([one[name] for one in plain])

    seconds, cpu, peaks = of("seconds"), of("cpu_seconds"), of("peak_bytes")
    return [
        Finding(
            what=f"{format_}, rows/s",
            ours=f"{rows / seconds[0]:,.0f}",
            other=f"Polars: {rows / seconds[1]:,.0f}",
            ratio=f"{seconds[1] / seconds[0]:.2f}x",
        ),
        Finding(what=f"{format_}, CPU time", ours=f"{cpu[0]:.2f} s", other=f"Polars: {cpu[1]:.2f} s"),
        Finding(
            what=f"{format_}, peak memory",
            ours=_megabytes(peaks[0]),
            other=f"Polars: {_megabytes(peaks[1])}",
            ratio=f"{peaks[1] / peaks[0]:.2f}x",
        ),
    ]


def _made(folder: Path, side: str, format_: ExportFormat) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.export_process", str(folder), side, format_.value]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    took: dict[str, Any] = json.loads(answer.stdout)
    return took


def _prepare(folder: Path, rows: int) -> None:
    """Store a result as a query actor does."""
    folder.mkdir(parents=True)
    schema, chunks = asyncio.run(_stored((folder / "store").as_uri(), rows))
    (folder / INDEX).write_bytes(pickle.dumps((schema, chunks)))


async def _stored(url: str, rows: int) -> tuple[bytes, tuple[ChunkRef, ...]]:
    store = open_store(url)
    schema = _batch(0, 1).schema
    encoder, builder = Encoder(schema), ChunkBuilder(str(UUID(int=1)), 1, ChunkLimits())
    chunks = []

    async def put(sealed: SealedChunk | None) -> None:
        if sealed is not None:
            await store.put(sealed.ref.key, sealed.data)
            chunks.append(sealed.ref)

    for first in range(0, rows, _BATCH_ROWS):
        await put(builder.append(encoder.encode(_batch(first, min(_BATCH_ROWS, rows - first)))))
    await put(builder.seal())
    await store.close()
    return schema_to_bytes(schema), tuple(chunks)


def _batch(first: int, count: int) -> pa.RecordBatch:
    numbers = pa.array(range(first, first + count), pa.int64())
    scaled = pc.multiply(numbers, 7919)
    texts = numbers.cast(pa.string())
    return pa.record_batch(
        {
            "id": numbers,
            "code": pc.add(scaled, 100_000),
            "bucket": pc.bit_wise_and(numbers, 1023).cast(pa.int32()),
            "name": pc.binary_join_element_wise("customer", texts, " "),
            "city": pc.binary_join_element_wise("Größe, ", texts, ""),
            "amount": pc.divide(scaled.cast(pa.decimal128(22, 2)), pa.scalar(Decimal(100))).cast(
                pa.decimal128(20, 2), safe=False
            ),
            "ratio": pc.divide(numbers.cast(pa.float64()), 3.0),
            "day": pc.bit_wise_and(numbers, 16_383).cast(pa.int32()).view(pa.date32()),
            "seen_at": pc.multiply(numbers, 1_000_001).view(pa.timestamp("us")),
            "is_new": pc.equal(pc.bit_wise_and(numbers, 1), 0),
        }
    )


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.0f} MB"
