"""`queryfleet sql` and `query`: start a query, show how it goes, write its rows; who stops reading stops the query."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from queryfleet.cli.failure import ExitCode, exit_code, failure_text, printable
from queryfleet.cli.interrupt import Interrupted, discard_output, interruptible, is_reader_gone
from queryfleet.cli.output import OutputFormat, csv_bytes, first_rows, jsonl_bytes, table_text, write_all
from queryfleet.cli.progress import ProgressLine, progress_text
from queryfleet.client import RetryPolicy
from queryfleet.errors import ServiceError, ServiceUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, TextIO

    from queryfleet.cli.connection import Connection
    from queryfleet.client import Client, QuerySnapshot, Question, ResultPage

__all__ = ["SqlCommand", "run_sql"]

_LARGEST_PAGE: Final = 5000
_CANCEL_SECONDS: Final = 5.0  # how long to try to cancel before giving up
_FIRST_WAIT_SECONDS: Final = 0.5  # a query that ends within needs one request
_CONTEXT: Final = "cli"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlCommand:
    """What was asked on the command line."""

    sql: str  # one statement; empty with a `question`
    format: OutputFormat
    limit: int | None  # most rows of the result; None for all
    row_count: int  # rows of a table
    page_size: int | None  # rows fetched at once; None for the service's largest, up to 5000
    is_quiet: bool
    is_streaming: bool  # write rows while the query still runs
    question: Question | None = None  # to the models, in the place of a statement


def run_sql(
    connection: Connection, command: SqlCommand, *, stdout: BinaryIO, stderr: TextIO, width: int | None
) -> ExitCode:
    """Run one query to its end and write its rows.

    Args:
        connection: Where.
        command: What.
        stdout: Gets rows and nothing else.
        stderr: Gets progress, notes and errors.
        width: Of the terminal stdout is; None when it is none.

    Returns:
        The exit code. When it is not `OK`, a query that still ran has been cancelled if that was possible.
    """
    progress = ProgressLine(stderr, is_quiet=command.is_quiet, started_at=time.monotonic())
    run = _Run(connection, command, progress, stdout, width)
    with interruptible():
        try:
            run.read()
        except Interrupted:
            progress.note(f"Interrupted. {run.cancel()}", always=True)
            return ExitCode.INTERRUPTED
        except BrokenPipeError:
            discard_output(stdout)
            progress.clear()
            run.cancel()
            return ExitCode.READER_GONE
        except ServiceError as error:
            run.report(error)
            return exit_code(error)
    return ExitCode.OK


class _Run:
    """One query from submit to the last row; knows at any moment what there is to cancel."""

    def __init__(
        self,
        connection: Connection,
        command: SqlCommand,
        progress: ProgressLine,
        stdout: BinaryIO,
        width: int | None,
    ) -> None:
        self._connection = connection
        self._command = command
        self._progress = progress
        self._stdout = stdout
        self._width = width
        # Made before anything is sent: it finds the query again when a signal arrives before the answer.
        self._key = uuid4().hex
        self._is_submitted = False
        self._query_uuid: str | None = None
        self._is_ended = False
        self._written_rows = 0

    def read(self) -> None:
        """Submit, wait and write."""
        with self._connection.client() as client:
            self._is_submitted = True
            # A table is written at the end; rows can be written earlier: their submit is not held long.
            wait_seconds = self._progress.interval_seconds
            if self._command.format is not OutputFormat.TABLE:
                wait_seconds = min(wait_seconds, _FIRST_WAIT_SECONDS)
            first = self._submit(client, wait_seconds=wait_seconds)
            self._query_uuid = first.query_uuid
            for warning in first.warnings:
                self._progress.note(f"Warning: {printable(warning)}", always=True)
            self._look_at(first)
            if self._command.format is OutputFormat.TABLE:
                self._write_table(client, first)
            else:
                self._write_rows(client, first)

    def cancel(self) -> str:
        """Cancel the query unless it has ended, within a few seconds; return what to tell a person."""
        if not self._is_submitted:
            return "Nothing had been started."
        if self._is_ended:
            return f"The query had ended; {self._written_rows:,} rows were written."
        try:
            # A new client: the connection of the old one may be in the middle of an answer.
            retry = RetryPolicy(total_seconds=_CANCEL_SECONDS)
            with self._connection.client(retry=retry, timeout_seconds=2 * _CANCEL_SECONDS) as client:
                if self._query_uuid is None:
                    self._query_uuid = self._submit(client, wait_seconds=0).query_uuid
                client.cancel(self._connection.project_uuid, self._query_uuid)
        except ServiceError as error:
            name = f"Query {self._query_uuid}" if self._query_uuid else "The query"
            hint = f" Try `queryfleet cancel {self._query_uuid}`." if self._query_uuid else ""
            return f"{name} could not be cancelled and may still run: {printable(error.message)}{hint}"
        return f"Query {self._query_uuid} is cancelled."

    def report(self, error: ServiceError) -> None:
        """Say what went wrong, and end a query nobody will read."""
        self._progress.note(failure_text(error, sql=self._command.sql), always=True)
        if self._written_rows:
            self._progress.note(f"The output is incomplete: {self._written_rows:,} rows were written.", always=True)
        if self._query_uuid is None or self._is_ended:
            return
        if isinstance(error, ServiceUnreachableError):
            self._progress.note(f"Query {self._query_uuid} may still run.", always=True)
        else:
            self._progress.note(self.cancel(), always=True)

    def _submit(self, client: Client, *, wait_seconds: float) -> QuerySnapshot:
        if self._command.question is not None:
            return client.query(
                self._connection.project_uuid,
                self._command.question,
                idempotency_key=self._key,
                wait_seconds=wait_seconds,
                context=_CONTEXT,
            )
        return client.submit_sql(
            self._connection.project_uuid,
            self._command.sql,
            limit=self._command.limit,
            idempotency_key=self._key,
            wait_seconds=wait_seconds,
            context=_CONTEXT,
        )

    def _look_at(self, snapshot: QuerySnapshot) -> None:
        """Remember whether there is anything left to cancel, and show the news."""
        self._is_ended = self._is_ended or snapshot.is_ended
        snapshot.raise_if_failed()
        if not self._is_ended:
            if is_reader_gone(self._stdout):
                raise BrokenPipeError
            self._progress.show(progress_text(snapshot, seconds=self._progress.seconds))

    def _wait(self, client: Client, first: QuerySnapshot, *, page_size: int | None) -> QuerySnapshot:
        if first.is_ended:
            return first
        last = client.wait(
            self._connection.project_uuid,
            first.query_uuid,
            page_size=page_size,
            wait_seconds=self._progress.interval_seconds,
            on_wait=self._look_at,
        )
        self._look_at(last)
        return last

    def _pages(self, client: Client, query_uuid: str, page_size: int) -> Iterator[ResultPage]:
        for page in client.pages(
            self._connection.project_uuid,
            query_uuid,
            page_size=page_size,
            wait_seconds=self._progress.interval_seconds,
            on_wait=self._look_at,
        ):
            self._is_ended = self._is_ended or page.total_rows is not None
            yield page

    def _page_size(self, client: Client) -> int:
        return self._command.page_size or min(client.health().max_page_size, _LARGEST_PAGE)

    def _write_rows(self, client: Client, first: QuerySnapshot) -> None:
        if not self._command.is_streaming:
            first = self._wait(client, first, page_size=self._command.page_size)
        whole = _whole_result(first)
        pages = iter([whole]) if whole else self._pages(client, first.query_uuid, self._page_size(client))
        for page in pages:
            if self._command.format is OutputFormat.CSV:
                data = csv_bytes(page, with_header=page.page == 1)
            else:
                data = jsonl_bytes(page)
            self._progress.clear()
            write_all(self._stdout, data)
            self._written_rows += len(page.rows)
            if self._width is None:  # rows on the same terminal would tear the line apart
                self._progress.show(self._written_text(page))
        self._progress.note(f"{self._written_rows:,} rows{_origin(first)} · {self._progress.seconds:.1f} s")

    def _written_text(self, page: ResultPage) -> str:
        total = "" if page.total_rows is None else f" of {page.total_rows:,}"
        return f"{self._written_rows:,}{total} rows written · {self._progress.seconds:.1f} s"

    def _write_table(self, client: Client, first: QuerySnapshot) -> None:
        wanted = self._command.row_count
        last = self._wait(client, first, page_size=wanted if wanted <= _SMALL_PAGE else None)
        page = last.page
        if page is None or page.total_rows is None:
            raise ServiceError(f"Query {first.query_uuid} is ready, but the service sent no rows with that answer.")
        total = page.total_rows
        if len(page.rows) >= min(wanted, total):
            pages = iter([page])
        else:
            pages = self._pages(client, first.query_uuid, min(wanted, self._page_size(client)))
        columns, rows = first_rows(pages, row_count=wanted)
        self._progress.clear()
        table = table_text(columns, rows, width=self._width)
        write_all(self._stdout, table.encode(errors="backslashreplace"))
        self._written_rows = len(rows)
        seconds = f"{_origin(first)} · {self._progress.seconds:.1f} s"
        if len(rows) < total:
            self._progress.note(f"showing {len(rows):,} of {total:,} rows{seconds}", always=True)
        else:
            self._progress.note(f"{total:,} rows{seconds}")


_SMALL_PAGE: Final = 50  # no service allows less


def _whole_result(snapshot: QuerySnapshot) -> ResultPage | None:
    page = snapshot.page
    is_whole = page is not None and page.total_pages is not None and page.total_pages <= 1
    return page if is_whole else None


def _origin(first: QuerySnapshot) -> str:
    return " from an earlier result" if first.cache_hit else ""
