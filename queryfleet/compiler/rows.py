"""The joined and filtered rows of a question, before they are grouped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.compiler.plan import Output, Select, Stage

if TYPE_CHECKING:
    from queryfleet.compiler.fan_out import FanOut
    from queryfleet.model import ColumnType

__all__ = ["Condition", "GroupColumn", "Rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupColumn:
    """What is grouped by."""

    name: str  # of the output
    sql: str
    type: ColumnType
    tables: frozenset[str]  # aliases it reaches
    bounds: Stage | None = None  # a stage of one row that its SQL reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition on the rows."""

    sql: str
    tables: frozenset[str]  # aliases it reaches
    bounds: tuple[Stage, ...] = ()  # stages of one row that its SQL reads as sources of the select


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Columns over joined tables; every part of one grouped query is made of the same rows."""

    columns: tuple[GroupColumn, ...]
    select: Select  # its outputs are the columns
    fan: FanOut

    def with_outputs(self, outputs: tuple[Output, ...], *, is_distinct: bool = False, keys: int = 0) -> Select:
        """Return a select of the columns and more.

        Args:
            outputs: What comes after the columns.
            is_distinct: There are no aggregates among them: just the different rows.
            keys: How many of the outputs are grouped by, too.
        """
        select = self.select
        return Select(
            outputs=(*select.outputs, *outputs),
            source=select.source,
            joins=select.joins,
            row_filters=select.row_filters,
            where=select.where,
            group_by=0 if is_distinct else len(select.outputs) + keys,
            is_distinct=is_distinct,
        )
