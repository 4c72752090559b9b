"""A pivot within an attempt: when it is handed over, and what is said at its end."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from actors.pivoting import Pivoting
from queryfleet.errors import LimitExceededError
from queryfleet.pivot.local import pivoted
from queryfleet.pivot.naming import Display
from queryfleet.pivot.spec import PivotLimits, PivotPlan
from queryfleet.pivot.task import PivotTask, PivotWay
from queryfleet.pivot.wire import parse_pivot
from queryfleet.results.writer import FinishedResult

pytestmark = pytest.mark.anyio

CONFIGURATION = {
    "indexColumn": [{"reference": "i"}],
    "groupByColumns": [{"reference": "g"}],
    "valuesColumns": [{"reference": "v", "aggregation": "any"}],
}
CELLS = pa.table({"i": [1, 1, 2, 2], "g": ["a", "b", "a", "b"], "v_any": [1, 2, 3, 4]})
RANKED = CELLS.append_column("row_index", pa.array([1, 1, 2, 2])).append_column(
    "column_index", pa.array([1, None, 1, None])
)


class KeptCells:
    """Cells in a list, stored by nobody."""

    def __init__(self):
        self.tables = []

    def put(self, cells):
        self.tables.append(cells)
        return len(self.tables) - 1

    async def pivot(self, partitions, task, *, announce, commit):
        assert partitions == list(range(len(self.tables)))
        plan = replace(task.plan, limits=PivotLimits(columns=1))
        announce(pivoted(pa.concat_tables(self.tables), plan, Display(rules={})).dictionary)
        return FinishedResult(uncommitted=(), row_count=2, byte_count=40, chunk_count=1)


def task(way, **limits):
    plan = PivotPlan(spec=parse_pivot(CONFIGURATION), limits=PivotLimits(**limits))
    return PivotTask(way=way, plan=plan, has_original=True, warnings=("said before",))


def lines_of(pivoting, table, **cut):
    """Return the lines, and what was announced while they were made."""
    announced = []
    return b"".join(
        bytes(each.data) for each in pivoting.lines(table.schema, table.to_batches(**cut), announced.append)
    ).decode(), announced


def test_few_flat_cells_are_pivoted_here():
    """The lines come from the actor, and the columns are told with their real types."""
    cells = KeptCells()
    pivoting = Pivoting(task(PivotWay.DISTRIBUTED), cells_max=4, cells=cells)
    lines, announced = lines_of(pivoting, CELLS, max_chunksize=1)
    assert lines == '{"i":1,"v_any_a":1,"v_any_b":2}\n{"i":2,"v_any_a":3,"v_any_b":4}\n'
    assert (cells.tables, pivoting.is_handed_over) == ([], False)
    found = pivoting.described(row_count=2)
    assert [column.reference for column in found.columns] == ["i", "v_any_a", "v_any_b"]
    assert found.details["originalColumns"]["v"] == {"reference": "v", "type": "number"}
    assert found.warnings == ("said before",)
    assert [each.details for each in announced] == [found.details]


async def test_many_flat_cells_are_handed_over_whole():
    """Every cell arrives, the actor writes no line, and the cluster's word counts."""
    cells = KeptCells()
    pivoting = Pivoting(task(PivotWay.DISTRIBUTED), cells_max=2, cells=cells)
    assert lines_of(pivoting, CELLS, max_chunksize=1) == ("", [])
    assert pivoting.is_handed_over
    assert pa.concat_tables(cells.tables).cast(CELLS.schema).equals(CELLS)
    announced = []
    assert (await pivoting.hand_over(announced.append, None)).row_count == 2
    assert [column.reference for column in announced[0].columns] == ["i", "v_any_a"]
    assert "2 columns; the first 1" in pivoting.described(row_count=2).warnings[1]


def test_ranked_cells_tell_of_columns_that_are_not_shown():
    """The total is the warehouse's, and what is missing is said."""
    ranked = RANKED.append_column("total_columns", pa.array([2, 2, 2, 2]))
    pivoting = Pivoting(task(PivotWay.SQL, columns=1), cells_max=1, cells=KeptCells())
    lines, announced = lines_of(pivoting, ranked)
    assert lines == '{"i":1,"v_any_a":1}\n{"i":2,"v_any_a":3}\n'
    found = pivoting.described(row_count=2)
    assert found.details["totalColumnCount"] == 2
    assert [each.details for each in announced] == [found.details]
    assert found.warnings == ("said before", "The pivot has 2 columns; the first 1 are shown.")


def test_ranked_cells_with_too_many_columns_are_an_error():
    """It ends at the first batch, with the number."""
    ranked = RANKED.append_column("total_columns", pa.array([9, 9, 9, 9]))
    pivoting = Pivoting(task(PivotWay.SQL, columns_max=8), cells_max=1, cells=None)
    with pytest.raises(LimitExceededError, match="9 columns"):
        lines_of(pivoting, ranked)


@pytest.mark.parametrize(
    ("texts", "is_told"),
    [(["a", "b"], False), (["Oslo", "Bergen"], False), (["A", "b"], True), (["a b", "ab"], True), (["é", "f"], True)],
)
def test_text_that_the_warehouse_may_order_otherwise_is_told(texts, is_told):
    """Only where the two orders can differ, and only of a warehouse that has collations."""
    cells = pa.table({"i": [1, 1], "g": texts, "v_any": [1, 2]})
    for has_collation in (True, False):
        asked = replace(task(PivotWay.DISTRIBUTED), has_collation=has_collation)
        pivoting = Pivoting(asked, cells_max=4, cells=None)
        lines_of(pivoting, cells)
        told = [each for each in pivoting.described(row_count=1).warnings if "code point" in each]
        assert len(told) == (is_told and has_collation)
