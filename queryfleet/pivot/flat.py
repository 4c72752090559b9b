"""Flat rows as the other modules want them: the columns a pivot needs, in types that every kernel takes.

Text that tells rows and columns apart is repeated in every row. `compacted` writes it once and a number of four bytes
for each row, so that many rows take little memory and are compared by number. All functions here and the steps of a
pivot take such tables as well as plain ones; what leaves them for a client is plain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from queryfleet.encoding.arrays import in_one_piece, taken
from queryfleet.errors import ParameterError
from queryfleet.pivot.ordering import plain_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from queryfleet.pivot.ordering import Indices
    from queryfleet.pivot.spec import PivotPlan, PivotSpec

__all__ = [
    "compacted",
    "flat_schema",
    "plain_rows",
    "plain_schema",
    "prepared",
    "shown_columns",
    "taken_or_null",
    "taken_rows",
    "value_columns",
    "with_schema",
]

_IDLE_ENTRIES = 256  # so few of a dictionary are kept whether they are used or not


def value_columns(spec: PivotSpec) -> tuple[str, ...]:
    """Return the flat columns that fill the cells, in order."""
    return tuple(column.name for column in spec.values)


def shown_columns(spec: PivotSpec) -> tuple[str, ...]:
    """Return the flat columns that reach a line: what it begins with, then the values."""
    return (*spec.carried, *value_columns(spec))


def _needed(plan: PivotPlan) -> tuple[str, ...]:
    spec = plan.spec
    ordering = (plan.order_by[name] for name in (*spec.carried, *spec.column_dimensions) if name in plan.order_by)
    sorted_by = (column.name for _, column in spec.value_sorts)
    return tuple(dict.fromkeys((*spec.carried, *spec.column_dimensions, *value_columns(spec), *sorted_by, *ordering)))


def flat_schema(schema: pa.Schema, plan: PivotPlan, *, names: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of `prepared` tables.

    Args:
        schema: Of the flat rows.
        plan: The pivot.
        names: Further columns to keep.

    Raises:
        ParameterError: The flat rows lack a column that the pivot names.
    """
    import pyarrow as pa

    wanted = tuple(dict.fromkeys((*_needed(plan), *names)))
    for name in wanted:
        if name not in schema.names:
            raise ParameterError(
                f"pivotConfiguration needs the column {name!r}, which the query does not have; it has "
                f"{', '.join(schema.names)}.",
                field="pivotConfiguration",
                reference=name,
            )
    fields = [schema.field(name) for name in wanted]
    return pa.schema([field.with_type(_plain_type(field.type)) for field in fields])


def prepared(table: pa.Table, plan: PivotPlan) -> pa.Table:
    """Return the columns of a table that the pivot needs; raises like `flat_schema`."""
    return with_schema(table, flat_schema(table.schema, plan))


def with_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the columns of a table that a `flat_schema` names, in its types."""
    selected = table.select(schema.names)
    return selected if selected.schema.equals(schema) else selected.cast(schema)


def compacted(table: pa.Table, plan: PivotPlan) -> pa.Table:
    """Return the same rows, text of dimensions as dictionaries; in one piece. Raises like `flat_schema`.

    Cost: about 20 ns per text.
    """
    import pyarrow as pa
    import pyarrow.types as t

    table = prepared(table, plan)
    values = {column.name for column in (*plan.spec.values, *plan.spec.sort_only_values)}
    arrays = []
    for field, column in zip(table.schema, table.columns, strict=True):
        kind = field.type
        is_text = t.is_string(kind) or t.is_large_string(kind) or t.is_binary(kind) or t.is_large_binary(kind)
        array = in_one_piece(column)
        arrays.append(array.dictionary_encode() if is_text and field.name not in values else array)
    fields = [field.with_type(array.type) for field, array in zip(table.schema, arrays, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, table.schema.metadata))


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema without dictionaries."""
    import pyarrow as pa

    return pa.schema([plain_field(field) for field in schema], schema.metadata)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type itself, or an equal one that `take` knows."""
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_string_view(kind):
        return pa.large_string()
    if t.is_binary_view(kind):
        return pa.large_binary()
    return kind


def taken_rows(table: pa.Table, rows: Indices) -> pa.Table:
    """Return the rows of a table with these numbers, each column in one piece."""
    import pyarrow as pa

    arrays = [_without_idle_entries(taken(in_one_piece(column), rows)) for column in table.columns]
    return pa.Table.from_arrays(arrays, schema=table.schema)


def plain_rows(table: pa.Table, rows: Indices) -> pa.Table:
    """Return the rows of a table with these numbers, without dictionaries; made for few rows of many."""
    import pyarrow as pa
    import pyarrow.types as t

    arrays = []
    for column in table.columns:
        array = taken(in_one_piece(column), rows)
        arrays.append(array.dictionary_decode() if t.is_dictionary(array.type) else array)
    return pa.Table.from_arrays(arrays, schema=plain_schema(table.schema))


def _without_idle_entries(array: pa.Array) -> pa.Array:
    """Return a dictionary array without entries that no row has, where most are such; others as they are."""
    import pyarrow as pa
    import pyarrow.types as t

    if not t.is_dictionary(array.type) or len(array.dictionary) <= max(_IDLE_ENTRIES, len(array) // 8):
        return array
    indices = array.indices
    codes = (indices.fill_null(0) if indices.null_count else indices).to_numpy(zero_copy_only=False)
    used = np.zeros(len(array.dictionary), dtype=np.bool_)
    used[codes] = True
    place = (np.cumsum(used) - 1).astype(np.int32)
    mask = indices.is_null().to_numpy(zero_copy_only=False) if indices.null_count else None
    kept = pa.array(place[codes], mask=mask).cast(array.type.index_type)
    return pa.DictionaryArray.from_arrays(kept, taken(array.dictionary, np.flatnonzero(used)))


def taken_or_null(array: pa.Array, rows: Indices) -> pa.Array:
    """Return the values with these numbers; null for each negative one."""
    import pyarrow as pa

    valid = np.packbits(rows >= 0, bitorder="little")
    buffers = [pa.py_buffer(valid), pa.py_buffer(np.ascontiguousarray(rows))]
    return array.take(pa.Array.from_buffers(pa.int64(), len(rows), buffers))
