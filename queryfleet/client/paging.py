"""Reading a result page by page, also while it is still being made; no I/O here.

    start ──poll(page n)──▶ not covered yet: show progress, poll again
                        ├─▶ page n:          hand it over, n + 1
                        ├─▶ beyond the end:  poll(page n - 1) for the final count, then stop
                        └─▶ ended without a result: raise

"Beyond the end" happens when a query ends exactly behind a page that was read while it ran: only then
can a reader not know that no page follows. A reader never sees half a page of a running query, because rows
still to come would then be skipped.

Rows read while a query runs belong to one attempt of it. When the service has to begin again, the warehouse
may give the rows in another order; pages of two attempts do not fit together, and that is an error rather
than a wrong result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.errors import ConflictError, ParameterError
from queryfleet.status.transitions import QueryStatus

if TYPE_CHECKING:
    from queryfleet.client.answers import QuerySnapshot, ResultPage
    from queryfleet.errors import PaginationError

__all__ = ["PageReader", "idle_seconds"]


class PageReader:
    """Decides which page to ask for next. One reader reads one result once, in order."""

    def __init__(self, page_size: int) -> None:
        if page_size < 1:
            raise ParameterError(f"page_size is {page_size}; it must be at least 1.")
        self.page_size = page_size
        self.page = 1  # what to ask for next
        self.is_done = False
        self._attempt: int | None = None  # of the pages handed over while the query ran
        self._beyond: PaginationError | None = None

    def accept(self, snapshot: QuerySnapshot) -> ResultPage | None:
        """Take the answer to a poll for `page`; return the page when it is whole.

        Raises:
            QueryCancelledError: The query was cancelled.
            ServiceError: The query failed, as `QuerySnapshot.raise_if_failed`.
            ConflictError: The query was begun again after pages of an earlier attempt had been handed over.
        """
        snapshot.raise_if_failed()
        self._check_attempt(snapshot)
        page = snapshot.page
        if self._beyond is not None:
            self._settle(page, self._beyond)
            return None
        if page is None:
            return None
        if snapshot.status is QueryStatus.READY:
            self.is_done = page.total_pages is None or self.page >= page.total_pages
        elif len(page.rows) < self.page_size:
            return None
        else:
            self._attempt = snapshot.attempt
        self.page += 1
        return page

    def accept_beyond_end(self, error: PaginationError) -> None:
        """Take the answer "there is no such page".

        Raises:
            PaginationError: It was the first page that does not exist, or a page size that is not allowed.
        """
        if self.page == 1 or self._beyond is not None:
            raise error
        self._beyond = error
        self.page -= 1

    def _settle(self, page: ResultPage | None, beyond: PaginationError) -> None:
        if page is None or page.total_pages != self.page:
            raise beyond
        self.is_done = True

    def _check_attempt(self, snapshot: QuerySnapshot) -> None:
        if self._attempt is not None and snapshot.attempt not in (None, self._attempt):
            text = (
                f"Query {snapshot.query_uuid} was begun again (attempt {snapshot.attempt}) after"
                f" {self.page - 1} pages had been read; the order of its rows may differ now."
                " Read the result again from page 1."
            )
            raise ConflictError(text, queryUuid=snapshot.query_uuid)


def idle_seconds(*, empty_polls: int, held_seconds: float, wait_seconds: float) -> float:
    """Return how long to pause before asking again.

    Zero when the service held the request as it was asked to. A busy service answers at once instead, and a
    caller may have asked for no waiting: then the pauses grow from 0.1 to 2 seconds.

    Args:
        empty_polls: Polls in a row that brought nothing, at least 1.
        held_seconds: How long the last one took.
        wait_seconds: How long it was allowed to take.
    """
    if wait_seconds and held_seconds >= wait_seconds / 2:
        return 0.0
    return min(0.1 * 2.0 ** min(empty_polls - 1, 30), 2.0)
