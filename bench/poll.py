"""How long a status poll takes while nothing else happens, and while four queries of a million rows run.

Polled is a query that waits in PostgreSQL for the whole time, so that every poll reads the same row of the
status database and nothing of it comes from the replica's memory. One replica answers. The load generator, the
warehouse, the S3 server, the database and the query actors share the machine with it; only the query actors
are nice, as the service makes them.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from bench.connection import ENDED, Connection
from bench.figures import Spread
from bench.report import Finding, Report, milliseconds, times

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.connection import Place
    from bench.stand import RunningService, Stand

__all__ = ["run"]

RATE = 50  # polls per second of the open loop
CONNECTIONS = 10  # that share this rate; each has 200 ms for its poll
ACTORS = 5  # four that are busy, and the one that waits
WINDOWS = 5
MANY_ROWS_SQL = """
select o.order_id, o.ordered_at, c.name as customer, p.name as product, o.status, o.quantity, o.amount, o.discount
from orders o join customers c using (customer_id) join products p using (product_id)
"""


def run(stand: Stand) -> Report:
    """Alternate idle and busy windows, for an open and for a closed loop. Takes about three minutes."""
    idle_seconds, rows = (2.0, 200_000) if stand.quick else (10.0, 1_000_000)
    found: dict[str, list[list[float]]] = {}
    with stand.service({"QUERYFLEET_POOL_SIZE": str(ACTORS)}) as service:
        waiting = _waiting_query(service)
        for loop, measure in (("open", open_loop), ("closed", closed_loop)):
            for _ in range(WINDOWS):
                quiet = _Quiet(idle_seconds)
                found.setdefault(f"{loop} idle", []).append(measure(service.ledger, waiting, quiet.is_over))
                busy = _Busy(service.shop, rows)
                found.setdefault(f"{loop} busy", []).append(measure(service.ledger, waiting, busy.is_over))
        with Connection(service.ledger) as connection:
            connection.cancel(waiting)
    polls = sum(len(window) for windows in found.values() for window in windows)
    setting = (
        f"One replica; busy: four queries of {rows:,} rows run at once; open loop of {RATE} polls a second, timed from "
        f"when each was due; closed loop on one connection; medians of {WINDOWS} windows each, {polls:,} polls."
    )
    spreads = {name: Spread.median_of(windows) for name, windows in found.items()}
    return Report(findings=tuple(_findings(spreads)), setting=setting)


def _findings(spreads: dict[str, Spread]) -> list[Finding]:
    lines = []
    for loop in ("open", "closed"):
        idle, busy = spreads[f"{loop} idle"], spreads[f"{loop} busy"]
        for name, ours, other in (("p50", busy.p50, idle.p50), ("p99", busy.p99, idle.p99)):
            ratio = ours / other
            has_target = name == "p99"
            lines.append(
                Finding(
                    what=f"{name} of a poll, busy, {loop} loop",
                    ours=milliseconds(ours),
                    other=f"idle: {milliseconds(other)}",
                    ratio=times(ratio),
                    target="<= 2x" if has_target else "",
                    met=ratio <= 2 if has_target else None,
                )
            )
    return lines


def _waiting_query(service: RunningService) -> str:
    """Start a query that stays running, and return its uuid once it does."""
    with Connection(service.ledger) as connection:
        query_uuid: str = connection.execute("select pg_sleep(3600)").results["queryUuid"]
        while (results := connection.poll(query_uuid).results).get("phase") != "executing":
            if results["status"] in ENDED:
                raise RuntimeError(f"the waiting query ended: {results}")
            time.sleep(0.02)
    return query_uuid


class _Quiet:
    """Some seconds in which nothing else happens."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Whether they have passed."""
        return time.monotonic() > self._until


class _Busy:
    """Four large queries, started by the constructor and waited for by threads that cost one request each."""

    def __init__(self, place: Place, rows: int) -> None:
        self._place, self._rows = place, rows
        self._threads = [threading.Thread(target=self._work) for _ in range(4)]
        self._failed: list[BaseException] = []
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        try:
            with Connection(self._place) as connection:
                answer = connection.execute(MANY_ROWS_SQL, limit=self._rows)
                connection.ready(answer.results["queryUuid"])
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            self._failed.append(error)

    def is_over(self) -> bool:
        """Whether fewer than four still run: from then on the machine is less busy."""
        if self._failed:
            raise self._failed[0]
        if all(thread.is_alive() for thread in self._threads):
            return False
        for thread in self._threads:
            thread.join()
        return True


def closed_loop(place: Place, query_uuid: str, is_over: Callable[[], bool]) -> list[float]:
    """Poll on one connection, each as soon as the last was answered; return the seconds of each."""
    taken = []
    with Connection(place) as connection:
        while not is_over():
            taken.append(connection.poll(query_uuid).seconds)
    return taken


def open_loop(place: Place, query_uuid: str, is_over: Callable[[], bool]) -> list[float]:
    """Poll at fixed times whatever the answers take; return the seconds from when each was due."""
    stop = threading.Event()
    began = time.perf_counter() + 0.1
    taken: list[list[float]] = [[] for _ in range(CONNECTIONS)]
    threads = [
        threading.Thread(target=_poll_on_time, args=(place, query_uuid, began + index / RATE, stop, taken[index]))
        for index in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    try:
        while not is_over():
            time.sleep(0.02)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return [value for values in taken for value in values]


def _poll_on_time(place: Place, query_uuid: str, due: float, stop: threading.Event, taken: list[float]) -> None:
    with Connection(place) as connection:
        connection.poll(query_uuid)  # connects
        while not stop.wait(max(0.0, due - time.perf_counter())):
            connection.poll(query_uuid)
            taken.append(time.perf_counter() - due)
            due += CONNECTIONS / RATE
