"""An actor that was thought dead comes back: whatever it still wants to write is refused."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from cluster.local.ray_environment import node_folder
from tests.chaos.stack import PROJECTS
from tests.servers.http_api import ProjectApi
from tests.servers.service_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psutil

    from tests.chaos.stack import ChaosStack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

LEASE_SECONDS = 12.0
RETURN_SECONDS = 90.0  # for the actor to find out; its uploads may have to run into their time limit first
ROWS = 2500
FILLER = 2000


def _api(stack: ChaosStack) -> ProjectApi:
    return ProjectApi(url=stack.url, token=stack.token, project_uuid=PROJECTS["ledger"])


def _worker(stack: ChaosStack, query_uuid: str) -> psutil.Process:
    """Return the actor process that has the query's session in the warehouse."""
    sql = "select client_port from pg_stat_activity where application_name = %s"
    ports: list[int] = []

    def look() -> bool:
        with psycopg.connect(stack.warehouse_url, autocommit=True) as connection:
            ports[:] = [row[0] for row in connection.execute(sql, [f"queryfleet {query_uuid}"])]
        return bool(ports)

    assert wait_until(look, seconds=30), "the query has a session in the warehouse"
    for process in stack.processes("ray::QueryActor"):
        if any(connection.laddr.port == ports[0] for connection in process.net_connections("tcp")):
            return process
    message = f"no query actor owns port {ports[0]}"
    raise AssertionError(message)


@contextmanager
def _stopped(process: psutil.Process) -> Iterator[None]:
    """Keep a process from running for a while."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        if process.is_running():
            process.send_signal(signal.SIGCONT)


def _stored(stack: ChaosStack, query_uuid: str) -> list[tuple[object, ...]]:
    """Return everything the database has of a query."""
    with stack.status_connection() as connection:
        rows = connection.execute("select to_jsonb(q) from query q where query_uuid = %s", [query_uuid]).fetchall()
        sql = "select to_jsonb(c) from chunk c where query_uuid = %s and attempt = 2 order by chunk_index"
        return rows + connection.execute(sql, [query_uuid]).fetchall()


def _chunks_of_first_attempt(stack: ChaosStack, query_uuid: str) -> int:
    with stack.status_connection() as connection:
        sql = "select count(*) from chunk where query_uuid = %s and attempt = 1"
        row = connection.execute(sql, [query_uuid]).fetchone()
    return int(row[0]) if row else 0


def _said(stack: ChaosStack, process: psutil.Process) -> str:
    """Return what an actor has logged."""
    folders: list[Path] = [node_folder(stack_id) for stack_id in stack.stack_ids]
    logs = [log for folder in folders for log in folder.glob(f"session_*/logs/worker-*-{process.pid}.*")]
    return "".join(log.read_text(errors="replace") for log in dict.fromkeys(log.resolve() for log in logs))


def _assert_refused(stack: ChaosStack, query_uuid: str, process: psutil.Process, before: list) -> None:
    """The actor found out and ended, and nothing of the result has changed."""
    assert wait_until(lambda: not process.is_running(), seconds=RETURN_SECONDS), "the actor is replaced"
    assert "query.fenced" in _said(stack, process), "it ran on, and was refused"
    assert _stored(stack, query_uuid) == before
    assert _chunks_of_first_attempt(stack, query_uuid) == 0
    folder = stack.results_folder / query_uuid
    assert wait_until(lambda: not list(folder.glob("1/*")), seconds=60), "its objects are removed"
    assert list(folder.glob("2/*.jsonl"))


def test_actor_stopped_in_an_upload_is_refused_when_it_goes_on(chaos_stack):
    """Its chunks reach the store after another attempt has finished, and are never published."""
    api = _api(chaos_stack)
    sql = (
        f"select n, repeat(chr(65 + n % 26), {FILLER}) as filler from generate_series(1, {ROWS}) as s(n), "
        "(select pg_sleep(1)::text as slept offset 0) w where slept = '' order by n"
    )
    store = chaos_stack.store_process()
    query_uuid = api.submit(sql)
    actor = _worker(chaos_stack, query_uuid)
    with _stopped(store):
        # All rows are here, and several chunks are on their way to a store that takes none.
        api.wait_for(query_uuid, lambda poll: poll.get("phase") == "finishing")
        actor.send_signal(signal.SIGSTOP)
    with _stopped(actor):
        began = time.monotonic()
        poll = api.wait(query_uuid)
        assert (poll["status"], poll["attempt"], poll["totalResults"]) == ("ready", 2, ROWS)
        assert time.monotonic() - began < LEASE_SECONDS + 15.0
        before = _stored(chaos_stack, query_uuid)
    _assert_refused(chaos_stack, query_uuid, actor, before)
    expected = [{"n": n, "filler": chr(65 + n % 26) * FILLER} for n in range(1, ROWS + 1)]
    assert [row for page in api.pages(query_uuid, page_size=1000) for row in page] == expected


def test_actor_stopped_while_reading_is_refused_when_it_goes_on(chaos_stack):
    """Its session in the warehouse is ended by the next attempt, and a chunk it has published is of no account."""
    api = _api(chaos_stack)
    query_uuid = api.submit(
        f"select n, repeat(chr(65 + n % 26), {5 * FILLER}) as filler, pg_sleep(0.02)::text as slept "
        "from generate_series(1, 400) as s(n)"
    )
    actor = _worker(chaos_stack, query_uuid)
    api.wait_for(query_uuid, lambda poll: poll["progress"]["rows"] > 0)
    with _stopped(actor):
        poll = api.wait(query_uuid)
        assert (poll["status"], poll["attempt"]) == ("ready", 2)
        before = _stored(chaos_stack, query_uuid)
        sessions = "select count(*) from pg_stat_activity where application_name = %s"
        with psycopg.connect(chaos_stack.warehouse_url, autocommit=True) as connection:
            assert connection.execute(sessions, [f"queryfleet {query_uuid}"]).fetchone() == (0,)
    _assert_refused(chaos_stack, query_uuid, actor, before)
    expected = [{"n": n, "filler": chr(65 + n % 26) * 5 * FILLER, "slept": ""} for n in range(1, 401)]
    assert [row for page in api.pages(query_uuid, page_size=100) for row in page] == expected
