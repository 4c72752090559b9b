"""Cells to Arrow, one column for each column of the pivot, in their real types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from queryfleet.encoding.arrays import in_one_piece
from queryfleet.pivot.details import pivot_schema
from queryfleet.pivot.flat import plain_rows, plain_schema, taken_or_null, value_columns
from queryfleet.pivot.fold import kept_cells, row_starts, whole_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from queryfleet.pivot.cells import Cells
    from queryfleet.pivot.naming import PivotColumn
    from queryfleet.pivot.spec import PivotSpec

__all__ = ["fold_wide"]

_BLOCK_VALUES = 2**20  # values of one batch, nulls for missing cells included


def fold_wide(
    cells: Iterable[Cells], spec: PivotSpec, columns: Sequence[PivotColumn], *, block_values: int = _BLOCK_VALUES
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a pivot as batches of the schema `pivot_schema`. Missing cells are null.

    Args:
        cells: In order; cut anywhere.
        spec: The pivot.
        columns: All that are shown, in order.
        block_values: Most values in one batch; a batch has one row at least.

    Cost: about 10 ns per value of the wide table; holds one block and one of the `cells`.
    """
    rows_max = max(1, block_values // max(1, len(columns) * len(spec.values)))
    for whole in whole_rows(cells):
        starts = row_starts(whole.rows)
        for first in range(0, len(starts), rows_max):
            end = starts[first + rows_max] if first + rows_max < len(starts) else len(whole)
            yield _wide(whole.slice(int(starts[first]), int(end)), spec, columns)


def _wide(cells: Cells, spec: PivotSpec, columns: Sequence[PivotColumn]) -> pa.RecordBatch:
    import pyarrow as pa

    starts = row_starts(cells.rows)
    kept = kept_cells(cells)
    row = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(cells)))
    places = np.full((len(columns), len(starts)), -1, dtype=np.int64)  # of each cell among the flat rows
    places[cells.columns[kept], row[kept]] = kept
    arrays = list(plain_rows(cells.table.select(spec.carried), starts).columns)
    values = [taken_or_null(in_one_piece(cells.table.column(name)), places.reshape(-1)) for name in value_columns(spec)]
    for number in range(len(columns)):
        arrays += [array.slice(number * len(starts), len(starts)) for array in values]
    schema = pivot_schema(plain_schema(cells.table.schema), spec, columns)
    table = pa.Table.from_arrays(arrays, schema=schema)
    batches = table.combine_chunks().to_batches()
    return batches[0]
