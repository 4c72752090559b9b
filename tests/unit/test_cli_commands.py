"""Commands that list, follow and write files, against a scripted service."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from queryfleet import errors
from queryfleet.cli.binary import write_batches
from queryfleet.cli.download import download_result
from queryfleet.cli.failure import ExitCode
from queryfleet.cli.history import history_text, projects_text
from queryfleet.cli.inspect import follow_query
from queryfleet.cli.output import OutputFormat
from queryfleet.cli.reading import ReadCommand, run_read
from tests.fixtures.query_service import PROJECT, Wired, fill
from tests.fixtures.scripted_service import Answer

ENTRY = {
    "queryUuid": "q1",
    "userUuid": "u",
    "context": "api",
    "sql": "select\n  1 as \x1b[2Jone" + " " * 3 + "x" * 90,
    "exploreName": None,
    "status": "ready",
    "attempt": 1,
    "rows": 1234,
    "bytes": 50,
    "createdAt": "2026-01-02T03:04:05.678Z",
    "timings": {"totalMs": 1500},
}


def answer(results):
    """Return an answer with these results."""
    return Answer(status=200, body=json.dumps({"status": "ok", "results": results}).encode())


def history(query_service, **changes):
    """List the history of one entry."""
    query_service.on_request = lambda _asked: answer({"page": 1, "totalPageCount": 1, "queries": [ENTRY]})
    wanted = {"limit": 20, "statuses": None, "user_uuid": None, "since": None, "until": None, "as_json": False}
    return history_text(Wired(query_service), **(wanted | changes))


def test_history_is_one_line_for_each_query(query_service):
    """When, which, how, how much, how long and what; nothing steers the terminal."""
    line = history(query_service)
    assert line.startswith("2026-01-02 03:04:05  q1  ready            1,234 rows      1.5 s  select 1 as \\x1b[2Jone x")
    assert (line.count("\n"), line[-2]) == (1, "…")
    assert json.loads(history(query_service, as_json=True))[0]["rows"] == 1234


def test_history_asks_for_what_was_said(query_service):
    """Filters reach the service in its own words; a time is one of this machine unless it says its zone."""
    history(query_service, limit=5, statuses=["error"], user_uuid="u", since=datetime(2026, 1, 1, tzinfo=UTC))
    assert query_service.asked[0].params == {
        "page": "1",
        "pageSize": "5",
        "status": "error",
        "userUuid": "u",
        "since": "2026-01-01T00:00:00+00:00",
    }


def test_projects_are_one_line_each(query_service):
    """Uuid, role and name."""
    query_service.on_request = lambda _asked: answer([{"projectUuid": PROJECT, "name": "Shop", "role": "admin"}])
    assert projects_text(Wired(query_service), as_json=False) == f"{PROJECT}  admin   Shop\n"
    assert json.loads(projects_text(Wired(query_service), as_json=True))[0]["name"] == "Shop"


@pytest.fixture
def started(query_service, client):
    """A query of another program."""
    return client.sql("select 1").query_uuid


def test_follow_shows_a_query_to_its_end_and_does_not_end_it(query_service, started):
    """What it was is returned, rows or none."""
    query_service.on_poll = [lambda _query: None, lambda query: fill(query, 3)]
    snapshot = follow_query(Wired(query_service), started, stderr=io.StringIO(), is_quiet=False)
    assert (snapshot.status, snapshot.page.total_rows) == ("ready", 3)


def read(query_service, query_uuid, output_format, *, width=None):
    """Write the rows of a query; returns exit code, stdout and stderr."""
    command = ReadCommand(
        start=lambda client, _terms: client.attach(query_uuid), is_own=False, format=OutputFormat(output_format)
    )
    stdout, stderr = io.BytesIO(), io.StringIO()
    code = run_read(Wired(query_service), command, stdout=stdout, stderr=stderr, width=width)
    return code, stdout.getvalue(), stderr.getvalue()


@pytest.mark.parametrize("row_count", [0, 1, 7, 12_000])
def test_json_is_one_object_with_every_row(query_service, started, row_count):
    """A program reads it in one go, whatever the number of rows and pages."""
    fill(query_service.queries[started], row_count)
    code, out, _ = read(query_service, started, "json")
    found = json.loads(out)
    assert (code, found["queryUuid"], found["totalResults"]) == (ExitCode.OK, started, row_count)
    assert [row["id"] for row in found["rows"]] == list(range(row_count))
    assert [column["reference"] for column in found["columns"]] == ["id", "city"]


def test_failed_query_is_not_cancelled_again_and_writes_nothing(query_service, started):
    """Reading somebody's failed query is an error with its words."""
    scripted = query_service.queries[started]
    scripted.status, scripted.error = "error", errors.WarehouseQueryError("no column x")
    code, out, err = read(query_service, started, "json")
    assert (code, out) == (ExitCode.FAILED, b"")
    assert "no column x" in err
    assert not [asked for asked in query_service.asked if asked.path.endswith("/cancel")]


@pytest.mark.parametrize("output_format", ["arrow", "parquet"])
def test_binary_rows_are_refused_on_a_terminal(query_service, started, output_format):
    """Nothing is asked, and nothing is written that a terminal might obey."""
    with pytest.raises(errors.ConfigurationError, match=f"> rows.{output_format}"):
        read(query_service, started, output_format, width=80)


class _Batches:
    """A query with rows."""

    def __init__(self, *batches):
        self._batches = batches

    def schema(self):
        """Return the names and types."""
        return pa.schema([("n", pa.decimal128(5, 2))])

    def batches(self):
        """Yield the rows."""
        yield from self._batches


@pytest.mark.parametrize("count", [0, 3])
def test_parquet_and_arrow_hold_every_batch(count):
    """Types stay, an empty result has its columns, and what is written is counted."""
    batch = pa.record_batch([pa.array([1, 2], pa.decimal128(5, 2))], schema=_Batches().schema())
    query = _Batches(*[batch] * count)
    for kind, opened in (
        (OutputFormat.PARQUET, pq.read_table),
        (OutputFormat.ARROW, lambda data: pa.ipc.open_stream(data).read_all()),
    ):
        sink = io.BytesIO()
        assert list(write_batches(query, kind, sink)) == [2] * count
        table = opened(io.BytesIO(sink.getvalue()))
        assert (table.num_rows, table.schema.field("n").type) == (2 * count, pa.decimal128(5, 2))


def test_download_that_the_disk_refuses_ends_with_one(query_service, started, tmp_path):
    """A folder that is not there is told by its name, without a traceback."""
    fill(query_service.queries[started], 3)
    made = {"fileUrl": "http://127.0.0.1:9/x", "jobId": "j", "byteCount": 1}
    query_service.on_request = lambda asked: answer(made) if asked.path.endswith("/download") else None
    stderr = io.StringIO()
    code = download_result(
        Wired(query_service),
        started,
        tmp_path / "nowhere" / "rows.csv",
        format_=None,
        formatted=False,
        is_quiet=True,
        as_json=False,
        stdout=io.StringIO(),
        stderr=stderr,
    )
    assert code is ExitCode.FAILED
    assert "No such file or directory" in stderr.getvalue()
    assert "nowhere" in stderr.getvalue()
