"""A pivot around a compiled query: flat cells, or cells that the warehouse has ranked.

    flat     the query ▸ one row for each cell, `<reference>_<aggregation>` its value, in any order
    ranked   flat ▸ values as numbers ▸ best of each column ▸ columns ▸ anchors ▸ rows ▸ row limit ▸ column limit

A ranked statement gives `row_index`, `column_index` and `total_columns` with each cell, in order. All of it is windows
over one scan: nothing is joined, so the cost grows with the cells and not with cells times rows. Values that are sorted
by become whole numbers first, their dense ranks with a fixed number for NULL, so that no type has to have a minimum.

A row whose cells all lie beyond the column limit stays, with a NULL `column_index`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from queryfleet.compiler.pivot_pins import pin_condition
from queryfleet.compiler.plan import Order, Output, Plan, Select, StageSource
from queryfleet.compiler.printer import ordered
from queryfleet.compiler.stack import Stack
from queryfleet.errors import CompileError, ParameterError
from queryfleet.pivot.spec import Aggregation, NullOrder, SortKey, ValueColumn
from queryfleet.semantic.field import MetricType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from queryfleet.compiler.dialects import Dialect
    from queryfleet.model import ColumnType
    from queryfleet.pivot.spec import PivotPlan

__all__ = ["can_rank", "flat_plan", "has_collation", "null_order", "ranked_plan"]

_ROW, _COLUMN, _TOTAL = "row_index", "column_index", "total_columns"
_LAST: Final = 2**53 - 1  # the number of NULL where it comes last; more than there are cells
_NAME_BYTES_MAX: Final = {"postgres": 63, "redshift": 127}
_NULLS_LAST: Final = frozenset({"athena", "clickhouse", "duckdb", "trino"})
_BY_CODE_POINT: Final = frozenset(
    {"athena", "bigquery", "clickhouse", "databricks", "duckdb", "redshift", "snowflake", "trino"}
)
_AGGREGATES: Final = {
    Aggregation.SUM: MetricType.SUM,
    Aggregation.COUNT: MetricType.COUNT,
    Aggregation.AVG: MetricType.AVERAGE,
    Aggregation.MIN: MetricType.MIN,
    Aggregation.MAX: MetricType.MAX,
}


def null_order(dialect: Dialect) -> NullOrder:
    """Return where a warehouse sorts NULL when nothing says it."""
    if dialect.name in _NULLS_LAST:
        return NullOrder.LAST
    return NullOrder.LARGEST if dialect.nulls_are_largest else NullOrder.SMALLEST


def has_collation(dialect: Dialect) -> bool:
    """Tell whether a warehouse may order text otherwise than by code point when nothing says it."""
    return dialect.name not in _BY_CODE_POINT


def can_rank(pivot: PivotPlan, types: Mapping[str, ColumnType]) -> bool:
    """Tell whether a warehouse can find the columns that sorts are pinned to.

    Args:
        pivot: The pivot.
        types: Of the group columns, as far as they are known.
    """
    groups = set(pivot.spec.groups)
    for key, _ in pivot.spec.value_sorts:
        is_whole = {pin.reference for pin in key.pinned} == groups
        if is_whole and any(pin.value is not None and pin.reference not in types for pin in key.pinned):
            return False
    return True


def flat_plan(query: Plan, pivot: PivotPlan, dialect: Dialect, *, is_grouped: bool = False) -> Plan:
    """Return the statement of the cells of a pivot, in no order.

    Args:
        query: Has all columns that the pivot names. Its order and its limit are taken away.
        pivot: The pivot; `order_by` must name columns of the query.
        dialect: Of the warehouse.
        is_grouped: The query has one row for each combination of index and column dimensions, so there is nothing to
            aggregate when all aggregations are `any`.

    Raises:
        ParameterError: The query has no column that the pivot names, or a name that ranks need.
        CompileError: A name is longer than the warehouse's names can be.
    """
    return _cells(query, pivot, dialect, is_grouped=is_grouped).plan(_cell_names(pivot), (), None)


def ranked_plan(
    query: Plan,
    pivot: PivotPlan,
    dialect: Dialect,
    *,
    is_grouped: bool = False,
    types: Mapping[str, ColumnType] | None = None,
) -> Plan:
    """Return the statement of the cells of a pivot with their places, in order, limits applied.

    Without groups it gives the rows themselves, in order and limited, and no places.

    Args:
        query: As for `flat_plan`.
        pivot: Likewise.
        dialect: Likewise.
        is_grouped: Likewise.
        types: Of the group columns; only those of pinned sorts are looked at.

    Raises:
        ParameterError: As `flat_plan`; or a sort is pinned to a column whose type is not known.
        CompileError: As `flat_plan`.
    """
    stack = _cells(query, pivot, dialect, is_grouped=is_grouped)
    if not pivot.spec.groups:
        return _without_groups(stack, pivot, dialect)
    return _Ranks(stack, pivot, dialect, types or {}).plan()


def _cell_names(pivot: PivotPlan) -> tuple[str, ...]:
    """Return the columns of the flat cells, in order."""
    spec = pivot.spec
    values = (column.name for column in (*spec.values, *spec.sort_only_values))
    return tuple(dict.fromkeys((*_keys(pivot), *spec.passthrough, *values)))


def _keys(pivot: PivotPlan) -> tuple[str, ...]:
    """Return what tells cells apart, and the columns that order it."""
    spec = pivot.spec
    dimensions = (*(column.reference for column in spec.index), *spec.column_dimensions)
    helpers = (pivot.order_by[name] for name in dimensions if name in pivot.order_by)
    return tuple(dict.fromkeys((*dimensions, *helpers)))


def _cells(query: Plan, pivot: PivotPlan, dialect: Dialect, *, is_grouped: bool) -> Stack:
    """Return the stages up to the cells, which are on top."""
    spec, quote = pivot.spec, dialect.quote
    values = tuple({column.name: column for column in (*spec.values, *spec.sort_only_values)}.values())
    keys = _keys(pivot)
    passed = tuple(name for name in dict.fromkeys(spec.passthrough) if name not in keys)
    _check_names(query, (*keys, *passed), values, dialect)
    query = query.unordered()
    prefix = _prefix(query, (*keys, *passed, *(column.name for column in values)))
    source = Stack(query.stages, query.final, prefix, quote)
    source.push("query")
    stages = source.plan(query.final.names, (), None).stages
    is_plain = is_grouped and all(column.aggregation is Aggregation.ANY for column in values)
    carried = [Output(name=name, sql=quote(name)) for name in keys]
    carried += [Output(name=n, sql=quote(n) if is_plain else dialect.any_value(quote(n))) for n in passed]
    cells = [
        Output(name=column.name, sql=quote(column.reference) if is_plain else _aggregated(column, dialect))
        for column in values
    ]
    select = Select(
        outputs=(*carried, *cells),
        source=StageSource(stage=stages[-1].name, alias=stages[-1].name),
        group_by=0 if is_plain else len(keys),
    )
    return Stack(stages, select, prefix, quote)


def _aggregated(column: ValueColumn, dialect: Dialect) -> str:
    name = dialect.quote(column.reference)
    kind = _AGGREGATES.get(column.aggregation)
    return dialect.any_value(name) if kind is None else dialect.aggregate(kind, name)


def _check_names(query: Plan, dimensions: Sequence[str], values: Sequence[ValueColumn], dialect: Dialect) -> None:
    known = query.final.names
    for name in (*dimensions, *(column.reference for column in values)):
        if name not in known:
            raise ParameterError(
                f"pivotConfiguration names {name!r}, which the query does not select; it has {', '.join(known)}.",
                field="pivotConfiguration",
                reference=name,
            )
    longest = _NAME_BYTES_MAX.get(dialect.name)
    for name in (*dimensions, *(column.name for column in values)):
        if name in (_ROW, _COLUMN, _TOTAL):
            raise ParameterError(
                f"pivotConfiguration: {name!r} is a name that pivots use themselves; give the column another one.",
                field="pivotConfiguration",
                reference=name,
            )
        if longest is not None and len(name.encode()) > longest:
            raise CompileError(
                f"`{name}` is longer than {longest} bytes, which is as long as names of columns can be in "
                f"{dialect.name}: give the field a shorter name",
                fieldId=name,
            )


def _prefix(query: Plan, names: Sequence[str]) -> str:
    """Return what the names of our own stages and columns begin with: nothing that the query has."""
    taken = [*names, *query.final.names, *(stage.name for stage in query.stages)]
    found = "qf_pivot_"
    while any(name.lower().startswith(found) for name in taken):
        found += "_"
    return found


def _without_groups(stack: Stack, pivot: PivotPlan, dialect: Dialect) -> Plan:
    spec = pivot.spec
    stack.push("cells")
    shown = tuple(dict.fromkeys((*spec.carried, *(column.name for column in spec.values))))
    by_value = {id(key): column.name for key, column in spec.value_sorts}
    found = []
    for key in spec.sort:
        name = by_value.get(id(key)) or _ordering(key.reference, pivot)
        if id(key) in by_value or key.reference in {column.reference for column in spec.index}:
            found.append(_order(dialect.quote(name), pivot, key))
    found += _rest([column.reference for column in spec.index], pivot, dialect.quote, found)
    return stack.plan(shown, tuple(found), pivot.limits.rows)


def _ordering(name: str, pivot: PivotPlan) -> str:
    return pivot.order_by.get(name, name)


def _order(sql: str, pivot: PivotPlan, key: SortKey | None = None) -> Order:
    descending = key is not None and key.descending
    nulls_first = pivot.nulls.nulls_first(descending=descending)
    if key is not None and key.nulls_first is not None:
        nulls_first = key.nulls_first
    return Order(sql=sql, is_descending=descending, nulls_first=nulls_first)


def _rest(names: Sequence[str], pivot: PivotPlan, quote: Callable[[str], str], found: Sequence[Order]) -> list[Order]:
    """Return the order of what is not sorted by: by the helpers of all, then by the values themselves."""
    taken = {each.sql for each in found}
    wanted = dict.fromkeys((*(quote(_ordering(name, pivot)) for name in names), *(quote(name) for name in names)))
    return [_order(sql, pivot) for sql in wanted if sql not in taken]


class _Ranks:
    """Puts the places of rows and columns on top of cells.

    Args:
        stack: The cells.
        pivot: With groups.
        dialect: Of the warehouse.
        types: Of group columns.
    """

    def __init__(self, stack: Stack, pivot: PivotPlan, dialect: Dialect, types: Mapping[str, ColumnType]) -> None:
        self._stack = stack
        self._pivot = pivot
        self._spec = pivot.spec
        self._dialect = dialect
        self._types = types
        self._index = [column.reference for column in pivot.spec.index]
        self._dimensions = list(pivot.spec.column_dimensions)
        self._sorts = pivot.spec.value_sorts
        self._pins = [self._pin(key) for key, _ in self._sorts]

    def plan(self) -> Plan:
        """Return the whole plan."""
        self._stack.push("cells")
        if self._sorts:
            self._add_values()
        self._add("column", self._ranked(self._column_order()))
        if self._sorts:
            self._add_anchors()
        self._add("row", self._ranked(self._row_order()) if self._index else "1")
        return self._limited()

    def _name(self, name: str) -> str:
        """Return one of our own columns, quoted."""
        return self._dialect.quote(self._stack.own(name))

    def _add(self, name: str, sql: str) -> None:
        self._stack.add([Output(name=self._stack.own(name), sql=sql)])

    def _over(self, partition: Sequence[str] = (), order: Sequence[Order] = ()) -> str:
        parts = []
        if partition:
            parts.append(f"PARTITION BY {', '.join(map(self._dialect.quote, partition))}")
        if order:
            parts.append(f"ORDER BY {', '.join(ordered(each) for each in order)}")
        return f"OVER ({' '.join(parts)})"

    def _ranked(self, order: Sequence[Order]) -> str:
        return f"DENSE_RANK() {self._over(order=order)}"

    def _null_number(self, key: SortKey) -> int:
        return 0 if _order("", self._pivot, key).nulls_first else _LAST

    def _pin(self, key: SortKey) -> str | None:
        """Return the condition for the column that a sort is pinned to; None: it is not, or not to a whole column."""
        pins = {pin.reference: pin.value for pin in key.pinned}
        if set(pins) != set(self._spec.groups):
            return None
        conditions = [pin_condition(name, pins[name], self._types.get(name), self._dialect) for name in pins]
        return " AND ".join(f"({each})" for each in conditions)

    def _add_values(self) -> None:
        """Add the values that are sorted by as numbers, then the best number of each column."""
        quote = self._dialect.quote
        for number, (key, column) in enumerate(self._sorts, 1):
            value = quote(column.name)
            rank = self._ranked([Order(sql=value, is_descending=key.descending, nulls_first=False)])
            self._add(f"value_{number}", f"CASE WHEN {value} IS NULL THEN {self._null_number(key)} ELSE {rank} END")
            pin = self._pins[number - 1]
            if pin is not None:
                self._add(f"pinned_{number}", f"MAX(CASE WHEN {pin} THEN 1 ELSE 0 END) {self._over()}")
        self._stack.push("values")
        for number in range(1, len(self._sorts) + 1):
            best = f"MIN({self._name(f'value_{number}')}) {self._over(self._dimensions)}"
            if self._pins[number - 1] is not None:  # then the values order rows only, if there is such a column
                best = f"CASE WHEN {self._name(f'pinned_{number}')} = 1 THEN 0 ELSE {best} END"
            self._add(f"best_{number}", best)
        self._stack.push("best")

    def _column_order(self) -> list[Order]:
        found: list[Order] = []
        for key in self._spec.sort:
            if key.reference in self._dimensions:
                found.append(_order(self._dialect.quote(_ordering(key.reference, self._pivot)), self._pivot, key))
            found += [Order(sql=self._name(f"best_{n}")) for n, (by, _) in enumerate(self._sorts, 1) if by is key]
        return [*found, *_rest(self._dimensions, self._pivot, self._dialect.quote, found)]

    def _add_anchors(self) -> None:
        """Add for each row its cell, as a number, in the column that a sort looks at."""
        self._stack.push("columns")
        anchors = ["1"] * len(self._sorts)
        for number, pin in enumerate(self._pins, 1):
            if pin is not None:
                place = f"MIN(CASE WHEN {pin} THEN {self._name('column')} END) {self._over()}"
                self._add(f"anchor_{number}", f"COALESCE({place}, 1)")
                anchors[number - 1] = self._name(f"anchor_{number}")
        if any(pin is not None for pin in self._pins):
            self._stack.push("pins")
        for number, (key, _) in enumerate(self._sorts, 1):
            cell = f"CASE WHEN {self._name('column')} = {anchors[number - 1]} THEN {self._name(f'value_{number}')} END"
            found = f"MIN({cell}) {self._over(self._index)}"
            self._add(f"cell_{number}", f"COALESCE({found}, {self._null_number(key)})")
        self._stack.push("anchors")

    def _row_order(self) -> list[Order]:
        found: list[Order] = []
        for key in self._spec.sort:
            if key.reference in self._index:
                found.append(_order(self._dialect.quote(_ordering(key.reference, self._pivot)), self._pivot, key))
            found += [Order(sql=self._name(f"cell_{n}")) for n, (by, _) in enumerate(self._sorts, 1) if by is key]
        return [*found, *_rest(self._index, self._pivot, self._dialect.quote, found)]

    def _limited(self) -> Plan:
        """Cut the rows, rank the columns that are left, cut those."""
        pivot, spec, stack = self._pivot, self._spec, self._stack
        stack.push("ranked")
        row, place = self._name("row"), self._name("place")
        if pivot.limits.rows is not None:
            stack.filter(f"{row} <= {pivot.limits.rows}")
            order = [Order(sql=self._name("column"))]
            self._add("place", self._name("column") if pivot.rank_hidden_rows else self._ranked(order))
        else:
            self._add("place", self._name("column"))
        stack.push("visible")
        self._add("total", f"MAX({place}) {self._over()}")
        self._add("number", f"ROW_NUMBER() OVER (PARTITION BY {row} ORDER BY {place})")
        stack.push("counted")
        shown = pivot.limits.groups_shown(spec)
        stack.filter(f"{place} <= {shown} OR {self._name('number')} = 1")
        each = 1 if spec.metrics_as_rows else len(spec.values)
        total = self._name("total")
        stack.add(
            [
                Output(name=_ROW, sql=row),
                Output(name=_COLUMN, sql=f"CASE WHEN {place} <= {shown} THEN {place} END"),
                Output(name=_TOTAL, sql=total if each == 1 else f"{total} * {each}"),
            ]
        )
        names = dict.fromkeys((*spec.carried, *spec.groups, *(column.name for column in spec.values)))
        return stack.plan((*names, _ROW, _COLUMN, _TOTAL), (Order(sql=row), Order(sql=place)), None)
