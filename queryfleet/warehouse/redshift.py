"""Amazon Redshift, which speaks PostgreSQL's wire protocol and little of the rest of PostgreSQL.

It has no binary COPY to a client, so rows come through a cursor declared in SQL, in a read-only transaction.
Cancelling ends the server session from a second connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.errors import ConfigurationError, WarehouseQueryError
from queryfleet.warehouse.columnar import changes, named, row_batch
from queryfleet.warehouse.driver_session import DriverSession
from queryfleet.warehouse.redshift_types import keep_texts, redshift_column
from queryfleet.warehouse.sqlalchemy_errors import explained
from queryfleet.warehouse.statement import is_plain_query, strip_terminator
from queryfleet.warehouse.tagging import tag_comment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from psycopg import Connection, Cursor

    from queryfleet.errors import WarehouseError
    from queryfleet.warehouse.base import Statement
    from queryfleet.warehouse.columnar import RowColumn

__all__ = ["RedshiftWarehouse"]

_PORT = 5439
_CONNECT_SECONDS = 10
_FIRST_ROWS = 256  # of the first fetch: a reader wants to see something
_MOST_ROWS = 8_192
_PIECE_BYTES = 1 << 20


class RedshiftWarehouse:
    """One Redshift database."""

    def __init__(
        self,
        *,
        host: str,
        port: int | None = None,
        user: str,
        password: str | None = None,
        database: str,
        schema: str | None = None,
        sslmode: str | None = None,
        statement_timeout_seconds: float | None = None,
    ) -> None:
        """Remember where the cluster or workgroup is; nothing is opened yet.

        Args:
            host: Endpoint, without port and database.
            port: None: 5439.
            user: Database user.
            password: Of the user.
            database: To connect to.
            schema: Looked into first for names without one; None: the user's own search path.
            sslmode: One of libpq's words; None: the driver's choice.
            statement_timeout_seconds: The server stops a statement after this long; None: the user's own limit.
        """
        given = {"host": host, "user": user, "password": password, "dbname": database, "sslmode": sslmode}
        parameters = {key: value for key, value in given.items() if value is not None}
        self._driver = _Driver(parameters, port=port or _PORT, schema=schema, timeout_seconds=statement_timeout_seconds)

    def __repr__(self) -> str:
        return f"RedshiftWarehouse({self._driver.place})"

    def open(self) -> DriverSession:
        """Return a session; Redshift shows its query's tag in front of the SQL it runs."""
        return DriverSession(self._driver)

    def stop(self, query_id: str) -> bool:
        """End a session by its process id; raises like `connect`."""
        import psycopg

        try:
            return query_id.isdecimal() and self._driver.terminate(int(query_id))
        except psycopg.Error as error:
            raise self._driver.explained(error, statement=None, query_id=query_id) from error

    def ping(self) -> str:
        """Log in and return `Redshift` and the server's version; raises like `connect`."""
        import psycopg

        try:
            with self._driver.logged_in() as connection:
                row = connection.execute("select version()").fetchone()
        except psycopg.Error as error:
            raise self._driver.explained(error, statement=None, query_id=None) from error
        words = str(row[0] if row else "").split()
        # `PostgreSQL 8.0.2 on …, Redshift 1.0.12345`
        return f"Redshift {words[-1] if 'Redshift' in words else words[1] if len(words) > 1 else '?'}"


class _Driver:
    """How to reach one database."""

    dialect = "redshift"
    text_cast = "{}::varchar"

    def __init__(
        self, parameters: dict[str, str], *, port: int, schema: str | None, timeout_seconds: float | None
    ) -> None:
        if schema is not None and "\0" in schema:
            raise ConfigurationError("`schema` holds a NUL character: remove it.", field="warehouse.schema")
        self._parameters, self._port, self._schema, self._timeout_seconds = parameters, port, schema, timeout_seconds
        self.place = f"Redshift at {parameters['host']}:{port}/{parameters['dbname']}"

    def logged_in(self) -> Connection[Sequence[object]]:
        """Return a new connection; raises the driver's errors."""
        import psycopg

        return psycopg.connect(
            "",
            port=self._port,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=_CONNECT_SECONDS,
            application_name="queryfleet",
            **self._parameters,  # type: ignore[arg-type]  # texts of libpq's own names
        )

    def errors(self) -> tuple[type[Exception], ...]:
        """Return what the driver raises."""
        import psycopg

        return psycopg.Error, OSError

    def connect(self) -> _Link:
        """Log in and set the session up."""
        connection = self.logged_in()
        try:
            keep_texts(connection)
            connection.execute("set timezone to 'UTC'")
            if self._schema is not None:
                quoted = '"' + self._schema.replace('"', '""') + '"'
                connection.execute(f"set search_path to {quoted}".encode())
            if self._timeout_seconds is not None:
                connection.execute(f"set statement_timeout to {round(self._timeout_seconds * 1000)}".encode())
        except BaseException:
            connection.close()
            raise
        return _Link(self, connection)

    def terminate(self, number: int) -> bool:
        """End a server session from a connection of its own; tell whether it was there."""
        with self.logged_in() as connection:
            row = connection.execute(f"select pg_terminate_backend({number})".encode()).fetchone()
        return bool(row and row[0])

    def explained(self, error: Exception, *, statement: Statement | None, query_id: str | None) -> WarehouseError:
        """Make our error of one of the driver."""
        import psycopg

        state = getattr(error, "sqlstate", None)
        return explained(
            error,
            place=self.place,
            sql=None if statement is None else statement.sql,
            lost=isinstance(error, (psycopg.OperationalError, OSError)) and not state,
            secrets=[self._parameters["password"]] if "password" in self._parameters else [],
            query_id=query_id,
        )


class _Link:
    """One connection to the database."""

    def __init__(self, driver: _Driver, connection: Connection[Sequence[object]]) -> None:
        self._driver, self._connection = driver, connection
        self._number = connection.info.backend_pid
        self._statement: Statement | None = None
        self._cursor: Cursor[Sequence[object]] | None = None
        self._fetching = False  # a cursor was declared: rows are fetched from it
        self._fetch = ""  # with {} for how many
        self._rows: Sequence[Sequence[object]] = []  # fetched while waiting for the result to begin
        self._columns: list[RowColumn] = []
        self._schema: pa.Schema | None = None

    def introduce(self, statement: Statement) -> None:
        """Begin the transaction, read-only unless the statement may write; shows whether the session is there."""
        self._connection.execute("select 1" if statement.allow_writes else "begin read only")

    def submit(self, statement: Statement) -> str:
        """Keep the statement, which runs when its result is asked for; return the server's process id."""
        self._statement = statement
        return str(self._number)

    def schema(self) -> pa.Schema:
        """Run the statement and wait for its first rows."""
        if self._statement is None:
            raise WarehouseQueryError("No statement was submitted to this session.")
        sql = strip_terminator(self._statement.sql, dialect="redshift")
        tag = tag_comment(self._statement.tag)
        self._fetch = f"{tag} fetch forward {{}} from queryfleet"
        cursor = self._cursor = self._connection.cursor()
        self._fetching = is_plain_query(sql, dialect="redshift")
        if self._fetching:
            if self._statement.allow_writes:
                cursor.execute("begin")  # a cursor lives in a transaction
            cursor.execute(f"{tag} declare queryfleet cursor for {sql}".encode())
            cursor.execute(self._fetch.format(_FIRST_ROWS).encode())
        else:
            cursor.execute(f"{tag} {sql}".encode())
        if cursor.description is None:
            self._columns, self._schema, self._rows = changes(cursor.rowcount)
            return self._schema
        self._rows = cursor.fetchall()
        self._columns, self._schema = named([redshift_column(described) for described in cursor.description])
        return self._schema

    def pieces(self) -> Iterator[pa.RecordBatch]:
        """Fetch and turn rows, a few at first, then about 1 MiB at a time."""
        rows, wanted = self._rows, _FIRST_ROWS
        self._rows = []
        while rows and self._schema is not None:
            piece = row_batch(rows, self._columns, self._schema, text_cast=self._driver.text_cast)
            fits = _PIECE_BYTES * piece.num_rows // max(piece.nbytes, 1)
            wanted = max(1, min(fits, wanted * 2, _MOST_ROWS))
            yield piece
            rows = self._fetched(wanted)

    def _fetched(self, wanted: int) -> Sequence[Sequence[object]]:
        if not self._fetching or self._cursor is None:
            return []
        return self._cursor.execute(self._fetch.format(wanted).encode()).fetchall()

    def stop(self) -> bool:
        """End the server session: its statement may not have begun, or wait for us."""
        self._driver.terminate(self._number)
        return True

    def close(self) -> None:
        """Log out; an open transaction only read."""
        self._connection.close()
