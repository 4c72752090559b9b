"""The short way to write a filter in a model: `status: "!returned"`, `ordered_at: inThePast 6 weeks`.

    null · !null                     has no value · has one
    [a, b]                           any of the texts, taken literally
    7 · true                         equals
    text · !text                     equals · does not
    %text% · !%text%                 includes · does not
    text% · %text                    starts · ends with
    > 7 · >= 7 · < 7 · <= 7          numbers only
    between 2 and 9                  both included; also ISO dates
    inThePast 6 weeks · notInThePast 6 weeks · inTheNext 3 days
    inTheCurrent month · notInTheCurrent month
    ^                                before % ! < > or ^: that character itself

Words are case sensitive. What begins like an operator and is none is refused, not taken as text: a rule that
silently compares with the text `> many` hides rows for years. In a list every text is literal.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import TYPE_CHECKING, Final

from queryfleet.errors import CompileError
from queryfleet.section import nearest
from queryfleet.semantic.filter_rule import FilterOperator, FilterRule, FilterValue, UnitOfTime

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue

__all__ = ["filter_text", "parse_filter"]

_NUMBER: Final = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_COMPARISON: Final = re.compile(rf"(>=|<=|>|<)\s*({_NUMBER})\s*", re.ASCII)
_BETWEEN: Final = re.compile(r"between\s+(\S+(?: \d\S*)?)\s+and\s+(\S+(?: \d\S*)?)\s*")
_RELATIVE: Final = re.compile(r"(inThePast|notInThePast|inTheNext)\s+(\d{1,9})\s+([a-z]+)\s*", re.ASCII)
_CURRENT: Final = re.compile(r"(inTheCurrent|notInTheCurrent)\s+([a-z]+)\s*", re.ASCII)
_KEYWORDS: Final = re.compile(r"(between|inThePast|notInThePast|inTheNext|inTheCurrent|notInTheCurrent)(?=\s|\Z)")
_SPECIAL: Final = "%!<>^"
_COMPARISONS: Final = {
    ">": FilterOperator.GREATER_THAN,
    ">=": FilterOperator.GREATER_THAN_OR_EQUAL,
    "<": FilterOperator.LESS_THAN,
    "<=": FilterOperator.LESS_THAN_OR_EQUAL,
}
_SYMBOLS: Final = {operator: symbol for symbol, operator in _COMPARISONS.items()}
_AS_TEXT: Final = "to compare with the text itself, write it as a list: ["


def parse_filter(field: str, value: JsonValue) -> FilterRule:
    """Return the rule that `{field: value}` stands for.

    Args:
        field: `field` or `table.field`; becomes `field_id` as it is.
        value: As YAML gives it; dates are ISO text.

    Raises:
        CompileError: It is nothing that the language knows; the message says what to write instead.
    """
    match value:
        case None:
            return FilterRule(field_id=field, operator=FilterOperator.IS_NULL)
        case bool() | int() | float():
            return FilterRule(field_id=field, operator=FilterOperator.EQUALS, values=(value,))
        case list():
            return FilterRule(field_id=field, operator=FilterOperator.EQUALS, values=_elements(field, value))
        case str():
            return _text_rule(field, value)
        case _:
            raise CompileError(f"the filter on `{field}` is a mapping; give a value or a list of values")


def _elements(field: str, values: list[JsonValue]) -> tuple[FilterValue, ...]:
    found: list[FilterValue] = []
    for value in values:
        if value is None or isinstance(value, (list, dict)):
            raise CompileError(
                f"the list of values for `{field}` holds something that is not a value; write a rule with `null` "
                "of its own for rows without a value"
            )
        found.append(value)
    return tuple(found)


# Texts that are rules without a value; the empty one is no condition at all.
_WHOLE: Final = {
    "": FilterOperator.EQUALS,
    "null": FilterOperator.IS_NULL,
    "NULL": FilterOperator.IS_NULL,
    "!null": FilterOperator.NOT_NULL,
    "!NULL": FilterOperator.NOT_NULL,
}


def _text_rule(field: str, text: str) -> FilterRule:
    if text in _WHOLE:
        return FilterRule(field_id=field, operator=_WHOLE[text])
    if text[0] in "<>":
        return _comparison(field, text)
    keyword = _KEYWORDS.match(text.removeprefix("!"))
    if keyword is None:
        return _pattern(field, text)
    if text[0] == "!":
        raise CompileError(f"the filter on `{field}` negates `{keyword[1]}`, which is not possible in a model")
    if keyword[1] == "between":
        return _between(field, text)
    return _relative(field, text, keyword[1])


def _comparison(field: str, text: str) -> FilterRule:
    match = _COMPARISON.fullmatch(text)
    number = None if match is None else _number(match[2])
    if match is None or number is None:
        raise CompileError(
            f"the filter on `{field}` looks like a comparison, but no number follows: write `> 7`, or `between` for "
            "dates; put `^` before the first character if it is text"
        )
    return FilterRule(field_id=field, operator=_COMPARISONS[match[1]], values=(number,))


def _number(text: str) -> int | float | None:
    """Return the number a text spells; None when it spells none, or one too large to mean anything."""
    if re.fullmatch(_NUMBER, text, re.ASCII) is None:
        return None
    try:
        return int(text)
    except ValueError:
        number = float(text)
        return number if math.isfinite(number) else None


def _between(field: str, text: str) -> FilterRule:
    match = _BETWEEN.fullmatch(text)
    if match is not None:
        low, high = match.groups()
        numbers = (_number(low), _number(high))
        if None not in numbers:
            return FilterRule(field_id=field, operator=FilterOperator.IN_BETWEEN, values=numbers)
        if _is_moment(low) and _is_moment(high):
            return FilterRule(field_id=field, operator=FilterOperator.IN_BETWEEN, values=(low, high))
    raise CompileError(
        f"the filter on `{field}` begins with `between`, but two numbers or two dates must follow, such as "
        f"`between 2 and 9` or `between 2025-05-01 and 2025-05-20`; {_AS_TEXT}between …]"
    )


def _is_moment(text: str) -> bool:
    if re.match(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) is None:  # other ISO spellings, such as 20250501, are not wanted
        return False
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _relative(field: str, text: str, keyword: str) -> FilterRule:
    counted = _RELATIVE.fullmatch(text)
    current = _CURRENT.fullmatch(text)
    if counted is not None:
        word = counted[3]
    elif current is not None:
        word = current[2]
    else:
        example = f"{keyword} month" if keyword.endswith("Current") else f"{keyword} 6 weeks"
        raise CompileError(
            f"the filter on `{field}` begins with `{keyword}`, but does not go on as in `{example}`; "
            f"{_AS_TEXT}{keyword} …]"
        )
    units = [unit.value for unit in UnitOfTime]
    plural = word if word.endswith("s") else f"{word}s"
    if plural not in units:
        raise CompileError(
            f"the filter on `{field}` counts in something that is no unit of time; {nearest(word, units)}"
        )
    values = () if counted is None else (int(counted[2]),)
    return FilterRule(field_id=field, operator=FilterOperator(keyword), values=values, unit_of_time=UnitOfTime(plural))


def _pattern(field: str, text: str) -> FilterRule:
    """Return the rule of a text, after `!`, `%` and `^`."""
    is_negated = text[0] == "!"
    characters = _characters(text[1:] if is_negated else text)
    starts_open = bool(characters) and characters[-1] == ("%", True)
    ends_open = len(characters) > 1 and characters[0] == ("%", True)
    if starts_open and len(characters) == 1:
        raise CompileError(f"the filter on `{field}` is a lone `%`, which every text matches: remove it")
    literal = "".join(character for character, _ in characters[ends_open : len(characters) - starts_open])
    if (starts_open or ends_open) and not literal:
        raise CompileError(f"the filter on `{field}` has nothing between its `%`, so every text matches: remove it")
    if is_negated and starts_open != ends_open:
        raise CompileError(
            f"the filter on `{field}` negates the beginning or end of a text, which is not possible; "
            "write `!%text%` for texts that do not include it"
        )
    if starts_open and ends_open:
        operator = FilterOperator.DOES_NOT_INCLUDE if is_negated else FilterOperator.INCLUDE
    elif starts_open:
        operator = FilterOperator.STARTS_WITH
    elif ends_open:
        operator = FilterOperator.ENDS_WITH
    else:
        operator = FilterOperator.NOT_EQUALS if is_negated else FilterOperator.EQUALS
    if is_negated and not literal:
        raise CompileError(f"the filter on `{field}` is a lone `!`: write `!text`, or `!null` for any value")
    return FilterRule(field_id=field, operator=operator, values=(literal,))


def _characters(text: str) -> list[tuple[str, bool]]:
    """Return each character and whether it may be special; of an escaped one only the character is left."""
    found: list[tuple[str, bool]] = []
    index = 0
    while index < len(text):
        is_escape = text[index] == "^" and text[index + 1 : index + 2] in tuple(_SPECIAL)
        index += is_escape
        found.append((text[index], not is_escape))
        index += 1
    return found


def filter_text(rule: FilterRule) -> JsonValue:
    """Return what a model says for a rule: `parse_filter` reads it back to an equal rule.

    Raises:
        CompileError: The language cannot express it.
    """
    value = _written(rule)
    is_same = value is not _NOTHING and _is_read_back(rule, value)
    if not is_same:
        raise CompileError(f"the rule on `{rule.field_id}` cannot be written in a model's short form")
    return value


_NOTHING: Final[JsonValue] = {}


def _is_read_back(rule: FilterRule, value: JsonValue) -> bool:
    try:
        return parse_filter(rule.field_id, value) == rule
    except CompileError:
        return False


def _written(rule: FilterRule) -> JsonValue:  # noqa: C901, PLR0911, PLR0912  # a table of cases
    first, last = (rule.values[0], rule.values[-1]) if rule.values else (None, None)
    unit = rule.unit_of_time.value if rule.unit_of_time is not None else ""
    word = "".join(f"^{each}" if each in _SPECIAL else each for each in str(first))
    match rule.operator:
        case FilterOperator.EQUALS:
            return list(rule.values)
        case FilterOperator.IS_NULL:
            return None
        case FilterOperator.NOT_NULL:
            return "!null"
        case FilterOperator.NOT_EQUALS:
            return f"!{word}"
        case FilterOperator.INCLUDE:
            return f"%{word}%"
        case FilterOperator.DOES_NOT_INCLUDE:
            return f"!%{word}%"
        case FilterOperator.STARTS_WITH:
            return f"{word}%"
        case FilterOperator.ENDS_WITH:
            return f"%{word}"
        case FilterOperator.IN_BETWEEN:
            return f"between {first} and {last}"
        case FilterOperator.IN_THE_CURRENT | FilterOperator.NOT_IN_THE_CURRENT:
            return f"{rule.operator.value} {unit}"
        case FilterOperator.IN_THE_PAST | FilterOperator.NOT_IN_THE_PAST | FilterOperator.IN_THE_NEXT:
            return f"{rule.operator.value} {first} {unit}"
        case _ if rule.operator in _SYMBOLS:
            return f"{_SYMBOLS[rule.operator]} {first}"
        case _:
            return _NOTHING
