"""Spreadsheet formulas as SQL. A division by zero is empty, aggregates are over all rows of the result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.calculation import Parsed
from queryfleet.compiler.formula import Binary, Call, Name, Number, Text, Truth, Unary, names_in, parse_formula
from queryfleet.compiler.formula_functions import FUNCTIONS, WINDOWED, divided
from queryfleet.errors import CompileError
from queryfleet.model import ColumnType
from queryfleet.semantic.nearest_name import nearest_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queryfleet.compiler.calculation import Names, Scope
    from queryfleet.compiler.formula import Formula

__all__ = ["parsed_formula"]

_COMPARISONS: Final = {"=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", ">": ">", "<=": "<=", ">=": ">="}
_NUMBERS: Final = frozenset(
    {
        "SUM", "AVERAGE", "AVG", "COUNT", "ABS", "ROUND", "ROUNDUP", "ROUNDDOWN", "FLOOR", "CEILING", "INT", "TRUNC",
        "MOD", "POWER", "SQRT", "EXP", "LN", "LOG", "LOG10", "SIGN", "PI", "DIVIDE", "QUOTIENT", "LEN", "FIND",
        "SEARCH", "VALUE", "YEAR", "QUARTER", "MONTH", "DAY", "WEEKDAY", "WEEKNUM", "HOUR", "MINUTE", "DAYS", "ROW",
        "RANK", "RUNNING_TOTAL", "STDEV", "VAR",
    }
)  # fmt: skip
_TEXTS: Final = frozenset(
    {"CONCAT", "CONCATENATE", "LEFT", "RIGHT", "MID", "UPPER", "LOWER", "TRIM", "SUBSTITUTE", "TEXT"}
)


def parsed_formula(name: str, text: str, names: Names) -> Parsed:
    """Return a calculation by formula.

    Args:
        name: Of the calculation.
        text: The formula.
        names: What it may mention.

    Raises:
        CompileError: It is no formula, or a function in it is unknown or has the wrong number of arguments.
        FieldReferenceError: It mentions what is not selected.
    """
    place = f"the table calculation `{name}`"
    formula = parse_formula(text, place)
    columns = {written: names.found(written, place) for written in names_in(formula)}
    _check(formula, place, inside=None)
    return Parsed(
        name=name,
        reads=frozenset(columns.values()),
        write=lambda scope: _Writer(scope, columns).written(formula),
        type=_type(formula),
    )


def _type(formula: Formula) -> ColumnType | None:  # noqa: PLR0911 - one for each kind
    """Return the type of a formula where it shows."""
    match formula:
        case Number() | Unary():
            return ColumnType.NUMBER
        case Text():
            return ColumnType.STRING
        case Truth():
            return ColumnType.BOOLEAN
        case Binary():
            if formula.sign in _COMPARISONS:
                return ColumnType.BOOLEAN
            return ColumnType.STRING if formula.sign == "&" else ColumnType.NUMBER
        case Call() if formula.function in _NUMBERS:
            return ColumnType.NUMBER
        case Call() if formula.function in _TEXTS:
            return ColumnType.STRING
        case Call() if formula.function == "IF":
            return _type(formula.arguments[1])
        case _:
            return None


def _calls(formula: Formula) -> Iterator[Call]:
    match formula:
        case Call():
            yield formula
            for argument in formula.arguments:
                yield from _calls(argument)
        case Unary():
            yield from _calls(formula.value)
        case Binary():
            yield from _calls(formula.left)
            yield from _calls(formula.right)
        case _:
            return


def _check(formula: Formula, place: str, *, inside: str | None) -> None:
    match formula:
        case Unary():
            _check(formula.value, place, inside=inside)
        case Binary():
            _check(formula.left, place, inside=inside)
            _check(formula.right, place, inside=inside)
        case Call():
            _check_call(formula, place, inside)
        case _:
            return


def _check_call(call: Call, place: str, inside: str | None) -> None:
    function = FUNCTIONS.get(call.function)
    if function is None:
        raise CompileError(f"{place}: there is no function `{call.function}`; {nearest_name(call.function, FUNCTIONS)}")
    count = len(call.arguments)
    if not function.least <= count <= function.most:
        wanted = str(function.least) if function.least == function.most else f"{function.least} to {function.most}"
        raise CompileError(f"{place}: `{call.function}` takes {wanted} arguments, not {count}")
    is_window = call.function in WINDOWED and not (call.function in ("MIN", "MAX") and count > 1)
    if is_window and inside is not None:
        raise CompileError(
            f"{place}: `{inside}` cannot hold `{call.function}`: make a calculation of the inner one and refer to it"
        )
    for position in function.whole:
        if position < count and not _is_whole(call.arguments[position]):
            raise CompileError(f"{place}: argument {position + 1} of `{call.function}` must be a whole number")
    for argument in call.arguments:
        _check(argument, place, inside=call.function if is_window else inside)


def _is_whole(formula: Formula) -> bool:
    value = formula.value if isinstance(formula, Unary) and formula.sign == "-" else formula
    return isinstance(value, Number) and re.fullmatch(r"\d{1,9}", value.text) is not None


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes a formula in a scope."""

    scope: Scope
    columns: dict[str, str]  # column by name as written

    def written(self, formula: Formula) -> str:  # noqa: PLR0911 - one for each kind
        dialect = self.scope.context.dialect
        match formula:
            case Number():
                return dialect.number(_number(formula.text))
            case Text():
                return dialect.text(formula.value)
            case Truth():
                return dialect.boolean(formula.value)
            case Name():
                return self.scope.column(self.columns[formula.text])
            case Unary():
                value = self.written(formula.value)
                return f"(- {value})" if formula.sign == "-" else f"({dialect.cast_float(value)} / 100)"
            case Binary():
                return self._binary(formula)
            case Call():
                function = FUNCTIONS[formula.function]
                return function.write([self.written(each) for each in formula.arguments], self.scope)

    def _binary(self, formula: Binary) -> str:
        dialect = self.scope.context.dialect
        left, right = self.written(formula.left), self.written(formula.right)
        match formula.sign:
            case "/":
                return divided(left, right, dialect)
            case "^":
                return f"POWER({dialect.cast_float(left)}, {right})"
            case "&":
                return dialect.concat(dialect.cast_text(left), dialect.cast_text(right))
            case sign:
                return f"({left} {_COMPARISONS.get(sign, sign)} {right})"


def _number(text: str) -> Decimal | int:
    value = Decimal(text)
    return int(value) if value == value.to_integral_value() and "." not in text and "e" not in text.lower() else value
