"""Rows chosen from a stored result: a condition, columns, an order and a limit, on Arrow columns.

Only what means the same everywhere is here: equality and order of exact values. `selection_scalar` says whether a value
can be compared with a column at all; whoever makes a selection asks it first.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from queryfleet.columns import logical_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from queryfleet.errors import JsonValue

__all__ = [
    "AllOf",
    "Comparison",
    "Condition",
    "Relation",
    "RowOrder",
    "RowSelection",
    "is_exact",
    "selected_rows",
    "selection_scalar",
]


class Relation(StrEnum):
    """How a value is compared."""

    IN = "in"  # with any of the values
    NOT_IN = "notIn"  # with none of them; rows without a value pass, too
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    NULL = "null"
    NOT_NULL = "notNull"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One condition on one column."""

    column: str
    relation: Relation
    values: tuple[str, ...] = ()  # as texts; what they mean follows from the column's type


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    """Conditions of which all, or any, must hold."""

    members: tuple[Condition, ...]
    is_any: bool = False


Condition: TypeAlias = Comparison | AllOf


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOrder:
    """One entry of an order. NaN is greater than every number."""

    column: str
    is_descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSelection:
    """Which rows of which stored result."""

    query_uuid: str  # whose chunks hold the rows
    attempt: int  # and of which attempt
    row_count: int  # of that result
    arrow_schema: bytes  # of that result, as an Arrow IPC message
    columns: tuple[str, ...]  # in the order of the new result; at least one
    condition: Condition | None = None  # None: every row
    order: tuple[RowOrder, ...] = ()  # none: as they are stored
    limit: int | None = None  # rows; None: all
    is_distinct: bool = False  # of rows that are equal in `columns` the first one only
    cache_key: bytes | None = None  # of a query that asks the warehouse for these rows

    def to_json(self) -> dict[str, JsonValue]:
        """Return what is stored; `from_json` reads it back."""
        return {
            "queryUuid": self.query_uuid,
            "attempt": self.attempt,
            "rowCount": self.row_count,
            "arrowSchema": self.arrow_schema.hex(),
            "columns": list(self.columns),
            "condition": None if self.condition is None else _condition_to_json(self.condition),
            "order": [[each.column, each.is_descending, each.nulls_first] for each in self.order],
            "limit": self.limit,
            "distinct": self.is_distinct,
            "cacheKey": None if self.cache_key is None else self.cache_key.hex(),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, JsonValue]) -> RowSelection:
        """Read what `to_json` returned."""
        found = cast("Mapping[str, Any]", stored)
        return cls(
            query_uuid=found["queryUuid"],
            attempt=found["attempt"],
            row_count=found["rowCount"],
            arrow_schema=bytes.fromhex(found["arrowSchema"]),
            columns=tuple(found["columns"]),
            condition=None if found["condition"] is None else _condition_from_json(found["condition"]),
            order=tuple(
                RowOrder(column=name, is_descending=descending, nulls_first=first)
                for name, descending, first in found["order"]
            ),
            limit=found["limit"],
            is_distinct=found["distinct"],
            cache_key=None if found["cacheKey"] is None else bytes.fromhex(found["cacheKey"]),
        )


def _condition_to_json(condition: Condition) -> dict[str, JsonValue]:
    if isinstance(condition, AllOf):
        members: list[JsonValue] = [_condition_to_json(member) for member in condition.members]
        return {"any" if condition.is_any else "all": members}
    return {"column": condition.column, "relation": condition.relation.value, "values": list(condition.values)}


def _condition_from_json(stored: Mapping[str, Any]) -> Condition:
    if "column" in stored:
        return Comparison(
            column=stored["column"], relation=Relation(stored["relation"]), values=tuple(stored["values"])
        )
    is_any = "any" in stored
    members = stored["any" if is_any else "all"]
    return AllOf(members=tuple(_condition_from_json(member) for member in members), is_any=is_any)


def is_exact(column: pa.Field) -> bool:
    """Tell whether two values of a column are equal, and which is greater, without any doubt.

    Texts are compared by their characters. Floating point numbers, documents, nested values and the like are not exact.
    """
    import pyarrow.types as t

    kind = column.type
    if logical_type(column) is not None or t.is_dictionary(kind):
        return False
    is_text = t.is_string(kind) or t.is_large_string(kind)
    is_number = t.is_integer(kind) or t.is_decimal128(kind)
    return bool(is_text or is_number or t.is_boolean(kind) or t.is_date32(kind) or t.is_timestamp(kind))


def selection_scalar(text: str, column: pa.Field) -> pa.Scalar | None:
    """Return a value of a column's own type.

    Args:
        text: A text; decimal digits; `true` or `false`; an ISO date or instant.
        column: What it is compared with.

    Returns:
        None when the column is not exact, or its type has no such value.
    """
    import pyarrow as pa

    try:
        return pa.scalar(_value(text, column.type), column.type) if is_exact(column) else None
    except (ArithmeticError, KeyError, ValueError, pa.ArrowException):
        return None


def _value(text: str, kind: pa.DataType) -> bool | int | Decimal | dt.date | str:
    import pyarrow.types as t

    if t.is_boolean(kind):
        return {"true": True, "false": False}[text]
    if t.is_integer(kind):
        number = Decimal(text)
        if number != int(number):
            raise ValueError(text)
        return int(number)
    if t.is_decimal(kind):
        return Decimal(text)
    if t.is_date(kind):
        return dt.date.fromisoformat(text)
    if t.is_timestamp(kind):
        moment = dt.datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
        return moment if kind.tz is not None else moment.replace(tzinfo=None)
    return text


def selected_rows(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, selection: RowSelection
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a selection.

    Args:
        batches: All rows of the stored result, in order; no more are taken than are needed.
        schema: Of the stored result.
        selection: Its columns are in `schema`; values of its condition can be compared with their columns.

    Memory: a batch; with an order or without repetitions, the rows that are kept as well.
    """
    chosen = _Chosen(schema, selection)
    for batch in batches:
        yield from chosen.add(batch)
        if chosen.is_full:
            return
    yield from chosen.rest()


@dataclass(slots=True)
class _Chosen:
    """Takes rows batch by batch, and holds back those whose place is not known yet."""

    schema: pa.Schema
    selection: RowSelection
    _held: list[pa.RecordBatch] = field(default_factory=list)
    _given: int = 0

    @property
    def is_full(self) -> bool:
        """Whether no further row can belong to the selection."""
        return self.selection.limit is not None and self._given >= self.selection.limit

    def add(self, batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        """Take rows, and return those that can be given at once."""
        import pyarrow.compute as pc

        selection = self.selection
        if selection.condition is not None:
            batch = batch.filter(pc.fill_null(_holds(batch, selection.condition), fill_value=False))
        needed = dict.fromkeys((*selection.columns, *(each.column for each in selection.order)))
        batch = batch.select(list(needed))
        if selection.is_distinct:
            return self._add_distinct(batch.select(list(selection.columns)))
        if selection.order:
            self._hold(batch)
            return []
        return self._give(batch)

    def rest(self) -> list[pa.RecordBatch]:
        """Return the rows that were held back for their order, when all have been taken."""
        if not self.selection.order or not self._held:
            return []
        rows = _in_order(self._held, self.selection)
        return self._give(rows.select(list(self.selection.columns)))

    def _add_distinct(self, batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        before = sum(each.num_rows for each in self._held)
        rows = _without_repetitions([*self._held, batch])
        if self.selection.order:
            self._held = []
            self._hold(rows)
            return []
        self._held = [rows]
        return self._give(rows.slice(before))

    def _hold(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        limit = self.selection.limit
        if limit is not None and sum(each.num_rows for each in self._held) > 4 * limit + 65_536:
            self._held = [_in_order(self._held, self.selection)]

    def _give(self, batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        if self.selection.limit is not None:
            batch = batch.slice(0, max(0, self.selection.limit - self._given))
        self._given += batch.num_rows
        return [batch] if batch.num_rows else []


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    import pyarrow as pa

    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _without_repetitions(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Return the first of each rows that are equal, in their order."""
    import pyarrow as pa

    rows = _joined(batches)
    numbered = pa.table([*rows.columns, pa.array(np.arange(rows.num_rows))], names=_numbers(rows.num_columns))
    keys = numbered.column_names[:-1]
    firsts = numbered.group_by(keys, use_threads=False).aggregate([(numbered.column_names[-1], "min")])
    places = firsts.column(f"{numbered.column_names[-1]}_min").combine_chunks()
    return rows.take(places.sort())


def _numbers(count: int) -> list[str]:
    """Return names for columns and one more: those of a result may be any texts, and grouping makes new ones."""
    return [str(number) for number in range(count + 1)]


def _in_order(batches: Sequence[pa.RecordBatch], selection: RowSelection) -> pa.RecordBatch:
    """Return rows in the order of a selection, as many as its limit; equal ones stay in theirs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = _joined(batches)
    columns: list[pa.Array] = []
    keys: list[tuple[str, str]] = []
    for entry in selection.order:
        values = rows.column(entry.column)
        # One call has one place for all NULLs, so each column brings its own as a column before it.
        direction = "descending" if entry.is_descending else "ascending"
        columns.append(values.is_null().cast(pa.int8()))
        keys.append((str(len(columns) - 1), "descending" if entry.nulls_first else "ascending"))
        if pa.types.is_floating(values.type):
            columns.append(pc.is_nan(values).cast(pa.int8()))
            keys.append((str(len(columns) - 1), direction))
        columns.append(values)
        keys.append((str(len(columns) - 1), direction))
    columns.append(pa.array(np.arange(rows.num_rows)))
    keys.append((str(len(columns) - 1), "ascending"))
    places = pc.sort_indices(pa.table(columns, names=_numbers(len(columns) - 1)), sort_keys=keys)
    return rows.take(places if selection.limit is None else places.slice(0, selection.limit))


def _holds(batch: pa.RecordBatch, condition: Condition) -> pa.Array:
    import pyarrow.compute as pc

    if isinstance(condition, Comparison):
        return _compared(batch.column(condition.column), batch.schema.field(condition.column), condition)
    found = _holds(batch, condition.members[0])
    for member in condition.members[1:]:
        found = (pc.or_kleene if condition.is_any else pc.and_kleene)(found, _holds(batch, member))
    return found


def _compared(values: pa.Array, column: pa.Field, condition: Comparison) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if condition.relation is Relation.NULL:
        return values.is_null()
    if condition.relation is Relation.NOT_NULL:
        return values.is_valid()
    scalars = [selection_scalar(text, column) for text in condition.values]
    if any(scalar is None for scalar in scalars):
        raise ValueError(condition)
    if condition.relation in (Relation.IN, Relation.NOT_IN):
        wanted = pa.array([scalar.as_py() for scalar in scalars if scalar is not None], column.type)
        found = pc.is_in(values, value_set=wanted)  # false, never null, where there is no value
        return found if condition.relation is Relation.IN else pc.invert(found)
    compare = {
        Relation.LESS: pc.less,
        Relation.LESS_OR_EQUAL: pc.less_equal,
        Relation.GREATER: pc.greater,
        Relation.GREATER_OR_EQUAL: pc.greater_equal,
    }[condition.relation]
    return compare(values, scalars[0])
