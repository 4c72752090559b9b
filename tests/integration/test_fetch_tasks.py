"""Large results fetched by Ray tasks on a cluster of two nodes, and what is lost with a task."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest

from cluster.local.reaper import MARKER
from queryfleet.model import ChunkRef
from queryfleet.results.reader import read_lines
from queryfleet.results.store import open_store
from tests.servers.launcher_cluster import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.timeout(300)]

ROWS = 121_000  # 1,000 come with the answer, the others in twelve chunks
CHUNKS = 12
ROUNDS = ("1", "4", "4:expire", "4:lose")
LINK = 4_000_000  # bytes per second for each process: a chunk takes a third of a second


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where chunks are stored."""
    return tmp_path_factory.mktemp("fetched")


@pytest.fixture(scope="module")
def rounds(cluster_stand, snowflake_server, folder):
    """Have tasks fetch one result four times, and return what came of each time."""
    snowflake_server("reset")
    cluster = cluster_stand.cluster
    command = [sys.executable, "-m", "tests.servers.fetch_driver", str(folder), "--rounds", *ROUNDS]
    command += ["--stub", str(snowflake_server.port), "--rows", str(ROWS), "--link", str(LINK)]
    environment = cluster.driver_environment | {MARKER: cluster.stack_id, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert len(snowflake_server.queries()) == 1, "one run in the warehouse"
    found = json.loads((folder / "answer.json").read_text())
    return dict(zip(ROUNDS, found, strict=True))


async def check_rows(folder, found):
    """Every row is there, once, in order, however the chunks came."""
    chunks = sorted(
        (ChunkRef(**chunk | {"blocks": bytes.fromhex(chunk["blocks"])}) for chunk in found["chunks"]),
        key=lambda chunk: chunk.index,
    )
    assert [chunk.index for chunk in chunks] == list(range(CHUNKS))
    store = open_store(f"file://{folder / 'store'}")
    try:
        lines = (await read_lines(store, chunks, 0, ROWS)).splitlines()
    finally:
        await store.close()
    assert [json.loads(line)["n"] for line in lines] == list(range(1, ROWS + 1))


async def test_fetch_tasks_on_two_nodes_keep_order_and_are_faster(rounds, folder):
    """Four tasks on links of fixed bandwidth are much sooner than one, on both nodes, with the rows in order."""
    alone, together = rounds["1"], rounds["4"]
    for found in (alone, together):
        await check_rows(folder, found)
        assert sorted(number for number, _ in found["readers"]) == list(range(1, CHUNKS + 1))
    assert len(together["nodes"]) == 2
    assert alone["seconds"] > 1.7 * together["seconds"]  # three times on a machine of its own; see the benchmark


async def test_fetch_tasks_with_expired_links_get_fresh_ones(rounds, folder):
    """Links that expire before they are used cost each task that has one a repeat, and nothing else."""
    found = rounds["4:expire"]
    await check_rows(folder, found)
    assert max(Counter(found["calls"]).values()) == 2
    assert sorted(number for number, _ in found["readers"]) == list(range(1, CHUNKS + 1))


async def test_fetch_task_that_is_lost_repeats_only_its_chunk(rounds, folder):
    """The process of a task is killed in its download: that chunk is fetched again, the others are not."""
    found = rounds["4:lose"]
    number, process = found["lost"]
    await check_rows(folder, found)
    reads = Counter(number for number, _ in found["readers"])
    assert reads == Counter(range(1, CHUNKS + 1)) + Counter([number])
    assert process in [reader for read, reader in found["readers"] if read == number]
