"""A whole pivot in one process: flat rows in any order to cells in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from queryfleet.pivot.cells import Cells, sorted_cells
from queryfleet.pivot.dictionary import ColumnDictionary, columns_of_partition, ordered_columns
from queryfleet.pivot.flat import prepared, taken_rows
from queryfleet.pivot.ranking import RankedRows, ranked_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from queryfleet.pivot.naming import Display
    from queryfleet.pivot.spec import PivotPlan

__all__ = ["Pivoted", "pivoted"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pivoted:
    """A pivot that is ready to be written."""

    cells: Cells
    dictionary: ColumnDictionary
    row_count: int  # lines
    is_cut: bool  # there are more rows than the limit lets through


def pivoted(table: pa.Table, plan: PivotPlan, display: Display) -> Pivoted:
    """Rank and sort flat rows.

    Args:
        table: One row for each cell, values already aggregated, in any order. Value columns have the names
            `<reference>_<aggregation>`.
        plan: The pivot.
        display: How group values are shown.

    Raises:
        ParameterError: The table lacks a column that the pivot names.
        LimitExceededError: There are more columns than a pivot may have.

    Cost: 0.1 to 0.4 µs per cell; memory of about 60 bytes per cell besides the table.
    """
    table = prepared(table, plan)
    dictionary = ordered_columns(columns_of_partition(table, plan), plan, display)
    positions = dictionary.positions(table)
    ranked = ranked_rows(table, positions, plan, dictionary)
    limit = plan.limits.rows
    is_cut = limit is not None and ranked.keys.num_rows > limit
    if limit is not None and is_cut:
        kept = np.flatnonzero(ranked.numbers < limit)
        table, positions = taken_rows(table, kept), positions[kept]
        ranked = RankedRows(numbers=ranked.numbers[kept], keys=ranked.keys.slice(0, limit))
        dictionary = dictionary.limited(plan, dictionary.seen_in(positions))
    cells = sorted_cells(table, ranked, positions, plan=plan, dictionary=dictionary)
    return Pivoted(cells=cells, dictionary=dictionary, row_count=ranked.keys.num_rows, is_cut=is_cut)
