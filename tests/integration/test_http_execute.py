"""`POST …/query/sql`: what is accepted, what is refused, and that a refused request leaves nothing."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from queryfleet.model import ColumnType
from queryfleet.status.transitions import QueryStatus
from queryfleet.warehouse.duckdb import DuckDBWarehouse
from tests.fixtures.http_app import BODY_BYTES_MAX, OTHER_PROJECT, error_of, until_watched
from tests.fixtures.statuses import PROJECT

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

PATIENCE_SECONDS = 20.0
ACCEPTED = {
    "queryUuid",
    "cacheMetadata",
    "parameterReferences",
    "usedParametersValues",
    "resolvedTimezone",
    "status",
}


@pytest.fixture
def warehouse():
    """A warehouse without tables."""
    return DuckDBWarehouse(path=":memory:", read_only=False, allow_external_access=False)


@pytest.mark.parametrize("scheme", ["ApiKey", "Bearer", "apikey"])
async def test_execute_is_accepted_at_once_and_committed(api, scheme):
    """The answer has exactly the members of the protocol, and the query is in the database by then."""
    answer = await api.post({"sql": "select 1", "limit": 7}, headers={"Authorization": f"{scheme} editor"})
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"status", "results"}
    results = body["results"]
    assert set(results) == ACCEPTED
    assert results | {"queryUuid": ""} == {
        "queryUuid": "",
        "cacheMetadata": {"cacheHit": False},
        "parameterReferences": [],
        "usedParametersValues": {},
        "resolvedTimezone": None,
        "status": "pending",
    }
    record = await api.claim(results["queryUuid"])
    assert (record.sql, record.row_limit, record.context) == ("select 1", 7, "sqlRunner")


async def test_execute_ignores_members_it_does_not_know(api):
    """Other clients of the protocol send more; that is no error."""
    answer = await api.post({"sql": "select 1", "usePreAggregateCache": True, "context": "api", "x": [1]})
    assert (await api.claim(answer.json()["results"]["queryUuid"])).context == "api"


async def test_execute_keeps_the_text_of_the_statement(api):
    """Comments, line breaks, other scripts and a trailing semicolon reach the warehouse as they were sent."""
    statement = "select 'größe 東京 🏺' as \"a b\" -- note\n;\n"
    assert (await api.claim(await api.submit(statement))).sql == statement


@pytest.mark.parametrize("authorization", [None, "", "Basic YTpi", "ApiKey", "editor", "ApiKey nobody", "Bearer a b"])
async def test_execute_without_a_valid_token_is_401(api, authorization):
    """No token, another scheme, a malformed or unknown token: refused, with the way to ask."""
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await api.post({"sql": "select 1"}, token="", headers=headers)
    error_of(answer, 401, "AuthorizationError")
    assert answer.headers["WWW-Authenticate"] == "ApiKey"
    assert await api.query_count() == 0


@pytest.mark.parametrize(
    "project",
    [str(uuid.uuid4()), OTHER_PROJECT, "nonsense", "%00", PROJECT[:-1], "5f0c2a52%2F", "'%20or%201=1"],
)
async def test_execute_in_another_or_no_project_is_404(api, project):
    """A project of somebody else, one that does not exist and nonsense look the same."""
    answer = await api.send("POST", api.path("sql", project), json={"sql": "select 1"})
    error_of(answer, 404, "NotFoundError")
    assert await api.query_count() == 0


REFUSED = {
    "malformed": (b'{"sql": "select 1"', 400, "ParameterError", "body"),
    "empty body": (b"", 400, "ParameterError", "body"),
    "no utf-8": (b'{"sql": "\xff"}', 400, "ParameterError", "body"),
    "not a json number": (b'{"sql": "select 1", "limit": NaN}', 400, "ParameterError", "body"),
    "endless number": (b'{"sql": "select 1", "limit": ' + b"9" * 5000 + b"}", 400, "ParameterError", "body"),
    "too deep": (b"[" * 100_000, 400, "ParameterError", "body"),
    "list": ([], 422, "ValidateError", "body"),
    "text": ("select 1", 422, "ValidateError", "body"),
    "null": (None, 422, "ValidateError", "body"),
    "no sql": ({}, 422, "ValidateError", "sql"),
    "sql null": ({"sql": None}, 422, "ValidateError", "sql"),
    "sql number": ({"sql": 1}, 422, "ValidateError", "sql"),
    "sql empty": ({"sql": ""}, 422, "ValidateError", "sql"),
    "sql blank": ({"sql": " \n\t"}, 422, "ValidateError", "sql"),
    "sql comment": ({"sql": "-- nothing"}, 422, "ValidateError", "sql"),
    "sql semicolon": ({"sql": ";"}, 422, "ValidateError", "sql"),
    "sql nul": ({"sql": "select '\0'"}, 422, "ValidateError", "sql"),
    "sql half character": ({"sql": "select '\ud800'"}, 422, "ValidateError", "sql"),
    "two statements": ({"sql": "select 1; select 2"}, 400, "ParameterError", "field"),
    "insert": ({"sql": "insert into t values (1)"}, 403, "ForbiddenError", "keyword"),
    "drop": ({"sql": "drop table t"}, 403, "ForbiddenError", "keyword"),
    "attach": ({"sql": "attach 'x.duckdb'"}, 403, "ForbiddenError", "keyword"),
    "limit 0": ({"sql": "select 1", "limit": 0}, 422, "ValidateError", "limit"),
    "limit negative": ({"sql": "select 1", "limit": -1}, 422, "ValidateError", "limit"),
    "limit huge": ({"sql": "select 1", "limit": 10**18}, 422, "ValidateError", "limit"),
    "limit beyond 64 bits": ({"sql": "select 1", "limit": 10**30}, 422, "ValidateError", "limit"),
    "limit infinite": (b'{"sql": "select 1", "limit": 1e999}', 422, "ValidateError", "limit"),
    "limit text": ({"sql": "select 1", "limit": "5"}, 422, "ValidateError", "limit"),
    "limit fraction": ({"sql": "select 1", "limit": 1.5}, 422, "ValidateError", "limit"),
    "limit true": ({"sql": "select 1", "limit": True}, 422, "ValidateError", "limit"),
    "context": ({"sql": "select 1", "context": "moon"}, 422, "ValidateError", "context"),
    "invalidateCache": ({"sql": "select 1", "invalidateCache": "no"}, 422, "ValidateError", "invalidateCache"),
    "parameters": ({"sql": "select 1", "parameters": [1]}, 422, "ValidateError", "parameters"),
    "pollTtl": ({"sql": "select 1", "pollTtl": 0}, 422, "ValidateError", "pollTtl"),
    "waitMs negative": ({"sql": "select 1", "waitMs": -1}, 422, "ValidateError", "waitMs"),
    "waitMs long": ({"sql": "select 1", "waitMs": 60_001}, 422, "ValidateError", "waitMs"),
    "waitMs text": ({"sql": "select 1", "waitMs": "5"}, 422, "ValidateError", "waitMs"),
    "unknown parameter": ({"sql": "select ${ld.parameters.a}", "parameters": {"a": 1}}, 400, "ParameterError", "field"),
    "pivot": ({"sql": "select 1", "pivotConfiguration": {"a": 1}}, 400, "ParameterError", "field"),
}


@pytest.mark.parametrize(("body", "status", "name", "member"), REFUSED.values(), ids=REFUSED)
async def test_execute_of_a_bad_body_is_refused_and_leaves_nothing(api, body, status, name, member):
    """Each mistake has its own error, which names the member, and no query is stored."""
    error = error_of(await api.post(body), status, name)
    assert [key for key in error["data"] if key.split(".")[0] == member]
    assert await api.query_count() == 0


async def test_execute_of_a_body_with_several_mistakes_names_all(api):
    """A client learns of every mistake at once, with what it sent."""
    error = error_of(await api.post({"sql": 1, "limit": "x"}), 422, "ValidateError")
    assert set(error["data"]) == {"sql", "limit"}
    assert error["data"]["limit"]["value"] == "x"
    assert "sql" in error["message"]
    assert "limit" in error["message"]


@pytest.mark.parametrize("query", ["?waitMs=-1", "?waitMs=60001", "?waitMs=soon", "?waitMs=", "?waitMs=1.5"])
async def test_execute_with_a_bad_wait_is_422(api, query):
    """The query parameter is held to the same bounds, and named."""
    error = error_of(await api.post({"sql": "select 1"}, query=query), 422, "ValidateError")
    assert "waitMs" in error["data"]
    assert await api.query_count() == 0


async def test_execute_by_a_viewer_is_403(api):
    """Running SQL needs more than looking."""
    error_of(await api.post({"sql": "select 1"}, token="viewer"), 403, "ForbiddenError")
    assert await api.query_count() == 0


async def test_execute_of_too_large_a_body_is_413_with_and_without_its_length(api):
    """Ten megabytes are refused, whether the client says how much it sends or not, and reading stops early."""
    body = json.dumps({"sql": "select '" + "x" * 10_000_000 + "'"}).encode()
    sent = 0

    async def parts():
        nonlocal sent
        for begin in range(0, len(body), 65_536):
            sent += 65_536
            yield body[begin : begin + 65_536]

    error = error_of(await api.post(body), 413, "PayloadTooLargeError")
    assert error["data"] == {"maxBytes": BODY_BYTES_MAX}
    error_of(await api.send("POST", api.path("sql"), content=parts()), 413, "PayloadTooLargeError")
    assert sent < BODY_BYTES_MAX + 200_000
    assert await api.query_count() == 0


async def test_execute_with_a_length_that_is_no_number_is_judged_by_the_body(api):
    """A wrong header does no harm."""
    answer = await api.post({"sql": "select 1"}, headers={"Content-Length": b"\xb2"})
    assert answer.status_code == 200


async def test_execute_of_a_large_statement_does_not_hold_others_up(api):
    """While half a megabyte of SQL is checked, a poll is answered."""
    statement = "select 1 where 1 in (" + ",".join(["1"] * 250_000) + ")"
    small = await api.submit("select 2")
    large = asyncio.create_task(api.post({"sql": statement}))
    polled = 0
    while not large.done():
        assert (await api.poll(small)).status_code == 200
        polled += 1
    assert (await large).status_code == 200
    assert polled > 3


async def test_execute_repeated_with_its_key_gives_the_same_query(api):
    """A request that is sent again under its key runs once; the same key for another one is a conflict."""
    key = {"Idempotency-Key": "order-7"}
    first = (await api.post({"sql": "select 1"}, headers=key)).json()["results"]["queryUuid"]
    again = (await api.post({"sql": "select 1", "waitMs": 1}, headers=key)).json()["results"]
    assert again["queryUuid"] == first
    error_of(await api.post({"sql": "select 2"}, headers=key), 409, "ConflictError")
    other = (await api.post({"sql": "select 1"}, headers=key, token="admin")).json()["results"]["queryUuid"]
    assert other != first
    assert await api.query_count() == 2


async def test_execute_repeated_in_parallel_with_one_key_is_one_query(api):
    """Twenty requests at once under one key are one query, and each gets its uuid."""
    key = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(api.post({"sql": "select 1"}, headers=key) for _ in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.json()["results"]["queryUuid"] for answer in answers}) == 1
    assert await api.query_count() == 1


async def test_execute_with_too_long_a_key_is_422(api):
    """A key has at most 255 characters, and the mistake is named."""
    answer = await api.post({"sql": "select 1"}, headers={"Idempotency-Key": "k" * 256})
    error_of(answer, 422, "ValidateError")
    assert await api.query_count() == 0


async def test_execute_with_wait_answers_with_the_first_page(api, warehouse):
    """A caller that waits gets the rows with the accepting answer, in one request."""
    sent = asyncio.create_task(api.post({"sql": "select 42 as n", "waitMs": 20_000}))
    await until_watched(api)
    (waiting,) = await api.statuses.waiting()
    await api.run(waiting.query_uuid, warehouse)
    async with asyncio.timeout(PATIENCE_SECONDS):
        results = (await sent).json()["results"]
    assert results.keys() >= ACCEPTED
    assert (results["status"], results["totalResults"]) == ("ready", 1)
    assert results["rows"] == [{"n": {"value": {"raw": 42, "formatted": "42"}}}]
    assert results["columns"] == {"n": {"reference": "n", "type": ColumnType.NUMBER.value}}


async def test_execute_with_wait_that_ends_too_early_says_pending(api):
    """When the time is up the answer is that of a poll, with the place in the queue."""
    results = (await api.post({"sql": "select 1"}, query="?waitMs=1")).json()["results"]
    assert (results["status"], results["queuePosition"]) == ("pending", 1)


async def test_execute_whose_client_goes_away_leaves_a_whole_query_or_none(api):
    """A client that hangs up while its query is being accepted does not leave half of one."""
    for rounds in range(6):
        sent = asyncio.create_task(api.post({"sql": f"select {rounds}"}))
        for _ in range(rounds * 3):
            await asyncio.sleep(0)
        sent.cancel()
        await asyncio.gather(sent, return_exceptions=True)
    assert (await api.poll(await api.submit("select 99"))).status_code == 200
    for waiting in await api.statuses.waiting():
        assert (await api.statuses.load(waiting.query_uuid)).status is QueryStatus.PENDING
