"""Conditions of `{% if … %}` in SQL: which parts of a text a question gets.

    ld.parameters.status == 'open' and ld.query.fields contains 'orders.region'

As in Liquid, `and` and `or` are read from the right: `a and b or c` is `a and (b or c)`. A parameter without a value
is nil. `ld.query.fields` and `ld.query.filters` hold the fields that are selected and filtered, as `table.field`, by
field id, and for an interval its base as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from queryfleet.errors import CompileError
from queryfleet.semantic.expression import LiquidTag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from queryfleet.semantic.expression import SqlPart

__all__ = ["LiquidValue", "kept_parts"]

# A frozen set is a set of fields, a tuple the values of a parameter that may have several.
LiquidValue: TypeAlias = "str | int | float | bool | tuple[str | int | float, ...] | frozenset[str] | None"

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<text>'[^']*'|"[^"]*")
      | (?P<number>-?\d+(?:\.\d+)?)(?![\w.-])
      | (?P<sign>==|!=|<>|<=|>=|<|>)
      | (?P<word>[A-Za-z_][\w.-]*)
    )""",
    re.VERBOSE | re.ASCII,
)
_WORDS: Final[Mapping[str, LiquidValue]] = {"true": True, "false": False, "nil": None, "null": None}
_PATH: Final = re.compile(r"(?:lightdash|ld)\.(?:parameters\.(?P<parameter>[\w.-]+)|query\.(?P<query>fields|filters))")
_OPERATORS: Final = frozenset({"==", "!=", "<>", "<=", ">=", "<", ">", "contains"})


@dataclass(slots=True)
class _Branch:
    """An open `if` or `unless`."""

    is_taken: bool  # are parts kept now?
    was_taken: bool  # was any of its branches?
    is_reached: bool  # are parts around it kept?


def kept_parts(parts: Sequence[SqlPart], value: Callable[[str, str], LiquidValue]) -> Iterator[SqlPart]:
    """Yield the parts whose conditions hold, without tags.

    Args:
        parts: With balanced tags.
        value: Returns what a path stands for: `("parameter", name)`, `("query", "fields")`, `("query", "filters")`.
            Called only for conditions that are reached.

    Raises:
        CompileError: A condition is none; the message repeats it.
    """
    stack: list[_Branch] = []
    for part in parts:
        if not isinstance(part, LiquidTag):
            if not stack or stack[-1].is_taken:
                yield part
        elif part.name in ("if", "unless"):
            is_reached = not stack or stack[-1].is_taken
            is_taken = is_reached and holds(part.condition, value) == (part.name == "if")
            stack.append(_Branch(is_taken, is_taken, is_reached))
        elif part.name in ("endif", "endunless"):
            stack.pop()
        else:
            branch = stack[-1]
            is_open = branch.is_reached and not branch.was_taken
            branch.is_taken = is_open and (part.name == "else" or holds(part.condition, value))
            branch.was_taken = branch.was_taken or branch.is_taken


def holds(condition: str, value: Callable[[str, str], LiquidValue]) -> bool:
    """Tell whether a condition holds.

    Args:
        condition: What stands in the tag after its name.
        value: See `kept_parts`.

    Raises:
        CompileError: It is none.
    """
    tokens = _tokens(condition)
    comparisons: list[bool] = []
    words: list[str] = []
    at = 0
    while True:
        end = next((index for index in range(at, len(tokens)) if tokens[index] in ("and", "or")), len(tokens))
        comparisons.append(_compared(tokens[at:end], condition, value))
        if end == len(tokens):
            break
        words.append(tokens[end])
        at = end + 1
    result = comparisons.pop()
    while words:
        before = comparisons.pop()
        result = (before and result) if words.pop() == "and" else (before or result)
    return result


def _tokens(condition: str) -> list[str]:
    found: list[str] = []
    at = 0
    text = condition.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _refusal(condition, f"`{text[at:].strip()[:20]}` is not understood")
        found.append(match[0].strip())
        at = match.end()
    return found


def _refusal(condition: str, fault: str) -> CompileError:
    return CompileError(
        f"the condition `{condition}` of a tag: {fault}; write for example `ld.parameters.name == 'text'` or "
        "`ld.query.fields contains 'table.field'`"
    )


def _compared(tokens: Sequence[str], condition: str, value: Callable[[str, str], LiquidValue]) -> bool:
    match tokens:
        case [operand]:
            return _operand(operand, condition, value) not in (None, False)
        case [left, operator, right] if operator in _OPERATORS:
            return _is_true(_operand(left, condition, value), operator, _operand(right, condition, value))
        case _:
            raise _refusal(condition, "it is no comparison of two values")


def _operand(token: str, condition: str, value: Callable[[str, str], LiquidValue]) -> LiquidValue:
    if token[0] in "'\"":
        return token[1:-1]
    if token[0].isdigit() or token[0] == "-":
        return float(token) if "." in token else int(token)
    if token in _WORDS:
        return _WORDS[token]
    path = _PATH.fullmatch(token)
    if path is None:
        raise _refusal(condition, f"`{token}` is not known")
    kind = "parameter" if path["parameter"] else "query"
    return value(kind, path[kind])


def _is_true(left: LiquidValue, operator: str, right: LiquidValue) -> bool:
    if operator == "contains":
        return _contains(left, right)
    if operator == "==":
        return _is_same(left, right)
    if operator in ("!=", "<>"):
        return not _is_same(left, right)
    return _is_ordered(left, operator, right)


def _contains(left: LiquidValue, right: LiquidValue) -> bool:
    if isinstance(left, str):
        return isinstance(right, str) and right in left
    if isinstance(left, tuple):
        return any(_is_same(each, right) for each in left)
    return isinstance(left, frozenset) and right in left


def _is_same(left: LiquidValue, right: LiquidValue) -> bool:
    """Tell whether two values are equal; a list of one value is that value."""
    left, right = (each[0] if isinstance(each, tuple) and len(each) == 1 else each for each in (left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return left == right


def _is_ordered(left: LiquidValue, operator: str, right: LiquidValue) -> bool:
    """Tell whether two numbers, or two texts such as dates, are in order; anything else is not."""
    left, right = (each[0] if isinstance(each, tuple) and len(each) == 1 else each for each in (left, right))
    if isinstance(left, str) and isinstance(right, str):
        return _order(operator, (left > right) - (left < right))
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return _order(operator, (left > right) - (left < right))
    return False


def _order(operator: str, sign: int) -> bool:
    return {"<": sign < 0, "<=": sign <= 0, ">": sign > 0, ">=": sign >= 0}[operator]
