"""Stored rows in the place of a warehouse: the session of a query whose rows another result holds already."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from queryfleet.errors import QueryCancelledError
from queryfleet.results.decoder import decode_lines
from queryfleet.results.page import schema_from_bytes
from queryfleet.results.reader import read_lines
from queryfleet.results.selection import RowSelection, selected_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from types import TracebackType

    import pyarrow as pa

    from actors.messages import Assignment
    from queryfleet.results.store import ObjectStore
    from queryfleet.status.store import StatusStore
    from queryfleet.warehouse.base import Statement, WarehouseSession

__all__ = ["StoredRowsSession", "opener_of"]

T = TypeVar("T")


class StoredRowsSession:
    """Gives the rows of a selection, chunk by chunk; see `WarehouseSession`. No warehouse is involved.

    Made on the event loop that reads from the store; its methods are called on other threads.

    Args:
        selection: Which rows of which result.
        statuses: Where the chunks of that result are listed.
        store: Where they are.
        loop: That both belong to.
    """

    resumable: ClassVar[bool] = False

    def __init__(
        self, selection: RowSelection, *, statuses: StatusStore, store: ObjectStore, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._selection = selection
        self._statuses = statuses
        self._store = store
        self._loop = loop
        self._cancelled = threading.Event()

    def connect(self) -> None:
        """Do nothing: the store needs no login."""

    def submit(self, statement: Statement) -> None:
        """Do nothing: no warehouse gets the statement, so there is no id either."""

    def attach(self, statement: Statement, query_id: str, *, first_row: int) -> bool:  # noqa: ARG002 - the protocol's
        """Return False: nothing runs that could be taken over."""
        return False

    def schema(self) -> pa.Schema:
        """Return the columns of the selection."""
        import pyarrow as pa

        stored = schema_from_bytes(self._selection.arrow_schema)
        return pa.schema([stored.field(name) for name in self._selection.columns])

    def batches(self, *, max_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows.

        Raises:
            ResultsExpiredError: The stored rows are gone.
            ResultCorruptError: They are not those that were written.
            QueryCancelledError: `cancel` was called.
        """
        schema = schema_from_bytes(self._selection.arrow_schema)
        for batch in selected_rows(self._stored(schema), schema, self._selection):
            for first in range(0, batch.num_rows, max_rows):
                yield batch.slice(first, max_rows)

    def _stored(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        source = self._selection
        chunks = self._wait(
            self._statuses.chunks(source.query_uuid, source.attempt, first_row=0, end_row=max(1, source.row_count))
        )
        for chunk in chunks:
            if self._cancelled.is_set():
                raise QueryCancelledError("The query was cancelled.")
            lines = self._wait(read_lines(self._store, [chunk], chunk.first_row, chunk.row_count))
            yield decode_lines(lines, schema)

    def _wait(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def cancel(self) -> None:
        """Stop before the next chunk."""
        self._cancelled.set()

    def leave(self) -> None:
        """Stop before the next chunk."""
        self._cancelled.set()

    def close(self) -> None:
        """Do nothing: nothing is open between two chunks."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def opener_of(
    assignment: Assignment,
    open_session: Callable[[], WarehouseSession],
    *,
    statuses: StatusStore,
    store: ObjectStore,
) -> Callable[[], WarehouseSession]:
    """Return what opens the session of an attempt: `open_session`, or one on stored rows. Called on the event loop."""
    if assignment.selection is None:
        return open_session
    selection, loop = RowSelection.from_json(assignment.selection), asyncio.get_running_loop()
    return lambda: StoredRowsSession(selection, statuses=statuses, store=store, loop=loop)
