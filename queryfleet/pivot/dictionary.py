"""The columns of a pivot: which combinations of group values there are, and in which order.

Each partition of the flat rows gives a *partial*: a small table of its distinct combinations, each with the best value
it has of every value column that is sorted by. Partials merge into one in any order and grouping, so partitions may be
read anywhere. Order, limit, names and texts are decided once, on the merged one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from queryfleet.encoding.arrays import in_one_piece
from queryfleet.errors import LimitExceededError
from queryfleet.formatting.json_text import plain_text
from queryfleet.pivot.flat import plain_rows, taken_rows
from queryfleet.pivot.naming import Names, PivotColumn, group_values
from queryfleet.pivot.ordering import combined, joint_ranks, ranks, sort_numbers, stable_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pyarrow as pa

    from queryfleet.pivot.naming import Display, GroupValue
    from queryfleet.pivot.ordering import Indices
    from queryfleet.pivot.spec import PivotPlan, SortKey

__all__ = ["ColumnDictionary", "columns_of_partition", "direction_of", "merged_columns", "ordered_columns"]

_BEST = "\x00best {}"  # a partial's column with the best value for one entry of the sort; no field has such a name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnDictionary:
    """All columns of a pivot in order, and which of them are shown."""

    keys: pa.Table  # one row for each column: its group values and sort-only dimensions
    anchors: tuple[int, ...]  # for each value that is sorted by, the column (from 0) whose cells order the rows
    groups: tuple[tuple[GroupValue, ...], ...]  # for each column, shown or not
    shown: npt.NDArray[np.int64]  # for each column its place among the shown ones, from 0; -1: not shown
    columns: tuple[PivotColumn, ...]  # the shown ones
    total: int | None  # how many value columns there are, shown or not; None without groups or without rows

    def positions(self, table: pa.Table) -> Indices:
        """Return for each flat row the number of its column, from 0, shown or not.

        Cost: about 30 ns per row and dimension.
        """
        names = self.keys.schema.names
        if not names:
            return np.zeros(table.num_rows, dtype=np.int64)
        pairs = [
            joint_ranks(in_one_piece(self.keys.column(name)), table.column(name), table.schema.field(name))
            for name in names
        ]
        count = self.keys.num_rows
        if len(pairs) == 1:
            keys, codes = pairs[0]
        else:
            both = combined([np.concatenate(pair) for pair in pairs], count + table.num_rows)
            keys, codes = both[:count], both[count:]
        place = np.zeros(max(int(codes.max(initial=0)), int(keys.max(initial=0))) + 1, dtype=np.int64)
        place[keys] = np.arange(count)
        return place[codes]

    def seen_in(self, positions: Indices) -> npt.NDArray[np.bool_]:
        """Return which columns occur among these positions."""
        seen = np.zeros(len(self.shown), dtype=np.bool_)
        seen[positions] = True
        return seen

    def limited(self, plan: PivotPlan, seen: npt.NDArray[np.bool_] | None = None) -> ColumnDictionary:
        """Return the same columns, of which as many are shown as may be.

        Only columns that occur in a shown row count and take places. Their order is that of all columns, so the first
        one stays the one whose cells order the rows.

        Args:
            plan: The pivot. With `rank_hidden_rows` the others take places too, and `column_index` has gaps.
            seen: Which columns occur in shown rows; None: all.
        """
        spec = plan.spec
        if not spec.groups:
            return self
        found = np.arange(len(self.groups)) if seen is None else np.flatnonzero(seen)
        numbers = found + 1 if plan.rank_hidden_rows else np.arange(1, len(found) + 1)
        fits = numbers <= plan.limits.groups_shown(spec)
        rows, numbers = found[fits], numbers[fits]
        shown = np.full(len(self.groups), -1, dtype=np.int64)
        shown[rows] = np.arange(len(rows))
        names = Names(spec)
        columns = tuple(
            names.column(number, self.groups[row]) for number, row in zip(numbers.tolist(), rows.tolist(), strict=True)
        )
        total = len(found) * (1 if spec.metrics_as_rows else len(spec.values))
        return replace(self, shown=shown, columns=columns, total=total or None)


def columns_of_partition(table: pa.Table, plan: PivotPlan) -> pa.Table:
    """Return the partial of one partition.

    Args:
        table: `prepared` flat rows, in any order.
        plan: The pivot.

    Raises:
        LimitExceededError: The partition alone has more columns than a pivot may have.

    Cost: about 40 ns per row and dimension, as much again for each value that is sorted by.
    """
    import pyarrow as pa

    names = _dimensions(plan)
    arrays = [table.column(name) for name in names]
    fields = [table.schema.field(name) for name in names]
    for number, (_, column) in enumerate(plan.spec.value_sorts):
        arrays.append(table.column(column.name))
        fields.append(table.schema.field(column.name).with_name(_BEST.format(number)))
    return _distinct(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), plan)


def merged_columns(partials: Sequence[pa.Table], plan: PivotPlan) -> pa.Table:
    """Return the partial of several partitions together; the order of the partials means nothing.

    Raises:
        LimitExceededError: There are more columns than a pivot may have.
    """
    import pyarrow as pa

    return reduce(lambda one, other: _distinct(pa.concat_tables([one, other]), plan), partials)


def _dimensions(plan: PivotPlan) -> tuple[str, ...]:
    """Return the flat columns that tell columns apart or order them."""
    if not plan.spec.groups:
        return ()
    dimensions = plan.spec.column_dimensions
    return tuple(dict.fromkeys((*dimensions, *(plan.order_by[name] for name in dimensions if name in plan.order_by))))


def _distinct(table: pa.Table, plan: PivotPlan) -> pa.Table:
    """Keep one row for each combination of dimensions, with its best values."""
    import pyarrow as pa

    dimensions = plan.spec.column_dimensions
    if not plan.spec.groups or table.num_rows == 0:
        return plain_rows(table, np.zeros(0, dtype=np.int64))
    codes = combined([ranks(table.column(name), table.schema.field(name)) for name in dimensions], table.num_rows)
    count = int(codes.max()) + 1
    _check_size(count, plan)
    first = _first_rows(codes, count)
    found = plain_rows(table, first)
    arrays = list(found.columns)
    for number, (key, _) in enumerate(plan.spec.value_sorts):
        at = table.schema.get_field_index(_BEST.format(number))
        order = sort_numbers(table.column(at), table.schema.field(at), **direction_of(key, plan))
        arrays[at] = plain_rows(table.select([at]), _best_rows(codes, order, count)).column(0)
    return pa.Table.from_arrays(arrays, schema=found.schema)


def _check_size(groups: int, plan: PivotPlan) -> None:
    columns = groups * (1 if plan.spec.metrics_as_rows else len(plan.spec.values))
    if columns > plan.limits.columns_max:
        raise LimitExceededError(
            f"The pivot has at least {columns} columns, and {plan.limits.columns_max} are the limit; group by fields "
            "with fewer values, or filter.",
            limit="columns",
            value=plan.limits.columns_max,
            seen=columns,
        )


def _first_rows(codes: Indices, count: int) -> Indices:
    first = np.empty(count, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return first


def _best_rows(codes: Indices, order: npt.NDArray[np.int64 | np.float64], count: int) -> Indices:
    """Return for each code the first row whose order is smallest."""
    is_float = np.issubdtype(order.dtype, np.floating)
    best = np.full(count, np.inf if is_float else np.iinfo(np.int64).max, dtype=order.dtype)
    np.minimum.at(best, codes, order)
    rows = np.flatnonzero(order == best[codes])
    found = np.empty(count, dtype=np.int64)
    found[codes[rows[::-1]]] = rows[::-1]
    return found


def direction_of(key: SortKey, plan: PivotPlan) -> dict[str, bool]:
    """Return how `ranks` has to order for one entry of the sort."""
    nulls_first = plan.nulls.nulls_first(descending=key.descending) if key.nulls_first is None else key.nulls_first
    return {"descending": key.descending, "nulls_first": nulls_first}


def ordered_columns(partial: pa.Table, plan: PivotPlan, display: Display) -> ColumnDictionary:
    """Put the columns in order and decide which are shown, if all rows are.

    Args:
        partial: Of all partitions.
        plan: The pivot.
        display: How group values are shown.
    """
    spec = plan.spec
    if not spec.groups:
        return ColumnDictionary(
            keys=partial.select([]),
            anchors=(0,) * len(spec.value_sorts),
            groups=((),),
            shown=np.zeros(1, dtype=np.int64),
            columns=(Names(spec).column(None, ()),),
            total=None,
        )
    groups = group_values(partial, spec, display)
    is_pinned = [_pinned_row(key, groups) is not None for key, _ in spec.value_sorts]
    order = stable_order(_column_order(partial, plan, is_pinned))
    ordered = [groups[row] for row in order.tolist()]
    dictionary = ColumnDictionary(
        keys=taken_rows(partial.select(spec.column_dimensions), order),
        # Of several that a pin names, which differ in what is not shown, the first one.
        anchors=tuple(_pinned_row(key, ordered) or 0 for key, _ in spec.value_sorts),
        groups=tuple(ordered),
        shown=np.arange(len(order), dtype=np.int64),
        columns=(),
        total=None,
    )
    return dictionary.limited(plan)


def _pinned_row(key: SortKey, groups: Sequence[tuple[GroupValue, ...]]) -> int | None:
    """Return the row of the column that an entry names; None: it names none, or one that is not there."""
    pins = {pin.reference: pin.value for pin in key.pinned}
    for row, values in enumerate(groups):
        if len(pins) == len(values) and all(
            value.reference in pins and _same(pins[value.reference], value.raw) for value in values
        ):
            return row
    return None


def _same(one: object, other: object) -> bool:
    if one is None or other is None:
        return one is other
    return plain_text(one) == plain_text(other)  # type: ignore[arg-type]  # JSON values, both


def _column_order(partial: pa.Table, plan: PivotPlan, is_pinned: Sequence[bool]) -> Indices:
    spec = plan.spec
    by_value = [key for key, _ in spec.value_sorts]
    codes: dict[str, Indices] = {}

    def add(name: str, **direction: bool) -> None:
        if name not in codes:  # what is sorted by already decides nothing any more
            codes[name] = ranks(partial.column(name), partial.schema.field(name), **direction)

    for key in spec.sort:
        if key.reference in spec.column_dimensions:
            add(plan.order_by.get(key.reference, key.reference), **direction_of(key, plan))
        for number, value_key in enumerate(by_value):
            if value_key is key and not is_pinned[number]:
                add(_BEST.format(number), **direction_of(key, plan))
    ascending = {"nulls_first": plan.nulls.nulls_first(descending=False)}
    for name in (*(plan.order_by.get(name, name) for name in spec.column_dimensions), *spec.column_dimensions):
        add(name, **ascending)
    return combined(list(codes.values()), partial.num_rows)
