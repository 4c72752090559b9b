"""What every warehouse promises, asked of each of them."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from queryfleet.errors import (
    ForbiddenError,
    QueryCancelledError,
    RequestError,
    ServiceError,
    WarehouseConnectionError,
    WarehouseError,
    WarehouseQueryError,
    WarehouseTimeoutError,
)
from queryfleet.warehouse.base import Statement
from tests.fixtures.warehouses import TAG, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from tests.fixtures.warehouses import Engine

GONE_SECONDS = 1.0  # within which a cancelled statement must have left the warehouse
MEGABYTE = 1_000_000


def read(engine: Engine, sql: str, *, max_rows: int = 10_000, **options: object) -> pa.Table:
    """Run one statement to its end."""
    import pyarrow as pa

    with engine.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=sql, **options))
        schema = session.schema()
        batches = list(session.batches(max_rows=max_rows))
    assert all(batch.schema == schema for batch in batches)
    return pa.Table.from_batches(batches, schema=schema)


def resident_bytes() -> int:
    """Return the memory this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Caller(threading.Thread):
    """Runs something that is expected to be cancelled, and keeps how it ended."""

    def __init__(self, action: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._action = action
        self.error: ServiceError | None = None
        self.start()

    def run(self) -> None:
        """Keep the error of the action."""
        try:
            self._action()
        except ServiceError as error:
            self.error = error

    def ended(self, seconds: float = GONE_SECONDS) -> ServiceError | None:
        """Return the error, which must be there within `seconds`."""
        self.join(seconds)
        assert not self.is_alive(), "the call did not end"
        return self.error


# Rows


def test_batches_of_one_row_hold_it(engine: Engine) -> None:
    """A result of one row is one batch of one row."""
    table = read(engine, engine.numbers(1))
    assert table.column_names == ["n", "label"]
    assert table["n"].to_pylist() == [1]


def test_batches_of_an_empty_result_are_none_and_the_schema_stays(engine: Engine) -> None:
    """A result without rows has its columns and no batch."""
    with engine.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=engine.nothing()))
        assert session.schema().names == ["n", "label"]
        assert list(session.batches(max_rows=100)) == []


@pytest.mark.parametrize("max_rows", [1, 7, 999, 1000, 1001])
def test_batches_keep_order_and_the_limit_of_rows(engine: Engine, max_rows: int) -> None:
    """Rows come in the order of the warehouse, in batches of 1 to `max_rows`."""
    with engine.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=engine.numbers(1000)))
        batches = list(session.batches(max_rows=max_rows))
    assert list(range(1, 1001)) == [n for batch in batches for n in batch.column(0).to_pylist()]
    assert all(1 <= batch.num_rows <= max_rows for batch in batches)


def test_batches_of_many_rows_stay_small_in_memory(engine: Engine) -> None:
    """However many rows there are, only a few megabytes of them are held."""
    read(engine, engine.numbers(1000))  # what loading the driver takes does not count
    rows = size = 0
    before = most = resident_bytes()
    with engine.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=engine.numbers(engine.many)))
        for batch in session.batches(max_rows=20_000):
            assert rows + 1 == batch.column(0)[0].as_py()
            rows += batch.num_rows
            size += batch.nbytes
            most = max(most, resident_bytes())
    assert rows == engine.many
    assert size > 100 * engine.many
    # DuckDB sorts all of them first, within the limit it was given.
    allowed = 400 if engine.name == "duckdb" else 60
    assert most - before < allowed * MEGABYTE


@pytest.mark.parametrize(("limit", "expected"), [(0, 0), (1, 1), (999, 999), (1000, 1000), (5000, 1000)])
def test_row_limit_stops_after_that_many_rows(engine: Engine, limit: int, expected: int) -> None:
    """A limit keeps the first rows in order and changes nothing else."""
    table = read(engine, engine.numbers(1000), row_limit=limit)
    assert list(range(1, expected + 1)) == table["n"].to_pylist()
    assert table.column_names == ["n", "label"]


def test_row_limit_on_an_endless_result_ends_it(engine: Engine) -> None:
    """Reaching the limit ends the statement in the warehouse too."""
    table = read(engine, engine.endless(), row_limit=25_000)
    assert table.num_rows == 25_000
    assert wait_until(lambda: engine.sessions_left() == 0, seconds=GONE_SECONDS)


def test_session_left_early_stops_the_statement(engine: Engine) -> None:
    """Closing a session in the middle of a result leaves nothing running."""
    with engine.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=engine.endless()))
        assert next(iter(session.batches(max_rows=100))).num_rows <= 100
    assert wait_until(lambda: engine.sessions_left() == 0, seconds=GONE_SECONDS)


def test_two_sessions_at_once_do_not_disturb_each_other(engine: Engine) -> None:
    """Two results can be read alternately."""
    with engine.warehouse.open() as one, engine.warehouse.open() as two:
        for session in (one, two):
            session.submit(Statement(tag=TAG, sql=engine.numbers(1000)))
        pairs = list(zip(one.batches(max_rows=100), two.batches(max_rows=100), strict=True))
    assert pairs
    assert all(left.equals(right) for left, right in pairs)


# Connecting ahead


def test_submit_to_a_session_connected_ahead_runs_it(engine: Engine) -> None:
    """It makes no difference to a statement when, and by which thread, its session was connected."""
    with engine.warehouse.open() as session:
        ahead = threading.Thread(target=session.connect)
        ahead.start()
        session.connect()
        ahead.join(10)
        session.submit(Statement(tag=TAG, sql=engine.numbers(10)))
        assert sum(batch.num_rows for batch in session.batches(max_rows=100)) == 10


def test_close_of_a_session_connected_ahead_leaves_nothing(engine: Engine) -> None:
    """A session nobody needed is gone when it is closed, and takes no statement any more."""
    session = engine.warehouse.open()
    session.connect()
    session.close()
    assert wait_until(lambda: engine.sessions_left() == 0, seconds=GONE_SECONDS)
    with pytest.raises(WarehouseError, match="closed"):
        session.submit(Statement(tag=TAG, sql=engine.numbers(1)))


def test_cancel_of_a_session_connected_ahead_makes_submit_raise(engine: Engine) -> None:
    """A query cancelled while it takes a session over does not run."""
    with engine.warehouse.open() as session:
        session.connect()
        session.cancel()
        with pytest.raises(QueryCancelledError):
            session.submit(Statement(tag=TAG, sql=engine.numbers(1)))
    assert wait_until(lambda: engine.sessions_left() == 0, seconds=GONE_SECONDS)


# Taking over


@pytest.mark.parametrize("row_limit", [None, 15_000])
def test_attach_goes_on_at_any_row_or_does_nothing(engine: Engine, row_limit: int | None) -> None:
    """Another session reads on at the very row it names, where it can; where it cannot, it runs the statement."""
    statement = Statement(tag=TAG, sql=engine.numbers(20_000), row_limit=row_limit)
    with engine.warehouse.open() as first:
        query_id = first.submit(statement)
        seen = next(first.batches(max_rows=777)).num_rows
    with engine.warehouse.open() as second:
        taken = query_id is not None and second.attach(statement, query_id, first_row=seen + 12_345)
        assert taken is second.resumable
        if not taken:
            second.submit(statement)
        numbers = [n for batch in second.batches(max_rows=1_000) for n in batch.column(0).to_pylist()]
    assert numbers == list(range(seen + 12_346 if taken else 1, (row_limit or 20_000) + 1))


def test_attach_to_an_unknown_statement_does_nothing(engine: Engine) -> None:
    """A session that could not attach runs the statement as if nothing had been asked."""
    with engine.warehouse.open() as session:
        assert not session.attach(
            Statement(tag=TAG, sql=engine.numbers(10)), "0a6b3c52-77a4-4a6e-9f2d-4f0c6f2b8d11", first_row=0
        )
        session.submit(Statement(tag=TAG, sql=engine.numbers(10)))
        assert sum(batch.num_rows for batch in session.batches(max_rows=100)) == 10


def test_leave_keeps_the_statement_for_another_session(engine: Engine) -> None:
    """A session that lets go stops nothing where another one can take over, and everything where none can."""
    statement = Statement(tag=TAG, sql=engine.numbers(1000))
    with engine.warehouse.open() as first:
        query_id = first.submit(statement)
        first.leave()
        with pytest.raises(QueryCancelledError):
            first.schema()
    with engine.warehouse.open() as second:
        assert (query_id is not None and second.attach(statement, query_id, first_row=0)) is second.resumable
        if second.resumable:
            assert sum(batch.num_rows for batch in second.batches(max_rows=100)) == 1000
    engine.end_left_sessions()


# Names and text


def test_schema_of_equal_names_makes_them_unique(engine: Engine) -> None:
    """Columns of one name are told apart without taking the name of another."""
    engine.needs("twins")
    table = read(engine, engine.twins())
    assert table.to_pydict() == {"a": [1], "a_2": [2], "a_1": [3]}


def test_schema_of_odd_names_keeps_them(engine: Engine) -> None:
    """Blanks, quotes, letters of any alphabet and keywords are names like others."""
    engine.needs("names")
    table = read(engine, engine.odd_names())
    expected = ["a b", 'say "hi"', "größe", "select", "semi;colon", "UPPER"]
    assert expected == table.column_names
    assert [column[0].as_py() for column in table.columns] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("value", ["", " ", "héé 日本 🦆", "a'b\"c\\d", "\t\n\r", "-- no; comment", "\u2028\x7f"])
def test_batches_of_any_text_keep_it(engine: Engine, value: str) -> None:
    """Text survives to the character, in both directions."""
    engine.needs("text")
    assert [value] == read(engine, engine.text(value))["v"].to_pylist()


@pytest.mark.parametrize("ending", [";", " ; ", "\n;;\n", " -- done", ";-- done\n", " /* done */ ;"])
def test_submit_of_a_terminated_statement_runs_it(engine: Engine, ending: str) -> None:
    """Semicolons and comments after the statement do no harm, with and without a limit."""
    engine.needs("text")
    for limit in (None, 5):
        assert read(engine, f"select 1 as n{ending}", row_limit=limit).column(0).to_pylist() == [1]


# Errors


def test_submit_of_a_wrong_statement_says_where(engine: Engine) -> None:
    """A refused statement names the thing and its place in the text that was sent."""
    with pytest.raises(WarehouseQueryError, match="nosuch_table") as caught:
        read(engine, engine.failing_at_once())
    engine.needs("place")
    assert caught.value.details["lineNumber"] == 2
    assert caught.value.details["position"] == 17


def test_batches_of_a_failing_statement_yield_rows_then_raise(engine: Engine) -> None:
    """An error after many rows ends the stream with that error, not with fewer rows."""
    with engine.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=engine.failing_after(engine.late)))
        batches = session.batches(max_rows=1000)
        rows = next(batches).num_rows
        with pytest.raises(WarehouseQueryError):
            rows += sum(batch.num_rows for batch in batches)
    assert rows <= engine.late


@pytest.mark.parametrize("sql", ["", " \n", "-- nothing", "/* ; */", "select 1; select 2", "select 1\0"])
def test_submit_of_what_is_no_single_statement_is_refused(engine: Engine, sql: str) -> None:
    """Nothing, two statements and unprintable text never run."""
    with pytest.raises((RequestError, WarehouseQueryError)):
        read(engine, sql)


def test_submit_without_permission_to_write_changes_nothing(engine: Engine) -> None:
    """Writing is refused before it happens, however it is spelled."""
    engine.needs("writes")
    with pytest.raises(ForbiddenError, match="INSERT"):
        read(engine, engine.write())
    with pytest.raises((WarehouseError, ForbiddenError), match="allow_writes"):
        read(engine, engine.hidden_write())
    assert engine.target_rows() == 0


def test_submit_with_permission_to_write_changes_and_counts(engine: Engine) -> None:
    """With the permission, a change happens once and its result is the number of rows."""
    engine.needs("writes")
    table = read(engine, engine.write(), allow_writes=True)
    assert table.to_pydict() == {name: [2] for name in engine.count_names}
    assert engine.target_rows() == 2


# Cancelling


def test_cancel_before_anything_makes_submit_raise(engine: Engine) -> None:
    """A session cancelled before it connects never does."""
    with engine.warehouse.open() as session:
        session.cancel()
        with pytest.raises(QueryCancelledError):
            session.submit(Statement(tag=TAG, sql=engine.numbers(1)))
    assert engine.sessions_left() == 0


def test_cancel_after_submit_makes_schema_raise(engine: Engine) -> None:
    """A session cancelled between two calls raises in the next, and the warehouse has let go by then."""
    with engine.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=engine.numbers(1)))
        session.cancel()
        assert wait_until(lambda: engine.sessions_left() == 0, seconds=GONE_SECONDS)
        with pytest.raises(QueryCancelledError):
            session.schema()


def test_cancel_during_execution_ends_the_call_and_the_statement(engine: Engine) -> None:
    """A statement that computes is gone within a second, and so is the wait for it."""
    with engine.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=engine.busy()))
        caller = Caller(session.schema)
        engine.wait_until_busy(session)
        session.cancel()
        assert isinstance(caller.ended(), QueryCancelledError)
        assert wait_until(lambda: engine.sessions_left() == 0, seconds=GONE_SECONDS)


def test_cancel_while_streaming_ends_the_call_and_the_statement(engine: Engine) -> None:
    """A result that is being read ends with the cancellation."""
    begun = threading.Event()

    def stream() -> None:
        for _ in session.batches(max_rows=1000):
            begun.set()

    with engine.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=engine.endless()))
        caller = Caller(stream)
        assert begun.wait(10)
        session.cancel()
        assert isinstance(caller.ended(), QueryCancelledError)
        assert wait_until(lambda: engine.sessions_left() == 0, seconds=GONE_SECONDS)


def test_cancel_while_nobody_reads_ends_the_statement(engine: Engine) -> None:
    """A result whose reader is busy elsewhere leaves the warehouse at once; the reader learns it later."""
    with engine.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=engine.endless()))
        batches = session.batches(max_rows=1000)
        next(batches)
        session.cancel()
        assert wait_until(lambda: engine.sessions_left() == 0, seconds=GONE_SECONDS)
        with pytest.raises(QueryCancelledError):
            for _ in batches:
                pass


def test_cancel_after_the_end_does_nothing(engine: Engine) -> None:
    """A finished result is not taken back, and cancelling twice, or after closing, is no error."""
    with engine.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=engine.numbers(10)))
        batches = list(session.batches(max_rows=100))
        session.cancel()
        session.cancel()
    session.cancel()
    session.close()
    assert sum(batch.num_rows for batch in batches) == 10


def test_cancel_at_any_moment_ends_soon(engine: Engine) -> None:
    """Whenever it comes, cancelling is never lost: twenty moments from connecting to streaming."""

    def run() -> None:
        with engine.warehouse.open() as session:
            sessions.append(session)
            session.submit(Statement(tag=TAG, sql=engine.endless()))
            for _ in session.batches(max_rows=1000):
                pass

    for step in range(20):
        sessions: list = []
        caller = Caller(run)
        assert wait_until(lambda: bool(sessions))  # noqa: B023 - used up before the next round
        threading.Event().wait(step * 0.004)
        begun = time.monotonic()
        sessions[0].cancel()
        assert isinstance(caller.ended(2.0), QueryCancelledError)
        assert time.monotonic() - begun < 2.0
    assert wait_until(lambda: engine.sessions_left() == 0, seconds=GONE_SECONDS)


# What the warehouse knows


def test_connect_with_wrong_login_is_a_connection_error(engine: Engine) -> None:
    """A wrong password and an unknown database are refused without showing a secret, by connecting and by ping."""
    engine.needs("login")
    for warehouse, secret in engine.wrong_logins():
        for action in engine.logins(warehouse):
            with pytest.raises(WarehouseConnectionError, match="Check") as caught:
                action()
            assert secret not in f"{caught.value!r}{caught.value.details}{warehouse!r}"


def test_submit_returns_an_id_that_the_warehouse_knows(engine: Engine) -> None:
    """While a statement runs, an administrator finds it under the id, and with it who asked."""
    engine.needs("query id")
    with engine.warehouse.open() as session:
        query_id = session.submit(Statement(tag=TAG, sql=engine.busy()))
        caller = Caller(session.schema)
        engine.wait_until_busy(session)
        assert query_id is not None
        assert engine.knows(query_id)
        engine.needs("tag")
        assert TAG.query_uuid in engine.running()
        session.cancel()
        assert isinstance(caller.ended(), QueryCancelledError)


def test_batches_of_a_cut_connection_raise(engine: Engine) -> None:
    """A result whose connection breaks ends with a connection error, not with fewer rows."""
    engine.needs("lost connection")
    with engine.warehouse.open() as session:
        query_id = session.submit(Statement(tag=TAG, sql=engine.endless()))
        batches = session.batches(max_rows=1000)
        next(batches)
        engine.cut(query_id)
        with pytest.raises(WarehouseConnectionError):
            for _ in batches:
                pass


def test_statement_beyond_the_time_out_is_stopped(engine: Engine) -> None:
    """The warehouse ends what runs too long, and the error says so."""
    engine.needs("time-out")
    begun = time.monotonic()
    with engine.impatient().open() as session:
        session.submit(Statement(tag=TAG, sql=engine.busy()))
        with pytest.raises(WarehouseTimeoutError):
            session.schema()
    assert time.monotonic() - begun < 5.0


def test_ping_names_the_warehouse(engine: Engine) -> None:
    """A ping says who answered, with a version."""
    assert engine.warehouse.ping().split(" ")[1][0].isdigit()
