"""The blocking client and its asyncio twin, without a network."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from queryfleet import errors
from queryfleet.client import AsyncClient, AsyncQuery, AsyncResult, Client, Query, Result, RetryPolicy
from tests.fixtures.query_service import PROJECT, URL, client_of, fill, transport
from tests.fixtures.scripted_service import Answer, error_answer


@pytest.fixture
def anyio_backend():
    """These clients are for asyncio."""
    return "asyncio"


def _surface(cls):
    members = {name: member for name, member in inspect.getmembers(cls) if not name.startswith("_")}
    return {
        name: str(inspect.signature(member)).replace("Async", "") if callable(member) else type(member)
        for name, member in members.items()
    }


@pytest.mark.parametrize(
    ("blocking", "concurrent"), [(Client, AsyncClient), (Query, AsyncQuery), (Result, AsyncResult)]
)
def test_clients_queries_and_results_have_the_same_members(blocking, concurrent):
    """Whoever knows one client knows the other: names, parameters, defaults and what is returned."""
    assert _surface(blocking) == _surface(concurrent)
    assert len(_surface(blocking)) > 10


def test_blocking_modules_are_made_of_the_asyncio_ones():
    """There is one source: what is checked in is what the tool writes."""
    tool = Path(__file__).parents[2] / "tools" / "make_blocking.py"
    done = subprocess.run([sys.executable, tool, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_submit_sends_statement_limit_context_key_and_token(client, query_service):
    """A submit carries everything the contract asks for, and a key that makes it safe to repeat."""
    snapshot = client.sql("select 1", limit=7, wait_seconds=1.5).snapshot
    asked = query_service.asked[0]
    assert (asked.method, asked.path) == ("POST", f"/api/v2/projects/{PROJECT}/query/sql")
    assert asked.body == {"sql": "select 1", "limit": 7, "context": "api"}
    assert asked.params == {"waitMs": "1500"}
    assert asked.headers["authorization"] == f"ApiKey {query_service.token}"
    assert len(asked.headers["idempotency-key"]) == 32
    assert snapshot.query_uuid in query_service.queries
    assert snapshot.cache_hit is False


def test_submit_that_ends_while_waited_for_brings_the_first_page(client, query_service):
    """A short query needs one request."""
    query_service.on_submit = lambda query: fill(query, 3)
    snapshot = client.sql("select 1", wait_seconds=1).snapshot
    assert snapshot.page is not None
    assert [0, 1, 2] == [record["id"] for record in snapshot.page.records()]
    assert (snapshot.page.total_rows, len(query_service.asked)) == (3, 1)


def test_submit_after_lost_answer_finds_the_same_query(client, query_service):
    """A submit whose answer was lost is repeated with its key and starts nothing twice."""
    state = {"lost": 0}

    def lose_first_answer(asked):
        if state["lost"] == 0:
            state["lost"] = 1
            query_service.on_request = None
            query_service.answer(asked)
            query_service.on_request = lose_first_answer
            raise httpx2.ReadError("connection reset")

    query_service.on_request = lose_first_answer
    client.sql("select 1")
    keys = {asked.headers["idempotency-key"] for asked in query_service.asked}
    assert (len(query_service.queries), len(keys)) == (1, 1)


def test_request_refused_for_now_is_repeated_after_retry_after(client, query_service):
    """429 and 503 are waited out."""
    answers = [
        error_answer(errors.TooManyRequestsError("Too many queries."), {"Retry-After": "0"}),
        Answer(status=503, body=b"no server is available", headers={"Content-Type": "text/plain"}),
    ]
    query_service.on_request = lambda _asked: answers.pop(0) if answers else None
    assert client.health().max_page_size == 5000
    assert len(query_service.asked) == 3


def test_request_refused_for_good_is_not_repeated(client, query_service):
    """A wrong token fails at once, as its own class."""
    query_service.token = "another"
    with pytest.raises(errors.AuthorizationError):
        client.sql("select 1")
    assert len(query_service.asked) == 1


def test_request_still_refused_after_the_total_raises_the_services_error(query_service):
    """When time is up the caller gets the service's own words."""
    query_service.on_request = lambda _asked: error_answer(errors.TooManyRequestsError("Too many queries."))
    policy = RetryPolicy(total_seconds=0.02, first_pause_seconds=0.005)
    with (
        client_of(query_service, retry=policy) as client,
        pytest.raises(errors.TooManyRequestsError, match="Too many queries"),
    ):
        client.health()
    assert len(query_service.asked) > 1


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (httpx2.ConnectError("refused"), "cannot be reached"),
        (httpx2.ConnectTimeout("slow"), "cannot be reached"),
        (httpx2.ReadTimeout("slow"), "did not answer within 30 seconds"),
        (httpx2.RemoteProtocolError("cut"), "broke off the connection"),
    ],
)
def test_request_without_answer_is_unreachable_and_names_the_address(query_service, failure, words):
    """A service that cannot be reached is an error with its address, and never shows the token."""

    def fail(_asked):
        raise failure

    query_service.on_request = fail
    policy = RetryPolicy(total_seconds=0)
    with (
        client_of(query_service, retry=policy) as client,
        pytest.raises(errors.ServiceUnreachableError, match=words) as caught,
    ):
        client.health()
    assert URL in caught.value.message
    assert query_service.token not in caught.value.message


def test_poll_of_unknown_query_is_not_found(client):
    """A query that is not there, or not ours, is one error."""
    with pytest.raises(errors.NotFoundError):
        client.attach("no-such-query")


def test_poll_quotes_what_it_puts_into_the_path(client, query_service):
    """A name from outside cannot reach another route."""
    with pytest.raises(errors.NotFoundError):
        client.attach("../../x?y")
    assert query_service.asked[0].params == {"pageSize": "10"}


@pytest.mark.parametrize("wait_seconds", [-1, 60.5])
def test_poll_waiting_out_of_bounds_is_a_parameter_error(client, wait_seconds):
    """The bounds of a wait are checked before anything is sent."""
    with pytest.raises(errors.ParameterError):
        client.sql("q", wait_seconds=wait_seconds)


def test_cancel_ends_the_query(client, query_service):
    """Cancel reaches the service and can be repeated."""
    query = client.sql("select 1")
    query.cancel()
    query.cancel()
    with pytest.raises(errors.QueryCancelledError):
        query.poll().raise_if_failed()


def test_watch_yields_every_state_to_the_end(client, query_service):
    """Watching shows every state in between, and the last."""
    query = client.sql("select 1")
    query_service.on_poll = [lambda _query: None, lambda query: fill(query, 2)]
    assert ["pending", "ready"] == [snapshot.status for snapshot in query.watch(interval_seconds=0.05)]
    assert query.status == "ready"


@pytest.mark.parametrize(("row_count", "page_count"), [(0, 1), (1, 1), (4, 1), (5, 2), (8, 2)])
def test_pages_of_ready_query_are_all_rows_once(client, query_service, row_count, page_count):
    """Pages partition a result, whatever its size; an empty one is one page with columns."""
    query_service.on_submit = lambda query: fill(query, row_count)
    query = client.sql("select 1")
    pages = list(query.pages(page_size=4))
    assert page_count == len(pages)
    assert list(range(row_count)) == [record["id"] for page in pages for record in page.records()]
    assert [column.reference for column in pages[0].columns] == ["id", "city"]


def _store(row_count):
    def step(query):
        query.stored_rows = row_count

    return step


def _finish(query):
    query.status = "ready"


@pytest.mark.parametrize("row_count", [7, 8])
def test_pages_of_running_query_come_before_its_end(client, query_service, row_count):
    """Stored pages are read while the query runs, also when it ends exactly behind one of them."""
    query_service.on_submit = lambda query: fill(query, row_count, status="running")
    query = client.sql("select 1")
    query_service.on_poll = [_store(2), _store(4), _store(row_count // 4 * 4), _finish]
    totals, ids = [], []
    for page in query.pages(page_size=4):
        totals.append(page.total_rows)
        ids += [record["id"] for record in page.records()]
    assert totals[0] is None
    assert list(range(row_count)) == ids


def test_pages_of_query_begun_again_are_a_conflict(client, query_service):
    """Pages of two attempts are never joined into one result."""
    query_service.on_submit = lambda query: fill(query, 8, status="running")
    query = client.sql("select 1")

    def begin_again(query):
        query.attempt, query.stored_rows = 2, 0

    query_service.on_poll = [_store(4), begin_again]
    pages = query.pages(page_size=4)
    next(pages)
    with pytest.raises(errors.ConflictError, match="attempt 2"):
        next(pages)


def test_pages_larger_than_allowed_are_a_pagination_error(client, query_service):
    """A refused page size is an error, not the end of the result."""
    query_service.on_submit = lambda query: fill(query, 3)
    query = client.sql("select 1")
    with pytest.raises(errors.PaginationError):
        next(query.pages(page_size=5001))


def test_pages_of_query_that_fails_midway_raise_its_failure(client, query_service):
    """Rows that were read do not hide that the query failed."""
    query_service.on_submit = lambda query: fill(query, 8, status="running")
    query = client.sql("select 1")

    def fail(query):
        query.status, query.error = "error", errors.WarehouseConnectionError("connection lost")

    query_service.on_poll = [_store(4), fail]
    pages = query.pages(page_size=4)
    next(pages)
    with pytest.raises(errors.WarehouseConnectionError, match="connection lost"):
        next(pages)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "service.test",
        "ftp://service.test",
        "http://",
        "http://me:secret@host",
        "http://a b",
        "http://host:port",
        "http://[::1",
    ],
)
def test_client_of_address_that_is_none_is_a_configuration_error(url):
    """A wrong address is refused before anything is sent, without repeating a password in it."""
    with pytest.raises(errors.ConfigurationError) as caught:
        Client(url, token="t")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("token", ["", "two\nlines", "naïve"])
def test_client_with_impossible_token_is_a_configuration_error(token):
    """A token that cannot stand in a header is refused, and not shown."""
    with pytest.raises(errors.ConfigurationError) as caught:
        Client(URL, token=token)
    assert token == "" or token not in caught.value.message


@pytest.mark.anyio
async def test_async_pages_of_running_query_are_all_rows_once(async_client, query_service):
    """The asyncio client reads a growing result as the blocking one does."""
    query_service.on_submit = lambda query: fill(query, 8, status="running")
    query_service.on_poll = [_store(2), _store(4), _store(8), _finish]
    async with async_client as client:
        query = await client.sql("select 1")
        pages = [page async for page in query.pages(page_size=4)]
    assert list(range(8)) == [record["id"] for page in pages for record in page.records()]


@pytest.mark.anyio
async def test_async_requests_are_repeated_cancelled_and_waited_for(async_client, query_service):
    """The asyncio client repeats, waits, cancels and fails as the blocking one does."""
    answers = [error_answer(errors.TooManyRequestsError("Too many queries."), {"Retry-After": "0"})]
    query_service.on_request = lambda _asked: answers.pop(0) if answers else None
    async with async_client as client:
        assert (await client.health()).healthy
        query = await client.sql("select 1")
        query_service.on_poll = [lambda _query: None, lambda query: fill(query, 2)]
        assert (await query.wait()).status == "ready"
        other = await client.sql("select 2")
        await other.cancel()
        with pytest.raises(errors.QueryCancelledError):
            (await other.poll()).raise_if_failed()


@pytest.mark.anyio
async def test_async_request_without_answer_is_unreachable(query_service):
    """The asyncio client names the address it could not reach."""

    def fail(_asked):
        raise httpx2.ConnectError("refused")

    query_service.on_request = fail
    policy = RetryPolicy(total_seconds=0)
    async with AsyncClient(URL, token="t", retry=policy, transport=transport(query_service)) as client:
        with pytest.raises(errors.ServiceUnreachableError, match=URL):
            await client.health()
