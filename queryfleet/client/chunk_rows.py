"""Stored lines to Arrow, with PyArrow alone: for the columns it can read exactly.

Others (documents, nested values, binaries, times of day, spans, `NaN` among doubles) are left to the service, which
knows every spelling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.columns import logical_type
from queryfleet.errors import ResultCorruptError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["is_plain", "plain_rows"]

_INTEGER_DIGITS = 20  # of the largest unsigned 64-bit integer
_UNCOMMON_YEAR = r"^[+-]|^\d{5}"


def is_plain(schema: pa.Schema) -> bool:
    """Tell whether `plain_rows` may be able to read lines of this schema."""
    import pyarrow.types as t

    kinds = (
        *(t.is_integer, t.is_floating, t.is_boolean, t.is_decimal128, t.is_string, t.is_large_string),
        *(t.is_date32, t.is_timestamp),
    )
    return len(schema) > 0 and all(
        logical_type(field) is None and any(is_kind(field.type) for is_kind in kinds) for field in schema
    )


def plain_rows(lines: bytes, schema: pa.Schema) -> pa.RecordBatch | None:
    """Return the rows of some lines; None when a value needs a reader that knows more.

    Args:
        lines: Whole lines.
        schema: One that `is_plain`, with names that differ.

    Raises:
        ResultCorruptError: The lines do not have these columns.

    Cost: about 0.1 µs a value, without the GIL.
    """
    import pyarrow as pa

    table = _read(lines, schema, wide=False)
    if table is None:
        table = _read(lines, schema, wide=True)  # integers beyond 2^53 are strings of digits
    if table is None:
        return None
    if table.column_names != schema.names:
        raise ResultCorruptError("A stored chunk has other columns than its result.")
    try:
        arrays = [_typed(table.column(place), field.type) for place, field in enumerate(schema)]
    except pa.ArrowException:
        return None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _read(lines: bytes, schema: pa.Schema, *, wide: bool) -> pa.Table | None:
    import pyarrow as pa
    from pyarrow import json

    read = pa.schema([pa.field(field.name, _read_type(field.type, wide=wide)) for field in schema])
    try:
        return json.read_json(
            pa.BufferReader(lines),
            read_options=json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
            parse_options=json.ParseOptions(explicit_schema=read, unexpected_field_behavior="error"),
        )
    except pa.ArrowException:
        return None


def _read_type(kind: pa.DataType, *, wide: bool) -> pa.DataType:
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_integer(kind):
        return pa.decimal128(_INTEGER_DIGITS, 0) if wide else kind
    if t.is_floating(kind) or t.is_boolean(kind) or t.is_decimal(kind):
        return kind
    return pa.string()


def _typed(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    array = column.combine_chunks()
    if array.type == kind:
        return array
    if (t.is_date(kind) or t.is_timestamp(kind)) and pc.any(pc.match_substring_regex(array, _UNCOMMON_YEAR)).as_py():
        raise pa.ArrowInvalid("a year that does not have four digits")
    if t.is_timestamp(kind):
        # Texts have three digits of a second at least, which a unit of seconds would refuse.
        unit = "ms" if kind.unit == "s" else kind.unit
        return array.cast(pa.timestamp(unit, "UTC")).cast(pa.timestamp(kind.unit, "UTC")).cast(kind)
    return array.cast(kind)
