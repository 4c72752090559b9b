"""A large stored result of Snowflake, fetched by one Ray task after the other and by four at once.

The warehouse is the server of the tests with Snowflake's own driver, and gives each process a link of a fixed
bandwidth, as a machine in a cloud has one. So what is shown is how far the work of fetching, encoding and storing is
spread, and not what a machine's cores can do.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from bench.figures import median
from bench.report import Finding, Report, seconds, times
from cluster.local.reaper import MARKER
from tests.fixtures.snowflake import running_stub
from tests.servers.launcher_cluster import ROOT, LauncherCluster

if TYPE_CHECKING:
    from pathlib import Path

    from bench.stand import Stand

__all__ = ["run"]

LINK_BYTES_PER_SECOND = 1_000_000
CHUNK_ROWS = 10_000
AT_ONCE = (1, 4)
TARGET = 3.0
_TIMEOUT_SECONDS = 600.0


def rounds_of(folder: Path, *, rows: int, runs: int) -> list[dict[str, object]]:
    """Fetch the result by one task and by four at once, in turn, on two nodes, and return what came of each."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.servers.fetch_driver", str(folder)]
    command += ["--rows", str(rows), "--link", str(LINK_BYTES_PER_SECOND)]
    command += ["--rounds", *(str(number) for _ in range(runs) for number in AT_ONCE)]
    with running_stub() as stub, LauncherCluster() as cluster:
        environment = cluster.driver_environment | {MARKER: cluster.stack_id, "PYTHONPATH": str(ROOT)}
        subprocess.run(
            [*command, "--stub", str(stub.port)], env=environment, cwd=ROOT, check=True, timeout=_TIMEOUT_SECONDS
        )
    rounds: list[dict[str, object]] = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    return rounds


def run(stand: Stand) -> Report:
    """Alternate the numbers of tasks. Takes about two minutes, of which half is waiting for links."""
    chunks, runs = (8, 1) if stand.quick else (16, 3)
    rows = 1000 + chunks * CHUNK_ROWS
    took: dict[int, list[float]] = {number: [] for number in AT_ONCE}
    for found in rounds_of(stand.folder / "fan-out", rows=rows, runs=runs):
        took[int(str(found["at_once"]))].append(float(str(found["seconds"])))
    alone = median(took[1])
    findings = [Finding(what="one task at a time", ours=seconds(alone))]
    for number in AT_ONCE[1:]:
        ratio = alone / median(took[number])
        is_judged = number == AT_ONCE[-1]
        findings.append(
            Finding(
                what=f"{number} tasks at once",
                ours=seconds(median(took[number])),
                other=f"one: {seconds(alone)}",
                ratio=f"{times(ratio)} faster",
                target=f">= {TARGET:g}x" if is_judged else "",
                met=ratio >= TARGET if is_judged else None,
            )
        )
    setting = (
        f"{rows:,} rows in {chunks} chunks of about 1.1 MB, {LINK_BYTES_PER_SECOND / 1e6:g} MB/s for each process; two "
        f"Ray nodes on this machine; medians of {runs} alternating runs, after the tasks' processes have started."
    )
    return Report(findings=tuple(findings), setting=setting)
