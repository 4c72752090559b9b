"""A program that has tasks fetch a result of the Snowflake stub on the cluster of its environment.

A round is the number of tasks at once. With `:expire` links expire before the first task uses them, with `:lose` the
process of a task is ended in its download. What came of each round is written to `answer.json`.
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
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import psutil
import ray

from actors.fan_out import FanOut, FetchGroup, groups_of
from actors.fetch_tasks import RayFetch
from queryfleet.model import QueryTag
from queryfleet.settings import Settings
from queryfleet.warehouse.base import Statement
from tests.fixtures.snowflake import SnowflakeEngine, Stub

GROUP_BYTES = 1_000_000  # one chunk of the stub each
WARM_UP_GROUPS = 8


def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stub", type=int, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--rounds", nargs="+", required=True, help="1, 4, 4:expire, 4:lose")
    parser.add_argument("--link", type=float, default=0.0, help="bytes per second of each process")
    options = parser.parse_args()
    ray.init(logging_level="error", log_to_driver=False)
    try:
        rounds = asyncio.run(fetch(options))
    finally:
        ray.shutdown()
    (options.folder / "answer.json").write_text(json.dumps(rounds))


async def fetch(options: argparse.Namespace) -> list[dict[str, object]]:
    """Run the statement once, fetch its result in every round, and describe the rounds."""
    stub = Stub(options.stub)
    tag = QueryTag(query_uuid=str(uuid.uuid4()), project_uuid="p", user_uuid="u", context="test")
    sql = SnowflakeEngine(name="snowflake", warehouse=stub.warehouse(), dialect="snowflake").numbers(options.rows)
    settings = Settings(store_url=f"file://{options.folder / 'store'}")
    call = RayFetch(settings)
    with stub.warehouse().open() as session:
        session.submit(Statement(tag=tag, sql=sql))
        session.schema()
        # Processes that have to start first would be measured otherwise.
        await run_round(session, call, at_once=4, groups=groups(session, attempt=1)[:WARM_UP_GROUPS])
        rounds = []
        for number, word in enumerate(options.rounds, 2):
            at_once, _, fault = word.partition(":")
            wanted = groups(session, attempt=number)
            expired = fault == "expire"
            seen = len(stub("faults", expired_links=expired, link_bytes_per_second=options.link)["readers"])
            lost: list[int] = []
            if fault == "lose":
                threading.Thread(target=end_a_reader, args=(stub, seen, lost), daemon=True).start()
            found = await run_round(session, call, at_once=int(at_once), groups=wanted)
            readers = stub("faults", link_bytes_per_second=0.0)["readers"][seen:]
            nodes = sorted(nodes_of({process for _, process in readers}))
            rounds.append({**found, "at_once": int(at_once), "readers": readers, "nodes": nodes, "lost": lost})
    return rounds


def nodes_of(processes: set[int]) -> set[int]:
    """Return the raylets of tasks: the parents of those processes that live."""
    found = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found.add(psutil.Process(process).ppid())
    return found


def groups(session, *, attempt: int) -> tuple[FetchGroup, ...]:
    """Return one group for each chunk."""
    first = FetchGroup(
        query_uuid=str(uuid.UUID(int=attempt)), attempt=attempt, index=0, first_row=0, block_rows=100, partitions=()
    )
    return groups_of(session.partitions(first_row=0), first=first, target_bytes=GROUP_BYTES)


async def run_round(session, call: RayFetch, *, at_once: int, groups: tuple[FetchGroup, ...]) -> dict[str, object]:
    """Fetch groups and return their chunks in the order in which they came."""
    chunks, calls = [], []

    async def add(chunk) -> None:
        chunks.append(asdict(chunk) | {"blocks": chunk.blocks.hex()})

    async def counted(group: FetchGroup):
        calls.append(group.index)
        return await call(group)

    began = time.monotonic()
    await FanOut(session, counted, at_once=at_once, check=lambda: None).run(groups, add)
    return {"chunks": chunks, "calls": calls, "seconds": time.monotonic() - began}


def end_a_reader(stub: Stub, seen: int, lost: list[int]) -> None:
    """End the process of a task that downloads."""
    while not lost:
        for number, process in stub("state")["readers"][seen:]:
            if process not in {0, os.getpid()} and number > 4 and not lost:
                lost += [number, process]
                os.kill(process, signal.SIGKILL)
        time.sleep(0.02)


if __name__ == "__main__":
    main()
