"""A statement that runs by itself under an id, is asked how far it is, and whose result the warehouse keeps.

    start ──▶ query id ──▶ ask … until it is done ──▶ result, from any row on
                  ╰──────── attach, from any other session ────▲

The same for every warehouse that is only a set of requests: whoever waits can be let go at any moment, what was
started and is not wanted is stopped, and a statement that runs longer than it may is stopped by us where the
warehouse has no limit of its own.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from queryfleet.errors import WarehouseQueryError, WarehouseTimeoutError
from queryfleet.model import QueryTag
from queryfleet.warehouse.background import BackgroundCalls
from queryfleet.warehouse.base import Statement

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

__all__ = ["PolledLink"]

_FIRST_PAUSE_SECONDS = 0.02  # between two questions how far a statement is; doubles
_LONGEST_PAUSE_SECONDS = 1.0
_STOP_SECONDS = 10.0  # that telling the warehouse to stop may take
_OUR_TAG = QueryTag(query_uuid="ping", project_uuid="", user_uuid="", context="doctor")


class PolledLink(ABC):
    """One statement; see `ResumableLink`. What the warehouse is asked runs in the background."""

    def __init__(self, name: str, *, timeout_seconds: float | None) -> None:
        """Take the warehouse's name, and after how long a statement is stopped; None: never by us."""
        self._name, self._timeout_seconds = name, timeout_seconds
        self._calls = BackgroundCalls(name)
        self._lock = threading.Lock()  # guards all below
        self._query_id: str | None = None
        self._started_at = 0.0  # when we submitted it, or took it over
        self._running = False  # in the warehouse, as far as we know
        self._over = False  # nobody waits here any more
        self._closed = False
        self._needed = 0  # requests under way that must reach the warehouse, closed or not
        self._first_row = 0
        self._schema: pa.Schema | None = None

    @abstractmethod
    def _start(self, statement: Statement) -> str:
        """Submit the statement once and return its id."""

    @abstractmethod
    def _is_done(self, query_id: str) -> bool:
        """Tell whether the result is there; raises what it failed with."""

    @abstractmethod
    def _is_good(self, query_id: str) -> bool:
        """Tell whether the warehouse has the statement, and it neither failed nor lost its result."""

    @abstractmethod
    def _abort(self, query_id: str) -> None:
        """Stop the statement in the warehouse. Harmless for one that has ended."""

    @abstractmethod
    def _result(self, query_id: str, first_row: int) -> pa.Schema:
        """Open the result to be read from that row on."""

    @abstractmethod
    def _pieces(self) -> Iterator[pa.RecordBatch]:
        """Yield its rows."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Close connections. Idempotent."""

    def introduce(self, statement: Statement) -> None:  # noqa: B027 - nothing to do is what all of them do
        """Do nothing: who asks is said together with the statement, and nothing is held open before."""

    def submit(self, statement: Statement) -> str:
        """Hand the statement over and return its id."""
        self._calls.check()
        return self._calls.result(self._calls.start(lambda: self._submitted(statement)))

    def _submitted(self, statement: Statement) -> str:
        with self._connected():
            query_id = self._start(statement)
            with self._lock:
                self._query_id, self._running, over = query_id, not self._over, self._over
                self._started_at = time.monotonic()
            if over:  # whoever asked has gone meanwhile, and could not know the id
                with suppress(Exception):
                    self._abort(query_id)
        return query_id

    def attach(self, statement: Statement, query_id: str, *, first_row: int) -> bool:  # noqa: ARG002
        """Take a statement over, unless it has failed or is not known."""
        if not self._calls.run(lambda: self._is_good(query_id)):
            return False
        with self._lock:
            self._query_id, self._running, self._started_at = query_id, True, time.monotonic()
            self._first_row = first_row
        return True

    def schema(self) -> pa.Schema:
        """Wait until the result is there; the warehouse has no rows before."""
        if self._schema is None:
            query_id = self._id()
            self._await(query_id)
            self._schema = self._calls.run(lambda: self._result(query_id, self._first_row))
        return self._schema

    def pieces(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows."""
        self.schema()
        return self._pieces()

    def first_value(self, sql: str) -> object:
        """Run a statement of our own and return what is in its first row and column."""
        self.submit(Statement(sql=sql, tag=_OUR_TAG))
        return next(iter(self.pieces())).column(0)[0].as_py()

    def _await(self, query_id: str) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._calls.run(lambda: self._is_done(query_id)):
            left = self._seconds_left()
            if left <= 0:
                self._stop_late(query_id)
            self._calls.pause(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        with self._lock:
            self._running = False

    def _seconds_left(self) -> float:
        if self._timeout_seconds is None:
            return float("inf")
        return self._started_at + self._timeout_seconds - time.monotonic()

    def _stop_late(self, query_id: str) -> None:
        self._calls.run(lambda: self._abort(query_id))
        with self._lock:
            self._running = False
        raise WarehouseTimeoutError(
            f"The statement ran longer than the {self._timeout_seconds:g} seconds that the project's warehouse allows "
            f"(`statement_timeout_seconds`), and was stopped in {self._name}.",
            warehouseQueryId=query_id,
        )

    def _id(self) -> str:
        with self._lock:
            if self._query_id is None:
                raise WarehouseQueryError("No statement was submitted to this session.")
            return self._query_id

    def stop(self) -> bool:
        """Let everybody here go and stop the statement. One whose id is not known yet is stopped as soon as it is."""
        with self._lock:
            self._over = True
            query_id, running = self._query_id, self._running
            self._running = False
        self._calls.stop()
        if query_id is not None and running:
            with self._connected():
                BackgroundCalls(self._name).start(lambda: self._abort(query_id)).result(timeout=_STOP_SECONDS)
        return True

    def leave(self) -> None:
        """Let everybody here go; the statement runs on."""
        with self._lock:
            self._over, self._running = True, False
        self._calls.stop()

    def close(self) -> None:
        """Close connections, once what must reach the warehouse has done so."""
        with self._lock:
            self._over = self._closed = True
            needed = self._needed
        self._calls.stop()
        if not needed:
            self._disconnect()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Keep connections open meanwhile, whoever closes the link."""
        with self._lock:
            self._needed += 1
        try:
            yield
        finally:
            with self._lock:
                self._needed -= 1
                last = self._closed and not self._needed
            if last:
                self._disconnect()
