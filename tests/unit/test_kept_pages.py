"""Pages of results that stay in the warehouse: what is asked of it, what is kept, and what is tried again."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pytest

from actors.kept_pages import KeptPages, PageOfRows
from queryfleet.errors import NotSupportedError, ResultCorruptError, ResultsExpiredError, WarehouseConnectionError
from queryfleet.results.page import schema_to_bytes

SCHEMA = pa.schema([("n", pa.int64())])


@dataclass
class Piece:
    """Rows of a scripted result."""

    warehouse: Keeping
    first: int
    row_count: int

    def read(self):
        self.warehouse.reads.append(self.first)
        if self.warehouse.piece_errors:
            raise self.warehouse.piece_errors.pop()
        return pa.record_batch([pa.array(range(self.first, self.first + self.row_count), pa.int64())], schema=SCHEMA)


@dataclass
class Keeping:
    """A warehouse whose results have pieces of ten rows, or of other sizes; it notes what is asked."""

    rows: int = 100
    sizes: list[int] = field(default_factory=lambda: [10])  # of pieces, by how often the result was asked for
    reads: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    logins: int = 0
    closed: int = 0
    errors: list[Exception] = field(default_factory=list)
    piece_errors: list[Exception] = field(default_factory=list)
    gate: threading.Event | None = None

    def kept_rows(self):
        self.logins += 1
        return self

    def pieces(self, query_id, schema):
        if self.gate is not None:
            self.gate.wait(10)
        self.asked.append(query_id)
        if self.errors:
            raise self.errors.pop()
        size = self.sizes[min(len(self.asked), len(self.sizes)) - 1]
        return [Piece(self, first, min(size, self.rows - first)) for first in range(0, self.rows, size)]

    def close(self):
        self.closed += 1


def pages_of(warehouse, **options):
    return KeptPages(config_of=lambda project: project["name"], warehouse_of=lambda _: warehouse, **options)


def asking(first, count, *, query_id="q", total=100):
    return PageOfRows(project={"name": "shop"}, query_id=query_id, arrow_schema=schema_to_bytes(SCHEMA),
                      total_rows=total, first_row=first, row_count=count)  # fmt: skip


def lines(first, count):
    return b"".join(b'{"n":%d}\n' % number for number in range(first, first + count))


@pytest.mark.parametrize(("first", "count", "reads"), [(0, 1, [0]), (9, 2, [0, 10]), (20, 10, [20]), (95, 5, [90])])
def test_page_reads_the_pieces_that_hold_it_and_no_others(first, count, reads):
    """A page costs itself, wherever it begins and ends."""
    warehouse = Keeping()
    assert pages_of(warehouse).lines(asking(first, count)) == lines(first, count)
    assert warehouse.reads == reads


def test_pages_in_the_same_piece_read_it_once_also_at_the_same_time():
    """The second page of a piece waits for the first one's reading."""
    warehouse = Keeping(gate=threading.Event())
    pages = pages_of(warehouse)
    with ThreadPoolExecutor(8) as threads:
        reading = [threads.submit(pages.lines, asking(first, 1)) for first in range(8)]
        warehouse.gate.set()
        assert [future.result() for future in reading] == [lines(first, 1) for first in range(8)]
    assert (warehouse.reads, warehouse.asked, warehouse.logins) == ([0], ["q"], 1)


def test_pieces_in_memory_are_bounded():
    """What was used least lately is forgotten; a piece larger than the bound is read each time."""
    warehouse = Keeping()
    pages = pages_of(warehouse, batch_bytes_max=2 * 80)
    for first in (0, 10, 0, 20, 0, 10):
        pages.lines(asking(first, 1))
    assert warehouse.reads == [0, 10, 20, 10]
    small = Keeping()
    pages = pages_of(small, batch_bytes_max=10)
    for _ in range(2):
        pages.lines(asking(0, 1))
    assert small.reads == [0, 0]


def test_result_that_is_cut_differently_later_gives_the_same_rows():
    """After links have grown old the pieces may have other edges."""
    now = [0.0]
    warehouse = Keeping(sizes=[10, 7])
    pages = pages_of(warehouse, clock=lambda: now[0])
    assert pages.lines(asking(5, 10)) == lines(5, 10)
    now[0] = 5 * 3600.0
    assert pages.lines(asking(5, 10)) == lines(5, 10)
    assert warehouse.asked == ["q", "q"]


def test_lost_login_and_expired_link_are_tried_again():
    """A new login and fresh links come once each; what time cannot mend is told at once."""
    passing = WarehouseConnectionError("gone", transient=True)
    warehouse = Keeping(errors=[passing], piece_errors=[OSError("403")])
    assert pages_of(warehouse).lines(asking(0, 1)) == lines(0, 1)
    assert (warehouse.logins, warehouse.closed, len(warehouse.asked)) == (2, 1, 3)
    refused = Keeping(errors=[WarehouseConnectionError("wrong password", transient=False)] * 3)
    with pytest.raises(WarehouseConnectionError, match="wrong password"):
        pages_of(refused).lines(asking(0, 1))
    assert refused.asked == ["q"]
    hopeless = Keeping(errors=[passing] * 9)
    with pytest.raises(WarehouseConnectionError):
        pages_of(hopeless).lines(asking(0, 1))
    assert len(hopeless.asked) == 3


def test_result_that_is_gone_or_lacks_rows_is_never_a_page():
    """Expired results and results with fewer rows than there were are errors of their own."""
    with pytest.raises(ResultsExpiredError):
        pages_of(Keeping(errors=[ResultsExpiredError("gone")])).lines(asking(0, 1))
    with pytest.raises(ResultCorruptError, match="100 rows of a result that had 101"):
        pages_of(Keeping()).lines(asking(0, 1, total=101))


def test_warehouse_that_keeps_nothing_is_refused():
    """A project that is on another warehouse by now is told the setting."""
    pages = KeptPages(config_of=lambda project: project["name"], warehouse_of=lambda _: object())
    with pytest.raises(NotSupportedError, match="QUERYFLEET_STORE_URL"):
        pages.lines(asking(0, 1))


def test_close_logs_out():
    """Nothing stays logged in."""
    warehouse = Keeping()
    pages = pages_of(warehouse)
    pages.lines(asking(0, 1))
    pages.close()
    assert warehouse.closed == 1
