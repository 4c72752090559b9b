"""A result as bytes for stdout: JSON lines and CSV page by page, or a table of its first rows."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from queryfleet.client.texts import printable
from queryfleet.model import ColumnType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from queryfleet.client import QuerySnapshot, ResultPage
    from queryfleet.errors import JsonValue
    from queryfleet.model import Column

__all__ = [
    "BINARY_FORMATS",
    "OutputFormat",
    "csv_bytes",
    "first_rows",
    "json_head",
    "json_rows",
    "jsonl_bytes",
    "table_text",
    "write_all",
]

# A lone surrogate is legal in JSON text but has no UTF-8: it stays the escape it was.
_ENCODING_ERRORS: Final = "backslashreplace"
_UNLIMITED_WIDTH: Final = 1_000_000
_compact_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_NEEDS_QUOTES: Final = re.compile(r'[,"\r\n]').search


class OutputFormat(StrEnum):
    """How rows are written."""

    TABLE = "table"  # the first rows, formatted, for people
    JSONL = "jsonl"  # every row, raw values, one JSON object a line
    CSV = "csv"  # every row, raw values, RFC 4180
    ARROW = "arrow"  # every row, the warehouse's types, an Arrow IPC stream
    PARQUET = "parquet"  # every row, the warehouse's types
    JSON = "json"  # one JSON object about the query, with every row, raw values


BINARY_FORMATS: Final = (OutputFormat.ARROW, OutputFormat.PARQUET)


def jsonl_bytes(page: ResultPage) -> bytes:
    """Return the rows of a page, one JSON object of raw values per line, keys in column order."""
    return "".join(f"{_compact_json(record)}\n" for record in page.records()).encode(errors=_ENCODING_ERRORS)


def json_head(snapshot: QuerySnapshot) -> bytes:
    """Return the beginning of the JSON object of a ready query, up to its rows; `]}` ends it."""
    page = snapshot.page
    about: dict[str, JsonValue] = {
        "queryUuid": snapshot.query_uuid,
        "totalResults": page.total_rows if page is not None else None,
        "truncated": snapshot.truncated,
        "warehouseQueryId": snapshot.warehouse_query_id,
        "totalMs": snapshot.timings.total_ms,
        "columns": [{"reference": each.reference, "type": each.type.value} for each in page.columns] if page else [],
    }
    return f'{_compact_json(about)[:-1]},"rows":['.encode(errors=_ENCODING_ERRORS)


def json_rows(page: ResultPage) -> bytes:
    """Return the rows of a page as members of a JSON list, with the comma that stands before all but the first."""
    rows = ",\n".join(_compact_json(record) for record in page.records())
    return f"{',' if page.page > 1 and rows else ''}\n{rows}".encode(errors=_ENCODING_ERRORS)


def csv_bytes(page: ResultPage, *, with_header: bool) -> bytes:
    """Return the rows of a page as CSV by RFC 4180: commas, CRLF, quotes only where needed.

    Null is an empty field and an empty text is `""`, so the two differ. Nested values are compact JSON. A
    null that is a row's only field is written `""` too: a wholly empty line would be skipped by many readers.
    """
    lines = [",".join(_csv_field(column.reference) for column in page.columns)] if with_header else []
    for record in page.records():
        line = ",".join(_csv_field(value) for value in record.values())
        lines.append(line or '""')
    return "".join(f"{line}\r\n" for line in lines).encode(errors=_ENCODING_ERRORS)


def table_text(columns: Sequence[Column], rows: Sequence[tuple[str, ...]], *, width: int | None) -> str:
    """Return rows of display texts as a table, numbers to the right.

    Args:
        columns: In order.
        rows: One text per column each.
        width: Of the terminal: longer texts fold, none is cut. None for as wide as it needs to be.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        justify: Literal["right", "left"] = "right" if column.type is ColumnType.NUMBER else "left"
        table.add_column(Text(printable(column.reference)), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(value)) for value in row))
    console = Console(width=width or _UNLIMITED_WIDTH, force_terminal=width is not None, highlight=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def write_all(stream: BinaryIO, data: bytes) -> None:
    """Write and flush.

    Raises:
        BrokenPipeError: Nobody reads any more.
    """
    stream.write(data)
    stream.flush()


def _csv_field(value: JsonValue) -> str:
    if value is None:
        return ""
    if type(value) is int:
        return str(value)
    text = value if isinstance(value, str) else _compact_json(value)
    return '"' + text.replace('"', '""') + '"' if not text or _NEEDS_QUOTES(text) else text


def first_rows(pages: Iterator[ResultPage], *, row_count: int) -> tuple[Sequence[Column], list[tuple[str, ...]]]:
    """Return the columns and the display texts of at most `row_count` rows; reads no page without need."""
    columns: Sequence[Column] = ()
    rows: list[tuple[str, ...]] = []
    for page in pages:
        columns = page.columns
        rows.extend(page.formatted())
        if len(rows) >= row_count:
            break
    return columns, rows[:row_count]
