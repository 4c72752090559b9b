"""Stored lines to the rows of an answer: `{"city":{"value":{"raw":"Oslo","formatted":"Oslo"}}}`.

Column-wise: the lines become Arrow columns again, each column gives its JSON texts and its display texts, and whole
texts are concatenated. No row object and no cell object is made, and the heavy parts run without the GIL, so a web
replica can do it in a thread.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_type
from queryfleet.formatting import format_column, is_formattable, raw_column
from queryfleet.results.decoder import decode_lines
from queryfleet.results.json_text import json_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from queryfleet.formatting import FormatRule

__all__ = ["render_rows", "schema_from_bytes", "schema_to_bytes"]


def schema_to_bytes(schema: pa.Schema) -> bytes:
    """Return a schema as an Arrow IPC message; field metadata included."""
    return bytes(schema.serialize())


def schema_from_bytes(data: bytes) -> pa.Schema:
    """Read what `schema_to_bytes` wrote."""
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(data))


def render_rows(
    lines: bytes,
    schema: pa.Schema,
    rules: Mapping[str, FormatRule] | None = None,
    *,
    timezone: str | None = None,
) -> bytes:
    """Return the JSON array of the rows in `lines`, in order.

    Args:
        lines: Whole JSONL lines as stored.
        schema: Of the result.
        rules: How columns that are fields are displayed, by name; others get the default of their type.
        timezone: In which times of such fields are shown; None: UTC.

    Returns:
        A JSON array of `{column: {"value": {"raw", "formatted"}}}`, without spaces. Cost: linear in `lines`.
    """
    import polars as pl

    if not lines:
        return b"[]"
    batch = decode_lines(lines, schema)
    if not schema.names:
        return b"[" + b",".join([b"{}"] * batch.num_rows) + b"]"
    frame: dict[str, pl.Series] = {}
    terms: list[pl.Expr] = []
    for index, field in enumerate(schema):
        raw, shown = _texts(batch.column(index), field, (rules or {}).get(field.name), timezone)
        frame[f"r{index}"], frame[f"f{index}"] = (
            pl.Series(pl.from_arrow(raw)),
            pl.Series(pl.from_arrow(shown)),
        )
        opening = ("{" if index == 0 else "}},") + json.dumps(field.name, ensure_ascii=False)
        terms += [pl.lit(opening + ':{"value":{"raw":'), pl.col(f"r{index}")]
        terms += [pl.lit(',"formatted":'), pl.col(f"f{index}")]
    joined = pl.DataFrame(frame).select(pl.concat_str(*terms, pl.lit("}}}")).str.join(","))
    return b"[" + str(joined.item()).encode() + b"]"


def _texts(
    array: pa.Array, field: pa.Field, rule: FormatRule | None, timezone: str | None
) -> tuple[pa.Array, pa.Array]:
    """Return one column's raw values and display texts, both as JSON text."""
    import pyarrow as pa

    stored = json_texts(array, field)
    shown = format_column(_displayable(array, field, stored), field, rule, timezone=timezone)
    text_field = pa.field(field.name, pa.string())
    special = raw_column(array, field, rule, timezone=timezone) if rule is not None else None
    raw = stored if special is None else json_texts(special, text_field)
    return raw, json_texts(shown, text_field)


def _displayable(array: pa.Array, field: pa.Field, stored: pa.Array) -> pa.Array:
    """Return what display texts are made from: the values, or the JSON text of those that have no other."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if logical_type(field) is not LogicalType.JSON and is_formattable(field.type):
        return array
    nested = logical_type(field) is LogicalType.JSON or pa.types.is_nested(field.type)
    # What is not nested has a plain text, such as a duration: it is shown without its quotes.
    texts = stored if nested else pc.utf8_trim(stored, '"')
    return pc.if_else(pc.is_valid(array), texts, None)
