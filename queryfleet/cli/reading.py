"""Commands that write rows: start or find a query, show how it goes, write; who stops reading stops the query."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from queryfleet.cli.binary import write_batches
from queryfleet.cli.failure import ExitCode, exit_code, failure_text
from queryfleet.cli.interrupt import Interrupted, discard_output, interruptible, is_reader_gone
from queryfleet.cli.output import (
    BINARY_FORMATS,
    OutputFormat,
    csv_bytes,
    first_rows,
    json_head,
    json_rows,
    jsonl_bytes,
    table_text,
    write_all,
)
from queryfleet.client import RetryPolicy
from queryfleet.client.progress import ProgressLine
from queryfleet.client.texts import printable, progress_text
from queryfleet.errors import ConfigurationError, ServiceError, ServiceUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO, TextIO

    from queryfleet.cli.connection import Service
    from queryfleet.client import Client, Query, QuerySnapshot, ResultPage, Terms

__all__ = ["ReadCommand", "run_read"]

_LARGEST_PAGE: Final = 5000
_CANCEL_SECONDS: Final = 5.0  # how long to try to cancel before giving up
_FIRST_WAIT_SECONDS: Final = 0.5  # a query that ends within needs one request
_SMALL_PAGE: Final = 50  # no service allows less
_CONTEXT: Final = "cli"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCommand:
    """What was asked on the command line."""

    start: Callable[[Client, Terms], Query]  # the same query again for the same key
    is_own: bool = True  # whether whoever stops reading stops the query
    sql: str = ""  # one statement, for messages about it; empty where there is none
    format: OutputFormat
    row_count: int = 50  # rows of a table
    page_size: int | None = None  # rows fetched at once; None for the service's largest, up to 5000
    is_quiet: bool = False
    is_streaming: bool = True  # write rows while the query still runs


def run_read(
    service: Service, command: ReadCommand, *, stdout: BinaryIO, stderr: TextIO, width: int | None
) -> ExitCode:
    """Run one query to its end and write its rows.

    Args:
        service: Where.
        command: What.
        stdout: Gets rows and nothing else.
        stderr: Gets progress, notes and errors.
        width: Of the terminal stdout is; None when it is none.

    Returns:
        The exit code. When it is not `OK`, a query of one's own that still ran has been cancelled if that was possible.

    Raises:
        ConfigurationError: Binary rows would be written to a terminal.
    """
    if command.format in BINARY_FORMATS and width is not None:
        name = command.format.value
        raise ConfigurationError(f"--format {name} is not for a terminal: write it to a file, such as `> rows.{name}`.")
    progress = ProgressLine(stderr, is_quiet=command.is_quiet, started_at=time.monotonic())
    run = _Run(service, command, progress, stdout, width)
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
        service: Service,
        command: ReadCommand,
        progress: ProgressLine,
        stdout: BinaryIO,
        width: int | None,
    ) -> None:
        self._service = service
        self._command = command
        self._progress = progress
        self._stdout = stdout
        self._width = width
        # Made before anything is sent: it finds the query again when a signal arrives before the answer.
        self._key = uuid4().hex
        self._is_submitted = False
        self._query_uuid: str | None = None
        self._cache_hit: bool | None = None
        self._is_ended = False
        self._written_rows = 0

    def read(self) -> None:
        """Submit, wait and write."""
        with self._service.client() as client:
            self._is_submitted = True
            # A table is written at the end; rows can be written earlier: their submit is not held long.
            wait_seconds = self._progress.interval_seconds
            if self._writes_early:
                wait_seconds = min(wait_seconds, _FIRST_WAIT_SECONDS)
            query = self._start(client, wait_seconds=wait_seconds)
            self._query_uuid, self._cache_hit = query.query_uuid, query.snapshot.cache_hit
            for warning in query.warnings:
                self._progress.note(f"Warning: {printable(warning)}", always=True)
            self._look_at(query.snapshot)
            if self._command.format is OutputFormat.TABLE:
                self._write_table(client, query)
            elif self._command.format in BINARY_FORMATS:
                self._write_binary(query)
            else:
                self._write_rows(client, query)

    @property
    def _writes_early(self) -> bool:
        return self._command.is_streaming and self._command.format not in (OutputFormat.TABLE, OutputFormat.JSON)

    def cancel(self) -> str:
        """Cancel the query unless it has ended, within a few seconds; return what to tell a person."""
        if not self._is_submitted:
            return "Nothing had been started."
        if self._is_ended:
            return f"The query had ended; {self._written_rows:,} rows were written."
        if not self._command.is_own:
            return f"The query goes on; {self._written_rows:,} rows were written."
        try:
            # A new client: the connection of the old one may be in the middle of an answer.
            retry = RetryPolicy(total_seconds=_CANCEL_SECONDS)
            with self._service.client(retry=retry, timeout_seconds=2 * _CANCEL_SECONDS) as client:
                known = self._query_uuid
                query = client.attach(known) if known else self._start(client, wait_seconds=0)
                self._query_uuid = query.query_uuid
                query.cancel()
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
        if self._query_uuid is None or self._is_ended or not self._command.is_own:
            return
        if isinstance(error, ServiceUnreachableError):
            self._progress.note(f"Query {self._query_uuid} may still run.", always=True)
        else:
            self._progress.note(self.cancel(), always=True)

    def _start(self, client: Client, *, wait_seconds: float) -> Query:
        terms: Terms = {"idempotency_key": self._key, "wait_seconds": wait_seconds, "context": _CONTEXT}
        return self._command.start(client, terms)

    def _look_at(self, snapshot: QuerySnapshot) -> None:
        """Remember whether there is anything left to cancel, and show the news."""
        self._is_ended = self._is_ended or snapshot.is_ended
        snapshot.raise_if_failed()
        if not self._is_ended:
            if is_reader_gone(self._stdout):
                raise BrokenPipeError
            self._progress.show(progress_text(snapshot, seconds=self._progress.seconds))

    def _wait(self, query: Query, *, page_size: int | None) -> QuerySnapshot:
        snapshot = query.snapshot
        if not snapshot.is_ended:
            for snapshot in query.watch(interval_seconds=self._progress.interval_seconds, page_size=page_size):
                self._look_at(snapshot)
        return snapshot

    def _pages(self, query: Query, page_size: int) -> Iterator[ResultPage]:
        for page in query.pages(
            page_size=page_size, wait_seconds=self._progress.interval_seconds, on_wait=self._look_at
        ):
            self._is_ended = self._is_ended or page.total_rows is not None
            yield page

    def _page_size(self, client: Client) -> int:
        return self._command.page_size or min(client.health().max_page_size, _LARGEST_PAGE)

    def _write_rows(self, client: Client, query: Query) -> None:
        if not self._writes_early:
            self._wait(query, page_size=self._command.page_size)
        whole = _whole_result(query.snapshot)
        pages = iter([whole]) if whole else self._pages(query, self._page_size(client))
        is_json = self._command.format is OutputFormat.JSON
        for page in pages:
            match self._command.format:
                case OutputFormat.CSV:
                    data = csv_bytes(page, with_header=page.page == 1)
                case OutputFormat.JSON:
                    data = (json_head(query.snapshot) if page.page == 1 else b"") + json_rows(page)
                case _:
                    data = jsonl_bytes(page)
            self._progress.clear()
            write_all(self._stdout, data)
            self._written_rows += len(page.rows)
            if self._width is None:  # rows on the same terminal would tear the line apart
                total = "" if page.total_rows is None else f" of {page.total_rows:,}"
                self._show_written(total)
        if is_json:
            write_all(self._stdout, b"]}\n")
        self._note_end()

    def _write_binary(self, query: Query) -> None:
        if not self._writes_early:
            self._wait(query, page_size=1)
        # Waits where progress can be shown; from then on rows come as they are stored.
        for snapshot in query.watch(interval_seconds=self._progress.interval_seconds, page_size=1):
            self._look_at(snapshot)
            if snapshot.progress.chunks:
                break
        for row_count in write_batches(query, self._command.format, self._stdout):
            self._written_rows += row_count
            self._show_written("")
            if not self._is_ended and is_reader_gone(self._stdout):
                raise BrokenPipeError
        self._is_ended = True
        self._note_end()

    def _show_written(self, total: str) -> None:
        self._progress.show(f"{self._written_rows:,}{total} rows written · {self._progress.seconds:.1f} s")

    def _note_end(self) -> None:
        self._progress.note(f"{self._written_rows:,} rows{self._origin()} · {self._progress.seconds:.1f} s")

    def _origin(self) -> str:
        return " from an earlier result" if self._cache_hit else ""

    def _write_table(self, client: Client, query: Query) -> None:
        wanted = self._command.row_count
        last = self._wait(query, page_size=wanted if wanted <= _SMALL_PAGE else None)
        page = last.page
        if page is None or page.total_rows is None:
            raise ServiceError(f"Query {query.query_uuid} is ready, but the service sent no rows with that answer.")
        total = page.total_rows
        if len(page.rows) >= min(wanted, total):
            pages = iter([page])
        else:
            pages = self._pages(query, min(wanted, self._page_size(client)))
        columns, rows = first_rows(pages, row_count=wanted)
        self._progress.clear()
        table = table_text(columns, rows, width=self._width)
        write_all(self._stdout, table.encode(errors="backslashreplace"))
        self._written_rows = len(rows)
        seconds = f"{self._origin()} · {self._progress.seconds:.1f} s"
        if len(rows) < total:
            self._progress.note(f"showing {len(rows):,} of {total:,} rows{seconds}", always=True)
        else:
            self._progress.note(f"{total:,} rows{seconds}")


def _whole_result(snapshot: QuerySnapshot) -> ResultPage | None:
    page = snapshot.page
    is_whole = page is not None and page.total_pages is not None and page.total_pages <= 1
    return page if is_whole else None
