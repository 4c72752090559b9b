"""Databricks' requests: what is sent, repeated, refused, and handed to others."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import httpx2
import pyarrow as pa
import pytest

from queryfleet.errors import (
    ConfigurationError,
    WarehouseConnectionError,
    WarehouseError,
    WarehouseQueryError,
    WarehouseTimeoutError,
)
from queryfleet.warehouse.base import PartitionedSession, Statement, StoppableWarehouse
from queryfleet.warehouse.databricks_api import DatabricksFailure, DatabricksLogin
from queryfleet.warehouse.databricks_errors import explained
from tests.conformance.test_warehouse import read
from tests.fixtures.warehouses import TAG
from tests.servers.databricks import CATALOG, CLIENT, CLIENT_SECRET, SCHEMA, TOKEN, WAREHOUSE

if TYPE_CHECKING:
    from tests.fixtures.databricks import DatabricksEngine

pytestmark = pytest.mark.integration


def test_statement_is_sent_with_place_limit_and_tags(databricks: DatabricksEngine) -> None:
    """Databricks is told where to run it, how many rows are wanted, and who asks."""
    read(databricks, "select 1 as n;", row_limit=5)
    (body,) = databricks.stub.bodies
    tags = {tag["key"]: tag["value"] for tag in body.pop("query_tags")}
    assert body == {
        "warehouse_id": WAREHOUSE, "statement": "select 1 as n", "catalog": CATALOG, "schema": SCHEMA, "row_limit": 5,
        "disposition": "EXTERNAL_LINKS", "format": "ARROW_STREAM", "wait_timeout": "0s",
    }  # fmt: skip
    assert (tags["query_uuid"], tags["application"], tags["attempt"]) == (TAG.query_uuid, "queryfleet", "1")


def test_submission_that_is_refused_for_now_is_sent_again_and_runs_once(databricks: DatabricksEngine) -> None:
    """Databricks says that it is busy: then it has not taken the statement."""
    databricks.stub.busy = 2
    assert read(databricks, databricks.numbers(10)).num_rows == 10
    assert len(databricks.stub.executions) == 1


def test_small_result_costs_no_request_more_than_it_must(databricks: DatabricksEngine) -> None:
    """The answer that says that a statement is done has its columns, and the link to its first rows."""
    before = next(databricks.stub.links)
    read(databricks, databricks.numbers(10))
    assert next(databricks.stub.links) == before + 2


def test_link_that_has_expired_is_asked_for_again(databricks: DatabricksEngine) -> None:
    """A piece that cannot be fetched is fetched by a fresh link; no row is missing or twice."""
    databricks.stub.expired = 2
    assert list(range(1, 20_001)) == read(databricks, databricks.numbers(20_000))["n"].to_pylist()


@pytest.mark.parametrize("cut_at", [0, 50, 2_000])
def test_piece_that_is_not_whole_is_a_connection_error(databricks: DatabricksEngine, cut_at: int) -> None:
    """A piece that is cut short is never taken for all of its rows."""
    databricks.stub.cut_at = cut_at
    with pytest.raises(WarehouseConnectionError, match="incomplete"):
        read(databricks, databricks.numbers(1000))


def test_result_that_databricks_cuts_is_an_error(databricks: DatabricksEngine) -> None:
    """A result larger than Databricks delivers is not called complete; one cut by the limit is what was asked."""
    databricks.stub.truncated = True
    with pytest.raises(WarehouseQueryError, match="100 GiB"):
        read(databricks, databricks.numbers(10))
    assert read(databricks, databricks.numbers(10), row_limit=5).num_rows == 5


def test_service_principal_logs_in_and_renews_its_token(databricks: DatabricksEngine) -> None:
    """Id and secret are traded for a token, and for another one when that one is refused."""
    warehouse = databricks.reached(
        login=DatabricksLogin(url=databricks.stub.url, client_id=CLIENT, client_secret=CLIENT_SECRET)
    )
    with warehouse.open() as session:
        session.connect()
        assert databricks.stub.logins == 1
        databricks.stub.logins = 2  # the first token is no good any more
        session.submit(Statement(tag=TAG, sql=databricks.numbers(10)))
        assert sum(batch.num_rows for batch in session.batches(max_rows=100)) == 10
    assert databricks.stub.logins == 3


def test_statement_is_stopped_by_its_id_from_elsewhere(databricks: DatabricksEngine) -> None:
    """Whoever has the id stops it; the session learns that it was cancelled; stopping twice stops nothing."""
    other = databricks.reached()
    assert isinstance(other, StoppableWarehouse)
    with databricks.warehouse.open() as session:
        query_id = session.submit(Statement(tag=TAG, sql=databricks.busy()))
        assert query_id is not None
        assert other.stop(query_id)
        with pytest.raises(WarehouseQueryError, match="cancelled in Databricks") as caught:
            session.schema()
    assert caught.value.details["warehouseQueryId"] == query_id
    assert not other.stop(query_id)
    assert not other.stop("0a6b3c52-77a4-4a6e-9f2d-4f0c6f2b8d11")


def test_ping_finds_an_unknown_schema(databricks: DatabricksEngine) -> None:
    """Catalog and schema are known to the SQL warehouse only: a ping runs a statement there."""
    with pytest.raises(WarehouseConnectionError, match="Check `catalog` and `schema`"):
        databricks.reached(schema="nosuch").ping()


@pytest.mark.parametrize("path", ["", "/sql/protocolv1/o/0/0123-456789-abc", "/sql/1.0/warehouses/"])
def test_path_that_is_no_sql_warehouse_is_refused(databricks: DatabricksEngine, path: str) -> None:
    """A cluster's path is told apart before anything is sent."""
    with pytest.raises(ConfigurationError, match=r"/sql/1\.0/warehouses/"):
        databricks.reached(http_path=path)


@pytest.mark.parametrize(("first_row", "end_row"), [(0, None), (4_999, 5_001), (12_345, None), (20_000, None)])
def test_partitions_hold_exactly_the_rows(databricks: DatabricksEngine, first_row: int, end_row: int | None) -> None:
    """Pieces can be sent to another process and are read there without the token."""
    with databricks.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=databricks.numbers(20_000)))
        assert isinstance(session, PartitionedSession)
        schema = session.schema()
        pieces = pickle.loads(pickle.dumps(session.partitions(first_row=first_row, end_row=end_row)))
        batches = [piece.read() for piece in pieces]
    assert TOKEN not in repr(pieces)
    table = pa.Table.from_batches(batches, schema=schema)
    assert table["n"].to_pylist() == list(range(first_row + 1, (20_000 if end_row is None else end_row) + 1))


def test_stub_speaks_as_databricks_own_client_expects(databricks: DatabricksEngine) -> None:
    """What the stub answers is what Databricks' published client reads, link and Arrow stream included."""
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.sql import Disposition, Format, StatementState

    client = WorkspaceClient(host=databricks.stub.url, token=TOKEN, auth_type="pat")
    assert client.warehouses.get(WAREHOUSE).id == WAREHOUSE
    answer = client.statement_execution.execute_statement(
        databricks.numbers(3), WAREHOUSE, disposition=Disposition.EXTERNAL_LINKS, format=Format.ARROW_STREAM,
        wait_timeout="0s",
    )  # fmt: skip
    while answer.status.state in {StatementState.PENDING, StatementState.RUNNING}:
        answer = client.statement_execution.get_statement(answer.statement_id)
    assert [column.type_text for column in answer.manifest.schema.columns] == ["BIGINT", "STRING"]
    (link,) = client.statement_execution.get_statement_result_chunk_n(answer.statement_id, 0).external_links
    data = httpx2.get(link.external_link, headers=link.http_headers).content
    with pa.ipc.open_stream(data) as stream:
        assert stream.read_all()["n"].to_pylist() == [1, 2, 3]
    client.api_client._api_client._session.close()


def failed(message: str, code: str = "BAD_REQUEST", state: str | None = None) -> WarehouseError:
    """Make our error of a statement that failed."""
    return explained(
        DatabricksFailure(message, code=code, sql_state=state),
        place="h",
        sql="select *\nfrom x",
        secrets=[],
        query_id="q",
    )


def test_error_of_a_statement_has_name_state_and_place() -> None:
    """Databricks' message is shown without what the details say, and without the plan that Spark appends."""
    error = failed("[TABLE_OR_VIEW_NOT_FOUND] `x` cannot be found. SQLSTATE: 42P01; line 2 pos 5;\n'Project [*]\n+- 'x")
    assert isinstance(error, WarehouseQueryError)
    assert error.message == "`x` cannot be found."
    assert error.details == {
        "errorCode": "BAD_REQUEST", "errorName": "TABLE_OR_VIEW_NOT_FOUND", "sqlState": "42P01",
        "warehouseQueryId": "q", "lineNumber": 2, "position": 15,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("TEMPORARILY_UNAVAILABLE", WarehouseConnectionError),
        ("DEADLINE_EXCEEDED", WarehouseTimeoutError),
        ("BAD_REQUEST", WarehouseQueryError),
    ],
)
def test_error_of_a_statement_is_of_the_kind_its_code_says(code: str, kind: type[WarehouseError]) -> None:
    """What may pass is retried, a limit on time is one, everything else is the statement's."""
    assert type(failed("it did not work", code)) is kind
