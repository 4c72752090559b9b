"""A warehouse that does what it was told beforehand: which rows, where to stop and wait, where to fail.

    warehouse = ScriptedWarehouse(Script(batches=[batch], pauses={"batch:1"}))
    ...                                   # a thread reads, and stops before the second batch
    session = warehouse.sessions[0]
    session.wait_for("batch:1")           # it is there
    session.release("batch:1")            # or session.cancel()

Points, in the order they are passed: `connect`, `submit` or `attach`, `schema`, `batch:0`, `batch:1`, …, `end`.

A script that is `resumable` keeps what it was asked: a session can attach to what another one has submitted.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from queryfleet.errors import QueryCancelledError, WarehouseConnectionError, WarehouseQueryError
from queryfleet.warehouse.shaping import shaped_batches
from queryfleet.warehouse.statement import check_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    import pyarrow as pa

    from queryfleet.errors import ServiceError
    from queryfleet.model import QueryTag
    from queryfleet.warehouse.base import Statement

__all__ = ["Script", "ScriptedSession", "ScriptedWarehouse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What one statement does."""

    batches: Iterable[pa.RecordBatch] = ()  # of one schema; a generator serves one session only
    schema: pa.Schema | None = None  # None: that of the first batch, which must then be in a sequence
    failures: Mapping[str, ServiceError] = field(default_factory=dict)  # raised on reaching a point
    pauses: Collection[str] = ()  # points to wait at until released or cancelled
    delays: Mapping[str, float] = field(default_factory=dict)  # seconds to wait at a point, unless cancelled
    query_id: str | None = "scripted-1"  # what `submit` returns
    dialect: str = "duckdb"  # for the check of the statement
    resumable: bool = False  # a session can attach to what another one has submitted; `batches` must be a sequence


class ScriptedWarehouse:
    """Plays one script for every statement, or one per SQL text."""

    def __init__(self, scripts: Script | Mapping[str, Script] | Callable[[str], Script | None]) -> None:
        """Take the scripts.

        Args:
            scripts: One for all statements, by SQL text, or a function from SQL text; a text without a script is
                refused as a warehouse would refuse a statement it does not understand. The points `connect` are taken
                from the only script, or from the one under the text `""`.
        """
        self._scripts = scripts
        self._opened = threading.Condition()
        self.sessions: list[ScriptedSession] = []  # all that were opened, in order
        self.submitted: list[str | None] = []  # query id of each statement that was submitted, in order
        self.stopped: list[str] = []  # query ids that `stop` was called with

    def open(self) -> ScriptedSession:
        """Return a session, also kept in `sessions`."""
        session = ScriptedSession(self)
        with self._opened:
            self.sessions.append(session)
            self._opened.notify_all()
        return session

    def wait_for_session(self, number: int = 0, *, timeout_seconds: float = 10.0) -> ScriptedSession:
        """Return the session of that number, from 0, once it was opened.

        Raises:
            TimeoutError: It was not, in that time.
        """
        with self._opened:
            if not self._opened.wait_for(lambda: len(self.sessions) > number, timeout_seconds):
                raise TimeoutError(f"Session {number} was not opened; there are {len(self.sessions)}.")
            return self.sessions[number]

    def stop(self, query_id: str) -> bool:
        """Note the id in `stopped`; True when a session has submitted it."""
        self.stopped.append(query_id)
        return query_id in self.submitted

    def ping(self) -> str:
        """Return a name and a version."""
        return "Scripted 1.0"

    def script(self, sql: str) -> Script:
        """Return what `sql` does.

        Raises:
            WarehouseQueryError: There is no script for it.
        """
        found = self._found(sql)
        if found is None:
            raise WarehouseQueryError("There is no script for this statement.", position=1)
        return found

    def connecting_script(self) -> Script:
        """Return what happens while connecting."""
        return self._found("") or Script()

    def _found(self, sql: str) -> Script | None:
        if isinstance(self._scripts, Script):
            return self._scripts
        return self._scripts(sql) if callable(self._scripts) else self._scripts.get(sql)


class ScriptedSession:
    """One statement's play. Everything a test may want to know afterwards is a public attribute."""

    def __init__(self, warehouse: ScriptedWarehouse) -> None:
        self.tag: QueryTag | None = None  # of that statement
        self.statement: Statement | None = None  # what was submitted
        self.cancelled = False
        self.left = False  # let go without stopping the statement
        self.closed = False
        self.reached: list[str] = []  # points passed or waited at, in order
        self._warehouse = warehouse
        self._script = warehouse.connecting_script()
        self._connecting = threading.Lock()  # held by the one thread that connects
        self._condition = threading.Condition()  # guards all of the above
        self._released: set[str] = set()
        self._connected = self._finished = False
        self._first_row = 0

    @property
    def resumable(self) -> bool:
        """Whether the script is, or that for connecting before there is a statement."""
        return self._script.resumable

    def connect(self) -> None:
        """Pass the point `connect`."""
        with self._connecting:
            if not self._connected:
                self._pass("connect")
                self._connected = True

    def submit(self, statement: Statement) -> str | None:
        """Pass the point `submit` and return the script's query id."""
        self.connect()
        self._pass_over()
        script = self._warehouse.script(statement.sql)
        check_statement(statement.sql, dialect=script.dialect, allow_writes=statement.allow_writes)
        self.statement, self.tag, self._script = statement, statement.tag, script
        self._pass("submit")
        self._warehouse.submitted.append(script.query_id)
        return script.query_id

    def attach(self, statement: Statement, query_id: str, *, first_row: int) -> bool:
        """Pass the point `attach` if a session has submitted the script under this id; begin at `first_row`."""
        self.connect()
        self._pass_over()
        script = self._warehouse.script(statement.sql)
        if not script.resumable or script.query_id != query_id or query_id not in self._warehouse.submitted:
            return False
        self.statement, self.tag, self._script = statement, statement.tag, script
        self._first_row = first_row
        self._pass("attach")
        return True

    def schema(self) -> pa.Schema:
        """Pass the point `schema` and return the script's."""
        if self.statement is None:
            raise WarehouseQueryError("No statement was submitted to this session.")
        if "schema" not in self.reached:
            self._pass("schema")
        if self._script.schema is not None:
            return self._script.schema
        return next(iter(self._script.batches)).schema

    def batches(self, *, max_rows: int) -> Iterator[pa.RecordBatch]:
        """Pass `batch:n` before each of the script's batches, and `end` after the last."""
        self.schema()
        limit = None if self.statement is None else self.statement.row_limit
        if limit is not None:
            limit = max(0, limit - self._first_row)
        yield from shaped_batches(self._pieces(), max_rows=max_rows, row_limit=limit, target_bytes=0)
        with self._condition:
            self._finished = True

    def _pieces(self) -> Iterator[pa.RecordBatch]:
        skip = self._first_row
        for number, batch in enumerate(self._script.batches):
            if skip >= batch.num_rows > 0:
                skip -= batch.num_rows
                continue
            self._pass(f"batch:{number}")
            yield batch.slice(skip)
            skip = 0
        self._pass("end")

    def cancel(self) -> None:
        """Make every waiting and later call raise `QueryCancelledError`."""
        with self._condition:
            if not (self.closed or self._finished):
                self.cancelled = True
                self._condition.notify_all()

    def leave(self) -> None:
        """Let go of a resumable script, cancel any other."""
        if not self.resumable:
            return self.cancel()
        with self._condition:
            self.left = not (self.closed or self._finished)
            self._condition.notify_all()
        return None

    def close(self) -> None:
        """Mark the session closed."""
        with self._condition:
            self.closed = True
            self._condition.notify_all()

    def release(self, point: str) -> None:
        """Let whoever waits at `point`, now or later, go on."""
        with self._condition:
            self._released.add(point)
            self._condition.notify_all()

    def wait_for(self, point: str, *, timeout_seconds: float = 10.0) -> None:
        """Wait until `point` was reached.

        Raises:
            TimeoutError: It was not, in that time.
        """
        if not self._wait(lambda: point in self.reached, timeout_seconds):
            raise TimeoutError(f"The session did not reach {point}; it reached {self.reached}.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, condition: Callable[[], bool], timeout_seconds: float | None) -> bool:
        with self._condition:
            return self._condition.wait_for(condition, timeout_seconds)

    def _pass(self, point: str) -> None:
        self._pass_over()
        with self._condition:
            self.reached.append(point)
            self._condition.notify_all()
        if point in self._script.pauses:
            self._wait(lambda: self.cancelled or self.left or self.closed or point in self._released, None)
        if point in self._script.delays:
            self._wait(lambda: self.cancelled or self.left or self.closed, self._script.delays[point])
        self._pass_over()
        failure = self._script.failures.get(point)
        if failure is not None:
            raise failure

    def _pass_over(self) -> None:
        if self.cancelled or self.left:
            raise QueryCancelledError("The query was cancelled.")
        if self.closed:
            raise WarehouseConnectionError("The session is closed.")
