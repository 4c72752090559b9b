"""Dimensions of one question: bins and named groups of a dimension, and SQL of the client's own.

    fixed number   as many bins of one whole width as asked for, over all rows that the caller may see
    fixed width    `0 - 9`, `10 - 19`, …
    ranges         `<5`, `5-20`, `≥20`, each from its low end to below its high end
    groups         the first group one of whose matches holds, else `Other`

What has no value is in no bin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.custom_sql import custom_expression, table_of
from queryfleet.compiler.dialects import PatternKind
from queryfleet.compiler.filters import FilterTarget
from queryfleet.compiler.joins import joined_tables, needed_joins, row_filters, table_source
from queryfleet.compiler.metric_query import BinDimension, BinType, MatchType
from queryfleet.compiler.plan import Output, Select, Stage
from queryfleet.compiler.rows import GroupColumn
from queryfleet.errors import CompileError, ForbiddenError, ParameterError
from queryfleet.model import ColumnType
from queryfleet.semantic.explore import MetricType

if TYPE_CHECKING:
    from queryfleet.compiler.dialects import Dialect
    from queryfleet.compiler.metric_query import BinRange, CustomDimension, SqlDimension
    from queryfleet.compiler.rendering import Renderer
    from queryfleet.semantic.explore import Dimension

__all__ = ["CustomColumn", "custom_column"]

_BINS_MAX: Final = 1000
_MATCH: Final = {
    MatchType.STARTS_WITH: PatternKind.STARTS,
    MatchType.ENDS_WITH: PatternKind.ENDS,
    MatchType.INCLUDES: PatternKind.INCLUDES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomColumn:
    """A custom dimension, written."""

    column: GroupColumn  # what is selected
    order_sql: str | None = None  # a number that its values are ordered by; None: themselves

    @property
    def target(self) -> FilterTarget:
        """Return what a filter on it is about."""
        return FilterTarget(sql=f"({self.column.sql})", type=self.column.type)

    @property
    def order(self) -> GroupColumn | None:
        """Return the helper column that orders it."""
        if self.order_sql is None:
            return None
        name, column = f"{self.column.name}_order", self.column
        return GroupColumn(
            name=name, sql=self.order_sql, type=ColumnType.NUMBER, tables=column.tables, bounds=column.bounds
        )


def custom_column(
    custom: CustomDimension, renderer: Renderer, stage_name: str, *, can_write_sql: bool = True
) -> CustomColumn:
    """Return a custom dimension as a column.

    Args:
        custom: Of the question.
        renderer: Of the question.
        stage_name: Name of the stage that it may need.
        can_write_sql: False refuses SQL of the client's own.

    Raises:
        ForbiddenError: It mentions a field that is not the caller's, or has SQL that the caller may not write.
        FieldReferenceError: It mentions a field that is not there.
        ParameterError: Its settings are out of range, or do not fit the type of its dimension.
    """
    if not isinstance(custom, BinDimension):
        return _sql_column(custom, renderer, can_write_sql=can_write_sql)
    dimension = renderer.explore.dimension(custom.dimension_id)
    needed = ColumnType.STRING if custom.bin_type is BinType.CUSTOM_GROUP else ColumnType.NUMBER
    if dimension.type is not needed:
        raise ParameterError(
            f"`customDimensions`: `{custom.id}` of type {custom.bin_type} needs a dimension of type {needed}, but "
            f"`{dimension.field_id}` is of type {dimension.type}",
            fieldId=custom.id,
        )
    bounds: Stage | None = None
    order: str | None = None
    match custom.bin_type:
        case BinType.FIXED_NUMBER:
            bounds = _bounds(custom, dimension, renderer, stage_name)
            sql, order = _fixed_number(custom, dimension, renderer, bounds)
        case BinType.FIXED_WIDTH:
            sql, order = _fixed_width(custom, dimension, renderer)
        case BinType.CUSTOM_RANGE:
            sql, order = _ranges(custom, dimension, renderer)
        case BinType.CUSTOM_GROUP:
            sql = _groups(custom, dimension, renderer)
    column = GroupColumn(
        name=custom.id,
        sql=sql,
        type=ColumnType.STRING,
        tables=renderer.tables(dimension.field_id),
        bounds=bounds,
    )
    return CustomColumn(column=column, order_sql=order)


def _sql_column(custom: SqlDimension, renderer: Renderer, *, can_write_sql: bool) -> CustomColumn:
    if not can_write_sql:
        raise ForbiddenError(f"`customDimensions`: `{custom.id}` is SQL of your own, and you may not write SQL")
    table = table_of(custom.table, renderer.explore)
    expression = custom_expression(custom.sql, table, renderer.explore)
    column = GroupColumn(
        name=custom.id,
        sql=f"({renderer.expression(expression, table)})",
        type=custom.type,
        tables=frozenset(expression.tables),
    )
    return CustomColumn(column=column)


def _value(dimension: Dimension, renderer: Renderer) -> str:
    return f"({renderer.dimension(dimension)})"


def _bounds(custom: BinDimension, dimension: Dimension, renderer: Renderer, stage_name: str) -> Stage:
    """Return the stage that finds the least and the greatest value among all rows that the caller may see."""
    explore = renderer.explore
    reached = renderer.tables(dimension.field_id)
    # A row filter may hide rows of other tables, too: then only what is joined to rows that are left counts.
    is_filtered = bool(explore.row_filters) or any(join.row_filter is not None for join in explore.joins)
    if is_filtered or reached != {dimension.table}:
        source, joins = joined_tables(needed_joins(explore, reached), explore, renderer)
    else:
        source, joins = table_source(dimension.table, explore, renderer), ()
    dialect, value = renderer.context.dialect, _value(dimension, renderer)
    low = f"FLOOR({dialect.aggregate(MetricType.MIN, value)})"
    high = f"CEIL({dialect.aggregate(MetricType.MAX, value)})"
    outputs = (
        Output(name="qf_low", sql=low),
        Output(name="qf_high", sql=high),
        Output(name="qf_width", sql=f"FLOOR(({high} - {low}) / {dialect.number(_bin_number(custom))}.0)"),
    )
    select = Select(outputs=outputs, source=source, joins=joins, row_filters=row_filters(explore, renderer))
    return Stage(name=stage_name, select=select)


def _bin_number(custom: BinDimension) -> int:
    if custom.bin_number is None or not 1 <= custom.bin_number <= _BINS_MAX:
        raise ParameterError(
            f"`customDimensions`: `binNumber` of `{custom.id}` is {custom.bin_number}; write 1 to {_BINS_MAX}",
            fieldId=custom.id,
        )
    return custom.bin_number


def _fixed_number(custom: BinDimension, dimension: Dimension, renderer: Renderer, bounds: Stage) -> tuple[str, str]:
    dialect, value = renderer.context.dialect, _value(dimension, renderer)
    stage = dialect.quote(bounds.name)
    low, high, width = (f"{stage}.{dialect.quote(name)}" for name in ("qf_low", "qf_high", "qf_width"))
    last = _bin_number(custom) - 1

    def edge(place: int) -> str:
        return low if place == 0 else f"{low} + {width} * {place}"

    labels, orders = [f"WHEN {value} IS NULL THEN NULL"], [f"WHEN {value} IS NULL THEN NULL"]
    for place in range(last):
        test = f"WHEN {value} < {edge(place + 1)} THEN"
        labels.append(f"{test} {_label(_whole(edge(place), dialect), _whole(edge(place + 1), dialect), dialect)}")
        orders.append(f"{test} {place}")
    labels.append(f"ELSE {_label(_whole(edge(last), dialect), _whole(high, dialect), dialect)}")
    orders.append(f"ELSE {last}")
    return f"CASE {' '.join(labels)} END", f"CASE {' '.join(orders)} END"


def _fixed_width(custom: BinDimension, dimension: Dimension, renderer: Renderer) -> tuple[str, str]:
    width = custom.bin_width
    if width is None or not width > 0:
        raise ParameterError(
            f"`customDimensions`: `binWidth` of `{custom.id}` is {width}; write a number above 0", fieldId=custom.id
        )
    dialect, value = renderer.context.dialect, _value(dimension, renderer)
    written = dialect.number(int(width) if width == int(width) else width)
    low = f"FLOOR({value} / {written if '.' in written else f'{written}.0'}) * {written}"
    if width == int(width):
        label = _label(_whole(low, dialect), _whole(f"{low} + {written} - 1", dialect), dialect)
    else:
        # With decimals there is no last value of a bin to show, so its end is shown.
        places = len(written.partition(".")[2])
        label = _label(_decimal(low, places, dialect), _decimal(f"{low} + {written}", places, dialect), dialect)
    return f"CASE WHEN {value} IS NULL THEN NULL ELSE {label} END", low


def _ranges(custom: BinDimension, dimension: Dimension, renderer: Renderer) -> tuple[str, str]:
    dialect, value = renderer.context.dialect, _value(dimension, renderer)
    if not custom.ranges:
        raise ParameterError(f"`customDimensions`: `customRange` of `{custom.id}` is empty", fieldId=custom.id)
    labels: list[str] = []
    orders: list[str] = []
    for place, each in enumerate(custom.ranges):
        tests = []
        if each.low is not None:
            tests.append(f"{value} >= {dialect.number(each.low)}")
        if each.high is not None:
            tests.append(f"{value} < {dialect.number(each.high)}")
        if not tests:
            raise ParameterError(
                f"`customDimensions`: an entry of `customRange` of `{custom.id}` has neither `from` nor `to`",
                fieldId=custom.id,
            )
        test = " AND ".join(tests)
        labels.append(f"WHEN {test} THEN {dialect.text(_range_label(each))}")
        orders.append(f"WHEN {test} THEN {place}")
    return f"CASE {' '.join(labels)} ELSE NULL END", f"CASE {' '.join(orders)} ELSE NULL END"


def _range_label(each: BinRange) -> str:
    low, high = (None if end is None else _shown(end) for end in (each.low, each.high))
    if low is None:
        return f"<{high}"
    return f"≥{low}" if high is None else f"{low}-{high}"


def _shown(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _groups(custom: BinDimension, dimension: Dimension, renderer: Renderer) -> str:
    dialect, value = renderer.context.dialect, _value(dimension, renderer)
    branches: list[str] = []
    for group in custom.groups:
        tests = [
            f"{value} = {dialect.text(match.value)}"
            if match.type is MatchType.EXACT
            else dialect.like(value, _MATCH[match.type], match.value)
            for match in group.matches
        ]
        if tests:
            branches.append(f"WHEN {' OR '.join(tests)} THEN {dialect.text(group.name)}")
    if not branches:
        raise CompileError(f"`customDimensions`: `customGroups` of `{custom.id}` has no values", fieldId=custom.id)
    return f"CASE {' '.join(branches)} ELSE {dialect.text('Other')} END"


def _label(low: str, high: str, dialect: Dialect) -> str:
    return dialect.concat(low, dialect.text(" - "), high)


def _whole(sql: str, dialect: Dialect) -> str:
    """Return a whole number as text, whatever type the warehouse computed it in."""
    return dialect.cast_text(f"CAST({sql} AS BIGINT)")


def _decimal(sql: str, places: int, dialect: Dialect) -> str:
    return dialect.cast_text(f"CAST({sql} AS DECIMAL(28, {places}))")
