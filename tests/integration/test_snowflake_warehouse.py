"""Snowflake's own driver and what it meets: logins, sessions that end, servers that fail, links that expire."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING

import pytest

from actors.warehouses import stop_statement
from queryfleet.errors import (
    ConfigurationError,
    ForbiddenError,
    QueryCancelledError,
    WarehouseConnectionError,
    WarehouseError,
    WarehouseQueryError,
)
from queryfleet.warehouse import snowflake as snowflake_module
from queryfleet.warehouse import stored_result
from queryfleet.warehouse.base import Statement, StoppableWarehouse
from tests.conformance.test_warehouse import Caller, read
from tests.fixtures.snowflake import SECRET
from tests.fixtures.warehouses import TAG, wait_until
from tests.servers.snowflake_login import OAUTH, PASSWORD, PAT, private_key_pem

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.snowflake import Stub, StubEngine

pytestmark = pytest.mark.integration


def statement(sql: str, **options: object) -> Statement:
    return Statement(tag=TAG, sql=sql, **options)


def downloads(stub: Stub) -> list[int]:
    return [number for query in stub.queries() for number in query["downloads"]]


# Logins


@pytest.mark.parametrize(
    ("proof", "authenticator"),
    [
        ({"password": PASSWORD}, None),
        ({"private_key": private_key_pem()}, "SNOWFLAKE_JWT"),
        ({"private_key": private_key_pem("open sesame"), "private_key_passphrase": "open sesame"}, "SNOWFLAKE_JWT"),
        ({"token": PAT}, "PROGRAMMATIC_ACCESS_TOKEN"),
        ({"token": OAUTH, "token_kind": "oauth"}, "OAUTH"),
    ],
)
def test_login_by_each_proof_works(snowflake_stub: Stub, proof: dict[str, str], authenticator: str | None) -> None:
    """A password, a private key, an encrypted one, a programmatic token and an OAuth token let us in."""
    with snowflake_stub.warehouse(**({"password": None} | proof)).open() as session:
        session.connect()
        (login,) = snowflake_stub("state")["sessions"]
    assert login["login"].get("AUTHENTICATOR", "SNOWFLAKE").upper() == (authenticator or "SNOWFLAKE")


def test_login_by_a_key_file_works(snowflake_stub: Stub, tmp_path: Path) -> None:
    """The key may be in a file."""
    path = tmp_path / "key.p8"
    path.write_text(private_key_pem())
    assert snowflake_stub.warehouse(password=None, private_key_path=str(path)).ping() == "Snowflake 9.9.9"


@pytest.mark.parametrize(
    ("proof", "advice"),
    [
        ({"token": SECRET}, "authenticator"),
        ({"token": SECRET, "token_kind": "oauth"}, "authenticator"),
        ({"password": SECRET}, "`user` and `password`"),
        ({"password": PASSWORD, "role": "NOSUCH"}, "`role`"),
        ({"password": PASSWORD, "warehouse": "NOSUCH"}, "`warehouse`"),
        ({"password": PASSWORD, "database": "NOSUCH"}, "`database`"),
    ],
)
def test_login_that_is_refused_says_what_to_check(snowflake_stub: Stub, proof: dict[str, str], advice: str) -> None:
    """A refused login names the keys to look at, is not worth repeating, and shows no secret."""
    with pytest.raises(WarehouseConnectionError, match=advice) as caught:
        snowflake_stub.warehouse(**({"password": None} | proof)).open().connect()
    assert caught.value.details["transient"] is False
    assert SECRET not in f"{caught.value!r}{caught.value.details}"


@pytest.mark.parametrize(
    "proof",
    [
        {"private_key": "no key at all"},
        {"private_key": private_key_pem("right"), "private_key_passphrase": "wrong"},
        {"private_key": private_key_pem("right")},
        {"private_key_path": "/nosuch/key.p8"},
    ],
)
def test_private_key_that_cannot_be_read_is_a_configuration_error(snowflake_stub: Stub, proof: dict[str, str]) -> None:
    """A key that is no key names the setting before anything is sent."""
    for action in ("connect", "ping"):
        warehouse = snowflake_stub.warehouse(**({"password": None} | proof))
        with pytest.raises(ConfigurationError, match="private_key"):
            warehouse.ping() if action == "ping" else warehouse.open().connect()
    assert snowflake_stub("state")["seen"] == []


def test_login_where_nobody_listens_may_be_repeated(snowflake_stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is away is a passing reason."""
    monkeypatch.setattr("queryfleet.warehouse.snowflake_connector._LOGIN_SECONDS", 1)
    with pytest.raises(WarehouseConnectionError, match="Check `account` and `host`") as caught:
        snowflake_stub.warehouse(port=1).open().connect()
    assert caught.value.details["transient"] is True


def test_cancel_during_a_slow_login_does_not_wait_for_it(snowflake: StubEngine) -> None:
    """Whoever cancels while Snowflake takes its time is let go at once, and the login is given back."""
    snowflake.stub("faults", login_delay_seconds=1.0)
    session = snowflake.warehouse.open()
    caller = Caller(session.connect)
    assert wait_until(lambda: "POST /session/v1/login-request" in snowflake.stub("state")["seen"])
    session.cancel()
    assert isinstance(caller.ended(0.5), QueryCancelledError)
    session.close()
    assert wait_until(lambda: "POST /session" in snowflake.stub("state")["seen"], seconds=3)
    assert snowflake.sessions_left() == 0


def test_secrets_are_not_logged(snowflake_stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    """Neither we nor the driver log a password, however much is logged."""
    with caplog.at_level(logging.DEBUG):
        read_once(snowflake_stub)
    assert PASSWORD not in caplog.text


def read_once(stub: Stub) -> None:
    with stub.warehouse().open() as session:
        session.submit(statement("select 1"))
        assert sum(batch.num_rows for batch in session.batches(max_rows=10)) == 1


# What Snowflake is told


def test_statement_carries_tag_zone_and_limits(snowflake: StubEngine) -> None:
    """The tag names query, project and user; times are UTC; limits of rows and time are the server's to keep."""
    warehouse = snowflake.impatient()
    with warehouse.open() as session:
        query_id = session.submit(statement(snowflake.numbers(10), row_limit=5))
        assert sum(batch.num_rows for batch in session.batches(max_rows=10)) == 5
        (login,) = snowflake.stub("state")["sessions"]
    (query,) = snowflake.stub.queries()
    assert query["id"] == query_id
    tag = json.loads(query["tag"])
    assert (tag["query_uuid"], tag["project_uuid"], tag["user_uuid"]) == (TAG.query_uuid, "p", "u")
    assert query["settings"]["STATEMENT_TIMEOUT_IN_SECONDS"] == 1
    assert query["settings"]["ROWS_PER_RESULTSET"] == 5
    assert login["login"]["SESSION_PARAMETERS"]["TIMEZONE"] == "UTC"
    assert str(login["login"]["SESSION_PARAMETERS"]["CLIENT_SESSION_KEEP_ALIVE"]).lower() == "true"


def test_submit_does_not_wait_for_the_statement(snowflake: StubEngine) -> None:
    """The query id is known while the statement computes."""
    with snowflake.warehouse.open() as session:
        session.connect()
        begun = time.monotonic()
        query_id = session.submit(statement(snowflake.busy()))
        assert time.monotonic() - begun < 1.0
        assert snowflake.knows(query_id)


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("select 1 ->> drop table target", "DROP"),
        ("show tables ->> insert into target select 1", "INSERT"),
        ("with p as procedure () returns int language sql as $$ begin drop table target; end $$ call p()", "CALL"),
        ("call p()", "CALL"),
        ("execute immediate 'drop table target'", "EXECUTE"),
        ("put file:///etc/passwd @stage", "PUT"),
    ],
)
def test_statement_that_hides_a_change_is_refused(snowflake: StubEngine, sql: str, word: str) -> None:
    """Snowflake has no read-only mode, so whatever is not known to read is refused before it is sent."""
    with pytest.raises(ForbiddenError, match="allow_writes") as caught:
        read(snowflake, sql)
    assert caught.value.details["keyword"] == word
    assert snowflake.stub.queries() == []


# Errors


@pytest.mark.parametrize(
    ("sql", "code", "state", "position"),
    [
        ("selectt 1", None, None, None),
        ("select *\n  from nosuch", "002003", "02000", None),
        ('select 1\n     , "nosuch_column"', "000904", "42000", 17),
        ("select 'x'::number(3,0) as a", "100038", "22018", None),
    ],
)
def test_refused_statement_has_code_state_id_and_place(
    snowflake: StubEngine, sql: str, code: str | None, state: str | None, position: int | None
) -> None:
    """What Snowflake says of an error is kept, each part on its own."""
    if code is None:
        with pytest.raises(ForbiddenError):
            read(snowflake, sql)
        return
    with pytest.raises(WarehouseQueryError) as caught:
        read(snowflake, sql)
    details = caught.value.details
    assert (details["errorCode"], details["sqlState"], details.get("position")) == (code, state, position)
    assert details["warehouseQueryId"] == snowflake.stub.queries()[0]["id"]
    assert not caught.value.message.startswith("00")


def test_statement_that_somebody_else_stops_is_an_error(snowflake: StubEngine) -> None:
    """A statement can be stopped by its id alone, and whoever waits for it learns that it was."""
    assert isinstance(snowflake.warehouse, StoppableWarehouse)
    with snowflake.warehouse.open() as session:
        query_id = session.submit(statement(snowflake.busy()))
        caller = Caller(session.schema)
        assert snowflake.warehouse.stop(query_id)
        error = caller.ended(2.0)
        assert isinstance(error, WarehouseQueryError)
        assert error.details["errorCode"] == "000604"
    assert not snowflake.warehouse.stop("0a6b3c52-77a4-4a6e-9f2d-4f0c6f2b8d11")


# A world that fails


def test_session_that_ended_while_it_was_held_is_replaced(
    snowflake: StubEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login made ahead that is gone by the time it is needed costs a login, not the query."""
    monkeypatch.setattr(snowflake_module, "_FRESH_SECONDS", 0.0)
    with snowflake.warehouse.open() as session:
        session.connect()
        snowflake.stub("end-sessions")
        session.submit(statement(snowflake.numbers(10)))
        assert sum(batch.num_rows for batch in session.batches(max_rows=10)) == 10
    assert len(snowflake.stub.queries()) == 1


@pytest.mark.parametrize("fault", [{"expired_sessions": 1}, {"server_errors": 1}, {"dropped": 1}])
def test_request_that_fails_once_is_repeated_and_runs_once(snowflake: StubEngine, fault: dict[str, int]) -> None:
    """An expired session, a 503 and a dropped connection are mended by the driver without a second statement."""
    with snowflake.warehouse.open() as session:
        session.connect()
        snowflake.stub("faults", **fault)
        session.submit(statement(snowflake.numbers(10)))
        assert sum(batch.num_rows for batch in session.batches(max_rows=10)) == 10
    assert len(snowflake.stub.queries()) == 1


@pytest.mark.parametrize("fault", [{"chunk_errors": 2}, {"chunk_cuts": 2}, {"chunk_delay_seconds": 0.05}])
def test_chunk_that_fails_is_read_again_in_order(snowflake: StubEngine, fault: dict[str, float]) -> None:
    """Chunks that answer 503, break off or come late change nothing in what is delivered."""
    snowflake.stub("faults", **fault)
    assert read(snowflake, snowflake.numbers(60_000))["n"].to_pylist() == list(range(1, 60_001))


def test_chunk_that_never_comes_ends_the_result(snowflake: StubEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few tries it is a connection error, which another attempt may mend, and never fewer rows."""
    monkeypatch.setattr(stored_result, "_PAUSE_SECONDS", 0.01)
    snowflake.stub("faults", chunk_cuts=10_000)
    with pytest.raises(WarehouseConnectionError) as caught:
        read(snowflake, snowflake.numbers(60_000))
    assert caught.value.details["transient"] is True


def test_links_that_expired_are_renewed_in_the_middle(snowflake: StubEngine) -> None:
    """Reading for longer than links live costs a question, no second run and no row."""
    with snowflake.warehouse.open() as session:
        session.submit(statement(snowflake.numbers(100_000)))
        batches = session.batches(max_rows=5_000)
        numbers = next(batches).column(0).to_pylist()
        snowflake.stub("faults", expired_links=True)
        numbers += [n for batch in batches for n in batch.column(0).to_pylist()]
    assert numbers == list(range(1, 100_001))
    (query,) = snowflake.stub.queries()
    assert query["results"] == 2


def test_links_are_renewed_before_they_expire(snowflake: StubEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links that are old are not even tried."""
    monkeypatch.setattr(snowflake_module, "_LINK_SECONDS", 0.0)
    assert read(snowflake, snowflake.numbers(30_000)).num_rows == 30_000
    (query,) = snowflake.stub.queries()
    assert query["results"] > 2


def test_result_is_not_fetched_far_ahead(snowflake: StubEngine) -> None:
    """A reader that stops reading stops the downloads, after a few chunks."""
    with snowflake.warehouse.open() as session:
        session.submit(statement(snowflake.numbers(200_000)))
        batches = session.batches(max_rows=1_000)
        next(batches)
        threading.Event().wait(0.3)
        assert 1 <= len(downloads(snowflake.stub)) <= 5


# Taking over


def test_attach_reads_only_what_is_missing(snowflake: StubEngine) -> None:
    """Chunks that end before the first row wanted are not downloaded, and nothing is run again."""
    asked = statement(snowflake.numbers(100_000))
    with snowflake.warehouse.open() as first:
        query_id = first.submit(asked)
        first.schema()
    with snowflake.warehouse.open() as second:
        assert second.attach(asked, query_id, first_row=95_500)
        numbers = [n for batch in second.batches(max_rows=700) for n in batch.column(0).to_pylist()]
    assert numbers == list(range(95_501, 100_001))
    assert set(downloads(snowflake.stub)) <= {1, 2, 3, 4, 10}, "a few ahead of the first reader, and what was missing"
    assert len(snowflake.stub.queries()) == 1


def test_attach_to_a_running_statement_waits_for_it(snowflake: StubEngine) -> None:
    """A statement whose first session was lost runs on, and can be stopped by the second one."""
    first, second = snowflake.warehouse.open(), snowflake.warehouse.open()
    query_id = first.submit(statement(snowflake.busy()))
    assert second.attach(statement(snowflake.busy()), query_id, first_row=0)
    caller = Caller(second.schema)
    assert snowflake.knows(query_id)
    second.cancel()
    assert isinstance(caller.ended(), QueryCancelledError)
    assert wait_until(lambda: not snowflake.knows(query_id))
    for session in (first, second):
        session.close()


def test_attach_to_a_failed_statement_does_nothing(snowflake: StubEngine) -> None:
    """What failed or was stopped is run again rather than taken over."""
    with snowflake.warehouse.open() as first:
        query_id = first.submit(statement("select * from nosuch"))
        with pytest.raises(WarehouseError):
            first.schema()
    with snowflake.warehouse.open() as second:
        assert not second.attach(statement("select * from nosuch"), query_id, first_row=0)


def test_leave_lets_go_and_the_statement_runs_on(snowflake: StubEngine) -> None:
    """Whoever leaves is let go at once; the statement, and the session it needs, stay for the next one."""
    with snowflake.warehouse.open() as first:
        query_id = first.submit(statement(snowflake.busy()))
        caller = Caller(first.schema)
        first.leave()
        assert isinstance(caller.ended(), QueryCancelledError)
    assert snowflake.knows(query_id)
    assert "POST /session" not in snowflake.stub("state")["seen"]
    assert snowflake.warehouse.stop(query_id)
    snowflake.stub("end-sessions")


def test_stop_statement_of_a_project_needs_only_the_id(snowflake: StubEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that never saw the session stops the statement with the project and the id."""
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", PASSWORD)
    definition = {
        "name": "Shop",
        "folder": "/shop",
        "project_uuid": "5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c11",
        "warehouse": {
            "type": "snowflake",
            "account": "qftest",
            "user": "reader",
            "password": "${SNOWFLAKE_PASSWORD}",
            "host": "127.0.0.1",
            "port": snowflake.stub.port,
            "protocol": "http",
        },
    }
    with snowflake.warehouse.open() as session:
        query_id = session.submit(statement(snowflake.busy()))
        assert stop_statement(definition, query_id)
        with pytest.raises(WarehouseQueryError):
            session.schema()
    assert not stop_statement(definition, query_id)
