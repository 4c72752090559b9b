"""Databricks and Athena from project.yml to a page: read, stored, asked for SQL and for a metric, looked after."""

from __future__ import annotations

import asyncio
import textwrap
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from actors.warehouses import open_warehouse, stop_statement
from cluster.doctor import findings
from queryfleet.project import load_project
from queryfleet.semantic.catalog import load_catalog
from queryfleet.semantic.stored_catalog import catalog_to_bytes
from serve_app.accounts import token_hash
from tests.fixtures.http_app import TOKENS
from tests.fixtures.statuses import PROJECT
from tests.fixtures.warehouses import wait_until
from tests.servers import athena as athena_server
from tests.servers import databricks as databricks_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.http_app import Api
    from tests.fixtures.stub_engine import StubEngine

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

MODEL = """
    type: model
    name: visits
    sql_from: visits
    primary_key: visit_id
    dimensions:
      - {name: visit_id, type: number, sql: "${TABLE}.visit_id"}
      - {name: city, type: string, sql: "${TABLE}.city"}
      - {name: day, type: date, sql: "${TABLE}.day"}
    metrics:
      pages: {type: sum, sql: "${TABLE}.pages"}
      visit_count: {type: count, sql: "${visit_id}"}
    """
VISITS = """
create or replace table visits (visit_id integer, city varchar, day date, pages integer);
insert into visits values (1, 'Oslo', '2024-01-03', 6), (2, 'O''Hare', '2024-01-20', 4), (3, 'Oslo', '2024-02-09', 5),
  (4, null, '2024-02-10', 1);
"""


@pytest.fixture(params=["databricks", "athena"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> StubEngine:
    """Return each stub in turn, with a table of visits; its secret is in the environment."""
    found: StubEngine = request.getfixturevalue(request.param)
    for statement in VISITS.split(";\n"):
        if statement.strip():
            found.stub.database.cursor().execute(statement)
    secret = databricks_server.TOKEN if request.param == "databricks" else athena_server.KEY
    monkeypatch.setenv("WAREHOUSE_SECRET", secret)
    return found


def warehouse_part(engine: StubEngine) -> str:
    """Return the lines of project.yml that lead to a stub."""
    if engine.name == "databricks":
        return f"""\
            warehouse:
              type: databricks
              host: {engine.stub.url}
              http_path: /sql/1.0/warehouses/{databricks_server.WAREHOUSE}
              token: ${{WAREHOUSE_SECRET}}
              catalog: main
              schema: shop
            """
    return f"""\
            warehouse:
              type: athena
              region: eu-west-1
              database: shop
              workgroup: analysts
              access_key_id: {athena_server.KEY_ID}
              secret_access_key: ${{WAREHOUSE_SECRET}}
              endpoint_url: {engine.stub.url}
              s3_endpoint_url: {engine.stub.url}
            """


@pytest.fixture
async def definition(api: Api, engine: StubEngine, tmp_path: Path) -> dict[str, Any]:
    """Store the project as `queryfleet up` does, and return what is stored."""
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    head = f"name: Visits\nproject_uuid: {PROJECT}\n"
    (folder / "project.yml").write_text(head + textwrap.dedent(warehouse_part(engine)))
    (folder / "models" / "visits.yml").write_text(textwrap.dedent(MODEL).lstrip())
    project = load_project(folder)
    catalog = load_catalog(project)
    assert not catalog.problems, catalog.problems
    await api.statuses.put_project(PROJECT, project.name, project.to_json(), catalog_to_bytes(catalog))
    await api.statuses.put_token(
        token_uuid=str(uuid.uuid4()),
        token_hash=token_hash("chief"),
        user_uuid=TOKENS["editor"],
        name="chief",
        roles={PROJECT: "editor"},
    )
    return project.to_json()


def raw(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the raw values of an answer's rows."""
    return [{name: cell["value"]["raw"] for name, cell in row.items()} for row in answer["rows"]]


async def test_sql_is_answered_page_by_page(api: Api, definition: dict[str, Any]) -> None:
    """A statement runs on the warehouse of project.yml, and any page of its result is read."""
    query_uuid = await api.submit("select visit_id, city, day from visits order by visit_id")
    outcome = await api.run(query_uuid, open_warehouse(definition))
    assert outcome.name == "READY"
    answer = (await api.poll(query_uuid, "?page=2&pageSize=2")).json()["results"]
    assert raw(answer) == [
        {"visit_id": 3, "city": "Oslo", "day": "2024-02-09"},
        {"visit_id": 4, "city": None, "day": "2024-02-10"},
    ]
    assert answer["totalResults"] == 4


async def test_metrics_are_compiled_for_the_warehouse_and_answered(api: Api, definition: dict[str, Any]) -> None:
    """A question to a model becomes SQL in the warehouse's own dialect, its texts and names quoted as it wants."""
    city = {"target": {"fieldId": "visits_city"}, "operator": "equals", "values": ["Oslo", "O'Hare"]}
    query = {
        "exploreName": "visits", "dimensions": ["visits_city"], "metrics": ["visits_pages", "visits_visit_count"],
        "filters": {"dimensions": {"and": [city]}}, "limit": 500, "tableCalculations": [],
        "sorts": [{"fieldId": "visits_pages", "descending": True}],
    }  # fmt: skip
    sent = await api.send("POST", api.path("metric-query"), token="chief", json={"query": query})
    assert sent.status_code == 200, sent.text
    query_uuid = sent.json()["results"]["queryUuid"]
    await api.run(query_uuid, open_warehouse(definition))
    answer = (await api.poll(query_uuid, token="chief")).json()["results"]
    assert answer["status"] == "ready", answer
    assert raw(answer) == [
        {"visits_city": "Oslo", "visits_pages": 11, "visits_visit_count": 2},
        {"visits_city": "O'Hare", "visits_pages": 4, "visits_visit_count": 1},
    ]


async def test_error_of_the_warehouse_reaches_the_person_with_its_place(api: Api, definition: dict[str, Any]) -> None:
    """Code, name and place of a refused statement are in the answer."""
    query_uuid = await api.submit("select *\nfrom   nosuch_table")
    await api.run(query_uuid, open_warehouse(definition))
    answer = (await api.poll(query_uuid)).json()["results"]
    assert answer["status"] == "error"
    data = answer["errorData"]
    assert (data["lineNumber"], data["position"]) == (2, 17)
    assert data["errorName"].startswith("TABLE_")
    assert data["warehouseQueryId"]


async def test_cancel_by_the_stored_id_stops_the_statement(
    api: Api, engine: StubEngine, definition: dict[str, Any]
) -> None:
    """The id is stored before there is a result, and by it anybody who has the project stops the statement."""
    query_uuid = await api.submit(engine.busy())
    running = asyncio.create_task(api.run(query_uuid, open_warehouse(definition)))
    async with asyncio.timeout(20):
        while (record := await api.statuses.load(query_uuid)) is None or record.warehouse_query_id is None:
            await asyncio.sleep(0.01)
    assert await asyncio.to_thread(engine.knows, record.warehouse_query_id)
    assert await asyncio.to_thread(stop_statement, definition, record.warehouse_query_id)
    await running
    assert wait_until(lambda: engine.sessions_left() == 0)
    assert (await api.poll(query_uuid)).json()["results"]["status"] == "error"


async def test_doctor_says_of_the_warehouse_what_is_wrong(
    api: Api, engine: StubEngine, definition: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is well with the right secret; without it, the variable is named."""

    async def found() -> list[tuple[bool, str]]:
        settings = api.services.settings
        listed = await asyncio.to_thread(lambda: list(findings(settings, ray_address=None, warehouses_only=True)))
        return [(each.is_well, each.text) for each in listed if each.part == "warehouse of Visits"]

    ((is_well, text),) = await found()
    assert is_well, text
    assert text.lower().startswith(engine.name)
    monkeypatch.delenv("WAREHOUSE_SECRET")
    ((is_well, text),) = await found()
    assert not is_well
    assert "WAREHOUSE_SECRET" in text
