"""DuckDB's types and values as Athena spells them in its result files."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import csv

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

_NAMES = {
    "boolean": "boolean",
    "tinyint": "tinyint",
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "float": "float",
    "double": "double",
    "varchar": "varchar",
    "blob": "varbinary",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamp with time zone": "timestamp with time zone",
    "json": "json",
    "uuid": "uuid",
}
_NESTED = {"list": "array", "struct": "row", "map": "map"}


def column_info(names: Sequence[str], types: Sequence[duckdb.DuckDBPyType]) -> list[dict[str, object]]:
    """Return the `ColumnInfo` of a result."""
    found = []
    for name, kind in zip(names, types, strict=True):
        text = str(kind).lower()
        precision, scale = 0, 0
        word = _NESTED.get(kind.id) or _NAMES.get(text, "interval day to second" if text == "interval" else "varchar")
        if text.startswith("decimal"):
            word = "decimal"
            precision, scale = (int(each) for each in text.removeprefix("decimal(").removesuffix(")").split(","))
        found.append({"CatalogName": "hive", "SchemaName": "", "TableName": "", "Name": name, "Label": name,
                      "Type": word, "Precision": precision, "Scale": scale, "Nullable": "UNKNOWN",
                      "CaseSensitive": word == "varchar"})  # fmt: skip
    return found


def header(names: Sequence[str]) -> bytes:
    """Return the first line of a result file."""
    return (",".join('"' + name.replace('"', '""') + '"' for name in names) + "\n").encode()


def lines(batch: pa.RecordBatch) -> bytes:
    """Return the lines of some rows."""
    sink = pa.BufferOutputStream()
    table = pa.Table.from_arrays(texts(batch), names=[str(number) for number in range(batch.num_columns)])
    csv.write_csv(table, sink, csv.WriteOptions(include_header=False, quoting_style="all_valid"))
    return sink.getvalue().to_pybytes()


def texts(batch: pa.RecordBatch) -> list[pa.Array]:
    """Return columns of text."""
    found = []
    for array in batch.columns:
        if pa.types.is_string(array.type) or pa.types.is_integer(array.type):
            found.append(array.cast(pa.string()))
        else:
            found.append(
                pa.array([None if value is None else _text(value) for value in array.to_pylist()], pa.string())
            )
    return found


def _text(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case datetime():
            wall = value.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
            return wall if value.tzinfo is None else f"{wall} UTC"
        case float():
            return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(str(value), repr(value))
        case bytes():
            return value.hex(" ")
        case pa.MonthDayNano():
            return f"{value.days} 00:00:00.000"
        case dict():
            return "{" + ", ".join(f"{key}={_text(each)}" for key, each in value.items()) + "}"
        case list():
            pairs = value and isinstance(value[0], tuple)
            return _text(dict(value)) if pairs else "[" + ", ".join(_text(each) for each in value) + "]"
        case _:
            return str(value)
