"""Spreadsheet formulas taken apart: `=IF(orders_revenue > 100, "big", "small")`.

    comparison  =  <>  <  >  <=  >=      (also == and !=)
    text        &
    sum         +  -
    product     *  /
    power       ^
    sign        -  +
    percent     %                        (after a value)
    value       number, "text", TRUE, FALSE, a column, a function, brackets

The loosest is first. Names and functions may be written in any case; columns are named by id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from queryfleet.errors import CompileError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Binary",
    "Call",
    "Formula",
    "Name",
    "Number",
    "Text",
    "Truth",
    "Unary",
    "functions_in",
    "names_in",
    "parse_formula",
]

_LENGTH_MAX: Final = 20_000
_DEPTH_MAX: Final = 100
_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)
    | "(?P<double>(?:[^"]|"")*)"
    | '(?P<single>(?:[^']|'')*)'
    | (?P<name>[A-Za-z_]\w*(?:\.\w+)?)
    | (?P<sign><>|<=|>=|==|!=|[-+*/^&=<>%(),;])
    )""",
    re.VERBOSE | re.ASCII,
)
_LEVELS: Final = (("=", "==", "<>", "!=", "<", ">", "<=", ">="), ("&",), ("+", "-"), ("*", "/"), ("^",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number as it was written; never negative."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text between quotes."""

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """TRUE or FALSE."""

    value: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A column."""

    text: str  # as written


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary:
    """A sign before, or `%` after, a value."""

    sign: str  # `-` or `%`
    value: Formula


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """Two values and what joins them."""

    sign: str
    left: Formula
    right: Formula


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function."""

    function: str  # in capitals
    arguments: tuple[Formula, ...]


Formula: TypeAlias = Number | Text | Truth | Name | Unary | Binary | Call


def parse_formula(text: str, place: str) -> Formula:
    """Return a formula taken apart.

    Args:
        text: With or without the `=` at its beginning.
        place: What messages call it.

    Raises:
        CompileError: It is none; the message shows where.

    Cost: linear in the text.
    """
    if len(text) > _LENGTH_MAX:
        raise CompileError(f"{place}: the formula is longer than {_LENGTH_MAX} characters")
    return _Parser(text.strip().removeprefix("="), place).formula()


def names_in(formula: Formula) -> Iterator[str]:
    """Yield every name that is read, as written."""
    match formula:
        case Name():
            yield formula.text
        case Unary():
            yield from names_in(formula.value)
        case Binary():
            yield from names_in(formula.left)
            yield from names_in(formula.right)
        case Call():
            for argument in formula.arguments:
                yield from names_in(argument)
        case _:
            return


def functions_in(formula: Formula) -> Iterator[str]:
    """Yield the name of every function that is called."""
    match formula:
        case Unary():
            yield from functions_in(formula.value)
        case Binary():
            yield from functions_in(formula.left)
            yield from functions_in(formula.right)
        case Call():
            yield formula.function
            for argument in formula.arguments:
                yield from functions_in(argument)
        case _:
            return


class _Parser:
    """Goes through one text from left to right."""

    def __init__(self, text: str, place: str) -> None:
        self._place = place
        self._tokens = list(self._scan(text))
        self._next = 0
        self._depth = 0

    def formula(self) -> Formula:
        if not self._tokens:
            raise CompileError(f"{self._place}: the formula is empty")
        found = self._level(0)
        if self._next < len(self._tokens):
            raise self._unexpected()
        return found

    def _scan(self, text: str) -> Iterator[re.Match[str]]:
        end, rest = 0, len(text.rstrip())
        while end < rest:
            match = _TOKEN.match(text, end)
            if match is None:
                raise CompileError(f"{self._place}: the formula has something unknown at `{text[end:].strip()[:20]}`")
            yield match
            end = match.end()

    def _sign(self) -> str | None:
        return self._tokens[self._next]["sign"] if self._next < len(self._tokens) else None

    def _level(self, level: int) -> Formula:
        if level == len(_LEVELS):
            return self._signed()
        left = self._level(level + 1)
        while (sign := self._sign()) is not None and sign in _LEVELS[level]:
            self._next += 1
            left = Binary(sign=sign, left=left, right=self._level(level + 1))
        return left

    def _signed(self) -> Formula:
        sign = self._sign()
        if sign in ("-", "+"):
            self._enter()
            value = self._signed()
            self._depth -= 1
            return Unary(sign="-", value=value) if sign == "-" else value
        value = self._value()
        while self._sign() == "%":
            self._next += 1
            value = Unary(sign="%", value=value)
        return value

    def _enter(self) -> None:
        self._next += 1
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise CompileError(f"{self._place}: the formula has more than {_DEPTH_MAX} brackets in one another")

    def _value(self) -> Formula:
        if self._next >= len(self._tokens):
            raise CompileError(f"{self._place}: the formula ends too early")
        token = self._tokens[self._next]
        if token["sign"] == "(":
            self._enter()
            inner = self._level(0)
            self._close()
            return inner
        if token["sign"] is not None:
            raise self._unexpected()
        self._next += 1
        if token["number"] is not None:
            return Number(text=token["number"])
        for quote, kind in (('"', "double"), ("'", "single")):
            if token[kind] is not None:
                return Text(value=token[kind].replace(quote * 2, quote))
        return self._named(token["name"])

    def _named(self, name: str) -> Formula:
        if self._sign() == "(":
            self._enter()
            arguments: list[Formula] = []
            if self._sign() != ")":
                arguments.append(self._level(0))
                while self._sign() in (",", ";"):
                    self._next += 1
                    arguments.append(self._level(0))
            self._close()
            return Call(function=name.upper(), arguments=tuple(arguments))
        if name.upper() in ("TRUE", "FALSE"):
            return Truth(value=name.upper() == "TRUE")
        return Name(text=name)

    def _close(self) -> None:
        if self._sign() != ")":
            if self._next < len(self._tokens):
                raise self._unexpected()
            raise CompileError(f"{self._place}: a bracket of the formula is not closed")
        self._next += 1
        self._depth -= 1

    def _unexpected(self) -> CompileError:
        return CompileError(
            f"{self._place}: the formula has `{self._tokens[self._next][0].strip()}` where it cannot be"
        )
