"""A plan in the making: stages below, and on top the select that may become the next one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from queryfleet.compiler.plan import Output, Plan, Select, Stage, StageSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from queryfleet.compiler.plan import Joined, Order

__all__ = ["Stack"]


class Stack:
    """Collects stages.

    Args:
        stages: What the select reads.
        select: The top.
        prefix: What names of stages begin with.
        quote: Of the dialect.
    """

    def __init__(self, stages: Iterable[Stage], select: Select, prefix: str, quote: Callable[[str], str]) -> None:
        self._stages = list(stages)
        self._select = select
        self._prefix = prefix
        self._quote = quote

    @property
    def names(self) -> tuple[str, ...]:
        """Return the columns of the top."""
        return self._select.names

    def own(self, name: str) -> str:
        """Return a name, of a stage or a column, that no column of the question has: with the prefix before it."""
        return f"{self._prefix}{name}"

    def push(self, name: str) -> str:
        """Make the top a stage, and the new top a select of all its columns; returns the stage's whole name.

        Args:
            name: Without the prefix; unique.
        """
        stage = Stage(name=f"{self._prefix}{name}", select=self._select)
        self._stages.append(stage)
        outputs = tuple(
            Output(name=each, sql=f"{self._quote(stage.name)}.{self._quote(each)}") for each in self._select.names
        )
        self._select = Select(outputs=outputs, source=StageSource(stage=stage.name, alias=stage.name))
        return stage.name

    def has(self, name: str) -> bool:
        """Tell whether there is a stage of that whole name."""
        return any(stage.name == name for stage in self._stages)

    def below(self, stages: Iterable[Stage]) -> None:
        """Add stages that the next ones may read."""
        self._stages += stages

    def add(self, outputs: Iterable[Output], joins: Iterable[Joined] = ()) -> None:
        """Add columns, and sources that they read, to the top."""
        select = self._select
        self._select = replace(select, outputs=(*select.outputs, *outputs), joins=(*select.joins, *joins))

    def filter(self, condition: str | None) -> None:
        """Add a condition to the top; None: nothing."""
        if condition is not None:
            self._select = replace(self._select, where=(*self._select.where, condition))

    def plan(self, names: Sequence[str], order_by: tuple[Order, ...], limit: int | None) -> Plan:
        """Return the plan whose result is these columns of the top, in order.

        Args:
            names: Columns of the top, in the order of the result.
            order_by: Over columns of the top.
            limit: Rows; None: all.
        """
        by_name = {output.name: output for output in self._select.outputs}
        outputs = tuple(by_name[name] for name in names)
        return Plan(
            stages=tuple(self._stages), final=replace(self._select, outputs=outputs, order_by=order_by, limit=limit)
        )
