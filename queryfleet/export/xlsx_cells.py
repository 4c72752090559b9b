"""Batches prepared for a sheet: each column as numbers where a spreadsheet has them, and else as texts.

A spreadsheet keeps numbers as doubles and shows 15 digits. A number that would lose a digit is a text instead, and so
is a date that the calendar of spreadsheets lacks.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_type
from queryfleet.export.cells import cell_texts, dense, local_times
from queryfleet.formatting.rule import Kind

if TYPE_CHECKING:
    import pyarrow as pa

    from queryfleet.export.plan import ExportColumn, ExportPlan
    from queryfleet.formatting.style import NumberStyle

__all__ = ["CellKind", "cell_kind", "number_format", "sheet_cells"]

_DIGITS = 15
_FIRST_DAY, _LAST_DAY = -25_509, 2_932_896  # 1900-03-01, where the calendar is right, and 9999-12-31; from 1970-01-01
_DAY_ZERO = 25_569  # serial number of 1970-01-01
_DAY_MS = 86_400_000
_DATE_FORMATS = {"YEAR": "yyyy", "MONTH": "yyyy-mm"}
_PLAIN_EXACT = 2**53


class CellKind(StrEnum):
    """What the cells of a column are, texts aside."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"


def cell_kind(field: pa.Field) -> CellKind:
    """Return what a stored column becomes in a sheet."""
    import pyarrow.types as t

    kind = field.type
    if t.is_dictionary(kind) or t.is_run_end_encoded(kind):
        kind = kind.value_type
    if t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind) or logical_type(field) is LogicalType.DECIMAL:
        return CellKind.NUMBER
    if t.is_boolean(kind):
        return CellKind.BOOLEAN
    if t.is_date(kind):
        return CellKind.DATE
    return CellKind.TIMESTAMP if t.is_timestamp(kind) else CellKind.TEXT


def sheet_cells(batch: pa.RecordBatch, plan: ExportPlan) -> pa.RecordBatch:
    """Return two columns for each of the plan: doubles (`n0`, `n1`, …) and texts (`t0`, …).

    A cell is its double if that is not null, else its text, else empty.
    """
    import pyarrow as pa

    arrays: list[pa.Array] = []
    names: list[str] = []
    for place, column in enumerate(plan.columns):
        field, array = batch.schema.field(column.index), dense(batch.column(column.index))
        arrays += _cells(array, field, column, plan)
        names += [f"n{place}", f"t{place}"]
    if not arrays:
        return batch.select([])
    return pa.RecordBatch.from_arrays(arrays, names)


def _cells(array: pa.Array, field: pa.Field, column: ExportColumn, plan: ExportPlan) -> list[pa.Array]:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = cell_kind(field)
    if kind is CellKind.NUMBER:
        numbers = _numbers(array)
    elif kind is CellKind.BOOLEAN:
        numbers = array.cast(pa.int8()).cast(pa.float64())
    elif kind is CellKind.DATE:
        numbers = _serials(array.cast(pa.timestamp("ms")) if pa.types.is_date64(array.type) else array, per_day=1)
    elif kind is CellKind.TIMESTAMP:
        shown = array if plan.options.only_raw else local_times(array, column, plan.timezone)
        numbers = _serials(shown.cast(pa.timestamp("ms"), safe=False), per_day=_DAY_MS)
    else:
        numbers = pa.nulls(len(array), pa.float64())
    left = pc.and_(pc.is_valid(array), pc.is_null(numbers))
    if not pc.any(left).as_py():
        return [numbers, pa.nulls(len(array), pa.large_string())]
    only_raw = plan.options.only_raw or kind is not CellKind.TEXT
    texts = cell_texts(array, field, column, only_raw=only_raw, timezone=plan.timezone).cast(pa.large_string())
    return [numbers, pc.if_else(left, texts, pa.scalar(None, pa.large_string()))]


def _numbers(array: pa.Array) -> pa.DoubleArray:
    """Return doubles, null where one would lose digits or is no number of a sheet."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_integer(array.type):
        numbers = array.cast(pa.float64(), safe=False)
        small = pc.less(pc.abs(numbers), 10.0**_DIGITS)
    elif t.is_floating(array.type):
        numbers = array.cast(pa.float64())
        small = pc.is_finite(numbers)
    else:
        texts = array.cast(pa.string())
        numbers = _parsed(texts)
        digits = pc.replace_substring_regex(texts, r"[^0-9]|^-?0\.?0*", "")
        small = pc.and_(pc.is_finite(numbers), pc.less_equal(pc.utf8_length(digits), _DIGITS))
    return pc.if_else(pc.fill_null(small, False), numbers, pa.scalar(None, pa.float64()))


def _parsed(texts: pa.StringArray) -> pa.DoubleArray:
    import polars as pl
    import pyarrow as pa

    return pl.Series(pl.from_arrow(texts)).cast(pl.Float64, strict=False).to_arrow().cast(pa.float64())


def _serials(array: pa.Array, *, per_day: int) -> pa.DoubleArray:
    """Return the day numbers of spreadsheets, null outside their calendar."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pa.int32() if pa.types.is_date32(array.type) else pa.int64()
    ticks = array.view(whole) if array.type.bit_width == whole.bit_width else array.cast(whole)
    unit = _DAY_MS if pa.types.is_timestamp(array.type) else per_day
    days = pc.divide(ticks.cast(pa.float64()), float(unit))
    inside = pc.and_(pc.greater_equal(days, float(_FIRST_DAY)), pc.less(days, float(_LAST_DAY + 1)))
    return pc.if_else(inside, pc.add(days, float(_DAY_ZERO)), pa.scalar(None, pa.float64()))


def number_format(column: ExportColumn, kind: CellKind, *, only_raw: bool) -> str | None:
    """Return the spreadsheet's format of a column's cells; None for the general one."""
    rule = column.rule
    if kind in (CellKind.DATE, CellKind.TIMESTAMP):
        interval = rule.interval if rule is not None and not only_raw else None
        return _DATE_FORMATS.get(interval or "", "yyyy-mm-dd" if kind is CellKind.DATE else "yyyy-mm-dd hh:mm:ss.000")
    if kind is not CellKind.NUMBER or only_raw:
        return None
    if rule is None:
        return "#,##0.###"
    if rule.kind is Kind.EXPRESSION:
        return column.expression
    return _style_format(rule.style) if rule.kind is Kind.NUMBER and not rule.units else None


def _style_format(style: NumberStyle) -> str | None:
    """Return a style as a spreadsheet's format; None where it has none.

    Separators are those of the reader's own spreadsheet: a format cannot name them.
    """
    percent = style.shift == 2 and style.suffix == "%"  # noqa: PLR2004 - a hundredth
    thousands = -style.shift // 3 if style.shift <= 0 and style.shift % 3 == 0 else None
    if style.kibi_power or style.significant is not None or (thousands is None and not percent):
        return None
    whole = "#,##" + "0" * style.min_integer if style.group else "0" * style.min_integer
    places = "0" * style.min_fraction + "#" * (style.max_fraction - style.min_fraction)
    scale = "" if percent or thousands is None else "," * thousands
    suffix = "%" if percent else _literal(style.suffix)
    return f"{_literal(style.prefix)}{whole}{'.' + places if places else ''}{scale}{suffix}"


def _literal(text: str) -> str:
    return '"' + text.replace('"', '"\\""') + '"' if text else ""
