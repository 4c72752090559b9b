"""A query whose process dies is run again, and nobody can tell from its rows."""

from __future__ import annotations

import itertools
import time

import psutil
import pytest

from tests.acceptance.test_queries import TRICKLE, TRICKLE_ROWS
from tests.servers.service_process import marked_processes, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


def _process_at(service, port):
    """Return the query actor that has a connection from `port`."""
    for process in marked_processes(service.trace.stack_id, "ray::QueryActor"):
        if any(connection.laddr.port == port for connection in process.net_connections("tcp")):
            return process
    message = f"no query actor owns port {port}"
    raise AssertionError(message)


def test_kill_query_actor_ends_ready_under_second_attempt(service):
    """A kill -9 in the middle of a result: the rows are exact, and nothing of the first attempt is left."""
    query_uuid = service.ledger.submit(TRICKLE)
    service.ledger.wait_for(query_uuid, lambda poll: poll["progress"]["rows"] > 0)
    (port,) = service.backends(query_uuid)
    victim = _process_at(service, port)
    victim.kill()
    began = time.monotonic()
    service.ledger.wait_for(query_uuid, lambda poll: poll["attempt"] == 2)
    assert time.monotonic() - began < 10.0
    final = service.ledger.wait(query_uuid)
    assert (final["status"], final["attempt"], final["totalResults"]) == ("ready", 2, TRICKLE_ROWS)
    rows = list(itertools.chain.from_iterable(service.ledger.pages(query_uuid, page_size=1000)))
    assert rows == [{"n": n, "filler": chr(65 + n % 26) * 2000, "slept": ""} for n in range(1, TRICKLE_ROWS + 1)]
    assert not psutil.pid_exists(victim.pid)
    assert wait_until(lambda: not service.backends(query_uuid), seconds=5)


def test_pool_is_whole_again_after_a_kill(service):
    """The killed actor is replaced: two queries run side by side."""
    queries = [service.ledger.submit("select pg_sleep(2)::text as slept") for _ in range(2)]
    for query_uuid in queries:
        service.ledger.wait_for(query_uuid, lambda poll: poll["status"] == "running", seconds=60)
    for query_uuid in queries:
        assert service.ledger.wait(query_uuid)["status"] == "ready"
