"""Files over HTTP: asked for, made, linked to, kept and gone with their result; in a folder and on a real S3 server."""

from __future__ import annotations

import asyncio
import io
import json
import uuid
from urllib.parse import urlsplit

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
from pydantic import SecretStr

from actors.janitor import Janitor
from actors.messages import Outcome
from queryfleet.client import AsyncClient, Client
from queryfleet.errors import ResultCorruptError, StorageError, WarehouseQueryError
from queryfleet.settings import Settings
from queryfleet.testing.scripted_warehouse import Script, ScriptedWarehouse
from tests.fixtures.executions import SMALL_CHUNKS, reached
from tests.fixtures.exports import lines_of_batch, sample_batch
from tests.fixtures.http_app import error_of
from tests.fixtures.s3_servers import BUCKET
from tests.fixtures.statuses import PROJECT
from tests.servers.ports import free_ports

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

BATCHES = [sample_batch(100, first=first) for first in range(0, 300, 100)]
LINES = b"".join(map(lines_of_batch, BATCHES))
TYPES = ["csv", "xlsx", "jsonl", "parquet", "arrow", "arrow_stream"]


BOTH_STORES = pytest.mark.parametrize("http_settings", ["file", "s3"], indirect=True)


@pytest.fixture
def http_settings(request, migrated_url, tmp_path):
    """The settings of `api`; the store is a folder, or a real S3 server where the test says so."""
    if getattr(request, "param", "file") == "file":
        return Settings(database_url=SecretStr(migrated_url), store_url=f"file://{tmp_path}/results")
    options = request.getfixturevalue("rclone_server").options
    return Settings(
        database_url=SecretStr(migrated_url),
        store_url=f"s3://{BUCKET}/{uuid.uuid4()}",
        store_endpoint_url=options.endpoint_url,
        store_access_key_id=options.access_key_id,
        store_secret_access_key=options.secret_access_key,
    )


@pytest.fixture
async def ready(api):
    """A query of 300 rows in several chunks; its uuid."""
    query_uuid = await api.submit()
    warehouse = ScriptedWarehouse(Script(batches=BATCHES))
    assert await api.run(query_uuid, warehouse, **SMALL_CHUNKS) is Outcome.READY
    return query_uuid


async def scheduled(api, query_uuid, **body):
    path = api.path(f"{query_uuid}/schedule-download")
    return await api.send("POST", path, content=json.dumps(body).encode())


async def state(api, job_id, **request):
    return await api.send("GET", f"/api/v1/schedulers/job/{job_id}/status", **request)


async def made(api, desk, query_uuid, **body):
    job_id = (await scheduled(api, query_uuid, **body)).json()["results"]["jobId"]
    await desk.work()
    return (await state(api, job_id)).json()["results"]["details"]


async def fetched(api, url, **headers):
    """Follow a link as a stranger would: without a token, to the store where it leads there."""
    where = urlsplit(url)
    answer = await api.send("GET", f"{where.path}?{where.query}", token="", headers=headers)
    if answer.status_code != 302:
        return answer
    async with httpx2.AsyncClient(trust_env=False) as http:
        return await http.get(answer.headers["Location"], headers=headers)


@BOTH_STORES
async def test_scheduled_file_is_made_and_read_by_its_link(api, desk, ready, monkeypatch):
    """A job goes from scheduled to completed, and its link gives the file to anybody, under the name that was asked."""
    monkeypatch.setattr("serve_app.routes.jobs._WAIT_SECONDS", 0.0)
    for type_ in TYPES:
        answer = await scheduled(api, ready, type=type_, attachmentDownloadName="Größe/1")
        job_id = answer.json()["results"]["jobId"]
        before = (await state(api, job_id)).json()["results"]
        assert before == {"status": "scheduled", "details": {"progress": {"rows": 0, "totalRows": 300}}}
        assert await desk.work() == 1
        after = (await state(api, job_id)).json()["results"]
        assert after["status"] == "completed"
        details = after["details"]
        assert details["truncated"] is False
        answer = await fetched(api, details["fileUrl"])
        assert answer.status_code == 200
        assert len(answer.content) == details["byteCount"]
        assert "Gr%C3%B6%C3%9Fe_1." in answer.headers["Content-Disposition"]
        if type_ == "jsonl":
            assert answer.content == LINES
        if type_ == "parquet":
            assert pq.read_table(io.BytesIO(answer.content)).num_rows == 300
        part = await fetched(api, details["fileUrl"], Range="bytes=10-19")
        assert part.content == answer.content[10:20]


async def test_download_waits_for_the_file_and_links_are_stable(api, desk, ready):
    """The link comes with the answer; asking again makes nothing anew and gives the same link."""
    path = api.path(f"{ready}/download")
    asking = asyncio.create_task(api.send("POST", path, content=b'{"type":"csv"}'))
    async with asyncio.timeout(10):
        while not await desk.work():
            await asyncio.sleep(0.01)
    first = (await asking).json()["results"]
    second = (await api.send("POST", path, content=b'{"type":"csv"}')).json()["results"]
    assert (first, await desk.work()) == (second, 0)
    assert first["fileUrl"].startswith("http://service.test/api/v1/files/")
    third = (await api.send("POST", path, content=b'{"type":"csv","attachmentDownloadName":"b"}')).json()["results"]
    assert (third["jobId"] != first["jobId"], third["byteCount"], await desk.work()) == (True, first["byteCount"], 0)


async def test_download_that_takes_too_long_is_409_with_its_job(api, ready, monkeypatch):
    """Who waits in vain is told where to go on asking."""
    monkeypatch.setattr("serve_app.routes.downloads._WAIT_SECONDS", 0.05)
    answer = await api.send("POST", api.path(f"{ready}/download"), content=b"{}")
    error = error_of(answer, 409, "ConflictError")
    assert (await state(api, error["data"]["jobId"])).json()["results"]["status"] == "scheduled"


@BOTH_STORES
async def test_links_hold_no_secret_and_no_other_link_works(api, desk, ready, http_settings):
    """A changed link is a 404; the query's own token and the store's secret are not in it."""
    url = (await made(api, desk, ready, type="csv"))["fileUrl"]
    secret = http_settings.store_secret_access_key
    for part in ("editor", secret.get_secret_value() if secret is not None else "editor"):
        assert part not in url
    where = urlsplit(url)
    link = f"{where.path}?{where.query}"
    swaps = [("signature=", "signature=0"), ("expires=1", "expires=9"), (".csv", ".txt"), ("/files/", "/files/0")]
    for old, new in swaps:
        assert old in link
        answer = await api.send("GET", link.replace(old, new, 1), token="")
        assert answer.status_code == 404, new
    error_of(await api.send("GET", where.path, token=""), 422, "ValidateError")


async def test_jobs_belong_to_their_user(api, ready):
    """Somebody else's job, and one that never was, look the same."""
    job_id = (await scheduled(api, ready)).json()["results"]["jobId"]
    assert (await state(api, job_id)).status_code == 200
    for token in ("admin", "stranger"):
        error_of(await state(api, job_id, token=token), 404, "NotFoundError")
    for wrong in (str(uuid.uuid4()), "x"):
        error_of(await state(api, wrong), 404, "NotFoundError")
    error_of(await state(api, job_id, token=""), 401, "AuthorizationError")


async def test_refusals_have_their_codes(api, ready):
    """Each reason why there is no file has its own status and name."""
    for wrong in ("image", "s3_jsonl", "json"):
        error_of(await scheduled(api, ready, type=wrong), 400, "ParameterError")
    error_of(await scheduled(api, ready, type=5), 422, "ValidateError")
    error_of(await scheduled(api, ready, type="csv", showColumnTotals=True), 400, "ParameterError")  # it is SQL
    error_of(await scheduled(api, ready, type="parquet", showColumnTotals=True), 400, "ParameterError")
    error_of(await scheduled(api, ready, hiddenFields=BATCHES[0].schema.names), 400, "ParameterError")
    error_of(await scheduled(api, "x"), 404, "NotFoundError")
    foreign = await api.send("POST", api.path(f"{ready}/download"), token="admin", content=b"{}")
    error_of(foreign, 404, "NotFoundError")
    pending = await api.submit("select 2")
    error = error_of(await scheduled(api, pending), 409, "ConflictError")
    assert error["data"]["status"] == "pending"
    await api.send("POST", api.path(f"{pending}/cancel"))
    error = error_of(await scheduled(api, pending), 409, "ConflictError")
    assert error["data"]["status"] == "cancelled"
    failing = await api.submit("select 3")
    script = Script(failures={"submit": WarehouseQueryError("no such table")})
    await api.run(failing, ScriptedWarehouse(script))
    error_of(await scheduled(api, failing), 400, "WarehouseQueryError")


async def test_too_many_rows_for_a_sheet_are_refused_at_once(api, ready):
    """An Excel file that cannot be is told before anything is made."""
    async with api.statuses._connection() as connection:
        await connection.execute("update query set row_count = 1048576 where query_uuid = %s", [ready])
    error = error_of(await scheduled(api, ready, type="xlsx"), 400, "ParameterError")
    assert (error["data"]["maxRows"], error["data"]["rowCount"]) == (1_048_575, 1_048_576)


@BOTH_STORES
async def test_file_goes_with_its_result(api, desk, ready):
    """When the result expires the janitor removes the file too, and link and job say so."""
    details = await made(api, desk, ready, type="csv")
    assert [info.key async for info in api.services.store.list("results/") if "/exports/" in info.key]
    async with api.statuses._connection() as connection:
        await connection.execute("update query set results_expire_at = now() - interval '1 s'")
    error_of(await fetched(api, details["fileUrl"]), 404, "ResultsExpiredError")
    error_of(await state(api, details["jobId"]), 404, "ResultsExpiredError")
    janitor = Janitor(
        api.statuses, api.services.store, retention_seconds=86_400, orphan_seconds=3600, foreign_seconds=86_400
    )
    await janitor.clean()
    assert [info.key async for info in api.services.store.list("")] == []


async def test_file_of_a_shared_result_is_made_once(api, desk, ready):
    """A later query with the same rows has the same file, under a job of its own."""
    await made(api, desk, ready, type="parquet")
    hit = await api.submit()
    assert (await api.statuses.load(hit)).cache_hit
    job_id = (await scheduled(api, hit, type="parquet")).json()["results"]["jobId"]
    assert (await state(api, job_id)).json()["results"]["status"] == "completed"
    assert await desk.work() == 0


async def test_file_that_cannot_be_made_tells_why(api, desk, ready):
    """A job that failed says so and is not in the way of the next one."""
    record = await api.statuses.load(ready)
    chunks = await api.statuses.chunks(ready, record.result_attempt, first_row=0, end_row=300)

    def to_arrow(query_uuid):
        return served.attach(query_uuid).to_arrow()

    good = await api.services.store.get(chunks[1].key)
    await api.services.store.put(chunks[1].key, good[:-2] + b"]\n")
    job_id = (await scheduled(api, ready, type="csv")).json()["results"]["jobId"]
    await desk.work()
    failed = (await state(api, job_id)).json()["results"]
    assert (failed["status"], failed["details"]["errorName"]) == ("error", "S3Error")
    assert [info.key async for info in api.services.store.list("results/") if "/exports/" in info.key] == []
    await api.services.store.put(chunks[1].key, good)
    again = (await scheduled(api, ready, type="csv")).json()["results"]["jobId"]
    assert (again != job_id, await desk.work()) == (True, 1)
    assert (await state(api, again)).json()["results"]["status"] == "completed"


async def test_store_that_is_away_ends_the_job(api, desk, ready, monkeypatch):
    """A store that fails while a file is written leaves an error and no file."""

    async def away(*_):
        raise StorageError("The store is away.")

    job_id = (await scheduled(api, ready, type="csv")).json()["results"]["jobId"]
    monkeypatch.setattr(type(api.services.store), "put_stream", away)
    await desk.work()
    assert (await state(api, job_id)).json()["results"]["details"]["error"] == "The store is away."


# The client ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def served(api):
    """Yield a blocking client of the application behind a socket."""
    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(api.app, port=port, lifespan="off", log_level="critical"))
    running = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.005)
    with Client(f"http://127.0.0.1:{port}", token="editor", project=PROJECT) as client:
        yield client
    server.should_exit = True
    await running


PLAIN = [name for name in BATCHES[0].schema.names if name not in ("exact", "kind", "raw", "list", "document")]


@BOTH_STORES
async def test_client_reads_a_result_as_arrow(api, served):
    """Values and types are those of the warehouse, whether chunks come from the store or from the service."""
    await assert_read_as_arrow(api, served, [batch.select(PLAIN) for batch in BATCHES])
    await assert_read_as_arrow(api, served, BATCHES)


async def assert_read_as_arrow(api, served, batches):
    query_uuid = await api.submit(invalidateCache=True)
    await api.run(query_uuid, ScriptedWarehouse(Script(batches=batches)), **SMALL_CHUNKS)
    query = await asyncio.to_thread(served.attach, query_uuid)
    result = await asyncio.to_thread(query.result)
    table = await asyncio.to_thread(result.to_arrow)
    expected = pa.Table.from_batches(batches)
    assert table.schema.names == expected.schema.names
    for name in table.schema.names:
        assert table[name].to_pylist() == expected[name].to_pylist(), name
    streamed = await asyncio.to_thread(lambda: pa.RecordBatchReader.from_stream(result).read_all())
    assert streamed.equals(table)
    async with AsyncClient(served._wire.session.url, token="editor", project=PROJECT) as other:
        assert (await (await other.attach(query_uuid)).to_arrow()).equals(table)
    frame = await asyncio.to_thread(result.to_polars)
    assert frame.height == 300


async def test_client_begins_while_the_query_runs(api, served):
    """The first rows are there before the last ones are made."""
    query_uuid = await api.submit()
    warehouse = ScriptedWarehouse(Script(batches=BATCHES, pauses={"batch:2"}))
    running = asyncio.create_task(api.execution(await api.claim(query_uuid), warehouse, **SMALL_CHUNKS).run())
    batches = (await asyncio.to_thread(served.attach, query_uuid)).batches()
    first = await asyncio.to_thread(next, batches)
    assert not running.done()
    (await reached(warehouse, "batch:2")).release("batch:2")
    rest = await asyncio.to_thread(lambda: list(batches))
    assert first.num_rows + sum(batch.num_rows for batch in rest) == 300
    assert await running is Outcome.READY


async def test_client_tells_damage_failure_and_empty_results_apart(api, served, ready):
    """A damaged chunk is an error, a failed query raises its own, no rows are a table with columns."""
    record = await api.statuses.load(ready)
    chunks = await api.statuses.chunks(ready, record.result_attempt, first_row=0, end_row=300)

    def to_arrow(query_uuid):
        return served.attach(query_uuid).to_arrow()

    good = await api.services.store.get(chunks[1].key)
    await api.services.store.put(chunks[1].key, good[:-2] + b"]\n")
    with pytest.raises(ResultCorruptError):
        await asyncio.to_thread(to_arrow, ready)
    failing = await api.submit("select 3")
    await api.run(failing, ScriptedWarehouse(Script(failures={"submit": WarehouseQueryError("no such table")})))
    with pytest.raises(WarehouseQueryError, match="no such table"):
        await asyncio.to_thread(to_arrow, failing)
    empty = await api.submit("select 4")
    await api.run(empty, ScriptedWarehouse(Script(schema=BATCHES[0].schema)))
    table = await asyncio.to_thread(to_arrow, empty)
    assert (table.num_rows, table.schema.names) == (0, BATCHES[0].schema.names)
