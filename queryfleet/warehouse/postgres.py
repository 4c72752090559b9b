"""PostgreSQL, read as Arrow through COPY.

A statement is described by the server first, then wrapped in a select that casts what the driver cannot
decode; both on one session, which is the query's alone and named after it. What cannot be wrapped runs as it
is. Cancelling ends that session from a second connection: a backend that is computing, or waiting for us to
read, is gone at once.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, ClassVar

from queryfleet.errors import (
    QueryCancelledError,
    WarehouseConnectionError,
    WarehouseError,
    WarehouseQueryError,
)
from queryfleet.warehouse.lifetime import SessionLifetime
from queryfleet.warehouse.postgres_backend import Backend, Opening, Target, introduction, run_plainly
from queryfleet.warehouse.postgres_errors import query_error
from queryfleet.warehouse.postgres_types import plan_result
from queryfleet.warehouse.ranges import RangeCheck
from queryfleet.warehouse.shaping import shaped_batches
from queryfleet.warehouse.statement import check_statement, is_plain_query, leading_word, strip_terminator

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from adbc_driver_manager.dbapi import Connection, Cursor

    from queryfleet.errors import ServiceError
    from queryfleet.warehouse.base import Statement
    from queryfleet.warehouse.postgres_types import ResultPlan

__all__ = ["PostgresSession", "PostgresWarehouse"]

_BATCH_BYTES = 1 << 20  # of the driver's pieces; 16 MiB was slower, to the first row as well, and larger
_CLOSE_SECONDS = 5.0  # that `close` waits for another thread to come out of the driver
_COPY_PREFIX = len("COPY (")  # what the driver puts before a statement
_COPY_WORDS = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE", "("})


class PostgresWarehouse:
    """One PostgreSQL database."""

    def __init__(
        self, *, conninfo: str, schema: str | None = None, statement_timeout_seconds: float | None = None
    ) -> None:
        """Remember where the server is; nothing is opened yet.

        Args:
            conninfo: A `postgresql://` URL, or libpq's `host=… port=… user=… password=… dbname=…`.
            schema: Where unqualified table names are looked up; None: the role's own search path.
            statement_timeout_seconds: The server stops a statement after this long; None: the role's own
                limit.

        Raises:
            ConfigurationError: `conninfo` cannot be read. The message does not quote it.
        """
        self._target = Target(conninfo, schema=schema, statement_timeout_seconds=statement_timeout_seconds)

    @classmethod
    def from_parts(
        cls,
        *,
        host: str | None = None,
        port: int | None = None,
        user: str | None = None,
        password: str | None = None,
        database: str | None = None,
        schema: str | None = None,
        sslmode: str | None = None,
        url: str | None = None,
        statement_timeout_seconds: float | None = None,
    ) -> PostgresWarehouse:
        """Make the warehouse from a project's keys; what is None is left to libpq or to `url`."""
        from psycopg import ProgrammingError
        from psycopg.conninfo import make_conninfo

        from queryfleet.errors import ConfigurationError

        parts = {
            "host": host,
            "port": port,
            "user": user,
            "password": password,
            "dbname": database,
            "sslmode": sslmode,
        }
        try:
            given = {key: value for key, value in parts.items() if value is not None}
            conninfo = make_conninfo(url or "", **given)
        except ProgrammingError:
            raise ConfigurationError("The warehouse's `url` is not a postgresql:// URL.") from None
        return cls(conninfo=conninfo, schema=schema, statement_timeout_seconds=statement_timeout_seconds)

    def __repr__(self) -> str:
        return f"PostgresWarehouse({self._target})"

    def open(self) -> PostgresSession:
        """Return a session. In `pg_stat_activity` it is `queryfleet idle`, and later `queryfleet <query_uuid>`."""
        return PostgresSession(self._target)

    def stop(self, query_id: str) -> bool:
        """End the server session that `submit` named."""
        pid, _, started_at = query_id.partition("@")
        if not pid.isdecimal() or not started_at:
            return False
        return self._target.terminate(Backend(pid=int(pid), started_at=started_at))

    def ping(self) -> str:
        """Log in and return `PostgreSQL` and the server's version; raises like `connect`."""
        return f"PostgreSQL {self._target.server_version()}"


class PostgresSession(SessionLifetime):
    """One statement on a server session of its own."""

    resumable: ClassVar[bool] = False

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target
        self._connecting = threading.Lock()  # held by the one thread that logs in
        self._driver = threading.Lock()  # held inside the driver: what it uses must not be closed meanwhile
        self._opening: Opening | None = None
        self._connection: Connection | None = None
        self._backend: Backend | None = None
        self._cursor: Cursor | None = None
        self._statement: Statement | None = None
        self._sql = ""  # the user's, without its terminator
        self._offset = 0  # characters before it in what the server was given
        self._plan: ResultPlan | None = None
        self._reader: pa.RecordBatchReader | None = None
        self._first: list[pa.RecordBatch] = []  # read while waiting for the result to begin
        self._schema: pa.Schema | None = None

    def connect(self) -> None:
        """Log in; see `WarehouseSession.connect`. Can be cancelled although the driver itself cannot."""
        with self._connecting:
            with self._lock:
                self._refuse_if_over()
                if self._connection is not None:
                    return
                opening = self._opening = Opening(self._target)
            try:
                connection, backend = opening.result()
            finally:
                with self._lock:
                    self._opening = None
            with self._lock:
                self._connection, self._backend = connection, backend
                over = self._closed
            if over:  # `close` found nothing to close
                self._release()
            with self._lock:
                self._refuse_if_over()

    def submit(self, statement: Statement) -> str:
        """Name the session, describe the statement and return `<backend pid>@<backend start>`."""
        check_statement(statement.sql, dialect="postgres", allow_writes=statement.allow_writes)
        self.connect()
        try:
            self._introduce(statement)
        except WarehouseError:
            # A session made ahead may be gone by now: ended by the server, which may have been restarted.
            self._forget_connection()
            self.connect()
            self._introduce(statement)
        connection, backend = self._open_connection()
        self._statement = statement
        self._sql = strip_terminator(statement.sql, dialect="postgres")
        with self._inside(), connection.cursor() as cursor:
            described = cursor.adbc_execute_schema(self._sql)
        wrap = is_plain_query(self._sql, dialect="postgres")
        self._plan = plan_result(described, wrap=wrap)
        return str(backend)

    def attach(self, statement: Statement, query_id: str, *, first_row: int) -> bool:  # noqa: ARG002
        """Return False: a statement ends with its server session."""
        return False

    def _introduce(self, statement: Statement) -> None:
        """Tell the server who asks, and what is allowed; one round trip that shows whether it is still there."""
        connection, _ = self._open_connection()
        with self._inside():
            run_plainly(connection, introduction(statement))

    def _forget_connection(self) -> None:
        with self._driver:
            self._release()
        with self._lock:
            self._refuse_if_over()
            self._backend = None

    def schema(self) -> pa.Schema:
        """Run the statement, wait for its first rows, and return its columns."""
        if self._schema is None:
            if self._plan is None or self._statement is None:
                raise WarehouseQueryError("No statement was submitted to this session.")
            self._schema = self._run(self._plan, self._statement)
        return self._schema

    def _run(self, plan: ResultPlan, statement: Statement) -> pa.Schema:
        import pyarrow as pa

        connection, _ = self._open_connection()
        sql, offset = plan.sql(self._sql, row_limit=statement.row_limit)
        copies = bool(plan.columns) and leading_word(self._sql, dialect="postgres") in _COPY_WORDS
        options = {
            "adbc.postgresql.use_copy": "true" if copies else "false",
            "adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES),
        }
        with self._inside():
            self._offset = offset + (_COPY_PREFIX if copies else 0)
            cursor = connection.cursor(adbc_stmt_kwargs=options)
            with self._lock:
                self._cursor = cursor
            cursor.execute(sql)
            if not plan.columns:
                return self._changes(cursor.rowcount)
            # Not `fetch_record_batch`, whose errors have lost SQLSTATE and everything else but the text.
            self._reader = cursor._results.reader  # noqa: SLF001
            self._first = [piece] if (piece := self._next_piece()) is not None else []
        return pa.schema(plan.schema)

    def _changes(self, count: int) -> pa.Schema:
        """Make the result of a statement without columns: how many rows it changed, if it says so."""
        import pyarrow as pa

        schema = pa.schema([pa.field("Count", pa.int64())])
        if count >= 0:
            self._first = [pa.RecordBatch.from_arrays([pa.array([count], pa.int64())], schema=schema)]
        return schema

    def batches(self, *, max_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows; the server waits while we do not read, about 1 MiB is under way."""
        schema = self.schema()
        if self._statement is None:
            return
        limit = self._statement.row_limit
        yield from shaped_batches(self._pieces(schema), max_rows=max_rows, row_limit=limit)
        with self._lock:
            self._finished = True

    def _pieces(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        plan = self._plan
        check = RangeCheck.of(schema, text_cast="{}::text")
        piece = self._first.pop() if self._first else None
        while piece is not None:
            with self._inside():
                batch = plan.batch(piece) if plan is not None and plan.columns else piece
                check.check(batch)
            yield batch
            with self._inside():
                piece = self._next_piece()

    def _next_piece(self) -> pa.RecordBatch | None:
        if self._reader is None:
            return None
        try:
            return self._reader.read_next_batch()
        except StopIteration:
            return None

    def cancel(self) -> None:
        """End the server session; see `WarehouseSession.cancel`.

        Raises:
            WarehouseConnectionError: The server could not be told. The session is over for its user all the
                same.
        """
        with self._lock:
            if self._closed or self._finished:
                return
            self._cancelled = True
            opening, backend = self._opening, self._backend
        if opening is not None:
            opening.give_up()
        if backend is None:
            return
        try:
            self._target.terminate(backend)
        except WarehouseConnectionError:
            # No second connection to be had: the protocol's own cancel request needs none.
            if not self._request_cancel():
                raise

    def leave(self) -> None:
        """Stop the statement: nobody could go on with it."""
        self.cancel()

    def _request_cancel(self) -> bool:
        import adbc_driver_manager

        with self._lock, suppress(adbc_driver_manager.Error):
            if self._cursor is not None:
                self._cursor.adbc_cancel()
                return True
        return False

    def close(self) -> None:
        """Stop what runs and log out. Idempotent."""
        with self._lock:
            first_time, self._closed = not self._closed, True
            opening, running = self._opening, not self._finished
        if not first_time:
            return
        if opening is not None:
            opening.give_up()
        if running:
            self._request_cancel()  # a backend does not notice that we are gone before it has rows to send
        # Another thread may still be inside; if it does not come out, it closes behind itself.
        if self._driver.acquire(timeout=_CLOSE_SECONDS):
            try:
                self._release()
            finally:
                self._driver.release()

    def _release(self) -> None:
        import adbc_driver_manager

        with self._lock:
            connection, cursor, reader = self._connection, self._cursor, self._reader
            self._connection = self._cursor = self._reader = None
        for resource in (reader, cursor, connection):
            if resource is not None:
                with suppress(adbc_driver_manager.Error, OSError):
                    resource.close()

    def _open_connection(self) -> tuple[Connection, Backend]:
        with self._lock:
            self._refuse_if_over()
            if self._connection is None or self._backend is None:
                raise WarehouseConnectionError("The session is not connected.")
            return self._connection, self._backend

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Mark one call into the driver: its errors become ours."""
        import adbc_driver_manager
        import pyarrow as pa

        with self._driver:
            with self._lock:
                self._refuse_if_over()
            try:
                yield
            except (adbc_driver_manager.Error, OSError, pa.ArrowException) as error:
                raise self._failure(error) from error
            finally:
                self._leave()
        with self._lock:
            self._refuse_if_cancelled()

    def _leave(self) -> None:
        if self._closed:
            self._release()

    def _failure(self, error: Exception) -> ServiceError:
        if self._cancelled:
            return QueryCancelledError("The query was cancelled.")
        return query_error(
            error,
            sql=self._sql,
            offset=self._offset,
            target=str(self._target),
            secrets=self._target.secrets,
            query_id=None if self._backend is None else str(self._backend),
        )
