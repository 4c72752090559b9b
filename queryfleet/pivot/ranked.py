"""Rows and columns that the warehouse has ranked: the columns are learned while the rows pass.

The flat rows come in order and say their place themselves: `row_index` and `column_index`, both from 1, and
`total_columns`. Limits have been applied. A null `column_index` is a row that has no shown cell.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from queryfleet.encoding.arrays import in_one_piece
from queryfleet.errors import InternalError
from queryfleet.pivot.cells import Cells
from queryfleet.pivot.flat import flat_schema, shown_columns, taken_rows, with_schema
from queryfleet.pivot.naming import Names, PivotColumn, group_values

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    import pyarrow as pa

    from queryfleet.pivot.naming import Display, GroupValue
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
        plan: The pivot. Of its limits only that of the columns counts, to know when all have been met.
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
        self.columns: list[PivotColumn] = []  # as they were named; of equal names the first one keeps it
        self.total: int | None = None
        self._shown_count = 1
        if not plan.spec.groups:
            self.columns.append(self._names.column(None, ()))

    def all_cells(self, batches: Iterable[pa.RecordBatch], *, ahead_max: int) -> Iterator[Cells]:
        """Yield the cells of all batches, once the columns have been named in their order.

        Rows of the beginning may lack columns that come before others they have. Of equal names the first column in
        order has to keep it, so batches are held until every shown column was met.

        Args:
            batches: In order.
            ahead_max: With more cells than that held, columns that were not met yet are named as they come.

        Raises:
            ParameterError: As `cells`.
            InternalError: Likewise.
        """
        import pyarrow as pa

        batches = iter(batches)
        held: deque[pa.RecordBatch] = deque()
        met: dict[int, tuple[GroupValue, ...]] = {}
        size = 0
        for batch in batches if self._plan.spec.groups else ():
            held.append(batch)
            size += batch.num_rows
            table = self._prepared(pa.Table.from_batches([batch]))
            met.update(self._met(table, met))
            if size > ahead_max or len(met) >= self._shown(table):
                break
        for index in sorted(met):
            self._name(index, met[index])
        while held:
            yield self.cells(held.popleft())
        yield from map(self.cells, batches)

    def _met(self, table: pa.Table, before: Collection[int]) -> dict[int, tuple[GroupValue, ...]]:
        """Return the groups of the columns that were not met before."""
        indexes, first = np.unique(_numbers(table, COLUMN_INDEX), return_index=True)
        is_new = np.array([index > 0 and index not in before for index in indexes.tolist()], dtype=np.bool_)
        groups = group_values(taken_rows(table, first[is_new]), self._plan.spec, self._display)
        return dict(zip(indexes[is_new].tolist(), groups, strict=True))

    def _shown(self, table: pa.Table) -> int:
        """Count the columns that the statement gives; at least one."""
        spec = self._plan.spec
        total = int(_numbers(table, TOTAL_COLUMNS)[0]) if table.num_rows else 0
        groups = total // (1 if spec.metrics_as_rows else len(spec.values))
        return max(1, min(groups, self._plan.limits.groups_shown(spec)))

    def cells(self, batch: pa.RecordBatch) -> Cells:
        """Return the cells of the next batch; columns that have no name yet get one as they come.

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
                self._shown_count = self._shown(table)
        self._rows = int(rows[-1]) + (0 if spec.groups else 1) if len(rows) else self._rows
        return Cells(table=table.select(shown_columns(spec)), rows=rows, columns=columns)

    def _prepared(self, flat: pa.Table) -> pa.Table:
        if self._given is None or not flat.schema.equals(self._given):
            ranks = (ROW_INDEX, COLUMN_INDEX, TOTAL_COLUMNS) if self._plan.spec.groups else ()
            self._given, self._schema = flat.schema, flat_schema(flat.schema, self._plan, names=ranks)
        return with_schema(flat, self._schema)

    @property
    def is_complete(self) -> bool:
        """Whether every column that is shown has its name."""
        return len(self.columns) >= self._shown_count

    def in_order(self) -> tuple[PivotColumn, ...]:
        """Return the columns met so far in the order of their `column_index`."""
        return tuple(sorted(self.columns, key=lambda column: column.column_index or 0))

    def _learned(self, table: pa.Table) -> Indices:
        """Return the place of each flat row's column in `columns`, with those it has not had yet."""
        indexes = _numbers(table, COLUMN_INDEX)
        self._make_room(int(indexes.max(initial=0)))
        found = self._places[indexes]
        if int(found.min(initial=0)) < 0 and (unknown := np.flatnonzero((found < 0) & (indexes > 0))).size:
            _, first = np.unique(indexes[unknown], return_index=True)
            met = unknown[np.sort(first)]
            groups = group_values(taken_rows(table, met), self._plan.spec, self._display)
            for index, values in zip(indexes[met].tolist(), groups, strict=True):
                self._name(index, values)
            found = self._places[indexes]
        return found

    def _name(self, index: int, values: tuple[GroupValue, ...]) -> None:
        self._make_room(index)
        self._places[index] = len(self.columns)
        self.columns.append(self._names.column(index, values))

    def _make_room(self, index: int) -> None:
        if index >= len(self._places):
            more = np.full(2 * index + 1 - len(self._places), -1, dtype=np.int64)
            self._places = np.concatenate([self._places, more])


def _numbers(table: pa.Table, name: str) -> Indices:
    """Return a column of whole numbers, 0 for null; index 0 is no column."""
    import pyarrow as pa

    column = in_one_piece(table.column(name))
    if column.type != pa.int64():
        column = column.cast(pa.int64())
    numbers: Indices = (column.fill_null(0) if column.null_count else column).to_numpy(zero_copy_only=False)
    return numbers
