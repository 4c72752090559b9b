"""What a caller may ask of a file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.errors import JsonValue

__all__ = ["ContentCoding", "ExportFormat", "ExportOptions"]


class ExportFormat(StrEnum):
    """Kinds of files, by the words of the HTTP contract."""

    CSV = "csv"
    XLSX = "xlsx"
    JSONL = "jsonl"
    PARQUET = "parquet"
    ARROW = "arrow"  # Arrow IPC file
    ARROW_STREAM = "arrow_stream"  # Arrow IPC stream

    @property
    def extension(self) -> str:
        """Return the ending of a file's name, with its dot."""
        return ".arrows" if self is ExportFormat.ARROW_STREAM else f".{self.value}"

    @property
    def media_type(self) -> str:
        """Return the value of `Content-Type`."""
        return _MEDIA_TYPES[self]

    @property
    def is_typed(self) -> bool:
        """Whether it keeps values and types as the warehouse gave them, instead of texts."""
        return self in (ExportFormat.PARQUET, ExportFormat.ARROW, ExportFormat.ARROW_STREAM)

    @property
    def has_totals(self) -> bool:
        """Whether it can have a row of totals."""
        return self in (ExportFormat.CSV, ExportFormat.XLSX)

    @property
    def joins(self) -> bool:
        """Whether its parts, one after the other between a head and a tail, are the file."""
        return self in (ExportFormat.CSV, ExportFormat.JSONL, ExportFormat.ARROW_STREAM)


_MEDIA_TYPES = {
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ExportFormat.JSONL: "application/x-ndjson",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
    ExportFormat.ARROW: "application/vnd.apache.arrow.file",
    ExportFormat.ARROW_STREAM: "application/vnd.apache.arrow.stream",
}


class ContentCoding(StrEnum):
    """How bytes are compressed on their way; the words of `Content-Encoding`."""

    IDENTITY = "identity"
    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What a file looks like. Columns that a list or label names and the result lacks are passed over."""

    format: ExportFormat
    only_raw: bool = False  # csv, xlsx: values as they are, not as people read them
    show_table_names: bool = False  # csv, xlsx: headers begin with the label of the field's table
    custom_labels: tuple[tuple[str, str], ...] = ()  # reference and header; wins over the field's label
    column_order: tuple[str, ...] = ()  # these first, all others after them
    hidden_fields: tuple[str, ...] = ()  # left out
    escape_formulas: bool = True  # csv: text that a spreadsheet would run begins with an apostrophe
    byte_order_mark: bool = True  # csv: spreadsheets take the file for UTF-8
    labels: bool = True  # csv, xlsx: headers are labels; otherwise the columns' own names
    totals_query: str | None = None  # csv, xlsx: whose only row is the last one; None: there is none

    def to_json(self) -> dict[str, JsonValue]:
        """Return the options as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, JsonValue]) -> Self:
        """Read what `to_json` gave."""
        given: dict[str, Any] = dict(document)
        given["format"] = ExportFormat(given["format"])
        given["custom_labels"] = tuple((name, label) for name, label in given["custom_labels"])
        for name in ("column_order", "hidden_fields"):
            given[name] = tuple(given[name])
        return cls(**given)
