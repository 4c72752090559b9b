"""Batches for the typed formats: the columns of a plan with the values and types that the warehouse gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.export.cells import dense, plain_texts
from queryfleet.export.options import ExportFormat

if TYPE_CHECKING:
    import pyarrow as pa

    from queryfleet.export.plan import ExportPlan

__all__ = ["typed_batch", "typed_schema"]


def typed_schema(plan: ExportPlan) -> pa.Schema:
    """Return the schema of a typed file: that of the warehouse, with these differences.

    Dictionary and run-end encoded columns have the type of their values. In Parquet, types that it lacks (spans of
    time, list views, unions) are text or the nearest type it has.
    """
    import pyarrow as pa

    stored = plan.stored_schema()
    fields = []
    for column in plan.columns:
        field = stored.field(column.index)
        kind = field.type
        if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        if plan.options.format is ExportFormat.PARQUET:
            kind = _parquet_type(kind)
        fields.append(field.with_type(kind).with_name(column.label))
    return pa.schema(fields)


def typed_batch(batch: pa.RecordBatch, plan: ExportPlan, schema: pa.Schema) -> pa.RecordBatch:
    """Return one stored batch with the columns of `schema`, which is `typed_schema(plan)`."""
    import pyarrow as pa

    arrays = []
    for column, field in zip(plan.columns, schema, strict=True):
        array = dense(batch.column(column.index))
        if array.type != field.type:
            is_text = pa.types.is_string(field.type)
            array = plain_texts(array, batch.schema.field(column.index)) if is_text else array
            array = array.cast(field.type)
        arrays.append(array)
    if not arrays:
        return batch.select([])
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _parquet_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_interval(kind):
        return pa.string()
    if t.is_list_view(kind) or t.is_large_list_view(kind):
        inner = kind.value_field.with_type(_parquet_type(kind.value_type))
        return pa.list_(inner) if t.is_list_view(kind) else pa.large_list(inner)
    return kind
