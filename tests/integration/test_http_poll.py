"""Polling, pages and cancel over HTTP, with queries that the test runs step by step."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from pathlib import Path

import pyarrow as pa
import pytest

from actors.messages import Outcome
from queryfleet.errors import WarehouseQueryError
from queryfleet.results.reader import delete_attempt
from queryfleet.status.record import Failure
from queryfleet.testing.scripted_warehouse import Script, ScriptedWarehouse
from tests.fixtures.http_app import error_of, until_watched
from tests.fixtures.statuses import PROJECT

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

PATIENCE_SECONDS = 20.0
FACTS = {"status", "queryUuid", "attempt", "progress", "timings"}
PAGE = FACTS | {
    *("rows", "columns", "page", "pageSize", "rowCount", "totalPageCount", "totalResults"),
    *("pivotDetails", "resolvedTimezone", "metadata", "initialQueryExecutionMs", "resultsPageExecutionMs"),
    "warehouseQueryId",
}


def batch(first, count):
    """Return rows numbered from `first` on."""
    return pa.record_batch({"n": pa.array(range(first, first + count), pa.int64())})


def numbers(results):
    """Return the raw values of the column `n` of a page."""
    return [row["n"]["value"]["raw"] for row in results["rows"]]


@pytest.fixture
async def ready(api):
    """A query of 25 rows that is ready; its uuid."""
    query_uuid = await api.submit()
    outcome = await api.run(query_uuid, ScriptedWarehouse(Script(batches=[batch(0, 10), batch(10, 15)])))
    assert outcome is Outcome.READY
    return query_uuid


async def test_poll_of_pending_says_where_it_stands_in_the_queue(api):
    """A client that waits for an actor learns how many are before it; the page it names does not matter yet."""
    first, second = await api.submit("select 1"), await api.submit("select 2")
    for place, query_uuid in enumerate((first, second), start=1):
        body = (await api.poll(query_uuid, "?page=99")).json()
        assert set(body) == {"status", "results"}
        assert set(body["results"]) == FACTS | {"phase", "queuePosition"}
        assert body["results"]["queuePosition"] == place
        assert (body["results"]["status"], body["results"]["phase"]) == ("pending", "queued")


async def test_poll_of_ready_is_the_page_of_the_protocol(api, ready):
    """The members are those of the protocol and the documented additions, values and counts included."""
    results = (await api.poll(ready, "?page=1&pageSize=10")).json()["results"]
    assert set(results) == PAGE | {"nextPage"}
    assert numbers(results) == list(range(10))
    assert results["rows"][7] == {"n": {"value": {"raw": 7, "formatted": "7"}}}
    assert results["columns"] == {"n": {"reference": "n", "type": "number"}}
    assert (results["page"], results["pageSize"], results["rowCount"]) == (1, 10, 10)
    assert (results["totalResults"], results["totalPageCount"], results["nextPage"]) == (25, 3, 2)
    assert set(results["metadata"]) == {"performance"}
    performance = results["metadata"]["performance"]
    assert set(performance) == {"initialQueryExecutionMs", "resultsPageExecutionMs", "queueTimeMs"}
    assert all(isinstance(value, int) for value in performance.values())
    assert results["progress"].keys() == {"rows", "bytes", "chunks"}


@pytest.mark.parametrize(
    ("query", "rows", "links"),
    [
        ("", range(25), {}),
        ("?pageSize=25", range(25), {}),
        ("?pageSize=5000", range(25), {}),
        ("?page=1&pageSize=24", range(24), {"nextPage": 2}),
        ("?page=2&pageSize=10", range(10, 20), {"nextPage": 3, "previousPage": 1}),
        ("?page=3&pageSize=10", range(20, 25), {"previousPage": 2}),
        ("?page=25&pageSize=1", range(24, 25), {"previousPage": 24}),
    ],
)
async def test_poll_of_any_page_has_its_rows_and_links_only_to_pages_there_are(api, ready, query, rows, links):
    """`nextPage` is absent on the last page, `previousPage` on the first."""
    results = (await api.poll(ready, query)).json()["results"]
    assert numbers(results) == list(rows)
    assert {name: results[name] for name in ("nextPage", "previousPage") if name in results} == links


async def test_poll_of_an_empty_result_is_one_empty_page_with_columns(api):
    """No rows is an answer: columns, zero pages, and no page two."""
    query_uuid = await api.submit()
    await api.run(query_uuid, ScriptedWarehouse(Script(schema=batch(0, 1).schema)))
    results = (await api.poll(query_uuid)).json()["results"]
    assert (results["rows"], results["totalResults"], results["totalPageCount"]) == ([], 0, 0)
    assert results["columns"] == {"n": {"reference": "n", "type": "number"}}
    assert {"nextPage", "previousPage"} & set(results) == set()
    error_of(await api.poll(query_uuid, "?page=2"), 422, "PaginationError")


@pytest.mark.parametrize(
    ("query", "name", "member"),
    [
        ("?page=0", "PaginationError", "page"),
        ("?page=-1", "PaginationError", "page"),
        ("?page=4&pageSize=10", "PaginationError", "page"),
        (f"?page={10**30}", "PaginationError", "page"),
        ("?pageSize=0", "PaginationError", "pageSize"),
        ("?pageSize=-5", "PaginationError", "pageSize"),
        ("?pageSize=5001", "PaginationError", "pageSize"),
        ("?page=one", "ValidateError", "page"),
        ("?page=1.5", "ValidateError", "page"),
        ("?page=", "ValidateError", "page"),
        ("?pageSize=many", "ValidateError", "pageSize"),
        ("?waitMs=-1", "ValidateError", "waitMs"),
        ("?waitMs=60001", "ValidateError", "waitMs"),
        ("?waitMs=soon", "ValidateError", "waitMs"),
    ],
)
async def test_poll_with_a_bad_parameter_is_422_and_names_it(api, ready, query, name, member):
    """Out of range is one error, the wrong type another; each names the parameter."""
    error = error_of(await api.poll(ready, query), 422, name)
    assert member in error["data"]


@pytest.mark.parametrize(
    "query_uuid", [str(uuid.uuid4()), "nonsense", "00000000", "%00", "{brace}", "select", "1' or '1'='1"]
)
async def test_poll_of_an_unknown_or_malformed_query_is_404(api, query_uuid):
    """A query that does not exist and nonsense look the same, for polls and for cancels."""
    error_of(await api.poll(query_uuid), 404, "NotFoundError")
    error_of(await api.send("POST", api.path(f"{query_uuid}/cancel")), 404, "NotFoundError")


async def test_poll_of_somebody_elses_query_is_404(api, ready):
    """Another user of the same project, even an admin, can neither read nor cancel it; nor can another project."""
    running = await api.submit("select 2")
    for query_uuid in (ready, running):
        error_of(await api.poll(query_uuid, token="admin"), 404, "NotFoundError")
        error_of(await api.poll(query_uuid, token="stranger"), 404, "NotFoundError")
        cancel = await api.send("POST", api.path(f"{query_uuid}/cancel"), token="admin")
        error_of(cancel, 404, "NotFoundError")
    assert (await api.poll(running)).json()["results"]["status"] == "pending"


async def test_poll_by_a_viewer_of_their_own_query_is_allowed(api, ready):
    """Reading a result needs no right to run SQL."""
    assert (await api.poll(ready, token="viewer")).json()["results"]["status"] == "ready"


async def test_poll_of_an_error_says_what_the_warehouse_said(api):
    """Message, name, data and time are there, and nothing of the service's own inside."""
    query_uuid = await api.submit("select x")
    failure = WarehouseQueryError("no such column: x", sqlState="42703", position=8)
    await api.run(query_uuid, ScriptedWarehouse(Script(batches=[batch(0, 1)], failures={"submit": failure})))
    results = (await api.poll(query_uuid)).json()["results"]
    assert set(results) == FACTS | {"error", "errorName", "errorData", "erroredAt"}
    assert (results["error"], results["errorName"]) == ("no such column: x", "WarehouseQueryError")
    assert results["errorData"] == {"sqlState": "42703", "position": 8}
    errored_at = results["erroredAt"]
    assert errored_at.endswith("Z")
    assert len(errored_at) == len("2026-01-02T03:04:05.678Z")


async def test_poll_of_a_running_query_gives_a_named_page_once_it_is_stored(api):
    """Rows can be read while more are coming; a page that is not whole yet is not sent."""
    query_uuid = await api.submit()
    warehouse = ScriptedWarehouse(Script(batches=[batch(0, 10), batch(10, 10)], pauses={"batch:1"}))
    execution = api.execution(await api.claim(query_uuid), warehouse, chunk_age_seconds=0.02)
    running = asyncio.create_task(execution.run())
    held = await api.poll(query_uuid, "?page=2&pageSize=5&waitMs=20000")
    results = held.json()["results"]
    assert (results["status"], results["phase"]) == ("running", "fetching")
    assert numbers(results) == [5, 6, 7, 8, 9]
    assert (results["page"], results["pageSize"], results["rowCount"]) == (2, 5, 5)
    assert "totalResults" not in results
    assert "rows" not in (await api.poll(query_uuid, "?page=3&pageSize=5")).json()["results"]
    assert "rows" not in (await api.poll(query_uuid)).json()["results"]
    session = warehouse.sessions[0]
    await asyncio.to_thread(session.wait_for, "batch:1")
    session.release("batch:1")
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await running is Outcome.READY
    assert numbers((await api.poll(query_uuid, "?page=4&pageSize=5")).json()["results"]) == [15, 16, 17, 18, 19]


@pytest.mark.parametrize("forgotten", [False, True])
async def test_poll_of_a_running_query_whose_attempt_is_given_up_has_no_rows(api, forgotten):
    """While what it had stored is being removed, the query still runs: its rows are neither expired nor damaged."""
    query_uuid = await api.submit()
    warehouse = ScriptedWarehouse(Script(batches=[batch(0, 10), batch(10, 10)], pauses={"batch:1"}))
    execution = api.execution(await api.claim(query_uuid), warehouse, chunk_age_seconds=0.02)
    running = asyncio.create_task(execution.run())
    held = await api.poll(query_uuid, "?page=1&pageSize=5&waitMs=20000")
    assert numbers(held.json()["results"]) == [0, 1, 2, 3, 4]
    await delete_attempt(api.services.store, query_uuid, 1)
    if forgotten:
        await api.statuses.forget_chunks(query_uuid, 1)
    answer = await api.poll(query_uuid, "?page=1&pageSize=5")
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"]["status"] == "running"
    assert "rows" not in answer.json()["results"]
    warehouse.sessions[0].release("batch:1")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await running


async def test_long_poll_wakes_on_the_end_within_a_second_and_not_before(api):
    """A held request is answered when its query has ended, not when another one changes."""
    query_uuid, other = await api.submit("select 1"), await api.submit("select 2")
    held = asyncio.create_task(api.poll(query_uuid, "?waitMs=20000"))
    await until_watched(api)
    await api.run(other, ScriptedWarehouse(Script(batches=[batch(0, 1)])))
    record = await api.claim(query_uuid)
    assert not held.done()
    await api.statuses.fail(query_uuid, record.attempt, Failure(name="X", message="x"))
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE_SECONDS):
        results = (await held).json()["results"]
    assert time.monotonic() - began < 1.0
    assert results["status"] == "error"


async def test_long_poll_ends_with_its_time(api):
    """When nothing happens the answer comes at the end of the wait, and no waiter is left."""
    query_uuid = await api.submit()
    began = time.monotonic()
    results = (await api.poll(query_uuid, "?waitMs=300")).json()["results"]
    assert results["status"] == "pending"
    assert 0.3 <= time.monotonic() - began < 5
    assert api.services.listener.watcher_count == 0


async def test_long_polls_by_many_are_all_woken(api):
    """A hundred held requests cost no thread each, and one change answers them all."""
    query_uuid = await api.submit()
    held = [asyncio.create_task(api.poll(query_uuid, "?waitMs=20000")) for _ in range(100)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while api.services.listener.watcher_count < len(held):
            await asyncio.sleep(0.005)
        await api.statuses.request_cancel(query_uuid)
        answers = await asyncio.gather(*held)
    assert {answer.json()["results"]["status"] for answer in answers} == {"cancelled"}


async def test_cancel_of_pending_ends_it_and_answers_null(api):
    """A query that was not started never starts; the answer has the key that old clients need."""
    query_uuid = await api.submit()
    for _ in range(2):
        answer = await api.send("POST", api.path(f"{query_uuid}/cancel"))
        assert answer.json() == {"status": "ok", "results": None}
    results = (await api.poll(query_uuid)).json()["results"]
    assert set(results) == FACTS | {"cancelledAt"}
    assert results["status"] == "cancelled"
    assert await api.statuses.claim(query_uuid, "query-a", lease_seconds=30) is None


async def test_cancel_of_running_answers_when_the_warehouse_has_let_go(api):
    """The answer waits for the end: the next poll says cancelled, and the rows are gone."""
    query_uuid = await api.submit()
    warehouse = ScriptedWarehouse(Script(batches=[batch(0, 10), batch(10, 10)], pauses={"batch:1"}))
    execution = api.execution(await api.claim(query_uuid), warehouse)
    running = asyncio.create_task(execution.run())
    while not warehouse.sessions:
        await asyncio.sleep(0.005)
    await asyncio.to_thread(warehouse.sessions[0].wait_for, "batch:1")
    cancelling = asyncio.create_task(api.send("POST", api.path(f"{query_uuid}/cancel")))
    await until_watched(api)
    results = (await api.poll(query_uuid)).json()["results"]
    assert (results["status"], results["cancelRequested"]) == ("running", True)
    assert not cancelling.done()
    await execution.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await cancelling).json() == {"status": "ok", "results": None}
        assert await running is Outcome.CANCELLED
    assert (await api.poll(query_uuid)).json()["results"]["status"] == "cancelled"


async def test_cancel_of_ready_changes_nothing(api, ready):
    """A result that is there stays there."""
    answer = await api.send("POST", api.path(f"{ready}/cancel"))
    assert answer.json() == {"status": "ok", "results": None}
    assert len(numbers((await api.poll(ready)).json()["results"])) == 25


async def test_poll_of_expired_results_is_404(api):
    """Rows whose time is over are told as expired, and when that was."""
    query_uuid = await api.submit()
    warehouse = ScriptedWarehouse(Script(batches=[batch(0, 1)]))
    await api.run(query_uuid, warehouse)
    async with api.statuses._pool.connection() as connection:
        await connection.execute("update query set results_expire_at = now() - interval '1 second'")
    error = error_of(await api.poll(query_uuid), 404, "ResultsExpiredError")
    assert error["data"]["expiredAt"].endswith("Z")


def _objects(http_settings):
    """Return the files of every stored chunk."""
    return sorted(Path(http_settings.store_url.removeprefix("file://")).rglob("*.jsonl"))


async def test_poll_of_rows_that_are_gone_is_404(api, ready, http_settings):
    """Objects that somebody removed are told as expired, not as an empty page."""
    for path in _objects(http_settings):
        path.unlink()
    error_of(await api.poll(ready), 404, "ResultsExpiredError")


async def test_poll_of_damaged_rows_is_500_and_shows_none(api, ready, http_settings):
    """A flipped bit is an error that says what to do, never a wrong value."""
    (path,) = _objects(http_settings)
    data = bytearray(path.read_bytes())
    data[6] ^= 1
    path.write_bytes(data)
    error = error_of(await api.poll(ready), 500, "S3Error")
    assert "Run the query again" in error["message"]


async def test_same_question_asked_again_is_answered_from_the_first_result(api, ready):
    """An equal question has its rows at once, says so, and `invalidateCache` asks for new ones."""
    answer = (await api.post({"sql": "select 1 as n", "waitMs": 5000})).json()["results"]
    assert answer["cacheMetadata"]["cacheHit"] is True
    assert answer["queryUuid"] != ready
    assert numbers(answer) == list(range(25))
    fresh = (await api.post({"sql": "select 1 as n", "invalidateCache": True})).json()["results"]
    assert (fresh["cacheMetadata"], fresh["status"]) == ({"cacheHit": False}, "pending")


async def test_rows_are_valid_json_for_every_type_of_a_warehouse(api):
    """Columns of many types, names that need escaping, and nulls come as one valid document."""
    query_uuid = await api.submit()
    names = ['a"b', "größe", "東京", "n", "t", "l"]
    values = pa.record_batch(
        [
            pa.array([1.5, float("nan"), None]),
            pa.array([2**60, -1, None]),
            pa.array(["🏺", '"\n', None]),
            pa.array([True, False, None]),
            pa.array([0, 10**15, None], pa.timestamp("us")),
            pa.array([[1], [], None]),
        ],
        names=names,
    )
    await api.run(query_uuid, ScriptedWarehouse(Script(batches=[values])))
    results = json.loads((await api.poll(query_uuid)).content, parse_constant=pytest.fail)["results"]
    assert [list(row) for row in results["rows"]] == [names] * 3
    assert list(results["columns"]) == names
    assert [cell["value"]["formatted"] for cell in results["rows"][2].values()] == ["∅"] * 6
    assert results["rows"][0]["größe"]["value"]["raw"] == str(2**60)


async def test_history_shows_ones_own_queries_and_an_admin_everybodys(api, ready):
    """A user sees their own questions, an admin of the project all; nobody sees another project's."""
    path = f"/api/v2/projects/{PROJECT}/query-history"
    foreign = (await api.post({"sql": "select 3"}, token="admin")).json()["results"]["queryUuid"]
    own = (await api.send("GET", path)).json()["results"]
    everybody = (await api.send("GET", path, token="admin")).json()["results"]
    assert [entry["queryUuid"] for entry in own["queries"]] == [ready]
    assert [entry["queryUuid"] for entry in everybody["queries"]] == [foreign, ready]
    assert own["queries"][0]["sql"] == "select 1 as n"
    error_of(await api.send("GET", path, token="stranger"), 404, "NotFoundError")
    error_of(await api.send("GET", path + "?page=0"), 422, "PaginationError")
    error_of(await api.send("GET", path + "?pageSize=1001"), 422, "PaginationError")
    error_of(await api.send("GET", path + "?status=done"), 422, "ValidateError")
    error_of(await api.send("GET", path + "?since=yesterday"), 422, "ValidateError")
    beyond = await api.send("GET", f"{path}?page={10**18}")
    assert beyond.json()["results"]["queries"] == []
