"""Pivot columns and their names: `rides_fare_any_Oslo`.

A name is the value's reference, its aggregation and the group values, joined by `_`. Different columns can come to the
same name that way: groups (`a_b`, `c`) and (`a`, `b_c`), NULL and the text `<null>`. The first keeps it, the next ones
get `_2`, `_3` and so on, so no cell is ever lost.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_type
from queryfleet.encoding.arrays import in_one_piece
from queryfleet.encoding.json_text import json_texts
from queryfleet.formatting import format_column, is_formattable, raw_value
from queryfleet.formatting.json_text import plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from queryfleet.errors import JsonValue
    from queryfleet.formatting import FormatRule
    from queryfleet.pivot.spec import PivotSpec

__all__ = ["Display", "GroupValue", "Names", "PivotColumn", "group_values"]

_NULL = "<null>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """How group values are shown, as in the pages of the same query."""

    rules: Mapping[str, FormatRule]  # by reference; columns that are no fields have none
    timezone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupValue:
    """One group column's value in one pivot column."""

    reference: str
    raw: JsonValue  # as a page shows it in `raw`
    formatted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PivotColumn:
    """One combination of group values."""

    column_index: int | None  # its place in the order of columns, from 1; None without group columns
    groups: tuple[GroupValue, ...]
    names: tuple[str, ...]  # one for each value, in their order

    def suffix(self) -> str:
        """Return the part of its names that the groups make."""
        return _suffix(self.groups)


class Names:
    """Gives out the names of pivot columns, each once.

    Args:
        spec: The pivot; names of what each line begins with are taken.
    """

    def __init__(self, spec: PivotSpec) -> None:
        self._bases = [column.name for column in spec.values]
        self._taken = set(spec.carried)

    def column(self, column_index: int | None, groups: tuple[GroupValue, ...]) -> PivotColumn:
        """Return the next column. The order of the calls decides who keeps a name that several would have."""
        suffix = _suffix(groups)
        names = tuple(self._free(f"{base}_{suffix}" if suffix else base) for base in self._bases)
        return PivotColumn(column_index=column_index, groups=groups, names=names)

    def _free(self, name: str) -> str:
        found, number = name, 1
        while found in self._taken:
            number += 1
            found = f"{name}_{number}"
        self._taken.add(found)
        return found


def _suffix(groups: Sequence[GroupValue]) -> str:
    return "_".join(_NULL if value.raw is None else plain_text(value.raw) for value in groups)


def group_values(table: pa.Table, spec: PivotSpec, display: Display) -> list[tuple[GroupValue, ...]]:
    """Return the group values of each row.

    Args:
        table: Has the group columns; one row for each pivot column.
        spec: The pivot.
        display: How values are shown.

    Cost: some µs per value: this is for distinct combinations, not for cells.
    """
    columns = [_column_values(table, reference, display) for reference in spec.groups]
    return list(zip(*columns, strict=True)) if columns else [() for _ in range(table.num_rows)]


def _column_values(table: pa.Table, reference: str, display: Display) -> list[GroupValue]:
    field = table.schema.field(reference)
    array = _without_negative_zero(in_one_piece(table.column(reference)))
    rule = display.rules.get(reference)
    texts = json_texts(array, field)
    shown = _displayable(array, texts, field)
    formatted = format_column(shown, field, rule, timezone=display.timezone).to_pylist()
    stored = [json.loads(text) for text in texts.to_pylist()]
    raw = stored if rule is None else [raw_value(value, rule, timezone=display.timezone) for value in stored]
    return [
        GroupValue(reference=reference, raw=value, formatted=text) for value, text in zip(raw, formatted, strict=True)
    ]


def _without_negative_zero(array: pa.Array) -> pa.Array:
    """Return `0.0` for `-0.0`: both are one group, and which of them a warehouse gives is chance."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_float32(array.type) or pa.types.is_float64(array.type)):
        return array
    return pc.add(array, pa.scalar(0.0, array.type))


def _displayable(array: pa.Array, texts: pa.Array, field: pa.Field) -> pa.Array:
    """Return what display texts are made from: the values, or the text of those that have no other."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if logical_type(field) is not LogicalType.JSON and is_formattable(field.type):
        return array
    nested = logical_type(field) is LogicalType.JSON or pa.types.is_nested(field.type)
    return pc.if_else(pc.is_valid(array), texts if nested else pc.utf8_trim(texts, '"'), None)
