"""Metrics some periods earlier, beside those of now.

    base      the grouped query
    bounds    from when to when it reaches
    earlier   the same grouping over the same tables, its time moved back by the periods and not filtered otherwise
    result    base LEFT JOIN earlier: the same groups, at the time of the base moved back

The time of the base is moved, not that of the earlier rows: where a month lacks a day, each row still finds at most
one other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.conditions import base_id
from queryfleet.compiler.plan import Joined, JoinKind, Output, Select, Stage, StageSource
from queryfleet.compiler.rows import Condition
from queryfleet.errors import CompileError, ParameterError
from queryfleet.model import ColumnType
from queryfleet.semantic.intervals import TimeInterval
from queryfleet.semantic.nearest_name import nearest_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from queryfleet.compiler.conditions import Conditions
    from queryfleet.compiler.grouping import Grouper
    from queryfleet.compiler.metric_query import PeriodOverPeriod
    from queryfleet.compiler.query_warning import QueryWarning
    from queryfleet.compiler.question import Question
    from queryfleet.compiler.rendering import Renderer
    from queryfleet.compiler.rows import GroupColumn
    from queryfleet.compiler.stack import Stack
    from queryfleet.semantic.explore import Metric

__all__ = ["PeriodComparison"]

_WITHIN_A_DAY: Final = (TimeInterval.MILLISECOND, TimeInterval.SECOND, TimeInterval.MINUTE, TimeInterval.HOUR)
_UNITS: Final = {
    each.value: each
    for each in (
        *_WITHIN_A_DAY,
        TimeInterval.DAY,
        TimeInterval.WEEK,
        TimeInterval.MONTH,
        TimeInterval.QUARTER,
        TimeInterval.YEAR,
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shift:
    """By how much a time is moved back; metrics of one shift share a stage."""

    time: str  # id of the dimension
    unit: TimeInterval
    count: int


class PeriodComparison:
    """Adds metrics of earlier periods to a grouped query.

    Args:
        question: What is asked.
        renderer: Of the question.
        grouper: Groups the earlier rows.
        conditions: Of the question.
        prefix: What names of stages begin with.
    """

    def __init__(
        self, question: Question, renderer: Renderer, grouper: Grouper, conditions: Conditions, *, prefix: str
    ) -> None:
        self._question = question
        self._renderer = renderer
        self._dialect = renderer.context.dialect
        self._grouper = grouper
        self._conditions = conditions
        self._prefix = prefix

    def add(
        self, stack: Stack, columns: tuple[GroupColumn, ...], metrics: Sequence[Metric]
    ) -> tuple[QueryWarning, ...]:
        """Put the metrics on top of a stack that holds the grouped query; returns warnings about them.

        Args:
            stack: Its top is the grouped query.
            columns: What it is grouped by.
            metrics: Those that compare periods.

        Raises:
            ParameterError: The time is not selected or is no date, or there is no such granularity.
        """
        shifts: dict[_Shift, dict[str, Metric]] = {}
        for metric in metrics:
            compared = self._question.period_over_period(metric.field_id)
            if compared is None:
                raise AssertionError(metric.field_id)
            shift = _Shift(
                time=compared.time_dimension_id, unit=self._unit(metric, compared, columns), count=compared.offset
            )
            shifts.setdefault(shift, {})[metric.field_id] = self._base(compared.base_metric_id)
        base = stack.push("base")
        warnings: list[QueryWarning] = []
        for number, (shift, bases) in enumerate(shifts.items(), 1):
            bounds = self._bounds(shift, base, number)
            own = {metric.field_id: metric for metric in bases.values()}
            conditions = (*self._other_conditions(shift), self._window(shift, columns, bounds.name))
            label = f"earlier_{number}"
            grouped = self._grouper.grouped(columns, tuple(own.values()), conditions, label=f"{label}_")
            warnings += grouped.warnings
            earlier = Stage(name=f"{self._prefix}{label}", select=grouped.select)
            stack.below((bounds, *(each for each in grouped.stages if not stack.has(each.name)), earlier))
            outputs = (
                Output(name=field_id, sql=self._qualified(earlier.name, metric.field_id))
                for field_id, metric in bases.items()
            )
            stack.add(outputs, (self._joined(shift, columns, base, earlier.name),))
        return tuple(warnings)

    def _base(self, field_id: str) -> Metric:
        found = self._question.explore.metric(field_id)
        if self._question.period_over_period(field_id) is not None:
            raise CompileError(f"`{field_id}` compares periods itself: name the metric that it compares")
        return found

    def _unit(self, metric: Metric, compared: PeriodOverPeriod, columns: tuple[GroupColumn, ...]) -> TimeInterval:
        time = next((each for each in columns if each.name == compared.time_dimension_id), None)
        if time is None:
            raise ParameterError(
                f"`{metric.field_id}` compares periods of `{compared.time_dimension_id}`, which is not selected: "
                "add it to `dimensions`",
                fieldId=metric.field_id,
            )
        if time.type not in (ColumnType.DATE, ColumnType.TIMESTAMP):
            raise ParameterError(
                f"`{metric.field_id}` compares periods of `{time.name}`, which is of type {time.type}: name a date",
                fieldId=metric.field_id,
            )
        unit = _UNITS.get(compared.granularity.upper())
        if unit is None or (unit in _WITHIN_A_DAY and time.type is ColumnType.DATE):
            known = [name for name, each in _UNITS.items() if each not in _WITHIN_A_DAY]
            advice = nearest_name(compared.granularity, known)
            raise ParameterError(
                f"`{metric.field_id}` counts periods in `{compared.granularity}`, which `{time.name}` does not have; "
                f"{advice}",
                fieldId=metric.field_id,
            )
        return unit

    def _qualified(self, source: str, name: str) -> str:
        return f"{self._dialect.quote(source)}.{self._dialect.quote(name)}"

    def _bounds(self, shift: _Shift, base: str, number: int) -> Stage:
        time = self._qualified(base, shift.time)
        outputs = (Output(name="qf_from", sql=f"MIN({time})"), Output(name="qf_to", sql=f"MAX({time})"))
        select = Select(outputs=outputs, source=StageSource(stage=base, alias=base))
        return Stage(name=f"{self._prefix}bounds_{number}", select=select)

    def _other_conditions(self, shift: _Shift) -> tuple[Condition, ...]:
        time = base_id(shift.time, self._question.explore)
        return self._conditions.of(self._question.query.dimension_filters, except_base=time)

    def _window(self, shift: _Shift, columns: tuple[GroupColumn, ...], bounds: str) -> Condition:
        column = next(each for each in columns if each.name == shift.time)
        quote = self._dialect.quote
        # Names of our own only, quoted.
        ends = (f"(SELECT {quote(name)} FROM {quote(bounds)})" for name in ("qf_from", "qf_to"))  # noqa: S608
        low, high = (self._moved_back(end, shift, column.type) for end in ends)
        sql = f"({column.sql}) >= {low} AND ({column.sql}) <= {high}"
        return Condition(sql=sql, tables=column.tables)

    def _moved_back(self, sql: str, shift: _Shift, type_: ColumnType) -> str:
        return self._dialect.add_interval(sql, -shift.count, shift.unit, is_date=type_ is ColumnType.DATE)

    def _joined(self, shift: _Shift, columns: tuple[GroupColumn, ...], base: str, earlier: str) -> Joined:
        on: list[str] = []
        for column in columns:
            now, then = self._qualified(base, column.name), self._qualified(earlier, column.name)
            if column.name == shift.time:
                on.append(f"{self._moved_back(now, shift, column.type)} = {then}")
            else:
                on.append(self._dialect.null_safe_equal(now, then, column.type))
        return Joined(kind=JoinKind.LEFT, source=StageSource(stage=earlier, alias=earlier), on=tuple(on))
