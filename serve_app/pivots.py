"""Pivots of questions: from `pivotConfiguration` to the statement that runs and what is done with its rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from actors.submit import PivotedStatement
from queryfleet.compiler.dialects import DIALECTS
from queryfleet.compiler.metric_query import Sort
from queryfleet.compiler.pivot_sql import can_rank, flat_plan, has_collation, null_order, ranked_plan
from queryfleet.compiler.plan import Output
from queryfleet.compiler.printer import printed
from queryfleet.compiler.sql_source import sql_plan
from queryfleet.errors import NotSupportedError
from queryfleet.model import ColumnType
from queryfleet.pivot.spec import PivotLimits, PivotPlan, coverage_warnings
from queryfleet.pivot.task import PivotTask, PivotWay
from queryfleet.pivot.wire import parse_pivot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.compiler.compiler import CompiledQuery
    from queryfleet.compiler.dialects import Dialect
    from queryfleet.compiler.plan import Plan
    from queryfleet.errors import JsonValue
    from queryfleet.limits import ProjectLimits
    from queryfleet.pivot.spec import PivotSpec
    from queryfleet.schemas.requests import PivotWay as WirePlan
    from queryfleet.settings import Settings

__all__ = ["PivotAsked", "missing_orders", "pivoted_query", "pivoted_sql", "pivoted_totals", "visible_cells"]

_ROWS_DEFAULT: Final = 500
_ALL: Final = 2**31 - 1
_NAMED: Final = ("MONTH_NAME", "DAY_OF_WEEK_NAME")  # intervals whose values are not in their own order


@dataclass(frozen=True, slots=True, kw_only=True)
class PivotAsked:
    """What decides about a pivot besides the question."""

    spec: PivotSpec
    way: PivotWay | None  # None: we choose
    rows_max: int | None  # the project's limit
    settings: Settings

    @classmethod
    def of(
        cls, configuration: Mapping[str, JsonValue], plan: WirePlan | None, limits: ProjectLimits, settings: Settings
    ) -> PivotAsked:
        """Read the members of a request; raises like `parse_pivot`."""
        way = None if plan is None else PivotWay(plan.value)
        return cls(spec=parse_pivot(configuration), way=way, rows_max=limits.rows, settings=settings)

    def limits(self, rows: int | None) -> PivotLimits:
        """Return the limits, of as many rows as the question asks for; None: all.

        Raises:
            ParameterError: It asks for none.
        """
        wanted = [each for each in (rows, self.rows_max) if each is not None]
        return PivotLimits(rows=min(wanted, default=None), columns=self.settings.pivot_columns_max)

    def chosen(self, limits: PivotLimits) -> PivotWay:
        """Return who puts rows and columns in order: the warehouse, unless the pivot may become large."""
        if self.way is not None or not self.spec.groups:
            return self.way or PivotWay.SQL
        rows = limits.rows if self.spec.index else 1
        if rows is None or rows * limits.columns > self.settings.pivot_cells_max:
            return PivotWay.DISTRIBUTED
        return PivotWay.SQL


def missing_orders(compiled: CompiledQuery, spec: PivotSpec) -> tuple[Sort, ...]:
    """Return sorts that a query lacks so that the values of some dimensions of a pivot can be put in order.

    Names of months and bins are in an order that only a query that sorts by them writes down.
    """
    sorted_by = {sort.field_id for sort in compiled.query.sorts}
    dimensions = (*(column.reference for column in spec.index), *spec.column_dimensions)
    found = []
    for name in dimensions:
        item = compiled.items.get(name, {})
        if name not in sorted_by and (item.get("timeInterval") in _NAMED or item.get("type") == "bin"):
            found.append(Sort(field_id=name))
    return tuple(found)


def pivoted_query(
    compiled: CompiledQuery, dialect: Dialect, asked: PivotAsked, *, timezone: str
) -> tuple[PivotedStatement, tuple[str, ...]]:
    """Return what runs in place of a metric query, and warnings for the person who asks.

    Args:
        compiled: With the sorts of `missing_orders`.
        dialect: Of the warehouse.
        asked: The pivot.
        timezone: In which times are shown.

    Raises:
        ParameterError: The pivot names what the query does not select, or the limit is 0.
        CompileError: A name is too long for the warehouse.
    """
    spec = asked.spec
    dimensions = (*(column.reference for column in spec.index), *spec.column_dimensions)
    plan, order_by = _with_orders(compiled, dialect, dimensions)
    limits = asked.limits(compiled.query.limit)
    pivot = PivotPlan(spec=spec, limits=limits, nulls=null_order(dialect), order_by=order_by)
    types = _types_of(compiled)
    statement = _statement(
        plan,
        PivotTask(
            way=asked.chosen(limits),
            plan=pivot,
            items={name: compiled.items[name] for name in spec.groups if name in compiled.items},
            timezone=timezone,
        ),
        dialect,
        types=types,
        is_grouped=set(compiled.query.dimensions) <= set(dimensions),
    )
    return statement, (*pivot.warnings(), *coverage_warnings(spec, compiled.query.dimensions))


def pivoted_totals(compiled: CompiledQuery, dialect: Dialect, asked: PivotAsked, *, timezone: str) -> PivotedStatement:
    """Return what runs in place of a query of totals, which may lack index columns and values of the pivot.

    Args:
        compiled: Its columns are what is left of the pivot.
        dialect: Of the warehouse.
        asked: The pivot of the source.
        timezone: In which times are shown.
    """
    left = set(compiled.columns)
    spec = asked.spec
    values = tuple(column for column in spec.values if column.reference in left)
    index = tuple(column for column in spec.index if column.reference in left)
    groups = tuple(name for name in spec.groups if name in left)
    kept = replace(
        spec,
        index=index,
        index_is_list=spec.index_is_list or not index,
        values=values,
        groups=groups,
        sort_only_dimensions=tuple(name for name in spec.sort_only_dimensions if name in left),
        passthrough=tuple(name for name in spec.passthrough if name in left),
        sort=tuple(key for key in spec.sort if key.reference in {*groups, *(column.reference for column in index)}),
        sort_only_values=(),
    )
    return pivoted_query(compiled, dialect, replace(asked, spec=kept), timezone=timezone)[0]


def visible_cells(compiled: CompiledQuery, dialect: Dialect, asked: PivotAsked) -> tuple[tuple[str, ...], str]:
    """Return the dimensions and a statement of all cells of the rows that a pivot shows.

    Args:
        compiled: With the sorts of `missing_orders`.
        dialect: Of the warehouse.
        asked: The pivot.
    """
    spec = asked.spec
    names = (*(column.reference for column in spec.index), *spec.groups)
    plan, order_by = _with_orders(compiled, dialect, (*names, *spec.sort_only_dimensions))
    limits = PivotLimits(rows=asked.limits(compiled.query.limit).rows, columns=_ALL, columns_max=_ALL)
    pivot = PivotPlan(spec=spec, limits=limits, nulls=null_order(dialect), order_by=order_by)
    types = _types_of(compiled)
    if not can_rank(pivot, types):
        sort = tuple(replace(key, pinned=()) for key in spec.sort)
        pivot = replace(pivot, spec=replace(spec, sort=sort))
    is_grouped = set(compiled.query.dimensions) <= {*names, *spec.sort_only_dimensions}
    return names, printed(ranked_plan(plan, pivot, dialect, is_grouped=is_grouped, types=types), dialect)


def pivoted_sql(sql: str, asked: PivotAsked, *, warehouse_type: str, row_limit: int | None) -> PivotedStatement:
    """Return what runs in place of a statement of the client's own.

    Args:
        sql: One statement.
        asked: The pivot.
        warehouse_type: Of the project.
        row_limit: Rows of the pivot; None: 500.

    Raises:
        ParameterError: The statement cannot be read from.
        CompileError: A name is too long for the warehouse.
        NotSupportedError: There is no dialect for the warehouse.
    """
    spec = asked.spec
    dialect = DIALECTS.get(warehouse_type)
    if dialect is None:
        raise NotSupportedError(
            f"pivotConfiguration is not available for a warehouse of type {warehouse_type!r}; leave it out.",
            field="pivotConfiguration",
        )
    limits = asked.limits(_ROWS_DEFAULT if row_limit is None else row_limit)
    pivot = PivotPlan(spec=spec, limits=limits, nulls=null_order(dialect))
    values = (column.reference for column in (*spec.values, *spec.sort_only_values))
    task = PivotTask(way=asked.chosen(limits), plan=pivot, has_original=True, warnings=pivot.warnings())
    plan = sql_plan(sql, (*spec.carried, *spec.column_dimensions, *values), dialect)
    return _statement(plan, task, dialect, types={}, is_grouped=False)


def _statement(
    plan: Plan, task: PivotTask, dialect: Dialect, *, types: Mapping[str, ColumnType], is_grouped: bool
) -> PivotedStatement:
    if not can_rank(task.plan, types):
        task = replace(task, way=PivotWay.DISTRIBUTED)  # the column that a sort is pinned to is found among the rows
    task = replace(task, has_collation=has_collation(dialect))
    if task.way is PivotWay.SQL:
        found = ranked_plan(plan, task.plan, dialect, is_grouped=is_grouped, types=types)
    else:
        found = flat_plan(plan, task.plan, dialect, is_grouped=is_grouped)
    return PivotedStatement(sql=printed(found, dialect), task=task)


def _with_orders(compiled: CompiledQuery, dialect: Dialect, dimensions: tuple[str, ...]) -> tuple[Plan, dict[str, str]]:
    """Return the plan with the columns that order dimensions, and which orders which."""
    final = compiled.plan.final
    outputs = list(final.outputs)
    order_by: dict[str, str] = {}
    for sort, order in zip(compiled.query.sorts, final.order_by, strict=False):
        if sort.field_id in dimensions and order.sql != dialect.quote(sort.field_id):
            name = f"qf_order_{len(order_by) + 1}"
            order_by[sort.field_id] = name
            outputs.append(Output(name=name, sql=order.sql))
    return replace(compiled.plan, final=replace(final, outputs=tuple(outputs))), order_by


def _types_of(compiled: CompiledQuery) -> dict[str, ColumnType]:
    return {name: found for name, item in compiled.items.items() if (found := _type_of(item)) is not None}


def _type_of(item: Mapping[str, JsonValue]) -> ColumnType | None:
    """Return the type of a column, if the description of its field tells it."""
    kind = item.get("type")
    if kind == "bin":
        return ColumnType.STRING
    word = item.get("dimensionType") if kind == "sql" else kind
    return ColumnType(word) if isinstance(word, str) and word in set(ColumnType) else None
