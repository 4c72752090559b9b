"""`queryfleet sql` against a scripted service, without a network or a process."""

from __future__ import annotations

import csv
import io
import json

import pytest

from queryfleet import errors
from queryfleet.cli.failure import ExitCode
from queryfleet.cli.output import OutputFormat
from queryfleet.cli.reading import ReadCommand, run_read
from tests.fixtures.query_service import Wired, fill
from tests.fixtures.scripted_service import Answer


@pytest.fixture
def run(query_service, tmp_path):
    """Run a command; returns exit code, stdout and stderr."""

    def run(output_format, *, limit=None, **changes):
        command = ReadCommand(
            start=lambda client, terms: client.sql("select 1", limit=limit, **terms),
            sql="select 1",
            format=OutputFormat(output_format),
            **changes,
        )
        errors_text = io.StringIO()
        with (tmp_path / "stdout").open("w+b") as stdout:
            code = run_read(Wired(query_service), command, stdout=stdout, stderr=errors_text, width=None)
            stdout.seek(0)
            return code, stdout.read().decode(), errors_text.getvalue()

    return run


@pytest.mark.parametrize("row_count", [0, 1, 3])
def test_table_of_small_result_needs_one_request(run, query_service, row_count):
    """A short query with few rows is one request, and shown whole."""
    query_service.on_submit = lambda query: fill(query, row_count)
    code, text, notes = run("table")
    assert (code, len(query_service.asked)) == (ExitCode.OK, 1)
    assert row_count + 2 == len(text.splitlines())
    assert f"{row_count} rows" in notes
    assert "showing" not in notes


def test_table_of_large_result_says_how_much_is_missing_even_when_quiet(run, query_service):
    """Nothing looks complete that is not."""
    query_service.on_submit = lambda query: fill(query, 1200)
    code, text, notes = run("table", is_quiet=True)
    assert code == ExitCode.OK
    assert len(text.splitlines()) == 52
    assert "showing 50 of 1,200 rows" in notes


def test_table_of_more_rows_than_a_page_reads_several(run, query_service):
    """--rows may be larger than the service's largest page."""
    query_service.max_page_size = 500
    query_service.on_submit = lambda query: fill(query, 1200)
    _, text, notes = run("table", row_count=1100)
    assert len(text.splitlines()) == 1102
    assert "showing 1,100 of 1,200 rows" in notes


def test_table_of_running_query_waits_for_its_end(run, query_service):
    """A table knows how many rows there are."""
    query_service.on_poll = [lambda _query: None, lambda query: fill(query, 60)]
    assert "showing 50 of 60 rows" in run("table")[2]


@pytest.mark.parametrize("row_count", [0, 3, 1200, 12_000])
@pytest.mark.parametrize("is_streaming", [True, False])
def test_jsonl_writes_every_row_in_order(run, query_service, row_count, is_streaming):
    """All rows arrive once and in order, whatever the size."""
    query_service.on_submit = lambda query: fill(query, row_count)
    code, text, _ = run("jsonl", is_streaming=is_streaming)
    rows = [json.loads(line) for line in text.splitlines()]
    assert code == ExitCode.OK
    assert [{"id": number, "city": f"city {number}"} for number in range(row_count)] == rows


@pytest.mark.parametrize("row_count", [0, 3, 1200])
def test_csv_writes_one_header_and_every_row(run, query_service, row_count):
    """One header and all rows, also over several pages."""
    query_service.on_submit = lambda query: fill(query, row_count)
    _, text, _ = run("csv", page_size=100)
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [["id", "city"], *([str(n), f"city {n}"] for n in range(row_count))] == rows


def test_quiet_command_says_nothing_on_stderr(run, query_service):
    """--quiet leaves stderr empty when all went well and nothing is missing."""
    query_service.on_submit = lambda query: fill(query, 3)
    assert run("jsonl", is_quiet=True)[2] == ""


def test_limit_and_context_reach_the_service_and_its_warnings_the_person(run, query_service):
    """A limit the service lowered is not silent."""
    query_service.warnings = ["The limit was lowered to 10."]
    query_service.on_submit = lambda query: fill(query, 3)
    _, _, notes = run("table", limit=99, is_quiet=True)
    assert query_service.asked[0].body == {"sql": "select 1", "limit": 99, "context": "cli"}
    assert "The limit was lowered to 10." in notes


def test_refused_statement_ends_with_one_and_the_warehouses_words(run, query_service):
    """A failed query is exit code 1, its message and place on stderr, and nothing on stdout."""

    def fail(query):
        query.status, query.error = "error", errors.WarehouseQueryError("no column x", position=8)

    query_service.on_submit = fail
    code, text, notes = run("jsonl")
    assert (code, text) == (ExitCode.FAILED, "")
    assert "Error: no column x\n  at line 1, column 8:\n    select 1\n           ^\n" == notes


def test_query_that_fails_midway_says_its_output_is_incomplete(run, query_service):
    """Rows that were written do not look like the whole result."""
    query_service.on_submit = lambda query: fill(query, 8, status="running")

    def store(query):
        query.stored_rows = 4

    def fail(query):
        query.status, query.error = "error", errors.WarehouseConnectionError("connection lost")

    query_service.on_poll = [store, fail]
    code, text, notes = run("jsonl", page_size=4, is_quiet=True)
    assert (code, len(text.splitlines())) == (ExitCode.FAILED, 4)
    assert "connection lost" in notes
    assert "The output is incomplete: 4 rows were written." in notes


def test_query_begun_again_midway_is_cancelled_and_incomplete(run, query_service):
    """Rows of two attempts are not mixed, and a query nobody reads does not run on."""
    query_service.on_submit = lambda query: fill(query, 8, status="running")

    def store(query):
        query.stored_rows = 4

    def begin_again(query):
        query.attempt = 2

    query_service.on_poll = [store, begin_again]
    code, _, notes = run("csv", page_size=4)
    assert code == ExitCode.FAILED
    assert "attempt 2" in notes
    assert ["cancelled"] == [query.status for query in query_service.queries.values()]


def test_query_cancelled_by_another_ends_with_one(run, query_service):
    """A query that somebody cancelled is not a success."""

    def cancel(query):
        query.status = "cancelled"

    query_service.on_poll = [cancel]
    code, _, notes = run("table")
    assert code == ExitCode.FAILED
    assert "was cancelled" in notes


def test_service_lost_midway_ends_with_three_and_names_the_query(run, query_service):
    """When the service goes away the query may run on, and its name is known."""
    gone = Answer(status=502, body=b"bad gateway", headers={"Retry-After": "60"})
    query_service.on_request = lambda asked: gone if asked.method == "GET" else None
    code, _, notes = run("table")
    assert code == ExitCode.UNREACHABLE
    assert f"Query {next(iter(query_service.queries))} may still run." in notes
