"""Which tables a question needs, in the declared order, and how they are joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from queryfleet.compiler.plan import Joined, JoinKind, TableSource
from queryfleet.semantic.explore import JoinType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from queryfleet.compiler.rendering import Renderer
    from queryfleet.semantic.explore import Explore, Join

__all__ = ["joined_tables", "needed_joins", "row_filters", "table_source"]

_KINDS: Final = {
    JoinType.LEFT: JoinKind.LEFT,
    JoinType.INNER: JoinKind.INNER,
    JoinType.RIGHT: JoinKind.RIGHT,
    JoinType.FULL: JoinKind.FULL,
}


def needed_joins(explore: Explore, tables: Iterable[str]) -> tuple[Join, ...]:
    """Return the joins that bring these tables, in the declared order.

    Args:
        explore: Where they are declared.
        tables: Aliases that fields and filters need; the base is always there and needs no join. What the conditions
            of needed joins mention, and joins that are always made, come by themselves.

    Cost: linear in the joins, times the length of the longest chain of them.
    """
    by_table = {join.table: join for join in explore.joins}
    wanted = set(tables) | {join.table for join in explore.joins if join.always}
    for expression in explore.row_filters:
        wanted.update(expression.tables)
    pending = list(wanted)
    while pending:
        join = by_table.get(pending.pop())
        if join is None:
            continue
        mentioned = set(join.sql_on.tables)
        if join.row_filter is not None:
            mentioned.update(join.row_filter.tables)
        pending += mentioned - wanted
        wanted |= mentioned
    return tuple(join for join in explore.joins if join.table in wanted)


def table_source(alias: str, explore: Explore, renderer: Renderer) -> TableSource:
    """Return a table of the explore as a source under its alias.

    Raises:
        ForbiddenError: Its SQL needs an attribute that the caller has no value of.
        ParameterError: A value that it needs cannot stand in a name.
    """
    return TableSource(sql=renderer.source(explore.tables[alias]), alias=alias)


def joined_tables(
    joins: tuple[Join, ...], explore: Explore, renderer: Renderer
) -> tuple[TableSource, tuple[Joined, ...]]:
    """Return the base and what is joined to it.

    Args:
        joins: Those needed, from `needed_joins`.
        explore: Where they are declared.
        renderer: Of the question.

    Raises:
        ForbiddenError: SQL of a join needs an attribute that the caller has no value of.
    """
    found: list[Joined] = []
    for join in joins:
        conditions = [renderer.expression(join.sql_on, join.table)]
        if join.row_filter is not None:
            conditions.append(renderer.expression(join.row_filter, join.table))
        source = table_source(join.table, explore, renderer)
        found.append(Joined(kind=_KINDS[join.type], source=source, on=tuple(conditions)))
    return table_source(explore.base_table, explore, renderer), tuple(found)


def row_filters(explore: Explore, renderer: Renderer) -> tuple[str, ...]:
    """Return the conditions on the rows that the caller may see; every select over the tables must have them.

    Raises:
        ForbiddenError: One needs an attribute that the caller has no value of.
    """
    return tuple(renderer.expression(each, explore.base_table) for each in explore.row_filters)
