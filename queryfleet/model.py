"""Frozen values that several parts share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["NO_STORE", "ChunkRef", "Column", "ColumnType", "QueryTag"]

NO_STORE = "none"  # in the place of a store's URL: results are not stored


class ColumnType(StrEnum):
    """What a client may do with a column; the five words of the HTTP contract."""

    STRING = "string"  # text, and everything without a better word: binary, nested, intervals
    NUMBER = "number"  # integers, decimals, floats
    TIMESTAMP = "timestamp"  # a date with a time of day
    DATE = "date"  # a calendar day
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a result."""

    reference: str  # its name; unique in a result
    type: ColumnType


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRef:
    """Where one stored piece of a result lies. Committed only after the object is durable."""

    index: int  # position in the result, from 0
    key: str  # object key, relative to the store's root
    first_row: int  # row number of its first line, from 0, counted over the whole result
    row_count: int  # lines in it, at least 1
    byte_count: int  # length of the object
    crc32: int  # of the whole object, unsigned
    blocks: bytes  # packed index of byte offsets and checksums; `queryfleet.results.manifest` reads it


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryTag:
    """Who asks, as told to the warehouse: it appears in the warehouse's own query history."""

    query_uuid: str
    project_uuid: str
    user_uuid: str
    context: str  # where the question came from: `sqlRunner`, `api`, `cli`, …
    attempt: int = 1
