"""Connections to the database of the status store, and running its named statements on them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from queryfleet.errors import StatusStoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from queryfleet.status.rows import Row

__all__ = ["PostgresConnections", "load_statements"]

_ASK_AGAIN_SECONDS = 1.0  # for a connection, while the database is away


def load_statements() -> dict[str, bytes]:
    """Return the named statements of `queries.sql`."""
    text = (Path(__file__).parent / "queries.sql").read_text(encoding="utf-8")
    blocks = text.split("-- name: ")[1:]
    return {block.split("\n", 1)[0].strip(): block.split("\n", 1)[1].strip().encode() for block in blocks}


class PostgresConnections:
    """A small pool of connections that opens on first use.

    Args:
        database_url: `postgresql://…`; its password appears in no error and no log.
        connections_max: Most connections open at once.
        timeout_seconds: Longest wait for a free connection, which is also the longest a caller hangs while the
            database is away.
    """

    def __init__(self, database_url: str, *, connections_max: int = 8, timeout_seconds: float = 5.0) -> None:
        self._statements = load_statements()
        self._timeout_seconds = timeout_seconds
        self._checking: asyncio.Task[None] | None = None
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Row]] = AsyncConnectionPool(
            database_url,
            min_size=1,
            max_size=connections_max,
            timeout=timeout_seconds,
            max_lifetime=3600,
            reconnect_timeout=1.0,
            open=False,
            check=None,
            kwargs={"row_factory": dict_row, "autocommit": True, "connect_timeout": 5, "prepare_threshold": 2},
        )

    async def open(self) -> None:
        """Start the pool; must run on the loop that uses the store."""
        await self._pool.open()

    async def close(self) -> None:
        """Close every connection."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
        await self._pool.close()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        try:
            async with AsyncExitStack() as stack:
                yield await self._borrow(stack)
        except PoolTimeout:
            raise StatusStoreError("The database does not answer; try again shortly.") from None
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self._check_others()
            raise StatusStoreError(
                "The database connection failed; try again shortly.", sqlState=error.sqlstate
            ) from error

    async def _borrow(self, stack: AsyncExitStack) -> psycopg.AsyncConnection[Row]:
        """Take a connection until `stack` ends.

        The pool soon gives up on a database that is away, until it is asked again: so it is, while there is time.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_seconds
        while True:
            seconds = min(_ASK_AGAIN_SECONDS, deadline - clock())
            try:
                return await stack.enter_async_context(self._pool.connection(timeout=seconds))
            except PoolTimeout:
                if clock() >= deadline:
                    raise

    def _check_others(self) -> None:
        """When one connection is lost the others may be too: find out now, not one caller after the other."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._pool.check())

    async def _rows(self, name: str, /, **values: object) -> list[Row]:
        async with self._connection() as connection:
            cursor = await connection.execute(self._statements[name], values)
            return await cursor.fetchall() if cursor.description else []

    async def _row(self, name: str, /, **values: object) -> Row | None:
        rows = await self._rows(name, **values)
        return rows[0] if rows else None

    async def ping(self) -> str:
        """Return the schema version; raises `StatusStoreError` when the database is away or has no schema."""
        try:
            row = await self._row("ping")
        except psycopg.errors.UndefinedTable:
            raise StatusStoreError("The database has no schema yet; start `queryfleet up` once.") from None
        return str(row["version_num"]) if row else ""
