"""What only SQLAlchemy's warehouses have: URLs, dialects, other databases' own ways."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import psycopg
import pytest

from queryfleet.errors import (
    ConfigurationError,
    ForbiddenError,
    QueryCancelledError,
    WarehouseConnectionError,
    WarehouseQueryError,
    WarehouseTimeoutError,
)
from queryfleet.warehouse.base import Statement
from queryfleet.warehouse.sqlalchemy import SQLAlchemyWarehouse
from tests.fixtures.warehouses import TAG

if TYPE_CHECKING:
    from pathlib import Path

    from queryfleet.warehouse.base import Warehouse
    from tests.fixtures.mariadb import MariaDBEngine
    from tests.fixtures.sqlite import SQLiteEngine

pytestmark = pytest.mark.integration

SECRET = "hunter2-not-in-any-message"


def values(warehouse: Warehouse, sql: str, **options: object) -> list[object]:
    """Return the first column of a result."""
    with warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=sql, **options))
        return [value for batch in session.batches(max_rows=100) for value in batch.column(0).to_pylist()]


def on_postgres(url: str, **options: object) -> SQLAlchemyWarehouse:
    """Return PostgreSQL, reached by SQLAlchemy."""
    return SQLAlchemyWarehouse(url=url.replace("postgresql://", "postgresql+psycopg://"), **options)


# URLs


@pytest.mark.parametrize("url", [f"//{SECRET}", f"postgresql://u:{SECRET}@h:port/d", f"nosuch://u:{SECRET}@h/d"])
def test_url_that_cannot_be_used_is_refused_without_quoting_it(url: str) -> None:
    """What is wrong with a URL is said without the URL."""
    with pytest.raises(ConfigurationError) as caught:
        SQLAlchemyWarehouse(url=url)
    assert SECRET not in caught.value.message


def test_driver_that_is_not_installed_is_named() -> None:
    """A dialect whose driver is missing is a configuration error that names it."""
    with pytest.raises(ConfigurationError, match="cx_Oracle"):
        SQLAlchemyWarehouse(url=f"oracle+cx_oracle://u:{SECRET}@h/d").open().connect()


def test_time_out_that_a_dialect_does_not_have_is_refused() -> None:
    """A limit that nobody would keep is not taken."""
    with pytest.raises(ConfigurationError, match="statement_timeout_seconds"):
        SQLAlchemyWarehouse(url="sqlite://", statement_timeout_seconds=5)


def test_sqlite_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A wrong path is an error, not an empty database."""
    with pytest.raises(WarehouseConnectionError, match="no SQLite database"):
        SQLAlchemyWarehouse(url=f"sqlite:///{tmp_path}/nosuch.sqlite").open().connect()
    assert list(tmp_path.iterdir()) == []


def test_warehouse_shows_no_password_and_can_be_copied(database_url: str) -> None:
    """What a log may show of a warehouse is where it is; a copy of it still works."""
    warehouse = on_postgres(database_url)
    assert psycopg.conninfo.conninfo_to_dict(database_url)["password"] not in repr(warehouse)
    assert values(pickle.loads(pickle.dumps(warehouse)), "select 1") == [1]


# PostgreSQL, by SQLAlchemy


def test_postgres_result_comes_through_a_cursor_on_the_server(database_url: str) -> None:
    """Rows stream in order, with their types known before the first one, percent signs left alone."""
    warehouse = on_postgres(database_url)
    with warehouse.open() as session:
        session.submit(
            Statement(tag=TAG, sql="select n, n::numeric(10,2) as m, '100%%' as p from generate_series(1, 5000) as n")
        )
        assert [str(kind) for kind in session.schema().types] == ["int32", "decimal128(10, 2)", "string"]
        rows = [row for batch in session.batches(max_rows=999) for row in batch.to_pylist()]
    assert [row["n"] for row in rows] == list(range(1, 5001))
    assert rows[0]["p"] == "100%%"


def test_postgres_change_without_permission_is_refused_by_the_server(database_url: str) -> None:
    """The read-only session is the lock behind the keyword check."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create table target (a integer)")
        connection.execute(
            "create function touched() returns integer language sql as 'insert into target values (1) returning a'"
        )
    with pytest.raises(WarehouseQueryError, match="allow_writes"):
        values(on_postgres(database_url), "select touched()")
    assert values(on_postgres(database_url), "insert into target values (1), (2)", allow_writes=True) == [2]
    assert values(on_postgres(database_url), "select count(*) from target") == [2]


def test_postgres_statement_beyond_its_time_is_stopped(database_url: str) -> None:
    """The server ends it, and the error is a time-out."""
    with pytest.raises(WarehouseTimeoutError):
        values(on_postgres(database_url, statement_timeout_seconds=0.3), "select pg_sleep(30)")


# MariaDB


def test_mariadb_login_that_is_refused_has_the_servers_number(mariadb: MariaDBEngine) -> None:
    """Wrong passwords and unknown databases can be told apart by number, and are not worth repeating."""
    found = []
    for warehouse, secret in mariadb.wrong_logins():
        with warehouse.open() as session, pytest.raises(WarehouseConnectionError) as caught:
            session.connect()
        assert secret not in str(caught.value.details)
        found.append((caught.value.details["errorCode"], caught.value.message.rpartition("Check ")[2]))
        assert caught.value.details["transient"] is False
    assert found == [
        (1045, "user and password in `url` of the project's warehouse."),
        (1044, "the database in `url` of the project's warehouse, and that the user may read it."),
    ]


def test_mariadb_comment_that_the_server_would_run_is_refused(mariadb: MariaDBEngine) -> None:
    """What looks like a comment and is none does not pass the check for reading."""
    with pytest.raises(ForbiddenError, match="comment"):
        values(mariadb.warehouse, "select 1 /*! into outfile '/tmp/nosuch' */")
    assert values(mariadb.warehouse, "select '/*! x */' as v /* a comment */") == ["/*! x */"]


def test_mariadb_statement_is_stopped_by_its_id(mariadb: MariaDBEngine) -> None:
    """Whoever has the id can stop the statement; an id of nobody stops nothing."""
    with mariadb.warehouse.open() as session:
        query_id = session.submit(Statement(tag=TAG, sql=mariadb.endless()))
        batches = session.batches(max_rows=1000)
        next(batches)
        assert not mariadb.warehouse.stop(f"{query_id}9")
        assert mariadb.warehouse.stop(query_id)
        with pytest.raises((WarehouseConnectionError, QueryCancelledError)):
            for _ in batches:
                pass
    assert not mariadb.warehouse.stop("nonsense")


def test_mariadb_session_lost_before_its_query_is_replaced(mariadb: MariaDBEngine) -> None:
    """A session made ahead that the server has ended meanwhile does not fail the query."""
    with mariadb.warehouse.open() as session:
        session.connect()
        for number, _ in mariadb.sessions():
            mariadb.server.ask(f"kill {number}")
        session.submit(Statement(tag=TAG, sql="select 1 as n"))
        assert [batch.to_pylist() for batch in session.batches(max_rows=10)] == [[{"n": 1}]]


def test_mariadb_syntax_error_names_its_line(mariadb: MariaDBEngine) -> None:
    """The line is the one in the statement as it was written."""
    with pytest.raises(WarehouseQueryError) as caught:
        values(mariadb.warehouse, "select 1,\n2 2 3")
    assert caught.value.details["lineNumber"] == 2
    assert caught.value.details["errorCode"] == 1064


def test_sqlite_change_without_permission_is_refused(sqlite: SQLiteEngine) -> None:
    """A statement that changes data through a common table expression is refused at the door."""
    with pytest.raises(ForbiddenError):
        values(sqlite.warehouse, sqlite.hidden_write())
