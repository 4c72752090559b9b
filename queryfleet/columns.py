"""Arrow fields as columns of a result.

Arrow has no type for some things warehouses return: a decimal of unlimited precision, a JSON document. Such columns
travel as Arrow strings whose field metadata says what the text means (`logical_type`). Warehouses write the mark,
the encoder and the typed outputs read it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from queryfleet.model import Column, ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "LogicalType",
    "column_of",
    "columns_of",
    "has_own_rules",
    "logical_field",
    "logical_type",
    "own_rules_field",
]

_KEY = b"queryfleet:type"
_RULES_KEY = b"queryfleet:compared"


class LogicalType(StrEnum):
    """What the text of a string column means, beyond text."""

    DECIMAL = "decimal"  # plain decimal digits of any precision (`-12.50`), or `NaN`, `Infinity`, `-Infinity`
    JSON = "json"  # one JSON document


def logical_field(name: str, logical: LogicalType, *, nullable: bool = True) -> pa.Field:
    """Return a string field marked as holding `logical` text."""
    import pyarrow as pa

    return pa.field(name, pa.string(), nullable, metadata={_KEY: logical.value.encode()})


def logical_type(field: pa.Field) -> LogicalType | None:
    """Return the mark of `field`, or None when its Arrow type says it all."""
    metadata = field.metadata or {}
    value = metadata.get(_KEY)
    return LogicalType(value.decode()) if value is not None else None


def own_rules_field(name: str) -> pa.Field:
    """Return a string field for values that the warehouse compares or orders by other rules than their texts follow.

    Such are names of an enumeration, texts of any case, texts that are padded.
    """
    import pyarrow as pa

    return pa.field(name, pa.string(), metadata={_RULES_KEY: b"own"})


def has_own_rules(field: pa.Field) -> bool:
    """Tell whether two different texts of a column may be equal to the warehouse, or their order another one."""
    return _RULES_KEY in (field.metadata or {})


def column_of(field: pa.Field) -> Column:
    """Describe one Arrow field in the words of the HTTP contract."""
    import pyarrow.types as t

    kind = field.type.value_type if t.is_dictionary(field.type) else field.type
    if logical_type(field) is LogicalType.DECIMAL or t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind):
        word = ColumnType.NUMBER
    elif t.is_boolean(kind):
        word = ColumnType.BOOLEAN
    elif t.is_date(kind):
        word = ColumnType.DATE
    elif t.is_timestamp(kind):
        word = ColumnType.TIMESTAMP
    else:
        word = ColumnType.STRING
    return Column(reference=field.name, type=word)


def columns_of(schema: pa.Schema) -> list[Column]:
    """Describe every field of `schema`, in order. Names must be unique already."""
    return [column_of(field) for field in schema]
