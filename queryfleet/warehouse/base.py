"""What every warehouse can do, in the words of one query.

A query has one session to itself:

    open ──▶ connect ──▶ submit ──▶ schema ──▶ batches … ──▶ close
      │          ╰─ attach ─▲                                            │
      └──────────────── cancel (any thread, any time) ────────────────┘

Where a statement outlives its session (`resumable`), another session can attach to it instead of submitting it anew.

Everything here blocks and is called on a query actor's work thread, except `cancel`, which is called from
another thread while one of the others is blocked and makes it raise `QueryCancelledError` soon.

Connecting takes longer than a small statement, so it may be done ahead, before there is a query: nobody is
named until `submit`, which also makes sure that the connection is still what a new one would be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

    import pyarrow as pa

    from queryfleet.model import QueryTag

__all__ = [
    "KeepingSession",
    "KeepingWarehouse",
    "KeptResult",
    "KeptRows",
    "PartitionedSession",
    "ResultPartition",
    "Statement",
    "StoppableWarehouse",
    "Warehouse",
    "WarehouseSession",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One SQL statement to run."""

    sql: str  # exactly one statement, as the user wrote it; a trailing semicolon is allowed
    tag: QueryTag  # who asks, as the warehouse is told
    row_limit: int | None = None  # stop after this many rows; None: all of them
    allow_writes: bool = False  # False: the warehouse itself refuses anything but reading


class WarehouseSession(Protocol):
    """One connection, running at most one statement. A context manager that closes itself."""

    resumable: ClassVar[bool]  # the warehouse keeps statement and result when the session is lost; see `attach`

    def connect(self) -> None:
        """Reach the warehouse and log in. Does nothing when connected already.

        May be called by two threads: the second one waits for the first, and tries itself where that failed.

        Raises:
            WarehouseConnectionError: It cannot be reached or refused the login. Never contains the password.
            QueryCancelledError: `cancel` was called.
        """
        ...

    def submit(self, statement: Statement) -> str | None:
        """Hand the statement over and return the warehouse's own query id as early as it is known.

        Connects first when `connect` was not called, and anew when the connection was lost since, or what it
        leads to was replaced. That is noticed before the warehouse has the statement, which never runs twice.
        The warehouse knows the session by the statement's tag from then on.

        Returns:
            The warehouse query id: what an administrator would look for in the warehouse's own list of
            running queries. None where the warehouse has no such thing.

        Raises:
            WarehouseQueryError: The warehouse refused the statement; details carry its code and position.
            WarehouseTimeoutError: It ran longer than the warehouse allows.
            RequestError: `check_statement` refuses it.
            WarehouseConnectionError: The connection was lost.
            QueryCancelledError: `cancel` was called.
        """
        ...

    def attach(self, statement: Statement, query_id: str, *, first_row: int) -> bool:
        """Take over a statement that an earlier session submitted, instead of submitting it.

        Args:
            statement: As it was submitted, its limit counted over the whole result.
            query_id: What `submit` returned.
            first_row: `batches` begins at this row, from 0, wherever the earlier session's batches had their edges.

        Returns:
            False when there is nothing to take over: the warehouse cannot do this, has no such statement, or it
            failed. Nothing has happened then, and `submit` may be called. True: go on with `schema`.

        Raises like `submit`.
        """
        ...

    def schema(self) -> pa.Schema:
        """Wait for the result to begin and return its columns; raises like `submit`. Names are unique."""
        ...

    def batches(self, *, max_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the result in order, in batches of 1 to `max_rows` rows; raises like `submit`.

        Memory stays bounded whatever the result's size: nothing is fetched ahead without limit.
        """
        ...

    def cancel(self) -> None:
        """Stop the statement in the warehouse. Callable from any thread at any time; idempotent."""
        ...

    def leave(self) -> None:
        """Let go of the statement without stopping it, for whoever has attached to it or will.

        Ends calls under way as `cancel` does, and is `cancel` where the session is not `resumable`.
        """
        ...

    def close(self) -> None:
        """Give the connection back. An unfinished statement is stopped first. Idempotent."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Warehouse(Protocol):
    """Opens sessions on one warehouse. Safe to share between threads; holds no connection of its own."""

    def open(self) -> WarehouseSession:
        """Return a session at once, without any I/O: it connects later, where `cancel` can reach it."""
        ...

    def ping(self) -> str:
        """Log in, run a trivial statement, return the warehouse's name and version; raises like `connect`."""
        ...


@runtime_checkable
class StoppableWarehouse(Protocol):
    """A warehouse where anybody who has the id of a statement, and the rights, can stop it."""

    def stop(self, query_id: str) -> bool:
        """Stop a statement by the id that `submit` returned, whoever submitted it; raises like `connect`.

        Returns:
            False when nothing was stopped: it has ended, or is not known.
        """
        ...


class ResultPartition(Protocol):
    """A piece of a result that the warehouse keeps. Can be pickled, and read in any process without the session."""

    @property
    def row_count(self) -> int:
        """How many rows it has, at least 1."""
        ...

    @property
    def byte_count(self) -> int:
        """About how large they are in memory; 0 when they come with the piece."""
        ...

    def read(self) -> pa.RecordBatch:
        """Fetch the rows, in the schema of the session. May raise the driver's own errors, such as for old links."""
        ...


@runtime_checkable
class PartitionedSession(Protocol):
    """A session whose result can be fetched in pieces by others."""

    def partitions(self, *, first_row: int, end_row: int | None = None) -> Sequence[ResultPartition]:
        """Return the pieces that hold exactly these rows, in order, with fresh links; after `schema`.

        Args:
            first_row: From 0, counted over the whole result.
            end_row: The first row not wanted; None: all rows from there on.

        Raises like `schema`. Any thread may ask, also while pieces are being read.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptResult:
    """What a result is like that the warehouse keeps after its session."""

    schema: pa.Schema  # of its rows; names are unique
    row_count: int  # as many as the statement's limit lets through, or all


@runtime_checkable
class KeepingSession(Protocol):
    """A session whose result can be read later, by whoever has the statement's id and logs in as the same user."""

    def kept_result(self) -> KeptResult:
        """Wait for the statement and say what its result is like, without fetching the rows; raises like `schema`.

        Nothing else is asked of the session after that.
        """
        ...


class KeptRows(Protocol):
    """Reads results that a warehouse keeps. Connects at first use; safe to share between threads."""

    def pieces(self, query_id: str, schema: pa.Schema) -> Sequence[ResultPartition]:
        """Return all pieces of a result in order, with fresh links; nothing is executed.

        Args:
            query_id: What `submit` returned.
            schema: What `kept_result` said.

        Raises:
            ResultsExpiredError: The warehouse keeps it no more, or not for this user.
            WarehouseConnectionError: It cannot be reached, refused the login, or the connection was lost.
        """
        ...

    def close(self) -> None:
        """Log out. Idempotent."""
        ...


@runtime_checkable
class KeepingWarehouse(Protocol):
    """A warehouse whose sessions are `KeepingSession`s."""

    def kept_rows(self) -> KeptRows:
        """Return what reads kept results, without any I/O."""
        ...
