"""An attempt whose rows stay in the warehouse: it waits for the statement and records what the result is like.

No row is fetched but the first ones, which decide about types. Pages are read by the statement's own id when somebody
asks for them (`actors.kept_pages`), for as long as the warehouse keeps the result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from actors.attempt import Attempt
from queryfleet.columns import columns_of
from queryfleet.results.store_none import storage_is_off
from queryfleet.warehouse.base import KeepingSession

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from actors.messages import Assignment
    from queryfleet.settings import Settings
    from queryfleet.status.store import StatusStore
    from queryfleet.warehouse.base import WarehouseSession

__all__ = ["UnstoredExecution"]

_KEPT_SECONDS = 86_400  # that the warehouses concerned keep a result


class UnstoredExecution(Attempt):
    """Runs one attempt. Made on the event loop that runs it; used once.

    Args:
        assignment: What to run.
        statuses: Where progress and the end are written; every write carries the attempt.
        open_session: Gives a session nobody has used; called on the work thread, may raise `ServiceError`.
        executor: One work thread.
        settings: Sizes and times.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        statuses: StatusStore,
        open_session: Callable[[], WarehouseSession],
        executor: Executor,
        settings: Settings,
    ) -> None:
        resume = assignment.resume
        super().__init__(
            assignment,
            statuses=statuses,
            open_session=open_session,
            executor=executor,
            settings=settings,
            leftovers=None,
            resume=None if resume is None else replace(resume, arrow_schema=None),  # only the statement is of use
        )
        self._row_count = 0

    def _read(self, session: WarehouseSession) -> None:
        """Wait for the result and count it; see `Attempt`."""
        from queryfleet.results.page import schema_to_bytes

        # Refused when it was asked; but it may have been asked while results were stored.
        if not isinstance(session, KeepingSession):
            raise storage_is_off("A query on this warehouse")
        if self.assignment.pivot is not None:
            raise storage_is_off("A pivot")
        if self.assignment.selection is not None:
            raise storage_is_off("A choice of stored rows")
        statement = self._statement(self._limit.row_limit(self.assignment.row_limit))
        kept = self._begin(session, statement, session.kept_result)
        self._deadlines.enter(None)
        self._row_count = self._limit.cut_count(kept.row_count)
        self._columns = columns_of(kept.schema)
        self._described = self._start(self._note_columns(schema_to_bytes(kept.schema)))

    async def _publish(self) -> None:
        """Make the query ready; see `Attempt`."""
        query = self.assignment
        await self._columns_known()
        self._finishing = True
        await self._insist(
            lambda: self._statuses.finish_unstored(
                query.query_uuid,
                query.attempt,
                row_count=self._row_count,
                ttl_seconds=min(self._limits.cache_seconds, _KEPT_SECONDS),
                truncated=self._limit.reached is not None,
                warnings=[self._limit.reached] if self._limit.reached is not None else [],
            )
        )
        self._log.info("query.ready", row_count=self._row_count, stored=False)
