"""Where a result ends because a limit says so."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queryfleet.errors import LimitExceededError
from queryfleet.results.encoder import Encoder
from queryfleet.results.limit import ResultLimit

SCHEMA = pa.schema([("n", pa.int64())])


def batch(first, count):
    return pa.record_batch([pa.array(range(first, first + count), pa.int64())], schema=SCHEMA)


def passed(limit, sizes):
    """Return the lines that get through, batch by batch until the limit is reached, as an actor does it."""
    encoder, lines, first = Encoder(SCHEMA), b"", 0
    for size in sizes:
        encoded = limit.cut_bytes(encoder.encode(limit.cut_rows(batch(first, size))))
        lines += bytes(encoded.data)
        first += size
        if limit.reached is not None:
            break
    return lines


def lines_of(count):
    return b"".join(b'{"n":%d}\n' % number for number in range(count))


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 120))
def test_rows_limit_lets_exactly_so_many_rows_through(sizes, rows_max):
    """However the rows are batched, the first ones up to the limit come through; more of them is told."""
    limit = ResultLimit(rows_max=rows_max, bytes_max=None, is_error=False)
    total = sum(sizes)
    assert lines_of(min(total, rows_max)) == passed(limit, sizes)
    assert (total > rows_max) == (limit.reached is not None)


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 1500))
def test_bytes_limit_lets_whole_lines_through_and_as_many_as_fit(sizes, bytes_max):
    """No line is cut, no line that fits is lost, and the limit is never exceeded."""
    limit = ResultLimit(rows_max=None, bytes_max=bytes_max, is_error=False)
    whole = lines_of(sum(sizes))
    expected = whole if len(whole) <= bytes_max else whole[: whole.rfind(b"\n", 0, bytes_max) + 1]
    assert expected == passed(limit, sizes)
    assert (len(whole) > bytes_max) == (limit.reached is not None)


def test_limit_as_an_error_raises_instead_of_cutting():
    """A project may prefer no rows to some."""
    limit = ResultLimit(rows_max=3, bytes_max=None, is_error=True)
    with pytest.raises(LimitExceededError) as caught:
        passed(limit, [2, 2])
    assert caught.value.details == {"limit": "rows", "value": 3}


def test_row_limit_asks_for_one_row_more_than_allowed():
    """The warehouse does not compute what nobody will see, and whether there is more is known."""
    limit = ResultLimit(rows_max=10, bytes_max=None, is_error=False)
    assert [limit.row_limit(wanted) for wanted in (None, 5, 10, 11, 1000)] == [11, 5, 10, 11, 11]
    assert ResultLimit(rows_max=None, bytes_max=None, is_error=False).row_limit(None) is None
