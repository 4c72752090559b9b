"""Any database with a SQLAlchemy dialect: rows of its driver, turned into Arrow batch by batch.

SQLAlchemy connects, opens a cursor that streams and says which errors mean a lost connection; rows are taken
from the driver's cursor itself, so no object is made for them twice. MySQL, MariaDB, PostgreSQL and SQLite
are known well; of any other database the values of the first rows decide about types.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from queryfleet.errors import ConfigurationError, ForbiddenError, WarehouseConnectionError, WarehouseQueryError
from queryfleet.warehouse.columnar import changes, named, row_batch
from queryfleet.warehouse.driver_session import DriverSession
from queryfleet.warehouse.sqlalchemy_dialects import (
    GRAMMARS,
    TEXT_CASTS,
    TIMED_DIALECTS,
    Backend,
    forget_rows,
    has_live_comment,
    introduce,
    stop_driver,
    streaming_cursor,
)
from queryfleet.warehouse.sqlalchemy_errors import explained
from queryfleet.warehouse.sqlalchemy_types import cursor_columns, mysql_decoders
from queryfleet.warehouse.statement import is_plain_query, strip_terminator
from queryfleet.warehouse.tagging import tag_comment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor

    from queryfleet.errors import WarehouseError
    from queryfleet.warehouse.base import Statement
    from queryfleet.warehouse.columnar import RowColumn

__all__ = ["SQLAlchemyWarehouse"]

MEMORY = ":memory:"
_CONNECT_SECONDS = 10
_FIRST_ROWS = 256  # of the first fetch: a reader wants to see something
_MOST_ROWS = 8_192
_PIECE_BYTES = 1 << 20


class SQLAlchemyWarehouse:
    """One database behind a SQLAlchemy URL."""

    def __init__(self, *, url: str, statement_timeout_seconds: float | None = None) -> None:
        """Remember where the database is; nothing is opened yet.

        Args:
            url: `dialect+driver://user:password@host:port/database?option=value`. The driver's package must be
                installed.
            statement_timeout_seconds: The server stops a statement after this long; None: its own limit. Only
                for MySQL, MariaDB and PostgreSQL.

        Raises:
            ConfigurationError: The URL cannot be read, its dialect or driver is missing, or the dialect has no
                time-out. The message does not quote the URL.
        """
        self._driver = _Driver(url, statement_timeout_seconds)

    def __repr__(self) -> str:
        return f"SQLAlchemyWarehouse({self._driver.place})"

    def open(self) -> DriverSession:
        """Return a session. MySQL, MariaDB and PostgreSQL show its query's tag in front of the SQL they run."""
        return DriverSession(self._driver)

    def stop(self, query_id: str) -> bool:
        """End the session of a MySQL or MariaDB server by its id; raises like `connect`."""
        return self._driver.stop(query_id)

    def ping(self) -> str:
        """Log in and return the database's name and version; raises like `connect`."""
        return self._driver.version()


class _Driver:
    """How to reach one database. Holds an engine without connections, made when it is first needed."""

    def __init__(self, url: str, timeout_seconds: float | None) -> None:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError

        try:
            parsed = make_url(url)
            name = parsed.get_dialect().name
        except (ArgumentError, ValueError):
            raise ConfigurationError(
                "The warehouse's `url` is no SQLAlchemy URL: write dialect+driver://user:password@host/database."
            ) from None
        except NoSuchModuleError as error:
            raise ConfigurationError(f"The dialect of the warehouse's `url` is not installed: {error}.") from None
        if timeout_seconds is not None and name not in TIMED_DIALECTS:
            raise ConfigurationError(
                f"`statement_timeout_seconds` cannot be kept by {name}: remove it, and set `limits` of the project.",
                field="warehouse.statement_timeout_seconds",
            )
        self._text, self.timeout_seconds = url, timeout_seconds
        self.url, self.name = parsed, name
        self.dialect, self.text_cast = GRAMMARS.get(name, ""), TEXT_CASTS.get(name, "cast({} as varchar)")
        self.place = f"{name} at {parsed.host or 'this machine'}:{parsed.port or ''}/{parsed.database or ''}"
        self._lock = threading.Lock()
        self._engine: Engine | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._text, self.timeout_seconds)

    @property
    def secrets(self) -> list[str]:
        """What must not appear in any message."""
        query = [value for value in self.url.query.values() if isinstance(value, str)]
        return [str(self.url.password)] if self.url.password else query

    def engine(self) -> Engine:
        """Return the engine; it keeps no connection."""
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError
        from sqlalchemy.pool import NullPool

        with self._lock:
            if self._engine is None:
                arguments: dict[str, object] = {}
                if self.url.get_driver_name() == "pymysql":
                    arguments = {"connect_timeout": _CONNECT_SECONDS, "conv": mysql_decoders()}
                elif self.name == "sqlite":
                    arguments = {"check_same_thread": False}  # one thread at a time all the same
                elif self.name == "postgresql":
                    arguments = {"connect_timeout": _CONNECT_SECONDS}
                given = {key: value for key, value in arguments.items() if key not in self.url.query}
                try:
                    self._engine = create_engine(self.url, poolclass=NullPool, connect_args=given)
                except (ModuleNotFoundError, ArgumentError) as error:
                    raise ConfigurationError(f"The driver of the warehouse's `url` cannot be used: {error}.") from None
            return self._engine

    def errors(self) -> tuple[type[Exception], ...]:
        """Return what SQLAlchemy and the driver raise."""
        from sqlalchemy.exc import SQLAlchemyError

        return SQLAlchemyError, self.engine().dialect.loaded_dbapi.Error, OSError

    def connect(self) -> _Link:
        """Log in."""
        path = self.url.database
        # SQLite would make an empty one.
        if (
            self.name == "sqlite"
            and path
            and path != MEMORY
            and not path.startswith("file:")
            and not Path(path).is_file()
        ):
            raise WarehouseConnectionError(f"There is no SQLite database at {path}. Correct `url`.", path=path)
        pooled = self.engine().raw_connection()
        connection = pooled.driver_connection
        if connection is None:
            raise WarehouseConnectionError(f"The driver gave no connection to {self.place}.")
        pooled.detach()  # the connection is ours from now on
        try:
            backend = Backend.of(connection) if self.name in {"mysql", "mariadb"} else None
        except BaseException:
            connection.close()
            raise
        return _Link(self, connection, backend)

    def explained(self, error: Exception, *, statement: Statement | None, query_id: str | None) -> WarehouseError:
        """Make our error of one that SQLAlchemy or the driver raised."""
        cause = getattr(error, "orig", None) or error
        dialect = self.engine().dialect
        known = dialect.loaded_dbapi.Error
        return explained(
            cause,
            place=self.place,
            sql=None if statement is None else statement.sql,
            lost=isinstance(cause, OSError) or (isinstance(cause, known) and dialect.is_disconnect(cause, None, None)),
            secrets=self.secrets,
            query_id=query_id,
        )

    def stop(self, query_id: str) -> bool:
        """End a session by its id, where sessions have one."""
        backend = Backend.from_text(query_id) if self.name in {"mysql", "mariadb"} else None
        if backend is None:
            return False
        try:
            return backend.kill(self.engine())
        except self.errors() as error:
            raise self.explained(error, statement=None, query_id=query_id) from error

    def version(self) -> str:
        """Log in and return name and version."""
        try:
            with self.engine().connect() as connection:
                number = ".".join(str(part) for part in connection.dialect.server_version_info or ("?",))
                mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
        except self.errors() as error:
            raise self.explained(error, statement=None, query_id=None) from error
        names = {"mysql": "MySQL", "postgresql": "PostgreSQL", "sqlite": "SQLite"}
        return f"{'MariaDB' if mariadb else names.get(self.name, self.name)} {number}"


class _Link:
    """One connection to the database."""

    def __init__(self, driver: _Driver, connection: DBAPIConnection, backend: Backend | None) -> None:
        self._driver = driver
        self._connection = connection
        self._backend = backend
        self._statement: Statement | None = None
        self._cursor: DBAPICursor | None = None
        self._rows: Sequence[Sequence[object]] = []  # fetched while waiting for the result to begin
        self._columns: list[RowColumn] = []
        self._schema: pa.Schema | None = None

    def introduce(self, statement: Statement) -> None:
        """Set the session up for the statement."""
        dialect = self._driver.engine().dialect
        introduce(self._connection, dialect, statement, timeout_seconds=self._driver.timeout_seconds)
        self._connection.commit()

    def submit(self, statement: Statement) -> str | None:
        """Keep the statement, which runs when its result is asked for; return the server's session."""
        if self._driver.dialect == "mysql" and not statement.allow_writes and has_live_comment(statement.sql):
            raise ForbiddenError(
                "This project only reads, and a comment that begins with /*! is run by MySQL. Remove it.",
                keyword="/*!",
            )
        self._statement = statement
        return None if self._backend is None else str(self._backend)

    def schema(self) -> pa.Schema:
        """Run the statement and wait for its first rows."""
        if self._statement is None:
            raise WarehouseQueryError("No statement was submitted to this session.")
        sql = strip_terminator(self._statement.sql, dialect=self._driver.dialect)
        cursor = self._cursor = self._opened_cursor(self._statement, sql)
        cursor.execute(f"{tag_comment(self._statement.tag)} {sql}")
        if getattr(cursor, "description", None) is None:
            self._columns, self._schema, self._rows = changes(cursor.rowcount)
            self._cursor = None
            return self._schema
        self._rows = cursor.fetchmany(_FIRST_ROWS)
        self._columns, self._schema = named(cursor_columns(cursor, self._rows, dialect=self._driver.name))
        return self._schema

    def _opened_cursor(self, statement: Statement, sql: str) -> DBAPICursor:
        dialect = self._driver.engine().dialect
        if statement.allow_writes and not is_plain_query(sql, dialect=self._driver.dialect):
            dialect.set_isolation_level(self._connection, "AUTOCOMMIT")
            return self._connection.cursor()
        return streaming_cursor(self._connection, dialect)

    def pieces(self) -> Iterator[pa.RecordBatch]:
        """Fetch and turn rows, a few at first, then about 1 MiB at a time."""
        rows, wanted = self._rows, _FIRST_ROWS
        self._rows = []
        while rows and self._schema is not None:
            piece = row_batch(rows, self._columns, self._schema, text_cast=self._driver.text_cast)
            fits = _PIECE_BYTES * piece.num_rows // max(piece.nbytes, 1)
            wanted = max(1, min(fits, wanted * 2, _MOST_ROWS))
            yield piece
            rows = [] if self._cursor is None else self._cursor.fetchmany(wanted)

    def stop(self) -> bool:
        """End the server's session, or ask the driver to stop."""
        if self._backend is None:
            return stop_driver(self._connection)
        self._backend.kill(self._driver.engine())
        return True

    def close(self) -> None:
        """Close the connection without reading the rows that are left."""
        cursor, self._cursor = self._cursor, None
        forget_rows(cursor)
        self._connection.close()
        if cursor is not None:
            with suppress(Exception):
                cursor.close()
