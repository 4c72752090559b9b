"""BigQuery's types as Arrow, and what is turned after the client has made Arrow of a page.

| BigQuery | delivered as |
|---|---|
| BOOL, INT64, FLOAT64, STRING, BYTES, DATE, DATETIME, TIME | itself |
| TIMESTAMP | instant in UTC |
| NUMERIC | decimal |
| BIGNUMERIC | number of any length |
| JSON | JSON |
| GEOGRAPHY | text |
| ARRAY, STRUCT of these, without BIGNUMERIC and JSON | nested values |
| INTERVAL, RANGE, any other ARRAY or STRUCT | refused: cast it to text |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_field
from queryfleet.errors import WarehouseQueryError
from queryfleet.warehouse.shaping import unique_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    import pyarrow as pa
    from google.cloud.bigquery import SchemaField

__all__ = ["TEXT_CAST", "delivered", "delivered_schema"]

TEXT_CAST = "to_json_string(`{}`)"
_NUMBERS = frozenset({"BIGNUMERIC", "BIGDECIMAL"})
_STRUCTS = frozenset({"STRUCT", "RECORD"})


def delivered_schema(described: Sequence[SchemaField]) -> pa.Schema:
    """Return the columns of a result.

    Raises:
        WarehouseQueryError: One has a type that cannot be delivered; names it and the cast.
    """
    import pyarrow as pa

    names = unique_names([field.name for field in described])
    fields = []
    for name, field in zip(names, described, strict=True):
        kind = str(field.field_type).upper()
        if field.mode != "REPEATED" and kind in _NUMBERS:
            fields.append(logical_field(name, LogicalType.DECIMAL))
        elif field.mode != "REPEATED" and kind == "JSON":
            fields.append(logical_field(name, LogicalType.JSON))
        else:
            fields.append(pa.field(name, _kind(field, name)))
    return pa.schema(fields)


def delivered(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Turn a batch of the client into one of `schema`."""
    import pyarrow as pa
    import pyarrow.types as t

    arrays = []
    for array, field in zip(batch.columns, schema, strict=True):
        if t.is_decimal256(array.type):
            arrays.append(pa.array([None if v is None else _digits(v) for v in array.to_pylist()], pa.string()))
        else:
            arrays.append(array if array.type == field.type else array.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _digits(number: Decimal) -> str:
    """Spell a number without the zeros that its type adds to every fraction."""
    return format(number, "f").rstrip("0").rstrip(".")


def _kind(field: SchemaField, column: str) -> pa.DataType:
    import pyarrow as pa

    name = str(field.field_type).upper()
    if name in _STRUCTS:
        single: pa.DataType = pa.struct([pa.field(part.name, _kind(part, column)) for part in field.fields])
    else:
        found = _kinds().get(name)
        if found is None:
            raise WarehouseQueryError(
                f'Column "{column}" holds {name}, which cannot be delivered. '
                f"Select it as text: {TEXT_CAST.format(column)}.",
                column=column,
            )
        single = found
    return pa.list_(single) if field.mode == "REPEATED" else single


def _kinds() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        "BOOL": pa.bool_(),
        "BOOLEAN": pa.bool_(),
        "BYTES": pa.binary(),
        "DATE": pa.date32(),
        "DATETIME": pa.timestamp("us"),
        "DECIMAL": pa.decimal128(38, 9),
        "FLOAT": pa.float64(),
        "FLOAT64": pa.float64(),
        "GEOGRAPHY": pa.string(),
        "INT64": pa.int64(),
        "INTEGER": pa.int64(),
        "NUMERIC": pa.decimal128(38, 9),
        "STRING": pa.string(),
        "TIME": pa.time64("us"),
        "TIMESTAMP": pa.timestamp("us", "UTC"),
    }
