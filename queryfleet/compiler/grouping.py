"""The grouped query: dimensions, and every metric over the rows of its group, counted once whatever is joined.

    rest     metrics that no join repeats, straight over the joined tables
    keyed    metrics that one does: first one row for each key of their own rows in each group, then the aggregate
    nested   metrics that aggregate other metrics

Mostly there is only the first, and the grouped query is one plain select. Otherwise each part becomes a stage over the
same groups, and the parts are joined by their dimensions, in a form of equality that warehouses can hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from queryfleet.compiler.fan_out import fan_out, is_repetition_proof
from queryfleet.compiler.joins import joined_tables, needed_joins, row_filters
from queryfleet.compiler.keyed import Key, declared_key, joined_back, keyed_parts, metric_key
from queryfleet.compiler.metric_sql import MetricSql, leaves, nested_within
from queryfleet.compiler.plan import Joined, JoinKind, Output, Select, Stage, StageSource
from queryfleet.compiler.query_warning import QueryWarning
from queryfleet.compiler.question import metric_column_type
from queryfleet.compiler.rows import Rows
from queryfleet.model import ColumnType
from queryfleet.semantic.explore import MetricClass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.compiler.rendering import Renderer
    from queryfleet.compiler.rows import Condition, GroupColumn
    from queryfleet.semantic.explore import Explore, Metric

__all__ = ["Grouped", "Grouper"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """A grouped query."""

    stages: tuple[Stage, ...]  # what `select` reads
    select: Select  # outputs: the columns, then the metrics, each in the order asked for
    warnings: tuple[QueryWarning, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Parts:
    """Which metric is computed where; fills as metrics are looked at."""

    rest: dict[str, Metric] = field(default_factory=dict)  # by id
    keyed: dict[Key, dict[str, Metric]] = field(default_factory=dict)
    whole: dict[Key, dict[str, Metric]] = field(default_factory=dict)  # keyed, with SQL that holds its own aggregate
    warnings: list[QueryWarning] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        return not self.keyed and not self.whole


class Grouper:
    """Makes grouped queries over one explore for one question.

    Args:
        explore: With the question's own metrics.
        renderer: Of the question.
        prefix: What names of stages begin with.
    """

    def __init__(self, explore: Explore, renderer: Renderer, prefix: str) -> None:
        self._explore = explore
        self._renderer = renderer
        self._dialect = renderer.context.dialect
        self._prefix = prefix
        self._sql = MetricSql(explore, renderer)

    def grouped(
        self,
        columns: tuple[GroupColumn, ...],
        metrics: tuple[Metric, ...],
        conditions: tuple[Condition, ...],
        *,
        label: str = "",
    ) -> Grouped:
        """Return the query.

        Args:
            columns: What is grouped by; none: one row.
            metrics: Aggregates, deduplicated ones and expressions over them.
            conditions: On the rows, besides the row filters.
            label: Goes into the names of its stages; another one for each grouped query of a plan.

        Raises:
            ForbiddenError: SQL needs an attribute that the caller has no value of.
            CompileError: A metric lacks what it needs.

        Cost: linear in the SQL.
        """
        found = {each.field_id: each for metric in metrics for each in leaves(metric, self._explore)}
        rows = self._rows(columns, tuple(found.values()), conditions)
        parts = self._parts(found, rows)
        bounds = _bounds(columns, conditions)
        if parts.is_plain and not nested_within(metrics, self._explore):
            outputs = tuple(
                Output(name=each.field_id, sql=self._selected(each, self._sql.inline(each))) for each in metrics
            )
            return Grouped(stages=bounds, select=rows.with_outputs(outputs), warnings=tuple(parts.warnings))
        stages, select = self._joined(rows, parts, metrics, f"{self._prefix}{label}")
        return Grouped(stages=(*bounds, *stages), select=select, warnings=tuple(parts.warnings))

    def _rows(
        self, columns: tuple[GroupColumn, ...], metrics: tuple[Metric, ...], conditions: tuple[Condition, ...]
    ) -> Rows:
        tables: set[str] = set()
        for column in columns:
            tables |= column.tables
        for condition in conditions:
            tables |= condition.tables
        for metric in metrics:
            tables |= self._sql.tables(metric)
            if metric.metric_class is MetricClass.DEDUPLICATED:
                for field_id in declared_key(metric, self._explore).dimensions:
                    tables |= self._renderer.tables(field_id)
        joins = needed_joins(self._explore, tables)
        source, joined = joined_tables(joins, self._explore, self._renderer)
        crossed = tuple(
            Joined(kind=JoinKind.CROSS, source=StageSource(stage=each.name, alias=each.name))
            for each in _bounds(columns, conditions)
        )
        select = Select(
            outputs=tuple(Output(name=column.name, sql=column.sql) for column in columns),
            source=source,
            joins=(*joined, *crossed),
            row_filters=row_filters(self._explore, self._renderer),
            where=tuple(condition.sql for condition in conditions),
        )
        return Rows(columns=columns, select=select, fan=fan_out(joins, self._explore.base_table))

    def _parts(self, metrics: Mapping[str, Metric], rows: Rows) -> _Parts:
        parts = _Parts()
        for field_id, metric in metrics.items():
            if metric.metric_class is MetricClass.DEDUPLICATED:
                parts.keyed.setdefault(declared_key(metric, self._explore), {})[field_id] = metric
                continue
            grains = self._sql.grains(metric)
            is_repeated = any(rows.fan.repeats(grain) for grain in grains)
            if is_repetition_proof(metric.type) or not (is_repeated or rows.fan.unknown):
                parts.rest[field_id] = metric
                continue
            if rows.fan.unknown:
                parts.rest[field_id] = metric
                parts.warnings.append(_unknown_relationship(metric, rows.fan.unknown))
                continue
            is_whole = metric.metric_class is MetricClass.EXPRESSION
            tables = self._in_order(frozenset().union(*grains))
            if not is_whole:
                tables = rows.fan.key_tables(tables)
            key = metric_key(tables, self._explore) if len(grains) == 1 else None
            if key is None:
                parts.rest[field_id] = metric
                parts.warnings.append(_unknown_key(metric, tables, self._explore))
            else:
                (parts.whole if is_whole else parts.keyed).setdefault(key, {})[field_id] = metric
        return parts

    def _in_order(self, tables: frozenset[str]) -> tuple[str, ...]:
        return tuple(table for table in self._explore.tables if table in tables)

    def _joined(self, rows: Rows, parts: _Parts, metrics: tuple[Metric, ...], name: str) -> tuple[list[Stage], Select]:
        """Return the stages of several parts, and the select that puts them together."""
        stages: list[Stage] = []
        made: list[tuple[str, tuple[str, ...]]] = []  # stage, metrics in it
        if parts.rest:
            outputs = tuple(Output(name=each, sql=self._sql.inline(metric)) for each, metric in parts.rest.items())
            stages.append(Stage(name=f"{name}rest", select=rows.with_outputs(outputs)))
            made.append((stages[-1].name, tuple(parts.rest)))
        for number, (key, keyed) in enumerate(parts.keyed.items(), 1):
            stages += keyed_parts(rows, key, keyed, (f"{name}keyed_{number}", self._sql))
            made.append((stages[-1].name, tuple(keyed)))
        for number, (key, whole) in enumerate(parts.whole.items(), 1):
            stages += joined_back(rows, key, whole, (f"{name}whole_{number}", self._sql))
            made.append((stages[-1].name, tuple(whole)))
        select, found = self._put_together(rows.columns, made)
        nested = nested_within(metrics, self._explore)
        if nested:
            flat = tuple(Output(name=each, sql=sql) for each, sql in found.items())
            stages.append(Stage(name=f"{name}flat", select=_plus(select, flat)))
            stages.append(Stage(name=f"{name}nested", select=self._nested(rows.columns, nested, f"{name}flat")))
            made = [(f"{name}flat", tuple(found)), (f"{name}nested", tuple(each.field_id for each in nested))]
            select, found = self._put_together(rows.columns, made)
        outputs = tuple(
            Output(name=each.field_id, sql=self._selected(each, self._sql.from_columns(each, found)))
            for each in metrics
        )
        return stages, _plus(select, outputs)

    def _selected(self, metric: Metric, sql: str) -> str:
        """Return a metric as it leaves the grouped query: moments as the dialect must select them."""
        context = self._renderer.context
        is_made_utc = context.dialect.selects_utc or context.data_timezone != "UTC"
        is_moment = is_made_utc and metric_column_type(metric) is ColumnType.TIMESTAMP
        return context.dialect.utc(f"({sql})") if is_moment else sql

    def _nested(self, columns: tuple[GroupColumn, ...], metrics: tuple[Metric, ...], source: str) -> Select:
        """Return the select that aggregates metrics of a stage by the same columns."""
        quote = self._dialect.quote
        keys = tuple(Output(name=column.name, sql=quote(column.name)) for column in columns)
        found = {each.field_id: quote(each.field_id) for metric in metrics for each in leaves(metric, self._explore)}
        outputs = tuple(Output(name=each.field_id, sql=self._sql.from_columns(each, found)) for each in metrics)
        return Select(outputs=(*keys, *outputs), source=StageSource(stage=source, alias=source), group_by=len(columns))

    def _put_together(
        self, columns: tuple[GroupColumn, ...], parts: list[tuple[str, tuple[str, ...]]]
    ) -> tuple[Select, dict[str, str]]:
        """Return a select of the columns over all parts, and where each metric is found in it."""
        quote = self._dialect.quote
        first = parts[0][0]
        joins: list[Joined] = []
        for name, _ in parts[1:]:
            on = tuple(
                self._dialect.null_safe_equal(
                    f"{quote(first)}.{quote(column.name)}", f"{quote(name)}.{quote(column.name)}", column.type
                )
                for column in columns
            )
            source = StageSource(stage=name, alias=name)
            joins.append(Joined(kind=JoinKind.INNER if on else JoinKind.CROSS, source=source, on=on))
        select = Select(
            outputs=tuple(Output(name=each.name, sql=f"{quote(first)}.{quote(each.name)}") for each in columns),
            source=StageSource(stage=first, alias=first),
            joins=tuple(joins),
        )
        return select, {each: f"{quote(name)}.{quote(each)}" for name, ids in parts for each in ids}


def _plus(select: Select, outputs: tuple[Output, ...]) -> Select:
    return Select(outputs=(*select.outputs, *outputs), source=select.source, joins=select.joins)


def _bounds(columns: tuple[GroupColumn, ...], conditions: tuple[Condition, ...]) -> tuple[Stage, ...]:
    """Return the stages of one row that columns and conditions read, each once."""
    found = [column.bounds for column in columns if column.bounds is not None]
    for condition in conditions:
        found += condition.bounds
    return tuple(dict.fromkeys(found))


def _unknown_relationship(metric: Metric, tables: tuple[str, ...]) -> QueryWarning:
    named = ", ".join(f"`{table}`" for table in tables)
    return QueryWarning(
        message=f"`{metric.field_id}` may count rows more than once: declare the `relationship` of the join to {named}",
        fields=(metric.field_id,),
        tables=tables,
    )


def _unknown_key(metric: Metric, tables: tuple[str, ...], explore: Explore) -> QueryWarning:
    missing = tuple(table for table in tables if not explore.tables[table].primary_key)
    if missing:
        named = ", ".join(f"`{table}`" for table in missing)
        advice = f"declare the `primary_key` of {named}"
    else:
        missing = tables
        advice = "make a metric of each aggregate in it, and one that combines them"
    return QueryWarning(
        message=f"`{metric.field_id}` counts rows as often as a join repeats them: {advice}",
        fields=(metric.field_id,),
        tables=missing,
    )
