"""Refuses dates and times that would turn into something else on their way.

Warehouses know `infinity`, years far beyond any calendar and the time 24:00:00. Arrow holds numbers, so a
driver hands these over as numbers too: some at the end of the range, some wrapped around to its other end.
All of them lie outside the years -32767 to 32767, the only ones Arrow can write out, and no real date does.
One comparison per batch and column therefore finds every one, whichever driver made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.errors import WarehouseQueryError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RangeCheck", "cast_advice"]

_FIRST_DAY = -12_687_428  # -32767-01-01, in days since 1970-01-01
_LAST_DAY = 11_248_737  # 32767-12-31
_SECONDS_PER_DAY = 86_400
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_HUGE_LIMIT_DIGITS = 38  # what an Arrow decimal128 promises to hold


@dataclass(frozen=True, slots=True)
class RangeCheck:
    """Looks at the columns of one schema that can hold such values."""

    text_cast: str  # how this warehouse spells a cast to text; see `cast_advice`
    columns: tuple[int, ...]  # positions of the columns to look at

    @classmethod
    def of(cls, schema: pa.Schema, *, text_cast: str) -> RangeCheck:
        """Prepare the check for batches of `schema`."""
        columns = tuple(i for i, field in enumerate(schema) if _is_checked(field.type))
        return cls(text_cast, columns)

    def check(self, batch: pa.RecordBatch) -> None:
        """Pass a batch whose values are all what they seem.

        Raises:
            WarehouseQueryError: A column holds a value that cannot be delivered; the message names it and
                the cast.

        Cost: one minimum and maximum per column concerned.
        """
        for index in self.columns:
            if not _in_range(batch.column(index)):
                name, kind = batch.schema.field(index).name, batch.schema.field(index).type
                fix = cast_advice(self.text_cast, name)
                raise WarehouseQueryError(
                    f'Column "{name}" holds a value that cannot be delivered as {kind}: '
                    f"infinity, a year beyond 32767, the time 24:00:00, or more than 38 digits. "
                    f"Select it as text: {fix}.",
                    column=name,
                )


def cast_advice(text_cast: str, name: str) -> str:
    """Return SQL that casts a column to text.

    Args:
        text_cast: With `{}` for the column, which is put in double quotes; with `` `{}` `` it is put in backticks.
        name: Of the column.
    """
    quote = "`" if "`{}`" in text_cast else '"'
    return text_cast.replace("`{}`", "{}").format(quote + name.replace(quote, quote * 2) + quote)


def _bounds(kind: pa.DataType) -> tuple[int, int] | None:
    """Return the least and the greatest raw number that stands for a real value."""
    import pyarrow.types as t

    if t.is_date32(kind):
        return _FIRST_DAY, _LAST_DAY
    if t.is_timestamp(kind):
        if kind.unit == "ns":  # reaches the years 1677 to 2262 only; its ends mean infinity
            return -(2**63) + 2, 2**63 - 2
        unit = _PER_SECOND[kind.unit] * _SECONDS_PER_DAY
        return _FIRST_DAY * unit, (_LAST_DAY + 1) * unit - 1
    if t.is_time(kind):
        return 0, _PER_SECOND[kind.unit] * _SECONDS_PER_DAY - 1
    return None


def _is_checked(kind: pa.DataType) -> bool:
    import pyarrow.types as t

    if t.is_nested(kind):
        return any(_is_checked(kind.field(i).type) for i in range(kind.num_fields))
    return _bounds(kind) is not None or _is_huge(kind)


def _is_huge(kind: pa.DataType) -> bool:
    import pyarrow.types as t

    # A column of 128-bit integers: the type has room for 39 digits and promises 38.
    return bool(t.is_decimal128(kind) and kind.precision == _HUGE_LIMIT_DIGITS and kind.scale == 0)


def _in_range(array: pa.Array) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    kind = array.type
    if t.is_struct(kind):
        return all(_in_range(part) for part in array.flatten() if _is_checked(part.type))
    if t.is_map(kind):
        parts = (
            array.keys,
            array.items,
        )  # of the whole buffer: a slice checks its neighbours too, which is harmless
        return all(_in_range(part) for part in parts if _is_checked(part.type))
    if t.is_nested(kind):
        return _in_range(array.flatten())
    bounds = _bounds(kind)
    if bounds is None:
        limit = 10**_HUGE_LIMIT_DIGITS
        low, high = -limit + 1, limit - 1
        seen = pc.min_max(array)
    else:
        low, high = bounds
        seen = pc.min_max(array.view(pa.int64() if kind.bit_width == 64 else pa.int32()))  # noqa: PLR2004
    least, most = seen["min"].as_py(), seen["max"].as_py()
    return least is None or bool(low <= least and most <= high)
