"""A plan as SQL text of one dialect. Every plan has exactly one text, so equal questions have equal cache keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.compiler.plan import JoinKind, StageSource

if TYPE_CHECKING:
    from queryfleet.compiler.dialects.base import Dialect
    from queryfleet.compiler.plan import Joined, Order, Plan, Select, Source

__all__ = ["ordered", "printed"]


def printed(plan: Plan, dialect: Dialect) -> str:
    """Return the statement, without a semicolon.

    Args:
        plan: Its expressions must be SQL of the dialect.
        dialect: Quotes the names.

    Cost: linear in the text.
    """
    stages = [f"{dialect.quote(stage.name)} AS (\n{_select(stage.select, dialect)}\n)" for stage in plan.stages]
    head = "WITH " + ",\n".join(stages) + "\n" if stages else ""
    return head + _select(plan.final, dialect)


def ordered(order: Order) -> str:
    """Return one entry of an ORDER BY."""
    direction = " DESC" if order.is_descending else ""
    if order.nulls_first is None:
        return f"{order.sql}{direction}"
    return f"{order.sql}{direction} NULLS {'FIRST' if order.nulls_first else 'LAST'}"


def _select(select: Select, dialect: Dialect) -> str:
    columns = ",\n".join(f"  {_closed(output.sql)} AS {dialect.quote(output.name)}" for output in select.outputs)
    lines = [f"SELECT{' DISTINCT' if select.is_distinct else ''}\n{columns}", f"FROM {_source(select.source, dialect)}"]
    lines += [_joined(each, dialect) for each in select.joins]
    conditions = [*select.row_filters, *select.where]
    if conditions:
        lines.append(f"WHERE {_all_of(conditions)}")
    if select.group_by:
        lines.append(f"GROUP BY {', '.join(str(place) for place in range(1, select.group_by + 1))}")
    if select.order_by:
        lines.append(f"ORDER BY {', '.join(ordered(each) for each in select.order_by)}")
    if select.limit is not None:
        lines.append(f"LIMIT {select.limit}")
    return "\n".join(lines)


def _source(source: Source, dialect: Dialect) -> str:
    alias = dialect.quote(source.alias)
    if isinstance(source, StageSource):
        name = dialect.quote(source.stage)
        return name if source.alias == source.stage else f"{name} AS {alias}"
    return f"{_closed(source.sql)} AS {alias}"


def _joined(joined: Joined, dialect: Dialect) -> str:
    text = f"{joined.kind.value} {_source(joined.source, dialect)}"
    return text if joined.kind is JoinKind.CROSS else f"{text}\n  ON {_all_of(joined.on)}"


def _all_of(conditions: list[str] | tuple[str, ...]) -> str:
    return "\n  AND ".join(f"({_closed(condition)})" for condition in conditions)


def _closed(sql: str) -> str:
    """Return the text so that a line comment at its end does not swallow what follows."""
    return f"{sql}\n" if "--" in sql.rsplit("\n", 1)[-1] else sql
