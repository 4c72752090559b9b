"""Athena's types as Arrow. All its values are texts, which Arrow reads a column at a time.

| Athena | delivered as |
|---|---|
| boolean, tinyint to bigint, float, double, decimal, char, varchar, varbinary, date | itself |
| time, timestamp | itself, to the microsecond |
| timestamp with time zone | instant in UTC; one in the repeated hour of a named zone is refused |
| json | JSON |
| array, map, row, uuid, ipaddress, interval and everything else | text as Athena writes it |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_field, logical_type
from queryfleet.errors import WarehouseQueryError
from queryfleet.warehouse.columnar import DECIMAL_DIGITS, parsed
from queryfleet.warehouse.ranges import cast_advice
from queryfleet.warehouse.shaping import unique_names
from queryfleet.warehouse.trino_types import TEXT_CAST, instants

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from queryfleet.errors import JsonValue

__all__ = ["TEXT_CAST", "delivered", "delivered_schema"]


def delivered_schema(described: Sequence[Mapping[str, JsonValue]]) -> pa.Schema:
    """Return the columns that a result's `ColumnInfo` describes; names need not be unique."""
    import pyarrow as pa

    names = unique_names([str(column.get("Name") or "") for column in described])
    return pa.schema([_field(name, column) for name, column in zip(names, described, strict=True)])


def delivered(texts: pa.Table, schema: pa.Schema) -> pa.RecordBatch:
    """Read columns of text as what they are.

    Raises:
        WarehouseQueryError: A value cannot be delivered as its type; names the column and the cast to text.
    """
    import pyarrow as pa

    arrays = [_read(column.combine_chunks(), field) for column, field in zip(texts.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _field(name: str, column: Mapping[str, JsonValue]) -> pa.Field:
    import pyarrow as pa

    kind = str(column.get("Type") or "").lower()
    if kind == "json":
        return logical_field(name, LogicalType.JSON)
    if kind == "decimal":
        precision, scale = column.get("Precision"), column.get("Scale")
        known = isinstance(precision, int) and isinstance(scale, int) and 1 <= precision <= DECIMAL_DIGITS
        return pa.field(name, pa.decimal128(precision, scale)) if known else logical_field(name, LogicalType.DECIMAL)
    return pa.field(name, _kinds().get(kind, pa.string()))


def _kinds() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        "boolean": pa.bool_(),
        "tinyint": pa.int8(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float32(),
        "real": pa.float32(),
        "double": pa.float64(),
        "varbinary": pa.binary(),
        "date": pa.date32(),
        "time": pa.time64("us"),
        "timestamp": pa.timestamp("us"),
        "timestamp with time zone": pa.timestamp("us", "UTC"),
    }


def _read(texts: pa.Array, field: pa.Field) -> pa.Array:
    import pyarrow as pa
    import pyarrow.types as t

    kind = field.type
    if t.is_string(kind) or logical_type(field) is not None:
        return texts
    try:
        if t.is_binary(kind):  # `00 ff`
            return pa.array([None if text is None else bytes.fromhex(text) for text in texts.to_pylist()], kind)
        if t.is_timestamp(kind) and kind.tz is not None:
            return instants(texts, field)
        return parsed(texts, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise WarehouseQueryError(
            f'Column "{field.name}" holds a value that cannot be delivered as {kind}. '
            f"Select it as text: {cast_advice(TEXT_CAST, field.name)}.",
            column=field.name,
        ) from error
