"""Whole results in one answer, also while they are being made, over a real socket where that matters."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import gzip
import io
import json

import httpx2
import pyarrow as pa
import pytest

from actors.messages import Outcome
from queryfleet.errors import WarehouseQueryError
from queryfleet.testing.scripted_warehouse import Script, ScriptedWarehouse
from tests.fixtures.executions import SMALL_CHUNKS, reached
from tests.fixtures.exports import lines_of_batch, sample_batch
from tests.fixtures.http_app import error_of

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

BATCHES = [sample_batch(100, first=first) for first in range(0, 500, 100)]
LINES = b"".join(map(lines_of_batch, BATCHES))
ARROW = "application/vnd.apache.arrow.stream"
KINDS = ["application/x-ndjson", "text/csv", ARROW]


async def finished(api, batches=BATCHES, **settings):
    query_uuid = await api.submit()
    warehouse = ScriptedWarehouse(Script(batches=batches, schema=BATCHES[0].schema))
    assert await api.run(query_uuid, warehouse, **(SMALL_CHUNKS | settings)) is Outcome.READY
    return query_uuid


@pytest.fixture
async def ready(api):
    """A query of 500 rows in several chunks; its uuid."""
    query_uuid = await finished(api)
    record = await api.statuses.load(query_uuid)
    assert record.chunk_count > 3
    return query_uuid


async def results(api, query_uuid, query="", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("Accept-Encoding", "identity")
    return await api.send("GET", api.path(f"{query_uuid}/results{query}"), headers=named)


async def test_lines_are_the_stored_bytes(api, ready):
    """The default is every stored line, with its length."""
    answer = await results(api, ready)
    assert answer.content == LINES
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Content-Length"] == str(len(LINES))
    assert "Accept" in answer.headers["Vary"]


async def test_compressed_answer_is_the_plain_one(api, ready):
    """Whatever the kind, who takes a coding gets the same bytes in it, and another entity tag."""
    for accept in KINDS:
        for coding in ("gzip", "zstd"):
            await assert_same_when_compressed(api, ready, accept, coding)


async def assert_same_when_compressed(api, ready, accept, coding):
    plain = await results(api, ready, Accept=accept)
    answer = await api.http.send(
        api.http.build_request(
            "GET",
            api.path(f"{ready}/results"),
            headers={"Authorization": "ApiKey editor", "Accept": accept, "Accept-Encoding": coding},
        ),
        stream=True,
    )
    raw = b"".join([piece async for piece in answer.aiter_raw()])
    assert answer.headers["Content-Encoding"] == coding
    if coding == "gzip":
        assert gzip.decompress(raw) == plain.content
    else:
        with pa.CompressedInputStream(pa.BufferReader(raw), "zstd") as reader:
            assert reader.read() == plain.content
    assert len(raw) < len(plain.content) / 2
    assert answer.headers["ETag"] != plain.headers["ETag"]


async def test_csv_has_raw_values_under_the_columns_own_names(api, ready):
    """Programs get exact values; people may ask for theirs."""
    answer = await results(api, ready, Accept="text/csv")
    header, *rows = csv.reader(io.StringIO(answer.text, newline=""))
    assert (header, len(rows)) == (BATCHES[0].schema.names, 500)
    assert rows[4][:6] == ["4", "9007199254740996", "1.3333333333333333", "49382.68", "4.25", "'=1+1"]
    shown = await results(api, ready, "?onlyRaw=false&escapeFormulas=false", Accept="text/csv")
    assert '"9,007,199,254,740,996",1.333,"49,382.68",' in shown.text
    assert ",=1+1," in shown.text


async def test_arrow_stream_has_values_and_types(api, ready):
    """A typed reader gets back what the warehouse gave."""
    answer = await results(api, ready, Accept=ARROW)
    table = pa.ipc.open_stream(answer.content).read_all()
    expected = pa.Table.from_batches(BATCHES)
    for name in expected.schema.names:
        assert table[name].to_pylist() == expected[name].to_pylist(), name
    assert table.schema.field("amount").type == pa.decimal128(20, 2)


async def test_empty_result_is_a_whole_answer(api):
    """No rows: no line, a header, or a schema."""
    query_uuid = await finished(api, batches=[])
    lines, table, arrow = [await results(api, query_uuid, Accept=accept) for accept in KINDS]
    assert (lines.status_code, lines.content) == (200, b"")
    assert len(table.content.splitlines()) == 1
    assert pa.ipc.open_stream(arrow.content).read_all().schema.names == BATCHES[0].schema.names


async def test_range_gives_exactly_these_bytes(api, ready):
    """A download that broke off goes on where it stood, over chunk edges too."""
    for first, end in [(0, 1), (7, 9), (1000, 40_000), (len(LINES) - 5, len(LINES)), (0, len(LINES))]:
        answer = await results(api, ready, Range=f"bytes={first}-{end - 1}")
        assert (answer.status_code, answer.content) == (206, LINES[first:end])
        assert answer.headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(LINES)}"
    suffix = await results(api, ready, Range="bytes=-10", Accept_Encoding="gzip")
    assert (suffix.content, suffix.headers.get("Content-Encoding")) == (LINES[-10:], None)


async def test_range_outside_is_416_and_other_entity_is_whole(api, ready):
    """A range that cannot be is refused; one of an older result gives the whole newer one."""
    beyond = await results(api, ready, Range=f"bytes={len(LINES)}-")
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(LINES)}"
    other = await results(api, ready, Range="bytes=0-9", If_Range='"other"')
    assert (other.status_code, len(other.content)) == (200, len(LINES))
    tag = other.headers["ETag"]
    assert (await results(api, ready, Range="bytes=0-9", If_Range=tag)).content == LINES[:10]
    unchanged = await results(api, ready, If_None_Match=tag)
    assert (unchanged.status_code, unchanged.content) == (304, b"")


async def test_refusals_have_their_codes(api, ready):
    """Who asks wrongly, too early or for nothing gets the envelope with the right status."""
    error_of(await results(api, ready, Accept="image/png"), 400, "ParameterError")
    pending = await api.submit("select 2")
    error = error_of(await results(api, pending, "?follow=false"), 409, "ConflictError")
    assert error["data"] == {"status": "pending"}
    failing = await api.submit("select 3")
    script = Script(failures={"submit": WarehouseQueryError("no such table")})
    assert await api.run(failing, ScriptedWarehouse(script)) is Outcome.ERROR
    assert "no such table" in error_of(await results(api, failing), 400, "WarehouseQueryError")["message"]
    await api.send("POST", api.path(f"{pending}/cancel"))
    error_of(await results(api, pending), 409, "ConflictError")
    for wrong in ("x", "5a1e7c1e-7f0e-4b39-9d0a-0c6a2c1d9b11"):
        error_of(await results(api, wrong), 404, "NotFoundError")
    answer = await api.send("GET", api.path(f"{ready}/results"), token="admin")
    error_of(answer, 404, "NotFoundError")


async def test_damaged_or_missing_chunk_at_the_beginning_is_an_error(api, ready):
    """What cannot be begun is told with a status, not with half an answer."""
    record = await api.statuses.load(ready)
    chunks = await api.statuses.chunks(ready, record.result_attempt, first_row=0, end_row=500)
    good = await api.services.store.get(chunks[0].key)
    await api.services.store.put(chunks[0].key, good[:-2] + b"]\n")
    for accept in ("application/x-ndjson", "text/csv"):
        error_of(await results(api, ready, Accept=accept), 500, "S3Error")
    await api.services.store.delete([chunks[0].key])
    error_of(await results(api, ready), 404, "ResultsExpiredError")


async def test_stream_that_breaks_off_has_no_proper_end(api, ready, server):
    """A chunk that is gone in the middle is an error at the client, never a shorter result."""
    record = await api.statuses.load(ready)
    chunks = await api.statuses.chunks(ready, record.result_attempt, first_row=0, end_row=500)
    await api.services.store.delete([chunks[-1].key])
    async with httpx2.AsyncClient(trust_env=False) as http:
        for accept in KINDS:
            headers = {"Authorization": "ApiKey editor", "Accept": accept, "Accept-Encoding": "identity"}
            with pytest.raises(httpx2.RemoteProtocolError):
                await http.get(server + api.path(f"{ready}/results"), headers=headers)


async def test_stream_follows_a_running_query(api, server):
    """Rows are sent as they are stored, before the query has ended, and the end is the end."""
    query_uuid = await api.submit()
    warehouse = ScriptedWarehouse(Script(batches=BATCHES, pauses={"batch:3"}))
    record = await api.claim(query_uuid)
    headers = {"Authorization": "ApiKey editor", "Accept-Encoding": "identity"}
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
        asking = asyncio.create_task(
            http.send(
                http.build_request("GET", server + api.path(f"{query_uuid}/results"), headers=headers), stream=True
            )
        )
        running = asyncio.create_task(api.execution(record, warehouse, **SMALL_CHUNKS).run())
        session = await reached(warehouse, "batch:3")
        answer = await asking
        pieces = answer.aiter_bytes()
        received = await anext(pieces)
        assert not running.done()
        assert LINES.startswith(received)
        session.release("batch:3")
        received += b"".join([piece async for piece in pieces])
        assert (await running, received) == (Outcome.READY, LINES)
        assert "Content-Length" not in answer.headers
        await answer.aclose()


@pytest.mark.parametrize("accept", KINDS[:2])
async def test_stream_of_a_query_that_fails_later_breaks_off(api, server, accept):
    """A query that fails after its first rows never looks like a shorter one."""
    query_uuid = await api.submit()
    script = Script(batches=BATCHES, pauses={"batch:4"}, failures={"batch:4": WarehouseQueryError("gone")})
    warehouse = ScriptedWarehouse(script)
    running = asyncio.create_task(api.execution(await api.claim(query_uuid), warehouse, **SMALL_CHUNKS).run())
    session = await reached(warehouse, "batch:4")
    headers = {"Authorization": "ApiKey editor", "Accept": accept, "Accept-Encoding": "identity"}
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
        request = http.build_request("GET", server + api.path(f"{query_uuid}/results"), headers=headers)
        answer = await http.send(request, stream=True)
        pieces = answer.aiter_bytes()
        assert await anext(pieces)
        session.release("batch:4")
        with pytest.raises(httpx2.RemoteProtocolError):
            async for _ in pieces:
                pass
        await answer.aclose()
    assert await running is Outcome.ERROR


async def test_stream_of_a_waiting_query_tells_its_failure_with_a_status(api):
    """Until the first row the answer is held, so a query that fails first is an error with its own text."""
    query_uuid = await api.submit()
    asking = asyncio.create_task(results(api, query_uuid, Accept="text/csv"))
    await asyncio.sleep(0)
    script = Script(failures={"submit": WarehouseQueryError("no such table")})
    await api.run(query_uuid, ScriptedWarehouse(script))
    assert "no such table" in error_of(await asking, 400, "WarehouseQueryError")["message"]


async def test_client_that_goes_away_leaves_nothing_running(api, server):
    """A reader that leaves in the middle of a running query holds no waiter for long."""
    query_uuid = await api.submit()
    warehouse = ScriptedWarehouse(Script(batches=BATCHES, pauses={"batch:3"}))
    running = asyncio.create_task(api.execution(await api.claim(query_uuid), warehouse, **SMALL_CHUNKS).run())
    session = await reached(warehouse, "batch:3")
    headers = {"Authorization": "ApiKey editor"}
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
        request = http.build_request("GET", server + api.path(f"{query_uuid}/results"), headers=headers)
        answer = await http.send(request, stream=True)
        await anext(answer.aiter_bytes())
        await answer.aclose()
    async with asyncio.timeout(10):
        while api.services.listener.watcher_count:
            await asyncio.sleep(0.01)
    session.release("batch:3")
    with contextlib.suppress(asyncio.CancelledError):
        assert await running is Outcome.READY


# Chunks and states ---------------------------------------------------------------------------------------------


async def test_manifest_lists_chunks_that_are_the_result(api, ready):
    """Chunks in order, each with rows, length and checksum, give the result when they are read one by one."""
    manifest = (await api.send("GET", api.path(f"{ready}/manifest"))).json()["results"]
    assert (manifest["complete"], manifest["rowCount"], manifest["byteCount"]) == (True, 500, len(LINES))
    assert "nextChunk" not in manifest
    row, whole = 0, b""
    for index, chunk in enumerate(manifest["chunks"]):
        assert (chunk["index"], chunk["firstRow"], chunk["url"]) == (index, row, None)
        data = (await api.send("GET", chunk["path"])).content
        assert len(data) == chunk["byteCount"]
        row, whole = row + chunk["rowCount"], whole + data
    assert (row, whole) == (500, LINES)
    assert [column["reference"] for column in manifest["columns"]] == BATCHES[0].schema.names
    rest = (await api.send("GET", api.path(f"{ready}/manifest?firstChunk=2"))).json()["results"]
    assert rest["chunks"] == manifest["chunks"][2:]
    beyond = api.path(f"{ready}/chunks/{len(manifest['chunks'])}")
    error_of(await api.send("GET", beyond), 404, "NotFoundError")
    error_of(await api.send("GET", api.path(f"{ready}/chunks/0?attempt=7")), 404, "NotFoundError")
    error_of(await api.send("GET", api.path(f"{ready}/chunks/-1")), 422, "ValidateError")
    error_of(await api.send("GET", api.path(f"{ready}/manifest"), token="admin"), 404, "NotFoundError")


async def test_manifest_of_a_running_query_waits_for_the_next_chunk(api):
    """A reader may begin while the query runs: it is told of chunks as they are stored."""
    query_uuid = await api.submit()
    warehouse = ScriptedWarehouse(Script(batches=BATCHES, pauses={"batch:3"}))
    running = asyncio.create_task(api.execution(await api.claim(query_uuid), warehouse, **SMALL_CHUNKS).run())
    answer = await api.send("GET", api.path(f"{query_uuid}/manifest?waitMs=20000"))
    first = answer.json()["results"]
    assert (first["complete"], first["nextChunk"]) == (False, len(first["chunks"]))
    assert first["chunks"]
    asking = asyncio.create_task(api.send("GET", api.path(f"{query_uuid}/manifest?firstChunk=4&waitMs=20000")))
    (await reached(warehouse, "batch:3")).release("batch:3")
    assert (await asking).json()["results"]["chunks"][0]["index"] == 4
    assert await running is Outcome.READY
    pending = await api.submit("select 2")
    empty = (await api.send("GET", api.path(f"{pending}/manifest"))).json()["results"]
    assert (empty["status"], empty["chunks"], empty["columns"], empty["nextChunk"]) == ("pending", [], None, 0)


async def test_states_of_many_queries_are_one_read(api, ready):
    """Up to 200 queries in one request, in order, each once; what is not the caller's is missing."""
    pending = await api.submit("select 2")
    other = (await api.post({"sql": "select 3"}, token="admin")).json()["results"]["queryUuid"]
    asked = [pending, ready, other, "nonsense", pending]
    reads = 0
    load_many = api.services.statuses.load_many

    async def counted(query_uuids):
        nonlocal reads
        reads += 1
        return await load_many(query_uuids)

    api.services.statuses.load_many = counted
    answer = await api.send("POST", api.path("status"), content=json.dumps({"queryUuids": asked}).encode())
    body = answer.json()["results"]
    assert [(one["queryUuid"], one["status"]) for one in body["queries"]] == [(pending, "pending"), (ready, "ready")]
    assert body["queries"][1]["totalResults"] == 500
    assert (body["missing"], reads) == ([other, "nonsense"], 1)
    for wrong in ({"queryUuids": []}, {"queryUuids": ["x"] * 201}, {}):
        answer = await api.send("POST", api.path("status"), content=json.dumps(wrong).encode())
        error_of(answer, 422, "ValidateError")
