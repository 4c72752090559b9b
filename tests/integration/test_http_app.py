"""The application as a whole: routes there are not, health, documentation, and a database that is away."""

from __future__ import annotations

import asyncio
import re
import uuid

import httpx2
import psycopg
import pytest
from pydantic import SecretStr

from queryfleet import __version__
from serve_app.app import create_app
from tests.fixtures.http_app import error_of, until_watched
from tests.fixtures.statuses import PROJECT
from tests.servers.ports import free_ports

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

PATIENCE_SECONDS = 20.0


@pytest.fixture
async def away(http_settings):
    """A client of an application whose database nobody listens for."""
    url = f"postgresql://app:geheim@127.0.0.1:{free_ports(1)[0]}/none"
    app = create_app(http_settings.model_copy(update={"database_url": SecretStr(url)}))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service.test", timeout=60) as http,
    ):
        app.state.services.statuses._pool.timeout = 0.2
        yield http


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/nowhere", 404, "NotFoundError"),
        ("GET", "/", 404, "NotFoundError"),
        ("GET", f"/api/v2/projects/{PROJECT}/query/", 404, "NotFoundError"),
        ("GET", f"/api/v2/projects/{PROJECT}/query/a/b/c", 404, "NotFoundError"),
        ("DELETE", f"/api/v2/projects/{PROJECT}/query/{uuid.UUID(int=1)}", 405, "ParameterError"),
        ("PUT", f"/api/v2/projects/{PROJECT}/query/sql", 405, "ParameterError"),
        ("POST", "/api/v1/health", 405, "ParameterError"),
    ],
)
async def test_route_that_is_not_there_answers_in_the_envelope(api, method, path, status, name):
    """Unknown paths and methods are errors like all others; a known path says what it takes."""
    answer = await api.send(method, path)
    error_of(answer, status, name)
    if status == 405:
        assert answer.headers["Allow"]


async def test_health_needs_no_token_and_tells_the_limits(api):
    """A client learns the version and every limit it has to keep."""
    answer = await api.send("GET", "/api/v1/health", token="")
    results = answer.json()["results"]
    assert (results["healthy"], results["version"], results["storesResults"]) == (True, __version__, True)
    assert results["query"] == {
        "maxPageSize": 5000,
        "defaultPageSize": 500,
        "maxLimit": 100_000_000,
        "maxWaitMs": 60_000,
        "maxBodyBytes": 5 * 1024 * 1024,
        "resultsTtlSeconds": 86_400,
    }


async def test_readiness_checks_database_and_store(api):
    """The service says that it is ready once both answer."""
    results = (await api.send("GET", "/api/v1/readyz", token="")).json()["results"]
    assert results["ready"] is True
    assert results["schemaVersion"]
    assert (await api.send("GET", "/api/v1/livez", token="")).json() == {
        "status": "ok",
        "results": {"alive": True},
    }


async def test_revoked_token_is_refused_within_seconds(api):
    """A token that was ended stops working without a restart."""
    assert (await api.post({"sql": "select 1"})).status_code == 200
    async with api.statuses._pool.connection() as connection:
        await connection.execute("update access_token set revoked_at = now()")
    now = api.services.accounts._clock()
    api.services.accounts._clock = lambda: now + 6
    error_of(await api.post({"sql": "select 2"}), 401, "AuthorizationError")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/api/v2/projects/{PROJECT}/query/sql"),
        ("GET", f"/api/v2/projects/{PROJECT}/query/{uuid.UUID(int=1)}"),
        ("POST", f"/api/v2/projects/{PROJECT}/query/{uuid.UUID(int=1)}/cancel"),
        ("GET", "/api/v1/readyz"),
    ],
)
async def test_database_away_is_503_with_a_time_to_come_back(away, method, path):
    """While the database is away every route that needs it says so, when to try again, and no secret."""
    body = {"json": {"sql": "select 1"}} if path.endswith("/sql") else {}
    answer = await away.request(method, path, headers={"Authorization": "ApiKey editor"}, **body)
    error_of(answer, 503, "UnexpectedDatabaseError")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "geheim" not in answer.text


async def test_database_away_leaves_health_and_documentation(away):
    """What needs no database answers without one."""
    for path in ("/api/v1/health", "/api/v1/livez", "/openapi.json", "/docs"):
        assert (await away.get(path)).status_code == 200


async def test_database_that_comes_back_is_used_again(api, migrated_url):
    """Connections that were cut are replaced: after at most a few refusals the service works as before."""
    query_uuid = await api.submit()
    with psycopg.connect(migrated_url, autocommit=True) as other:
        other.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (answer := await api.poll(query_uuid)).status_code == 503:
            error_of(answer, 503, "UnexpectedDatabaseError")
            await asyncio.sleep(0.01)
    assert answer.json()["results"]["status"] == "pending"


async def test_held_request_survives_the_loss_of_its_listener(api, migrated_url):
    """A change that happens while the listener is cut off is still told to who waits for it."""
    query_uuid = await api.submit()
    held = asyncio.create_task(api.poll(query_uuid, "?waitMs=20000"))
    await until_watched(api)
    with psycopg.connect(migrated_url, autocommit=True) as other:
        other.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and query like 'listen%'"
        )
        other.execute("update query set status = 'cancelled', ended_at = now()")
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await held).json()["results"]["status"] == "cancelled"


async def test_unexpected_error_shows_only_an_incident_number(api):
    """What nobody foresaw is a 500 in the envelope, without its text."""

    async def break_down(_):
        raise RuntimeError("password=geheim")

    api.services.queries._statuses.load = break_down
    error = error_of(await api.poll(str(uuid.uuid4())), 500, "UnexpectedServerError")
    assert error["data"]["incident"] in error["message"]
    assert "geheim" not in str(error)


async def test_documentation_page_needs_nothing_from_elsewhere(api):
    """The page and each of its assets come from the service itself."""
    page = await api.send("GET", "/docs", token="")
    assert page.status_code == 200
    assert re.findall(r"https?://[^\s\"']+", page.text) == []
    assets = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
    assert len(assets) >= 3
    for asset in [*assets, "/openapi.json"]:
        assert asset.startswith("/")
        answer = await api.send("GET", asset, token="")
        assert answer.status_code == 200, asset
        assert len(answer.content) > 100
