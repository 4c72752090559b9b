"""Conditions on texts, numbers and booleans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from queryfleet.compiler.dialects import PatternKind
from queryfleet.compiler.filter_values import boolean_value, number_value, text_value
from queryfleet.semantic.filter_rule import FilterOperator

if TYPE_CHECKING:
    from queryfleet.compiler.context import Context
    from queryfleet.compiler.filter_values import FilterTarget
    from queryfleet.semantic.filter_rule import FilterRule, FilterValue

__all__ = ["boolean_condition", "number_condition", "text_condition"]

_PATTERNS: Final = {
    FilterOperator.INCLUDE: PatternKind.INCLUDES,
    FilterOperator.DOES_NOT_INCLUDE: PatternKind.INCLUDES,
    FilterOperator.STARTS_WITH: PatternKind.STARTS,
    FilterOperator.ENDS_WITH: PatternKind.ENDS,
}
_SIGNS: Final = {
    FilterOperator.GREATER_THAN: ">",
    FilterOperator.GREATER_THAN_OR_EQUAL: ">=",
    FilterOperator.LESS_THAN: "<",
    FilterOperator.LESS_THAN_OR_EQUAL: "<=",
}


def text_condition(
    rule: FilterRule, values: tuple[FilterValue, ...], target: FilterTarget, context: Context
) -> str | None:
    """Return the condition of a rule on a text, or None when it has none: all its values are empty.

    Args:
        rule: An operator of texts.
        values: Of the rule, with parameters put in; at least one.
        target: Of type STRING.
        context: Of the query.

    Raises:
        ParameterError: A value is null, or no text a warehouse can store.
    """
    texts = [text_value(rule, value) for value in values]
    if not any(texts):
        return None
    is_sensitive = next(
        each for each in (rule.case_sensitive, target.case_sensitive, context.case_sensitive) if each is not None
    )
    kind = _PATTERNS.get(rule.operator)
    if kind is None:
        return _text_equality(rule, texts, target.sql, context, is_sensitive=is_sensitive)
    # An empty text is in every text: as one of several it would undo the others.
    wanted = [text for text in texts if text]
    likes = [context.dialect.like(target.sql, kind, text, case_sensitive=is_sensitive) for text in wanted]
    if rule.operator is FilterOperator.DOES_NOT_INCLUDE:
        return f"({' AND '.join(f'NOT ({like})' for like in likes)}) OR {target.sql} IS NULL"
    return " OR ".join(likes)


def _text_equality(rule: FilterRule, texts: list[str], sql: str, context: Context, *, is_sensitive: bool) -> str:
    dialect = context.dialect
    literals = [dialect.text(text) for text in dict.fromkeys(texts)]
    compared = sql
    if not is_sensitive:
        compared, literals = dialect.upper(sql), [dialect.upper(literal) for literal in literals]
    return _membership(rule, compared, literals, sql)


def _membership(rule: FilterRule, compared: str, literals: list[str], sql: str) -> str:
    if rule.operator is FilterOperator.EQUALS:
        return f"{compared} IN ({', '.join(literals)})"
    return f"{compared} NOT IN ({', '.join(literals)}) OR {sql} IS NULL"


def number_condition(
    rule: FilterRule, values: tuple[FilterValue, ...], target: FilterTarget, context: Context
) -> str | None:
    """Return the condition of a rule on a number.

    Args:
        rule: An operator of numbers.
        values: Of the rule, with parameters put in; at least one, of ranges two.
        target: Of type NUMBER.
        context: Of the query.

    Raises:
        ParameterError: A value is not a number.
    """
    numbers = [context.dialect.number(number_value(rule, value)) for value in values]
    sql = target.sql
    sign = _SIGNS.get(rule.operator)
    if sign is not None:
        return f"{sql} {sign} {numbers[0]}"
    if rule.operator is FilterOperator.IN_BETWEEN:
        return f"{sql} >= {numbers[0]} AND {sql} <= {numbers[1]}"
    if rule.operator is FilterOperator.NOT_IN_BETWEEN:
        return f"{sql} < {numbers[0]} OR {sql} > {numbers[1]}"
    return _membership(rule, sql, list(dict.fromkeys(numbers)), sql)


def boolean_condition(
    rule: FilterRule, values: tuple[FilterValue, ...], target: FilterTarget, context: Context
) -> str | None:
    """Return the condition of a rule on a boolean.

    Args:
        rule: EQUALS or NOT_EQUALS.
        values: Of the rule, with parameters put in; at least one.
        target: Of type BOOLEAN.
        context: Of the query.

    Raises:
        ParameterError: A value is neither true nor false.
    """
    literals = [context.dialect.boolean(boolean_value(rule, value)) for value in values]
    wanted = list(dict.fromkeys(literals))
    sql = target.sql
    if len(wanted) > 1:
        return _membership(rule, sql, wanted, sql)
    if rule.operator is FilterOperator.EQUALS:
        return f"{sql} = {wanted[0]}"
    return f"{sql} <> {wanted[0]} OR {sql} IS NULL"
