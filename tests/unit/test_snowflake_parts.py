"""What is made of Snowflake's columns, chunks and errors, without a server."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from queryfleet.columns import LogicalType, logical_type
from queryfleet.errors import (
    QueryCancelledError,
    WarehouseConnectionError,
    WarehouseQueryError,
    WarehouseTimeoutError,
)
from queryfleet.warehouse.background import BackgroundCalls
from queryfleet.warehouse.snowflake_connector import Chunk, ResultColumn, StoredResult
from queryfleet.warehouse.snowflake_errors import connection_error, query_error
from queryfleet.warehouse.snowflake_types import ResultPlan
from queryfleet.warehouse.stored_result import partitions_of


class DriverError(Exception):
    """What the driver raises, as far as we look at it."""

    def __init__(self, errno, msg, sqlstate=None):
        super().__init__(msg)
        self.errno, self.msg, self.sqlstate = errno, msg, sqlstate


def column(name, word, precision=None, scale=None):
    return ResultColumn(name=name, type=word, precision=precision, scale=scale)


@pytest.mark.parametrize(
    ("word", "sent", "delivered"),
    [
        ("VECTOR", pa.array([[1.5, 2.0], None], pa.list_(pa.float32(), 2)), ["[1.5,2.0]", None]),
        ("OBJECT", pa.array([{"a": Decimal("1.10")}, None]), ['{"a":"1.10"}', None]),
        ("ARRAY", pa.array([["x", None], None]), ['["x",null]', None]),
        ("MAP", pa.array(['{"k": 1}', None]), ['{"k": 1}', None]),
        ("INTERVAL_YEAR_MONTH", pa.array([14, None], pa.int64()), [pa.MonthDayNano([14, 0, 0]), None]),
        ("INTERVAL_DAY_TIME", pa.array([1_000, None], pa.duration("ns")), [timedelta(microseconds=1), None]),
        ("FILE", pa.array(["@stage/x", None]), ["@stage/x", None]),
    ],
)
def test_plan_brings_rare_types_to_their_form(word, sent, delivered):
    """Types that only a real account has arrive as documented."""
    plan = ResultPlan.of([column("v", word)], None)
    batch = plan.batch(pa.table({"v": sent}))
    assert batch.column(0).to_pylist() == delivered
    json = word in {"VECTOR", "OBJECT", "ARRAY", "MAP"}
    assert (logical_type(batch.schema.field(0)) is LogicalType.JSON) is json


def test_plan_of_rows_without_arrow_has_the_same_types():
    """Results that the driver gives as rows are the same columns."""
    columns = [column("a", "FIXED", 38, 0), column("a", "FIXED", 5, 2), column("t", "TEXT")]
    plan = ResultPlan.of(columns, None)
    batch = plan.batch([(1, Decimal("1.25"), "x"), (None, None, None)])
    assert batch.schema.names == ["a", "a_1", "t"]
    assert [str(kind) for kind in batch.schema.types] == ["decimal128(38, 0)", "decimal128(5, 2)", "string"]
    assert batch.column(0).to_pylist() == [Decimal(1), None]
    with pytest.raises(WarehouseQueryError, match=r'to_varchar\("a_1"\)'):
        plan.batch([(1, Decimal("1.255"), "x")])


@pytest.mark.parametrize(
    ("first_row", "end_row", "expected"),
    [
        (0, None, [(0, 3), (0, 4), (0, 5)]),
        (2, 8, [(2, 1), (0, 4), (0, 1)]),
        (3, 4, [(0, 1)]),
        (11, None, [(4, 1)]),
        (12, None, []),
    ],
)
def test_partitions_of_a_result_are_cut_to_the_row(first_row, end_row, expected):
    """Whatever the edges of the chunks, exactly the rows asked for are there."""
    chunks = tuple(Chunk(batch=None, row_count=count, byte_count=count) for count in (3, 4, 5))
    result = StoredResult(columns=(column("n", "FIXED", 9, 0),), chunks=chunks)
    found = partitions_of(result, ResultPlan.of(result.columns, None), first_row=first_row, end_row=end_row)
    assert [(piece.skipped, piece.row_count) for piece in found] == expected


@pytest.mark.parametrize(
    ("error", "kind", "transient"),
    [
        (DriverError(1003, "001003 (42000): SQL compilation error:\nsyntax error line 2 at position 3", "42000"),
         WarehouseQueryError, None),
        (DriverError(604, "000604 (57014): SQL execution canceled", "57014"), WarehouseQueryError, None),
        (DriverError(630, "000630 (57014): Statement reached its timeout", "57014"), WarehouseTimeoutError, None),
        (DriverError(250001, "250001: Could not connect"), WarehouseConnectionError, True),
        (DriverError(390111, "390111: Session no longer exists"), WarehouseConnectionError, True),
        (DriverError(390100, "390100 (08001): Incorrect username"), WarehouseConnectionError, False),
        (DriverError(4, "000004: HTTP request failed after retries"), WarehouseConnectionError, True),
        (OSError("broken"), WarehouseConnectionError, True),
    ],
)  # fmt: skip
def test_query_error_tells_statement_login_and_network_apart(error, kind, transient):
    """What the server says of a statement, of a login, and what lies between, are three things."""
    made = query_error(error, sql="select 1\nx, y", target="acc", secrets=["hunter2"], query_id="q-1")
    assert type(made) is kind
    assert made.details.get("transient") is transient
    if kind is WarehouseQueryError:
        assert made.details["warehouseQueryId"] == "q-1"
        assert not made.message.startswith("00")


def test_query_error_has_the_place_in_characters():
    """Snowflake counts columns from 0, we count characters of the text from 1."""
    error = DriverError(
        904, "000904 (42000): SQL compilation error: error line 2 at position 3\ninvalid identifier 'Y'"
    )
    made = query_error(error, sql="select 1\nx, y", target="acc", secrets=(), query_id=None)
    assert (made.details["lineNumber"], made.details["position"]) == (2, 13)


def test_connection_error_hides_secrets():
    """Whatever the driver quotes, a secret is not shown."""
    made = connection_error(DriverError(250001, "cannot use hunter2"), target="acc", secrets=["hunter2", ""])
    assert "hunter2" not in f"{made.message}{made.details}"


def test_background_call_lets_go_when_it_is_stopped():
    """Whoever waits for a call that does not end is let go, before and after."""
    import threading

    calls, gate = BackgroundCalls("test"), threading.Event()
    future = calls.start(gate.wait)
    threading.Timer(0.02, calls.stop).start()
    with pytest.raises(QueryCancelledError):
        calls.result(future)
    for action in (lambda: calls.run(lambda: 1), lambda: calls.pause(10), calls.check):
        with pytest.raises(QueryCancelledError):
            action()
    gate.set()


def test_background_call_gives_result_and_error():
    """A call that ends is like one that was made here."""
    calls = BackgroundCalls("test")
    assert calls.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        calls.run(lambda: 1 // 0)
