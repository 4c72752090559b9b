"""The functions of formulas: how many arguments each takes, and what it is in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.calculation import window
from queryfleet.compiler.context import zone_of
from queryfleet.compiler.plan import Order
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    from collections.abc import Callable

    from queryfleet.compiler.calculation import Scope
    from queryfleet.compiler.dialects import Dialect

__all__ = ["FUNCTIONS", "WINDOWED", "Function", "divided"]

_MANY: Final = 254
_PLAIN_ROUND: Final = frozenset({"postgres", "redshift"})  # these round only exact numbers to decimals


@dataclass(frozen=True, slots=True)
class Function:
    """One function."""

    least: int  # arguments
    most: int
    write: Callable[[list[str], Scope], str]  # gets complete expressions
    whole: tuple[int, ...] = ()  # positions of arguments that must be written as whole numbers


def divided(left: str, right: str, dialect: Dialect) -> str:
    """Return a division with decimals that is empty where it would be by zero."""
    return f"({dialect.cast_float(left)} / NULLIF({right}, 0))"


def _named(sql: str) -> Callable[[list[str], Scope], str]:
    return lambda arguments, _: f"{sql}({', '.join(arguments)})"


def _over_all(sql: str) -> Callable[[list[str], Scope], str]:
    return lambda arguments, _: f"{sql}({arguments[0]}) OVER ()"


def _average(arguments: list[str], scope: Scope) -> str:
    return f"AVG({scope.context.dialect.cast_float(arguments[0])}) OVER ()"


def _extreme(aggregate: str, choice: str) -> Callable[[list[str], Scope], str]:
    """Return a function that is over all rows with one argument, and chooses among several."""
    return lambda arguments, _: (
        f"{aggregate}({arguments[0]}) OVER ()" if len(arguments) == 1 else f"{choice}({', '.join(arguments)})"
    )


def _joined(word: str) -> Callable[[list[str], Scope], str]:
    return lambda arguments, _: f"({f' {word} '.join(arguments)})"


def _if(arguments: list[str], _: Scope) -> str:
    otherwise = arguments[2] if len(arguments) > 2 else "NULL"  # noqa: PLR2004 - its third
    return f"CASE WHEN {arguments[0]} THEN {arguments[1]} ELSE {otherwise} END"


def _ifs(arguments: list[str], _: Scope) -> str:
    pairs = zip(arguments[::2], arguments[1::2], strict=False)
    otherwise = f" ELSE {arguments[-1]}" if len(arguments) % 2 else ""
    return f"CASE {' '.join(f'WHEN {test} THEN {value}' for test, value in pairs)}{otherwise} END"


def _switch(arguments: list[str], _: Scope) -> str:
    pairs = zip(arguments[1::2], arguments[2::2], strict=False)
    otherwise = f" ELSE {arguments[-1]}" if len(arguments) % 2 == 0 else ""
    return f"CASE {arguments[0]} {' '.join(f'WHEN {each} THEN {value}' for each, value in pairs)}{otherwise} END"


def _round(name: str) -> Callable[[list[str], Scope], str]:
    def write(arguments: list[str], scope: Scope) -> str:
        value = arguments[0]
        if scope.context.dialect.name in _PLAIN_ROUND:
            value = f"CAST({value} AS DECIMAL(38, 10))"
        digits = arguments[1] if len(arguments) > 1 else "0"
        return f"{name}({value}, {digits})"

    return write


def _away(function: str) -> Callable[[list[str], Scope], str]:
    """Return rounding away from zero (CEIL) or towards it (FLOOR), to a number of decimals."""

    def write(arguments: list[str], scope: Scope) -> str:
        factor = f"POWER(10, {arguments[1]})" if len(arguments) > 1 else "1"
        value = scope.context.dialect.cast_float(arguments[0])
        return f"(SIGN({value}) * {function}(ABS({value}) * {factor}) / {factor})"

    return write


def _log(arguments: list[str], scope: Scope) -> str:
    dialect = scope.context.dialect
    base = arguments[1] if len(arguments) > 1 else "10"
    return divided(f"LN({arguments[0]})", f"LN({base})", dialect)


def _modulo(arguments: list[str], _: Scope) -> str:
    return f"MOD({arguments[0]}, NULLIF({arguments[1]}, 0))"


def _quotient(arguments: list[str], scope: Scope) -> str:
    quotient = divided(arguments[0], arguments[1], scope.context.dialect)
    return f"(SIGN({quotient}) * FLOOR(ABS({quotient})))"


def _divide(arguments: list[str], scope: Scope) -> str:
    quotient = divided(arguments[0], arguments[1], scope.context.dialect)
    return quotient if len(arguments) < 3 else f"COALESCE({quotient}, {arguments[2]})"  # noqa: PLR2004 - its third


def _concatenated(arguments: list[str], scope: Scope) -> str:
    dialect = scope.context.dialect
    empty = dialect.text("")
    return dialect.concat(*(f"COALESCE({dialect.cast_text(each)}, {empty})" for each in arguments))


def _length(arguments: list[str], scope: Scope) -> str:
    name = "lengthUTF8" if scope.context.dialect.name == "clickhouse" else "LENGTH"
    return f"{name}({arguments[0]})"


def _left(arguments: list[str], _: Scope) -> str:
    return f"SUBSTR({arguments[0]}, 1, {arguments[1] if len(arguments) > 1 else '1'})"


def _right(arguments: list[str], scope: Scope) -> str:
    count = arguments[1] if len(arguments) > 1 else "1"
    return f"SUBSTR({arguments[0]}, GREATEST({_length(arguments, scope)} - {count} + 1, 1))"


def _found(arguments: list[str], scope: Scope) -> str:
    match scope.context.dialect.name:
        case "bigquery":
            return f"STRPOS({arguments[1]}, {arguments[0]})"
        case "clickhouse":
            return f"positionUTF8({arguments[1]}, {arguments[0]})"
        case _:
            return f"POSITION({arguments[0]} IN {arguments[1]})"


def _contains(arguments: list[str], scope: Scope) -> str:
    return f"({_found([arguments[1], arguments[0]], scope)} > 0)"


def _starts(arguments: list[str], scope: Scope) -> str:
    return f"(SUBSTR({arguments[0]}, 1, {_length(arguments[1:], scope)}) = {arguments[1]})"


def _ends(arguments: list[str], scope: Scope) -> str:
    return f"({_right([arguments[0], _length(arguments[1:], scope)], scope)} = {arguments[1]})"


def _part(interval: TimeInterval) -> Callable[[list[str], Scope], str]:
    def write(arguments: list[str], scope: Scope) -> str:
        return scope.context.dialect.part(f"({arguments[0]})", interval, scope.context.start_of_week)

    return write


def _today(_: list[str], scope: Scope) -> str:
    context = scope.context
    return context.dialect.date(context.now.astimezone(zone_of(context.timezone)).date())


def _now(_: list[str], scope: Scope) -> str:
    return scope.context.dialect.timestamp(scope.context.now)


def _days(arguments: list[str], scope: Scope) -> str:
    dialect = scope.context.dialect
    return dialect.days_between(dialect.cast_date(arguments[1]), dialect.cast_date(arguments[0]))


def _moved(arguments: list[str], scope: Scope) -> str:
    count = int(arguments[1].replace(" ", "").strip("()"))
    return scope.context.dialect.add_interval(arguments[0], count, TimeInterval.MONTH, is_date=True)


def _neighbour(function: str) -> Callable[[list[str], Scope], str]:
    return lambda arguments, scope: (
        f"{function}({arguments[0]}, {arguments[1] if len(arguments) > 1 else '1'}) OVER {window(scope.order)}"
    )


def _running_total(arguments: list[str], scope: Scope) -> str:
    frame = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
    return f"SUM({arguments[0]}) OVER {window(scope.order, frame=frame)}"


def _rank(arguments: list[str], _: Scope) -> str:
    return f"RANK() OVER {window((Order(sql=arguments[0], is_descending=True),))}"


_IF_EMPTY: Final = _named("COALESCE")

FUNCTIONS: Final = {
    # Logic
    "IF": Function(2, 3, _if),
    "IFS": Function(2, _MANY, _ifs),
    "SWITCH": Function(3, _MANY, _switch),
    "AND": Function(1, _MANY, _joined("AND")),
    "OR": Function(1, _MANY, _joined("OR")),
    "NOT": Function(1, 1, lambda arguments, _: f"(NOT {arguments[0]})"),
    "XOR": Function(2, 2, _joined("<>")),
    "ISBLANK": Function(1, 1, lambda arguments, _: f"({arguments[0]} IS NULL)"),
    "ISNULL": Function(1, 1, lambda arguments, _: f"({arguments[0]} IS NULL)"),
    "IFNULL": Function(2, 2, _IF_EMPTY),
    "IFERROR": Function(2, 2, _IF_EMPTY),  # what would be an error is empty
    "COALESCE": Function(1, _MANY, _IF_EMPTY),
    "NULLIF": Function(2, 2, _named("NULLIF")),
    "BLANK": Function(0, 0, lambda _arguments, _: "NULL"),
    # Over all rows
    "SUM": Function(1, 1, _over_all("SUM")),
    "AVERAGE": Function(1, 1, _average),
    "AVG": Function(1, 1, _average),
    "COUNT": Function(1, 1, _over_all("COUNT")),
    "MIN": Function(1, _MANY, _extreme("MIN", "LEAST")),
    "MAX": Function(1, _MANY, _extreme("MAX", "GREATEST")),
    "STDEV": Function(1, 1, _over_all("STDDEV_SAMP")),
    "VAR": Function(1, 1, _over_all("VAR_SAMP")),
    # Between rows
    "ROW": Function(0, 0, lambda _arguments, scope: f"ROW_NUMBER() OVER {window(scope.order)}"),
    "LAG": Function(1, 2, _neighbour("LAG"), (1,)),
    "LEAD": Function(1, 2, _neighbour("LEAD"), (1,)),
    "RUNNING_TOTAL": Function(1, 1, _running_total),
    "RANK": Function(1, 1, _rank),
    # Numbers
    "ABS": Function(1, 1, _named("ABS")),
    "ROUND": Function(1, 2, _round("ROUND"), (1,)),
    "ROUNDUP": Function(1, 2, _away("CEIL"), (1,)),
    "ROUNDDOWN": Function(1, 2, _away("FLOOR"), (1,)),
    "TRUNC": Function(1, 2, _away("FLOOR"), (1,)),
    "INT": Function(1, 1, _named("FLOOR")),
    "FLOOR": Function(1, 1, _named("FLOOR")),
    "CEILING": Function(1, 1, _named("CEIL")),
    "MOD": Function(2, 2, _modulo),
    "QUOTIENT": Function(2, 2, _quotient),
    "DIVIDE": Function(2, 3, _divide),
    "POWER": Function(2, 2, _named("POWER")),
    "SQRT": Function(1, 1, _named("SQRT")),
    "EXP": Function(1, 1, _named("EXP")),
    "LN": Function(1, 1, _named("LN")),
    "LOG": Function(1, 2, _log),
    "LOG10": Function(1, 1, _log),
    "SIGN": Function(1, 1, _named("SIGN")),
    "PI": Function(0, 0, lambda _arguments, _: "3.141592653589793"),
    "LEAST": Function(1, _MANY, _named("LEAST")),
    "GREATEST": Function(1, _MANY, _named("GREATEST")),
    "VALUE": Function(1, 1, lambda arguments, scope: scope.context.dialect.cast_float(arguments[0])),
    # Texts
    "CONCAT": Function(1, _MANY, _concatenated),
    "CONCATENATE": Function(1, _MANY, _concatenated),
    "LEN": Function(1, 1, _length),
    "LEFT": Function(1, 2, _left),
    "RIGHT": Function(1, 2, _right),
    "MID": Function(3, 3, _named("SUBSTR")),
    "UPPER": Function(1, 1, _named("UPPER")),
    "LOWER": Function(1, 1, _named("LOWER")),
    "TRIM": Function(1, 1, _named("TRIM")),
    "SUBSTITUTE": Function(3, 3, _named("REPLACE")),
    "FIND": Function(2, 2, _found),
    "SEARCH": Function(2, 2, lambda arguments, scope: _found([f"UPPER({each})" for each in arguments], scope)),
    "CONTAINS": Function(2, 2, _contains),
    "STARTSWITH": Function(2, 2, _starts),
    "ENDSWITH": Function(2, 2, _ends),
    "TEXT": Function(1, 1, lambda arguments, scope: scope.context.dialect.cast_text(arguments[0])),
    # Dates
    "TODAY": Function(0, 0, _today),
    "NOW": Function(0, 0, _now),
    "YEAR": Function(1, 1, _part(TimeInterval.YEAR_NUM)),
    "QUARTER": Function(1, 1, _part(TimeInterval.QUARTER_NUM)),
    "MONTH": Function(1, 1, _part(TimeInterval.MONTH_NUM)),
    "WEEKNUM": Function(1, 1, _part(TimeInterval.WEEK_NUM)),
    "DAY": Function(1, 1, _part(TimeInterval.DAY_OF_MONTH_NUM)),
    "WEEKDAY": Function(1, 1, _part(TimeInterval.DAY_OF_WEEK_INDEX)),
    "HOUR": Function(1, 1, _part(TimeInterval.HOUR_OF_DAY_NUM)),
    "MINUTE": Function(1, 1, _part(TimeInterval.MINUTE_OF_HOUR_NUM)),
    "DAYS": Function(2, 2, _days),
    "EDATE": Function(2, 2, _moved, (1,)),
}
# Functions that look at other rows; one cannot hold another. MIN and MAX do with one argument only.
WINDOWED: Final = frozenset(
    {"SUM", "AVERAGE", "AVG", "COUNT", "MIN", "MAX", "STDEV", "VAR", "ROW", "LAG", "LEAD", "RUNNING_TOTAL", "RANK"}
)
