"""Whether a result of ten million rows takes more memory than one of a million rows of the same shape.

Measured is the kernel's high-water mark (VmHWM) of the query actor's process, which is new for every query. It
is read each 20 ms until the process ends; the mark only grows, so nothing between two readings is missed but
the very end.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import median
from bench.report import Finding, Report

if TYPE_CHECKING:
    import psutil

    from bench.stand import RunningService, Stand

__all__ = ["run"]

RUNS = 5
_SETTINGS = {"QUERYFLEET_POOL_SIZE": "1", "QUERYFLEET_ACTOR_QUERIES_MAX": "1"}


def _sql(rows: int) -> str:
    # Values have the same number of digits throughout, so that all rows are of the same size.
    return (
        "select n + 10000000 as id, (n * 7919) % 900000 + 100000 as code, (n % 1000)::integer as bucket, "
        "'customer ' || (n % 900000 + 100000) as name, ((n % 900000 + 100000) / 100)::decimal(12, 2) as amount, "
        "timestamp '2024-01-01' + to_seconds(n % 1000000) as seen_at, n % 3 = 0 as is_new "
        f"from range({rows}) as r(n)"
    )


def run(stand: Stand) -> Report:
    """Alternate small and large results, each in a process of its own. Takes about three minutes."""
    small, large = (100_000, 1_000_000) if stand.quick else (1_000_000, 10_000_000)
    peaks: dict[int, list[float]] = {small: [], large: []}
    idle: list[float] = []
    with stand.service(_SETTINGS) as service:
        former: set[int] = set()
        for _ in range(RUNS):
            for rows, found in peaks.items():
                actor = _new_actor(service, former)
                former.add(actor.pid)
                idle.append(_high_water_bytes(actor.pid) or 0)
                found.append(_peak_bytes(service, actor, rows))
    ratio = median(peaks[large]) / median(peaks[small])
    setting = f"Seven columns from DuckDB; a new process for each query; medians of {RUNS} queries each, alternating."
    findings = (
        Finding(
            what=f"peak memory, {large:,} rows",
            ours=_megabytes(median(peaks[large])),
            other=f"{small:,} rows: {_megabytes(median(peaks[small]))}",
            ratio=f"{(ratio - 1) * 100:+.1f} %",
            target="within 15 %",
            met=abs(ratio - 1) <= 0.15,
        ),
        Finding(what="the same process before its query", ours=_megabytes(median(idle))),
    )
    return Report(findings=findings, setting=setting)


def _new_actor(service: RunningService, former: set[int]) -> psutil.Process:
    """Return the one query actor once it is warm: it has no query before this, and is not one of the former."""
    pause = threading.Event()
    for _ in range(600):
        fresh = [actor for actor in service.query_actors() if actor.pid not in former]
        if fresh and fresh[-1].cpu_percent(0.5) < 5:
            return fresh[-1]
        pause.wait(0.1)
    raise RuntimeError("no new query actor came within a minute")


def _peak_bytes(service: RunningService, actor: psutil.Process, rows: int) -> float:
    done = threading.Event()
    peak = [0.0]

    def watch() -> None:
        while (now := _high_water_bytes(actor.pid)) is not None:
            peak[0] = max(peak[0], now)
            if done.wait(0.02):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        service.run(_sql(rows))
    finally:
        done.set()
        watcher.join()
    return peak[0]


def _high_water_bytes(pid: int) -> float | None:
    """Return VmHWM of a process; None when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) * 1024
    return None


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.0f} MB"
