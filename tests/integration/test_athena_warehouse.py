"""Athena's requests: what is sent, repeated, read from S3 or not, and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from queryfleet.errors import WarehouseConnectionError, WarehouseQueryError
from queryfleet.warehouse.base import Statement, StoppableWarehouse
from tests.conformance.test_warehouse import read
from tests.fixtures.warehouses import TAG
from tests.servers.athena import CATALOG, DATABASE, WORKGROUP

if TYPE_CHECKING:
    from tests.fixtures.athena import AthenaEngine

pytestmark = pytest.mark.integration


def test_statement_is_sent_with_place_and_a_comment_that_says_who_asks(athena: AthenaEngine) -> None:
    """Athena keeps the comment in its history; it is of the one form that all its statements take."""
    warehouse = athena.reached(output_location="s3://other/place/")
    with warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql="select 1 as n;"))
    (body,) = [body for target, body in athena.stub.requests if target == "StartQueryExecution"]
    comment, _, sql = body["QueryString"].partition("\n")
    assert comment.startswith("-- /* queryfleet ")
    assert TAG.query_uuid in comment
    assert sql == "select 1 as n"
    assert 32 <= len(body["ClientRequestToken"]) <= 128
    assert (body["WorkGroup"], body["ResultConfiguration"]) == (WORKGROUP, {"OutputLocation": "s3://other/place/"})
    assert body["QueryExecutionContext"] == {"Catalog": CATALOG, "Database": DATABASE}


def test_submission_whose_answer_is_lost_runs_once(athena: AthenaEngine) -> None:
    """A submission that is sent again has the same token, so Athena starts nothing again."""
    athena.stub.lost = 1
    table = read(athena, athena.write(), allow_writes=True)
    assert table.to_pydict() == {"Count": [2]}
    assert athena.target_rows() == 2


def test_range_that_breaks_off_is_read_again(athena: AthenaEngine) -> None:
    """A connection cut in the middle of a range costs that range once more, and no row."""
    athena.stub.cuts = 1
    assert list(range(1, 10_001)) == read(athena, athena.numbers(10_000))["n"].to_pylist()


def test_null_and_empty_text_are_told_apart(athena: AthenaEngine) -> None:
    """In a column alone, where a NULL is an empty line, as well as beside others."""
    assert read(athena, "select unnest([null, '', 'null', null]) as v")["v"].to_pylist() == [None, "", "null", None]
    assert read(athena, "select '' as a, null as b").to_pylist() == [{"a": "", "b": None}]


@pytest.mark.parametrize("managed", [False, True])
def test_result_without_a_file_of_ours_is_read_from_athena(athena: AthenaEngine, managed: bool) -> None:
    """SHOW has no CSV, and where Athena keeps results itself nothing has: its pages are read, from any row on."""
    athena.stub.managed = managed
    assert "target" in read(athena, "show tables")["name"].to_pylist()
    if managed:
        table = read(athena, "select range as n, nullif(range % 2, 0) as odd, '' as e from range(2500)")
        assert table["n"].to_pylist() == list(range(2500))
        assert table["odd"].to_pylist()[:3] == [None, 1, None]
        assert table["e"].to_pylist()[0] == ""
        assert athena.stub.ranges == []


def test_statement_is_stopped_by_its_id_from_elsewhere(athena: AthenaEngine) -> None:
    """Whoever has the id stops it; the session learns that it was cancelled; stopping twice stops nothing."""
    other = athena.reached()
    assert isinstance(other, StoppableWarehouse)
    with athena.warehouse.open() as session:
        query_id = session.submit(Statement(tag=TAG, sql=athena.busy()))
        assert query_id is not None
        assert other.stop(query_id)
        with pytest.raises(WarehouseQueryError, match="cancelled by user"):
            session.schema()
    assert not other.stop(query_id)
    assert not other.stop("0a6b3c52-77a4-4a6e-9f2d-4f0c6f2b8d11")


def test_attach_to_a_result_whose_file_is_gone_does_nothing(athena: AthenaEngine) -> None:
    """A bucket that forgets its files has nothing to take over; the statement is to run again."""
    statement = Statement(tag=TAG, sql=athena.numbers(10))
    with athena.warehouse.open() as first:
        query_id = first.submit(statement)
        first.schema()
        kept = athena.stub.executions[query_id]
        athena.stub.kind = lambda _: ("DML", "SELECT", "s3://results/elsewhere/gone.csv")
        try:
            with athena.warehouse.open() as second:
                assert not second.attach(statement, query_id, first_row=0)
        finally:
            del athena.stub.kind
    assert kept.over.is_set()


def test_disabled_workgroup_is_named(athena: AthenaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workgroup that takes no statements is found when connecting."""
    monkeypatch.setattr("queryfleet.warehouse.athena._good_until", {})
    athena.stub.state = "DISABLED"
    with pytest.raises(WarehouseConnectionError, match="analysts is disabled"):
        athena.warehouse.open().connect()


def test_syntax_error_has_its_place(athena: AthenaEngine) -> None:
    """Athena refuses some statements at the door: that error has a place too."""
    with pytest.raises(WarehouseQueryError) as caught:
        read(athena, "select 1\nfrom from")
    assert caught.value.details["errorCode"] == "MALFORMED_QUERY"
    assert (caught.value.details["lineNumber"], caught.value.details["position"]) == (2, 15)


def test_connecting_again_asks_nothing_again(athena: AthenaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workgroup and a database that were good a moment ago are: Athena allows few questions of that kind."""
    monkeypatch.setattr("queryfleet.warehouse.athena._good_until", {})
    for _ in range(3):
        assert read(athena, "select 1 as n").num_rows == 1
    targets = [target for target, _ in athena.stub.requests]
    assert (targets.count("GetWorkGroup"), targets.count("GetDatabase")) == (1, 1)
    assert targets.count("StartQueryExecution") == 3
