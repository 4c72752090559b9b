"""Rows of the groups that another query shows: what totals and subtotals are computed over.

    <within>   SELECT DISTINCT dimensions FROM (the other query)

The stage is read beside the tables, and each row is held against it by equality that a database can hash. Its rows
differ, so no row of the tables comes twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.compiler.plan import Output, Select, Stage, TableSource
from queryfleet.compiler.rows import Condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from queryfleet.compiler.dialects import Dialect
    from queryfleet.compiler.rows import GroupColumn

__all__ = ["Within", "within_condition"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """Groups of another query."""

    dimensions: tuple[str, ...]  # ids that make a group; at least one
    sql: str  # a statement with a column for each of them, named by its id


def within_condition(within: Within, columns: Sequence[GroupColumn], name: str, dialect: Dialect) -> Condition:
    """Return the condition that a row is of such a group.

    Args:
        within: The groups.
        columns: Their dimensions over the tables, in the same order.
        name: Of the stage.
        dialect: Of the warehouse.
    """
    quote = dialect.quote
    stage = Stage(
        name=name,
        select=Select(
            outputs=tuple(Output(name=each, sql=quote(each)) for each in within.dimensions),
            source=TableSource(sql=f"(\n{within.sql}\n)", alias=f"{name}_source"),
            is_distinct=True,
        ),
    )
    equal = [
        dialect.null_safe_equal(column.sql, f"{quote(name)}.{quote(each)}", column.type)
        for each, column in zip(within.dimensions, columns, strict=True)
    ]
    bounds = [column.bounds for column in columns if column.bounds is not None]
    return Condition(
        sql=" AND ".join(f"({each})" for each in equal),
        tables=frozenset().union(*(column.tables for column in columns)),
        bounds=(*dict.fromkeys(bounds), stage),
    )
