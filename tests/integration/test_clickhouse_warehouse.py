"""What only ClickHouse has: logins that may not change settings, ids of one's own, attempts that follow another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from queryfleet.errors import ServiceError, WarehouseConnectionError, WarehouseQueryError
from queryfleet.warehouse.base import Statement
from tests.fixtures.warehouses import TAG, wait_until
from tests.servers.clickhouse import LOCKED_USER

if TYPE_CHECKING:
    from tests.fixtures.clickhouse import ClickHouseEngine

pytestmark = pytest.mark.integration


def test_login_that_may_not_change_settings_can_read(clickhouse: ClickHouseEngine) -> None:
    """A user whose profile is read-only gets rows all the same."""
    with clickhouse.reached(user=LOCKED_USER).open() as session:
        session.submit(Statement(tag=TAG, sql="select toDate('2024-02-29') as d"))
        assert [str(row["d"]) for batch in session.batches(max_rows=10) for row in batch.to_pylist()] == ["2024-02-29"]


def test_login_that_is_refused_has_the_servers_number(clickhouse: ClickHouseEngine) -> None:
    """A wrong password and an unknown database can be told apart by number."""
    found = []
    for warehouse, _ in clickhouse.wrong_logins():
        with warehouse.open() as session, pytest.raises(WarehouseConnectionError) as caught:
            session.submit(Statement(tag=TAG, sql="select 1"))
        found.append(caught.value.details["errorCode"])
    assert found == [516, 81]


def test_statement_is_stopped_by_its_id(clickhouse: ClickHouseEngine) -> None:
    """Whoever has the id can stop the statement; an unknown id stops nothing."""
    with clickhouse.warehouse.open() as session:
        query_id = session.submit(Statement(tag=TAG, sql=clickhouse.endless()))
        batches = session.batches(max_rows=1000)
        next(batches)
        assert not clickhouse.warehouse.stop("nosuch")
        assert clickhouse.warehouse.stop(query_id)
        with pytest.raises(ServiceError):
            for _ in batches:
                pass


def test_second_attempt_stops_what_the_first_has_left(clickhouse: ClickHouseEngine) -> None:
    """An attempt whose actor was lost does not go on beside the next one."""
    with clickhouse.warehouse.open() as first, clickhouse.warehouse.open() as second:
        first.submit(Statement(tag=TAG, sql=clickhouse.endless()))
        batches = first.batches(max_rows=1000)
        next(batches)
        second.submit(Statement(tag=replace(TAG, attempt=2), sql="select 1 as n"))
        assert sum(batch.num_rows for batch in second.batches(max_rows=10)) == 1
        with pytest.raises(ServiceError):
            for _ in batches:
                pass
        assert wait_until(lambda: clickhouse.sessions_left() == 0)


def test_syntax_error_names_its_place(clickhouse: ClickHouseEngine) -> None:
    """The place is the one in the statement as it was written."""
    with clickhouse.warehouse.open() as session, pytest.raises(WarehouseQueryError) as caught:
        session.submit(Statement(tag=TAG, sql="select 1,\n2 )( 3"))
    assert caught.value.details["errorName"] == "SYNTAX_ERROR"
    assert (caught.value.details["lineNumber"], caught.value.details["position"]) == (2, 16)


@pytest.mark.parametrize("sql", ["show databases", "explain select 1", "describe table target"])
def test_statement_that_is_no_query_gives_its_rows(clickhouse: ClickHouseEngine, sql: str) -> None:
    """What cannot be wrapped runs as it is."""
    with clickhouse.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=sql))
        assert sum(batch.num_rows for batch in session.batches(max_rows=100)) > 0
