"""Snowflake: statements are submitted by name, and their results are read from storage.

A statement runs by itself once Snowflake has it. Its query id is known at once, its result is stored whole and can be
read for a day by anybody who has the id and the role. So a session that is lost loses nothing: another one attaches
to the statement and reads on at any row.

    submit ──▶ query id ──▶ ask how far it is … ──▶ result: links to chunks ──▶ chunks, a few ahead
                  ╰──────── attach, from any other session ────▲
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from queryfleet.errors import WarehouseConnectionError, WarehouseQueryError
from queryfleet.warehouse.background import BackgroundCalls
from queryfleet.warehouse.base import KeptResult
from queryfleet.warehouse.driver_session import ResumableSession
from queryfleet.warehouse.installed import require_package
from queryfleet.warehouse.snowflake_connector import (
    Login,
    QueryState,
    abort,
    connect,
    query_state,
    stored_result,
    submit,
)
from queryfleet.warehouse.snowflake_errors import connection_error, query_error
from queryfleet.warehouse.snowflake_kept import SnowflakeKeptRows
from queryfleet.warehouse.snowflake_types import TEXT_CAST, ResultPlan
from queryfleet.warehouse.statement import strip_terminator
from queryfleet.warehouse.stored_result import ResultReader, partitions_of
from queryfleet.warehouse.tagging import tag_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from snowflake.connector import SnowflakeConnection

    from queryfleet.errors import WarehouseError
    from queryfleet.warehouse.base import Statement
    from queryfleet.warehouse.snowflake_connector import StoredResult
    from queryfleet.warehouse.stored_result import StoredPartition

__all__ = ["SnowflakeSession", "SnowflakeWarehouse"]

_FRESH_SECONDS = 1.0  # a connection this young is there still
_FIRST_PAUSE_SECONDS = 0.01  # between two questions how far a statement is; doubles
_LONGEST_PAUSE_SECONDS = 0.5
_UNKNOWN_SECONDS = 5.0  # a statement may not be in the list yet when it was submitted a moment ago
_LINK_SECONDS = 4 * 3600.0  # links to chunks live about six hours
_STOP_SECONDS = 5.0  # that telling Snowflake to stop may take
_CLOSE_SECONDS = 2.0  # that logging out may take before it is left to itself


class SnowflakeWarehouse:
    """One Snowflake account, as one user sees it."""

    def __init__(self, *, login: Login, statement_timeout_seconds: int | None = None) -> None:
        """Remember where Snowflake is; nothing is opened yet.

        Args:
            login: Where, and who asks.
            statement_timeout_seconds: Snowflake stops a statement after this long, at least 1; None: the limit of
                user and warehouse.

        Raises:
            ConfigurationError: The driver is not installed.
        """
        require_package("snowflake.connector", kind="snowflake")
        self._driver = _Driver(login, statement_timeout_seconds)

    def __repr__(self) -> str:
        return f"SnowflakeWarehouse({self._driver.login})"

    def open(self) -> SnowflakeSession:
        """Return a session. Snowflake keeps its statement's tag in `QUERY_TAG`."""
        return SnowflakeSession(self._driver)

    def stop(self, query_id: str) -> bool:
        """Stop a statement of any session; see `StoppableWarehouse`."""
        return self._driver.stop(query_id)

    def kept_rows(self) -> SnowflakeKeptRows:
        """Return what reads results by the id of their statement; see `KeepingWarehouse`."""
        return SnowflakeKeptRows(self._driver.login)

    def ping(self) -> str:
        """Log in and return `Snowflake` and the server's version; raises like `connect`."""
        return f"Snowflake {self._driver.version()}"


class SnowflakeSession(ResumableSession):
    """One statement: submitted here, or by an earlier session."""

    def partitions(self, *, first_row: int, end_row: int | None = None) -> Sequence[StoredPartition]:
        """Return the pieces that hold these rows; see `PartitionedSession`."""
        self.schema()
        with self._inside() as link:
            return link.partitions(first_row, end_row) if isinstance(link, _Link) else ()

    def kept_result(self) -> KeptResult:
        """Say what the result is like; see `KeepingSession`."""
        if self._statement is None:
            raise WarehouseQueryError("No statement was submitted to this session.")
        limit = self._statement.row_limit
        with self._inside() as link:
            assert isinstance(link, _Link)  # noqa: S101 - what `_Driver` makes
            kept = link.kept_result()
            self._drained = True
        with self._lock:
            self._finished = True
        return kept if limit is None else replace(kept, row_count=min(limit, kept.row_count))


class _Driver:
    """Opens links to one account; see `Driver`."""

    dialect = "snowflake"
    text_cast = TEXT_CAST

    def __init__(self, login: Login, statement_timeout_seconds: int | None) -> None:
        self.login = login
        self.statement_timeout_seconds = statement_timeout_seconds

    def errors(self) -> tuple[type[Exception], ...]:
        from snowflake.connector.errors import Error

        return Error, OSError

    def connect(self) -> _Link:
        return _Link(self, connect(self.login))

    def explained(self, error: Exception, *, statement: Statement | None, query_id: str | None) -> WarehouseError:
        if statement is None:
            return connection_error(error, target=str(self.login), secrets=self.login.secrets)
        return query_error(
            error, sql=statement.sql, target=str(self.login), secrets=self.login.secrets, query_id=query_id
        )

    def stop(self, query_id: str) -> bool:
        """Stop a statement from a session of its own."""
        try:
            connection = connect(self.login)
            try:
                return abort(connection, query_id)
            finally:
                connection.close()
        except self.errors() as error:
            raise self.explained(error, statement=None, query_id=query_id) from error

    def version(self) -> str:
        """Log in and ask for the server's version."""
        try:
            connection = connect(self.login)
            try:
                cursor = connection.cursor()
                cursor.execute("select current_version()")
                row = cursor.fetchone()
            finally:
                connection.close()
        except self.errors() as error:
            raise self.explained(error, statement=None, query_id=None) from error
        return str(row[0]) if isinstance(row, tuple) else ""


class _Link:
    """One login; see `Link`. Every call runs in the background, so `stop` ends whatever waits for one."""

    def __init__(self, driver: _Driver, connection: SnowflakeConnection) -> None:
        self._driver = driver
        self._connection = connection
        self._connected_at = time.monotonic()
        self._calls = BackgroundCalls("snowflake")
        self._lock = threading.Lock()  # guards all below
        self._query_id: str | None = None
        self._running = False  # in Snowflake, as far as we know
        self._over = False
        self._left = False  # to somebody else, with what runs in it
        self._reader: ResultReader[StoredResult, ResultPlan] | None = None
        self._plan: ResultPlan | None = None

    def introduce(self, statement: Statement) -> None:  # noqa: ARG002
        """Make sure that a login made ahead is still one. Who asks is said together with the statement."""
        if time.monotonic() - self._connected_at < _FRESH_SECONDS:
            return
        if not self._calls.run(self._connection.is_valid):
            raise WarehouseConnectionError(
                f"The session with Snowflake at {self._driver.login} has ended.", transient=True
            )

    def submit(self, statement: Statement) -> str:
        parameters: dict[str, str | int] = {"QUERY_TAG": tag_json(statement.tag)}
        if statement.row_limit is not None:
            parameters["ROWS_PER_RESULTSET"] = max(1, statement.row_limit)  # 0 means all
        if self._driver.statement_timeout_seconds is not None:
            parameters["STATEMENT_TIMEOUT_IN_SECONDS"] = self._driver.statement_timeout_seconds
        sql = strip_terminator(statement.sql, dialect=self._driver.dialect)
        return self._calls.run(lambda: self._submitted(sql, parameters))

    def _submitted(self, sql: str, parameters: dict[str, str | int]) -> str:
        query_id = submit(self._connection, sql, parameters)
        with self._lock:
            self._query_id, self._running, over = query_id, True, self._over
        if over:  # whoever asked has gone meanwhile, and could not know the id
            with suppress(Exception):
                abort(self._connection, query_id)
            self._log_out()
        return query_id

    def attach(self, statement: Statement, query_id: str, *, first_row: int) -> bool:
        """Take over a statement, unless it has failed or is not known."""
        state = self._calls.run(lambda: query_state(self._connection, query_id))
        if state in {QueryState.FAILED, QueryState.UNKNOWN}:
            return False
        with self._lock:
            self._query_id, self._running = query_id, state is QueryState.RUNNING
        self._reader = self._new_reader(first_row)
        if state is QueryState.DONE:
            try:
                self._plan = self._reader.plan()
            except self._driver.errors() as error:
                if isinstance(
                    self._driver.explained(error, statement=statement, query_id=query_id), WarehouseQueryError
                ):
                    return False  # its result is kept no more, or it is another role's
                raise
        return True

    def schema(self) -> pa.Schema:
        if self._plan is None:
            self._await()
            reader = self._reader = self._reader or self._new_reader(0)
            self._plan = reader.plan()
        return self._plan.schema

    def pieces(self) -> Iterator[pa.RecordBatch]:
        self.schema()
        assert self._reader is not None  # noqa: S101 - `schema` made both
        assert self._plan is not None  # noqa: S101
        return self._reader.pieces(self._plan)

    def partitions(self, first_row: int, end_row: int | None) -> tuple[StoredPartition, ...]:
        """Ask for the result once more and return its pieces."""
        assert self._plan is not None  # noqa: S101 - `schema` made it
        result = self._calls.run(lambda: stored_result(self._connection, self._id()))
        return partitions_of(result, self._plan, first_row=first_row, end_row=end_row)

    def kept_result(self) -> KeptResult:
        """Wait for the statement and look at what is said of its result, and at its first rows because of moments."""
        self._await()
        result = self._calls.run(lambda: stored_result(self._connection, self._id()))
        first = self._calls.run(result.chunks[0].read) if result.chunks else None
        plan = ResultPlan.of(result.columns, first)
        return KeptResult(schema=plan.schema, row_count=sum(chunk.row_count for chunk in result.chunks))

    def _new_reader(self, first_row: int) -> ResultReader[StoredResult, ResultPlan]:
        return ResultReader(
            lambda: stored_result(self._connection, self._id()),
            lambda result, first: ResultPlan.of(result.columns, first),
            self._calls,
            first_row=first_row,
            link_seconds=_LINK_SECONDS,
        )

    def _await(self) -> None:
        """Ask until the statement has ended, however."""
        pause, began_at, query_id = _FIRST_PAUSE_SECONDS, time.monotonic(), self._id()
        while True:
            state = self._calls.run(lambda: query_state(self._connection, query_id))
            patient = state is QueryState.UNKNOWN and time.monotonic() - began_at < _UNKNOWN_SECONDS
            if state is not QueryState.RUNNING and not patient:
                break
            self._calls.pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        with self._lock:
            self._running = False

    def _id(self) -> str:
        with self._lock:
            if self._query_id is None:
                raise WarehouseQueryError("No statement was submitted to this session.")
            return self._query_id

    def stop(self) -> bool:
        """Let everybody here go, stop the statement and log out."""
        with self._lock:
            first_time, self._over = not self._over, True
            query_id, running = self._query_id, self._running
            self._running = False
        self._calls.stop()
        if not first_time:
            return True
        if query_id is not None and running:
            self._abort(query_id)
        self._log_out()
        return True

    def leave(self) -> None:
        """Let everybody here go. The statement runs on, and with it its session, which logging out would end."""
        with self._lock:
            self._left = self._running
            self._over, self._running = True, False
        self._calls.stop()

    def _abort(self, query_id: str) -> None:
        """Stop the statement: by this session, or where that one does not answer, by another."""
        own = BackgroundCalls("snowflake-stop")
        try:
            own.start(lambda: abort(self._connection, query_id)).result(timeout=_STOP_SECONDS)
        except Exception:  # noqa: BLE001 - whatever is wrong with this session, another one can do it
            own.start(lambda: self._driver.stop(query_id)).result(timeout=2 * _STOP_SECONDS)

    def close(self) -> None:
        with self._lock:
            self._over = True
        self._calls.stop()
        self._log_out()

    def _log_out(self) -> None:
        """Log out; a server that is away is not waited for. Harmless when repeated."""
        if self._left:
            return
        with suppress(Exception):
            BackgroundCalls("snowflake-close").start(self._connection.close).result(timeout=_CLOSE_SECONDS)
