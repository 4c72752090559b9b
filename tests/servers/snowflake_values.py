"""How Snowflake writes values on the wire, in Arrow and in JSON."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tests.servers.snowflake_sql import DECLARED

if TYPE_CHECKING:
    from collections.abc import Sequence

EPOCH = date(1970, 1, 1)
MOMENT = re.compile(
    r"(-?\d+)-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?)? ?(?:([+-])(\d\d):?(\d\d)|Z)?$"
)
OF_DUCKDB = {
    "BOOLEAN": "BOOLEAN", "TINYINT": "NUMBER(3,0)", "SMALLINT": "NUMBER(5,0)", "INTEGER": "NUMBER(10,0)",
    "BIGINT": "NUMBER(18,0)", "HUGEINT": "NUMBER(38,0)", "DOUBLE": "FLOAT", "FLOAT": "FLOAT", "VARCHAR": "TEXT",
    "BLOB": "BINARY", "DATE": "DATE", '"NULL"': "TEXT",
}  # fmt: skip
LOGICAL = {"DECIMAL": "FIXED", "NUMBER": "FIXED", "INT": "FIXED", "DOUBLE": "REAL", "FLOAT": "REAL", "VARCHAR": "TEXT",
           "TEXT": "TEXT", "TIMESTAMPNTZ": "TIMESTAMP_NTZ", "TIMESTAMPLTZ": "TIMESTAMP_LTZ",
           "TIMESTAMPTZ": "TIMESTAMP_TZ", "VARBINARY": "BINARY"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WireColumn:
    """One column as the server describes it."""

    name: str
    logical: str  # Snowflake's word: FIXED, TEXT, TIMESTAMP_NTZ, …
    precision: int
    scale: int
    extended: str | None = None  # what a column really is when its logical type is only how it travels

    @property
    def byte_length(self) -> int:
        """Length of a value; of a moment with offset it tells apart its two forms."""
        return 8 if self.logical == "TIMESTAMP_TZ" and self.scale <= 3 else 16

    def rowtype(self) -> dict[str, Any]:
        """Return the column's entry in an answer."""
        return {"name": self.name, "type": self.logical.lower(), "precision": self.precision, "scale": self.scale,
                "length": 16777216, "byteLength": self.byte_length, "nullable": True, "database": "", "schema": "",
                "table": "", "collation": None, "extTypeName": self.extended}  # fmt: skip

    def arrow_field(self, kind: pa.DataType) -> pa.Field:
        """Return the column's field in a chunk."""
        metadata = {"logicalType": self.logical, "precision": str(self.precision), "scale": str(self.scale),
                    "charLength": "16777216", "byteLength": str(self.byte_length), "finalType": "T"}  # fmt: skip
        return pa.field(self.name, kind, metadata=metadata)


def column_of(name: str, duckdb_kind: str, declared: str | None) -> WireColumn:
    """Describe one column of a DuckDB result; `declared` is Snowflake's type when the SQL says it."""
    text = (declared or OF_DUCKDB.get(duckdb_kind, duckdb_kind)).upper()
    match = DECLARED.match(text)
    assert match is not None, text
    word = LOGICAL.get(match[1], match[1])
    numbers = [int(number) for number in match.groups()[1:] if number is not None]
    precision = numbers[0] if numbers else 38
    scale = numbers[1] if len(numbers) > 1 else 0
    if word.startswith("TIME"):
        precision, scale = 0, numbers[0] if numbers else 9
    extended = word if word.startswith("GEO") else None
    return WireColumn(name=name, logical="OBJECT" if extended else word, precision=precision, scale=scale,
                      extended=extended)  # fmt: skip


class ChunkFormat:
    """Writes the batches of one result."""

    def __init__(self, columns: Sequence[WireColumn], name: str) -> None:
        self.columns = columns
        self.name = name  # `arrow` or `json`

    def encoded(self, batch: pa.RecordBatch) -> bytes:
        """Return a chunk: an Arrow stream, or rows without the brackets around all of them."""
        if self.name == "json":
            return json.dumps(self.rows(batch)).encode()[1:-1]
        arrays = [_arrow(column, array) for column, array in zip(self.columns, batch.columns, strict=True)]
        schema = pa.schema([column.arrow_field(array.type) for column, array in zip(self.columns, arrays, strict=True)])
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        return sink.getvalue()

    def rows(self, batch: pa.RecordBatch) -> list[list[str | None]]:
        """Return rows of texts."""
        columns = [
            [None if value is None else _text(column, value) for value in array.to_pylist()]
            for column, array in zip(self.columns, batch.columns, strict=True)
        ]
        return [list(row) for row in zip(*columns, strict=True)]


def moment(text: str) -> tuple[int, int, int]:
    """Return seconds since 1970 in UTC, nanoseconds and minutes east of UTC of a moment's text."""
    match = MOMENT.match(text.strip())
    assert match is not None, text
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    fraction = int((match[7] or "").ljust(9, "0") or 0)
    offset = (int(match[9]) * 60 + int(match[10])) * (-1 if match[8] == "-" else 1) if match[8] else 0
    days = (datetime(year, month, day) - datetime(1970, 1, 1)).days  # noqa: DTZ001
    return days * 86_400 + hour * 3600 + minute * 60 + second - offset * 60, fraction, offset


def _time_of_day(text: str) -> int:
    hour, minute, rest = text.split(":")
    second, _, fraction = rest.partition(".")
    return (int(hour) * 3600 + int(minute) * 60 + int(second)) * 10**9 + int(fraction.ljust(9, "0") or 0)


def _arrow(column: WireColumn, array: pa.Array) -> pa.Array:
    match column.logical:
        case "FIXED":
            return _fixed(column, array)
        case "TIME":
            values = [None if v is None else _time_of_day(v) // 10 ** (9 - column.scale) for v in array.to_pylist()]
            return pa.array(values, pa.int32() if column.scale <= 4 else pa.int64())
        case "TIMESTAMP_NTZ" | "TIMESTAMP_LTZ" | "TIMESTAMP_TZ":
            return _moments(column, array)
        case "REAL":
            return array.cast(pa.float64())
        case "TEXT" | "VARIANT" | "OBJECT" | "ARRAY" | "MAP":
            return array.cast(pa.string())
        case _:
            return array


def _fixed(column: WireColumn, array: pa.Array) -> pa.Array:
    """Return numbers in the narrowest type that holds all of this chunk's, as Snowflake does."""
    values = [None if v is None else int(Decimal(v).scaleb(column.scale)) for v in array.to_pylist()]
    largest = max((abs(v) for v in values if v is not None), default=0)
    for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64()):
        if largest < 2 ** (kind.bit_width - 1):
            return pa.array(values, kind)
    return array.cast(pa.decimal128(38, column.scale))


def _moments(column: WireColumn, array: pa.Array) -> pa.Array:
    parts = [None if text is None else moment(text) for text in array.cast(pa.string()).to_pylist()]
    scaled = [None if p is None else p[0] * 10**column.scale + p[1] // 10 ** (9 - column.scale) for p in parts]
    if column.logical != "TIMESTAMP_TZ" and column.scale <= 7:
        return pa.array(scaled, pa.int64())
    names, kinds = ["epoch"], [pa.int64()]
    short = column.logical == "TIMESTAMP_TZ" and column.byte_length == 8
    columns: list[list[int | None]] = [scaled if short else [None if p is None else p[0] for p in parts]]
    if not short:
        names, kinds = [*names, "fraction"], [*kinds, pa.int32()]
        columns.append([None if p is None else p[1] for p in parts])
    if column.logical == "TIMESTAMP_TZ":
        names, kinds = [*names, "timezone"], [*kinds, pa.int32()]
        columns.append([None if p is None else p[2] + 1440 for p in parts])
    arrays = [pa.array([0 if v is None else v for v in c], kind) for c, kind in zip(columns, kinds, strict=True)]
    return pa.StructArray.from_arrays(arrays, names=names, mask=pa.array([p is None for p in parts], pa.bool_()))


def _text(column: WireColumn, value: Any) -> str:
    match column.logical:
        case "DATE":
            return str((value - EPOCH).days)
        case "TIME":
            return f"{Decimal(_time_of_day(value)).scaleb(-9):.{column.scale}f}"
        case "TIMESTAMP_NTZ" | "TIMESTAMP_LTZ" | "TIMESTAMP_TZ":
            epoch, fraction, offset = moment(str(value))
            plain = f"{Decimal(epoch) + Decimal(fraction).scaleb(-9):.{column.scale}f}"
            return f"{plain} {offset + 1440}" if column.logical == "TIMESTAMP_TZ" else plain
        case "BOOLEAN":
            return "1" if value else "0"
        case "BINARY":
            return value.hex().upper()
        case "REAL":
            return {"inf": "inf", "-inf": "-inf", "nan": "NaN"}.get(str(value), repr(value))
        case "FIXED":
            return f"{Decimal(value):.{column.scale}f}"
        case _:
            return str(value)
