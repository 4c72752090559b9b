"""DuckDB's types and values as BigQuery spells them in its answers."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_SIMPLE = {
    "boolean": "BOOLEAN",
    "float": "FLOAT",
    "double": "FLOAT",
    "varchar": "STRING",
    "blob": "BYTES",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "DATETIME",
    "timestamp with time zone": "TIMESTAMP",
    "json": "JSON",
    "interval": "INTERVAL",
    "hugeint": "BIGNUMERIC",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def fields_of(relation: duckdb.DuckDBPyRelation) -> list[dict[str, object]]:
    """Return the `fields` of a result's schema."""
    return [_field(name, kind) for name, kind in zip(relation.columns, relation.types, strict=True)]


def rows_of(batch: pa.RecordBatch) -> list[str]:
    """Return the `rows` of an answer, each as its JSON text."""
    turned = [[_value(value) for value in array.to_pylist()] for array in batch.columns]
    return [json.dumps({"f": [{"v": value} for value in row]}) for row in zip(*turned, strict=True)]


def _field(name: str, kind: duckdb.DuckDBPyType) -> dict[str, object]:
    if kind.id == "list":
        return {**_field(name, kind.children[0][1]), "mode": "REPEATED"}
    if kind.id == "struct":
        parts = [_field(part, each) for part, each in kind.children]
        return {"name": name, "type": "RECORD", "mode": "NULLABLE", "fields": parts}
    text = str(kind).lower()
    word = "NUMERIC" if text.startswith("decimal") else _SIMPLE.get(text, "INTEGER" if "int" in text else "STRING")
    return {"name": name, "type": word, "mode": "NULLABLE"}


def _value(value: object) -> object:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case datetime() if value.tzinfo is not None:
            passed = value - _EPOCH
            return str((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds)
        case datetime():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal():
            return format(value, "f")
        case dict():
            return {"f": [{"v": _value(each)} for each in value.values()]}
        case list():
            return [{"v": _value(each)} for each in value]
        case float():
            return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(str(value), repr(value))
        case _:
            return str(value)
