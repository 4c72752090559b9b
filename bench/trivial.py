"""The smallest query: from the POST to its row in hand, on a warm pool, with the parts of that time.

One request does it: `POST …/sql?waitMs=10000` answers when the query is ready, with the first page. Every
statement is different and asks to run in the warehouse, so none comes from earlier results; those that do are a
line of their own. Compared is the same statement through the warehouse's driver alone: DuckDB on an open
connection, PostgreSQL with a login for each statement, as each query has its own session.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import duckdb
import psycopg

from bench.connection import Connection
from bench.figures import Spread, median
from bench.report import Finding, Report, milliseconds, times

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.connection import Place
    from bench.stand import Stand

__all__ = ["run"]

WAIT_MS = 10_000
AT_ONCE = 8
CACHED_SQL = "select 42 as answer"


def run(stand: Stand) -> Report:
    """Ask small questions one after the other, then eight at once. Takes about half a minute."""
    count, rounds = (50, 5) if stand.quick else (200, 15)
    taken: dict[str, list[float]] = {}
    parts: dict[str, dict[str, list[float]]] = {"DuckDB": {}, "PostgreSQL": {}}
    with stand.service() as service, Connection(service.shop) as shop, Connection(service.ledger) as ledger:
        connections = {"DuckDB": shop, "PostgreSQL": ledger}
        drivers = {"DuckDB": _duckdb_alone(stand), "PostgreSQL": _postgres_alone(stand)}
        shop.execute(CACHED_SQL, wait_ms=WAIT_MS)
        for number in range(-20, count):
            for name, connection in connections.items():
                ours = _ask(connection, f"select {number} as n", parts[name] if number >= 0 else {})
                alone = drivers[name](f"select {number} as n")
                if number >= 0:
                    taken.setdefault(name, []).append(ours)
                    taken.setdefault(f"{name} alone", []).append(alone)
            cached = shop.execute(CACHED_SQL, wait_ms=WAIT_MS, fresh=False)
            if not cached.results["cacheMetadata"]["cacheHit"]:
                raise RuntimeError("the question was not answered from earlier results")
            if number >= 0:
                taken.setdefault("cached", []).append(cached.seconds)
        together = {
            name: [_at_once(place, round_number) for round_number in range(rounds)]
            for name, place in (("DuckDB", service.shop), ("PostgreSQL", service.ledger))
        }
    setting = (
        f"{count} queries of one row, one after the other, and {rounds} rounds of {AT_ONCE} at once; default pool (two "
        "query actors for each core)."
    )
    return Report(findings=tuple(_findings(taken, parts, together)), setting=setting)


def _findings(
    taken: dict[str, list[float]], parts: dict[str, dict[str, list[float]]], together: dict[str, list[list[float]]]
) -> list[Finding]:
    lines = []
    for name, spans in parts.items():
        ours, alone = Spread.of(taken[name]), Spread.of(taken[f"{name} alone"])
        for label, value, other in (("p50", ours.p50, alone.p50), ("p99", ours.p99, alone.p99)):
            adds = f"+{milliseconds(value - other)}"
            driver = f"driver alone: {milliseconds(other)}"
            lines.append(Finding(what=f"{name}, {label}", ours=milliseconds(value), other=driver, ratio=adds))
        # The parts are whole milliseconds each, so means say more than medians.
        means = ", ".join(f"{part.removesuffix('Ms')} {sum(v) / len(v):.1f}" for part, v in spans.items())
        lines.append(Finding(what=f"{name}, means of `timings`", ours=f"{means} ms"))
    hit = Spread.of(taken["cached"])
    what = "shared rows (cache hit), p50 and p99"
    ratio = f"{times(median(taken['DuckDB']) / hit.p50)} faster"
    lines.append(
        Finding(what=what, ours=f"{milliseconds(hit.p50)}, {milliseconds(hit.p99)}", other="DuckDB, p50", ratio=ratio)
    )
    for name, rounds in together.items():
        each = Spread.of([value for values in rounds for value in values])
        slowest = median([max(values) for values in rounds])
        lines.append(
            Finding(
                what=f"{name}, {AT_ONCE} at once, p50 and p99 of each",
                ours=f"{milliseconds(each.p50)}, {milliseconds(each.p99)}",
                other=f"all {AT_ONCE}: {milliseconds(slowest)}",
            )
        )
    return lines


def _ask(connection: Connection, sql: str, parts: dict[str, list[float]]) -> float:
    answer = connection.execute(sql, wait_ms=WAIT_MS)
    results = answer.results
    if results["status"] != "ready" or len(results["rows"]) != 1 or results["cacheMetadata"]["cacheHit"]:
        raise RuntimeError(f"not the row that was asked for: {results}")
    for part, value in results["timings"].items():
        parts.setdefault(part, []).append(value)
    return answer.seconds


def _at_once(place: Place, round_number: int) -> list[float]:
    """Ask several questions at the same moment on connections that are open; return the seconds of each."""
    barrier = threading.Barrier(AT_ONCE)
    taken: list[float] = []

    def work(number: int) -> None:
        with Connection(place) as connection:
            query_uuid = connection.execute(f"select {number} as warm_up", wait_ms=WAIT_MS).results["queryUuid"]
            connection.poll(query_uuid)
            barrier.wait(timeout=60)
            taken.append(_ask(connection, f"select {number} as n, {round_number} as r", {}))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(taken) != AT_ONCE:
        raise RuntimeError("some of the queries at once failed; see above")
    return taken


def _duckdb_alone(stand: Stand) -> Callable[[str], float]:
    connection = duckdb.connect(str(stand.shop_folder / "shop.duckdb"), read_only=True)

    def ask(sql: str) -> float:
        began = time.perf_counter()
        connection.execute(sql).fetchall()
        return time.perf_counter() - began

    return ask


def _postgres_alone(stand: Stand) -> Callable[[str], float]:
    def ask(sql: str) -> float:
        began = time.perf_counter()
        with psycopg.connect(stand.ledger_url, autocommit=True) as connection:
            connection.execute(sql.encode()).fetchall()
        return time.perf_counter() - began

    return ask
