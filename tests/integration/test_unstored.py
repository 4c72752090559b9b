"""Results that are not stored: pages read from Snowflake again, by its own driver, must be those of a stored result."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import httpx2
import pytest

from actors.execution import Execution
from actors.messages import Assignment, Outcome
from actors.unstored import UnstoredExecution
from queryfleet.errors import StatusStoreError
from queryfleet.settings import Settings
from queryfleet.status.postgres import PostgresStatusStore
from queryfleet.status.record import Failure
from queryfleet.status.transitions import QueryStatus
from serve_app.app import create_app
from tests.fixtures.executions import ended, until
from tests.fixtures.http_app import OTHER_PROJECT, error_of
from tests.fixtures.snowflake_types import SNOWFLAKE
from tests.fixtures.statuses import PROJECT, new_query, shared_query
from tests.servers.snowflake_login import OAUTH, PASSWORD

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

VARIABLE = "SHOP_SNOWFLAKE_PASSWORD"
OWN_MEMBERS = ("queryUuid", "attempt", "timings", "progress", "metadata", "warehouseQueryId",
               "initialQueryExecutionMs", "resultsPageExecutionMs")  # fmt: skip


def every_type(rows):
    """Return SQL with a column of each type, whose values and nulls take turns, over several chunks."""
    columns = ["i::number(18,0) as n"]
    for number, case in enumerate(SNOWFLAKE):
        literals = [literal if literal[0] == "'" else f"'{literal}'" for literal in case.literals]
        cases = " ".join(f"when i % {len(literals) + 1} = {k} then {literal}" for k, literal in enumerate(literals))
        columns.append(f"(case {cases} end)::{case.name} as c{number}")
    return f"select {', '.join(columns)} from range({rows}) as t(i)"


def definition(stub, **warehouse):
    """Return a stored project on the stub."""
    where = {"type": "snowflake", "account": stub.login.account, "user": stub.login.user, "database": "SHOP",
             "host": "127.0.0.1", "port": stub.port, "protocol": "http"}  # fmt: skip
    proof = {} if "token" in warehouse else {"password": f"${{{VARIABLE}}}"}
    return {"project_uuid": PROJECT, "name": "Shop", "folder": "/nowhere", "warehouse": where | proof | warehouse}


@pytest.fixture
async def off(api, http_settings, snowflake_stub, monkeypatch):
    """Yield the service of `api` as it is where results are not stored, its project on the stub."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    await api.statuses.put_project(PROJECT, "Shop", definition(snowflake_stub))
    app = create_app(http_settings.model_copy(update={"store_url": "none"}))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service.test", timeout=60) as http,
    ):
        yield replace(api, app=app, http=http)


def attempt(api, record, warehouse, *, project=None, statuses=None, **settings):
    """Prepare what a query actor of this service does with a claimed query."""
    assignment = Assignment(
        query_uuid=record.query_uuid, attempt=record.attempt, project_uuid=record.project_uuid,
        user_uuid=record.user_uuid, context=record.context, sql=record.sql, row_limit=record.row_limit,
        project=project or {"name": "Shop"}, resume=record.resume, pivot=record.pivot,
    )  # fmt: skip
    parts = {"statuses": statuses or api.statuses, "open_session": warehouse.open, "executor": api.executor}
    parts["settings"] = Settings(**settings)
    if api.services.settings.stores_rows:
        return Execution(assignment, store=api.services.store, **parts)
    return UnstoredExecution(assignment, **parts)


async def run(api, stub, query_uuid, **options):
    """Claim a query and run it to its end."""
    return await attempt(api, await api.claim(query_uuid), stub.warehouse(), **options).run()


async def asked(api, stub, sql, *, settings=None, **body):
    """Submit SQL, run it, and return its uuid."""
    query_uuid = await api.submit(sql, **body)
    assert await run(api, stub, query_uuid, **(settings or {})) is Outcome.READY
    return query_uuid


async def page(api, query_uuid, query):
    """Return what a page says that does not belong to one query alone, and the bytes of its rows."""
    answer = await api.poll(query_uuid, query)
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    rows = answer.content[answer.content.index(b',"rows":') :]
    return {name: value for name, value in results.items() if name not in (*OWN_MEMBERS, "rows")}, rows


def downloads(stub):
    return [number for query in stub.queries() for number in query["downloads"]]


@pytest.mark.parametrize("json_results", [False, True], ids=["arrow", "json"])
async def test_unstored_pages_are_those_of_the_stored_result(api, off, snowflake_stub, json_results):
    """Columns, totals, raw and formatted values of every type and page are the same, byte by byte."""
    snowflake_stub("faults", json_results=json_results)
    sql, total = every_type(12_345), 12_345
    stored, unstored = [await asked(each, snowflake_stub, sql) for each in (api, off)]
    for query in (
        "",
        "?page=1&pageSize=7",
        "?page=2&pageSize=900",
        "?page=3&pageSize=5000",
        f"?page={total}&pageSize=1",
    ):
        assert await page(off, unstored, query) == await page(api, stored, query), query
    record = await off.statuses.load(unstored)
    assert (record.row_count, record.chunk_count, record.byte_count) == (total, 0, 0)


async def test_unstored_query_fetches_only_what_a_page_needs(off, snowflake_stub, snowflake):
    """Nothing is downloaded until a page is asked for, then the pieces that hold it, once, with one execution."""
    query_uuid = await asked(off, snowflake_stub, snowflake.numbers(41_000))
    assert downloads(snowflake_stub) == []
    await page(off, query_uuid, "?page=1&pageSize=500")
    assert downloads(snowflake_stub) == []  # it came with the result
    await page(off, query_uuid, "?page=5&pageSize=4500")  # rows 18,000 to 22,500, over an edge
    assert sorted(downloads(snowflake_stub)) == [2, 3]
    await asyncio.gather(*(page(off, query_uuid, f"?page={number}&pageSize=500") for number in range(38, 44)))
    assert sorted(downloads(snowflake_stub)) == [2, 3]
    (query,) = snowflake_stub.queries()
    assert query["results"] == 2  # when it ended, and for the first page


async def test_unstored_results_of_any_size_end_where_they_end(api, off, snowflake_stub):
    """No row, one, and results that end at the edge of a piece have their last page, and none after it."""
    for rows in (0, 1, 1000, 1001, 21_000):
        sql = f"select i as n, i::varchar as t from range({rows}) as t(i)"
        stored, unstored = [await asked(each, snowflake_stub, sql) for each in (api, off)]
        last = max(1, -(-rows // 500))
        for query in ("", f"?page={last}"):
            assert await page(off, unstored, query) == await page(api, stored, query)
        for query in (f"?page={last + 1}", "?page=0", "?pageSize=5001", "?page=99999999999999999999"):
            answers = [await each.poll(uuid, query) for each, uuid in ((off, unstored), (api, stored))]
            assert answers[0].json() == answers[1].json()
            error_of(answers[0], 422, "PaginationError")


async def test_unstored_limits_hold_and_are_told(api, off, snowflake_stub, snowflake):
    """A limit of the request and one of the project cut as they do where results are stored."""
    own = {"result_rows_max": 1500}
    for limit, settings, rows, truncated in (
        (2500, {}, 2500, False), (1, {}, 1, False), (None, own, 1500, True), (1500, own, 1500, False),
        (1501, own, 1500, True),
    ):  # fmt: skip
        body = {} if limit is None else {"limit": limit}
        sql = snowflake.numbers(12_000)
        uuids = [await asked(each, snowflake_stub, sql, settings=settings, invalidateCache=True, **body)
                 for each in (api, off)]  # fmt: skip
        for query in ("?pageSize=5000", "?pageSize=1000&page=2" if rows > 1000 else ""):
            facts, data = await page(off, uuids[1], query)
            assert (facts, data) == await page(api, uuids[0], query)
        assert (facts["totalResults"], facts.get("truncated", False)) == (rows, truncated)


async def test_unstored_limit_that_is_an_error_ends_the_query(off, snowflake_stub, snowflake):
    """A project that wants an error at its limit gets one."""
    query_uuid = await off.submit(snowflake.numbers(2000))
    project = {"name": "Shop", "limits": {"rows": 10, "on_limit": "error"}}
    assert await run(off, snowflake_stub, query_uuid, project=project) is Outcome.ERROR
    assert (await off.poll(query_uuid)).json()["results"]["errorName"] == "LimitExceededError"


async def test_unstored_results_that_are_gone_are_told_so(off, snowflake_stub, snowflake):
    """When Snowflake has dropped the result, and when our own time is over, the answer is 404 ResultsExpiredError."""
    query_uuid = await asked(off, snowflake_stub, snowflake.numbers(3000))
    snowflake_stub("forget-results")
    error = error_of(await off.poll(query_uuid), 404, "ResultsExpiredError")
    assert "run it again" in error["message"]
    record = await off.statuses.load(query_uuid)
    kept = record.results_expire_at - record.results_created_at
    assert 86_000 < kept.total_seconds() <= 86_400
    short = {"name": "Shop", "limits": {"cache_seconds": 0.001}}
    other = await off.submit(snowflake.numbers(3000))
    assert await run(off, snowflake_stub, other, project=short) is Outcome.READY
    error_of(await off.poll(other), 404, "ResultsExpiredError")


async def test_unstored_results_are_promised_for_a_day_at_most(off, snowflake_stub, snowflake):
    """Whatever time is configured, a result is not said to be kept for longer than Snowflake keeps it."""
    query_uuid = await asked(off, snowflake_stub, snowflake.numbers(3), settings={"results_ttl_seconds": 10**6})
    record = await off.statuses.load(query_uuid)
    assert (record.results_expire_at - record.results_created_at).total_seconds() <= 86_400


async def test_unstored_results_are_read_as_the_user_who_ran_them(off, snowflake_stub, snowflake):
    """A project that logs in as another user by now is told that the rows are not there for that one."""
    query_uuid = await asked(off, snowflake_stub, snowflake.numbers(3))
    other = definition(snowflake_stub, token=f"${{{VARIABLE}_TOKEN}}", authenticator="oauth", user="SOMEBODY")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"{VARIABLE}_TOKEN", OAUTH)
        await off.statuses.put_project(PROJECT, "Shop", other)
        off.services.projects._known.clear()
        error_of(await off.poll(query_uuid), 404, "ResultsExpiredError")
    error_of(await off.poll(query_uuid, token="admin"), 404, "NotFoundError")  # another user of ours


async def test_unstored_pages_survive_lost_sessions_and_links(off, snowflake_stub, snowflake):
    """A session that Snowflake has ended, links that have expired, and a server that is busy once cost a repetition."""
    query_uuid = await asked(off, snowflake_stub, snowflake.numbers(31_000))
    _, rows = await page(off, query_uuid, "?page=3&pageSize=5000")
    snowflake_stub("end-sessions")
    snowflake_stub("faults", expired_links=True)
    facts, other = await page(off, query_uuid, "?page=4&pageSize=5000")
    assert facts["rowCount"] == 5000
    assert json.loads(other[8:-2])[0]["n"]["value"]["raw"] == 15_001
    snowflake_stub("faults", chunk_errors=1)
    assert (await page(off, query_uuid, "?page=6&pageSize=5000"))[0]["rowCount"] == 5000
    assert (await page(off, query_uuid, "?page=3&pageSize=5000"))[1] == rows


async def test_unstored_page_of_a_warehouse_that_does_not_answer_ends_in_time(off, snowflake_stub, snowflake):
    """A page is waited for as long as the setting says, and the message names it."""
    query_uuid = await asked(off, snowflake_stub, snowflake.numbers(31_000))
    off.services.lines._seconds_max = 0.3
    snowflake_stub("faults", chunk_delay_seconds=2.0)
    error = error_of(await off.poll(query_uuid, "?page=6&pageSize=5000"), 400, "TimeoutError")
    assert "QUERYFLEET_PAGE_SECONDS_MAX" in error["message"]


async def test_unstored_query_of_a_lost_actor_is_attached_to(off, snowflake_stub, snowflake):
    """The next attempt waits for the same statement: it ran once."""
    query_uuid = await off.submit(snowflake.busy())
    first = attempt(off, await off.claim(query_uuid), snowflake_stub.warehouse())
    running = asyncio.create_task(first.run())

    async def is_noted():
        return (await off.statuses.load(query_uuid)).warehouse_query_id

    noted = await until(is_noted)
    await off.statuses.lose(query_uuid, 1, attempts_max=5, reason="test")
    await first.leave()
    assert await ended(running) is Outcome.FENCED
    second = attempt(off, await off.claim(query_uuid), snowflake_stub.warehouse())
    running = asyncio.create_task(second.run())
    assert await until(is_noted) == noted
    await off.statuses.request_cancel(query_uuid)
    await second.cancel()
    assert await ended(running) is Outcome.CANCELLED
    (query,) = snowflake_stub.queries()
    assert (query["id"], query["status"]) == (noted, "FAILED_WITH_ERROR")


async def test_unstored_query_whose_actor_was_lost_after_it_ran_gives_its_rows(off, snowflake_stub, snowflake):
    """A statement that has ended meanwhile is taken over with its result."""
    query_uuid = await off.submit(snowflake.numbers(3000))
    first = attempt(off, await off.claim(query_uuid), snowflake_stub.warehouse(), statuses=_Unfinished(off.statuses))
    assert await first.run() is Outcome.FENCED
    await off.statuses.lose(query_uuid, 1, attempts_max=5, reason="test")
    assert await run(off, snowflake_stub, query_uuid) is Outcome.READY
    assert (await page(off, query_uuid, "?page=6"))[0]["totalResults"] == 3000
    assert len(snowflake_stub.queries()) == 1


class _Unfinished:
    """A status store whose process dies before the final write."""

    def __init__(self, statuses):
        self._statuses = statuses

    def __getattr__(self, name):
        return getattr(self._statuses, name)

    async def finish_unstored(self, *_, **__):
        error = StatusStoreError("The process is gone.")
        error.retryable = False
        raise error

    async def load(self, _):
        raise StatusStoreError("The process is gone.")


async def test_unstored_query_that_fails_says_why(off, snowflake_stub):
    """Errors of the SQL are told as ever."""
    query_uuid = await off.submit('select 1\n     , "nosuch"')
    assert await run(off, snowflake_stub, query_uuid) is Outcome.ERROR
    results = (await off.poll(query_uuid)).json()["results"]
    assert (results["status"], results["errorData"]["lineNumber"]) == ("error", 2)


async def test_unstored_queries_share_no_rows(off, snowflake_stub, snowflake):
    """Equal questions each run: a cache needs a store, and never is a result of the cache one without rows."""
    for _ in range(2):
        query_uuid = await asked(off, snowflake_stub, snowflake.numbers(3))
        assert (await off.statuses.load(query_uuid)).cache_hit is False
    assert len(snowflake_stub.queries()) == 2


async def test_what_needs_a_store_is_refused_by_the_name_of_the_setting(off, snowflake_stub, snowflake):
    """Streams, files, manifests, chunks, pivots and jobs answer 501 NotImplemented, and no statement runs for them."""
    query_uuid = await asked(off, snowflake_stub, snowflake.numbers(3))
    runner = f"/api/v1/projects/{PROJECT}/sqlRunner"
    pivot = {
        "indexColumn": {"reference": "n", "type": "category"},
        "valuesColumns": [{"reference": "label", "aggregation": "any"}],
        "groupByColumns": [{"reference": "g"}],
    }
    answers = [
        await off.send("GET", off.path(f"{query_uuid}/results")),
        await off.send("GET", off.path(f"{query_uuid}/manifest")),
        await off.send("GET", off.path(f"{query_uuid}/chunks/0")),
        await off.send("POST", off.path(f"{query_uuid}/download"), json={"type": "csv"}),
        await off.send("POST", off.path(f"{query_uuid}/schedule-download"), json={"type": "xlsx"}),
        await off.send("GET", f"{runner}/results/{query_uuid}"),
        await off.send("POST", f"{runner}/run", json={"sql": "select 1"}),
        await off.post({"sql": "select 1 as n, 2 as g, 3 as label", "pivotConfiguration": pivot}),
    ]
    for answer in answers:
        error = error_of(answer, 501, "NotImplemented")
        assert "QUERYFLEET_STORE_URL" in error["message"]
        assert error["data"]["setting"] == "QUERYFLEET_STORE_URL"
    assert len(snowflake_stub.queries()) == await off.query_count() == 1


async def test_queries_on_other_warehouses_are_refused_when_asked(off):
    """Nobody pays for rows that cannot be read: SQL and questions on another warehouse answer 501 at once."""
    other = definition_of_duckdb()
    await off.statuses.put_project(OTHER_PROJECT, "Other", other)
    path = off.path("sql", project=OTHER_PROJECT)
    answer = await off.send("POST", path, json={"sql": "select 1"}, token="stranger")
    error = error_of(answer, 501, "NotImplemented")
    assert error["message"].startswith("A query on duckdb needs stored results")
    assert await off.query_count() == 0


def definition_of_duckdb():
    """Return a stored project on a warehouse that keeps no results."""
    warehouse = {"type": "duckdb", "path": ":memory:", "read_only": False}
    return {"project_uuid": OTHER_PROJECT, "name": "Other", "folder": "/nowhere", "warehouse": warehouse}


async def test_queries_accepted_before_storage_was_switched_off_end_with_the_reason(off, snowflake_stub):
    """A pivot that waited in the queue meanwhile fails by the name of the setting, without a run."""
    query = new_query(sql="select 1 as n", pivot={"way": "local"})
    await off.statuses.accept(query)
    assert await run(off, snowflake_stub, query.query_uuid) is Outcome.ERROR
    record = await off.statuses.load(query.query_uuid)
    assert isinstance(record.failure, Failure)
    assert (record.failure.name, record.failure.status) == ("NotImplemented", 501)
    assert snowflake_stub.queries() == []


async def test_stored_and_unstored_results_live_beside_each_other(api, off, snowflake_stub, snowflake):
    """After storage was switched, old pages are read where they are, or refused with the reason; none is empty."""
    stored, unstored = [await asked(each, snowflake_stub, snowflake.numbers(3)) for each in (api, off)]
    assert (await page(api, unstored, ""))[1] == (await page(api, stored, ""))[1]
    assert "QUERYFLEET_STORE_URL" in error_of(await off.poll(stored), 501, "NotImplemented")["message"]
    for rest in ("results", "manifest", "chunks/0"):
        error = error_of(await api.send("GET", api.path(f"{unstored}/{rest}")), 501, "NotImplemented")
        assert "it ran while" in error["message"]
    answer = await api.send("POST", api.path(f"{unstored}/download"), json={"type": "csv"})
    error_of(answer, 501, "NotImplemented")


async def test_followers_of_an_unstored_query_read_the_same_rows(api, off, snowflake_stub, snowflake):
    """Queries that waited for one when storage was switched off share its rows; nobody does later."""
    sql = snowflake.numbers(1500)
    leader, follower = shared_query(sql=sql), shared_query(sql=sql)
    for query in (leader, follower):
        await off.statuses.accept(query)
    assert await run(off, snowflake_stub, leader.query_uuid) is Outcome.READY
    assert await page(off, follower.query_uuid, "?page=3") == await page(off, leader.query_uuid, "?page=3")
    assert (await api.statuses.accept(shared_query(sql=sql))).cache_hit is False


async def test_health_and_readiness_tell_of_no_store(off):
    """The service is ready without a store, and says that it has none."""
    health = (await off.send("GET", "/api/v1/health", token="")).json()["results"]
    assert health["storesResults"] is False
    assert (await off.send("GET", "/api/v1/readyz", token="")).json()["results"]["ready"] is True


async def test_final_write_whose_answer_is_lost_is_not_undone(off, snowflake_stub, snowflake, monkeypatch):
    """The write is repeated, and the query is ready once."""
    sent = []
    real = PostgresStatusStore.finish_unstored

    async def forgetful(self, *args, **kwargs):
        await real(self, *args, **kwargs)
        sent.append(args)
        if len(sent) == 1:
            raise StatusStoreError("The database connection failed; try again shortly.")

    monkeypatch.setattr(PostgresStatusStore, "finish_unstored", forgetful)
    query_uuid = await asked(off, snowflake_stub, snowflake.numbers(3))
    assert len(sent) == 2
    assert (await off.statuses.load(query_uuid)).status is QueryStatus.READY
