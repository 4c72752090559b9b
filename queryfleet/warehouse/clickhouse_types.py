"""ClickHouse's types as Arrow: what its Arrow output carries, and what is asked for in another form.

| ClickHouse | delivered as |
|---|---|
| Bool, integers up to 64 bits, Float32, Float64, BFloat16, String, FixedString | itself; text has to be UTF-8 |
| Decimal with up to 38 digits | decimal |
| longer decimals, integers of 128 and 256 bits | number of any length |
| Date, Date32 | date |
| DateTime, DateTime64 | instant in UTC, to the second, ms, µs or ns |
| Array, Tuple, Map of numbers, text and Bool | nested values |
| any other Array, Tuple, Map; JSON, Variant, Dynamic | JSON |
| Enum, UUID, IPv4, IPv6, Time, intervals and everything else | text as ClickHouse writes it |

Nullable, LowCardinality and SimpleAggregateFunction are looked through. In Arrow a DateTime would be a bare
number, an Enum its number, an IPv4 a number too; so the statement is described first and wrapped in a select.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_field
from queryfleet.errors import WarehouseQueryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

__all__ = ["ColumnPlan", "plan_columns", "quoted", "wrapped"]

_TRANSPARENT = ("Nullable", "LowCardinality")
_PLAIN = frozenset(
    {
        "Bool",
        "Float32",
        "Float64",
        "Int16",
        "Int32",
        "Int64",
        "Int8",
        "String",
        "UInt16",
        "UInt32",
        "UInt64",
        "UInt8",
    }
)
_WIDE = frozenset({"Int128", "Int256", "UInt128", "UInt256"})
_DOCUMENTS = frozenset({"JSON", "Object", "Variant", "Dynamic", "Nested", "Array", "Tuple", "Map"})
_DECIMAL_DIGITS = 38
_UNITS = ((0, "s"), (3, "ms"), (6, "us"), (9, "ns"))  # digits of a fraction → Arrow's unit
_NAMED = re.compile(r"(?:`(?:[^`\\]|\\.)*`|[A-Za-z_]\w*)\s+(?=\S)")  # the name of a tuple's element


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPlan:
    """How one column is asked for and delivered."""

    expression: str
    name: str
    kind: pa.DataType | None  # None: nested, Arrow's own type is known once rows come
    mark: LogicalType | None = None

    def field(self, given: pa.DataType) -> pa.Field:
        """Return the delivered field, of a column that comes as `given`."""
        import pyarrow as pa

        if self.mark is not None:
            return logical_field(self.name, self.mark)
        return pa.field(self.name, given if self.kind is None else self.kind)


def plan_columns(described: Sequence[tuple[str, str]]) -> list[ColumnPlan]:
    """Plan the delivery of a described statement.

    Args:
        described: Name and ClickHouse type of each column.

    Raises:
        WarehouseQueryError: Two columns have one name, so they cannot be asked for one by one.
    """
    names = [name for name, _ in described]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise WarehouseQueryError(f'Several columns are called "{twins[0]}": give each a name of its own with AS.')
    return [_plan(name, kind) for name, kind in described]


def wrapped(sql: str, columns: Sequence[ColumnPlan], *, row_limit: int | None) -> tuple[str, int]:
    """Return a select around the statement, and how many characters stand before it."""
    items = ", ".join(f"{column.expression} as {quoted(column.name)}" for column in columns)
    head = f"select {items} from (\n"  # noqa: S608 - expressions over quoted names
    limit = "" if row_limit is None else f" limit {row_limit}"
    return f"{head}{sql}\n) as q{limit}", len(head)


def quoted(name: str) -> str:
    """Return a name in backticks."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _plan(name: str, described: str) -> ColumnPlan:  # noqa: PLR0911, C901 - a table of types, one line each
    import pyarrow as pa

    source = f"q.{quoted(name)}"
    base, arguments = _taken_apart(described)
    if base in _PLAIN:
        return ColumnPlan(expression=source, name=name, kind=_plain_kind(base))
    if base == "FixedString":
        return ColumnPlan(expression=f"toString({source})", name=name, kind=pa.string())
    if base == "BFloat16":
        return ColumnPlan(expression=f"toFloat32({source})", name=name, kind=pa.float32())
    if base in _WIDE:
        return ColumnPlan(expression=f"toString({source})", name=name, kind=pa.string(), mark=LogicalType.DECIMAL)
    if base == "Decimal":
        precision, scale = (int(argument) for argument in arguments)
        if precision <= _DECIMAL_DIGITS:
            return ColumnPlan(expression=source, name=name, kind=pa.decimal128(precision, scale))
        return ColumnPlan(expression=f"toString({source})", name=name, kind=pa.string(), mark=LogicalType.DECIMAL)
    if base in {"Date", "Date32"}:
        return ColumnPlan(expression=f"toDate32({source})", name=name, kind=pa.date32())
    if base in {"DateTime", "DateTime64"}:
        wanted = int(arguments[0]) if base == "DateTime64" else 0
        digits, unit = next((digits, unit) for digits, unit in _UNITS if digits >= wanted)
        return ColumnPlan(
            expression=f"toDateTime64({source}, {digits}, 'UTC')", name=name, kind=pa.timestamp(unit, "UTC")
        )
    if base in _DOCUMENTS:
        if _is_plainly_nested(described):
            return ColumnPlan(expression=source, name=name, kind=None)
        # An absent document is an absent value, not the text `null`.
        expression = f"if(isNull({source}), null, toJSONString({source}))"
        return ColumnPlan(expression=expression, name=name, kind=pa.string(), mark=LogicalType.JSON)
    return ColumnPlan(expression=f"toString({source})", name=name, kind=pa.string())


def _plain_kind(base: str) -> pa.DataType:
    import pyarrow as pa

    kinds = {"Bool": pa.bool_(), "String": pa.string(), "Float32": pa.float32(), "Float64": pa.float64()}
    if base in kinds:
        return kinds[base]
    bits, unsigned = int(base.lstrip("UInt")), base.startswith("U")
    wide = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
    wide_unsigned = {8: pa.uint8(), 16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}
    return (wide_unsigned if unsigned else wide)[bits]


def _is_plainly_nested(described: str) -> bool:
    """Tell whether Arrow carries the type as it is: lists, structs and maps of plain types."""
    base, arguments = _taken_apart(described)
    if base in _PLAIN:
        return True
    if base == "Tuple":
        return bool(arguments) and all(_is_plainly_nested(_without_name(each)) for each in arguments)
    return base in {"Array", "Map"} and all(_is_plainly_nested(each) for each in arguments)


def _without_name(element: str) -> str:
    """Return the type of a tuple's element, which may have a name in front."""
    match = _NAMED.match(element)
    return element[match.end() :] if match else element


def _taken_apart(described: str) -> tuple[str, list[str]]:
    """Return a type's name and its arguments, without the wrappers that do not change its values."""
    base, _, rest = described.partition("(")
    arguments = _split(rest.removesuffix(")")) if rest else []
    if base in _TRANSPARENT:
        return _taken_apart(arguments[0])
    if base == "SimpleAggregateFunction":
        return _taken_apart(arguments[1])
    return base, arguments


def _split(text: str) -> list[str]:
    """Split at the commas outside all parentheses and quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for position, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[position - 1] != "\\" else quote
        elif sign in "'`":
            quote = sign
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()]
