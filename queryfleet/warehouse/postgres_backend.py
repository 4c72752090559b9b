"""Connections to PostgreSQL: opening one that can be given up, and ending one from outside."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.errors import QueryCancelledError, WarehouseConnectionError
from queryfleet.warehouse.postgres_errors import connection_error

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Connection

    from queryfleet.warehouse.base import Statement

__all__ = ["Backend", "Opening", "Target", "introduction", "run_plainly"]

_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",  # of values as text; leaves the order of day and month in literals alone
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "default_transaction_read_only": "on",
}
_CONTROL_SECONDS = 5  # to connect and end a session
# A server that vanishes without a word is noticed after about a minute, and sooner by whoever sends it something.
_DEFAULTS = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
# A server before version 14, and one on Windows, cannot look whether its client is still there while it computes.
_NOTICE_LOSS = """
case when current_setting('client_connection_check_interval', true) is not null and version() ~* 'linux|darwin|bsd'
     then set_config('client_connection_check_interval', '1000', false) end
""".strip()
_END_EARLIER = """
(select count(pg_terminate_backend(pid)) from pg_stat_activity
 where application_name = {name} and usename = current_user and pid <> pg_backend_pid())
"""
_IDLE_NAME = "queryfleet idle"  # of a session before it has a query


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One session on the server, so that nobody else's is ended when the number was given away again."""

    pid: int
    started_at: str  # as the server says it

    def __str__(self) -> str:
        return f"{self.pid}@{self.started_at}"


class Target:
    """Where the server is and how to log in. Never shows the password."""

    def __init__(self, conninfo: str, *, schema: str | None, statement_timeout_seconds: float | None) -> None:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        from queryfleet.errors import ConfigurationError

        try:
            given = conninfo_to_dict(conninfo)
        except ProgrammingError:
            # The parser quotes what it does not understand, which may be the password.
            raise ConfigurationError(
                "The warehouse's connection is neither a postgresql:// URL nor a list of key=value pairs."
            ) from None
        self._parameters = {"connect_timeout": "10", **_DEFAULTS, **{k: str(v) for k, v in given.items()}}
        self._settings = dict(_SETTINGS)
        if schema is not None:
            self._settings["search_path"] = '"' + schema.replace('"', '""') + '"'
        if statement_timeout_seconds is not None:
            self._settings["statement_timeout"] = f"{round(statement_timeout_seconds * 1000)}ms"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not appear in any message."""
        return tuple(self._parameters[key] for key in ("password", "sslpassword") if key in self._parameters)

    def __str__(self) -> str:
        host, port = self._parameters.get("host", "localhost"), self._parameters.get("port", "5432")
        return f"{host}:{port}/{self._parameters.get('dbname', self._parameters.get('user', ''))}"

    def conninfo(self, application_name: str) -> str:
        """Return libpq's key=value text, with the password in it."""
        from psycopg.conninfo import make_conninfo

        parameters = {**self._parameters, "application_name": application_name, "client_encoding": "UTF8"}
        return make_conninfo("", **parameters)

    def open(self) -> tuple[Connection, Backend]:
        """Log in and set the session up: UTC, read-only, the project's schema.

        Raises:
            WarehouseConnectionError: It cannot be reached or refused the login.
        """
        import adbc_driver_manager
        from adbc_driver_postgresql import dbapi

        try:
            connection = dbapi.connect(self.conninfo(_IDLE_NAME), autocommit=True)
            try:
                return connection, self._set_up(connection)
            except BaseException:
                connection.close()
                raise
        except (adbc_driver_manager.Error, OSError) as error:
            raise connection_error(str(error), target=str(self), secrets=self.secrets) from error

    def _set_up(self, connection: Connection) -> Backend:
        from psycopg import sql

        calls = [sql.SQL("set_config({}, {}, false)").format(k, v) for k, v in self._settings.items()]
        statement = sql.SQL(
            "select pid, to_char(backend_start at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), {}, {} "
            "from pg_stat_activity where pid = pg_backend_pid()"
        ).format(sql.SQL(", ").join(calls), sql.SQL(_NOTICE_LOSS))
        row = run_plainly(connection, statement.as_string(None)).to_pylist()[0]
        pid, started_at = list(row.values())[:2]
        return Backend(pid=pid, started_at=started_at)

    def terminate(self, backend: Backend) -> bool:
        """End a session from a separate connection; it is gone a moment later, or was already: False then.

        Raises:
            WarehouseConnectionError: The server could not be reached, or refused.
        """
        import psycopg

        try:
            with psycopg.connect(
                self.conninfo("queryfleet cancel"), connect_timeout=_CONTROL_SECONDS, autocommit=True
            ) as control:
                row = control.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where pid = %s and backend_start = %s::timestamptz",
                    [backend.pid, backend.started_at],
                ).fetchone()
        except psycopg.Error as error:
            raise connection_error(str(error), target=str(self), secrets=self.secrets) from error
        return row is not None and bool(row[0])

    def server_version(self) -> str:
        """Log in and return the server's version; raises like `open`."""
        import psycopg

        try:
            with psycopg.connect(self.conninfo("queryfleet ping"), autocommit=True) as connection:
                row = connection.execute("show server_version").fetchone()
        except psycopg.Error as error:
            raise connection_error(str(error), target=str(self), secrets=self.secrets) from error
        return str(row[0]) if row else ""


def introduction(statement: Statement) -> str:
    """Return the SQL that names a session after its query and lets it write if the query may.

    That of a repeated attempt also ends what earlier ones have left: an actor that was killed or cut off cannot.
    """
    from psycopg import sql

    # The server keeps 63 bytes of a name.
    name = f"queryfleet {statement.tag.query_uuid}".encode()[:63].decode(errors="ignore")
    settings = {"application_name": name}
    if statement.allow_writes:
        settings["default_transaction_read_only"] = "off"
    calls = [sql.SQL("set_config({}, {}, false)").format(key, value) for key, value in settings.items()]
    if statement.tag.attempt > 1:
        calls.insert(0, sql.SQL(_END_EARLIER).format(name=name))
    return sql.SQL("select {}").format(sql.SQL(", ").join(calls)).as_string(None)


def run_plainly(connection: Connection, statement: str) -> pa.Table:
    """Run a statement of our own and return its result as an Arrow table."""
    with connection.cursor(adbc_stmt_kwargs={"adbc.postgresql.use_copy": "false"}) as cursor:
        cursor.execute(statement)
        return cursor.fetch_arrow_table()


class Opening:
    """One attempt to log in, on a thread of its own: a connecting driver cannot be stopped, only left.

    The thread ends with the driver's own time limit at the latest, and closes what it got when nobody waits
    any more.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._given_up = False
        self._done = threading.Event()
        self._result: tuple[Connection, Backend] | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._run, name="postgres-connect", daemon=True).start()

    def result(self) -> tuple[Connection, Backend]:
        """Wait for the connection, which then belongs to the caller.

        Raises:
            WarehouseConnectionError: It could not be made.
            QueryCancelledError: `give_up` was called.
        """
        self._done.wait()
        with self._lock:
            if self._given_up:
                raise QueryCancelledError("The query was cancelled.")
            if self._result is None:
                raise self._error or WarehouseConnectionError(f"PostgreSQL at {self._target} did not answer.")
            result, self._result = self._result, None
            return result

    def give_up(self) -> None:
        """Let nobody have the connection. Does nothing once somebody has it."""
        with self._lock:
            self._given_up = True
            result, self._result = self._result, None
        if result is not None:
            result[0].close()
        self._done.set()

    def _run(self) -> None:
        result = None
        try:
            result = self._target.open()
        except Exception as error:  # noqa: BLE001 - raised again where the result is waited for
            self._error = error
        with self._lock:
            if not self._given_up:
                self._result, result = result, None
        if result is not None:
            with suppress(Exception):
                result[0].close()
        self._done.set()
