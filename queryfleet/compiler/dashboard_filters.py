"""Filters of a dashboard, merged into the question of one of its tiles.

A dashboard's rule takes the place of the question's own rules on the same field, or on another interval of the same
date, where those stand at the top; otherwise it is added. Either way every row must pass it: it never becomes one
alternative among several. Rules on fields that the explore does not show are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.conditions import base_id
from queryfleet.compiler.filter_request import parse_rules
from queryfleet.compiler.filters import FilterGroup
from queryfleet.errors import FieldReferenceError, InvalidRequestError, RequestError
from queryfleet.semantic.explore import Dimension, FilterRule, Metric
from queryfleet.semantic.filter_rule import FilterOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from queryfleet.compiler.metric_query import MetricQuery
    from queryfleet.errors import JsonValue
    from queryfleet.semantic.explore import Explore

__all__ = ["DashboardFiltered", "holds", "with_dashboard_filters"]

_WITHOUT_VALUES: Final = frozenset(
    {
        FilterOperator.IS_NULL,
        FilterOperator.NOT_NULL,
        FilterOperator.IN_THE_CURRENT,
        FilterOperator.NOT_IN_THE_CURRENT,
        FilterOperator.IN_PERIOD_TO_DATE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardFiltered:
    """A question with a dashboard's filters in it."""

    query: MetricQuery
    applied: Mapping[str, JsonValue]  # the rules that hold, in wire form, by kind, as `appliedDashboardFilters` has it


def with_dashboard_filters(
    query: MetricQuery, sent: Mapping[str, JsonValue], explore: Explore, *, tile_uuid: str | None = None
) -> DashboardFiltered:
    """Return a question with the filters of its dashboard, and those of them that hold.

    Args:
        query: The question of the tile.
        sent: Lists of rules under `dimensions`, `metrics` and `tableCalculations`, as JSON. A rule may have
            `tileTargets`, which names another field, or none, for some tiles.
        explore: As the caller may use it.
        tile_uuid: Which tile it is; None: rules mean their own targets.

    Raises:
        InvalidRequestError: A list or a rule is of the wrong shape.
        ParameterError: An operator does not exist.
    """
    found = {
        name: _applied(name, sent.get(name), query, explore, tile_uuid=tile_uuid)
        for name in ("dimensions", "metrics", "tableCalculations")
    }
    merged = replace(
        query,
        dimension_filters=_merged(query.dimension_filters, found["dimensions"], explore),
        metric_filters=_merged(query.metric_filters, found["metrics"], explore),
        calculation_filters=_merged(query.calculation_filters, found["tableCalculations"], explore),
    )
    return DashboardFiltered(
        query=merged, applied={name: [rule.to_json() for rule in rules] for name, rules in found.items()}
    )


def _applied(
    kind: str, sent: JsonValue, query: MetricQuery, explore: Explore, *, tile_uuid: str | None
) -> tuple[FilterRule, ...]:
    if sent is None:
        return ()
    where = f"dashboardFilters.{kind}"
    if not isinstance(sent, list) or not all(isinstance(each, dict) for each in sent):
        details: dict[str, JsonValue] = {where: {"message": "must be a list of rules"}}
        raise InvalidRequestError(f"The request is not valid: {where} must be a list of rules.", **details)
    targeted = [_targeted(each, tile_uuid) for each in sent if isinstance(each, dict)]
    rules = parse_rules([each for each in targeted if each is not None], where)
    return tuple(rule for rule in rules if holds(rule) and _is_shown(kind, rule.field_id, query, explore))


def _targeted(sent: Mapping[str, JsonValue], tile_uuid: str | None) -> Mapping[str, JsonValue] | None:
    """Return a rule with the target it has for a tile; None: it does not hold there."""
    targets = sent.get("tileTargets")
    target = targets.get(tile_uuid) if isinstance(targets, dict) and tile_uuid is not None else None
    if target is False:
        return None
    return {**sent, "target": target} if isinstance(target, dict) else sent


def holds(rule: FilterRule) -> bool:
    """Tell whether a rule of a dashboard says anything: it is enabled, and has values where it needs some."""
    has_condition = bool(rule.values) or rule.operator in _WITHOUT_VALUES or rule.includes_null
    return has_condition and not rule.is_disabled


def _is_shown(kind: str, field_id: str, query: MetricQuery, explore: Explore) -> bool:
    if kind == "tableCalculations":
        return any(each.name == field_id for each in query.calculations)
    try:
        found = explore.field(field_id)
    except RequestError:
        return False
    return isinstance(found, Dimension if kind == "dimensions" else Metric) and not found.hidden


def _merged(group: FilterGroup | None, rules: Sequence[FilterRule], explore: Explore) -> FilterGroup | None:
    if not rules:
        return group
    if group is None or not group.members:
        return FilterGroup(members=tuple(rules))
    replaced = {_base(rule.field_id, explore) for rule in rules}
    kept = tuple(
        member
        for member in group.members
        if not isinstance(member, FilterRule) or _base(member.field_id, explore) not in replaced
    )
    if group.is_any and len(kept) > 1:
        return FilterGroup(members=(replace(group, members=kept), *rules))
    return FilterGroup(members=(*kept, *rules), id=None if group.is_any else group.id)


def _base(field_id: str, explore: Explore) -> str:
    """Return the id of the date that an interval belongs to; of any other column its own."""
    try:
        return base_id(field_id, explore)
    except FieldReferenceError:
        return field_id
