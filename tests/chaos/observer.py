"""What the warehouse sees: which of its sessions work for which query, looked at ten times a second."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import psycopg

_PAUSE_SECONDS = 0.1
_SQL = """
select substr(application_name, 12), pid, backend_start::text, coalesce(state, '') from pg_stat_activity
where application_name like 'queryfleet ________-____-____-____-____________'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """A time in which a query had two sessions at once."""

    query_uuid: str
    began_at: float  # the first look that saw both
    seconds: float  # until the last look that saw both; 0: only one look did
    sessions: frozenset[tuple[int, str]]


class WarehouseObserver:
    """Looks at `pg_stat_activity` of one server until told to stop; the server may be away at times."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="warehouse observer", daemon=True)
        self._doubled: dict[str, tuple[float, float, frozenset[tuple[int, str]]]] = {}
        self.overlaps: list[Overlap] = []
        self.sessions: dict[str, set[tuple[int, str]]] = {}  # all ever seen, by query
        self.now: dict[str, set[tuple[int, str]]] = {}  # in the latest look
        self.looks = 0

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking. Idempotent."""
        self._stop.set()
        self._thread.join()
        self._close_all(set())

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=2) as connection:
                    while not self._stop.wait(_PAUSE_SECONDS):
                        self._look(connection.execute(_SQL).fetchall())
            except psycopg.Error:
                self._look([])
                self._stop.wait(_PAUSE_SECONDS)

    def _look(self, rows: list[tuple[str, int, str, str]]) -> None:
        self.looks += 1
        now = time.monotonic()
        current: dict[str, set[tuple[int, str]]] = {}
        for query_uuid, pid, started, _ in rows:
            current.setdefault(query_uuid, set()).add((pid, started))
            self.sessions.setdefault(query_uuid, set()).add((pid, started))
        doubled = {query_uuid: frozenset(found) for query_uuid, found in current.items() if len(found) > 1}
        self._close_all(set(doubled))
        for query_uuid, found in doubled.items():
            began_at = self._doubled.get(query_uuid, (now, now, found))[0]
            self._doubled[query_uuid] = (began_at, now, found)
        self.now = current

    def _close_all(self, still: set[str]) -> None:
        for query_uuid in set(self._doubled) - still:
            began_at, last_at, found = self._doubled.pop(query_uuid)
            self.overlaps.append(
                Overlap(query_uuid=query_uuid, began_at=began_at, seconds=last_at - began_at, sessions=found)
            )
