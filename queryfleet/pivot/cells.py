"""Flat rows with the place of each one in the pivot: what the lines are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from queryfleet.pivot.flat import shown_columns, taken_rows
from queryfleet.pivot.ordering import combined, ranks, stable_order

if TYPE_CHECKING:
    import pyarrow as pa

    from queryfleet.pivot.dictionary import ColumnDictionary
    from queryfleet.pivot.ordering import Indices
    from queryfleet.pivot.spec import PivotPlan

__all__ = ["Cells", "joined_cells", "sorted_cells"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """Flat rows in the order of the pivot: by row, within a row by column.

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
    table: pa.Table, rows: Indices, positions: Indices, *, plan: PivotPlan, dictionary: ColumnDictionary
) -> Cells:
    """Put flat rows in order, without those that no line shows.

    Args:
        table: `prepared` flat rows, in any order.
        rows: For each the number of its row.
        positions: For each the number of its column, shown or not.
        plan: The pivot.
        dictionary: Its columns.

    Cost: some 100 ns per flat row that is not in order yet, and a copy.
    """
    columns = dictionary.shown[positions]
    count = int(rows.max(initial=-1)) + 1
    # A row without any shown cell keeps its flat rows: it has a line all the same.
    has_cells = np.zeros(count, dtype=np.bool_)
    has_cells[rows[columns >= 0]] = True
    kept = np.flatnonzero((columns >= 0) | ~has_cells[rows])
    place = rows[kept] * (len(dictionary.shown) + 1) + positions[kept]
    steps = np.diff(place)
    if not (steps > 0).all():
        order = stable_order(place)
        if (np.diff(place[order]) == 0).any():
            order = _order_of_twins(table, kept, place, plan)
        kept = kept[order]
    shown = table.select(shown_columns(plan.spec))
    in_order = len(kept) == table.num_rows and bool((np.diff(kept) == 1).all())
    return Cells(table=shown if in_order else taken_rows(shown, kept), rows=rows[kept], columns=columns[kept])


def _order_of_twins(table: pa.Table, kept: Indices, place: Indices, plan: PivotPlan) -> Indices:
    """Order flat rows that share a cell by all that is shown of them, so that how they came does not matter."""
    shown = taken_rows(table.select(shown_columns(plan.spec)), kept)
    codes = [ranks(shown.column(field.name), field) for field in shown.schema]
    return np.lexsort((combined(codes, len(kept)), place))
