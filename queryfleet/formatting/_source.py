"""A column as it came, and the way its rare rows go: through the reference, once per distinct value."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as t

from queryfleet.formatting.instant import MS_PER_DAY, date_text, stored_text
from queryfleet.formatting.json_text import number_of
from queryfleet.formatting.value import NULL_TEXT, raw_value, value_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from queryfleet.errors import JsonValue
    from queryfleet.formatting._parts import Mask
    from queryfleet.formatting.rule import FormatRule

__all__ = ["PER_SECOND", "Source", "each_raw", "each_text", "patched"]

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MAX_SAFE = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A column and what its strings mean."""

    array: pa.Array  # no dictionary; strings are `string`, floats are `double`
    decimal: bool = False  # strings are decimals
    document: bool = False  # strings are JSON

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        kind = self.array.type
        return self.decimal or bool(t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind))


def each_text(source: Source, rule: FormatRule, timezone: str | None) -> pa.StringArray:
    """Return the display texts, made by the reference."""
    texts = _each(source, lambda value: value_text(value, rule, timezone=timezone))
    return texts.fill_null(NULL_TEXT) if texts.null_count else texts


def each_raw(source: Source, rule: FormatRule, timezone: str | None) -> pa.StringArray:
    """Return the raw values of dates and timestamps, made by the reference; nulls stay null."""

    def text_of(value: JsonValue) -> str | None:
        raw = raw_value(value, rule, timezone=timezone)
        return None if raw is None else str(raw)

    return _each(source, text_of)


def _each(source: Source, text_of: Callable[[JsonValue], str | None]) -> pa.StringArray:
    encoded = source.array.dictionary_encode()
    distinct = _json_values(replace(source, array=encoded.dictionary))
    return pa.array([text_of(value) for value in distinct], pa.string()).take(encoded.indices)


def patched(
    texts: pa.StringArray, source: Source, rows: Mask | None, make: Callable[[Source], pa.StringArray]
) -> pa.StringArray:
    """Replace the texts of some rows (None: of no row) by those that `make` returns for them alone."""
    if rows is None or not rows.any():
        return texts
    mask = pa.array(rows)
    return pc.replace_with_mask(texts, mask, make(replace(source, array=source.array.filter(mask))))


def _json_values(source: Source) -> list[JsonValue]:  # noqa: PLR0911  # a table of cases
    """Return the values as they stand in stored lines. There must be no nulls."""
    array, kind = source.array, source.array.type
    if t.is_timestamp(kind):
        return [stored_text(value, PER_SECOND[kind.unit]) for value in array.cast(pa.int64()).to_pylist()]
    if t.is_date64(kind):
        return [date_text(value, None) for value in array.cast(pa.int64()).to_pylist()]
    if t.is_date32(kind):
        return [date_text(value * MS_PER_DAY, None) for value in array.cast(pa.int32()).to_pylist()]
    values: list[JsonValue] = array.to_pylist()
    if t.is_decimal(kind):
        return [_decimal_json(f"{value:f}") for value in values]
    if source.decimal:
        return [_decimal_json(str(value)) for value in values]
    if source.document:
        return [_parsed(str(value)) for value in values]
    if t.is_integer(kind):
        return [v if isinstance(v, int) and abs(v) <= _MAX_SAFE else str(v) for v in values]
    return values


def _decimal_json(text: str) -> JsonValue:
    """Return a number when its double prints the same value again, else the text."""
    number = number_of(text)
    if number is None or number.is_infinite():
        return text
    double = float(number)
    if Decimal(repr(double)) != number:
        return text
    return int(double) if double.is_integer() and abs(double) <= _MAX_SAFE else double


def _parsed(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value
