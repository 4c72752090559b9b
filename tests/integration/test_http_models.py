"""Explores, SQL runner, jobs, pushed models and tokens over HTTP."""

from __future__ import annotations

import json

import httpx2
import pytest

from queryfleet.testing.scripted_warehouse import Script, ScriptedWarehouse
from serve_app.app import create_app
from tests.fixtures.http_app import error_of
from tests.fixtures.market import raw
from tests.fixtures.statuses import PROJECT

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


async def results(market, method, path, body=None, **who):
    """Return the results of a request that is accepted."""
    answer = await market.send(method, path, body, **who)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


# Explores ------------------------------------------------------------------------------------------------------


async def test_explores_are_those_the_caller_may_use(market):
    """An explore that attributes take away is not in the list, and its name is nowhere in the answer."""
    listed = {
        who: [each["name"] for each in await results(market, "GET", market.v1("explores"), who=who)]
        for who in ("chief", "north", "boss")
    }
    assert listed == {
        "chief": ["payroll", "sales", "stores"],
        "north": ["sales", "stores"],
        "boss": ["sales", "stores"],
    }
    assert "payroll" not in (await market.send("GET", market.v1("explores"), who="north")).text


async def test_explore_has_the_listed_fields_of_its_tables(market):
    """Hidden fields, and those that attributes take away with what is made of them, are left out; filters always."""
    document = await results(market, "GET", market.v1("explores/sales"))
    sales = document["tables"]["sales"]
    assert (document["baseTable"], list(document["tables"])) == ("sales", ["sales", "stores"])
    assert list(sales["dimensions"]) == [
        *("sale_id", "payment", "amount", "converted", "sold_at", "sold_at_day", "sold_at_month"),
    ]
    assert sales["dimensions"]["amount"]["format"] == "eur"
    assert {"margin", "doubled_margin"} <= set(sales["metrics"])
    theirs = await market.send("GET", market.v1("explores/sales"), who="north")
    assert set(theirs.json()["results"]["tables"]["sales"]["metrics"]) == {"revenue", "sale_count"}
    for word in ("margin", "exists", "ld.attr"):
        assert word not in theirs.text


async def test_explore_that_is_not_there_gets_the_nearest_open_one(market):
    """Advice never names what the caller must not know of."""
    error = error_of(await market.send("GET", market.v1("explores/sale")), 404, "NotFoundError")
    assert "`sales`" in error["message"]
    error = error_of(await market.send("GET", market.v1("explores/payrol"), who="north"), 404, "NotFoundError")
    assert "payroll" not in error["message"]
    error_of(await market.send("GET", market.v1("explores/payroll"), who="north"), 403, "ForbiddenError")


async def test_routes_of_models_need_a_token_and_a_role(market):
    """Nobody learns anything of a project that is not theirs."""
    paths = ("explores", "explores/sales", "sqlRunner/tables", "sqlRunner/fields?table=sales")
    for path in paths:
        error_of(await market.api.send("GET", market.v1(path), token=""), 401, "AuthorizationError")
        error_of(await market.send("GET", market.v1(path), who="stranger"), 404, "NotFoundError")


# SQL runner ----------------------------------------------------------------------------------------------------


async def test_sql_job_ends_with_the_address_of_its_lines(market):
    """A job is a query: its rows come as lines, whole and raw."""
    sql = "select store_id, city from stores order by 1"
    job = (await results(market, "POST", market.v1("sqlRunner/run"), {"sql": sql, "limit": 3}))["jobId"]
    while (state := await results(market, "GET", f"/api/v1/schedulers/job/{job}/status"))["status"] != "completed":
        assert state["status"] in ("scheduled", "started")
    details = state["details"]
    assert details["columns"] == [
        {"reference": "store_id", "type": "number"},
        {"reference": "city", "type": "string"},
    ]
    answer = await market.send("GET", details["fileUrl"])
    assert answer.headers["content-type"].startswith("application/jsonl")
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {"store_id": number, "city": city} for number, city in ((1, "Oslo"), (2, "Bergen"), (3, "Rome"))
    ]


async def test_sql_job_that_fails_says_why(market):
    """The warehouse's message reaches who asked."""
    job = (await results(market, "POST", market.v1("sqlRunner/run"), {"sql": "select * from nosuch"}))["jobId"]
    while (state := await results(market, "GET", f"/api/v1/schedulers/job/{job}/status"))["status"] != "error":
        assert state["details"] is None
    assert "nosuch" in state["details"]["error"]
    lines = await market.send("GET", market.v1(f"sqlRunner/results/{job}"))
    assert "nosuch" in error_of(lines, 400, "WarehouseQueryError")["message"]


async def test_sql_job_without_rows_is_an_empty_file(market):
    """Nothing found is no error."""
    body = {"sql": "select * from stores where false"}
    job = (await results(market, "POST", market.v1("sqlRunner/run"), body))["jobId"]
    while (await results(market, "GET", f"/api/v1/schedulers/job/{job}/status"))["status"] != "completed":
        pass
    answer = await market.send("GET", market.v1(f"sqlRunner/results/{job}"))
    assert (answer.status_code, answer.content) == (200, b"")


async def test_job_of_another_user_is_not_found(market):
    """A uuid opens nothing to somebody else, and neither does one that was never given."""
    job = (await results(market, "POST", market.v1("sqlRunner/run"), {"sql": "select 1"}))["jobId"]
    for path in (f"/api/v1/schedulers/job/{job}/status", market.v1(f"sqlRunner/results/{job}")):
        error_of(await market.send("GET", path, who="analyst"), 404, "NotFoundError")
    for name in ("11111111-1111-4111-8111-111111111111", "x"):
        error_of(await market.send("GET", f"/api/v1/schedulers/job/{name}/status"), 404, "NotFoundError")


async def test_lines_of_a_running_query_are_a_conflict(api):
    """Lines are sent of whole results only; the answer says how the query is."""
    query_uuid = await api.submit()
    path = f"/api/v1/projects/{PROJECT}/sqlRunner/results/{query_uuid}"
    assert error_of(await api.send("GET", path), 409, "ConflictError")["data"] == {"status": "pending"}


async def test_lines_of_many_chunks_are_the_whole_result(api):
    """Every chunk is sent, in order."""
    import pyarrow as pa

    numbers = pa.record_batch({"n": pa.array(range(50_000), pa.int64())})
    query_uuid = await api.submit()
    await api.run(query_uuid, ScriptedWarehouse(Script(batches=[numbers] * 3)), chunk_bytes_first=64 * 1024)
    answer = await api.send("GET", f"/api/v1/projects/{PROJECT}/sqlRunner/results/{query_uuid}")
    found = [json.loads(line)["n"] for line in answer.text.splitlines()]
    assert found == [*range(50_000)] * 3


async def test_lines_whose_object_is_gone_are_expired(api):
    """Rows that are not stored any more are never half sent with a good status."""
    import pyarrow as pa

    from queryfleet.results.reader import delete_attempt

    query_uuid = await api.submit()
    batch = pa.record_batch({"n": pa.array([1], pa.int64())})
    await api.run(query_uuid, ScriptedWarehouse(Script(batches=[batch])))
    await delete_attempt(api.services.store, query_uuid, 1)
    answer = await api.send("GET", f"/api/v1/projects/{PROJECT}/sqlRunner/results/{query_uuid}")
    error_of(answer, 404, "ResultsExpiredError")


async def test_sql_runner_needs_the_right_to_run_sql(market):
    """Whoever may only ask the models cannot get around their row filters."""
    error_of(
        await market.send("POST", market.v1("sqlRunner/run"), {"sql": "select 1"}, who="north"), 403, "ForbiddenError"
    )
    for path in ("sqlRunner/tables", "sqlRunner/fields?table=stores"):
        error_of(await market.send("GET", market.v1(path), who="north"), 403, "ForbiddenError")


async def test_tables_and_fields_are_the_warehouses_own(market):
    """What the login can read is listed, with the types of the contract."""
    tables = await results(market, "GET", market.v1("sqlRunner/tables"))
    assert tables == {"market": {"main": {"sales": {}, "stores": {}}}}
    fields = await results(market, "GET", market.v1("sqlRunner/fields?table=sales&schema=main"))
    assert fields == {
        "sale_id": "number",
        "store_id": "number",
        "amount": "number",
        "sold_at": "timestamp",
        "payment": "string",
    }
    error_of(await market.send("GET", market.v1("sqlRunner/fields?table=no'such")), 404, "NotFoundError")
    error_of(await market.send("GET", market.v1("sqlRunner/fields")), 422, "ValidateError")


# Pushed models -------------------------------------------------------------------------------------------------


async def test_pushed_models_answer_the_next_question_of_every_replica(market, http_settings):
    """A new version is seen at once, also where the old one was in use."""
    other = create_app(http_settings)
    transport = httpx2.ASGITransport(app=other)
    headers = {"Authorization": "ApiKey chief"}
    async with (
        other.router.lifespan_context(other),
        httpx2.AsyncClient(transport=transport, base_url="http://other.test", headers=headers) as http,
    ):
        before = await http.get(market.v1("explores/stores"))
        assert "town" not in before.json()["results"]["tables"]["stores"]["dimensions"]
        files = market.files()
        files["models/stores.yml"] = files["models/stores.yml"].replace("name: city", "name: town")
        pushed = await results(market, "PUT", market.v1("models"), {"files": files}, who="boss")
        assert (pushed["explores"], pushed["problems"]) == (["payroll", "sales", "stores"], [])
        for answer in (
            await http.get(market.v1("explores/stores")),
            await market.send("GET", market.v1("explores/stores")),
        ):
            assert "town" in answer.json()["results"]["tables"]["stores"]["dimensions"]


async def test_pushed_models_with_an_error_change_nothing(market):
    """Every problem is told with its file, line and the nearest right name, and the old models stay."""
    files = market.files()
    files["models/stores.yml"] = files["models/stores.yml"].replace("sql_filter:", "sql_filtr:")
    version = await market.api.statuses.project_version(PROJECT)
    answer = await market.send("PUT", market.v1("models"), {"files": files}, who="boss")
    error = error_of(answer, 400, "CompileError")
    problem = error["data"]["problems"][0]
    assert (problem["severity"], problem["file"], problem["line"]) == ("error", "models/stores.yml", 5)
    assert "sql_filter" in problem["message"]
    assert await market.api.statuses.project_version(PROJECT) == version


async def test_pushed_project_leaves_warehouse_and_rights_alone(market):
    """Where the warehouse is and what may be done to it is decided where the service is started."""
    files = market.files()
    text = files["project.yml"].replace("path: market.duckdb", "path: /etc/passwd, read_only: false")
    files["project.yml"] = text.replace("Europe/Berlin", "Asia/Tokyo") + "allow_writes: true\nlimits: {rows: 1}\n"
    before = await market.api.statuses.load_project(PROJECT)
    await results(market, "PUT", market.v1("models"), {"files": files}, who="boss")
    assert await market.api.statuses.load_project(PROJECT) == before | {"timezone": "Asia/Tokyo"}


@pytest.mark.parametrize(
    "name", ["../x.yml", "/etc/x.yml", "models/../../x.yml", "models/x.sh", "models//x.yml", "x.yml", "models/./x.yml"]
)
async def test_pushed_file_outside_of_the_project_is_refused(market, name):
    """Nothing is ever written anywhere but for compiling it."""
    files = market.files() | {name: "x"}
    answer = await market.send("PUT", market.v1("models"), {"files": files}, who="boss")
    error_of(answer, 400, "ParameterError")


async def test_push_needs_the_role_admin_and_the_right_project(market):
    """Who may run SQL may not change what others see."""
    body = {"files": market.files()}
    error_of(await market.send("PUT", market.v1("models"), body, who="chief"), 403, "ForbiddenError")
    body["files"]["project.yml"] = body["files"]["project.yml"].replace(PROJECT, PROJECT.replace("11", "22"))
    error_of(await market.send("PUT", market.v1("models"), body, who="boss"), 400, "ParameterError")
    answer = await market.send("PUT", market.v1("models"), {"files": {"models/a.yml": ""}}, who="boss")
    assert "project.yml" in error_of(answer, 400, "CompileError")["message"]


# Tokens --------------------------------------------------------------------------------------------------------


async def test_new_token_has_its_attributes_and_no_more(market):
    """A person who is let in sees what their attributes say."""
    body = {"name": "Ada", "role": "viewer", "attributes": {"region": "south"}, "email": "ada@example.com"}
    made = await results(market, "POST", market.v1("tokens"), body, who="boss")
    listed = await market.send("GET", market.v1("explores"), who=made["token"])
    assert [each["name"] for each in listed.json()["results"]] == ["sales", "stores"]
    error_of(await market.send("POST", market.v1("tokens"), body, who=made["token"]), 403, "ForbiddenError")
    rows = await market.rows(explore="stores", dimensions=["stores_city"], who=made["token"])
    assert {row["stores_city"] for row in rows} == {"Rome", "Bari"}


async def test_new_token_of_an_unknown_role_is_refused(market):
    """The message says which roles there are."""
    answer = await market.send("POST", market.v1("tokens"), {"name": "x", "role": "owner"}, who="boss")
    assert "viewer" in error_of(answer, 422, "ValidateError")["message"]


async def test_revoked_token_ends_and_is_listed_no_more(market, monkeypatch):
    """Admins see who may enter, and take that away; nobody else can, and no admin locks themselves out."""
    monkeypatch.setattr("serve_app.accounts._REMEMBER_SECONDS", 0.0)
    body = {"name": "Ada", "role": "viewer", "attributes": {"region": "south"}, "email": "ada@example.com"}
    made = await results(market, "POST", market.v1("tokens"), body, who="boss")
    listed = (await market.send("GET", market.v1("tokens"), who="boss")).json()["results"]
    (ada,) = [each for each in listed if each["tokenUuid"] == made["tokenUuid"]]
    assert (ada["name"], ada["role"], ada["attributes"]) == ("Ada", "viewer", {"region": ["south"]})
    assert made["token"] not in json.dumps(listed)
    one = market.v1(f"tokens/{made['tokenUuid']}")
    for who in (made["token"], "chief"):
        error_of(await market.send("GET", market.v1("tokens"), who=who), 403, "ForbiddenError")
        error_of(await market.send("DELETE", one, who=who), 403, "ForbiddenError")
    assert (await market.send("DELETE", one, who="boss")).json() == {"status": "ok", "results": None}
    error_of(await market.send("GET", market.v1("explores"), who=made["token"]), 401, "AuthorizationError")
    error_of(await market.send("DELETE", one, who="boss"), 404, "NotFoundError")
    error_of(await market.send("DELETE", market.v1("tokens/nonsense"), who="boss"), 404, "NotFoundError")
    left = (await market.send("GET", market.v1("tokens"), who="boss")).json()["results"]
    assert [each for each in listed if each != ada] == left
    (boss,) = [each["tokenUuid"] for each in left if each["name"] == "boss"]
    error_of(await market.send("DELETE", market.v1(f"tokens/{boss}"), who="boss"), 409, "ConflictError")


# Field values --------------------------------------------------------------------------------------------------


async def search(market, table, field_id, word="", *, who="chief", **body):
    """Search and return the values."""
    asked = {"table": table, "fieldId": field_id, "search": word, **body}
    answer = await market.send("POST", market.api.path("field-values?waitMs=20000"), asked, who=who)
    assert answer.status_code == 200, answer.text
    found = answer.json()["results"]
    assert (found["valueFieldId"], found["labelFieldId"]) == (field_id, None)
    return [row[field_id] for row in raw(found)]


async def test_field_values_are_found_in_any_case_and_in_order(market):
    """A search for a part of a word finds it however it is written; nothing is not a value."""
    assert await search(market, "stores", "stores_city", "B") == ["Bari", "Bergen"]
    assert await search(market, "stores", "stores_city", "b", limit=1) == ["Bari"]
    assert await search(market, "stores", "stores_region") == ["north", "south"]
    assert await search(market, "stores", "stores_city", "%") == []


@pytest.mark.parametrize("limit", [-1, 10_001])
async def test_field_values_with_a_limit_out_of_range_are_refused(market, limit):
    """The message says what a limit may be."""
    asked = {"table": "stores", "fieldId": "stores_city", "search": "", "limit": limit}
    answer = await market.send("POST", market.api.path("field-values"), asked)
    assert (answer.status_code, answer.json()["error"]["name"]) == (400, "ParameterError")
    assert "0 to 10000" in answer.text


async def test_field_values_are_narrowed_by_the_filters_that_fit(market):
    """Rules on fields of other explores are left out."""
    filters = {
        "and": [
            {"target": {"fieldId": "stores_region"}, "operator": "equals", "values": ["north"]},
            {"target": {"fieldId": "other_field"}, "operator": "equals", "values": ["x"]},
        ]
    }
    assert await search(market, "stores", "stores_city", filters=filters) == ["Bergen", "Oslo"]


async def test_field_values_that_the_models_list_need_no_warehouse(market):
    """The search is ready when it is accepted, and its rows are read like any others."""
    assert await search(market, "sales", "sales_payment", "CA") == ["cash", "card", "gift card"]
    assert await search(market, "sales", "sales_payment", "nothing") == []
    body = {"table": "sales", "fieldId": "sales_payment", "search": ""}
    answer = await market.send("POST", market.api.path("field-values"), body)
    query_uuid = answer.json()["results"]["queryUuid"]
    record = await market.api.statuses.load(query_uuid)
    assert (record.status.value, record.attempt, record.warehouse_query_id) == ("ready", 0, None)


async def test_field_values_of_what_is_not_there_or_not_open(market):
    """Unknown names are 404 with advice, metrics 400, and what is not the caller's 403."""

    async def refused(table, field_id, status, name, who="chief"):
        body = {"table": table, "fieldId": field_id, "search": ""}
        return error_of(await market.send("POST", market.api.path("field-values"), body, who=who), status, name)

    assert "`stores`" in (await refused("store", "stores_city", 404, "NotFoundError"))["message"]
    assert "`stores_city`" in (await refused("stores", "stores_citi", 404, "NotFoundError"))["message"]
    await refused("sales", "sales_revenue", 400, "ParameterError")
    await refused("payroll", "payroll_store_id", 403, "ForbiddenError", who="north")
    assert "payroll" not in (await refused("payrol", "x", 404, "NotFoundError", who="north"))["message"]
