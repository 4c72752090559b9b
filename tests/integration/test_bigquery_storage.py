"""BigQuery's results through the Storage Read API: the same rows as over REST, in order, from any row on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from queryfleet.errors import QueryCancelledError, WarehouseConnectionError
from queryfleet.warehouse.base import Statement
from tests.conformance.test_warehouse import Caller, read
from tests.fixtures.warehouses import TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.bigquery import BigQueryEngine
    from tests.servers.bigquery_storage import StorageStub

pytestmark = pytest.mark.integration

ROWS = 12_000


@pytest.fixture
def storage(bigquery: BigQueryEngine) -> Iterator[StorageStub]:
    """Yield the interface beside the REST one; the engine's warehouse uses both."""
    from tests.servers.bigquery_storage import StorageStub

    with StorageStub(bigquery.stub) as stub:
        bigquery.warehouse = bigquery.reached(storage_endpoint=stub.url)
        yield stub


def columns(bigquery: BigQueryEngine) -> str:
    """Return a statement with columns that the two interfaces carry in forms of their own."""
    return (
        "select n, label, n::double as f, (n % 2 = 0) as b, date '2024-02-29' + n::integer as d, "
        "timestamptz '2024-01-01 00:00:00+00' as z, nullif(n % 3, 0) as m "
        f"from ({bigquery.numbers(ROWS)}) as q"
    )


def test_large_result_is_the_same_as_over_rest(bigquery: BigQueryEngine, storage: StorageStub) -> None:
    """Rows, order and types do not depend on the way they took."""
    table = read(bigquery, columns(bigquery))
    assert storage.offsets == [0]
    bigquery.warehouse = bigquery.reached()
    assert table.equals(read(bigquery, columns(bigquery)))
    assert storage.offsets == [0]


def test_small_result_is_read_over_rest(bigquery: BigQueryEngine, storage: StorageStub) -> None:
    """One page is there without asking anybody else; a limit of rows makes a large result small."""
    assert read(bigquery, bigquery.numbers(1000)).num_rows == 1000
    assert read(bigquery, bigquery.numbers(ROWS), row_limit=500).num_rows == 500
    assert storage.offsets == []


def test_login_without_the_permission_reads_over_rest(bigquery: BigQueryEngine, storage: StorageStub) -> None:
    """Where reading sessions are refused, nothing is: the result comes page by page."""
    storage.refusing = True
    assert list(range(1, ROWS + 1)) == read(bigquery, bigquery.numbers(ROWS))["n"].to_pylist()
    assert storage.offsets == []


def test_stream_that_breaks_off_goes_on_at_its_row(bigquery: BigQueryEngine, storage: StorageStub) -> None:
    """No row is missing or twice."""
    storage.cuts = 1
    assert list(range(1, ROWS + 1)) == read(bigquery, bigquery.numbers(ROWS))["n"].to_pylist()
    assert storage.offsets == [0, 4_000]


def test_stream_that_ends_early_is_an_error(bigquery: BigQueryEngine, storage: StorageStub) -> None:
    """Fewer rows than the job has are never taken for all."""
    storage.short = True
    with pytest.raises(WarehouseConnectionError, match="of a result that has 12000"):
        read(bigquery, bigquery.numbers(ROWS))


def test_attach_reads_on_at_its_row(bigquery: BigQueryEngine, storage: StorageStub) -> None:
    """Another session opens a stream at the very row it needs, in the middle of a batch too."""
    statement = Statement(tag=TAG, sql=bigquery.numbers(25_000), row_limit=24_000)
    with bigquery.warehouse.open() as first:
        query_id = first.submit(statement)
        next(first.batches(max_rows=777))
    with bigquery.warehouse.open() as second:
        assert second.attach(statement, query_id, first_row=12_345)
        numbers = [n for batch in second.batches(max_rows=1_000) for n in batch.column(0).to_pylist()]
    assert numbers == list(range(12_346, 24_001))
    assert storage.offsets[-1] == 12_345


def test_cancel_ends_the_stream(bigquery: BigQueryEngine, storage: StorageStub) -> None:
    """Who reads a stream learns of the cancellation soon."""
    begun = threading.Event()

    def stream() -> None:
        for _ in session.batches(max_rows=1):
            begun.set()

    with bigquery.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=bigquery.numbers(39_000)))
        caller = Caller(stream)
        assert begun.wait(10)
        session.cancel()
        assert isinstance(caller.ended(), QueryCancelledError)
