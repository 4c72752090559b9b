"""What a metric query becomes before it is text: stages that read one another, and the select that ends them.

    Plan
    ├─ stages   each a common table expression; reads tables and earlier stages
    └─ final    what the result is: columns in the order they were asked for, order, limit

Expressions inside are finished SQL of one dialect, but which columns there are, where rows come from, what limits and
what orders them stays structure. So a later rewrite (a pivot around it, totals beside it) moves nodes and never
searches in text. Row filters of the models have a place of their own that no rewrite touches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

__all__ = ["JoinKind", "Joined", "Order", "Output", "Plan", "Select", "Source", "Stage", "StageSource", "TableSource"]


class JoinKind(StrEnum):
    """How a source is joined; the value is the SQL."""

    LEFT = "LEFT OUTER JOIN"
    INNER = "INNER JOIN"
    RIGHT = "RIGHT OUTER JOIN"
    FULL = "FULL OUTER JOIN"
    CROSS = "CROSS JOIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    """A table of the warehouse, or a SELECT in parentheses."""

    sql: str  # what stands before AS
    alias: str  # not quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSource:
    """An earlier stage."""

    stage: str  # its name, not quoted
    alias: str  # likewise; often the same


Source: TypeAlias = TableSource | StageSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """One more source of a select."""

    kind: JoinKind
    source: Source
    on: tuple[str, ...] = ()  # conditions, ANDed, each printed in parentheses; empty for CROSS only


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One column of a select."""

    name: str  # not quoted; unique in its select
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One entry of ORDER BY, of a select or of a window."""

    sql: str
    is_descending: bool = False
    nulls_first: bool | None = None  # None: as the warehouse does


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """One SELECT."""

    outputs: tuple[Output, ...]  # at least one
    source: Source
    joins: tuple[Joined, ...] = ()
    row_filters: tuple[str, ...] = ()  # of the models: which rows the caller may see; ANDed, each in parentheses
    where: tuple[str, ...] = ()  # what the question asks; likewise
    group_by: int = 0  # the first so many outputs are grouped by; 0: no GROUP BY
    is_distinct: bool = False
    order_by: tuple[Order, ...] = ()
    limit: int | None = None  # rows; None: all

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of its columns, in order."""
        return tuple(output.name for output in self.outputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A common table expression."""

    name: str  # not quoted; unique in its plan
    select: Select


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One statement."""

    stages: tuple[Stage, ...]  # each reads only earlier ones
    final: Select

    def unordered(self) -> Plan:
        """Return the same rows, all of them, in no order: what another statement can be put around."""
        return replace(self, final=replace(self.final, order_by=(), limit=None))

    def stage(self, name: str) -> Stage:
        """Return the stage of that name.

        Raises:
            KeyError: There is none.
        """
        for each in self.stages:
            if each.name == name:
                return each
        raise KeyError(name)
