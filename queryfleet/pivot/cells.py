"""Flat rows with the place of each one in the pivot: what the lines are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from queryfleet.encoding.arrays import in_one_piece
from queryfleet.pivot.flat import shown_columns, taken_rows
from queryfleet.pivot.ordering import combined, has_one_spelling, order_of_places, ranks

if TYPE_CHECKING:
    import pyarrow as pa

    from queryfleet.pivot.dictionary import ColumnDictionary
    from queryfleet.pivot.ordering import Indices
    from queryfleet.pivot.ranking import RankedRows
    from queryfleet.pivot.spec import PivotPlan

__all__ = ["Cells", "joined_cells", "sorted_cells"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """Flat rows in the order of the pivot: by row, within a row by column.

    Carried columns may be dictionaries.

    Several may have the same row and column: the last one counts.
    """

    table: pa.Table  # what reaches a line: index, passthrough and value columns
    rows: Indices  # for each the number of its row; grows, and may leave numbers out
    columns: Indices  # for each the place of its column among those shown, from 0; -1: not shown

    def __len__(self) -> int:
        """Count the flat rows."""
        return len(self.rows)

    def slice(self, first: int, end: int) -> Cells:
        """Return some of them, without a copy."""
        return Cells(
            table=self.table.slice(first, end - first), rows=self.rows[first:end], columns=self.columns[first:end]
        )


def joined_cells(parts: list[Cells]) -> Cells:
    """Put cells one behind the other; at least one part is needed."""
    import pyarrow as pa

    if len(parts) == 1:
        return parts[0]
    return Cells(
        table=pa.concat_tables([part.table for part in parts]),
        rows=np.concatenate([part.rows for part in parts]),
        columns=np.concatenate([part.columns for part in parts]),
    )


def sorted_cells(
    table: pa.Table, ranked: RankedRows, positions: Indices, *, plan: PivotPlan, dictionary: ColumnDictionary
) -> Cells:
    """Put flat rows in order, without those that no line shows.

    Args:
        table: `prepared` flat rows, in any order.
        ranked: Their rows.
        positions: For each the number of its column, shown or not.
        plan: The pivot.
        dictionary: Its columns.

    Cost: 20 to 100 ns per flat row that is not in order yet, and a copy of the values.
    """
    width, rows = len(dictionary.shown), ranked.numbers
    place = rows * width + positions
    columns = dictionary.shown[positions]
    kept = None if (dictionary.shown >= 0).all() else _kept(rows, columns, ranked.keys.num_rows)
    if kept is not None:
        place = place[kept]
    if not (place[1:] > place[:-1]).all():
        order = order_of_places(place, ranked.keys.num_rows * width)
        if order is None:
            order = _order_of_twins(table, np.arange(len(place)) if kept is None else kept, place, plan)
        kept = order if kept is None else kept[order]
    if kept is None:
        return Cells(table=table.select(shown_columns(plan.spec)), rows=rows, columns=columns)
    del place
    rows = rows[kept]
    return Cells(table=_shown(table, kept, rows, ranked.keys, plan), rows=rows, columns=columns[kept])


def _kept(rows: Indices, columns: Indices, count: int) -> Indices:
    """Return the flat rows that lines are made from. A row without any shown cell has a line all the same."""
    has_cells = np.zeros(count, dtype=np.bool_)
    has_cells[rows[columns >= 0]] = True
    return np.flatnonzero((columns >= 0) | ~has_cells[rows])


def _shown(table: pa.Table, kept: Indices, rows: Indices, keys: pa.Table, plan: PivotPlan) -> pa.Table:
    """Return what lines are made from; index values once for each row instead of once for each flat row."""
    import pyarrow as pa

    index = {column.reference for column in plan.spec.index}
    arrays, fields = [], []
    for name in shown_columns(plan.spec):
        field = table.schema.field(name)
        if name in index and has_one_spelling(field):
            numbers = pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows)])
            arrays.append(pa.DictionaryArray.from_arrays(numbers, in_one_piece(keys.column(name)), safe=False))
        else:
            arrays += taken_rows(table.select([name]), kept).columns
        fields.append(field.with_type(arrays[-1].type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _order_of_twins(table: pa.Table, kept: Indices, place: Indices, plan: PivotPlan) -> Indices:
    """Order flat rows that share a cell by all that is shown of them, so that how they came does not matter."""
    shown = taken_rows(table.select(shown_columns(plan.spec)), kept)
    codes = [ranks(shown.column(field.name), field) for field in shown.schema]
    return np.lexsort((combined(codes, len(kept)), place))
