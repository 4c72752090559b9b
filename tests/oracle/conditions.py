"""What filter rules say of one value, in the three truths of SQL: True, False and None."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from tests.oracle.moments import instant_of, is_within

_TEXT_OPERATORS = {
    "include": lambda text, part: part in text,
    "startsWith": lambda text, part: text.startswith(part),
    "endsWith": lambda text, part: text.endswith(part),
}
_COMPARISONS = {
    "greaterThan": lambda a, b: a > b,
    "greaterThanOrEqual": lambda a, b: a >= b,
    "lessThan": lambda a, b: a < b,
    "lessThanOrEqual": lambda a, b: a <= b,
}
_NEGATIVES = ("notEquals", "doesNotInclude", "notInBetween", "notInThePast", "notInTheCurrent")
_RELATIVE = ("inThePast", "notInThePast", "inTheNext", "inTheCurrent", "notInTheCurrent", "inPeriodToDate")
_NEED_NO_VALUE = ("isNull", "notNull", "inTheCurrent", "notInTheCurrent", "inPeriodToDate")


def all_of(truths):
    """Return the truths joined by AND."""
    found = list(truths)
    if any(truth is False for truth in found):
        return False
    return None if any(truth is None for truth in found) else True


def any_of(truths):
    """Return the truths joined by OR."""
    return opposite(all_of(opposite(truth) for truth in truths))


def opposite(truth):
    """Return NOT of a truth."""
    return None if truth is None else not truth


def group_truth(node, truth_of_rule):
    """Return the truth of a group or rule in wire form; a group with nothing in it is true."""
    if "target" in node:
        return truth_of_rule(node)
    kind = "or" if "or" in node else "and"
    members = [member for member in node.get(kind, ()) if not _is_empty(member)]
    if not members:
        return True
    return (any_of if kind == "or" else all_of)(group_truth(member, truth_of_rule) for member in members)


def _is_empty(node):
    return "target" not in node and all(_is_empty(member) for member in (*node.get("and", ()), *node.get("or", ())))


def rules_of(node):
    """Return every rule of a group, nested ones included."""
    if not node:
        return []
    if "target" in node:
        return [node]
    return [rule for member in (*node.get("and", ()), *node.get("or", ())) for rule in rules_of(member)]


def effective_rules(node):
    """Return the rules that decide something; an alternative to what is always true decides nothing."""
    if "target" in node:
        return [] if _has_no_effect(node) else [node]
    members = [member for member in (*node.get("and", ()), *node.get("or", ())) if not _is_empty(member)]
    found = [effective_rules(member) for member in members]
    if "or" in node and not all(found):
        return []
    return [rule for each in found for rule in each]


def _has_no_effect(rule):
    if rule.get("disabled"):
        return True
    if rule["operator"] in _NEED_NO_VALUE or any(value != "" for value in rule.get("values") or ()):
        return False
    return bool(rule.get("values")) or not rule.get("includeNull") or rule["operator"] in _NEGATIVES


def rule_truth(rule, value, kind, *, is_case_sensitive, zone, setting):
    """Return the truth of one rule.

    Args:
        rule: In wire form.
        value: Of the field, in one row.
        kind: Type of the field.
        is_case_sensitive: Of the field, where the rule does not say.
        zone: Zone of the field's days.
        setting: Of the question.
    """
    operator = rule["operator"]
    values = _values(rule, kind, operator, zone)
    if _has_no_effect(rule):
        return True
    if value is None and rule.get("includeNull") and operator not in ("isNull", "notNull"):
        return True
    if not values and operator not in _NEED_NO_VALUE:
        return False  # nothing but NULL was asked for
    if kind == "string" and isinstance(value, str) and not rule.get("caseSensitive", is_case_sensitive):
        value, values = value.upper(), [each.upper() for each in values]
    if operator in _RELATIVE:
        truth = None if value is None else is_within(value, rule, setting, zone)
        return opposite(truth) if operator.startswith("not") else truth
    return _plain_truth(operator, value, values)


def _plain_truth(operator, value, values):
    match operator:
        case "isNull":
            return value is None
        case "notNull":
            return value is not None
        case "notEquals":
            return value is None or value not in values
        case "doesNotInclude":
            return value is None or not any(each in value for each in values)
    if value is None:
        return None
    match operator:
        case "equals":
            return value in values
        case "include" | "startsWith" | "endsWith":
            return any(_TEXT_OPERATORS[operator](value, each) for each in values)
        case "inBetween":
            return values[0] <= value <= values[1]
        case "notInBetween":
            return value < values[0] or value > values[1]
    return _COMPARISONS[operator](value, values[0])


def _values(rule, kind, operator, zone):
    values = rule.get("values") or []
    if operator in _RELATIVE:
        return values
    match kind:
        case "number":
            return [Decimal(str(each)) for each in values]
        case "boolean":
            return [str(each).lower() in ("true", "yes", "1") for each in values]
        case "date":
            return [dt.date.fromisoformat(each[:10]) for each in values]
        case "timestamp":
            return [_instant(each, zone) for each in values]
    return list(values)


def _instant(text, zone):
    found = dt.datetime.fromisoformat(text)
    return instant_of(found, zone) if found.tzinfo is None else found.astimezone(dt.UTC)
