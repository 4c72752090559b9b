"""Stored lines to the rows of an answer: `{"city":{"value":{"raw":"Oslo","formatted":"Oslo"}}}`.

Column-wise: the lines become Arrow columns again, each column gives its JSON texts and its display texts, and whole
texts are concatenated. No row object and no cell object is made, and the heavy parts run without the GIL, so a web
replica can do it in a thread.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_type
from queryfleet.formatting import format_column
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


def render_rows(lines: bytes, schema: pa.Schema, rules: Mapping[str, FormatRule] | None = None) -> bytes:
    """Return the JSON array of the rows in `lines`, in order.

    Args:
        lines: Whole JSONL lines as stored.
        schema: Of the result.
        rules: How columns are displayed, by name; others get the default of their type.

    Returns:
        A JSON array of `{column: {"value": {"raw", "formatted"}}}`, without spaces. Cost: linear in `lines`.
    """
    import polars as pl

    if not lines:
        return b"[]"
    batch = decode_lines(lines, schema)
    pieces: list[pl.Series | str] = []
    for index, field in enumerate(schema):
        name = json.dumps(field.name, ensure_ascii=False)
        raw, formatted = _texts(batch.column(index), field, (rules or {}).get(field.name))
        pieces += [f'{"{" if index == 0 else "}},"}{name}:{{"value":{{"raw":', raw, ',"formatted":', formatted]
    if not pieces:
        return b"[" + b",".join([b"{}"] * batch.num_rows) + b"]"
    pieces.append("}}}")
    frame = {f"c{n}": piece for n, piece in enumerate(pieces) if isinstance(piece, pl.Series)}
    terms = [pl.col(f"c{n}") if isinstance(piece, pl.Series) else pl.lit(piece) for n, piece in enumerate(pieces)]
    rows = pl.DataFrame(frame).select(pl.concat_str(terms).str.join(",").alias("rows"))
    return b"[" + rows.item().encode() + b"]"


def _texts(array: pa.Array, field: pa.Field, rule: FormatRule | None) -> tuple[pl.Series, pl.Series]:  # noqa: F821
    import polars as pl
    import pyarrow as pa

    raw = json_texts(array, field)
    nested = logical_type(field) is LogicalType.JSON or pa.types.is_nested(field.type)
    shown = format_column(_null_where(raw, array) if nested else array, field, rule)
    text_field = pa.field(field.name, pa.string())
    return pl.Series(pl.from_arrow(raw)), pl.Series(pl.from_arrow(json_texts(shown, text_field)))


def _null_where(texts: pa.Array, array: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(pc.is_valid(array), texts, None)
