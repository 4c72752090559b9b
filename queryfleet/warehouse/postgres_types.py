"""PostgreSQL's types as Arrow: what the driver decodes by itself, and what is asked for as text.

| PostgreSQL | delivered as |
|---|---|
| bool, int2/4/8, float4/8, text, varchar, bpchar, name, bytea, date, time, timestamp, timestamptz | itself |
| one-dimensional arrays of these | list; an array with more dimensions is refused |
| numeric(p, s) up to 38 digits | decimal128 |
| any other numeric | text marked as decimal |
| json, jsonb | text marked as JSON |
| arrays of anything else | text marked as JSON |
| oid | int64 |
| everything else: uuid, interval, timetz, enums, inet, money, ranges, composites, … | `::text` |

The driver decodes some of the last ones into bytes of the wire or plainly wrong numbers, flattens arrays of
arrays, and takes twice the time for numeric; so the statement is described first and then wrapped in a
select with casts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_field, own_rules_field
from queryfleet.errors import WarehouseQueryError
from queryfleet.warehouse.shaping import unique_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

__all__ = ["ColumnPlan", "ResultPlan", "plan_result"]

_DIRECT = frozenset(
    {
        "bool",
        "bpchar",
        "bytea",
        "date",
        "float4",
        "float8",
        "int2",
        "int4",
        "int8",
        "name",
        "text",
        "time",
        "timestamp",
        "timestamptz",
        "varchar",
    }
)
_DIRECT_ARRAYS = frozenset(f"_{name}" for name in _DIRECT)
_TYPE_KEY = b"POSTGRESQL:type"
_TYPMOD_KEY = b"POSTGRESQL:typmod"
_DECIMAL_DIGITS = 38  # of an Arrow decimal128
_NAN = "NaN"


class _Form(Enum):
    """What the driver's column still needs."""

    AS_IS = auto()
    DECIMAL = auto()  # decimal digits as text, to be read
    NUMBER_TEXT = auto()  # the driver's own text of a numeric, which spells NaN its own way
    UUID = auto()  # 16 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPlan:
    """How one column is asked for and delivered."""

    expression: str  # SQL over the aliases c1, c2, …
    field: pa.Field
    form: _Form = _Form.AS_IS
    guarded: bool = False  # an array: its number of dimensions must be watched


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultPlan:
    """How one result is asked for and delivered."""

    schema: pa.Schema  # what is delivered
    columns: tuple[ColumnPlan, ...]
    wrapped: bool  # False: the statement runs as it is, and the driver's forms are turned here

    def sql(self, statement: str, *, row_limit: int | None) -> tuple[str, int]:
        """Return the statement to run, and how many characters stand before the user's own."""
        if not self.wrapped:
            return f"{statement}\n", 0
        items = [column.expression for column in self.columns]
        guard = self._guard()
        if guard is not None:
            items.append(guard)
        aliases = ", ".join(f"c{number}" for number in range(1, len(self.columns) + 1))
        head = f"select {', '.join(items)} from (\n"  # noqa: S608 - expressions over our own aliases
        limit = "" if row_limit is None else f" limit {row_limit}"
        return f"{head}{statement}\n) as q({aliases}){limit}", len(head)

    def batch(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        """Turn a batch of the driver into one of `schema`.

        Raises:
            WarehouseQueryError: A value cannot be delivered in its column's type; names the column and the
                cast.
        """
        import pyarrow as pa

        if self._guard() is not None:
            self._check_guard(piece.column(len(self.columns)))
        arrays = [_delivered(array, column) for array, column in zip(piece.columns, self.columns, strict=False)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _guard(self) -> str | None:
        """Return SQL for the number of the first column that holds an array of arrays, null mostly."""
        numbers = [number for number, column in enumerate(self.columns, 1) if column.guarded]
        if not self.wrapped or not numbers:
            return None
        cases = " ".join(f"when array_ndims(c{n}) > 1 or array_lower(c{n}, 1) <> 1 then {n}" for n in numbers)
        return f"case {cases} end"

    def _check_guard(self, numbers: pa.Array) -> None:
        if numbers.null_count < len(numbers):
            number = next(value for value in numbers.to_pylist() if value is not None)
            raise _undeliverable(self.columns[number - 1].field, "an array with several dimensions or bounds")


def plan_result(described: pa.Schema, *, wrap: bool) -> ResultPlan:
    """Plan the delivery of a described statement.

    Args:
        described: As the driver describes the statement: Arrow types, and PostgreSQL's in the metadata.
        wrap: Whether the statement may be put into a select with casts.

    Raises:
        WarehouseQueryError: Not to be wrapped, and a column has a type that needs a cast; names it.
    """
    import pyarrow as pa

    names = unique_names(described.names)
    plan = _wrapped_column if wrap else _bare_column
    columns = tuple(
        plan(name, number, field) for number, (name, field) in enumerate(zip(names, described, strict=True), 1)
    )
    return ResultPlan(
        schema=pa.schema([column.field for column in columns]),
        columns=columns,
        wrapped=wrap and bool(columns),
    )


def _wrapped_column(  # noqa: PLR0911 - a table of types, one line each
    name: str, number: int, field: pa.Field
) -> ColumnPlan:
    import pyarrow as pa

    kind, alias = _type_name(field), f"c{number}"
    if kind in _DIRECT:
        return ColumnPlan(expression=alias, field=_direct_field(name, kind, field))
    if kind in _DIRECT_ARRAYS:
        return ColumnPlan(expression=alias, field=pa.field(name, field.type), guarded=True)
    if kind == "oid":
        return ColumnPlan(expression=f"{alias}::int8", field=pa.field(name, pa.int64()))
    if kind == "numeric":
        return _numeric_column(name, f"{alias}::text", field, text_form=_Form.AS_IS)
    if kind in {"json", "jsonb"}:
        return ColumnPlan(expression=f"{alias}::text", field=logical_field(name, LogicalType.JSON))
    if kind.startswith("_") and pa.types.is_list(field.type):
        expression = f"array_to_json({alias})::text"
        return ColumnPlan(expression=expression, field=logical_field(name, LogicalType.JSON))
    return ColumnPlan(expression=f"{alias}::text", field=own_rules_field(name))


def _bare_column(name: str, number: int, field: pa.Field) -> ColumnPlan:
    import pyarrow as pa

    kind, alias = _type_name(field), f"c{number}"
    if kind in _DIRECT:
        return ColumnPlan(expression=alias, field=_direct_field(name, kind, field))
    if kind == "numeric":
        return _numeric_column(name, alias, field, text_form=_Form.NUMBER_TEXT)
    if kind in {"json", "jsonb"}:
        return ColumnPlan(expression=alias, field=logical_field(name, LogicalType.JSON))
    if kind == "uuid":
        return ColumnPlan(expression=alias, field=pa.field(name, pa.string()), form=_Form.UUID)
    raise _undeliverable(pa.field(name, field.type), f"the type {kind}")


def _direct_field(name: str, kind: str, field: pa.Field) -> pa.Field:
    import pyarrow as pa

    return own_rules_field(name) if kind == "bpchar" else pa.field(name, field.type)  # spaces at its end do not count


def _numeric_column(name: str, expression: str, field: pa.Field, *, text_form: _Form) -> ColumnPlan:
    import pyarrow as pa

    decimal = _decimal_type(int((field.metadata or {}).get(_TYPMOD_KEY, b"-1")))
    if decimal is None:
        return ColumnPlan(expression=expression, field=logical_field(name, LogicalType.DECIMAL), form=text_form)
    return ColumnPlan(expression=expression, field=pa.field(name, decimal), form=_Form.DECIMAL)


def _decimal_type(typmod: int) -> pa.DataType | None:
    """Read a numeric's type modifier: precision and signed scale, or -1 for neither."""
    import pyarrow as pa

    if typmod < 0:
        return None
    precision = ((typmod - 4) >> 16) & 0xFFFF
    scale = (((typmod - 4) & 0x7FF) ^ 1024) - 1024
    # A negative scale rounds to tens; one above the precision means leading zeros after the point.
    digits = precision - scale if scale < 0 else max(precision, scale)
    return pa.decimal128(digits, max(scale, 0)) if digits <= _DECIMAL_DIGITS else None


def _type_name(field: pa.Field) -> str:
    return str((field.metadata or {}).get(_TYPE_KEY, b"").decode())


def _delivered(array: pa.Array, column: ColumnPlan) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    try:
        match column.form:
            case _Form.DECIMAL:
                return array.cast(column.field.type)
            case _Form.NUMBER_TEXT:
                spelled = pc.replace_substring(pc.replace_substring(array, "inf", "Infinity"), "nan", _NAN)
                return spelled.cast(column.field.type)
            case _Form.UUID:
                return pa.array(_uuid_texts(array.to_pylist()), pa.string())
            case _:
                return array if array.type == column.field.type else array.cast(column.field.type)
    except pa.ArrowInvalid as error:
        raise _undeliverable(column.field, "NaN or another value outside its type") from error


def _uuid_texts(values: Sequence[bytes | None]) -> list[str | None]:
    from uuid import UUID

    return [None if value is None else str(UUID(bytes=value)) for value in values]


def _undeliverable(field: pa.Field, what: str) -> WarehouseQueryError:
    quoted = '"' + field.name.replace('"', '""') + '"'
    return WarehouseQueryError(
        f'Column "{field.name}" holds {what}, which cannot be delivered. Select it as text: {quoted}::text.',
        column=field.name,
    )
