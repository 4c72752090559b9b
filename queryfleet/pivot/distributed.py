"""The steps of a pivot over many partitions, for whoever runs them: pure functions over tables.

    partitions ─ columns_of_partition ─▶ merged_columns ─▶ ordered_columns     which columns, in which order
        │                                                        │
        ├─────────── keys_of_partition ◀─────────────────────────┤
        │                   └────────────▶ row_plan              │             which rows, cut into ranges
        │                                      │                 │
        └─────────── split_rows ◀──────────────┴─────────────────┤
                          │ parts        │ seen                  │
                          │              └─▶ shown_columns ◀─────╯             which columns the shown rows have
                          ▼                        │
                     range_cells  ◀────────────────╯                           lines of one range, by `fold.folded`

Each arrow downwards is small except the parts, which hold every flat row once. A lost step is repeated from what it was
given. When the sort looks at cells, a row's key is known only where all its cells are: then `partitions` must be those
that `hash_parts` makes, regrouped by number; `needs_hash_parts` says so.

The lines of all ranges, one range after the other, are the same bytes whatever the partitions are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from queryfleet.pivot.cells import sorted_cells
from queryfleet.pivot.flat import prepared, taken_rows
from queryfleet.pivot.ordering import hashes, stable_order
from queryfleet.pivot.ranking import key_order, merged_keys, ranked_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pyarrow as pa

    from queryfleet.pivot.cells import Cells
    from queryfleet.pivot.dictionary import ColumnDictionary
    from queryfleet.pivot.spec import PivotPlan

    Mask = npt.NDArray[np.bool_]

__all__ = [
    "RowPlan",
    "SplitRows",
    "hash_parts",
    "keys_of_partition",
    "needs_hash_parts",
    "range_cells",
    "row_plan",
    "shown_columns",
    "split_rows",
]

_SAMPLES = 100  # keys that a partition gives for each range that is wanted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowPlan:
    """Which rows are shown, and where they are cut into ranges."""

    bounds: pa.Table  # keys; each begins a range, the first range begins before all of them
    last: pa.Table  # the key of the last shown row, or no row: all are shown

    @property
    def range_count(self) -> int:
        """Count the ranges; some may turn out empty."""
        inner: int = self.bounds.num_rows
        return inner + 1

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than the limit lets through."""
        return bool(self.last.num_rows)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SplitRows:
    """One partition's share of each range."""

    parts: tuple[pa.Table, ...]  # flat rows, in any order
    seen: Mask  # which columns occur in them


def needs_hash_parts(plan: PivotPlan) -> bool:
    """Whether all cells of a row must be in one partition."""
    return bool(plan.spec.value_sorts)


def hash_parts(table: pa.Table, plan: PivotPlan, count: int) -> tuple[pa.Table, ...]:
    """Cut flat rows so that all with the same index values get the same number, in every process.

    Args:
        table: Flat rows.
        plan: The pivot.
        count: How many parts.

    Cost: about 0.1 µs per flat row and index column, and a copy.
    """
    table = prepared(table, plan)
    names = [column.reference for column in plan.spec.index]
    found = hashes([(table.column(name), table.schema.field(name)) for name in names], table.num_rows)
    return _parts(table, (found % np.uint64(count)).astype(np.int64), count)


def keys_of_partition(table: pa.Table, plan: PivotPlan, dictionary: ColumnDictionary, *, range_count: int) -> pa.Table:
    """Return the row keys of one partition that `row_plan` needs, in order.

    With a row limit these are the first ones, else a sample.

    Args:
        table: `prepared` flat rows.
        plan: The pivot.
        dictionary: Its columns.
        range_count: How many ranges are wanted.
    """
    keys = ranked_rows(table, dictionary.positions(table), plan, dictionary).keys
    if plan.limits.rows is not None:
        return keys.slice(0, plan.limits.rows + 1)
    step = max(1, keys.num_rows // (_SAMPLES * range_count))
    return taken_rows(keys, np.arange(0, keys.num_rows, step))


def row_plan(keys: Sequence[pa.Table], plan: PivotPlan, *, range_count: int) -> RowPlan:
    """Decide which rows are shown and cut them into ranges of about the same number of rows.

    Args:
        keys: Of all partitions; at least one.
        plan: The pivot.
        range_count: How many ranges are wanted; there are fewer when there are fewer rows.
    """
    merged = merged_keys(keys, plan)
    limit = plan.limits.rows
    is_cut = limit is not None and merged.num_rows > limit
    count = limit if limit is not None and is_cut else merged.num_rows
    begins = np.unique(np.arange(1, range_count) * count // range_count)
    last = merged.slice(count - 1, 1) if is_cut else merged.slice(0, 0)
    return RowPlan(bounds=taken_rows(merged, begins[begins > 0]), last=last)


def split_rows(table: pa.Table, plan: PivotPlan, dictionary: ColumnDictionary, rows: RowPlan) -> SplitRows:
    """Cut the flat rows of one partition into the ranges, without those that are not shown.

    Args:
        table: `prepared` flat rows.
        plan: The pivot.
        dictionary: Its columns.
        rows: What `row_plan` decided.
    """
    import pyarrow as pa

    positions = dictionary.positions(table)
    ranked = ranked_rows(table, positions, plan, dictionary)
    order = key_order(pa.concat_tables([rows.bounds, rows.last, ranked.keys]), plan)
    bounds = order[: rows.bounds.num_rows]
    end = order[rows.bounds.num_rows : rows.bounds.num_rows + rows.last.num_rows]
    keys = order[len(bounds) + len(end) :]
    ranges = np.searchsorted(bounds, keys, side="right")
    ranges[keys > end.min(initial=np.iinfo(np.int64).max)] = -1
    of_flat_row = ranges[ranked.numbers]
    seen = dictionary.seen_in(positions[of_flat_row >= 0])
    return SplitRows(parts=_parts(table, of_flat_row, rows.range_count), seen=seen)


def _parts(table: pa.Table, numbers: npt.NDArray[np.int64], count: int) -> tuple[pa.Table, ...]:
    """Return the rows with each number below `count`, without those that have none (-1)."""
    order = stable_order(numbers + 1)
    ends = np.cumsum(np.bincount(numbers + 1, minlength=count + 1))
    return tuple(taken_rows(table, order[ends[number] : ends[number + 1]]) for number in range(count))


def shown_columns(
    dictionary: ColumnDictionary, plan: PivotPlan, rows: RowPlan, seen: Sequence[Mask]
) -> ColumnDictionary:
    """Decide which columns are shown, now that the shown rows are known.

    Args:
        dictionary: All columns.
        plan: The pivot.
        rows: What `row_plan` decided.
        seen: Of all partitions.
    """
    return dictionary.limited(plan, reduce(np.logical_or, seen)) if rows.is_cut else dictionary


def range_cells(parts: Sequence[pa.Table], plan: PivotPlan, dictionary: ColumnDictionary) -> Cells:
    """Return the cells of one range, in order.

    Args:
        parts: What every partition has of the range; at least one.
        plan: The pivot.
        dictionary: From `shown_columns`.

    Cost: as for a whole pivot of that size; holds the parts twice.
    """
    import pyarrow as pa

    table = pa.concat_tables(parts)
    positions = dictionary.positions(table)
    ranked = ranked_rows(table, positions, plan, dictionary)
    return sorted_cells(table, ranked, positions, plan=plan, dictionary=dictionary)
