"""The stages of one metric query, put one on top of the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from queryfleet.compiler.calculations import add_calculations, calculation_type, parsed_calculations
from queryfleet.compiler.conditions import Conditions, enabled_ids
from queryfleet.compiler.custom_dimensions import custom_column
from queryfleet.compiler.date_zoom import zoomed_dimension
from queryfleet.compiler.filters import FilterTarget
from queryfleet.compiler.grouping import Grouper
from queryfleet.compiler.items import calculation_item, custom_item, dimension_item, metric_item
from queryfleet.compiler.ordering import default_sorts, orders
from queryfleet.compiler.period_over_period import PeriodComparison
from queryfleet.compiler.plan import Order, Output
from queryfleet.compiler.post_calculations import post_calculation
from queryfleet.compiler.question import (
    is_post_calculation,
    metric_column_type,
    post_calculation_base,
    sort_column,
)
from queryfleet.compiler.rows import GroupColumn
from queryfleet.compiler.stack import Stack
from queryfleet.compiler.totals import Totals
from queryfleet.compiler.within import within_condition
from queryfleet.semantic.explore import Dimension

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from queryfleet.compiler.calculation import Parsed
    from queryfleet.compiler.custom_dimensions import CustomColumn
    from queryfleet.compiler.metric_query import DateZoom, MetricQuery
    from queryfleet.compiler.ordering import SortColumn
    from queryfleet.compiler.plan import Plan
    from queryfleet.compiler.query_warning import QueryWarning
    from queryfleet.compiler.question import Question
    from queryfleet.compiler.rendering import Renderer
    from queryfleet.compiler.rows import Condition
    from queryfleet.compiler.within import Within
    from queryfleet.errors import JsonValue
    from queryfleet.semantic.explore import Explore, Metric

__all__ = ["Statement", "StatementMaker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A plan and what is known of its columns."""

    plan: Plan
    items: Mapping[str, Mapping[str, JsonValue]]  # by id, in the order of the columns
    query: MetricQuery  # with its order
    warnings: tuple[QueryWarning, ...]
    is_date_zoomed: bool


class StatementMaker:
    """Makes the statement of one question.

    Args:
        question: What is asked.
        renderer: Of the question.
        date_zoom: Shows a date at another interval.
        can_write_sql: False refuses SQL of the client's own.
        nulls_first: Where NULLs are in the order when a sort does not say; None: as the warehouse does.
        within: Only rows of these groups count; None: all.
    """

    def __init__(
        self,
        question: Question,
        renderer: Renderer,
        *,
        date_zoom: DateZoom | None = None,
        can_write_sql: bool = True,
        nulls_first: bool | None = None,
        within: Within | None = None,
    ) -> None:
        self._question = question
        self._query = question.query
        self._renderer = renderer
        self._context = renderer.context
        self._quote = renderer.context.dialect.quote
        self._prefix = _stage_prefix(question.explore)
        self._nulls_first = nulls_first
        self._can_write_sql = can_write_sql
        self._within = within
        self._customs = self._custom_columns()
        self._zoomed = zoomed_dimension(question.dimensions, date_zoom, question.explore)
        self._sort_columns = self._sortable()
        self._sorts = self._query.sorts or default_sorts(
            tuple(self._sort_columns.values()), [each.field_id for each in question.metrics]
        )

    def statement(self) -> Statement:
        """Return the statement.

        Raises:
            FieldReferenceError, ForbiddenError, ParameterError, CompileError: As `compile_metric_query`.
        """
        question, query = self._question, self._query
        columns = self._group_columns()
        conditions = Conditions(self._renderer, self._customs)
        on_rows = (*conditions.of(query.dimension_filters), *self._within_conditions())
        grouper = Grouper(question.explore, self._renderer, self._prefix)
        plain, compared, posts = self._by_kind(question.needed_metrics())
        parsed = parsed_calculations(question, self._renderer, can_write_sql=self._can_write_sql)
        grouped = grouper.grouped(columns, plain, on_rows)
        warnings = list(grouped.warnings)
        stack = Stack(grouped.stages, grouped.select, self._prefix, self._quote)
        if compared:
            periods = PeriodComparison(question, self._renderer, grouper, conditions, prefix=self._prefix)
            warnings += periods.add(stack, columns, compared)
        self._add_metric_stages(stack, posts)
        totals = Totals(question, self._renderer, grouper, self._prefix)
        if parsed:
            totals.add(stack, parsed, columns, on_rows)
            warnings += totals.warnings
            add_calculations(stack, parsed, self._row_order, renderer=self._renderer, totals=totals)
        condition = self._calculation_condition(parsed)
        if parsed and (condition is not None or totals.is_used or self._has_special_order()):
            stack.push("calculated")
        stack.filter(condition)
        items = self._items()
        order_by = orders(self._sorts, self._sort_columns, self._context, nulls_first=self._nulls_first)
        return Statement(
            plan=stack.plan(tuple(items), order_by, query.limit),
            items=items,
            query=replace(query, sorts=tuple(self._sorts)),
            warnings=tuple(dict.fromkeys(warnings)),
            is_date_zoomed=self._zoomed is not None,
        )

    def _add_metric_stages(self, stack: Stack, posts: Sequence[Metric]) -> None:
        """Add metrics over the finished groups, then the filter on metrics."""
        condition = self._metric_condition()
        is_reordered = self._has_special_order() and not self._query.calculations
        if posts or condition is not None or is_reordered:
            stack.push("metrics")
        if posts:
            stack.add(self._post_calculations(posts, stack.names))
            if condition is not None or is_reordered:
                stack.push("post_calculations")
        stack.filter(condition)

    # --- dimensions ---------------------------------------------------------------------------------------------

    def _custom_columns(self) -> dict[str, CustomColumn]:
        """Return the custom dimensions that are selected or filtered, written."""
        used = {*self._query.dimensions, *enabled_ids(self._query.dimension_filters)}
        used |= set(self._within.dimensions) if self._within is not None else set()
        return {
            each.id: custom_column(
                each, self._renderer, f"{self._prefix}bins_{number}", can_write_sql=self._can_write_sql
            )
            for number, each in enumerate(self._query.custom_dimensions, 1)
            if each.id in used
        }

    def _sortable(self) -> dict[str, SortColumn]:
        found: dict[str, SortColumn] = {}
        for dimension in self._question.dimensions:
            if isinstance(dimension, Dimension):
                shown = self._shown(dimension)
                found[dimension.field_id] = replace(sort_column(shown), name=dimension.field_id)
            else:
                is_numbered = self._customs[dimension.id].order_sql is not None
                found[dimension.id] = sort_column(dimension, is_numbered=is_numbered)
        return found

    def _shown(self, dimension: Dimension) -> Dimension:
        """Return the dimension whose values a column holds: the zoomed one, if this one is zoomed."""
        is_zoomed = self._zoomed is not None and self._zoomed[0] == dimension.field_id
        return self._zoomed[1] if is_zoomed and self._zoomed is not None else dimension

    def _group_columns(self) -> tuple[GroupColumn, ...]:
        found: list[GroupColumn] = []
        helpers: list[GroupColumn] = []
        sorted_by = {sort.field_id for sort in self._sorts}
        for dimension in self._question.dimensions:
            if isinstance(dimension, Dimension):
                found.append(self._group_column(dimension))
            else:
                custom = self._customs[dimension.id]
                found.append(custom.column)
                if custom.order is not None and dimension.id in sorted_by:
                    helpers.append(custom.order)
        return (*found, *helpers)

    def _group_column(self, dimension: Dimension) -> GroupColumn:
        shown = self._shown(dimension)
        return GroupColumn(
            name=dimension.field_id,
            sql=self._renderer.dimension(shown),
            type=shown.type,
            tables=frozenset(shown.expression.tables if shown.expression is not None else ()),
        )

    def _within_conditions(self) -> tuple[Condition, ...]:
        if self._within is None:
            return ()
        columns = [
            self._customs[name].column
            if name in self._customs
            else self._group_column(self._question.explore.dimension(name))
            for name in self._within.dimensions
        ]
        return (within_condition(self._within, columns, f"{self._prefix}within", self._context.dialect),)

    def _has_special_order(self) -> bool:
        columns = (self._sort_columns.get(sort.field_id) for sort in self._sorts)
        return any(column is not None and column.is_special for column in columns)

    # --- metrics ------------------------------------------------------------------------------------------------

    def _by_kind(self, needed: Sequence[Metric]) -> tuple[tuple[Metric, ...], tuple[Metric, ...], tuple[Metric, ...]]:
        """Return the metrics of the grouped query, those that compare periods, and post-calculations, each once.

        What others are computed from is among them.
        """
        posts = tuple(each for each in needed if is_post_calculation(each))
        bases = (post_calculation_base(each, self._question.explore) for each in posts)
        others = {each.field_id: each for each in (*needed, *bases) if not is_post_calculation(each)}
        compared = {
            field_id: each
            for field_id, each in others.items()
            if self._question.period_over_period(field_id) is not None
        }
        return tuple(each for each in others.values() if each.field_id not in compared), tuple(compared.values()), posts

    def _post_calculations(self, metrics: Sequence[Metric], names: tuple[str, ...]) -> list[Output]:
        explore, dialect = self._question.explore, self._context.dialect
        order = self._window_order(names)
        pivoted = [name for name in self._sort_columns if name in self._query.pivot_dimensions]
        index = [name for name in self._sort_columns if name not in pivoted]
        partition = (
            [self._quote(name) for name in index] if pivoted else [],
            [self._quote(name) for name in pivoted],
        )
        return [
            Output(
                name=each.field_id,
                sql=post_calculation(
                    each.type,
                    self._quote(post_calculation_base(each, explore).field_id),
                    dialect,
                    order=order,
                    partition=partition,
                ),
            )
            for each in metrics
        ]

    def _window_order(self, available: Sequence[str], source: str | None = None) -> tuple[Order, ...]:
        """Return the order of rows for window functions over columns that are there already; never empty."""
        found = orders(
            self._sorts,
            self._sort_columns,
            self._context,
            available=available,
            source=source,
            nulls_first=self._nulls_first,
        )
        if found:
            return found
        name = self._quote(available[0])
        return (Order(sql=name if source is None else f"{self._quote(source)}.{name}"),)

    def _row_order(self, source: str) -> tuple[Order, ...]:
        """Return the order of the rows that calculations see: the query's, as far as it is not by calculations."""
        return self._window_order((*self._query.dimensions, *self._query.metrics), source)

    def _metric_condition(self) -> str | None:
        group = self._query.metric_filters
        if group is None:
            return None
        found = {each.field_id: each for each in self._question.filter_metrics}

        def target(field_id: str) -> FilterTarget:
            return FilterTarget(
                sql=self._quote(field_id), type=metric_column_type(found[field_id]), case_sensitive=True
            )

        return self._renderer.condition(group, target)

    def _calculation_condition(self, parsed: Mapping[str, Parsed]) -> str | None:
        group = self._query.calculation_filters
        if group is None:
            return None
        types = {each.name: calculation_type(each, parsed[each.name]) for each in self._query.calculations}

        def target(name: str) -> FilterTarget:
            return FilterTarget(sql=self._quote(name), type=types[name])

        return self._renderer.condition(group, target)

    # --- columns ------------------------------------------------------------------------------------------------

    def _items(self) -> dict[str, dict[str, JsonValue]]:
        items: dict[str, dict[str, JsonValue]] = {}
        for dimension in self._question.dimensions:
            if isinstance(dimension, Dimension):
                shown = self._shown(dimension)
                items[dimension.field_id] = dimension_item(
                    dimension, self._query, None if shown is dimension else shown
                )
            else:
                items[dimension.id] = custom_item(dimension)
        items |= {each.field_id: metric_item(each, self._query) for each in self._question.metrics}
        return items | {each.name: calculation_item(each) for each in self._query.calculations}


def _stage_prefix(explore: Explore) -> str:
    """Return what names of stages begin with: something that no table's SQL mentions, which they would hide."""
    texts = "".join(
        getattr(part, "text", "").lower() for table in explore.tables.values() for part in table.sql_from.parts
    )
    prefix = "qf"
    while f"{prefix}_" in texts or any(name.lower().startswith(f"{prefix}_") for name in explore.tables):
        prefix += "_"
    return f"{prefix}_"
