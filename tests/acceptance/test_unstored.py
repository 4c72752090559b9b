"""A whole service without a result store: pages come from Snowflake again, and other warehouses are refused."""

from __future__ import annotations

import uuid

import pytest

from cluster.local.sample import PROJECT_UUID as SHOP_UUID
from tests.fixtures.service import add_user
from tests.fixtures.snowflake import write_snowflake_project
from tests.servers.service_process import ServiceProcess, marked_processes

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

PROJECT_UUID = "5b0d3c53-3f0a-4a55-8f0b-2a7f0e3a9c13"
PASSWORD_VARIABLE = "UNSTORED_SNOWFLAKE_PASSWORD"
ROWS = 101_000


@pytest.fixture(scope="module")
def service_without_store(snowflake_server, warehouses, tmp_path_factory):
    """Yield a service with a project on the stub and one on DuckDB; when it is stopped nothing of it may be left."""
    root = tmp_path_factory.mktemp("unstored")
    folder = write_snowflake_project(root / "snow", snowflake_server.port, PROJECT_UUID, PASSWORD_VARIABLE)
    environment = {
        PASSWORD_VARIABLE: "right-password", "QUERYFLEET_STORE_URL": "none", "QUERYFLEET_POOL_SIZE": "2",
        "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    process = ServiceProcess(root / "data", [folder, warehouses.folders[0]], environment=environment)
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


def test_service_without_store_pages_through_snowflake_and_says_what_it_cannot(
    service_without_store, snowflake_stub, snowflake
):
    """Every row is there by pages, also after each process that reads them was killed; one statement ran."""
    service, stack_id = service_without_store
    api = service.api(PROJECT_UUID)
    assert not (service.data_dir / "s3").exists()
    query_uuid = api.submit(snowflake.numbers(ROWS))
    final = api.wait(query_uuid)
    assert (final["status"], final["totalResults"], final["progress"]["chunks"]) == ("ready", ROWS, 0)
    numbers = [row["n"] for page in api.pages(query_uuid, page_size=5000) for row in page]
    assert numbers == list(range(1, ROWS + 1))
    for process in marked_processes(stack_id, "ray::PageActor"):
        process.kill()
    last = api.poll(query_uuid, page=202, page_size=500)
    assert [row["n"]["value"]["raw"] for row in last["rows"]][-1] == ROWS
    assert len(snowflake_stub.queries()) == 1

    stranger = uuid.uuid4().hex
    add_user(str(service.about["database_url"]), stranger, {PROJECT_UUID: "admin"})
    assert service.api(PROJECT_UUID, token=stranger).get(f"/{query_uuid}").status == 404
    for answer in (
        api.get(f"/{query_uuid}/results"),
        api.post(f"/{query_uuid}/download", {"type": "csv"}),
        service.api(SHOP_UUID).post("/sql", {"sql": "select 1"}),
    ):
        assert (answer.status, answer.error["name"]) == (501, "NotImplemented")
        assert "QUERYFLEET_STORE_URL" in answer.error["message"]

    gone = api.submit(snowflake.numbers(30_000))
    assert api.wait(gone)["status"] == "ready"
    snowflake_stub("forget-results")
    for process in marked_processes(stack_id, "ray::PageActor"):
        process.kill()  # what it has in memory is as good as what Snowflake keeps
    answer = api.get(f"/{gone}", page=2, pageSize=5000)
    assert (answer.status, answer.error["name"]) == (404, "ResultsExpiredError")


def test_service_without_store_takes_over_the_statement_of_a_killed_actor(
    service_without_store, snowflake_stub, snowflake
):
    """A kill -9 while Snowflake computes costs no second run, and a cancel reaches the statement."""
    service, stack_id = service_without_store
    api = service.api(PROJECT_UUID)
    query_uuid = api.submit(snowflake.busy())
    first = api.wait_for(query_uuid, lambda poll: "warehouseQueryId" in poll)["warehouseQueryId"]
    (process,) = marked_processes(stack_id, "ray::QueryActor.run")
    process.kill()
    again = api.wait_for(query_uuid, lambda poll: poll["attempt"] == 2 and "warehouseQueryId" in poll)
    assert again["warehouseQueryId"] == first
    assert len(snowflake_stub.queries()) == 1
    assert api.cancel(query_uuid).status == 200
    assert api.wait(query_uuid)["status"] == "cancelled"
