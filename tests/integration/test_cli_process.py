"""The command line as a process of its own, against a scripted service behind a socket."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from queryfleet import errors
from tests.fixtures.query_service import PROJECT, fill
from tests.fixtures.scripted_service import ScriptedQuery

_TIMEOUT_SECONDS = 30


@pytest.fixture
def start(query_service, query_service_url, tmp_path):
    """Start `queryfleet`; its process is ended with the test. Keyword arguments go to the process."""
    started = []

    def restore_signals():
        # A test run started in the background ignores SIGINT, one under `nohup` SIGHUP, and its children would too.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def start(*args, environment=None, **settings):
        variables = {
            "PATH": os.environ["PATH"],
            "QUERYFLEET_URL": query_service_url,
            "QUERYFLEET_TOKEN": query_service.token,
            "QUERYFLEET_PROJECT": PROJECT,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "queryfleet.cli", *args],
            env=variables | (environment or {}),
            cwd=settings.pop("cwd", None),
            preexec_fn=restore_signals,  # noqa: PLW1509 - sets two signals, takes no lock
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | settings,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run(start):
    """Run `queryfleet` to its end; returns exit code, stdout and stderr."""

    def run(*args, **settings):
        process = start(*args, **settings)
        out, err = process.communicate(timeout=_TIMEOUT_SECONDS)
        return process.returncode, out.decode(), err.decode()

    return run


def _only(query_service):
    return next(iter(query_service.queries.values()))


def _polls(query_service):
    return [asked for asked in query_service.asked if asked.method == "GET" and "/query/" in asked.path]


def _store(query_service, row_count):
    with query_service.change():
        _only(query_service).stored_rows = row_count


def test_sql_as_jsonl_writes_rows_to_stdout_and_notes_to_stderr(run, query_service):
    """Data and talk do not mix."""
    query_service.on_submit = lambda query: fill(query, 2)
    code, out, err = run("sql", "select 1", "--format", "jsonl")
    assert code == 0
    assert [{"id": 0, "city": "city 0"}, {"id": 1, "city": "city 1"}] == [json.loads(line) for line in out.splitlines()]
    assert err.startswith("2 rows")


def test_sql_from_stdin_is_read_whole(start, query_service):
    """`-` takes a statement of any length from a pipe."""
    query_service.on_submit = lambda query: fill(query, 1)
    process = start("sql", "-", stdin=subprocess.PIPE)
    process.communicate(b"select 1\n-- and more", timeout=_TIMEOUT_SECONDS)
    assert process.returncode == 0
    assert query_service.asked[0].body["sql"] == "select 1\n-- and more"


def test_sql_finds_the_service_that_up_started(run, query_service, query_service_url, tmp_path):
    """`service.json` in the current folder is enough, and its token is not shown."""
    query_service.on_submit = lambda query: fill(query, 1)
    about = {"url": query_service_url, "token": query_service.token, "project_uuids": [PROJECT]}
    (tmp_path / ".queryfleet").mkdir()
    (tmp_path / ".queryfleet" / "service.json").write_text(json.dumps(about))
    nothing = {"QUERYFLEET_URL": "", "QUERYFLEET_TOKEN": "", "QUERYFLEET_PROJECT": ""}
    code, out, err = run("sql", "select 1", cwd=tmp_path, environment=nothing | {"PYTHONPATH": str(Path.cwd())})
    assert code == 0, err
    assert query_service.token not in out + err


def test_jsonl_of_running_query_appears_page_by_page(start, query_service):
    """The first rows are on stdout while the query still runs."""
    query_service.on_submit = lambda query: fill(query, 10, status="running")
    process = start("sql", "select 1", "--format", "jsonl", "--page-size", "4")
    query_service.wait_for(lambda: bool(query_service.queries))
    _store(query_service, 4)
    first = [json.loads(process.stdout.readline()) for _ in range(4)]
    assert _only(query_service).status == "running"
    with query_service.change():
        _only(query_service).status = "ready"
    rest, _ = process.communicate(timeout=_TIMEOUT_SECONDS)
    assert list(range(10)) == [row["id"] for row in (*first, *map(json.loads, rest.splitlines()))]
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("output_format", ["table", "csv"])
def test_signal_while_the_query_runs_cancels_it(start, query_service, number, output_format):
    """Ctrl-C and a polite kill end the query on the service, say so, and end with 130."""
    process = start("sql", "select 1", "--format", output_format)
    query_service.wait_for(lambda: len(_polls(query_service)) >= 1)
    process.send_signal(number)
    out, err = process.communicate(timeout=_TIMEOUT_SECONDS)
    query = _only(query_service)
    assert (process.returncode, out, query.status) == (130, b"", "cancelled")
    assert err.decode() == f"Interrupted. Query {query.query_uuid} is cancelled.\n"


def test_signal_before_the_submit_answer_cancels_the_query_that_was_started(start, query_service):
    """A query whose name never arrived is found again by its key, and cancelled."""
    query_service.on_submit = lambda query: fill(query, 10, status="running")
    process = start("sql", "select 1")
    query_service.wait_for(lambda: bool(query_service.queries))  # its answer is held for `waitMs`
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=_TIMEOUT_SECONDS)
    assert (process.returncode, len(query_service.queries)) == (130, 1)
    assert _only(query_service).status == "cancelled"
    assert "is cancelled" in err.decode()
    assert len(_polls(query_service)) == 1, "one look at how it is then, and none to find it"


def test_signal_while_the_service_cannot_cancel_says_what_to_do(start, query_service):
    """A cancel that fails is not hidden."""

    def refuse(asked):
        if asked.path.endswith("/cancel"):
            raise errors.ForbiddenError("Not yours.")

    query_service.on_request = refuse
    process = start("sql", "select 1")
    query_service.wait_for(lambda: len(_polls(query_service)) >= 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=_TIMEOUT_SECONDS)
    assert process.returncode == 130
    assert f"Try `queryfleet cancel {_only(query_service).query_uuid}`." in err.decode()


def test_reader_that_goes_away_cancels_the_query_quietly(start, query_service):
    """`| head` ends the query, without a word."""
    query_service.on_submit = lambda query: fill(query, 40_000, status="running")
    process = start("sql", "select 1", "--format", "jsonl", "--page-size", "10000")
    query_service.wait_for(lambda: bool(query_service.queries))
    process.stdout.close()
    _store(query_service, 10_000)
    query_service.max_page_size = 10_000
    assert process.wait(_TIMEOUT_SECONDS) == 141
    assert (process.stderr.read(), _only(query_service).status) == (b"", "cancelled")


def test_reader_that_goes_away_before_any_row_cancels_the_query_quietly(start, query_service):
    """A query without rows yet does not run on for nobody."""
    process = start("sql", "select 1", "--format", "jsonl")
    query_service.wait_for(lambda: len(_polls(query_service)) >= 1)
    process.stdout.close()
    assert process.wait(_TIMEOUT_SECONDS) == 141
    assert (process.stderr.read(), _only(query_service).status) == (b"", "cancelled")


def test_progress_on_a_terminal_is_one_line_that_goes_away(start, query_service):
    """On a terminal the progress is rewritten in place."""
    query_service.on_submit = lambda query: fill(query, 10, status="running")
    leader, follower = pty.openpty()
    process = start("sql", "select 1", "--format", "csv", stderr=follower)
    os.close(follower)
    query_service.wait_for(lambda: len(_polls(query_service)) >= 2)
    with query_service.change():
        _only(query_service).status = "ready"
    process.stdout.read()
    process.wait(_TIMEOUT_SECONDS)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert "\r\x1b[2Kfetching · " in shown
    assert shown.rpartition("\x1b[2K")[2].startswith("10 rows")


@pytest.mark.parametrize("command", ["sql", "status", "cancel"])
def test_service_that_is_not_there_ends_with_three(run, command):
    """A connection failure has its own exit code and names the address."""
    argument = "select 1" if command == "sql" else "0b8f5a37-6f0e-4f5e-9d6e-2f1f4c7a9b10"
    process_settings = {"environment": {"QUERYFLEET_URL": "http://127.0.0.1:9"}}
    code, out, err = run(command, argument, **process_settings)
    assert (code, out) == (3, "")
    assert "http://127.0.0.1:9 cannot be reached" in err


def test_wrong_token_ends_with_one(run):
    """A refused token is a refusal, not a missing service."""
    code, _, err = run("sql", "select 1", environment={"QUERYFLEET_TOKEN": "wrong-token"})
    assert (code, err) == (1, "Error: The token is not valid.\n")


def test_status_and_cancel_show_the_query(run, query_service):
    """A query can be looked at and cancelled by its uuid, for people and for scripts."""
    query_uuid = "0b8f5a37-6f0e-4f5e-9d6e-2f1f4c7a9b10"
    query_service.queries[query_uuid] = ScriptedQuery(query_uuid=query_uuid, status="running", stored_rows=7)
    code, out, _ = run("status", query_uuid, "--json")
    about = json.loads(out)
    assert (code, about["status"], about["progress"]["rows"]) == (0, "running", 7)
    assert "7 rows" in run("status", query_uuid)[1]
    code, out, _ = run("cancel", query_uuid, "--json")
    assert (code, json.loads(out)["status"]) == (0, "cancelled")
    assert run("status", "0b8f5a37-6f0e-4f5e-9d6e-2f1f4c7a9b11")[0] == 1


def test_help_imports_nothing_heavy_and_is_quick(run):
    """`queryfleet --help` starts in well under half a second of processor time."""
    script = (
        "import sys, time\n"
        "sys.argv = ['queryfleet', '--help']\n"
        "from queryfleet.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code in (0, None)\n"
        "heavy = {'ray', 'pyarrow', 'pydantic', 'httpx2', 'polars', 'duckdb'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert time.process_time() < 1, time.process_time()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=_TIMEOUT_SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
