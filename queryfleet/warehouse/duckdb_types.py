"""DuckDB's types as Arrow: what is delivered as it is, and what as text.

| DuckDB | delivered as |
|---|---|
| booleans, integers to 64 bits, floats, DECIMAL, VARCHAR, UUID, BLOB, DATE, TIME, TIMESTAMP… | itself |
| HUGEINT | decimal128(38, 0); a value of 39 digits is refused |
| UHUGEINT, BIGNUM | text marked as decimal |
| JSON, VARIANT, UNION, TUPLE | text marked as JSON |
| ENUM, INTERVAL, TIMETZ, BIT, GEOMETRY, NULL and anything unknown | text, as DuckDB casts it |
| LIST, STRUCT, MAP of the first row's types | itself; a fixed-size ARRAY as a list |
| LIST, ARRAY, STRUCT, MAP holding anything else | text marked as JSON |

Left alone, Arrow would show UHUGEINT's maximum as -1, TIMETZ without its zone, and BIT as its storage bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_field
from queryfleet.warehouse.shaping import unique_names

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["Columns", "delivered_columns", "normalised"]

_DIRECT = frozenset(
    {
        "boolean",
        "tinyint",
        "smallint",
        "integer",
        "bigint",
        "utinyint",
        "usmallint",
        "uinteger",
        "ubigint",
        "hugeint",
        "float",
        "double",
        "decimal",
        "varchar",
        "uuid",
        "blob",
        "date",
        "time",
        "time_ns",
        "timestamp",
        "timestamp_s",
        "timestamp_ms",
        "timestamp_ns",
        "timestamp with time zone",
    }
)
_NESTED = frozenset({"list", "array", "struct", "map"})
_AS_JSON = frozenset({"union", "variant", "tuple"})
_AS_DECIMAL = frozenset({"uhugeint", "bignum"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """How the columns of one relation are delivered."""

    names: tuple[str, ...]  # unique
    marks: tuple[LogicalType | None, ...]  # what the text of a column means, beyond text
    projection: str | None  # SQL list that makes every column deliverable; None when all are

    def schema_of(self, schema: pa.Schema) -> pa.Schema:
        """Return the schema to deliver under, given the one DuckDB reports after the projection."""
        import pyarrow as pa

        fields = []
        for name, mark, field in zip(self.names, self.marks, schema, strict=True):
            if mark is None:
                fields.append(pa.field(name, _plain(field.type)))
            else:
                fields.append(logical_field(name, mark))
        return pa.schema(fields)


def delivered_columns(relation: duckdb.DuckDBPyRelation) -> Columns:
    """Decide for every column of a bound relation how it is delivered; runs nothing."""
    names = unique_names(relation.columns)
    items, marks, changed = [], [], names != relation.columns
    for position, (name, kind) in enumerate(zip(names, relation.types, strict=True), start=1):
        expression, mark = _delivery(kind, f"#{position}")
        changed = changed or expression != f"#{position}"
        items.append(f'{expression} as "{name.replace(chr(34), chr(34) * 2)}"')
        marks.append(mark)
    return Columns(names=tuple(names), marks=tuple(marks), projection=", ".join(items) if changed else None)


def _delivery(kind: duckdb.DuckDBPyType, column: str) -> tuple[str, LogicalType | None]:
    """Return the SQL expression for one column, and the mark of its text."""
    word = kind.id
    if str(kind) == "JSON":
        return f"({column})::varchar", LogicalType.JSON
    if word in _DIRECT:
        return column, None
    if word in _NESTED and _is_direct(kind):
        return (f"({column})::{_element(kind)}[]", None) if word == "array" else (column, None)
    if word in _NESTED or word in _AS_JSON:
        return f"to_json({column})::varchar", LogicalType.JSON
    if word in _AS_DECIMAL:
        return f"({column})::varchar", LogicalType.DECIMAL
    return f"({column})::varchar", None


def _is_direct(kind: duckdb.DuckDBPyType) -> bool:
    if kind.id not in _NESTED:
        return kind.id in _DIRECT and str(kind) != "JSON"
    children = [child for name, child in kind.children if not (kind.id == "array" and name == "size")]
    inner_arrays = any(child.id == "array" for child in children)  # only an outer one is spelled as a list
    return not inner_arrays and all(_is_direct(child) for child in children)


def _element(kind: duckdb.DuckDBPyType) -> str:
    return str(dict(kind.children)["child"])


def _plain(kind: pa.DataType) -> pa.DataType:
    """Spell a type as the rest of the service does: the time zone UTC has one name."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    return kind


def normalised(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return `batch` under `schema`, which differs in names, marks and the spelling of UTC only."""
    import pyarrow as pa

    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
