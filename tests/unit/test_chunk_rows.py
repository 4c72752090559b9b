"""Stored lines read with PyArrow alone, against the reader of the service."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queryfleet.client.chunk_rows import is_plain, plain_rows
from queryfleet.results.decoder import decode_lines
from tests.fixtures.exports import lines_of_batch, sample_batch

SCHEMA = pa.schema(
    [
        pa.field("small", pa.int16()),
        pa.field("big", pa.int64()),
        pa.field("huge", pa.uint64()),
        pa.field("ratio", pa.float64()),
        pa.field("single", pa.float32()),
        pa.field("amount", pa.decimal128(30, 4)),
        pa.field("text", pa.string()),
        pa.field("flag", pa.bool_()),
        pa.field("day", pa.date32()),
        pa.field("seconds", pa.timestamp("s")),
        pa.field("nanos", pa.timestamp("ns")),
        pa.field("zoned", pa.timestamp("us", "Europe/Oslo")),
    ]
)
INTEGERS = st.integers(-(2**15), 2**15 - 1)
ROWS = st.tuples(
    INTEGERS,
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.decimals(-(10**20), 10**20, places=4),
    st.text(),
    st.booleans(),
    st.dates(),
    st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)).map(lambda moment: moment.replace(microsecond=0)),  # noqa: DTZ001
    st.datetimes(dt.datetime(1800, 1, 1), dt.datetime(2200, 1, 1)),  # noqa: DTZ001
    st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)).map(lambda moment: moment.replace(tzinfo=dt.UTC)),  # noqa: DTZ001
)


def batch_of(rows):
    arrays = [pa.array([row[place] for row in rows], field.type) for place, field in enumerate(SCHEMA)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


@given(st.lists(st.tuples(ROWS, st.integers(0, len(SCHEMA) - 1)), min_size=1, max_size=4))
@settings(max_examples=60, derandomize=True)
def test_plain_rows_are_those_of_the_service(rows):
    """Whatever the values, the small reader gives exactly what the service's own reader gives."""
    with_nulls = [tuple(None if place == null else value for place, value in enumerate(row)) for row, null in rows]
    lines = lines_of_batch(batch_of(with_nulls))
    assert plain_rows(lines, SCHEMA).equals(decode_lines(lines, SCHEMA))


def test_types_that_need_more_are_told_beforehand():
    """Documents, nested values, binaries and texts that are numbers are left to the service."""
    assert is_plain(SCHEMA)
    assert not is_plain(pa.schema([]))
    for field in sample_batch(1).schema:
        special = field.name in ("exact", "kind", "raw", "list", "document")
        assert is_plain(pa.schema([field])) is not special, field.name


@pytest.mark.parametrize(
    ("kind", "value"),
    [(pa.float64(), float("nan")), (pa.float64(), float("-inf")), (pa.timestamp("s"), 300_000_000_000)],
)
def test_values_that_need_more_are_left_to_the_service(kind, value):
    """A value that only the service can read makes its whole chunk come from there."""
    batch = pa.record_batch({"x": pa.array([value], kind)})
    assert plain_rows(lines_of_batch(batch), batch.schema) is None


def test_exact_decimals_keep_every_digit():
    """Numbers that no double holds come through."""
    batch = pa.record_batch({"m": pa.array([Decimal("12345678901234567890.1234")], pa.decimal128(30, 4))})
    assert plain_rows(lines_of_batch(batch), batch.schema).equals(batch)
