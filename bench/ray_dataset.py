"""A million rows as a data scientist takes them: over HTTP, by `ray://`, as a driver, and as a dataset of Ray Data.

The programs that read are processes of their own, as theirs are. A second Ray node on the same machine shows what a
node costs or brings where cores stay the same; it is no second machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import median
from bench.report import Finding, Report, seconds, times
from cluster.local.ray_worker import RayWorker
from cluster.local.sample import PROJECT_UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.stand import RunningService, Stand

__all__ = ["run"]

_SQL = (
    "select i as id, i * 1.5 as price, 'city ' || (i % 1000) as city, date '2020-01-01' + (i % 1000)::int as day "
    "from range({rows}) t(i)"
)
_TIMEOUT_SECONDS = 300.0


def run(stand: Stand) -> Report:
    """Measure from outside, from inside, and on two nodes. Takes about two minutes."""
    rows, runs = (100_000, 1) if stand.quick else (1_000_000, 2)
    with stand.service() as service:
        outside = _measured(service, "ray_client_address", rows, runs)
        one_node = _measured(service, "ray_address", rows, runs)
        worker = RayWorker(
            uuid.uuid4().hex,
            head_address=str(service.process.about["ray_address"]),
            log_path=stand.folder / "second-node.log",
            environment={"PYTHONWARNINGS": "ignore"},
        )
        try:
            worker.launch()
            worker.wait()
            two_nodes = _measured(service, "ray_address", rows, runs)
        finally:
            worker.stop()
    setting = (
        f"{rows:,} rows of four columns, {outside['bytes'] / 1e6:.0f} MB of stored lines, in the local stack; medians "
        f"of {runs} alternating runs. Connecting is measured once."
    )
    return Report(findings=_findings(outside, one_node, two_nodes), setting=setting)


def _findings(
    outside: dict[str, float], one_node: dict[str, float], two_nodes: dict[str, float]
) -> tuple[Finding, ...]:

    def against_http(what: str, found: dict[str, float], way: str) -> Finding:
        http, took = found["http"], found[way]
        ratio = f"{times(took / http)} its time"
        return Finding(what=what, ours=seconds(took), other=f"HTTP: {seconds(http)}", ratio=ratio)

    return (
        Finding(what="HTTP client, connect and first answer", ours=seconds(outside["http_connect"])),
        Finding(what="`ray://`, connect and first answer", ours=seconds(outside["connect"])),
        Finding(what="driver in the cluster, connect and first answer", ours=seconds(one_node["connect"])),
        against_http("`to_arrow()`, `ray://`", outside, "ray"),
        against_http("`ray.get(refs())`, `ray://`", outside, "refs"),
        against_http("`ray.get(refs())`, driver", one_node, "refs"),
        against_http("`to_dataset().materialize()`, one node", one_node, "dataset"),
        against_http("`to_dataset().materialize()`, two nodes on the same cores", two_nodes, "dataset"),
    )


def _measured(service: RunningService, address: str, rows: int, runs: int) -> dict[str, float]:
    about = service.process.about
    asked = {"address": about[address], "url": service.process.url, "token": service.process.token}
    done = subprocess.run(
        [sys.executable, "-m", "bench.ray_dataset", str(rows), str(runs)],
        input=json.dumps(asked),
        stderr=subprocess.DEVNULL,  # Ray Data tells of every step there
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _program(asked: dict[str, str], rows: int, runs: int) -> dict[str, float]:
    """Measure, in a process of its own."""
    import os

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray
    import ray.data

    import queryfleet.ray
    from queryfleet.client import Client

    found: dict[str, float] = {}
    began = time.perf_counter()
    http = Client(asked["url"], token=asked["token"], project=PROJECT_UUID)
    http.health()
    found["http_connect"] = time.perf_counter() - began
    began = time.perf_counter()
    client = queryfleet.ray.connect(token=asked["token"], project=PROJECT_UUID, address=asked["address"])
    found["connect"] = time.perf_counter() - began
    query = client.sql(_SQL.format(rows=rows))
    found["bytes"] = query.wait().progress.bytes
    over_http = http.attach(query.query_uuid)
    ways: dict[str, Callable[[], object]] = {
        "http": over_http.to_arrow,
        "ray": query.to_arrow,
        "refs": lambda: ray.get(query.refs(group_bytes=16 * 1024 * 1024)),
    }
    if not asked["address"].startswith("ray://"):
        ways["dataset"] = lambda: query.to_dataset().materialize()
    ray.get(query.refs())  # the processes of tasks have started
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, work in ways.items():
            took[name].append(_timed(work))
    return found | {name: median(each) for name, each in took.items()}


def _main(arguments: Sequence[str]) -> None:
    rows, runs = map(int, arguments)
    print(json.dumps(_program(json.load(sys.stdin), rows, runs)))


if __name__ == "__main__":
    _main(sys.argv[1:])
