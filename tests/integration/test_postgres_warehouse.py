"""What only PostgreSQL has: logins, sessions seen from outside, lost connections."""

from __future__ import annotations

import pickle
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from actors.sessions import SessionKeeper
from queryfleet.errors import (
    ConfigurationError,
    QueryCancelledError,
    ServiceError,
    WarehouseConnectionError,
    WarehouseQueryError,
    WarehouseTimeoutError,
)
from queryfleet.project import PostgresConfig
from queryfleet.warehouse.base import Statement
from queryfleet.warehouse.postgres import PostgresWarehouse
from queryfleet.warehouse.postgres_backend import run_plainly
from tests.fixtures.warehouses import TAG, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queryfleet.warehouse.postgres import PostgresSession
    from tests.fixtures.warehouses import PostgresEngine

pytestmark = pytest.mark.integration

SECRET = "hunter2-not-in-any-message"


def values(warehouse: PostgresWarehouse, sql: str, **options: object) -> list[object]:
    """Return the first column of a result."""
    with warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=sql, **options))
        return [value for batch in session.batches(max_rows=100) for value in batch.column(0).to_pylist()]


def parts(url: str) -> dict[str, str]:
    """Return the pieces of a URL under the names of the project's settings."""
    given = conninfo_to_dict(url)
    return {
        "host": given["host"],
        "port": int(given["port"]),
        "user": given["user"],
        "password": given["password"],
        "database": given["dbname"],
    }


@contextmanager
def silent_server() -> Iterator[int]:
    """Yield the port of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# Logging in


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"password": SECRET}, "password authentication failed.*Check `user` and `password`"),
        ({"database": "nosuch"}, "nosuch.*does not exist"),
        ({"user": "nosuch", "password": SECRET}, "nosuch"),
        ({"port": 1}, "Connection refused.*Check `host` and `port`"),
    ],
)
def test_connect_with_wrong_settings_names_the_fix(
    postgres: PostgresEngine, changed: dict[str, object], match: str
) -> None:
    """A refused login is a connection error that says which setting to look at, and shows no password."""
    warehouse = PostgresWarehouse.from_parts(**{**parts(postgres.url), **changed})
    for action in (warehouse.open().connect, warehouse.ping):
        with pytest.raises(WarehouseConnectionError, match=match) as caught:
            action()
        assert SECRET not in f"{caught.value!r}{caught.value.details}{warehouse!r}"


def test_warehouse_shows_no_password(postgres: PostgresEngine) -> None:
    """What a log may show of a warehouse is where it is; a copy of it still works."""
    password = urlsplit(postgres.url).password
    assert password not in repr(postgres.warehouse)
    assert [1] == values(pickle.loads(pickle.dumps(postgres.warehouse)), "select 1")


@pytest.mark.parametrize("conninfo", [f"postgresql://u:{SECRET}@h/?x%zz", f"host=h password '{SECRET}"])
def test_warehouse_with_unreadable_settings_does_not_quote_them(conninfo: str) -> None:
    """A connection text that cannot be read is a configuration error without the text."""
    with pytest.raises(ConfigurationError) as caught:
        PostgresWarehouse(conninfo=conninfo)
    assert SECRET not in f"{caught.value!r}{caught.value.details}"


def test_connect_to_a_silent_server_gives_up(postgres: PostgresEngine) -> None:
    """A server that accepts and says nothing costs the time limit, not for ever."""
    with silent_server() as port:
        warehouse = PostgresWarehouse(conninfo=f"host=127.0.0.1 port={port} user=u dbname=d connect_timeout=2")
        with pytest.raises(WarehouseConnectionError, match="timeout expired"):
            warehouse.open().connect()


def test_cancel_while_connecting_ends_the_wait(postgres: PostgresEngine) -> None:
    """Cancelling reaches a session that still waits for the server's first word."""
    errors: list[ServiceError] = []

    def connect() -> None:
        try:
            session.connect()
        except ServiceError as error:
            errors.append(error)

    with silent_server() as port:
        warehouse = PostgresWarehouse(conninfo=f"host=127.0.0.1 port={port} user=u dbname=d connect_timeout=2")
        with warehouse.open() as session:
            caller = threading.Thread(target=connect)
            caller.start()
            assert wait_until(lambda: session._opening is not None)
            session.cancel()
            caller.join(1)
            assert not caller.is_alive()
    assert [QueryCancelledError] == [type(error) for error in errors]
    assert wait_until(lambda: not [t for t in threading.enumerate() if t.name == "postgres-connect"])


# The session


def test_session_is_named_after_its_query(postgres: PostgresEngine) -> None:
    """An administrator finds the query by its uuid, and by the query id, in one session."""
    with postgres.warehouse.open() as session:
        query_id = session.submit(Statement(tag=TAG, sql=postgres.endless()))
        next(session.batches(max_rows=10))
        assert postgres.sessions_left() == 1
        pid, _, started_at = query_id.partition("@")
        found = postgres.ask(
            "select count(*) from pg_stat_activity where pid = %s and backend_start = %s::timestamptz"
            " and application_name = %s",
            int(pid),
            started_at,
            f"queryfleet {TAG.query_uuid}",
        )
        assert found == 1


def test_session_connected_ahead_is_named_when_its_query_comes(postgres: PostgresEngine) -> None:
    """Until it has a query a session says so; then it is that query's, in the server's list."""
    named = "select count(*) from pg_stat_activity where application_name = %s"
    with postgres.warehouse.open() as session:
        session.connect()
        assert postgres.ask(named, "queryfleet idle") == 1
        session.submit(Statement(tag=TAG, sql="select 1"))
        assert postgres.ask(named, f"queryfleet {TAG.query_uuid}") == 1
        assert postgres.ask(named, "queryfleet idle") == 0


def pid_of(session: PostgresSession) -> int:
    """Return the server process of a session that is connected."""
    return session._backend.pid


@pytest.mark.parametrize("allow_writes", [False, True])
def test_submit_to_a_session_that_was_ended_logs_in_again(postgres: PostgresEngine, allow_writes: bool) -> None:
    """A session lost before its query came is replaced, and the statement runs once, under the new one's id."""
    with postgres.warehouse.open() as session:
        session.connect()
        before = pid_of(session)
        postgres.ask("select pg_terminate_backend(%s, 5000)", before)
        sql = postgres.write() if allow_writes else "select 7 as n"
        query_id = session.submit(Statement(tag=TAG, sql=sql, allow_writes=allow_writes))
        rows = [row for batch in session.batches(max_rows=10) for row in batch.to_pylist()]
        assert rows == ([{"Count": 2}] if allow_writes else [{"n": 7}])
        assert query_id.split("@")[0] == str(pid_of(session)) != str(before)
    assert postgres.target_rows() == (2 if allow_writes else 0)


def test_submit_to_a_session_that_was_idle_too_long_logs_in_again(postgres: PostgresEngine) -> None:
    """A server that ends idle sessions does not end a query."""
    with postgres.warehouse.open() as session:
        session.connect()
        before = pid_of(session)
        run_plainly(session._connection, "set idle_session_timeout = 50")
        gone = "select count(*) from pg_stat_activity where pid = %s"
        assert wait_until(lambda: postgres.ask(gone, before) == 0)
        session.submit(Statement(tag=TAG, sql="select 1"))
        assert pid_of(session) != before


def test_submit_when_the_server_is_gone_says_so(postgres: PostgresEngine) -> None:
    """A new login that fails is reported like the first one."""
    with silent_server() as port:
        session = postgres.warehouse.open()
        session.connect()
        postgres.ask("select pg_terminate_backend(%s, 5000)", pid_of(session))
        session._target = PostgresWarehouse(
            conninfo=f"host=127.0.0.1 port={port} user=u dbname=d connect_timeout=2"
        )._target
        with pytest.raises(WarehouseConnectionError, match="timeout expired"):
            session.submit(Statement(tag=TAG, sql="select 1"))
        session.close()


def test_sessions_of_two_queries_are_two(postgres: PostgresEngine) -> None:
    """What one query leaves in its session, the next one does not find, though it was logged in ahead."""
    keeper = SessionKeeper(warehouse_of=lambda _: postgres.warehouse, hold_seconds=lambda _: 60.0, pause_seconds=0.0)
    config = PostgresConfig(url="postgresql://made@up/")
    pids = []
    try:
        for _ in range(3):
            with keeper.take(config) as session:
                session.submit(Statement(tag=TAG, sql="select set_config('my.mark', 'left here', false) as v"))
                list(session.batches(max_rows=1))
                pids.append(pid_of(session))
            keeper.prepare()
            with keeper.take(config) as session:
                sql = "select coalesce(current_setting('my.mark', true), '') as v"
                session.submit(Statement(tag=TAG, sql=sql))
                assert [batch.column(0).to_pylist() for batch in session.batches(max_rows=1)] == [[""]]
                pids.append(pid_of(session))
            keeper.prepare()
    finally:
        keeper.close()
    assert len(set(pids)) == len(pids)


def test_cancel_while_another_thread_logs_in_ends_both_waits(postgres: PostgresEngine) -> None:
    """A query that waits for a login made ahead can be cancelled, and the login is given up."""
    errors: list[ServiceError] = []

    def connect() -> None:
        try:
            session.connect()
        except ServiceError as error:
            errors.append(error)

    with silent_server() as port:
        warehouse = PostgresWarehouse(conninfo=f"host=127.0.0.1 port={port} user=u dbname=d connect_timeout=2")
        with warehouse.open() as session:
            callers = [threading.Thread(target=connect) for _ in range(2)]
            for caller in callers:
                caller.start()
            assert wait_until(lambda: session._opening is not None)
            session.cancel()
            for caller in callers:
                caller.join(1)
                assert not caller.is_alive()
    assert [QueryCancelledError, QueryCancelledError] == [type(error) for error in errors]
    assert wait_until(lambda: not [t for t in threading.enumerate() if t.name == "postgres-connect"])


def test_session_settings_are_the_services_own(postgres: PostgresEngine) -> None:
    """Whatever the role's defaults, values are read in UTC, and names in the project's schema."""
    name = 'odd "schema'
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute('create schema "odd ""schema"; create table "odd ""schema".t as select 7 as a')
        connection.execute("alter role current_user set timezone = 'Asia/Tokyo'")
        try:
            warehouse = PostgresWarehouse(conninfo=postgres.url, schema=name)
            assert [7] == values(warehouse, "select a from t")
            assert ["UTC"] == values(warehouse, "select current_setting('TimeZone')")
            assert ["on"] == values(warehouse, "show transaction_read_only")
        finally:
            connection.execute("alter role current_user reset timezone")


@pytest.mark.parametrize(
    "sql",
    [
        "with x as (insert into target values (1) returning a) select * from x",
        "select set_config('transaction_read_only', 'off', false), t.* from (select 1) as t",
        (
            "with x as (select set_config('default_transaction_read_only', 'off', false)),"
            " y as (insert into target values (1) returning a) select x.*, y.* from x, y"
        ),
        "explain analyze verbose select * into target2 from target",
        "select nextval('numbers')",
    ],
)
def test_submit_of_hidden_writes_changes_nothing(postgres: PostgresEngine, sql: str) -> None:
    """What the first words do not show, the server refuses."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("create sequence numbers")
    with pytest.raises(ServiceError):
        values(postgres.warehouse, sql)
    assert postgres.target_rows() == 0


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("show server_encoding", ["UTF8"]),
        ("values (2), (1)", [2, 1]),
        ("table target", []),
        ("(select 1)", [1]),
        (
            "with recursive r(n) as (values (1) union all select n + 1 from r where n < 3) select * from r",
            [1, 2, 3],
        ),
        ("select 1 limit 1 -- done", [1]),
        ("select 'a;b' /* ; */", ["a;b"]),
        ("select $a$;--$a$", [";--"]),
        (r"select E'it\'s;'", ["it's;"]),
    ],
)
def test_submit_of_every_kind_of_reading_works(postgres: PostgresEngine, sql: str, expected: list[object]) -> None:
    """Whatever reads, reads: as a subquery, or as it is."""
    assert expected == values(postgres.warehouse, sql)
    assert expected[:1] == values(postgres.warehouse, sql, row_limit=1)


def test_submit_of_explain_returns_the_plan(postgres: PostgresEngine) -> None:
    """A plan comes as lines of text."""
    assert "Seq Scan" in values(postgres.warehouse, "explain select * from target")[0]


def test_submit_of_returning_writes_yields_the_rows(postgres: PostgresEngine) -> None:
    """With the permission, what a change returns is the result."""
    sql = "insert into target values (3), (4) returning a, a::numeric(5,1) as b, gen_random_uuid() as c"
    assert [3, 4] == values(postgres.warehouse, sql, allow_writes=True)
    moved = "with gone as (delete from target returning a) select a from gone order by a"
    assert [3, 4] == values(postgres.warehouse, moved, allow_writes=True)
    assert postgres.target_rows() == 0


# Errors


def test_submit_of_a_wrong_name_carries_code_place_and_hint(postgres: PostgresEngine) -> None:
    """The server's diagnosis arrives whole, with places in the user's text."""
    sql = "-- é\nselect coount\nfrom (select 1 as count) as q"
    with pytest.raises(WarehouseQueryError, match='column "coount" does not exist') as caught:
        values(postgres.warehouse, sql)
    details = caught.value.details
    assert details["sqlState"] == "42703"
    assert sql[details["position"] - 1 :].startswith("coount")
    assert details["lineNumber"] == 2
    assert "q.count" in details["hint"]
    assert "@" in details["warehouseQueryId"]


def test_schema_of_a_failing_start_carries_the_code(postgres: PostgresEngine) -> None:
    """An error before the first row is raised where the first row is waited for."""
    with postgres.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql="select 1 / a from (values (0)) as t(a)"))
        with pytest.raises(WarehouseQueryError, match="division by zero") as caught:
            session.schema()
    assert caught.value.details["sqlState"] == "22012"


@pytest.mark.parametrize("case", ["execution", "stream"])
def test_lost_session_is_a_connection_error(postgres: PostgresEngine, case: str) -> None:
    """A session ended by somebody else is not taken for a cancelled query, nor for a finished one."""
    sql = "select pg_sleep(30)" if case == "execution" else postgres.endless()
    with postgres.warehouse.open() as session:
        query_id = session.submit(Statement(tag=TAG, sql=sql))
        batches = session.batches(max_rows=10)
        if case == "stream":
            next(batches)
        kill = threading.Timer(
            0.1, lambda: postgres.ask("select pg_terminate_backend(%s)", int(query_id.split("@")[0]))
        )
        kill.start()
        with pytest.raises(WarehouseConnectionError):
            list(batches)
        kill.join()


def test_statement_timeout_is_a_timeout_error(postgres: PostgresEngine) -> None:
    """The server's own time limit is told apart from a cancellation."""
    warehouse = PostgresWarehouse(conninfo=postgres.url, statement_timeout_seconds=0.2)
    with pytest.raises(WarehouseTimeoutError, match="statement timeout"):
        values(warehouse, "select pg_sleep(30)")


def test_statement_cancelled_by_an_administrator_is_an_error(postgres: PostgresEngine) -> None:
    """A statement stopped in the server by somebody else fails, with the server's code."""
    with postgres.warehouse.open() as session:
        query_id = session.submit(Statement(tag=TAG, sql="select pg_sleep(30)"))
        stop = threading.Timer(0.1, lambda: postgres.ask("select pg_cancel_backend(%s)", int(query_id.split("@")[0])))
        stop.start()
        with pytest.raises(WarehouseQueryError) as caught:
            session.schema()
        stop.join()
    assert caught.value.details["sqlState"] == "57014"


def test_close_from_another_thread_ends_the_call(postgres: PostgresEngine) -> None:
    """A session closed under a waiting call stops the statement and the wait."""
    errors: list[Exception] = []

    def run() -> None:
        try:
            session.schema()
        except ServiceError as error:
            errors.append(error)

    session = postgres.warehouse.open()
    session.submit(Statement(tag=TAG, sql=postgres.busy()))
    caller = threading.Thread(target=run)
    caller.start()
    postgres.wait_until_busy(session)
    begun = time.monotonic()
    session.close()
    caller.join(2)
    assert not caller.is_alive()
    assert time.monotonic() - begun < 2
    assert len(errors) == 1


def test_wide_result_arrives(postgres: PostgresEngine) -> None:
    """As many columns as the server allows in one result can be asked for."""
    sql = "select " + ", ".join(f"{n}::numeric(6,2) as c{n}" for n in range(1600))
    with postgres.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=sql))
        assert len(session.schema()) == 1600
        assert sum(batch.num_rows for batch in session.batches(max_rows=10)) == 1
