"""The small parts every warehouse is made of."""

from __future__ import annotations

import pickle
import threading

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.errors import (
    QueryCancelledError,
    WarehouseConnectionError,
    WarehouseQueryError,
    WarehouseTimeoutError,
)
from queryfleet.model import QueryTag
from queryfleet.testing.scripted_warehouse import Script, ScriptedWarehouse
from queryfleet.warehouse.base import Statement
from queryfleet.warehouse.duckdb_errors import query_error as duckdb_error
from queryfleet.warehouse.postgres_errors import connection_error, query_error
from queryfleet.warehouse.ranges import RangeCheck
from queryfleet.warehouse.shaping import shaped_batches, unique_names

TAG = QueryTag(query_uuid="q", project_uuid="p", user_uuid="u", context="api")
BATCH = pa.record_batch({"n": [1, 2, 3]})


class DriverError(Exception):
    """Looks like the driver's."""

    def __init__(self, text: str, **fields: str) -> None:
        super().__init__(text)
        self.details = [(f"PG_DIAG_{key}".encode(), value.encode()) for key, value in fields.items()]


def diagnosed(error: Exception, *, sql: str = "select 1", offset: int = 0) -> Exception:
    """Return what becomes of a driver's error."""
    return query_error(error, sql=sql, offset=offset, target="h:1/d", secrets=["pw"], query_id="7@now")


# Names and sizes


@given(st.lists(st.sampled_from(["a", "b", "a_1", "a_2", "A", "", "_1"])))
def test_unique_names_keep_first_bearers_and_differ(names: list[str]) -> None:
    """Every column has its own name, and the first of each name keeps it."""
    made = unique_names(names)
    assert len(names) == len(made) == len(set(made))
    for position, name in enumerate(names):
        if name not in names[:position]:
            assert made[position] == name
        else:
            assert made[position] not in names


@given(
    sizes=st.lists(st.integers(0, 50)),
    max_rows=st.integers(1, 40),
    row_limit=st.none() | st.integers(0, 300),
    target_bytes=st.integers(0, 1000),
)
def test_shaped_batches_keep_rows_in_order(
    sizes: list[int], max_rows: int, row_limit: int | None, target_bytes: int
) -> None:
    """Whatever the pieces, the batches hold the same first rows in order, within the limits."""
    rows = iter(range(sum(sizes)))
    pieces = [pa.record_batch({"n": pa.array([next(rows) for _ in range(size)], pa.int64())}) for size in sizes]
    batches = list(shaped_batches(pieces, max_rows=max_rows, row_limit=row_limit, target_bytes=target_bytes))
    assert list(range(sum(sizes)))[:row_limit] == [n for batch in batches for n in batch["n"].to_pylist()]
    assert all(1 <= batch.num_rows <= max_rows for batch in batches)


def test_shaped_batches_give_the_first_piece_at_once() -> None:
    """The first rows do not wait for more; later pieces are gathered."""
    asked = []

    def pieces() -> object:
        for number in range(10):
            asked.append(number)
            yield BATCH

    batches = shaped_batches(pieces(), max_rows=1000)
    assert next(batches).num_rows == 3
    assert asked == [0]
    assert [27] == [batch.num_rows for batch in batches]


def test_shaped_batches_read_no_further_than_the_limit() -> None:
    """Rows beyond the limit are not even asked for."""

    def pieces() -> object:
        yield BATCH
        pytest.fail("read beyond the limit")

    assert [3] == [batch.num_rows for batch in shaped_batches(pieces(), max_rows=10, row_limit=3)]


# Ranges


def raw(values: list[int | None], kind: pa.DataType) -> pa.RecordBatch:
    """Make a column of `kind` from the numbers it stores."""
    whole = pa.int64() if kind.bit_width == 64 else pa.int32()
    return pa.record_batch({"x": pa.array(values, whole).view(kind)})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (pa.date32(), [-12_687_428, 0, 11_248_737], [-12_687_429, 11_248_738, -2_147_472_692]),
        (pa.timestamp("us"), [-(10**17), 10**17], [-9_222_425_352_054_775_809, 2**63 - 1, 10**18]),
        (pa.timestamp("ns"), [-(2**63) + 2, 2**63 - 2], [2**63 - 1, -(2**63) + 1]),
        (pa.time64("us"), [0, 86_399_999_999], [86_400_000_000, -1]),
    ],
)
def test_range_check_finds_what_is_no_real_time(kind: pa.DataType, good: list[int], bad: list[int]) -> None:
    """Values at and within the ends of the calendar pass, all others are refused, also inside lists."""
    check = RangeCheck.of(raw([], kind).schema, text_cast="{}::text")
    check.check(raw([None, *good], kind))
    check.check(raw([None], kind))
    for value in bad:
        batch = raw([*good, None, value], kind)
        with pytest.raises(WarehouseQueryError, match=r'"x"::text'):
            check.check(batch)
        lists = pa.record_batch({"x": pa.ListArray.from_arrays([0, len(batch)], batch.column(0))})
        with pytest.raises(WarehouseQueryError):
            RangeCheck.of(lists.schema, text_cast="{}").check(lists)


def test_range_check_of_other_types_looks_at_nothing() -> None:
    """Columns that cannot hold such values cost nothing."""
    schema = pa.schema([("a", pa.int64()), ("b", pa.string()), ("c", pa.list_(pa.float64()))])
    assert RangeCheck.of(schema, text_cast="{}").columns == ()


# Errors of PostgreSQL


def test_query_error_moves_the_position_into_the_users_text() -> None:
    """Places are counted in what the user wrote, not in what was run."""
    sql = "select a\nfrom t"
    error = DriverError("x", MESSAGE_PRIMARY="bad", SQLSTATE="42601", STATEMENT_POSITION="35")
    found = diagnosed(error, sql=sql, offset=20)
    assert found.details["position"] == 15
    assert found.details["lineNumber"] == 2
    outside = DriverError("x", MESSAGE_PRIMARY="bad", SQLSTATE="42601", STATEMENT_POSITION="5")
    assert "position" not in diagnosed(outside, sql=sql, offset=20).details


@pytest.mark.parametrize(
    ("state", "message", "kind"),
    [
        ("57014", "canceling statement due to statement timeout", WarehouseTimeoutError),
        ("57014", "canceling statement due to user request", WarehouseQueryError),
        ("57P01", "terminating connection", WarehouseConnectionError),
        ("53300", "too many clients", WarehouseConnectionError),
        ("", "PQgetCopyData() failed: server closed the connection unexpectedly", WarehouseConnectionError),
        ("", "ERROR:  division by zero\n", WarehouseQueryError),
        ("P0001", "server closed the connection", WarehouseQueryError),
    ],
)
def test_query_error_tells_kinds_apart(state: str, message: str, kind: type[Exception]) -> None:
    """A lost session, a time limit and a wrong statement are three things."""
    error = DriverError("x", MESSAGE_PRIMARY=message, SQLSTATE=state) if state else OSError(message)
    assert type(diagnosed(error)) is kind


def test_errors_show_no_secret_and_survive_pickling() -> None:
    """Whatever a driver quotes, the password is not in it."""
    found = connection_error("cannot log in with pw\nat all", target="h:1/d", secrets=["pw"])
    assert "pw" not in f"{found!r}{found.details}"
    again = pickle.loads(pickle.dumps(diagnosed(DriverError("pw", MESSAGE_PRIMARY="pw", SQLSTATE="42601"))))
    assert again.message == "***"
    assert again.details == {"sqlState": "42601", "warehouseQueryId": "7@now"}


def test_duckdb_error_with_a_cut_line_has_no_position() -> None:
    """A line shown in part says which line, not where in it."""
    text = "Parser Error: bad\n\nLINE 1: ...cut off here...\n           ^"
    assert duckdb_error(text, sql="select 1").details == {"lineNumber": 1}


# The scripted warehouse


def test_scripted_session_waits_until_released() -> None:
    """A pause holds the reader exactly there."""
    warehouse = ScriptedWarehouse(Script(batches=[BATCH, BATCH], pauses={"batch:1"}))
    session = warehouse.open()
    session.submit(Statement(tag=TAG, sql="select 1"))
    rows: list[int] = []
    reader = threading.Thread(target=lambda: rows.extend(batch.num_rows for batch in session.batches(max_rows=10)))
    reader.start()
    session.wait_for("batch:1")
    assert rows in ([3], [])
    session.release("batch:1")
    reader.join(5)
    assert rows == [3, 3]
    assert ["connect", "submit", "schema", "batch:0", "batch:1", "end"] == session.reached
    assert warehouse.sessions == [session]


@pytest.mark.parametrize("point", ["connect", "submit", "schema", "batch:0", "batch:1", "end"])
def test_scripted_session_fails_and_is_cancelled_at_every_point(point: str) -> None:
    """Every point can fail, and every pause ends with a cancellation."""

    def play(script: Script, *, cancel: bool) -> None:
        session = ScriptedWarehouse(script).open()
        if cancel:
            canceller = threading.Thread(target=lambda: (session.wait_for(point), session.cancel()))
            canceller.start()
        try:
            session.submit(Statement(tag=TAG, sql="select 1"))
            assert list(session.batches(max_rows=10))
        finally:
            if cancel:
                canceller.join(5)

    with pytest.raises(WarehouseQueryError, match="boom"):
        play(Script(batches=[BATCH, BATCH], failures={point: WarehouseQueryError("boom")}), cancel=False)
    with pytest.raises(QueryCancelledError):
        play(Script(batches=[BATCH, BATCH], pauses={point}), cancel=True)


def test_scripted_warehouse_refuses_what_has_no_script() -> None:
    """A statement nobody wrote a script for fails like a wrong one."""
    session = ScriptedWarehouse({"select 1": Script(batches=[BATCH])}).open()
    with pytest.raises(WarehouseQueryError):
        session.submit(Statement(tag=TAG, sql="select 2"))
