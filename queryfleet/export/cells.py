"""One stored column to the texts of its cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_type
from queryfleet.encoding.json_text import column_texts
from queryfleet.encoding.texts import text_array
from queryfleet.formatting import format_column, is_formattable
from queryfleet.formatting.rule import Kind

if TYPE_CHECKING:
    import pyarrow as pa

    from queryfleet.export.plan import ExportColumn

__all__ = ["cell_texts", "dense", "is_text", "local_times", "neutralised", "plain_texts"]

# What spreadsheets take for the beginning of a formula, the full-width forms included; a plain number is none.
_RISKY = "^[=+\\-@\t\r\n＝＋－＠]"  # noqa: RUF001
_PLAIN_NUMBER = r"^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"


def dense(array: pa.Array) -> pa.Array:
    """Return the values of a dictionary or run-end encoded column one by one; other columns as they are."""
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_dictionary(array.type):
        return array.dictionary_decode()
    return pc.run_end_decode(array) if t.is_run_end_encoded(array.type) else array


def is_text(kind: pa.DataType) -> bool:
    """Tell whether an Arrow type is one of plain text."""
    import pyarrow.types as t

    return bool(t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind))


def plain_texts(array: pa.Array, field: pa.Field) -> pa.LargeStringArray:
    """Return values as they are stored, without quotes: text as it is, nested values as JSON, nulls kept.

    Args:
        array: Not dictionary or run-end encoded.
        field: Of the stored schema.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    is_json = logical_type(field) is LogicalType.JSON
    if is_text(array.type):
        return array.cast(pa.large_string())
    texts = text_array(column_texts(array, field.with_type(array.type)))
    if not (is_json or t.is_nested(array.type) or getattr(array.type, "extension_name", "") == "arrow.json"):
        texts = pc.utf8_trim(texts, '"')
    return pc.if_else(pc.is_valid(array), texts, pa.scalar(None, pa.large_string()))


def cell_texts(
    array: pa.Array, field: pa.Field, column: ExportColumn, *, only_raw: bool, timezone: str | None
) -> pa.Array:
    """Return one text for each cell, null where the value is missing.

    Dates are `YYYY-MM-DD` and timestamps `YYYY-MM-DD HH:MM:SS.mmm`, whatever the item's format; raw timestamps keep
    their microseconds and nanoseconds and are always UTC.

    Args:
        array: Not dictionary or run-end encoded.
        field: Of the stored schema.
        column: How it is displayed.
        only_raw: Values as they are stored.
        timezone: In which times of fields are shown.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_timestamp(array.type):
        shown = array if only_raw else local_times(array, column, timezone)
        texts = plain_texts(shown, field.with_type(shown.type))
        return pc.utf8_rtrim(pc.replace_substring(texts, "T", " ", max_replacements=1), "Z")
    if only_raw or t.is_date(array.type):
        return plain_texts(array, field)
    is_document = logical_type(field) is LogicalType.JSON or not is_formattable(array.type)
    source = plain_texts(array, field).cast(pa.string()) if is_document else array
    shown = format_column(source, field, column.rule, timezone=timezone)
    if array.null_count == 0:
        return shown
    return pc.if_else(pc.is_valid(array), shown, pa.scalar(None, shown.type))


def local_times(array: pa.TimestampArray, column: ExportColumn, timezone: str | None) -> pa.TimestampArray:
    """Return milliseconds as clocks show them: in `timezone` where the column's item is shown in it, else UTC."""
    import pyarrow as pa

    if array.type.unit in ("us", "ns"):
        array = array.cast(pa.timestamp("ms", array.type.tz), safe=False)
    rule = column.rule
    if timezone is None or rule is None or not rule.shifted or rule.kind not in (Kind.TIMESTAMP, Kind.EXTREME):
        return array
    import polars as pl

    moments = pl.Series(pl.from_arrow(array.cast(pa.timestamp("ms"))))
    local = moments.dt.replace_time_zone("UTC").dt.convert_time_zone(timezone).dt.replace_time_zone(None)
    return local.to_arrow().cast(pa.timestamp("ms"))


def neutralised(texts: pa.Array) -> pa.Array:
    """Put an apostrophe before every text that a spreadsheet would take for a formula; plain numbers stay."""
    import pyarrow as pa
    import pyarrow.compute as pc

    risky = pc.fill_null(pc.match_substring_regex(texts, _RISKY), False)
    if not pc.any(risky).as_py():
        return texts
    risky = pc.and_(risky, pc.invert(pc.fill_null(pc.match_substring_regex(texts, _PLAIN_NUMBER), False)))
    escaped = pc.binary_join_element_wise(pa.scalar("'", texts.type), texts, pa.scalar("", texts.type))
    return pc.if_else(risky, escaped, texts)
