"""Rows and columns that the warehouse has ranked: the columns are learned while the rows pass.

The flat rows come in order and say their place themselves: `row_index` and `column_index`, both from 1, and
`total_columns`. Limits have been applied. A null `column_index` is a row that has no shown cell.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from queryfleet.errors import InternalError
from queryfleet.pivot.cells import Cells
from queryfleet.pivot.flat import flat_schema, shown_columns, taken_rows, with_schema
from queryfleet.pivot.naming import Names, PivotColumn, group_values

if TYPE_CHECKING:
    import pyarrow as pa

    from queryfleet.pivot.naming import Display
    from queryfleet.pivot.ordering import Indices
    from queryfleet.pivot.spec import PivotPlan, PivotSpec

__all__ = ["COLUMN_INDEX", "ROW_INDEX", "TOTAL_COLUMNS", "RankedColumns", "ranked_spec"]

ROW_INDEX, COLUMN_INDEX, TOTAL_COLUMNS = "row_index", "column_index", "total_columns"


def ranked_spec(spec: PivotSpec) -> PivotSpec:
    """Return what is left of a pivot for whoever reads ranked cells: all that orders has done its work."""
    return replace(spec, sort=(), sort_only_values=(), sort_only_dimensions=(), column_order=())


class RankedColumns:
    """Learns the columns of one pivot. Used by one thread, batch after batch.

    Args:
        plan: The pivot; its limits do nothing here.
        display: How group values are shown.
    """

    def __init__(self, plan: PivotPlan, display: Display) -> None:
        self._plan = plan
        self._display = display
        self._names = Names(plan.spec)
        self._places = np.full(64, -1, dtype=np.int64)  # by column_index
        self._rows = 0
        self._given: pa.Schema | None = None  # of the batch before, and what it is turned into
        self._schema: pa.Schema | None = None
        self.columns: list[PivotColumn] = []  # as they were met; of equal names the first one met keeps it
        self.total: int | None = None
        if not plan.spec.groups:
            self.columns.append(self._names.column(None, ()))

    def cells(self, batch: pa.RecordBatch) -> Cells:
        """Return the cells of the next batch.

        Raises:
            ParameterError: The batch lacks a column that the pivot names.
            InternalError: Its rows are not in order.
        """
        import pyarrow as pa

        spec = self._plan.spec
        table = self._prepared(pa.Table.from_batches([batch]))
        if not spec.groups:
            rows = np.arange(self._rows, self._rows + batch.num_rows, dtype=np.int64)
            columns = np.zeros(batch.num_rows, dtype=np.int64)
        else:
            rows = _numbers(table, ROW_INDEX)
            if len(rows) and (int(rows[0]) < self._rows or bool((np.diff(rows) < 0).any())):
                raise InternalError("The warehouse's rows are not in the order of their row_index.")
            columns = self._learned(table)
            if self.total is None and len(rows):
                self.total = int(_numbers(table, TOTAL_COLUMNS)[0]) or None
        self._rows = int(rows[-1]) + (0 if spec.groups else 1) if len(rows) else self._rows
        return Cells(table=table.select(shown_columns(spec)), rows=rows, columns=columns)

    def _prepared(self, flat: pa.Table) -> pa.Table:
        if self._given is None or not flat.schema.equals(self._given):
            ranks = (ROW_INDEX, COLUMN_INDEX, TOTAL_COLUMNS) if self._plan.spec.groups else ()
            self._given, self._schema = flat.schema, flat_schema(flat.schema, self._plan, names=ranks)
        return with_schema(flat, self._schema)

    def in_order(self) -> tuple[PivotColumn, ...]:
        """Return the columns met so far in the order of their `column_index`."""
        return tuple(sorted(self.columns, key=lambda column: column.column_index or 0))

    def _learned(self, table: pa.Table) -> Indices:
        """Return the place of each flat row's column in `columns`, with those it has not had yet."""
        indexes = _numbers(table, COLUMN_INDEX)
        largest = int(indexes.max(initial=0))
        if largest >= len(self._places):
            more = np.full(2 * largest + 1 - len(self._places), -1, dtype=np.int64)
            self._places = np.concatenate([self._places, more])
        found = self._places[indexes]
        if int(found.min(initial=0)) < 0 and (unknown := np.flatnonzero((found < 0) & (indexes > 0))).size:
            _, first = np.unique(indexes[unknown], return_index=True)
            met = unknown[np.sort(first)]
            groups = group_values(taken_rows(table, met), self._plan.spec, self._display)
            for index, values in zip(indexes[met].tolist(), groups, strict=True):
                self._places[index] = len(self.columns)
                self.columns.append(self._names.column(index, values))
            found = self._places[indexes]
        return found


def _numbers(table: pa.Table, name: str) -> Indices:
    """Return a column of whole numbers, 0 for null; index 0 is no column."""
    import pyarrow as pa

    column = table.column(name).combine_chunks().cast(pa.int64())
    numbers: Indices = (column.fill_null(0) if column.null_count else column).to_numpy(zero_copy_only=False)
    return numbers
