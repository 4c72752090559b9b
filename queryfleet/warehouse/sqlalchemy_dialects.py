"""What differs between the databases that SQLAlchemy reaches: limits, read-only mode, how to stop a statement.

| dialect | read-only | time-out | cancel |
|---|---|---|---|
| mysql, mariadb | session is read-only | `max_statement_time`, `max_execution_time` | `KILL` from a second connection |
| postgresql | session is read-only | `statement_timeout` | the driver's own cancel request |
| sqlite | `query_only` | none | `interrupt` |
| any other | by keyword only | none | the driver's `cancel`, or the connection is closed |
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Dialect, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor

    from queryfleet.warehouse.base import Statement

__all__ = [
    "GRAMMARS",
    "TEXT_CASTS",
    "TIMED_DIALECTS",
    "Backend",
    "forget_rows",
    "has_live_comment",
    "introduce",
    "stop_driver",
    "streaming_cursor",
]

# SQLAlchemy's names → those of the SQL tokenizer; others are cut into words by the rules they share.
GRAMMARS = {
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgresql": "postgres",
    "sqlite": "sqlite",
    "mssql": "tsql",
    "oracle": "oracle",
}
TEXT_CASTS = {
    "mysql": "cast(`{}` as char)",
    "mariadb": "cast(`{}` as char)",
    "sqlite": "cast({} as text)",
    "postgresql": "{}::text",
}
TIMED_DIALECTS = frozenset({"mysql", "mariadb", "postgresql"})
_MYSQL = frozenset({"mysql", "mariadb"})
_MYSQL_NO_LIMIT = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One session of a MySQL or MariaDB server, so that nobody else's is ended when its number is another's.

    Behind one address there may be several servers, and a restarted one counts from 1 again; the address that
    the server sees our connection come from tells them apart.
    """

    number: int
    origin: str

    @classmethod
    def of(cls, connection: DBAPIConnection) -> Backend:
        """Ask a connection for its own session."""
        cursor = connection.cursor()
        cursor.execute("select id, host from information_schema.processlist where id = connection_id()")
        number, origin = cursor.fetchall()[0]
        cursor.close()
        return cls(number=int(number), origin=str(origin))

    @classmethod
    def from_text(cls, text: str) -> Backend | None:
        """Read what `str` gives; None for anything else."""
        number, at, origin = text.partition("@")
        return cls(number=int(number), origin=origin) if at and number.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.number}@{self.origin}"

    def kill(self, engine: Engine) -> bool:
        """End the session from a connection of its own; tell whether it was there."""
        with engine.connect() as control:
            found = control.exec_driver_sql(
                f"select host from information_schema.processlist where id = {self.number}"  # noqa: S608 - a number
            ).first()
            if found is None or str(found[0]) != self.origin:
                return False
            # The whole session: its statement may not have begun, or wait for us to read.
            with suppress(Exception):  # it ended by itself
                control.exec_driver_sql(f"kill {self.number}")
            return True


def introduce(
    connection: DBAPIConnection, dialect: Dialect, statement: Statement, *, timeout_seconds: float | None
) -> None:
    """Set the session up for one statement: UTC, read-only unless it may write, its limits."""
    sql = _introduction(dialect, statement, timeout_seconds)
    if sql is None:
        dialect.do_ping(connection)
        return
    cursor = connection.cursor()
    cursor.execute(sql)
    cursor.close()


def _introduction(dialect: Dialect, statement: Statement, timeout_seconds: float | None) -> str | None:
    """Return SQL that sets all at once; None: there is nothing to set."""
    writes = statement.allow_writes
    if dialect.name in _MYSQL:
        mariadb = bool(getattr(dialect, "is_mariadb", False))
        settings = {
            "time_zone": "'+00:00'",
            "tx_read_only" if mariadb else "transaction_read_only": "0" if writes else "1",
            "sql_select_limit": str(_MYSQL_NO_LIMIT if statement.row_limit is None else statement.row_limit),
        }
        if timeout_seconds is not None and mariadb:
            settings["max_statement_time"] = f"{timeout_seconds:.6f}"
        elif timeout_seconds is not None:
            settings["max_execution_time"] = str(round(timeout_seconds * 1000))
        return "set session " + ", ".join(f"{key} = {value}" for key, value in settings.items())
    if dialect.name == "postgresql":
        settings = {"TimeZone": "UTC", "default_transaction_read_only": "off" if writes else "on"}
        if timeout_seconds is not None:
            settings["statement_timeout"] = str(round(timeout_seconds * 1000))
        return "select " + ", ".join(f"set_config('{key}', '{value}', false)" for key, value in settings.items())
    return f"pragma query_only = {'off' if writes else 'on'}" if dialect.name == "sqlite" else None


def streaming_cursor(driver_connection: DBAPIConnection, dialect: Dialect) -> DBAPICursor:
    """Return a cursor that does not read the whole result before its first row, where the driver has one."""
    if dialect.driver == "pymysql":
        from pymysql.cursors import SSCursor

        return driver_connection.cursor(SSCursor)
    if dialect.driver in {"psycopg", "psycopg2"}:
        return driver_connection.cursor("queryfleet")
    return driver_connection.cursor()


def forget_rows(cursor: DBAPICursor | None) -> None:
    """Keep PyMySQL from reading a result to its end before it is thrown away."""
    result = getattr(cursor, "_result", None)
    if result is not None and hasattr(result, "unbuffered_active"):
        result.unbuffered_active = False


def stop_driver(driver_connection: object) -> bool:
    """Ask a driver to stop what its connection does; returns whether one request is enough.

    Raises whatever the driver raises.
    """
    interrupt = getattr(driver_connection, "interrupt", None)
    if callable(interrupt):  # SQLite: lost when the statement has not begun
        interrupt()
        return False
    for name in ("cancel_safe", "cancel"):
        cancel = getattr(driver_connection, name, None)
        if callable(cancel):
            cancel()
            return False
    close = getattr(driver_connection, "close", None)
    if callable(close):
        close()
    return True


def has_live_comment(sql: str) -> bool:
    """Tell whether MySQL would run something that looks like a comment: `/*! … */`."""
    from sqlglot.dialects.dialect import Dialect as Grammar
    from sqlglot.errors import SqlglotError

    if "/*!" not in sql and "/*M!" not in sql:
        return False
    try:
        tokens = Grammar.get_or_raise("mysql").tokenize(sql)
    except SqlglotError:
        return True
    return any(comment.startswith(("!", "M!")) for token in tokens for comment in token.comments)
