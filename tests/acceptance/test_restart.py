"""Stopping, starting again on the same data, and being killed."""

from __future__ import annotations

import json
import urllib.error

import pytest

from tests.fixtures.service import LEDGER_UUID
from tests.servers.http_api import raw_rows
from tests.servers.service_process import ServiceProcess, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

SHORT = "select entry_id, amount, note from ledger where entry_id <= 20000 order by entry_id"
LONG = "select n, pg_sleep(0.01)::text as slept from generate_series(1, 1500) as s(n)"


@pytest.fixture
def process(tmp_path, warehouses):
    """A service of its own with results in a plain folder; killed with the test if it still runs."""
    store = (tmp_path / "results").as_uri()
    process = ServiceProcess(
        tmp_path / "data",
        warehouses.folders,
        environment=warehouses.environment | {"QUERYFLEET_POOL_SIZE": "1"},
        arguments=("--store", store),
    )
    yield process
    process.kill()


def test_start_that_is_broken_off_leaves_nothing(process):
    """A stop does not wait for the start to end, and takes all of it down."""
    process.launch()
    assert wait_until(lambda: "Starting actors" in process.log_path.read_text(), seconds=100)
    trace = process.trace()
    assert process.stop() < 20.0
    assert trace.left() == []
    assert not process.ready_path.exists()
    assert "Traceback" not in process.log_path.read_text()


def _pages(api, query_uuid):
    return [json.dumps(rows) for rows in api.pages(query_uuid, page_size=3000)]


def _backends(warehouses, query_uuid):
    sql = "select pid from pg_stat_activity where application_name = %s"
    return warehouses.ledger_rows(sql, f"queryfleet {query_uuid}")


def test_restart_keeps_results_and_finishes_what_was_running(process, warehouses):
    """A finished result reads the same after a restart, an interrupted query gets ready, a kill leaves nothing."""
    process.start()
    first_trace, api = process.trace(), process.api(LEDGER_UUID)
    done = api.submit(SHORT)
    ended = api.wait(done)
    assert ended["status"] == "ready", ended
    before = _pages(api, done)
    interrupted = api.submit(LONG)
    api.wait_for(interrupted, lambda poll: poll.get("phase") in ("executing", "fetching"))
    assert _backends(warehouses, interrupted)
    process.stop()
    assert _backends(warehouses, interrupted) == [], "the warehouse does not work on for nobody"
    assert first_trace.left() == []
    assert not process.ready_path.exists()
    with pytest.raises(urllib.error.URLError):
        api.poll(done)

    process.start()
    second_trace, api = process.trace(), process.api(LEDGER_UUID, token=api.token)
    assert _pages(api, done) == before
    final = api.wait(interrupted, page=1, page_size=5000)
    assert (final["status"], final["attempt"]) == ("ready", 2), final
    assert [row["n"] for row in raw_rows(final)] == list(range(1, 1501))

    process.kill()
    assert wait_until(lambda: second_trace.left() == [], seconds=30), second_trace.left()
