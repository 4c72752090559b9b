"""Being told what happens to a query, over a real socket."""

from __future__ import annotations

import asyncio
import itertools
import json

import httpx2
import pytest

from actors.messages import Outcome
from queryfleet.errors import WarehouseQueryError
from queryfleet.testing.scripted_warehouse import Script, ScriptedWarehouse
from serve_app.routes import events
from tests.fixtures.executions import BATCHES, SMALL_CHUNKS, reached
from tests.fixtures.http_app import error_of

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


async def told(address):
    """Yield the events of a stream as they come: name, members and id; a comment is None."""
    headers = {"Authorization": "ApiKey editor"}
    async with (
        httpx2.AsyncClient(trust_env=False, timeout=20) as http,
        http.stream("GET", address, headers=headers) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = []
        async for line in answer.aiter_lines():
            if line:
                lines.append(line.split(": ", 1) if ": " in line else ("", line))
                continue
            fields = dict(lines)
            yield (fields["event"], json.loads(fields["data"]), fields.get("id")) if "data" in fields else None
            lines = []


async def test_events_tell_a_query_from_the_queue_to_its_end(api, server):
    """Every state that lasts is told once, in order, and the stream ends after the last one."""
    query_uuid = await api.submit()
    stream = told(server + api.path(f"{query_uuid}/events"))
    name, members, event_id = await anext(stream)
    assert (name, members["status"], members["queuePosition"], event_id) == ("state", "pending", 1, None)
    warehouse = ScriptedWarehouse(Script(batches=BATCHES, pauses={"batch:1", "batch:2"}))
    running = asyncio.create_task(api.execution(await api.claim(query_uuid), warehouse, **SMALL_CHUNKS).run())
    session = await reached(warehouse, "batch:1")
    seen = []
    async for event in stream:
        if event is None:
            continue
        seen.append(event)
        if event[1].get("progress", {}).get("rows") == 100:
            session.release("batch:1")
            session.release("batch:2")
    assert await running is Outcome.READY
    states = [members for name, members, _ in seen if name == "state"]
    assert all("queuePosition" not in members for members in states)
    assert {members["status"] for members in states} == {"running"}
    rows = [members["progress"]["rows"] for members in states]
    assert rows == sorted(rows)
    assert 100 in rows
    assert all(one != other for one, other in itertools.pairwise(states))
    name, members, event_id = seen[-1]
    assert (name, members["status"], members["progress"]["rows"], event_id) == ("end", "ready", 300, "end")


async def test_events_of_an_ended_query_are_its_end(api, server):
    """Who comes late is told how it ended, with the error's class; who has seen that is sent nothing more."""
    query_uuid = await api.submit()
    script = Script(failures={"submit": WarehouseQueryError("no such table")})
    assert await api.run(query_uuid, ScriptedWarehouse(script)) is Outcome.ERROR
    ((name, members, _),) = [event async for event in told(server + api.path(f"{query_uuid}/events"))]
    assert (name, members["status"], members["errorName"]) == ("end", "error", "WarehouseQueryError")
    assert "no such table" in members["error"]
    again = await api.send("GET", api.path(f"{query_uuid}/events"), headers={"Last-Event-ID": "end"})
    assert (again.status_code, again.content) == (204, b"")


async def test_events_of_a_quiet_query_keep_the_connection_alive(api, server, monkeypatch):
    """While nothing happens a comment is sent; a reader that goes away is waited for no longer."""
    monkeypatch.setattr(events, "_QUEUE_SECONDS", 0.01)
    query_uuid = await api.submit()
    stream = told(server + api.path(f"{query_uuid}/events"))
    assert (await anext(stream))[0] == "state"
    assert [await anext(stream) for _ in range(3)] == [None, None, None]
    await stream.aclose()
    async with asyncio.timeout(10):
        while api.services.listener.watcher_count:
            await asyncio.sleep(0.01)


async def test_events_are_sent_in_any_crowd(api, server, monkeypatch):
    """With every waiting place taken the states still come, only later."""
    monkeypatch.setattr(api.services.queries, "_waiters_max", 0)
    query_uuid = await api.submit()
    stream = told(server + api.path(f"{query_uuid}/events"))
    assert (await anext(stream))[1]["status"] == "pending"
    await api.send("POST", api.path(f"{query_uuid}/cancel"))
    ends = [event async for event in stream if event is not None]
    assert [(name, members["status"]) for name, members, _ in ends][-1] == ("end", "cancelled")


async def test_events_of_somebody_elses_query_are_404(api):
    """A query of another user, and one that never was, look the same."""
    query_uuid = await api.submit()
    for token, named in (("admin", query_uuid), ("editor", "5a1e7c1e-7f0e-4b39-9d0a-0c6a2c1d9b11")):
        error_of(await api.send("GET", api.path(f"{named}/events"), token=token), 404, "NotFoundError")
