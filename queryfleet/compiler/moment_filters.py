"""Conditions on dates and moments: absolute values, spans counted from now, positions in a period.

A rule on a field that is cut to days or longer is asked of the field's base as a range, half open, where that is
exactly the same: the warehouse can then skip what lies outside without cutting every row.

    ordered_at_month = 2025-03-01     ordered_at >= 2025-03-01 00:00 and ordered_at < 2025-04-01 00:00
    ordered_at_month > 2025-03-15     ordered_at >= 2025-04-01 00:00
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.context import zone_of
from queryfleet.compiler.filter_values import count_value, day_value, instant_value
from queryfleet.compiler.grains import days_into_period, local_clock, unit_of
from queryfleet.compiler.moments import (
    first_instant,
    is_shorter_than_a_day,
    next_start,
    relative_days,
    relative_instants,
    start_of_day_unit,
)
from queryfleet.errors import ParameterError
from queryfleet.model import ColumnType
from queryfleet.semantic.filter_rule import FilterOperator, UnitOfTime

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from queryfleet.compiler.context import Context
    from queryfleet.compiler.filter_values import FilterTarget
    from queryfleet.semantic.filter_rule import FilterRule, FilterValue

__all__ = ["moment_condition"]

_POSITIVE: Final = {
    FilterOperator.NOT_IN_THE_PAST: FilterOperator.IN_THE_PAST,
    FilterOperator.NOT_IN_THE_CURRENT: FilterOperator.IN_THE_CURRENT,
}
_PERIODS: Final = (UnitOfTime.WEEKS, UnitOfTime.MONTHS, UnitOfTime.QUARTERS, UnitOfTime.YEARS)
_RANGES_MAX: Final = 16  # periods asked of the base; a longer list of values is compared with the cut field
_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """A target whose values have an order: how it is compared with a value."""

    target: FilterTarget
    context: Context
    zone: ZoneInfo  # in which it counts

    @property
    def has_days(self) -> bool:
        return self.target.type is ColumnType.DATE

    def literal(self, value: dt.date | dt.datetime) -> str:
        if isinstance(value, dt.datetime):
            return self.context.dialect.compared_timestamp(value)
        return self.context.dialect.date(value)

    def compared(self, sign: str, value: dt.date | dt.datetime) -> str:
        """Return `target <sign> value`; of a cut target by its base where that is exact."""
        bounds = self._base_bounds(sign, value)
        if bounds is None:
            return f"{self.target.sql} {sign} {self.literal(value)}"
        return " AND ".join(bounds)

    def _base_bounds(self, sign: str, value: dt.date | dt.datetime) -> list[str] | None:
        """Return the same condition on the base; None when there is none, or not exactly the same one."""
        interval, base = self.target.interval, self.target.base_sql
        unit = None if interval is None else unit_of(interval)
        if unit is None or base is None or isinstance(value, dt.datetime):
            return None
        try:
            return self._bounds_from(sign, value, base, unit)
        except OverflowError:  # the last period of the calendar has no next one: 9999-12-31 often means no end
            return None

    def _bounds_from(self, sign: str, value: dt.date, base: str, unit: UnitOfTime) -> list[str] | None:
        after = value + _DAY
        # A cut value is at or after a day when the base is at or after the first period that begins not before it.
        asked = {">=": [(">=", value)], ">": [(">=", after)], "<": [("<", value)], "<=": [("<", after)]}
        asked["="] = [*asked[">="], *asked["<="]]
        bounds = [(way, self._base_bound(next_start(day, unit, self.context.week_start))) for way, day in asked[sign]]
        return None if any(bound is None for _, bound in bounds) else [f"{base} {way} {bound}" for way, bound in bounds]

    def _base_bound(self, day: dt.date) -> str | None:
        if self.target.base_type is not ColumnType.TIMESTAMP:
            return self.literal(day)
        instant = first_instant(day, self.zone)
        return None if instant is None else self.literal(instant)


def moment_condition(
    rule: FilterRule, values: tuple[FilterValue, ...], target: FilterTarget, context: Context
) -> str | None:
    """Return the condition of a rule on a date or moment, or None when it has none.

    Args:
        rule: Any operator but those of NULL.
        values: Of the rule, with parameters put in; at least one where the operator needs some.
        target: Of type DATE or TIMESTAMP.
        context: Of the query.

    Raises:
        ParameterError: The operator does not fit, or a value does not.
    """
    # Days are those of the asker; only moments may count in the zone of the data.
    is_shifted = target.shifted or (target.base_type or target.type) is not ColumnType.TIMESTAMP
    axis = _Axis(
        target=target, context=context, zone=zone_of(context.timezone if is_shifted else context.data_timezone)
    )
    try:
        match rule.operator:
            case FilterOperator.EQUALS | FilterOperator.NOT_EQUALS:
                return _equality(rule, values, axis)
            case FilterOperator.IN_PERIOD_TO_DATE:
                return _period_to_date(rule, axis)
            case FilterOperator.IN_THE_CURRENT | FilterOperator.NOT_IN_THE_CURRENT:
                return _relative(rule, 0, axis)
            case FilterOperator.IN_THE_PAST | FilterOperator.NOT_IN_THE_PAST | FilterOperator.IN_THE_NEXT:
                return _relative(rule, count_value(rule, values[0]), axis)
            case _:
                return _order(rule, values, axis)
    except OverflowError:
        raise ParameterError(
            f"the filter on `{rule.field_id}` reaches beyond the years 1 to 9999; its value is {values[:2]!r:.60}",
            fieldId=rule.field_id,
        ) from None


def _value(rule: FilterRule, value: FilterValue, axis: _Axis) -> dt.date | dt.datetime:
    return day_value(rule, value) if axis.has_days else instant_value(rule, value, axis.zone)


def _equality(rule: FilterRule, values: tuple[FilterValue, ...], axis: _Axis) -> str:
    found = list(dict.fromkeys(_value(rule, value, axis) for value in values))
    if rule.operator is FilterOperator.EQUALS and len(found) <= _RANGES_MAX and axis.target.base_sql is not None:
        each = [axis.compared("=", value) for value in found]
        return each[0] if len(each) == 1 else " OR ".join(f"({condition})" for condition in each)
    literals = [axis.literal(value) for value in found]
    sql = axis.target.sql
    if rule.operator is FilterOperator.EQUALS:
        return f"{sql} = {literals[0]}" if len(literals) == 1 else f"{sql} IN ({', '.join(literals)})"
    differs = f"{sql} <> {literals[0]}" if len(literals) == 1 else f"{sql} NOT IN ({', '.join(literals)})"
    return f"{differs} OR {sql} IS NULL"


_SIGNS: Final = {
    FilterOperator.GREATER_THAN: ">",
    FilterOperator.GREATER_THAN_OR_EQUAL: ">=",
    FilterOperator.LESS_THAN: "<",
    FilterOperator.LESS_THAN_OR_EQUAL: "<=",
}


def _order(rule: FilterRule, values: tuple[FilterValue, ...], axis: _Axis) -> str:
    sign = _SIGNS.get(rule.operator)
    if sign is not None:
        return axis.compared(sign, _value(rule, values[0], axis))
    low, high = (_value(rule, value, axis) for value in values[:2])
    if rule.operator is FilterOperator.IN_BETWEEN:
        return f"{axis.compared('>=', low)} AND {axis.compared('<=', high)}"
    return f"{axis.compared('<', low)} OR {axis.compared('>', high)}"


def _relative(rule: FilterRule, count: int, axis: _Axis) -> str:
    unit = rule.unit_of_time or UnitOfTime.DAYS
    operator = _POSITIVE.get(rule.operator, rule.operator)
    is_whole = rule.is_completed or operator is FilterOperator.IN_THE_CURRENT
    if axis.has_days and is_whole and is_shorter_than_a_day(unit):
        raise ParameterError(
            f"the filter on `{rule.field_id}` asks for whole {unit.value}, but the field has days: use days or longer",
            fieldId=rule.field_id,
        )
    span = relative_days if axis.has_days else relative_instants
    context = axis.context
    found = span(
        operator,
        count,
        unit,
        is_completed=rule.is_completed,
        now=context.now,
        zone=axis.zone,
        week_start=context.week_start,
    )
    condition = (
        f"{axis.compared('>=', found.low)} AND {axis.compared('<=' if found.includes_high else '<', found.high)}"
    )
    return condition if operator is rule.operator else f"NOT ({condition})"


def _period_to_date(rule: FilterRule, axis: _Axis) -> str:
    unit = rule.unit_of_time or UnitOfTime.DAYS
    if unit not in _PERIODS:
        raise ParameterError(
            f"the filter on `{rule.field_id}` counts {unit.value} to date; "
            f"`unitOfTime` must be one of: {', '.join(_PERIODS)}",
            fieldId=rule.field_id,
        )
    context, target = axis.context, axis.target
    today = context.now.astimezone(axis.zone).date()
    start = start_of_day_unit(today, unit, context.week_start)
    is_counted_from_one = unit in (UnitOfTime.MONTHS, UnitOfTime.YEARS)
    position = (today - start).days + is_counted_from_one
    clock = local_clock(target.sql, target.type, context, is_shifted=target.shifted)
    return f"{days_into_period(clock, unit, context)} <= {position}"
