"""Which metrics a join would count more than once, and by what keys they are counted right.

A join repeats a row when one row on its side meets many on the other. Each join splits the tables of a question into
the joined one with what hangs on it, and the rest; its relationship says on which of the two sides many rows meet one
of the other side:

    orders ──one-to-many──▶ items        many side: {items}
    orders ──many-to-one──▶ customers    many side: {orders, items}

A row determines those of other tables that it reaches without crossing into a many side. A metric over the rows of
some tables is repeated by every table that none of them determines: an order's amount by `items`, a customer's credit
by `orders` and everything else on its side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from queryfleet.semantic.explore import MetricType, Relationship

if TYPE_CHECKING:
    from collections.abc import Collection

    from queryfleet.semantic.explore import Join

__all__ = ["FanOut", "fan_out", "is_repetition_proof"]

_PROOF: Final = frozenset({MetricType.COUNT_DISTINCT, MetricType.MIN, MetricType.MAX})


def is_repetition_proof(type_: MetricType) -> bool:
    """Tell whether rows that are repeated make no difference to a metric of this type."""
    return type_ in _PROOF


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOut:
    """What the joins of one question repeat."""

    tables: frozenset[str]  # aliases of all that are joined
    many_sides: tuple[frozenset[str], ...]  # see the module; aliases
    unknown: tuple[str, ...] = ()  # joined tables whose relationship is not declared, in the order of the joins

    def repeats(self, tables: Collection[str]) -> bool:
        """Tell whether a row made of one row of each of these tables can occur more than once."""
        # It does when rows of another table are still open: also of one between two of these, which many rows may link.
        return any(not any(each == other or self._determines(each, other) for each in tables) for other in self.tables)

    def key_tables(self, tables: Collection[str]) -> tuple[str, ...]:
        """Return the fewest of these tables whose rows together identify a row made of all of them.

        Args:
            tables: Aliases; of two that identify each other the first stays.
        """
        kept = list(tables)
        for table in reversed(tuple(tables)):
            if any(other != table and self._determines(other, table) for other in kept):
                kept.remove(table)
        return tuple(kept)

    def _determines(self, table: str, other: str) -> bool:
        return not any(other in side and table not in side for side in self.many_sides)


def fan_out(joins: tuple[Join, ...], base_table: str) -> FanOut:
    """Return what these joins repeat.

    Args:
        joins: Those of the question, in the declared order.
        base_table: Alias of the table they start from.

    Cost: quadratic in the joins.
    """
    everything = frozenset({base_table, *(join.table for join in joins)})
    sides: list[frozenset[str]] = []
    for join in joins:
        below = _hanging_on(join.table, joins)
        if join.relationship in (Relationship.ONE_TO_MANY, Relationship.MANY_TO_MANY):
            sides.append(below)
        if join.relationship in (Relationship.MANY_TO_ONE, Relationship.MANY_TO_MANY):
            sides.append(everything - below)
    return FanOut(
        tables=everything,
        many_sides=tuple(dict.fromkeys(sides)),
        unknown=tuple(join.table for join in joins if join.relationship is None),
    )


def _hanging_on(table: str, joins: tuple[Join, ...]) -> frozenset[str]:
    """Return a joined table and every table that is joined from it, directly or through others."""
    found = {table}
    for join in joins:
        if not found.isdisjoint(set(join.sql_on.tables) - {join.table}):
            found.add(join.table)
    return frozenset(found)
