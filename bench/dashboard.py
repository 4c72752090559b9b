"""What a dashboard costs when a team opens it at once: shared questions against every tile asked for itself."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from bench.figures import Spread, median
from bench.report import Finding, Report, seconds
from tests.fixtures.service import add_user
from tests.servers.dashboard import TILES, Board

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.stand import RunningService, Stand
    from tests.servers.dashboard import LoadedTile

__all__ = ["run"]

RUNS = 5
PEOPLE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    """One time that everybody opened the dashboard."""

    first: Spread  # for each person, until one tile is there
    last: Spread  # until all are
    executions: int  # questions that the warehouse ran


def run(stand: Stand) -> Report:
    """Have everybody open a dashboard, with and without sharing, alternating. Takes some minutes."""
    runs = 1 if stand.quick else RUNS
    with stand.service() as service:
        shared, alone = asyncio.run(_loads(service, runs))
    tiles = PEOPLE * len(TILES)
    findings = []
    for what, name in (("first tile", "first"), ("last tile", "last")):
        for share in ("p50", "p99"):
            ours, other = (median([getattr(getattr(load, name), share) for load in side]) for side in (shared, alone))
            findings.append(
                Finding(
                    what=f"{what} ready, {share}",
                    ours=seconds(ours),
                    other=f"each alone: {seconds(other)}",
                    ratio=f"{other / ours:.1f}x",
                )
            )
    counts = [load.executions for load in shared]
    findings.append(
        Finding(
            what=f"questions to the warehouse, of {tiles} tiles",
            ours=f"{max(counts)}",
            other=f"each alone: {min(load.executions for load in alone)}",
            target=f"{len(TILES)}",
            met=max(counts) == len(TILES),
        )
    )
    setting = (
        f"{PEOPLE} people, {len(TILES)} tiles each, all asked for at once over HTTP, of the sample shop on DuckDB; "
        f"*each alone* is the same with `invalidateCache`. Percentiles over people, medians of {runs} alternating runs."
    )
    return Report(findings=tuple(findings), setting=setting)


async def _loads(service: RunningService, runs: int) -> tuple[list[_Load], list[_Load]]:
    tokens = [uuid.uuid4().hex for _ in range(PEOPLE)]
    for token in tokens:
        await asyncio.to_thread(add_user, service.database_url, token, {service.shop.project_uuid: "editor"})
    shared: list[_Load] = []
    alone: list[_Load] = []
    for _ in range(runs):
        for side, use_cache in ((shared, True), (alone, False)):
            label = uuid.uuid4().hex  # new questions each time
            board = await Board.made(service.process.url, service.shop.project_uuid, tokens, label=label)
            try:
                loaded = await board.loaded(use_cache=use_cache)
            finally:
                await board.close()
            side.append(_load(loaded, await asyncio.to_thread(_executions, service, label)))
    return shared, alone


def _load(loaded: Sequence[Sequence[LoadedTile]], executions: int) -> _Load:
    times = [[tile.seconds for tile in tiles] for tiles in loaded]
    return _Load(
        first=Spread.of([min(each) for each in times]),
        last=Spread.of([max(each) for each in times]),
        executions=executions,
    )


def _executions(service: RunningService, label: str) -> int:
    """Return how many questions of one dashboard query actors have taken to the warehouse."""
    sql = "select count(*) from query where claimed_at is not null and sql like %s"
    with psycopg.connect(service.database_url, autocommit=True) as connection:
        row = connection.execute(sql, (f"%{label}%",)).fetchone()
    assert row is not None
    return int(row[0])
