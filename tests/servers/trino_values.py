"""DuckDB's types and values as Trino spells them in its answers."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_SIMPLE = {
    "boolean": "boolean",
    "tinyint": "tinyint",
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "utinyint": "smallint",
    "usmallint": "integer",
    "uinteger": "bigint",
    "ubigint": "decimal(20,0)",
    "hugeint": "decimal(38,0)",
    "float": "real",
    "double": "double",
    "varchar": "varchar",
    "blob": "varbinary",
    "date": "date",
    "time": "time(6)",
    "timestamp": "timestamp(6)",
    "timestamp_s": "timestamp(0)",
    "timestamp_ms": "timestamp(3)",
    "timestamp_ns": "timestamp(9)",
    "timestamp with time zone": "timestamp(6) with time zone",
    "uuid": "uuid",
    "json": "json",
    "interval": "interval day to second",
    '"null"': "unknown",
}


def columns_of(relation: duckdb.DuckDBPyRelation) -> list[dict[str, object]]:
    """Return the `columns` of an answer."""
    described = []
    for name, kind in zip(relation.columns, relation.types, strict=True):
        # A text that says so gives a type DuckDB does not have: `… as "name::timestamp(3) with time zone"`.
        label, _, spelled = name.partition("::")
        signature = _signature(kind) if not spelled else {"rawType": spelled, "arguments": []}
        described.append({"name": label, "type": spelled or _type(kind), "typeSignature": signature})
    return described


def rows_of(batch: pa.RecordBatch, columns: list[dict[str, object]]) -> list[list[object]]:
    """Return the `data` of an answer."""
    turned = [
        [_value(value, str(column["type"])) for value in array.to_pylist()]
        for array, column in zip(batch.columns, columns, strict=True)
    ]
    return [list(row) for row in zip(*turned, strict=True)]


def _type(kind: duckdb.DuckDBPyType) -> str:
    text = str(kind).lower()
    if text.startswith("decimal"):
        return text.replace(" ", "")
    match kind.id:
        case "list":
            return f"array({_type(kind.children[0][1])})"
        case "map":
            return f"map({_type(kind.children[0][1])}, {_type(kind.children[1][1])})"
        case "struct":
            return "row(" + ", ".join(f"{name} {_type(part)}" for name, part in kind.children) + ")"
        case _:
            return _SIMPLE.get(text, "varchar")


def _signature(kind: duckdb.DuckDBPyType) -> dict[str, object]:
    match kind.id:
        case "list":
            return {"rawType": "array", "arguments": [_argument(kind.children[0][1])]}
        case "map":
            return {"rawType": "map", "arguments": [_argument(part) for _, part in kind.children]}
        case "struct":
            fields = [
                {
                    "kind": "NAMED_TYPE",
                    "value": {"fieldName": {"name": name}, "typeSignature": _signature(part)},
                }
                for name, part in kind.children
            ]
            return {"rawType": "row", "arguments": fields}
        case _:
            return {"rawType": _type(kind).partition("(")[0], "arguments": []}


def _argument(kind: duckdb.DuckDBPyType) -> dict[str, object]:
    return {"kind": "TYPE", "value": _signature(kind)}


def _value(value: object, kind: str) -> object:
    match value:
        case None | bool() | int() if not kind.startswith("decimal"):
            return value
        case float():
            return (
                ("NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity")
                if not math.isfinite(value)
                else value
            )
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return [_value(each, "") for each in value.values()]
        case list() if value and isinstance(value[0], tuple):
            return {str(key): _value(each, "") for key, each in value}
        case list():
            return [_value(each, "") for each in value]
        case _:
            return None if value is None else _text(value, kind)


def _text(value: object, kind: str) -> str:
    text = str(value)
    if kind.startswith("timestamp") and kind.endswith("zone"):
        return text if not text.endswith("+00:00") else f"{text.removesuffix('+00:00')} UTC"
    return text
