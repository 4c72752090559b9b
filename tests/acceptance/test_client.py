"""The Python client against a whole service, as a data scientist uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import duckdb
import pandas as pd
import polars as pl
import pytest

import queryfleet
from cluster.local.sample import PROJECT_UUID
from tests.fixtures.service import LEDGER_ROWS, LEDGER_UUID
from tests.servers.service_process import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

_SECONDS = 60


@pytest.fixture(scope="module")
def client(service):
    """A client of the shop."""
    with queryfleet.Client(
        service.process.url, token=service.process.token, project=PROJECT_UUID, progress=False
    ) as made:
        yield made


def test_result_is_the_table_for_every_library(client, service):
    """DuckDB, Polars, pandas and PyArrow take a result as it is, and have the rows that PostgreSQL has."""
    result = client.sql("select * from ledger order by entry_id", project=LEDGER_UUID).result()
    assert len(result) == LEDGER_ROWS
    ((total, count),) = service.warehouses.ledger_rows("select sum(big)::text, count(note) from ledger")
    assert duckdb.sql("select sum(big)::varchar, count(note) from result").fetchall() == [(total, count)]
    frame = pl.DataFrame(result)
    assert (frame.height, str(frame["big"].cast(pl.Int128).sum()), frame["note"].count()) == (LEDGER_ROWS, total, count)
    assert list(pd.DataFrame.from_arrow(result)["entry_id"]) == list(range(1, LEDGER_ROWS + 1))
    assert result.to_arrow().column_names == [column.reference for column in result.columns]
    first = next(result.rows())
    assert first == dict(
        zip(first, service.warehouses.ledger_rows("select * from ledger where entry_id = 1")[0], strict=True)
    )


def test_models_are_asked_pivoted_drilled_into_and_totalled(client, service):
    """A question without SQL, its pivot, the rows behind it and its total agree with the warehouse."""
    names = {"dimensions": ["orders_status", "orders_is_gift"], "metrics": "orders_order_count"}
    query = client.query("orders", **names, filters="orders_status!=placed", sorts="-orders_order_count")
    expected = service.warehouses.shop_rows(
        "select status, is_gift, count(*) from orders where status <> 'placed' group by all order by 3 desc"
    )
    assert [tuple(row.values()) for row in query.result().rows()] == expected
    assert "SELECT" in query.sql
    assert [tuple(row.values()) for row in client.total(query, "grandTotal").result().rows()] == [
        (sum(row[2] for row in expected),)
    ]
    wide = client.query("orders", **names, pivot="orders_is_gift").to_polars()
    assert (wide.height, wide.width) == (5, 3)
    behind = client.underlying_data(query, item="orders_order_count", filters="orders_status=shipped", limit=7).result()
    assert {row["orders_status"] for row in behind.rows()} == {"shipped"}
    assert len(behind) == 7


def test_query_is_found_again_in_the_history_and_attached_to(client):
    """What was asked is listed, and read by whoever knows its name."""
    query = client.sql("select 'found again' as words")
    query.wait()
    entry = client.history(limit=1, status="ready")[0]
    assert (entry.query_uuid, entry.sql, entry.row_count) == (query.query_uuid, query.sql, 1)
    assert [row["words"] for row in client.attach(entry.query_uuid).result().rows()] == ["found again"]
    assert {(each.name, each.role) for each in client.projects()} >= {("Ledger", "admin")}


def test_failure_of_the_warehouse_is_the_clients_error(client):
    """Class, message and place in the SQL are those of the service; a role that is too low is told at once."""
    with pytest.raises(queryfleet.errors.WarehouseQueryError, match="nosuch_column") as caught:
        client.sql("select nosuch_column from ledger", project=LEDGER_UUID).to_arrow()
    assert caught.value.details["sqlState"] == "42703"
    with pytest.raises(queryfleet.errors.FieldReferenceError, match="orders_revenue"):
        client.query("orders", metrics="orders_revenu")
    with pytest.raises(queryfleet.errors.NotFoundError):
        client.attach("5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c99")


def test_download_is_the_result_as_a_file(client, tmp_path):
    """A file of the service, whole, under its name."""
    query = client.sql("select order_id, status from orders order by 1 limit 5000")
    path = query.download(tmp_path / "orders.parquet")
    assert pl.read_parquet(path).equals(query.to_polars())
    assert [each.name for each in tmp_path.iterdir()] == ["orders.parquet"]


INTERRUPTED = """
import queryfleet
with queryfleet.Client(project=PROJECT) as client:
    client.sql("select pg_sleep(603)::text as slept").to_pandas()
"""


def test_interrupt_of_a_program_cancels_in_the_warehouse(service):
    """Ctrl-C in a script leaves no session in PostgreSQL."""
    variables = {"PATH": os.environ["PATH"], "QUERYFLEET_DATA_DIR": str(service.process.data_dir)}
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.replace("PROJECT", repr(LEDGER_UUID))],
        env=variables,
        stderr=subprocess.PIPE,
        # A test run started in the background ignores SIGINT, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - sets one signal
    )
    found = "select query_uuid::text from query where status = 'running' and sql like '%pg_sleep(603)%'"
    try:
        assert wait_until(lambda: bool(service.status_rows(found)), seconds=30)
        ((query_uuid,),) = service.status_rows(found)
        assert wait_until(lambda: bool(service.backends(query_uuid)), seconds=10)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=_SECONDS)
    finally:
        process.kill()
    assert b"KeyboardInterrupt" in err
    assert service.backends(query_uuid) == []
    assert service.ledger.poll(query_uuid)["status"] == "cancelled"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncio_client_runs_queries_side_by_side(service, anyio_backend):
    """Several queries at once, each with its own rows."""
    async with queryfleet.AsyncClient(
        service.process.url, token=service.process.token, project=PROJECT_UUID, progress=False
    ) as client:
        queries = [await client.sql(f"select {number} as n") for number in range(4)]
        tables = [await query.to_arrow() for query in queries]
    assert [table["n"].to_pylist() for table in tables] == [[number] for number in range(4)]
