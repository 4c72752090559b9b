"""Filters as a client sent them: groups in groups, each rule checked, and told by its place when it is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from queryfleet.compiler.filters import FilterGroup
from queryfleet.errors import InvalidRequestError, ParameterError
from queryfleet.semantic.filter_rule import FilterOperator, FilterRule, UnitOfTime
from queryfleet.semantic.nearest_name import nearest_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from queryfleet.errors import JsonValue
    from queryfleet.semantic.filter_rule import FilterValue

__all__ = ["parse_filter_group", "parse_rules"]

_DEPTH_MAX: Final = 50
_RULES_MAX: Final = 1000  # of one list
_VALUES_MAX: Final = 10_000
_OPERATORS: Final = {each.value: each for each in FilterOperator}
_UNITS: Final = {each.value: each for each in UnitOfTime}


def parse_filter_group(sent: JsonValue, where: str = "filters") -> FilterGroup:
    """Return a filter.

    Args:
        sent: `{and: […]}`, `{or: […]}` or a rule, as JSON.
        where: Path of it in the request, for messages.

    Raises:
        InvalidRequestError: A member is missing or of the wrong type; details have its path.
        ParameterError: An operator or unit does not exist, or there are too many rules or groups in groups.
    """
    budget = [_RULES_MAX]
    node = _node(sent, where, 0, budget)
    return node if isinstance(node, FilterGroup) else FilterGroup(members=(node,))


def parse_rules(sent: Sequence[Mapping[str, JsonValue]], where: str) -> tuple[FilterRule, ...]:
    """Return rules that all must hold, such as those of a metric.

    Args:
        sent: Rules; a `target` may be `{fieldRef}` in the place of `{fieldId}`.
        where: Path of the list in the request, for messages.

    Raises:
        InvalidRequestError: As `parse_filter_group`.
        ParameterError: As `parse_filter_group`.
    """
    return tuple(_rule(each, f"{where}[{place}]") for place, each in enumerate(sent))


def _node(sent: JsonValue, where: str, depth: int, budget: list[int]) -> FilterGroup | FilterRule:
    if not isinstance(sent, dict):
        raise _invalid(where, "must be a group or a rule")
    if depth > _DEPTH_MAX:
        raise ParameterError(f"`{where}`: groups are nested deeper than {_DEPTH_MAX}", field=where)
    budget[0] -= 1
    if budget[0] < 0:
        raise ParameterError(f"there are more than {_RULES_MAX} rules and groups in one filter")
    kinds = [kind for kind in ("and", "or") if kind in sent]
    if not kinds:
        if "target" not in sent and "operator" not in sent:
            if set(sent) <= {"id"}:
                return FilterGroup(id=_optional_text(sent, "id", where))
            raise _invalid(where, "must have `and` or `or`, or be a rule with `target` and `operator`")
        return _rule(sent, where)
    if len(kinds) > 1:
        raise _invalid(where, "has both `and` and `or`: put one group into the other")
    members = sent[kinds[0]]
    if not isinstance(members, list):
        raise _invalid(f"{where}.{kinds[0]}", "must be a list")
    return FilterGroup(
        id=_optional_text(sent, "id", where),
        is_any=kinds[0] == "or",
        members=tuple(
            _node(member, f"{where}.{kinds[0]}[{place}]", depth + 1, budget) for place, member in enumerate(members)
        ),
    )


def _rule(sent: Mapping[str, JsonValue], where: str) -> FilterRule:
    target = sent.get("target")
    field_id = None
    if isinstance(target, dict):
        field_id = target.get("fieldId", target.get("fieldRef"))
    if not isinstance(field_id, str):
        raise _invalid(f"{where}.target.fieldId", "must be a field id")
    operator = sent.get("operator")
    if not isinstance(operator, str):
        raise _invalid(f"{where}.operator", "must be the name of an operator")
    if operator not in _OPERATORS:
        advice = nearest_name(operator, _OPERATORS)
        raise ParameterError(
            f"the filter on `{field_id}` uses `{operator[:60]}`, which is no operator; {advice}", fieldId=field_id
        )
    settings = sent.get("settings")
    if settings is not None and not isinstance(settings, dict):
        raise _invalid(f"{where}.settings", "must be an object")
    settings = settings or {}
    return FilterRule(
        field_id=field_id,
        operator=_OPERATORS[operator],
        values=_values(sent.get("values"), f"{where}.values"),
        unit_of_time=_unit(settings.get("unitOfTime"), field_id),
        is_completed=_flag(settings, "completed", f"{where}.settings") is True,
        is_disabled=_flag(sent, "disabled", where) is True,
        includes_null=_flag(sent, "includeNull", where) is True,
        case_sensitive=_flag(sent, "caseSensitive", where),
        is_required=_flag(sent, "required", where),
        id=_optional_text(sent, "id", where),
    )


def _values(sent: JsonValue, where: str) -> tuple[FilterValue, ...]:
    if sent is None:
        return ()
    if not isinstance(sent, list):
        raise _invalid(where, "must be a list")
    if len(sent) > _VALUES_MAX:
        raise ParameterError(f"`{where}` has more than {_VALUES_MAX} values", field=where)
    found: list[FilterValue] = []
    for place, value in enumerate(sent):
        if isinstance(value, dict | list):
            raise _invalid(f"{where}[{place}]", "must be a text, a number, true, false or null")
        found.append(value)
    return tuple(found)


def _unit(sent: JsonValue, field_id: str) -> UnitOfTime | None:
    if sent is None:
        return None
    if not isinstance(sent, str) or sent not in _UNITS:
        advice = nearest_name(str(sent)[:60], _UNITS)
        raise ParameterError(
            f"the filter on `{field_id}` counts in `{str(sent)[:60]}`, which is no unit of time; {advice}",
            fieldId=field_id,
        )
    return _UNITS[sent]


def _flag(sent: Mapping[str, JsonValue], name: str, where: str) -> bool | None:
    value = sent.get(name)
    if value is not None and not isinstance(value, bool):
        raise _invalid(f"{where}.{name}", "must be true or false")
    return value


def _optional_text(sent: Mapping[str, JsonValue], name: str, where: str) -> str | None:
    value = sent.get(name)
    if value is not None and not isinstance(value, str):
        raise _invalid(f"{where}.{name}", "must be a text")
    return value


def _invalid(path: str, fault: str) -> InvalidRequestError:
    details: dict[str, JsonValue] = {path: {"message": fault}}
    return InvalidRequestError(f"The request is not valid: {path} {fault}.", **details)
