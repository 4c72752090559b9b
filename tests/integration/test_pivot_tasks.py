"""Pivots on a cluster of two nodes: the same lines as in one process, also when a node is lost on the way."""

from __future__ import annotations

import json
import subprocess
import sys

import pyarrow as pa
import pytest

from cluster.local.reaper import MARKER
from queryfleet.model import ChunkRef
from queryfleet.pivot.fold import folded
from queryfleet.pivot.local import pivoted
from queryfleet.pivot.naming import Display
from queryfleet.results.reader import read_lines
from queryfleet.results.store import open_store
from tests.servers import pivot_driver
from tests.servers.launcher_cluster import ROOT, LauncherCluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def run_driver(cluster, folder, *arguments):
    command = [sys.executable, "-m", "tests.servers.pivot_driver", str(folder), *arguments]
    environment = cluster.driver_environment | {MARKER: cluster.stack_id, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads((folder / "answer.json").read_text())


def expected_lines(sort):
    table = pa.concat_tables([pivot_driver.partition(number) for number in range(pivot_driver.PARTITIONS)])
    plan = pivot_driver.plan_of(sort)
    found = pivoted(table, plan, Display(rules={}))
    lines = b"".join(bytes(batch.data) for batch in folded([found.cells], plan.spec, found.dictionary.columns))
    return lines, found.row_count


async def stored_lines(folder, answer, first_row, row_count):
    chunks = [ChunkRef(**chunk | {"blocks": bytes.fromhex(chunk["blocks"])}) for chunk in answer["chunks"]]
    store = open_store(f"file://{folder / 'store'}")
    try:
        return await read_lines(store, chunks, first_row, row_count)
    finally:
        await store.close()


async def check(folder, answer, sort):
    """Everything that was stored is what one process would have written, and any page can be read."""
    lines, row_count = expected_lines(sort)
    assert (answer["row_count"], answer["byte_count"]) == (row_count, len(lines))
    assert [chunk["index"] for chunk in answer["chunks"]] == list(range(answer["chunk_count"]))
    assert await stored_lines(folder, answer, 0, row_count) == lines
    cut = lines.splitlines(keepends=True)
    assert await stored_lines(folder, answer, row_count // 2 - 7, 500) == b"".join(cut[row_count // 2 - 7 :][:500])


@pytest.mark.anyio
@pytest.mark.parametrize("sort", ["i", "v"])
async def test_pivot_two_nodes_write_the_lines_of_one_process(cluster_stand, tmp_path, sort):
    """Both nodes write ranges, and the whole is byte for byte what one process writes, by index and by value."""
    answer = run_driver(cluster_stand.cluster, tmp_path, "--sort", sort)
    await check(tmp_path, answer, sort)
    assert set(answer["node_ids"]) == {answer["here"], answer["other"]}
    assert sorted((tmp_path / "marks").read_text().split()) == ["0", "1", "2", "3"]


def test_pivot_too_many_columns_fails_with_their_number(cluster_stand, tmp_path):
    """What the first partition refuses reaches the caller as it was there, and nothing has been stored."""
    answer = run_driver(cluster_stand.cluster, tmp_path, "--columns-max", "10")
    assert answer == {"error": "limit_exceeded", "details": {"limit": "columns", "value": 10, "seen": 20}}
    assert not list(tmp_path.rglob("*.jsonl"))


@pytest.mark.anyio
async def test_pivot_lost_node_repeats_its_share_only(tmp_path):
    """A node that dies while lines are written costs time: the result is whole, what the other one had stays."""
    with LauncherCluster() as cluster:
        answer = run_driver(cluster, tmp_path, "--sort", "i", "--lose")
    assert answer["lost"]
    await check(tmp_path, answer, "i")
    made = (tmp_path / "marks").read_text().split()
    again = {number for number in made if made.count(number) > 1}
    assert len(again) < pivot_driver.PARTITIONS, made
