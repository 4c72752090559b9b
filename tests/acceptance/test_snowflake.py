"""A whole service with a project on Snowflake: its own driver, over HTTP, against a server of ours."""

from __future__ import annotations

import json

import pytest

from tests.fixtures.snowflake import write_snowflake_project
from tests.servers.service_process import ServiceProcess, marked_processes, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

PROJECT_UUID = "5b0d3c53-3f0a-4a55-8f0b-2a7f0e3a9c11"
PASSWORD_VARIABLE, WRONG_VARIABLE = "SHOP_SNOWFLAKE_PASSWORD", "SHOP_SNOWFLAKE_WRONG"
WRONG_UUID = "5b0d3c53-3f0a-4a55-8f0b-2a7f0e3a9c12"
ROWS = 101_000


@pytest.fixture(scope="module")
def snowflake_service(snowflake_server, tmp_path_factory):
    """Yield a service of two actors; when it is stopped nothing of it may be left."""
    root = tmp_path_factory.mktemp("snowflake")
    folders = [
        write_snowflake_project(root / "right", snowflake_server.port, PROJECT_UUID, PASSWORD_VARIABLE),
        write_snowflake_project(root / "wrong", snowflake_server.port, WRONG_UUID, WRONG_VARIABLE),
    ]
    environment = {
        PASSWORD_VARIABLE: "right-password", WRONG_VARIABLE: "hunter2-not-in-any-message",
        "QUERYFLEET_POOL_SIZE": "2", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    process = ServiceProcess(root / "data", folders, environment=environment)
    try:
        process.start()
        trace = process.trace()
        yield process, trace.stack_id
    finally:
        process.stop()
    assert trace.left() == []


@pytest.fixture
def snowflake_stub(snowflake_server):
    """Return the server with nothing left of earlier tests but the service's sessions: a real one drops none."""
    snowflake_server("reset", keep_sessions=True)
    return snowflake_server


@pytest.fixture
def api(snowflake_service, snowflake_stub):
    """Return the interface to the project that may log in."""
    return snowflake_service[0].api(PROJECT_UUID)


def test_snowflake_query_has_its_id_its_tag_and_its_rows(api, snowflake, snowflake_stub):
    """The warehouse knows the query by the id and the tag that the answer implies, and no row is missing."""
    query_uuid = api.submit(snowflake.numbers(ROWS))
    final = api.wait(query_uuid)
    assert (final["status"], final["totalResults"]) == ("ready", ROWS)
    (query,) = snowflake_stub.queries()
    assert query["id"] == final["warehouseQueryId"]
    tag = json.loads(query["tag"])
    assert (tag["query_uuid"], tag["project_uuid"]) == (query_uuid, PROJECT_UUID)
    numbers = [row["n"] for page in api.pages(query_uuid, page_size=5000) for row in page]
    assert numbers == list(range(1, ROWS + 1))


def test_snowflake_refusals_reach_the_client_with_code_and_place(api, snowflake_service):
    """A wrong column has its place, a wrong password its advice, and neither shows a secret."""
    wrong = api.wait(api.submit('select 1\n     , "nosuch"'))["errorData"]
    assert (wrong["errorCode"], wrong["lineNumber"], wrong["position"]) == ("000904", 2, 17)
    other = snowflake_service[0].api(WRONG_UUID)
    refused = other.wait(other.submit("select 1"))
    assert (refused["errorName"], refused["errorData"]["errorCode"]) == ("WarehouseConnectionError", 390_100)
    assert "`password`" in refused["error"]
    assert "hunter2" not in json.dumps(refused)


def test_snowflake_cancel_stops_the_statement(api, snowflake, snowflake_stub):
    """A query that computes is cancelled in the warehouse too."""
    query_uuid = api.submit(snowflake.busy())
    api.wait_for(query_uuid, lambda poll: "warehouseQueryId" in poll)
    assert api.cancel(query_uuid).status == 200
    assert api.wait(query_uuid)["status"] == "cancelled"
    assert wait_until(lambda: snowflake_stub.queries()[0]["status"] == "FAILED_WITH_ERROR", seconds=10)


def test_snowflake_actor_killed_in_the_middle_costs_no_second_run(api, snowflake, snowflake_service, snowflake_stub):
    """A page is there while the rest is read; after a kill -9 another actor reads on, and the warehouse ran once."""
    snowflake_stub("faults", chunk_delay_seconds=1.0)
    query_uuid = api.submit(snowflake.numbers(ROWS))
    early = api.wait_for(query_uuid, lambda poll: "rows" in poll, page=1, page_size=100)
    assert (early["status"], len(early["rows"])) == ("running", 100)
    (process,) = marked_processes(snowflake_service[1], "ray::QueryActor.run")  # idle ones have no method
    process.kill()
    api.wait_for(query_uuid, lambda poll: poll["attempt"] == 2)
    snowflake_stub("faults", chunk_delay_seconds=0.0)
    final = api.wait(query_uuid)
    assert (early["attempt"], final["status"], final["attempt"], final["totalResults"]) == (1, "ready", 2, ROWS)
    numbers = [row["n"] for page in api.pages(query_uuid, page_size=5000) for row in page]
    assert numbers == list(range(1, ROWS + 1))
    assert len(snowflake_stub.queries()) == 1
