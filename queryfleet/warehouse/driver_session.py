"""The life of a session, for every warehouse whose driver only has to connect, run, read and stop.

    Driver.connect ──▶ Link: introduce ──▶ submit ──▶ schema ──▶ pieces … ──▶ close
                         └────────────── stop (any thread, any time)

What is the same everywhere is here: connecting on a thread that can be left, one thread at a time inside the
driver, cancelling at any moment, closing behind whoever is still inside, errors in our words. A driver says
how its warehouse does each step.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

from queryfleet.errors import QueryCancelledError, ServiceError, WarehouseConnectionError, WarehouseQueryError
from queryfleet.warehouse.lifetime import SessionLifetime
from queryfleet.warehouse.ranges import RangeCheck
from queryfleet.warehouse.shaping import shaped_batches
from queryfleet.warehouse.statement import check_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from queryfleet.errors import WarehouseError
    from queryfleet.warehouse.base import Statement

__all__ = ["Driver", "DriverSession", "Link", "ResumableLink", "ResumableSession"]

_CLOSE_SECONDS = 5.0  # that `close` waits for another thread to come out of the driver
_STOP_SECONDS = 5.0  # how long `cancel` keeps trying where one request may come too early
_STOP_PAUSE_SECONDS = 0.02


class Link(Protocol):
    """One live connection. Its methods may raise the driver's own errors; `stop` alone comes from any thread."""

    def introduce(self, statement: Statement) -> None:
        """Say who asks and set limits, in one round trip that shows whether the connection still works."""
        ...

    def submit(self, statement: Statement) -> str | None:
        """Hand the statement over; return the warehouse query id, None where there is no such thing."""
        ...

    def schema(self) -> pa.Schema:
        """Wait for the result to begin and return its columns, with unique names."""
        ...

    def pieces(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches of `schema`, each of about 1 MiB or less."""
        ...

    def stop(self) -> bool:
        """Stop what runs. False: it may have come before the statement began, and has to be repeated."""
        ...

    def close(self) -> None:
        """Give the connection up, whatever state it is in. Does not wait for rows that nobody wants."""
        ...


class Driver(Protocol):
    """Opens links to one warehouse. Safe to share between threads."""

    @property
    def dialect(self) -> str:
        """The SQL dialect's name, for `check_statement`."""
        ...

    @property
    def text_cast(self) -> str:
        """How a cast to text is spelled, with `{}` for the column."""
        ...

    def errors(self) -> tuple[type[Exception], ...]:
        """Return what the driver raises on its own; anything else is a fault of ours and passes as it is."""
        ...

    def connect(self) -> Link:
        """Reach the warehouse and log in."""
        ...

    def explained(self, error: Exception, *, statement: Statement | None, query_id: str | None) -> WarehouseError:
        """Make our error of one the driver raised, without secrets; `statement` is None while connecting."""
        ...


class DriverSession(SessionLifetime):
    """One statement on a link of its own; see `WarehouseSession`."""

    resumable: ClassVar[bool] = False

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver
        self._connecting = threading.Lock()  # held by the one thread that logs in
        self._entrance = threading.Lock()  # held inside the driver: what it uses must not be closed meanwhile
        self._idle = threading.Event()  # set while no thread is inside
        self._idle.set()
        self._drained = True  # nothing of ours is left in the warehouse
        self._opening: _Opening | None = None
        self._link: Link | None = None
        self._statement: Statement | None = None
        self._query_id: str | None = None
        self._schema: pa.Schema | None = None

    def connect(self) -> None:
        """Log in; see `WarehouseSession.connect`. Can be cancelled although the driver itself cannot."""
        with self._connecting:
            with self._lock:
                self._refuse_if_over()
                if self._link is not None:
                    return
                opening = self._opening = _Opening(self._driver.connect)
            try:
                link = opening.result()
            except ServiceError:
                raise
            except self._driver.errors() as error:
                raise self._driver.explained(error, statement=None, query_id=None) from error
            finally:
                with self._lock:
                    self._opening = None
            with self._lock:
                self._link = link
                over = self._closed
            if over:  # `close` found nothing to close
                self._release()
            with self._lock:
                self._refuse_if_over()

    def submit(self, statement: Statement) -> str | None:
        """Introduce and hand over the statement; return the warehouse query id."""
        check_statement(statement.sql, dialect=self._driver.dialect, allow_writes=statement.allow_writes)
        self.connect()
        try:
            with self._inside() as link:
                link.introduce(statement)
        except WarehouseConnectionError:
            # A link made ahead may be gone by now. The warehouse has not seen the statement.
            with self._entrance:
                self._release()
            self.connect()
            with self._inside() as link:
                link.introduce(statement)
        self._statement = statement
        with self._inside() as link:
            self._drained = False
            self._query_id = link.submit(statement)
        return self._query_id

    def attach(self, statement: Statement, query_id: str, *, first_row: int) -> bool:  # noqa: ARG002
        """Return False: what these warehouses have of a result belongs to the connection that asked."""
        return False

    def schema(self) -> pa.Schema:
        """Wait for the result to begin and return its columns."""
        if self._schema is None:
            if self._statement is None:
                raise WarehouseQueryError("No statement was submitted to this session.")
            with self._inside() as link:
                self._schema = link.schema()
        return self._schema

    def batches(self, *, max_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows; the warehouse waits while we do not read, about 1 MiB is under way."""
        schema = self.schema()
        limit = self._statement.row_limit if self._statement is not None else None
        yield from shaped_batches(self._pieces(schema), max_rows=max_rows, row_limit=limit)
        with self._lock:
            self._finished = True

    def _pieces(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        check = RangeCheck.of(schema, text_cast=self._driver.text_cast)
        with self._inside() as link:
            pieces = iter(link.pieces())
        while True:
            with self._inside():
                piece = next(pieces, None)
                if piece is None:
                    self._drained = True
                else:
                    check.check(piece)
            if piece is None:
                return
            yield piece

    def cancel(self) -> None:
        """Stop the statement in the warehouse; waits up to 5 s where the first request may be too early.

        Raises:
            WarehouseError: The warehouse could not be told. The session is over for its user all the same.
        """
        with self._lock:
            if self._closed or self._finished:
                return
            self._cancelled = True
            opening, link = self._opening, self._link
        if opening is not None:
            opening.give_up()
        if link is not None:
            try:
                self._stop(link)
            except ServiceError:
                raise
            except self._driver.errors() as error:
                raise self._driver.explained(error, statement=None, query_id=self._query_id) from error
            finally:
                # Whoever is busy elsewhere may not come back for long.
                if self._entrance.acquire(blocking=False):
                    try:
                        self._release()
                    finally:
                        self._entrance.release()

    def leave(self) -> None:
        """Stop the statement: nobody could go on with it."""
        self.cancel()

    def _stop(self, link: Link) -> None:
        for _ in range(round(_STOP_SECONDS / _STOP_PAUSE_SECONDS)):
            # Looked at first: a thread that has just come out may have left something to stop.
            idle = self._idle.is_set()
            try:
                if link.stop() or idle:
                    return
            except self._driver.errors():
                with self._lock:
                    if self._link is not link:  # closed meanwhile, and with it all that ran
                        return
                raise
            self._idle.wait(_STOP_PAUSE_SECONDS)

    def close(self) -> None:
        """Stop what runs and log out. Idempotent."""
        with self._lock:
            first_time, self._closed = not self._closed, True
            opening, link, running = self._opening, self._link, not self._drained
        if not first_time:
            return
        if opening is not None:
            opening.give_up()
        if link is not None and running:
            with suppress(Exception):
                self._stop(link)
        # Another thread may still be inside; if it does not come out, it closes behind itself.
        if self._entrance.acquire(timeout=_CLOSE_SECONDS):
            try:
                self._release()
            finally:
                self._entrance.release()

    def _release(self) -> None:
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            with suppress(Exception):
                link.close()

    @contextmanager
    def _inside(self) -> Iterator[Link]:
        """Mark one call into the driver: `cancel` may interrupt it, and its errors become ours."""
        with self._entrance:
            with self._lock:
                self._refuse_if_over()
                link = self._link
                if link is None:
                    raise WarehouseConnectionError("The session is not connected.")
                self._idle.clear()
            try:
                yield link
            except Exception as error:
                failure = self._failure(error)
                if failure is error:
                    raise
                raise failure from error
            finally:
                self._idle.set()
                if self._closed:
                    self._release()
        with self._lock:
            self._refuse_if_cancelled()

    def _failure(self, error: Exception) -> Exception:
        if self._cancelled:
            return QueryCancelledError("The query was cancelled.")
        if isinstance(error, ServiceError) or not isinstance(error, self._driver.errors()):
            return error
        return self._driver.explained(error, statement=self._statement, query_id=self._query_id)


class ResumableLink(Link, Protocol):
    """A connection to a warehouse that keeps statement and result when the connection is lost."""

    def attach(self, statement: Statement, query_id: str, *, first_row: int) -> bool:
        """Take a statement over, to be read on at `first_row`; False: there is nothing to take over."""
        ...

    def leave(self) -> None:
        """End the calls under way, and stop nothing in the warehouse from now on. Comes from any thread."""
        ...


class ResumableSession(DriverSession):
    """A session whose links are `ResumableLink`s."""

    resumable: ClassVar[bool] = True

    def attach(self, statement: Statement, query_id: str, *, first_row: int) -> bool:
        """Take over a statement; see `WarehouseSession.attach`."""
        check_statement(statement.sql, dialect=self._driver.dialect, allow_writes=statement.allow_writes)
        self.connect()
        with self._inside() as link:
            taken = cast("ResumableLink", link).attach(statement, query_id, first_row=first_row)
        if taken:
            left = None if statement.row_limit is None else max(statement.row_limit - first_row, 0)
            self._statement, self._query_id, self._drained = replace(statement, row_limit=left), query_id, False
        return taken

    def leave(self) -> None:
        """Let go without stopping the statement; see `WarehouseSession.leave`."""
        with self._lock:
            if self._closed or self._finished:
                return
            self._cancelled = True
            opening, link = self._opening, self._link
        if opening is not None:
            opening.give_up()
        if link is not None:
            cast("ResumableLink", link).leave()


class _Opening:
    """One attempt to log in, on a thread of its own: a connecting driver cannot be stopped, only left.

    The thread ends with the driver's own time limit at the latest, and closes what it got when nobody waits
    any more.
    """

    def __init__(self, connect: Callable[[], Link]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._given_up = False
        self._done = threading.Event()
        self._link: Link | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._run, name="warehouse-connect", daemon=True).start()

    def result(self) -> Link:
        """Wait for the link, which then belongs to the caller; raises what the driver raised, or cancelled."""
        self._done.wait()
        with self._lock:
            if self._given_up:
                raise QueryCancelledError("The query was cancelled.")
            if self._link is None:
                raise self._error or WarehouseConnectionError("The warehouse did not answer.")
            link, self._link = self._link, None
            return link

    def give_up(self) -> None:
        """Let nobody have the link. Does nothing once somebody has it."""
        with self._lock:
            self._given_up = True
            link, self._link = self._link, None
        if link is not None:
            with suppress(Exception):
                link.close()
        self._done.set()

    def _run(self) -> None:
        link = None
        try:
            link = self._connect()
        except Exception as error:  # noqa: BLE001 - raised again where the result is waited for
            self._error = error
        with self._lock:
            if not self._given_up:
                self._link, link = link, None
        if link is not None:
            with suppress(Exception):
                link.close()
        self._done.set()
