"""A million rows from PostgreSQL to S3: the service against a Node process that does it row by row.

Ours is the whole way: POST, queue, a query actor, chunks, checksums, the index in the status database, until a
poll says `ready`. The other side (bench/node/export.mjs) is a process that already runs, logs in, reads rows in
text form, makes row objects, and uploads one object in parts; it keeps no index. Both read the same table from
the same server and write to the same S3 server. CPU is that of the query actor's and of Node's process alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bench.connection import Connection
from bench.figures import median
from bench.node_side import NodeSide
from bench.report import Finding, Report, seconds, times

if TYPE_CHECKING:
    from bench.stand import RunningService, Stand

__all__ = ["run"]

RUNS = 5
SQL = "select * from bench_sales"


def _table(rows: int) -> str:
    return f"""
    create table bench_sales as
    select n::bigint as sale_id, (n * 7919 % 1000003)::integer as customer_id, (n % 12 + 1)::smallint as quantity,
           (n * 12345.67 % 100000)::numeric(12, 2) as amount, (n * 0.137)::double precision as weight,
           timestamp '2024-01-01' + n * interval '31 s' as sold_at, date '2024-01-01' + (n % 700)::integer as due_on,
           (array['placed', 'shipped', 'completed', 'returned'])[n % 4 + 1] as status,
           (array['Oslo', 'Zürich', '東京', 'São Paulo', 'Kraków'])[n % 5 + 1] as city,
           case when n % 5 = 0 then 'leave it with the neighbour, "please"' end as note, n % 11 = 0 as is_gift
    from generate_series(1::bigint, {rows}) as s(n)
    """


def run(stand: Stand) -> Report:
    """Alternate both. Takes about two minutes."""
    rows = 100_000 if stand.quick else 1_000_000
    stand.in_ledger("drop table if exists bench_sales", _table(rows), "vacuum analyze bench_sales")
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    with stand.service() as service, NodeSide("export.mjs", _setup(stand, service)) as node:
        for number in range(-1, RUNS):
            found = _ours(service)
            answer = node.ask({"key": f"bench/export-{number + 1}.jsonl"})
            if answer["rows"] != rows:
                raise RuntimeError(f"Node read {answer['rows']} rows of {rows}")
            if number >= 0:
                ours.append(found)
                theirs.append((answer["milliseconds"] / 1000, answer["cpuSeconds"]))
    megabytes = answer["bytes"] / 1e6
    setting = (
        f"{rows:,} rows of 11 columns, {megabytes:.0f} MB of JSON lines; medians of {RUNS} runs each, alternating."
    )
    lines = []
    for what, index in (("wall time", 0), ("CPU time of the process", 1)):
        mine, other = median([run[index] for run in ours]), median([run[index] for run in theirs])
        ratio = times(other / mine)
        lines.append(Finding(what=what, ours=seconds(mine), other=f"Node: {seconds(other)}", ratio=f"{ratio} less"))
    return Report(findings=tuple(lines), setting=setting)


def _ours(service: RunningService) -> tuple[float, float]:
    """Return wall seconds from POST to `ready`, and the CPU seconds of all query actors."""
    before = _cpu_seconds(service)
    with Connection(service.ledger) as connection:
        began = time.perf_counter()
        connection.ready(connection.execute(SQL).results["queryUuid"])
        taken = time.perf_counter() - began
    return taken, _cpu_seconds(service) - before


def _cpu_seconds(service: RunningService) -> float:
    used = [actor.cpu_times() for actor in service.query_actors()]
    return sum(spent.user + spent.system for spent in used)


def _setup(stand: Stand, service: RunningService) -> dict[str, object]:
    where = urlsplit(stand.ledger_url)
    postgres = {
        "host": where.hostname,
        "port": where.port,
        "user": where.username,
        "password": unquote(where.password or ""),
        "database": where.path[1:],
    }
    return {**service.bucket_access(), "postgres": postgres, "sql": SQL}
