"""Redshift's types as Arrow. Values come as text, which Arrow reads a column at a time.

| Redshift | delivered as |
|---|---|
| boolean, smallint, integer, bigint, real, double precision, varchar, char | itself |
| numeric with a precision | decimal; without, a number of any length |
| date, time, timestamp | itself |
| timestamptz | instant in UTC |
| varbyte, bytea | binary |
| super, json | JSON |
| everything else | text as Redshift writes it |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_field
from queryfleet.warehouse.columnar import Form, RowColumn, decimal_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Column, Connection

__all__ = ["keep_texts", "redshift_column"]

_NUMERIC, _TIMESTAMPTZ = 1700, 1184
_TEXTS = frozenset({18, 19, 25, 1042, 1043})
_BYTES = frozenset({17, 6551})
_DOCUMENTS = frozenset({114, 3802, 4000})
_KEPT = (_NUMERIC, 114, 3802, 4000, 1082, 1083, 1114, _TIMESTAMPTZ, 1266, 1186, 2950)


def keep_texts(connection: Connection[Sequence[object]]) -> None:
    """Let the driver hand over the text of what Arrow reads, instead of an object for each value."""
    from psycopg.types.string import TextLoader

    for number in _KEPT:
        connection.adapters.register_loader(number, TextLoader)


def redshift_column(described: Column) -> RowColumn:  # noqa: PLR0911 - a table of types, one line each
    """Return the column that one entry of a cursor's description stands for."""
    import pyarrow as pa

    name, code = described.name, described.type_code
    if code == _NUMERIC:
        return decimal_column(name, precision=described.precision or 0, scale=described.scale or 0, form=Form.PARSED)
    if code in _DOCUMENTS:
        return RowColumn(field=logical_field(name, LogicalType.JSON))
    if code in _TEXTS:
        return RowColumn(field=pa.field(name, pa.string()))
    if code in _BYTES:
        return RowColumn(field=pa.field(name, pa.binary()))
    numbers = {
        16: pa.bool_(),
        20: pa.int64(),
        21: pa.int16(),
        23: pa.int32(),
        26: pa.int64(),
        700: pa.float32(),
        701: pa.float64(),
    }
    moments = {
        1082: pa.date32(),
        1083: pa.time64("us"),
        1114: pa.timestamp("us"),
        _TIMESTAMPTZ: pa.timestamp("us", "UTC"),
    }
    if code in numbers:
        return RowColumn(field=pa.field(name, numbers[code]))
    if code in moments:
        return RowColumn(field=pa.field(name, moments[code]), form=Form.PARSED)
    return RowColumn(field=pa.field(name, pa.string()), form=Form.TEXT)
