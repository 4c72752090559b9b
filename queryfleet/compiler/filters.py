"""Filters to SQL conditions: rules on fields, nested in groups of `and` and `or`.

    FilterGroup ──▶ every rule ──▶ its field's type ──▶ text · number · boolean · moment ──▶ condition

A rule without effect (disabled, or with nothing to compare with) holds for every row: in an `and` it vanishes, and an
`or` that has one holds for every row, too. An empty group vanishes wherever it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.filter_values import FilterTarget, expanded, parameters_of
from queryfleet.compiler.moment_filters import moment_condition
from queryfleet.compiler.value_filters import boolean_condition, number_condition, text_condition
from queryfleet.errors import ParameterError
from queryfleet.model import ColumnType
from queryfleet.semantic.filter_rule import OPERATORS, FilterOperator, FilterRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from queryfleet.compiler.context import Context
    from queryfleet.semantic.filter_rule import FilterValue

__all__ = ["FilterGroup", "FilterTarget", "condition", "parameter_references", "rules"]

_DEPTH_MAX: Final = 50  # groups in groups; far beyond what a person builds, well within the stack
_NEGATIVE: Final = frozenset(
    {
        FilterOperator.NOT_EQUALS,
        FilterOperator.DOES_NOT_INCLUDE,
        FilterOperator.NOT_IN_BETWEEN,
        FilterOperator.NOT_IN_THE_PAST,
        FilterOperator.NOT_IN_THE_CURRENT,
    }
)
_RANGES: Final = frozenset({FilterOperator.IN_BETWEEN, FilterOperator.NOT_IN_BETWEEN})
_WITHOUT_VALUES: Final = frozenset(
    {FilterOperator.IN_THE_CURRENT, FilterOperator.NOT_IN_THE_CURRENT, FilterOperator.IN_PERIOD_TO_DATE}
)
_CONDITIONS: Final = {
    ColumnType.STRING: text_condition,
    ColumnType.NUMBER: number_condition,
    ColumnType.BOOLEAN: boolean_condition,
    ColumnType.DATE: moment_condition,
    ColumnType.TIMESTAMP: moment_condition,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterGroup:
    """Rules and groups of which all, or any, must hold."""

    members: tuple[FilterGroup | FilterRule, ...] = ()
    is_any: bool = False  # True: `or`; False: `and`
    id: str | None = None  # the client's name for it


class _Every(Enum):
    """What stands in the place of a condition that holds for every row."""

    ROW = "row"  # a rule without effect
    NOTHING = "nothing"  # nothing was asked


def rules(node: FilterGroup | FilterRule) -> Iterator[FilterRule]:
    """Yield every rule, disabled ones included, in order."""
    if isinstance(node, FilterRule):
        yield node
    else:
        for member in node.members:
            yield from rules(member)


def parameter_references(node: FilterGroup | FilterRule) -> frozenset[str]:
    """Return the names of the parameters that values of enabled rules refer to."""
    return frozenset(name for rule in rules(node) if not rule.is_disabled for name in parameters_of(rule))


def condition(node: FilterGroup | FilterRule, target: Callable[[str], FilterTarget], context: Context) -> str | None:
    """Return the SQL condition of a filter.

    Args:
        node: At most 50 groups deep.
        target: Returns what a field id stands for; raises if it may not be filtered.
        context: Of the query.

    Returns:
        In parentheses; None when every row passes.

    Raises:
        ParameterError: An operator does not fit the type of its field, or a value does not. The message names the
            field and the value.
    """
    found = _condition(node, target, context, 0)
    return found if isinstance(found, str) else None


def _condition(
    node: FilterGroup | FilterRule, target: Callable[[str], FilterTarget], context: Context, depth: int
) -> str | _Every:
    if isinstance(node, FilterRule):
        if node.is_disabled:
            return _Every.ROW
        written = _rule_condition(node, target(node.field_id), context)
        return _Every.ROW if written is None else f"({written})"
    if depth >= _DEPTH_MAX:
        raise ParameterError(f"filters are nested in more than {_DEPTH_MAX} groups")
    members = [_condition(member, target, context, depth + 1) for member in node.members]
    asked = [member for member in members if member is not _Every.NOTHING]
    if not asked:
        return _Every.NOTHING
    conditions = [member for member in asked if isinstance(member, str)]
    if not conditions or (node.is_any and len(conditions) < len(asked)):
        return _Every.ROW
    if len(conditions) == 1:
        return conditions[0]
    return f"({(' OR ' if node.is_any else ' AND ').join(conditions)})"


def _rule_condition(rule: FilterRule, target: FilterTarget, context: Context) -> str | None:
    """Return the condition of a rule without parentheses; None when it has no effect."""
    if rule.operator is FilterOperator.IS_NULL:
        return f"{target.sql} IS NULL"
    if rule.operator is FilterOperator.NOT_NULL:
        return f"{target.sql} IS NOT NULL"
    _check_operator(rule, target)
    values = expanded(rule, context.parameters)
    needs_values = rule.operator not in _WITHOUT_VALUES
    if needs_values and not values:
        written = None
    else:
        if rule.operator in _RANGES and len(values) < 2:  # noqa: PLR2004 - both ends
            raise ParameterError(
                f"the filter on `{rule.field_id}` has one value, but `{rule.operator}` needs two", fieldId=rule.field_id
            )
        written = _named(rule, values, target, context)
    if not rule.includes_null:
        return written
    is_null = f"{target.sql} IS NULL"
    if written is None:  # nothing but NULL was asked for, unless what was asked for holds for every row
        return None if values or rule.operator in _NEGATIVE else is_null
    return f"({written}) OR {is_null}"


def _named(rule: FilterRule, values: tuple[FilterValue, ...], target: FilterTarget, context: Context) -> str | None:
    """Return what the type's own module says; an error from a literal gets the field's name."""
    try:
        return _CONDITIONS[target.type](rule, values, target, context)
    except ParameterError as error:
        if "fieldId" in error.details:
            raise
        raise ParameterError(f"the filter on `{rule.field_id}`: {error.message}", fieldId=rule.field_id) from None


def _check_operator(rule: FilterRule, target: FilterTarget) -> None:
    allowed = OPERATORS[target.type]
    if rule.operator not in allowed:
        names = sorted(each.value for each in allowed | {FilterOperator.IS_NULL, FilterOperator.NOT_NULL})
        raise ParameterError(
            f"the filter on `{rule.field_id}` uses `{rule.operator}`, which does not fit the type {target.type}; "
            f"use one of: {', '.join(names)}",
            fieldId=rule.field_id,
            operator=rule.operator.value,
        )
