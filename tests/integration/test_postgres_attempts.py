"""What is left in PostgreSQL of an attempt whose actor is gone, and what kind of loss an error tells of."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from queryfleet.errors import WarehouseConnectionError
from queryfleet.warehouse.base import Statement
from queryfleet.warehouse.postgres import PostgresWarehouse
from tests.fixtures.warehouses import TAG, wait_until

pytestmark = pytest.mark.integration


def _pids(postgres, query_uuid):
    sql = "select pid from pg_stat_activity where application_name = %s"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        return {row[0] for row in connection.execute(sql, [f"queryfleet {query_uuid}"])}


def test_second_attempt_ends_the_session_of_the_first(postgres):
    """An actor that hangs cannot keep its statement running beside the new one."""
    with ExitStack() as stack:
        first, second, other = (stack.enter_context(postgres.warehouse.open()) for _ in range(3))
        first.submit(Statement(tag=TAG, sql=postgres.endless()))
        rows = first.batches(max_rows=10)
        next(rows)
        other_tag = replace(TAG, query_uuid="b0d6f4a4-0000-4000-8000-000000000001")
        other.submit(Statement(tag=other_tag, sql="select 1"))
        (old,) = _pids(postgres, TAG.query_uuid)
        second.submit(Statement(tag=replace(TAG, attempt=2), sql="select 1"))
        wait_until(lambda: old not in _pids(postgres, TAG.query_uuid))
        assert len(_pids(postgres, TAG.query_uuid)) == 1
        assert len(_pids(postgres, other_tag.query_uuid)) == 1
        assert [batch.num_rows for batch in second.batches(max_rows=10)] == [1]
        with pytest.raises(WarehouseConnectionError) as caught:
            list(rows)
        assert caught.value.details["transient"] is True


def test_session_looks_every_second_whether_its_client_is_there(postgres):
    """A killed actor's statement ends although it has nothing to send."""
    with postgres.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql="show client_connection_check_interval"))
        assert [batch.column(0).to_pylist() for batch in session.batches(max_rows=10)] == [["1s"]]


@pytest.mark.parametrize(
    ("changed", "transient"),
    [
        ({"port": 1}, True),
        ({"password": "wrong"}, False),
        ({"dbname": "nosuch"}, False),
        ({"host": "no.invalid"}, False),
    ],
)
def test_login_that_fails_tells_whether_waiting_may_help(postgres, changed, transient):
    """A server that is not there may come; a wrong password stays wrong."""
    warehouse = PostgresWarehouse(conninfo=make_conninfo(postgres.url, **changed))
    with warehouse.open() as session, pytest.raises(WarehouseConnectionError) as caught:
        session.connect()
    assert caught.value.details["transient"] is transient
