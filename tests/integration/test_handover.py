"""A second `queryfleet up` on the same cluster takes the service over without losing a query or a poll."""

from __future__ import annotations

import json
import threading
import urllib.request

import pytest

from tests.fixtures.service import LEDGER_UUID
from tests.servers.service_process import ServiceProcess, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

_SECONDS = 120.0
_ROWS = 5000


def _up(stand, data_dir, **variables):
    return ServiceProcess(data_dir, stand.warehouses.folders, environment=stand.environment | variables)


def _health(url):
    with urllib.request.urlopen(f"{url}/api/v1/health", timeout=30) as answer:
        return json.load(answer)["results"]


class _Polls:
    """Polls a query again and again on a thread, as a client would during an update."""

    def __init__(self, api, query_uuid):
        self._api, self._query_uuid = api, query_uuid
        self._stop = threading.Event()
        self.answers = []
        self._thread = threading.Thread(target=self._poll)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _poll(self):
        while not self._stop.wait(0.05):
            try:
                self.answers.append(self._api.get(f"/{self._query_uuid}").status)
            except OSError as error:
                self.answers.append(repr(error))


@pytest.fixture
def first(cluster_stand, tmp_path):
    """A service that runs on the cluster; whatever is left of it is taken down."""
    process = _up(cluster_stand, tmp_path / "first")
    process.start()
    yield process
    process.stop()
    assert wait_until(lambda: not cluster_stand.actors("StatusActor"), seconds=30)


def test_second_up_hands_over_and_drains(cluster_stand, first, tmp_path):
    """Running queries end under their first attempt, every poll is answered, and the old generation goes.

    Also when its status actor is killed while it waits for its last query.
    """
    ledger = first.api(LEDGER_UUID)
    assert wait_until(lambda: len(cluster_stand.actors("QueryActor")) == 2, seconds=_SECONDS)
    old = cluster_stand.actors("QueryActor") | cluster_stand.actors("StatusActor")
    second = _up(cluster_stand, tmp_path / "second", QUERYFLEET_PAGE_SIZE_DEFAULT="7", QUERYFLEET_TOKEN=first.token)
    try:
        with cluster_stand.closed_gate() as gate:
            slow = ledger.submit(gate.sql(_ROWS))
            assert wait_until(lambda: cluster_stand.actor_of(slow) is not None, seconds=60)
            its_actor = cluster_stand.actor_of(slow)
            with _Polls(ledger, slow) as polls:
                second.start()
                assert second.url == first.url, "Serve keeps its port"
                assert wait_until(lambda: _health(second.url)["query"]["defaultPageSize"] == 7, seconds=_SECONDS)
                assert wait_until(lambda: not first.is_running, seconds=30), "it sees that it is not needed any more"
                left = lambda: old & (cluster_stand.actors("QueryActor") | cluster_stand.actors("StatusActor"))  # noqa: E731
                assert wait_until(lambda: len(left()) == 2, seconds=_SECONDS), "idle actors are gone"
                assert its_actor in left()
                assert ledger.wait(ledger.submit("select 42 as n"))["status"] == "ready"
            assert set(polls.answers) == {200}
            for process in left() - {its_actor}:
                process.kill()
            assert wait_until(lambda: len(cluster_stand.actors("StatusActor")) == 2, seconds=60), "Ray restarts it"
            assert ledger.poll(slow)["status"] == "running"
        final = ledger.wait(slow)
        assert (final["status"], final["attempt"], final["totalResults"]) == ("ready", 1, _ROWS)
        assert wait_until(lambda: not left(), seconds=60), "the old generation ends with its last query"
        assert wait_until(lambda: len(cluster_stand.actors("StatusActor")) == 1, seconds=60)
        assert second.is_running
    finally:
        second.stop()
    assert wait_until(lambda: not cluster_stand.actors("QueryActor"), seconds=30)


def test_second_up_that_cannot_start_leaves_the_first_alone(cluster_stand, first, tmp_path):
    """A generation whose actors never start is withdrawn, and nobody notices."""
    before = cluster_stand.actors("StatusActor")
    second = _up(cluster_stand, tmp_path / "second", QUERYFLEET_ACTOR_CPUS="1000", QUERYFLEET_TOKEN=first.token)
    second.launch()
    assert wait_until(lambda: "Taking over" in second.log_path.read_text(), seconds=_SECONDS)
    second.stop()
    assert wait_until(lambda: cluster_stand.actors("StatusActor") == before, seconds=30)
    assert first.is_running
    ledger = first.api(LEDGER_UUID)
    assert ledger.wait(ledger.submit("select 43 as n"))["status"] == "ready"
