"""Databricks' types as Arrow: the schema is made from what the manifest says of the columns.

| Databricks | delivered as |
|---|---|
| boolean, tinyint to bigint, float, double, decimal, string, binary, date | itself |
| timestamp | instant in UTC |
| timestamp_ntz | timestamp without zone |
| array, map, struct, variant | JSON |
| interval, geography, geometry and everything else | text as Databricks writes it |
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_field, logical_type
from queryfleet.errors import WarehouseQueryError
from queryfleet.warehouse.ranges import cast_advice
from queryfleet.warehouse.shaping import unique_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from queryfleet.errors import JsonValue
    from queryfleet.warehouse.stored_result import Rows

__all__ = ["TEXT_CAST", "DatabricksPlan"]

TEXT_CAST = "cast(`{}` as string)"
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_NESTED = frozenset({"ARRAY", "MAP", "STRUCT", "VARIANT", "OBJECT"})
_DEFAULT_DIGITS = (10, 0)  # of a decimal that does not say


@dataclass(frozen=True, slots=True)
class DatabricksPlan:
    """How the pieces of one result become batches of one schema."""

    schema: pa.Schema

    @classmethod
    def of(cls, described: Sequence[Mapping[str, JsonValue]]) -> DatabricksPlan:
        """Make the plan from the manifest's `schema.columns`; names need not be unique."""
        import pyarrow as pa

        names = unique_names([str(column.get("name") or "") for column in described])
        return cls(pa.schema([_field(name, column) for name, column in zip(names, described, strict=True)]))

    def batch(self, chunk: Rows) -> pa.RecordBatch:
        """Bring a piece to the schema.

        Raises:
            WarehouseQueryError: A value does not fit its column; names the column and the cast that avoids it.
        """
        import pyarrow as pa

        columns = zip(*chunk, strict=True) if isinstance(chunk, list) else chunk.columns
        arrays = [_converted(column, field) for column, field in zip(columns, self.schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _field(name: str, column: Mapping[str, JsonValue]) -> pa.Field:
    import pyarrow as pa

    text = str(column.get("type_text") or column.get("type_name") or "").upper()
    kind = str(column.get("type_name") or text.partition("(")[0].partition("<")[0]).upper()
    if kind in _NESTED or text.partition("<")[0] in _NESTED:
        return logical_field(name, LogicalType.JSON)
    if kind == "DECIMAL":
        return pa.field(name, pa.decimal128(*_digits(column, text)))
    if text in {"TIMESTAMP_NTZ", "TIMESTAMP_LTZ"}:
        kind = text
    return pa.field(name, _kinds().get(kind, pa.string()))


def _digits(column: Mapping[str, JsonValue], text: str) -> tuple[int, int]:
    """Return precision and scale: the former's number is left out of some answers, the type's text never."""
    found = _DECIMAL.fullmatch(text)
    if found is not None:
        return int(found[1]), int(found[2])
    precision, scale = column.get("type_precision"), column.get("type_scale")
    return (precision, scale) if isinstance(precision, int) and isinstance(scale, int) else _DEFAULT_DIGITS


def _kinds() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        "BOOLEAN": pa.bool_(),
        "BYTE": pa.int8(),
        "SHORT": pa.int16(),
        "INT": pa.int32(),
        "LONG": pa.int64(),
        "FLOAT": pa.float32(),
        "DOUBLE": pa.float64(),
        "BINARY": pa.binary(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us", "UTC"),
        "TIMESTAMP_LTZ": pa.timestamp("us", "UTC"),
        "TIMESTAMP_NTZ": pa.timestamp("us"),
    }


def _converted(column: pa.ChunkedArray, field: pa.Field) -> pa.Array:
    import pyarrow as pa
    import pyarrow.types as t

    array = column.combine_chunks()
    try:
        if t.is_nested(array.type):
            return _documents(array)
        if logical_type(field) is LogicalType.JSON and not t.is_string(array.type):
            return array.cast(pa.string())
        return array if array.type == field.type else array.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        fix = cast_advice(TEXT_CAST, field.name)
        raise WarehouseQueryError(
            f'Column "{field.name}" holds a value that cannot be delivered as {field.type}. Select it as text: {fix}.',
            column=field.name,
        ) from error


def _documents(array: pa.Array) -> pa.Array:
    """Write nested values as JSON, a map as an object."""
    import pyarrow as pa

    values = array.to_pylist(maps_as_pydicts="strict")
    texts = [
        None if value is None else json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))
        for value in values
    ]
    return pa.array(texts, pa.string())
