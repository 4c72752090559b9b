"""Logging in ahead: what the keeper holds, for whom, and for how long."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from actors.sessions import SessionKeeper, hold_seconds_of
from queryfleet.errors import QueryCancelledError, ServiceError, WarehouseConnectionError
from queryfleet.project import DuckDBConfig, PostgresConfig, SnowflakeConfig
from queryfleet.testing.scripted_warehouse import Script, ScriptedWarehouse
from tests.fixtures.warehouses import wait_until

if TYPE_CHECKING:
    from queryfleet.testing.scripted_warehouse import ScriptedSession
    from queryfleet.warehouse_config import WarehouseConfig

HERE = PostgresConfig(host="h", user="u", password="one", database="d")
OTHER_HOST = PostgresConfig(host="g", user="u", password="one", database="d")
OTHER_SECRET = PostgresConfig(host="h", user="u", password="two", database="d")
ROWS = Script(batches=[pa.record_batch({"n": pa.array([1])})])


class Bench:
    """A keeper whose warehouses all play one script."""

    def __init__(self, script: Script = ROWS, *, hold_seconds: float = 60.0, pause_seconds: float = 0.0) -> None:
        self.warehouse = ScriptedWarehouse(script)
        self.made: list[WarehouseConfig] = []
        self.keeper = SessionKeeper(
            warehouse_of=self._make, hold_seconds=lambda _: hold_seconds, pause_seconds=pause_seconds
        )

    def _make(self, config: WarehouseConfig) -> ScriptedWarehouse:
        self.made.append(config)
        return self.warehouse

    @property
    def sessions(self) -> list[ScriptedSession]:
        """All sessions that were opened, in order."""
        return self.warehouse.sessions

    def prepared(self) -> ScriptedSession:
        """Have one query end, and return the session that is connected for the next one."""
        self.keeper.take(HERE).close()
        self.keeper.prepare()
        self.sessions[-1].wait_for("connect")
        return self.sessions[-1]

    def threads_end(self) -> bool:
        """Wait until no session is held any more."""
        return wait_until(lambda: not [t for t in threading.enumerate() if t.name == "session-ahead"])


def test_take_after_prepare_gives_the_connected_session() -> None:
    """The next query of the same place finds a session that nobody used and that is logged in."""
    bench = Bench()
    ahead = bench.prepared()
    assert bench.keeper.take(HERE) is ahead
    assert ahead.reached == ["connect"]
    assert not ahead.closed
    assert bench.threads_end()


def test_take_twice_never_gives_a_session_again() -> None:
    """A session serves one query, whatever became of it."""
    bench = Bench()
    taken = []
    for _ in range(4):
        taken.append(bench.keeper.take(HERE))
        bench.keeper.prepare()
        bench.sessions[-1].wait_for("connect")
    taken.append(bench.keeper.take(HERE))
    assert len(set(map(id, taken))) == 5
    assert bench.threads_end()


@pytest.mark.parametrize("config", [OTHER_HOST, OTHER_SECRET])
def test_take_for_another_place_closes_what_is_held(config: PostgresConfig) -> None:
    """Another host, and another password, is never answered with the session of before."""
    bench = Bench()
    ahead = bench.prepared()
    taken = bench.keeper.take(config)
    assert taken is not ahead
    assert ahead.closed
    assert bench.made == [HERE, config]
    assert bench.threads_end()


def test_prepare_closes_what_nobody_takes_in_time() -> None:
    """An idle session is given back after the hold time, and the next query opens its own."""
    bench = Bench(hold_seconds=0.02)
    ahead = bench.prepared()
    assert wait_until(lambda: ahead.closed)
    assert bench.threads_end()
    assert bench.keeper.take(HERE) is not ahead


def test_prepare_without_a_hold_time_opens_nothing() -> None:
    """Zero turns it off."""
    bench = Bench(hold_seconds=0.0)
    bench.keeper.take(HERE).close()
    bench.keeper.prepare()
    assert len(bench.sessions) == 1


def test_prepare_before_any_query_opens_nothing() -> None:
    """Nobody knows where to log in yet."""
    bench = Bench()
    bench.keeper.prepare()
    assert bench.sessions == []


def test_prepare_twice_holds_one_session() -> None:
    """An actor holds one session at most."""
    bench = Bench()
    bench.prepared()
    bench.keeper.prepare()
    assert len(bench.sessions) == 2
    bench.keeper.close()
    assert bench.threads_end()


def test_prepare_that_cannot_connect_is_silent_and_not_repeated() -> None:
    """A warehouse that is away is the next query's to report, and is not knocked at meanwhile."""
    bench = Bench(Script(failures={"connect": WarehouseConnectionError("It is away.")}))
    ahead = bench.prepared()
    assert wait_until(lambda: ahead.closed)
    assert bench.threads_end()
    assert len(bench.sessions) == 2
    with pytest.raises(WarehouseConnectionError, match="away"):
        bench.keeper.take(HERE).connect()


def test_take_during_the_pause_gives_the_session_unconnected() -> None:
    """A query that comes at once logs in itself, and nobody else does for it."""
    bench = Bench(pause_seconds=60.0)
    bench.keeper.take(HERE).close()
    bench.keeper.prepare()
    taken = bench.keeper.take(HERE)
    assert bench.threads_end()
    assert bench.sessions[-1] is taken
    assert bench.sessions[-1].reached == []


@pytest.mark.parametrize("ending", ["release", "cancel"])
def test_take_while_connecting_waits_for_that_connect(ending: str) -> None:
    """A login under way is used, and can be cancelled, by whoever takes its session."""
    bench = Bench(Script(pauses={"connect"}))
    ahead = bench.prepared()
    taken = bench.keeper.take(HERE)
    assert taken is ahead
    errors: list[ServiceError] = []

    def connect() -> None:
        try:
            taken.connect()
        except ServiceError as error:
            errors.append(error)

    query = threading.Thread(target=connect)
    query.start()
    if ending == "release":
        ahead.release("connect")
    else:
        taken.cancel()
    query.join(5)
    assert not query.is_alive()
    assert [type(error) for error in errors] == ([] if ending == "release" else [QueryCancelledError])
    assert ahead.reached == ["connect"]
    assert bench.threads_end()


def test_close_closes_what_is_held_and_keeps_nothing_after() -> None:
    """An actor that ends leaves no session behind, connected or connecting."""
    bench = Bench()
    ahead = bench.prepared()
    bench.keeper.close()
    bench.keeper.close()
    assert ahead.closed
    bench.keeper.prepare()
    assert len(bench.sessions) == 2
    assert bench.threads_end()


def test_close_while_connecting_ends_the_login() -> None:
    """A login that hangs is left, not waited for."""
    bench = Bench(Script(pauses={"connect"}))
    ahead = bench.prepared()
    bench.keeper.close()
    assert ahead.closed
    assert bench.threads_end()


@pytest.mark.parametrize(
    ("config", "wanted", "expected"),
    [
        (HERE, None, 60.0),
        (HERE, 5.0, 5.0),
        (HERE, 0.0, 0.0),
        (DuckDBConfig(path="/d"), None, 10.0),
        (DuckDBConfig(path="/d"), 30.0, 30.0),
        (DuckDBConfig(path="/d", read_only=False), None, 0.0),
        (DuckDBConfig(path="/d", read_only=False), 30.0, 0.0),
        (SnowflakeConfig(account="a", user="u", token="t"), None, 60.0),
        (SnowflakeConfig(account="a", user="u", token="t"), 30.0, 30.0),
    ],
)
def test_hold_seconds_suit_the_warehouse(config: WarehouseConfig, wanted: float | None, expected: float) -> None:
    """The operator's word counts, except that a file opened for writing is never held."""
    assert hold_seconds_of(config, wanted) == expected
