"""DuckDB: a database file, queried inside the process of the query actor.

Whoever writes SQL here runs it in our process, so the connection is hardened before it sees any: no files,
no other databases, no extensions, no Python variables, and no way to switch these off again. Every session
opens the file anew (about 10 ms); sessions of one process share the memory of one database, so all of them
must use one configuration. A session that was connected before the file changed opens it once more.

Only a relation (`connection.sql`) streams; `execute` would hold the whole result first.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from queryfleet.errors import QueryCancelledError, WarehouseConnectionError, WarehouseQueryError
from queryfleet.warehouse.duckdb_errors import connection_error, query_error, without_prefix
from queryfleet.warehouse.duckdb_types import delivered_columns, normalised
from queryfleet.warehouse.lifetime import SessionLifetime
from queryfleet.warehouse.ranges import RangeCheck
from queryfleet.warehouse.shaping import shaped_batches
from queryfleet.warehouse.statement import check_statement, is_plain_query, strip_terminator

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb
    import pyarrow as pa

    from queryfleet.warehouse.base import Statement

__all__ = ["DuckDBSession", "DuckDBWarehouse"]

FileState: TypeAlias = "tuple[int, int, int, int] | None"

MEMORY = ":memory:"
_PIECE_ROWS = 2_048  # DuckDB's own unit: asking for more only holds more rows back
_INTERRUPT_SECONDS = 0.01  # between two interrupts: one that comes before the statement starts is lost
_CANCEL_SECONDS = 5.0  # how long `cancel` keeps trying


class DuckDBWarehouse:
    """One DuckDB database file."""

    def __init__(
        self,
        *,
        path: str,
        read_only: bool = True,
        allow_external_access: bool = False,
        threads: int | None = None,
        memory_limit: str | None = None,
    ) -> None:
        """Remember where the database is; nothing is opened yet.

        Args:
            path: The database file, or `:memory:` for an empty database per session.
            read_only: Open the file for reading. Any number of processes may do so at once, none while
                another writes.
            allow_external_access: Let SQL read and write files and attach databases. Only for trusted SQL.
            threads: Threads per process that DuckDB may use; None: one per core.
            memory_limit: What DuckDB may use before it spills to disk, such as `2GB`; None: 80 % of the
                machine.
        """
        self._path = path
        self._read_only = read_only and path != MEMORY
        self._config: dict[str, str] = {
            "enable_external_access": "true" if allow_external_access else "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",  # else a table name could reach variables of our own code
        }
        if threads is not None:
            self._config["threads"] = str(threads)
        if memory_limit is not None:
            self._config["memory_limit"] = memory_limit

    def __repr__(self) -> str:
        return f"DuckDBWarehouse(path={self._path!r}, read_only={self._read_only})"

    def open(self) -> DuckDBSession:
        """Return a session; the file is opened by its `connect`. Tags are not kept anywhere."""
        return DuckDBSession(self)

    def ping(self) -> str:
        """Open the database and return `DuckDB` and its version; raises like `connect`."""
        connection = self.connect()
        try:
            row = connection.execute("select version()").fetchone()
        finally:
            connection.close()
        return f"DuckDB {str(row[0] if row else '').removeprefix('v')}"

    def file_state(self) -> FileState:
        """Return what changes when the file is replaced or written to; None when there is none."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - a follower of links like DuckDB, and no object more
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Open one hardened connection, in UTC.

        Raises:
            WarehouseConnectionError: The file is missing, is no database, or another process writes to it.
        """
        import duckdb

        if self._path != MEMORY and not Path(self._path).is_file():
            raise WarehouseConnectionError(
                f"There is no DuckDB database at {self._path}. Create it, or correct `path` in the project.",
                path=self._path,
            )
        try:
            connection = duckdb.connect(self._path, read_only=self._read_only, config=self._config)
        except duckdb.Error as error:
            raise connection_error(error, path=self._path) from error
        # Both settings are the database's: the first session of a process makes them, for later ones the
        # lock is shut.
        with suppress(duckdb.InvalidInputException):
            connection.execute("set global timezone = 'UTC'")
            connection.execute("set global lock_configuration = true")
        return connection


class DuckDBSession(SessionLifetime):
    """One statement on a connection of its own."""

    resumable: ClassVar[bool] = False

    def __init__(self, warehouse: DuckDBWarehouse) -> None:
        super().__init__()
        self._warehouse = warehouse
        self._connecting = threading.Lock()  # held by the one thread that opens the file
        self._file: FileState = None  # as it was opened
        self._idle = threading.Event()  # set while no thread is inside DuckDB
        self._idle.set()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._relation: duckdb.DuckDBPyRelation | None = None
        self._reader: pa.RecordBatchReader | None = None
        self._first: list[pa.RecordBatch] = []  # read while waiting for the result to begin
        self._schema: pa.Schema | None = None
        self._statement: Statement | None = None

    def connect(self) -> None:
        """Open the database file, unless it is open; see `WarehouseSession.connect`."""
        with self._connecting:
            if self._connection is not None:
                return
            with self._inside():
                before = self._warehouse.file_state()
                connection = self._warehouse.connect()
                after = self._warehouse.file_state()
                # Opening for writing may itself write. If it was replaced meanwhile, nobody knows which is open.
                same = before is not None and after is not None and before[:2] == after[:2]
                with self._lock:
                    self._connection, self._file = connection, after if same else None

    def submit(self, statement: Statement) -> None:
        """Check and bind the statement. DuckDB has no query ids: returns None."""
        import duckdb

        check_statement(statement.sql, dialect="duckdb", allow_writes=statement.allow_writes)
        self.connect()
        if self._file != self._warehouse.file_state():
            self._release()
            self.connect()
        self._statement = statement
        connection = self._open_connection()
        with self._inside():
            sql = strip_terminator(statement.sql, dialect="duckdb")
            if len(duckdb.extract_statements(sql)) != 1:
                raise WarehouseQueryError("The SQL must hold exactly one statement.")
            if not statement.allow_writes:
                connection.execute("begin transaction read only")
            relation = connection.sql(sql)
            if relation is not None and statement.row_limit is not None and is_plain_query(sql, dialect="duckdb"):
                relation = relation.limit(statement.row_limit)
            self._relation = relation

    def attach(self, statement: Statement, query_id: str, *, first_row: int) -> bool:  # noqa: ARG002
        """Return False: a statement ends with its process."""
        return False

    def schema(self) -> pa.Schema:
        """Start the statement, wait for its first rows, and return its columns."""
        import pyarrow as pa

        if self._schema is not None:
            return self._schema
        if self._statement is None:
            raise WarehouseQueryError("No statement was submitted to this session.")
        if self._relation is None:  # a statement without any result, such as SET
            self._schema = pa.schema([])
            return self._schema
        with self._inside():
            columns = delivered_columns(self._relation)
            if columns.projection is not None:
                self._relation = self._relation.project(columns.projection)
            self._reader = self._relation.to_arrow_reader(_PIECE_ROWS)
            schema = columns.schema_of(self._reader.schema)
            self._first = [piece] if (piece := self._next_piece()) is not None else []
        self._schema = schema
        return self._schema

    def batches(self, *, max_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows; DuckDB computes ahead by about 1 MB."""
        schema = self.schema()
        if self._reader is None or self._statement is None:
            return
        yield from shaped_batches(self._pieces(schema), max_rows=max_rows, row_limit=self._statement.row_limit)
        with self._lock:
            self._finished = True

    def _pieces(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        check = RangeCheck.of(schema, text_cast="{}::varchar")
        piece = self._first.pop() if self._first else None
        while piece is not None:
            batch = normalised(piece, schema)
            check.check(batch)
            yield batch
            with self._inside():
                piece = self._next_piece()

    def _next_piece(self) -> pa.RecordBatch | None:
        if self._reader is None:
            raise WarehouseConnectionError("The session was closed while its result was being read.")
        try:
            return self._reader.read_next_batch()
        except StopIteration:
            return None

    def cancel(self) -> None:
        """Interrupt the statement; waits up to 5 s until DuckDB has let go. See `WarehouseSession.cancel`."""
        with self._lock:
            if self._closed or self._finished:
                return
            self._cancelled = True
        self._interrupt()

    def leave(self) -> None:
        """Stop the statement: nobody could go on with it."""
        self.cancel()

    def _interrupt(self) -> None:
        """Interrupt until the thread inside DuckDB has come out; returns at once when there is none."""
        for _ in range(round(_CANCEL_SECONDS / _INTERRUPT_SECONDS)):
            with self._lock:
                if self._idle.is_set():
                    return
                if self._connection is not None:
                    self._connection.interrupt()
            self._idle.wait(_INTERRUPT_SECONDS)

    def close(self) -> None:
        """Stop what runs and close the file. Idempotent."""
        with self._lock:
            self._closed = True
        self._interrupt()
        # Another thread may still be inside; if it does not come out, it closes behind itself.
        if self._idle.is_set():
            self._release()

    def _release(self) -> None:
        with self._lock:
            connection, reader = self._connection, self._reader
            self._connection = self._reader = self._relation = None
        if reader is not None:
            # Before the connection: opening the file in another mode while a reader lives would spin for
            # ever.
            reader.close()
        if connection is not None:
            connection.close()

    def _open_connection(self) -> duckdb.DuckDBPyConnection:
        connection = self._connection
        if connection is None:
            raise WarehouseConnectionError("The session is closed.")
        return connection

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Mark one call into DuckDB: `cancel` interrupts it, and its errors become ours."""
        import duckdb
        import pyarrow as pa

        with self._lock:
            self._refuse_if_over()
            self._idle.clear()
        try:
            yield
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            raise self._failure(error) from error
        finally:
            self._leave()
        self._refuse_if_cancelled()

    def _leave(self) -> None:
        self._idle.set()
        if self._closed:
            self._release()

    def _failure(self, error: Exception) -> QueryCancelledError | WarehouseQueryError:
        import duckdb

        if self._cancelled:
            return QueryCancelledError("The query was cancelled.")
        text, sql = str(error), "" if self._statement is None else self._statement.sql
        if isinstance(error, duckdb.BinderException | duckdb.CatalogException) and "\nLINE " not in text:
            text = self._located(sql) or text
        return query_error(text, sql=sql)

    def _located(self, sql: str) -> str | None:
        """Ask again for an error that a relation reports without its place; nothing is run."""
        import duckdb

        if self._connection is None:
            return None
        with suppress(duckdb.Error):
            self._connection.execute("rollback")  # the failed transaction, if there is one
        try:
            self._connection.execute(f"explain {sql}")
        except duckdb.Error as error:
            return without_prefix(str(error), prefix="explain ")
        return None
