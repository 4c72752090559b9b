"""A table calculation taken apart: which columns it reads, which other calculations, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.compiler.custom_sql import table_of
from queryfleet.compiler.printer import ordered
from queryfleet.errors import CompileError, FieldReferenceError
from queryfleet.semantic.nearest_name import nearest_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from queryfleet.compiler.context import Context
    from queryfleet.compiler.plan import Order
    from queryfleet.model import ColumnType
    from queryfleet.semantic.explore import Explore

__all__ = ["Names", "Parsed", "Scope", "in_levels", "window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a calculation may mention."""

    explore: Explore
    columns: tuple[str, ...]  # ids of selected fields
    calculations: tuple[str, ...]  # of the same query

    def found(self, written: str, place: str) -> str:
        """Return the column that a reference means.

        Args:
            written: What stands in the braces: `table.field`, a field id, or the name of a calculation.
            place: Which calculation mentions it, for messages.

        Raises:
            FieldReferenceError: It means nothing that is selected; the message has the nearest name.
            ForbiddenError: It means a field that is not the caller's.
        """
        if written in self.calculations or written in self.columns:
            return written
        table, _, name = written.rpartition(".")
        if table:
            try:
                field_id = f"{table_of(table, self.explore)}_{name}"
            except CompileError as error:
                raise FieldReferenceError(f"{place}: {error.message}") from None
            if field_id in self.columns:
                return field_id
            self.explore.check_open(field_id)
            if field_id in self.explore.fields:
                raise FieldReferenceError(f"{place} mentions `{written}`, which is not selected: select it, too")
        self.explore.check_open(written)
        known = [*self.columns, *self.calculations]
        advice = nearest_name(written.replace(".", "_"), known)
        raise FieldReferenceError(f"{place} mentions `{written}`, which is nothing that is selected; {advice}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where a calculation is written: the stage it reads, and the order of its rows."""

    context: Context
    source: str  # name of the stage, not quoted
    order: tuple[Order, ...]  # of the query, never empty
    total_source: str = ""  # name of the stage with totals
    row_total_source: str = ""  # name of the stage with totals of each pivoted row

    def column(self, name: str, source: str | None = None) -> str:
        """Return a column of the stage, or of another source."""
        quote = self.context.dialect.quote
        return f"{quote(self.source if source is None else source)}.{quote(name)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A calculation, ready to be written."""

    name: str
    reads: frozenset[str]  # columns and calculations, totals not included
    write: Callable[[Scope], str]
    totals: frozenset[str] = frozenset()  # metrics whose totals over all rows it reads
    row_totals: frozenset[str] = frozenset()  # metrics whose totals over the pivoted columns it reads
    type: ColumnType | None = None  # where it can be told


def window(order: Sequence[Order] = (), partition: Sequence[str] = (), frame: str = "") -> str:
    """Return what stands after OVER, in its brackets.

    Args:
        order: Entries of ORDER BY.
        partition: Expressions.
        frame: `ROWS BETWEEN …`; empty: the default.
    """
    pieces = []
    if partition:
        pieces.append(f"PARTITION BY {', '.join(partition)}")
    if order:
        pieces.append(f"ORDER BY {', '.join(ordered(each) for each in order)}")
    if frame:
        pieces.append(frame)
    return f"({' '.join(pieces)})"


def in_levels(parsed: Mapping[str, Parsed]) -> list[list[Parsed]]:
    """Return calculations in the order of their stages: each reads only columns and calculations of earlier ones.

    Args:
        parsed: By name.

    Raises:
        CompileError: Some go round; the message shows the way.
    """
    depths: dict[str, int] = {}
    stack: list[str] = []

    def depth(name: str) -> int:
        if name in stack:
            way = [*stack[stack.index(name) :], name]
            raise CompileError(f"table calculations refer to one another: {' -> '.join(way)}")
        if name not in depths:
            stack.append(name)
            below = [depth(each) for each in sorted(parsed[name].reads) if each in parsed]
            stack.pop()
            depths[name] = max(below, default=-1) + 1
        return depths[name]

    levels: list[list[Parsed]] = []
    for name in parsed:
        while len(levels) <= depth(name):
            levels.append([])
        levels[depth(name)].append(parsed[name])
    return levels
