"""From Snowflake's types to Arrow's: one schema for a whole result.

Snowflake chooses an Arrow type for each chunk by the values in it: whole numbers come in the narrowest type that
holds them, moments with nanoseconds in two forms. So the schema is made from what the server says of the columns,
and every chunk is brought to it. Nothing is rounded on the way: a value that does not fit is an error.

    Snowflake                         Arrow
    --------------------------------  -------------------------------------------------------------------
    number(p, 0), p up to 18          int64
    other numbers                     decimal128(p, s)
    float                             float64
    text, geography, geometry         string; the latter two as WKT
    boolean, binary, date             itself
    time                              time64[us]
    timestamp_ntz                     timestamp[us], of no zone; [ns] when the first rows have nanoseconds
    timestamp_ltz, timestamp_tz       timestamp[us, UTC]; likewise
    variant, object, array, map,      string, marked as JSON
    vector
    interval year to month, day to …  month_day_nano interval, duration[ns]
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_field
from queryfleet.errors import WarehouseQueryError
from queryfleet.warehouse.ranges import cast_advice
from queryfleet.warehouse.shaping import unique_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from queryfleet.warehouse.snowflake_connector import ResultColumn
    from queryfleet.warehouse.stored_result import Rows

__all__ = ["TEXT_CAST", "ResultPlan"]

TEXT_CAST = "to_varchar({})"
_INT64_DIGITS = 18
_DIGITS_MAX = 38
_MICROSECOND_DIGITS = 6
_NANOSECONDS = 1_000
_JSON_TYPES = frozenset({"VARIANT", "OBJECT", "ARRAY", "MAP", "VECTOR"})
_PLAIN = {
    "REAL": "float64",
    "BOOLEAN": "bool_",
    "BINARY": "binary",
    "DATE": "date32",
    "INTERVAL_YEAR_MONTH": "month_day_nano_interval",
}


@dataclass(frozen=True, slots=True)
class ResultPlan:
    """How the chunks of one result become batches of one schema."""

    schema: pa.Schema

    @classmethod
    def of(cls, columns: Sequence[ResultColumn], first: Rows | None) -> ResultPlan:
        """Make the plan.

        Args:
            columns: As Snowflake describes them; names need not be unique.
            first: The first rows, which decide about the unit of moments; None: there are none.
        """
        import pyarrow as pa

        names = unique_names([column.name for column in columns])
        fields = []
        for number, (name, column) in enumerate(zip(names, columns, strict=True)):
            fields.append(_field(name, column, _unit(column, number, first)))
        return cls(pa.schema(fields))

    def batch(self, chunk: Rows) -> pa.RecordBatch:
        """Bring a chunk to the schema.

        Raises:
            WarehouseQueryError: A value does not fit its column; names the column and the cast that avoids it.
        """
        import pyarrow as pa

        if isinstance(chunk, list):
            columns = list(zip(*chunk, strict=True)) if chunk else [()] * len(self.schema)
            arrays = [_of_rows(values, field) for values, field in zip(columns, self.schema, strict=True)]
        else:
            pairs = zip(chunk.columns, self.schema, strict=True)
            arrays = [_converted(column.combine_chunks(), field) for column, field in pairs]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _field(name: str, column: ResultColumn, unit: str) -> pa.Field:
    import pyarrow as pa

    word = column.type
    if word in _JSON_TYPES:
        return logical_field(name, LogicalType.JSON)
    if word == "FIXED":
        precision, scale = column.precision or _DIGITS_MAX, column.scale or 0
        whole = scale == 0 and precision <= _INT64_DIGITS
        kind = pa.int64() if whole else pa.decimal128(precision, scale)
    elif word.startswith("TIMESTAMP"):
        kind = pa.timestamp(unit, None if word == "TIMESTAMP_NTZ" else "UTC")
    elif word == "TIME":
        kind = pa.time64("us")
    elif word == "INTERVAL_DAY_TIME":
        kind = pa.duration("ns")
    else:
        kind = getattr(pa, _PLAIN.get(word, "string"))()
    return pa.field(name, kind)


def _unit(column: ResultColumn, number: int, first: Rows | None) -> str:
    """Return the unit of a moment's column.

    Microseconds reach all years that Snowflake knows, nanoseconds only those from 1677 to 2262, and most columns
    that could hold nanoseconds do not.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    fine = column.scale is None or column.scale > _MICROSECOND_DIGITS
    if not column.type.startswith("TIMESTAMP") or not fine or first is None or isinstance(first, list):
        return "us"
    seen = first.column(number)
    if not pa.types.is_timestamp(seen.type) or seen.type.unit != "ns":
        return "us"
    counts = seen.cast(pa.int64())
    whole = pc.multiply(pc.divide(counts, _NANOSECONDS), _NANOSECONDS)
    return "ns" if pc.any(pc.not_equal(counts, whole)).as_py() else "us"


def _converted(array: pa.Array, field: pa.Field) -> pa.Array:
    import pyarrow as pa
    import pyarrow.types as t

    kind = field.type
    try:
        if t.is_nested(array.type):
            return _documents(array)
        if t.is_interval(kind) and t.is_integer(array.type):
            months = [None if value is None else (value, 0, 0) for value in array.to_pylist()]
            return pa.array(months, kind)
        return array if array.type == kind else array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _unfit(field) from error


def _of_rows(values: Sequence[object], field: pa.Field) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, ValueError) as error:
        raise _unfit(field) from error


def _documents(array: pa.Array) -> pa.Array:
    """Write nested values as JSON. Only vectors and objects of declared types come as such."""
    import pyarrow as pa

    texts = [
        None if value is None else json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))
        for value in array.to_pylist()
    ]
    return pa.array(texts, pa.string())


def _unfit(field: pa.Field) -> WarehouseQueryError:
    fix = cast_advice(TEXT_CAST, field.name)
    return WarehouseQueryError(
        f'Column "{field.name}" holds a value that cannot be delivered as {field.type}, such as a moment with '
        f"nanoseconds beside one far from today. Select it as text: {fix}.",
        column=field.name,
    )
