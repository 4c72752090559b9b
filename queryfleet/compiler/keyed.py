"""Metrics counted right over rows that a join repeats: one row for each key in each group, then the aggregate.

    <name>       SELECT columns, keys, MAX(argument) … FROM joined tables GROUP BY columns, keys
    <name>_sum   SELECT columns, SUM(argument) … FROM <name> GROUP BY columns

The argument is the same in all rows of a key, so MAX takes just that one. Where a filter of the metric holds for some
of the repeated rows only, the row counts. An expression that holds its own aggregate cannot be taken apart: for it the
tables are joined once more, to the different keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.compiler.joins import table_source
from queryfleet.compiler.plan import Joined, JoinKind, Output, Select, Stage, StageSource
from queryfleet.errors import CompileError
from queryfleet.semantic.explore import Dimension, MetricType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from queryfleet.compiler.metric_sql import MetricSql
    from queryfleet.compiler.rows import Rows
    from queryfleet.semantic.explore import Explore, Metric

__all__ = ["Key", "declared_key", "joined_back", "keyed_parts", "metric_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What identifies a row to be counted."""

    dimensions: tuple[str, ...]  # field ids
    # Tables whose keys these are, in the same order, so that a row without a key is no row of theirs; empty: the keys
    # were declared for a metric and may be NULL.
    tables: tuple[str, ...] = ()


def metric_key(tables: Sequence[str], explore: Explore) -> Key | None:
    """Return the primary keys of tables as one key; None when one of them has none.

    Args:
        tables: Aliases.
        explore: Where they are.
    """
    ids: list[str] = []
    owners: list[str] = []
    for table in tables:
        names = explore.tables[table].primary_key
        if not names:
            return None
        for name in names:
            dimension = explore.tables[table].dimensions.get(name)
            if dimension is None or dimension.expression is None or set(dimension.expression.tables) != {table}:
                return None
            ids.append(dimension.field_id)
            owners.append(table)
    return Key(dimensions=tuple(ids), tables=tuple(owners))


def declared_key(metric: Metric, explore: Explore) -> Key:
    """Return the key of a deduplicated metric: the one it declares, else that of its table.

    Raises:
        CompileError: There is neither.
    """
    table = explore.tables[metric.table]
    ids = metric.distinct_keys or tuple(f"{table.name}_{name}" for name in table.primary_key)
    if not ids:
        raise CompileError(
            f"the metric `{metric.field_id}` needs `distinct_keys`: name the dimensions that identify one value",
            fieldId=metric.field_id,
        )
    return Key(dimensions=tuple(sorted(ids)))


def keyed_parts(
    rows: Rows, key: Key, metrics: Mapping[str, Metric], naming: tuple[str, MetricSql]
) -> tuple[Stage, Stage]:
    """Return the two stages of metrics that share a key; the second has the columns and the metrics.

    Args:
        rows: What is grouped.
        key: Of all these metrics.
        metrics: Aggregates, by id.
        naming: Name of the first stage, and what writes the metrics.
    """
    name, sql = naming
    dialect = sql.renderer.context.dialect
    keys = tuple(
        Output(name=_key_name(place), sql=_dimension_sql(field_id, sql))
        for place, field_id in enumerate(key.dimensions)
    )
    values = {field_id: f"qf_value_{place}" for place, field_id in enumerate(metrics, 1)}
    arguments = tuple(
        Output(name=values[field_id], sql=dialect.aggregate(MetricType.MAX, _presence(metric, sql.argument(metric))))
        for field_id, metric in metrics.items()
    )
    inner = Stage(name=name, select=rows.with_outputs((*keys, *arguments), keys=len(keys)))
    present = " AND ".join(f"{dialect.quote(_key_name(place))} IS NOT NULL" for place, _ in enumerate(key.tables))
    outputs: list[Output] = []
    for field_id, metric in metrics.items():
        value = dialect.quote(values[field_id])
        argument = f"CASE WHEN {present} THEN {value} END" if present else value
        outputs.append(Output(name=field_id, sql=sql.aggregate(metric, argument)))
    return inner, Stage(name=f"{name}_sum", select=_regrouped(rows, name, tuple(outputs), sql))


def joined_back(
    rows: Rows, key: Key, metrics: Mapping[str, Metric], naming: tuple[str, MetricSql]
) -> tuple[Stage, Stage]:
    """Return the two stages of metrics whose SQL holds its own aggregate; the second has the columns and the metrics.

    Args:
        rows: What is grouped.
        key: The primary keys of every table that the metrics need.
        metrics: Expressions, by id.
        naming: Name of the first stage, and what writes the metrics.
    """
    name, sql = naming
    quote = sql.renderer.context.dialect.quote
    keys = tuple(
        Output(name=_key_name(place), sql=_dimension_sql(field_id, sql))
        for place, field_id in enumerate(key.dimensions)
    )
    inner = Stage(name=name, select=rows.with_outputs(keys, is_distinct=True))
    joins: list[Joined] = []
    for table in dict.fromkeys(key.tables):
        on = tuple(
            f"{quote(name)}.{quote(_key_name(place))} = {keys[place].sql}"
            for place, owner in enumerate(key.tables)
            if owner == table
        )
        source = table_source(table, sql.explore, sql.renderer)
        joins.append(Joined(kind=JoinKind.LEFT, source=source, on=on))
    outputs = tuple(Output(name=field_id, sql=sql.inline(metric)) for field_id, metric in metrics.items())
    select = _regrouped(rows, name, outputs, sql)
    joined = Select(outputs=select.outputs, source=select.source, joins=tuple(joins), group_by=select.group_by)
    return inner, Stage(name=f"{name}_sum", select=joined)


def _regrouped(rows: Rows, stage: str, outputs: tuple[Output, ...], sql: MetricSql) -> Select:
    quote = sql.renderer.context.dialect.quote
    columns = tuple(Output(name=each.name, sql=f"{quote(stage)}.{quote(each.name)}") for each in rows.columns)
    source = StageSource(stage=stage, alias=stage)
    return Select(outputs=(*columns, *outputs), source=source, group_by=len(columns))


def _presence(metric: Metric, argument: str) -> str:
    """Return an argument whose greatest value says all that matters: of a count, whether there is one."""
    if metric.type is not MetricType.COUNT:
        return argument
    return "1" if argument == "*" else f"CASE WHEN {argument} IS NOT NULL THEN 1 END"


def _dimension_sql(field_id: str, sql: MetricSql) -> str:
    found = sql.explore.referenced(field_id)
    if not isinstance(found, Dimension) or found.expression is None:
        raise CompileError(f"the key `{field_id}` is no dimension that can be used")
    return sql.renderer.dimension(found)


def _key_name(place: int) -> str:
    return f"qf_key_{place + 1}"
