"""What a warehouse or dbt calls a column's type, as one of the five types of a field."""

from __future__ import annotations

import re
from typing import Final

from queryfleet.model import ColumnType

__all__ = ["column_type"]

_WORDS: Final = {
    ColumnType.BOOLEAN: ("bool", "boolean", "logical"),
    ColumnType.DATE: ("date",),
    ColumnType.TIMESTAMP: ("datetime", "smalldatetime", "datetime2", "datetime64", "datetimeoffset", "abstime"),
    ColumnType.NUMBER: (
        "int", "integer", "bigint", "smallint", "tinyint", "byteint", "mediumint", "hugeint", "uhugeint", "utinyint",
        "usmallint", "uinteger", "ubigint", "int2", "int4", "int8", "serial", "bigserial", "smallserial", "number",
        "numeric", "decimal", "dec", "bignumeric", "bigdecimal", "float", "float4", "float8", "float64", "float32",
        "real", "double", "money", "long", "short", "byte", "fixed", "int16", "int32", "int64", "int128", "int256",
        "uint8", "uint16", "uint32", "uint64",
    ),
}  # fmt: skip
_BY_WORD: Final = {word: type_ for type_, words in _WORDS.items() for word in words}
_WRAPPER: Final = re.compile(r"(?:nullable|lowcardinality)\((.*)\)", re.IGNORECASE | re.DOTALL)
_WORD: Final = re.compile(r"[a-z_]+[0-9]*")


def column_type(written: str) -> ColumnType:
    """Return the type of a field over a column.

    Args:
        written: As the warehouse or dbt says it, in any case: `NUMBER(38,0)`, `timestamp with time zone`,
            `Nullable(Int64)`. Arrays, documents, times of day and what is not known are text.
    """
    text = written.strip()
    while (wrapped := _WRAPPER.fullmatch(text)) is not None:
        text = wrapped[1].strip()
    lowered = text.lower()
    if lowered.endswith("[]"):
        return ColumnType.STRING
    if lowered.startswith("timestamp"):  # with all its precisions, zones and vendors' suffixes
        return ColumnType.TIMESTAMP
    first = _WORD.match(lowered)
    return _BY_WORD.get(first[0], ColumnType.STRING) if first is not None else ColumnType.STRING
