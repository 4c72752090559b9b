"""Totals for table calculations: metrics once more, over all rows or over those of a pivoted row.

A total is never added up from rows: the metric is computed again without the dimensions, so distinct counts and
ratios are right. Filters on rows hold in it; filters on metrics and calculations choose rows of the result and do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.compiler.plan import Joined, JoinKind, Stage, StageSource
from queryfleet.errors import CompileError
from queryfleet.semantic.explore import MetricClass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from queryfleet.compiler.calculation import Parsed
    from queryfleet.compiler.grouping import Grouper
    from queryfleet.compiler.query_warning import QueryWarning
    from queryfleet.compiler.question import Question
    from queryfleet.compiler.rendering import Renderer
    from queryfleet.compiler.rows import Condition, GroupColumn
    from queryfleet.compiler.stack import Stack

__all__ = ["Totals"]


class Totals:
    """The stages with totals that the calculations of a question read.

    Args:
        question: What is asked.
        renderer: Of the question.
        grouper: Groups the rows.
        prefix: What names of stages begin with.
    """

    def __init__(self, question: Question, renderer: Renderer, grouper: Grouper, prefix: str) -> None:
        self._question = question
        self._dialect = renderer.context.dialect
        self._grouper = grouper
        self._prefix = prefix
        self._joins: dict[str, Callable[[str], Joined]] = {}
        self.warnings: tuple[QueryWarning, ...] = ()

    @property
    def is_used(self) -> bool:
        """Tell whether there are any."""
        return bool(self._joins)

    def name(self, kind: str) -> str:
        """Return the name of the stage for `total` or `row_total`."""
        return f"{self._prefix}{kind}"

    def joined(self, kind: str, source: str) -> Joined:
        """Return how the totals are joined to the rows of a stage.

        Args:
            kind: `total` or `row_total`; the stage must have been added.
            source: Name of the stage with the rows.
        """
        return self._joins[kind](source)

    def add(
        self,
        stack: Stack,
        parsed: Mapping[str, Parsed],
        columns: tuple[GroupColumn, ...],
        conditions: tuple[Condition, ...],
    ) -> None:
        """Put the stages that are needed below the next ones of a stack.

        Args:
            stack: Of the question.
            parsed: The calculations.
            columns: What the question is grouped by.
            conditions: On its rows.

        Raises:
            CompileError: A metric has no total.
        """
        wanted = {
            "total": ({each for one in parsed.values() for each in one.totals}, ()),
            "row_total": ({each for one in parsed.values() for each in one.row_totals}, self._index(columns)),
        }
        for kind, (ids, by) in wanted.items():
            if not ids:
                continue
            metrics = tuple(self._question.explore.metric(field_id) for field_id in self._checked(kind, ids))
            grouped = self._grouper.grouped(by, metrics, conditions, label=f"{kind}_")
            below = [each for each in grouped.stages if not stack.has(each.name)]
            stack.below((*below, Stage(name=self.name(kind), select=grouped.select)))
            self._joins[kind] = self._join(kind, by)
            self.warnings += grouped.warnings

    def _index(self, columns: tuple[GroupColumn, ...]) -> tuple[GroupColumn, ...]:
        pivoted = self._question.query.pivot_dimensions
        return tuple(each for each in columns if each.name not in pivoted)

    def _checked(self, kind: str, ids: Iterable[str]) -> list[str]:
        for field_id in ids:
            metric = self._question.explore.metric(field_id)
            is_compared = self._question.period_over_period(field_id) is not None
            if is_compared or metric.metric_class is MetricClass.POST_CALCULATION:
                raise CompileError(f"`{kind}()` of `{field_id}`: it is computed from other rows and has no total")
        return sorted(ids)

    def _join(self, kind: str, by: tuple[GroupColumn, ...]) -> Callable[[str], Joined]:
        name = self.name(kind)
        target = StageSource(stage=name, alias=name)
        quote = self._dialect.quote

        def joined(source: str) -> Joined:
            on = tuple(
                self._dialect.null_safe_equal(
                    f"{quote(source)}.{quote(each.name)}", f"{quote(name)}.{quote(each.name)}", each.type
                )
                for each in by
            )
            return Joined(kind=JoinKind.LEFT if on else JoinKind.CROSS, source=target, on=on)

        return joined
