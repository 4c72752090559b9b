"""Going on where an earlier attempt was lost: its statement, which still runs or has run, and its stored rows.

The row is the unit: the earlier attempt's committed chunks end at some row, and reading goes on at the next one,
however the warehouse cuts its batches this time. What the earlier attempt stored and did not commit is left to the
janitor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from queryfleet.model import ChunkRef
    from queryfleet.status.record import Resume
    from queryfleet.status.store import StatusStore
    from queryfleet.warehouse.base import Statement, WarehouseSession

__all__ = ["Takeover"]

_ALL_ROWS = 2**62  # more than any result has


@dataclass(slots=True, kw_only=True)
class Takeover:
    """What one attempt has from an earlier one. Used by the work thread."""

    resume: Resume | None  # None: there was none that reached the warehouse
    chunks: tuple[ChunkRef, ...] = field(default=())  # kept, in order; may become none

    @property
    def row_count(self) -> int:
        """Rows in the kept chunks."""
        return sum(chunk.row_count for chunk in self.chunks)

    @property
    def byte_count(self) -> int:
        """Bytes of the kept chunks."""
        return sum(chunk.byte_count for chunk in self.chunks)

    def submit(
        self, session: WarehouseSession, statement: Statement, left: Callable[[], tuple[ChunkRef, ...]]
    ) -> str | None:
        """Attach to the earlier statement, or submit it anew; return the warehouse's id of it.

        Args:
            session: Logged in.
            statement: To run.
            left: Asks for `chunks_left`; not called when there is no use for it.

        Raises like `WarehouseSession.submit`.
        """
        resume = self.resume
        if resume is not None and session.resumable:
            self.chunks = left() if resume.arrow_schema is not None else ()
            if session.attach(statement, resume.query_id, first_row=self.row_count):
                return resume.query_id
        self.resume, self.chunks = None, ()
        return session.submit(statement)

    async def chunks_left(self, statuses: StatusStore, query_uuid: str) -> tuple[ChunkRef, ...]:
        """Return the committed chunks of the earlier attempt."""
        if self.resume is None:
            return ()
        return await statuses.chunks(query_uuid, self.resume.attempt, first_row=0, end_row=_ALL_ROWS)

    async def keep(self, statuses: StatusStore, query_uuid: str, attempt: int) -> None:
        """Make the chunks of the earlier attempt the first ones of this one; raises like `keep_chunks`."""
        if self.resume is not None and self.chunks:
            await statuses.keep_chunks(
                query_uuid, attempt, from_attempt=self.resume.attempt, chunk_count=len(self.chunks)
            )

    def schema(self, session: WarehouseSession, statement: Statement) -> pa.Schema:
        """Wait for the columns; rows that were stored with other ones are not kept. Raises like `schema`."""
        from queryfleet.results.page import schema_to_bytes

        schema = session.schema()
        resume = self.resume
        if resume is None or not self.chunks or schema_to_bytes(schema) == resume.arrow_schema:
            return schema
        self.chunks = ()
        session.attach(statement, resume.query_id, first_row=0)
        return session.schema()
