"""Rows of a driver as Arrow: column by column, without an object more than the driver has made.

A column's form is taken from what the warehouse says of it. Where a warehouse says nothing, it is taken from the
first values: a column without any is text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_field
from queryfleet.errors import WarehouseQueryError
from queryfleet.warehouse.ranges import cast_advice
from queryfleet.warehouse.shaping import unique_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

__all__ = [
    "DECIMAL_DIGITS",
    "Form",
    "RowColumn",
    "changes",
    "column_array",
    "decimal_column",
    "inferred_column",
    "named",
    "parsed",
    "row_batch",
]

DECIMAL_DIGITS = 38  # of an Arrow decimal128
_INT64_END = 2**63


class Form(Enum):
    """What is done to the values of a column."""

    AS_IS = auto()  # Arrow takes them
    PARSED = auto()  # texts, read by Arrow as the column's type
    TEXT = auto()  # whatever they are, as text
    DECIMAL = auto()  # numbers of any length, as plain digits
    JSON = auto()  # a document: as it is when it is text already
    BITS = auto()  # big-endian bytes of an unsigned number


@dataclass(frozen=True, slots=True, kw_only=True)
class RowColumn:
    """One column of rows: what is delivered, and how."""

    field: pa.Field
    form: Form = Form.AS_IS


def named(columns: Sequence[RowColumn]) -> tuple[list[RowColumn], pa.Schema]:
    """Return the columns with unique names, and their schema."""
    import pyarrow as pa

    names = unique_names([column.field.name for column in columns])
    renamed = [
        RowColumn(field=column.field.with_name(name), form=column.form)
        for column, name in zip(columns, names, strict=True)
    ]
    return renamed, pa.schema([column.field for column in renamed])


def changes(count: int) -> tuple[list[RowColumn], pa.Schema, list[tuple[int]]]:
    """Return the result of a statement without columns: how many rows it changed, none where it does not say."""
    import pyarrow as pa

    field = pa.field("Count", pa.int64())
    return [RowColumn(field=field)], pa.schema([field]), [(count,)] if count >= 0 else []


def decimal_column(name: str, *, precision: int, scale: int, form: Form = Form.AS_IS) -> RowColumn:
    """Return a column of numbers with that many digits: a decimal, or digits of any length beyond 38.

    Args:
        name: Of the column.
        precision: All digits; less than 1 means unknown.
        scale: Those after the point.
        form: How values come: `AS_IS` as numbers, `PARSED` as text.
    """
    import pyarrow as pa

    if not 1 <= precision <= DECIMAL_DIGITS or not 0 <= scale <= precision:
        return RowColumn(field=logical_field(name, LogicalType.DECIMAL), form=Form.DECIMAL)
    return RowColumn(field=pa.field(name, pa.decimal128(precision, scale)), form=form)


def inferred_column(  # noqa: PLR0911 - a table of types, one line each
    name: str, values: Sequence[object]
) -> RowColumn:
    """Return the narrowest column that holds `values`, None among them allowed.

    Whole numbers are 64 bits wide, and of any length when one needs more; with fractions among them they are
    double precision. Lists and mappings are JSON. Kinds that do not go together are text.
    """
    import datetime as dt
    from decimal import Decimal

    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return RowColumn(field=pa.field(name, pa.bool_()))
    if kinds == {int}:
        wide = any(isinstance(value, int) and not -_INT64_END <= value < _INT64_END for value in values)
        return decimal_column(name, precision=0, scale=0) if wide else RowColumn(field=pa.field(name, pa.int64()))
    if kinds in ({float}, {int, float}):
        return RowColumn(field=pa.field(name, pa.float64()))
    if kinds in ({Decimal}, {int, Decimal}):
        return decimal_column(name, precision=0, scale=0)
    if kinds and kinds <= {bytes, bytearray, memoryview}:
        return RowColumn(field=pa.field(name, pa.binary()))
    if kinds == {dt.date}:
        return RowColumn(field=pa.field(name, pa.date32()))
    if kinds == {dt.time}:
        return RowColumn(field=pa.field(name, pa.time64("us")))
    if kinds == {dt.datetime}:
        return _moment_column(name, values)
    if kinds and kinds <= {list, tuple, dict}:
        return RowColumn(field=logical_field(name, LogicalType.JSON), form=Form.JSON)
    return RowColumn(field=pa.field(name, pa.string()), form=Form.AS_IS if kinds == {str} else Form.TEXT)


def row_batch(
    rows: Sequence[Sequence[object]], columns: Sequence[RowColumn], schema: pa.Schema, *, text_cast: str
) -> pa.RecordBatch:
    """Turn rows into one batch of `schema`.

    Raises:
        WarehouseQueryError: A value does not fit its column; names the column and the cast that avoids it.
    """
    import pyarrow as pa

    turned = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays = [column_array(values, column, text_cast) for values, column in zip(turned, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def column_array(values: Sequence[object], column: RowColumn, text_cast: str) -> pa.Array:
    """Turn the values of one column into Arrow; raises like `row_batch`."""
    import pyarrow as pa

    kind = column.field.type
    try:
        match column.form:
            case Form.AS_IS:
                return pa.array(values, kind)
            case Form.PARSED:
                return parsed(pa.array(values, pa.string()), kind)
            case Form.TEXT:
                return pa.array([None if value is None else _text(value) for value in values], kind)
            case Form.DECIMAL:
                return pa.array([None if value is None else _digits(value) for value in values], kind)
            case Form.JSON:
                return pa.array([None if value is None else _document(value) for value in values], kind)
            case Form.BITS:
                return pa.array([None if value is None else _number(value) for value in values], kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, TypeError, OverflowError) as error:
        name, fix = column.field.name, cast_advice(text_cast, column.field.name)
        raise WarehouseQueryError(
            f'Column "{name}" holds a value that cannot be delivered as {kind}. Select it as text: {fix}.',
            column=name,
        ) from error


def parsed(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Read texts as values of a type; raises what Arrow raises."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_time(kind):  # which Arrow does not read
        moments = pc.binary_join_element_wise(pa.scalar("1970-01-01"), texts, " ")
        return moments.cast(pa.timestamp(kind.unit)).cast(kind)
    if t.is_timestamp(kind) and kind.tz is not None:  # of a session in UTC, whether it says so or not
        walls = pc.replace_substring_regex(texts, r"\+00(?::?00)?$", "")
        return walls.cast(pa.timestamp(kind.unit)).cast(kind)
    return texts.cast(kind)


def _moment_column(name: str, values: Sequence[object]) -> RowColumn:
    """Return a column of instants in UTC, or of times without a zone; both at once are text."""
    import datetime as dt

    import pyarrow as pa

    aware = {value.tzinfo is not None for value in values if isinstance(value, dt.datetime)}
    if aware == {True}:
        return RowColumn(field=pa.field(name, pa.timestamp("us", "UTC")))
    if aware == {False}:
        return RowColumn(field=pa.field(name, pa.timestamp("us")))
    return RowColumn(field=pa.field(name, pa.string()), form=Form.TEXT)


def _text(value: object) -> str:
    match value:
        case str():
            return value
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case list() | tuple() | dict():
            return _document(value)
        case _:
            return str(value)


def _digits(value: object) -> str:
    """Spell a number in plain digits, as columns marked as decimal hold it."""
    from decimal import Decimal

    number = value if isinstance(value, Decimal) else Decimal(str(value))
    if number.is_nan():
        return "NaN"
    return format(number, "f")


def _document(value: object) -> str:
    import json

    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_text)


def _number(value: object) -> int:
    if isinstance(value, (bytes, bytearray)):
        return int.from_bytes(value, "big")
    raise TypeError(f"expected bytes, found {type(value).__name__}")
