"""The service of `queryfleet.testing`: what a user's test sees of it is what the service does."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request

import pyarrow as pa
import pytest

import queryfleet.testing
from queryfleet.client import RetryPolicy
from queryfleet.client.carried import CarriedRequest
from queryfleet.errors import (
    AuthorizationError,
    ConfigurationError,
    NotFoundError,
    ParameterError,
    ServiceUnreachableError,
    TooManyRequestsError,
    WarehouseConnectionError,
    WarehouseQueryError,
)
from queryfleet.testing import Script, script_of

NUMBERS = pa.table({"n": pa.array(range(20_000), pa.int64()), "t": [f"row {n}" for n in range(20_000)]})
MODEL = """
type: model
name: orders
sql_from: orders
sql_filter: "${TABLE}.region = ${ld.attr.region}"
dimensions:
  - {name: city, type: string, sql: "${TABLE}.city"}
metrics:
  revenue: {type: sum, sql: "${TABLE}.revenue"}
"""


@pytest.fixture(scope="module")
def service():
    """One service for the tests that need nothing special of it."""
    answers = {"select n": NUMBERS, "select none": NUMBERS.slice(0, 0)}
    with queryfleet.testing.service(answers=answers, settings={"chunk_bytes_first": 65_536}) as started:
        yield started


@pytest.fixture(scope="module")
def client(service):
    """The admin's."""
    with service.client() as made:
        yield made


def run(client, sql, **options):
    """Return a query that has ended."""
    query = client.sql(sql, **options)
    query.wait(20)
    return query


def test_rows_come_back_as_the_warehouse_gave_them(service, client):
    """Pages, the whole result, and an empty one, are the table's."""
    query = run(client, "select n")
    assert query.to_arrow().equals(NUMBERS)
    last = query.poll(page=400, page_size=50).page
    assert [row["n"]["value"]["raw"] for row in last.rows][-1] == 19_999
    empty = run(client, "SELECT none".replace("SELECT", "select"))
    assert empty.to_arrow().equals(NUMBERS.slice(0, 0))
    cut = run(client, "select n", limit=7)
    assert cut.to_arrow().equals(NUMBERS.slice(0, 7))


def test_equal_questions_share_rows(service, client):
    """The cache works as in the service: a repetition does not reach the warehouse."""
    first = run(client, "select n")
    asked = len(service.statements)
    again = run(client, "select n")
    assert len(service.statements) == asked
    assert first.query_uuid != again.query_uuid


def test_statement_without_an_answer_fails_and_says_what_there_is(service, client):
    """A misspelt statement is seen at once; an answer that is added later is given."""
    failed = run(client, "select m")
    assert failed.snapshot.failure.name == "WarehouseQueryError"
    assert "'select m'" in failed.snapshot.failure.message
    assert "'select n'" in failed.snapshot.failure.message
    service.answer("select m", NUMBERS.slice(0, 1))
    assert run(client, " select  m ; ").status == "ready"


def test_failure_in_the_middle_leaves_no_result(service, client):
    """A warehouse that breaks off after some rows makes an error, and never half a result."""
    broken = Script(
        batches=NUMBERS.to_batches(max_chunksize=1000),
        failures={"batch:5": WarehouseQueryError("out of memory", warehouseQueryId="w1")},
    )
    service.answer("select broken", broken)
    query = run(client, "select broken")
    assert (query.status, query.snapshot.failure.message) == ("error", "out of memory")
    with pytest.raises(WarehouseQueryError):
        query.to_arrow()


def test_lost_connection_is_tried_again_like_on_a_cluster(service, client):
    """A passing loss of the warehouse begins a new attempt, up to the limit of attempts."""
    lost = WarehouseConnectionError("The server closed the connection.", transient=True)
    service.answer("select lost", script_of(lost))
    query = run(client, "select lost")
    assert (query.status, service.statements.count("select lost")) == ("error", 3)


def test_delay_is_ended_by_a_cancel(service, client):
    """A slow warehouse is not waited for once its query was cancelled."""
    service.answer("select slow", script_of(NUMBERS, delay_seconds=60))
    before = len(service.warehouse.sessions)
    query = client.sql("select slow")
    service.warehouse.wait_for_session(before).wait_for("schema")
    began = time.monotonic()
    query.cancel()
    assert query.wait().status == "cancelled"
    assert time.monotonic() - began < 20


def test_files_of_results_are_made(client, tmp_path):
    """Downloads work: a file is a job, made in this process and read by its link."""
    path = run(client, "select n", limit=3).download(tmp_path / "rows.csv")
    assert path.read_text(encoding="utf-8-sig").splitlines() == ["n,t", "0,row 0", "1,row 1", "2,row 2"]


def test_asyncio_client_shares_the_service(service):
    """Code on an event loop of its own asks the same service, several questions at once."""

    async def ask():
        async with service.async_client() as client:
            queries = await asyncio.gather(*(client.sql("select n", limit=n) for n in range(1, 9)))
            return [(await query.to_arrow()).num_rows for query in queries]

    assert asyncio.run(ask()) == list(range(1, 9))


def test_other_program_asks_at_the_address(service):
    """The same service answers over a socket, and no longer after the block."""
    with service.listening() as url:
        request = urllib.request.Request(
            f"{url}/api/v2/projects/{service.project}/query/sql?waitMs=20000",
            data=json.dumps({"sql": "select n", "limit": 2}).encode(),
            headers={"Authorization": f"ApiKey {service.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["results"]["totalResults"] == 2
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}/api/v1/health", timeout=5)


def test_users_have_roles_and_attributes(queryfleet_service):
    """Row filters and rights hold: two users of one question send two statements, and a stranger none."""
    service = queryfleet_service(answers=lambda _: pa.table({"orders_city": ["Oslo"]}), project={"models/o.yml": MODEL})
    for region in ("north", "south"):
        token = service.add_user(role="viewer", attributes={"region": [region]})
        with service.client(token=token) as client:
            assert client.query("orders", dimensions="orders_city").to_arrow().num_rows == 1
        assert f"'{region}'" in service.statements[-1]
    with service.client(token="unknown") as client, pytest.raises(AuthorizationError):
        client.explores()
    with service.client() as client, pytest.raises(NotFoundError):
        client.explores(project="00000000-0000-4000-8000-000000000000")


def test_limits_of_the_settings_hold(queryfleet_service, monkeypatch):
    """Settings are those that were given, whatever the environment says; admission is the service's own."""
    monkeypatch.setenv("QUERYFLEET_PAGE_SIZE_MAX", "7")
    service = queryfleet_service(
        answers=lambda _: script_of(NUMBERS, pause=True), settings={"running_per_project_max": 1, "queue_max": 1}
    )
    with service.client(retry=RetryPolicy(total_seconds=0)) as client:
        assert client.health().max_page_size == 5000
        running = client.sql("select 1")
        service.warehouse.wait_for_session().wait_for("schema")
        waiting = client.sql("select 2")
        assert waiting.poll().queue_position == 1
        with pytest.raises(TooManyRequestsError):
            client.sql("select 3")
        running.cancel()
        service.warehouse.wait_for_session(1).release("schema")
        assert waiting.wait(20).status == "ready"


def test_end_of_the_service_stops_its_queries(queryfleet_service):
    """A test that leaves queries running ends all the same, and a client of an ended service says so."""
    with queryfleet.testing.service(answers=lambda _: script_of(NUMBERS, pause=True)) as service:
        client = service.client()
        client.sql("select 1")
        session = service.warehouse.wait_for_session()
        session.wait_for("schema")
    assert session.closed
    with pytest.raises(ServiceUnreachableError, match="ended"):
        client.health()
    client.close()


def test_mistakes_of_the_test_are_named():
    """What is no answer, no setting, or a wrong model is refused before anything runs."""
    with pytest.raises(ParameterError, match="not list"), queryfleet.testing.service(answers={"select 1": [1]}):
        pass
    with pytest.raises(ConfigurationError, match="'page_size'"), queryfleet.testing.service(settings={"page_size": 1}):
        pass
    with (
        pytest.raises(ConfigurationError, match="page_size_max"),
        queryfleet.testing.service(settings={"page_size_max": 0}),
    ):
        pass
    wrong = {"models/orders.yml": MODEL.replace("sum", "smu")}
    with pytest.raises(ConfigurationError, match="did you mean `sum`"), queryfleet.testing.service(project=wrong):
        pass


def test_without_the_server_the_message_says_what_to_install(monkeypatch):
    """Where only the client is installed, the way out is named."""
    monkeypatch.setitem(sys.modules, "cluster.in_process.service", None)
    with pytest.raises(ConfigurationError, match=r"queryfleet\[server\]"), queryfleet.testing.service():
        pass


def test_carried_request_shows_no_token():
    """What is logged of a request has neither its headers nor its body."""
    request = CarriedRequest(
        method="POST", path="/", query="", headers=(("authorization", "ApiKey s3cret"),), body=b"s3cret", wait_seconds=1
    )
    assert "s3cret" not in repr(request)
