"""Status stores that a test can look into, and make forget what a crash between two steps would leave undone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import psycopg
from psycopg.rows import dict_row

from queryfleet.status.memory import MemoryStatusStore
from queryfleet.status.postgres import PostgresStatusStore
from queryfleet.status.postgres_connections import load_statements
from queryfleet.status.rows import Row, chunk_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from queryfleet.model import ChunkRef
    from queryfleet.status.store import StatusStore


class Rig(Protocol):
    """A store, and what a test must see of it that no caller sees."""

    store: StatusStore
    forgets: bool  # nobody who waits for an ended query is dealt with, as by a crash between two steps

    def run(self, work: Coroutine): ...
    def rows(self) -> dict[str, Row]: ...
    def chunk_rows(self) -> dict[tuple[str, int], list[ChunkRef]]: ...
    def clear(self) -> None: ...


class ForgetfulMemory(MemoryStatusStore):
    forgets = False

    def _settle(self, ended):
        if ended is None or not self.forgets:
            super()._settle(ended)


class MemoryRig:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.store = ForgetfulMemory()

    @property
    def forgets(self) -> bool:
        return self.store.forgets

    @forgets.setter
    def forgets(self, value: bool) -> None:
        self.store.forgets = value

    def run(self, work):
        """Run a coroutine that never waits."""
        try:
            work.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("The store in memory waited.")

    def rows(self):
        return {query_uuid: dict(row) for query_uuid, row in self.store._queries.items()}

    def chunk_rows(self):
        return {key: list(chunks) for key, chunks in self.store._chunks.items() if chunks}


class ForgetfulPostgres(PostgresStatusStore):
    @property
    def forgets(self):
        return not self._statements["settle_followers"].startswith(b"--")

    @forgets.setter
    def forgets(self, value):
        idle = b"select from query where query_uuid = %(query_uuid)s"
        self._statements = load_statements()
        if value:
            self._statements |= {"settle_followers": idle, "promote_follower": idle}


class PostgresRig(MemoryRig):
    def __init__(self, url: str) -> None:
        self._loop = asyncio.Runner()
        self.store = ForgetfulPostgres(url, connections_max=2, timeout_seconds=10)
        self._eye = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        self.run(self.store.open())

    def clear(self) -> None:
        self._eye.execute("delete from query")

    def run(self, work):
        return self._loop.run(work)

    def rows(self):
        rows = self._eye.execute("select * from query order by created_at").fetchall()
        names = ("query_uuid", "leader_uuid", "result_query_uuid")
        return {str(row["query_uuid"]): row | {n: row[n] and str(row[n]) for n in names} for row in rows}

    def chunk_rows(self):
        rows = self._eye.execute("select * from chunk order by query_uuid, attempt, chunk_index").fetchall()
        found: dict[tuple[str, int], list[ChunkRef]] = {}
        for row in rows:
            found.setdefault((str(row["query_uuid"]), row["attempt"]), []).append(chunk_of(row))
        return found

    def close(self) -> None:
        self.run(self.store.close())
        self._eye.close()
        self._loop.close()
