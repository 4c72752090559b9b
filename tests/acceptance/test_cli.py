"""The command line against a whole service."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from cluster.local.sample import PROJECT_UUID
from tests.fixtures.service import LEDGER_UUID
from tests.servers.service_process import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

ROWS = 12_345
SQL = f"select order_id, status, note from orders where order_id <= {ROWS} order by order_id"
_SECONDS = 60


@pytest.fixture
def start(service):
    """Start `queryfleet` with arguments; ended with the test."""
    started = []

    def start(*args, project=PROJECT_UUID, **settings):
        variables = {"PATH": os.environ["PATH"], "QUERYFLEET_PROJECT": project}
        process = subprocess.Popen(
            [Path(sys.executable).with_name("queryfleet"), *args, "--data-dir", service.process.data_dir],
            env=variables,
            stdin=subprocess.DEVNULL,
            # A test run started in the background ignores SIGINT, and its children would too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - sets one signal
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings,
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
        out, err = process.communicate(timeout=_SECONDS)
        return process.returncode, out.decode(), err.decode()

    run.start = start
    return run


def _running(service, sql_part):
    rows = service.status_rows("select query_uuid::text, sql from query where status = 'running'")
    return [query_uuid for query_uuid, sql in rows if sql_part in sql]


def test_every_format_writes_every_row(run, service):
    """The same rows as JSON lines and as CSV, and the first of them as a table."""
    expected = service.warehouses.shop_rows(SQL)
    code, out, err = run("sql", SQL, "--format", "jsonl")
    assert code == 0, err
    assert [tuple(json.loads(line).values()) for line in out.splitlines()] == expected
    code, out, _ = run("sql", SQL, "--format", "csv")
    assert code == 0
    rows = list(csv.reader(io.StringIO(out, newline="")))
    assert rows[0] == ["order_id", "status", "note"]
    assert [(int(number), status, note) for number, status, note in rows[1:]] == [
        (number, status, note or "") for number, status, note in expected
    ]
    code, out, err = run("sql", SQL, "--rows", "7")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:]] == [str(number) for number in range(1, 8)]
    assert f"7 of {ROWS:,} rows" in err


def test_interrupt_cancels_the_query_in_the_warehouse(start, service):
    """Ctrl-C leaves nothing running."""
    process = start("sql", "select pg_sleep(601)::text as slept", project=LEDGER_UUID)
    assert wait_until(lambda: bool(_running(service, "pg_sleep(601)")), seconds=30)
    (query_uuid,) = _running(service, "pg_sleep(601)")
    assert wait_until(lambda: bool(service.backends(query_uuid)), seconds=10)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=_SECONDS)
    assert process.returncode == 130
    assert f"{query_uuid} is cancelled" in err.decode()
    assert service.backends(query_uuid) == []
    assert service.ledger.poll(query_uuid)["status"] == "cancelled"


def test_reader_that_has_enough_cancels_the_query(start, service):
    """`queryfleet sql … | head -3` ends, and so does the query."""
    sql = "select range as n, 'head' as mark from range(2000000000)"
    process = start("sql", sql, "--format", "jsonl")
    head = subprocess.run(["head", "-3"], stdin=process.stdout, capture_output=True, check=True, timeout=_SECONDS)
    process.stdout.close()
    assert [json.loads(line)["n"] for line in head.stdout.splitlines()] == [0, 1, 2]
    assert process.wait(_SECONDS) == 141
    assert b"Traceback" not in process.stderr.read()
    assert wait_until(lambda: not _running(service, "'head' as mark"), seconds=10)


def test_status_and_cancel_speak_of_a_query(run, service):
    """A query started elsewhere can be looked at and ended, and afterwards stays as it is."""
    query_uuid = service.ledger.submit("select pg_sleep(602)::text as slept")
    service.ledger.wait_for(query_uuid, lambda poll: poll["status"] == "running")
    code, out, _ = run("status", query_uuid, "--json", project=LEDGER_UUID)
    assert (code, json.loads(out)["status"]) == (0, "running")
    for _ in range(2):
        code, out, _ = run("cancel", query_uuid, project=LEDGER_UUID)
        assert code == 0
        assert "cancelled" in out
    code, _, err = run("status", query_uuid)
    assert code == 1, "another project does not know it"
    assert "no such query" in err


def test_results_are_listed_followed_and_written_again(run, service, tmp_path):
    """A query that was asked is in the history, and its rows come again in every format."""
    expected = service.warehouses.shop_rows("select order_id, status from orders order by 1 limit 7")
    run("sql", "select order_id, status from orders order by 1 limit 7", "-q")
    code, out, _ = run("history", "--limit", "1", "--json")
    (entry,) = json.loads(out)
    query_uuid = entry["queryUuid"]
    assert (code, entry["status"], entry["rows"]) == (0, "ready", 7)
    code, out, _ = run("attach", query_uuid, "--json")
    assert (code, json.loads(out)["totalResults"]) == (0, 7)
    code, out, _ = run("results", query_uuid, "--json")
    found = json.loads(out)
    assert [tuple(row.values()) for row in found["rows"]] == expected
    with (tmp_path / "rows.arrow").open("wb") as stdout:
        assert run.start("results", query_uuid, "--format", "arrow", stdout=stdout).wait(_SECONDS) == 0
    assert pl.read_ipc_stream(tmp_path / "rows.arrow").rows() == expected
    code, _, err = run("download", query_uuid, str(tmp_path / "rows.csv"))
    assert (code, "7 rows" in err) == (0, True)
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 8


def test_exit_codes_tell_what_went_wrong(run):
    """A script can tell a bad statement from a wrong use and from a service that is away."""
    code, out, err = run("sql", "select nosuch_column from orders")
    assert (code, out) == (1, "")
    assert "nosuch_column" in err
    assert run("sql", "delete from orders")[0] == 1
    assert run("sql", "select 1", "--format", "nosuch")[0] == 2
    assert run("sql", "select 1", "--url", "http://127.0.0.1:9", "--token", "t")[0] == 3


def test_models_are_asked_pushed_and_opened_to_others(run, service):
    """Explores, their fields, a question, a new token that sees the same, and models that are pushed."""
    code, out, _ = run("explores")
    assert (code, [line.split()[0] for line in out.splitlines()]) == (0, ["customers", "orders", "products"])
    code, out, _ = run("explores", "orders")
    assert "orders_revenue" in out
    question = ["query", "orders", "-d", "orders_status", "-m", "orders_order_count", "-f", "orders_status!=placed"]
    question += ["-f", "orders_amount>=100", "-s", "-orders_order_count", "--limit", "2", "--format", "csv"]
    code, out, err = run(*question)
    assert code == 0, err
    expected = service.warehouses.shop_rows(
        "select status, count(*) from orders where status <> 'placed' and amount >= 100"
        " group by 1 order by 2 desc limit 2"
    )
    assert list(csv.reader(io.StringIO(out, newline="")))[1:] == [[status, str(count)] for status, count in expected]
    code, token, _ = run("token", "create", "Ada", "--role", "viewer", "--attribute", "region=north")
    assert code == 0
    assert run(*question, "--token", token.strip(), "--url", service.process.url)[:2] == (0, out)
    assert run("sql", "select 1", "--token", token.strip(), "--url", service.process.url)[0] == 1
    code, out, err = run("project", "push", service.warehouses.folders[0])
    assert (code, "3 explores" in out) == (0, True), err
    code, _, err = run("query", "orders", "-m", "orders_revenu")
    assert code == 1
    assert "orders_revenue" in err
