"""Table calculations of a question, each in a stage above everything it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.compiler.calculation import Names, Scope, in_levels
from queryfleet.compiler.calculation_sql import parsed_sql
from queryfleet.compiler.calculation_templates import parsed_template
from queryfleet.compiler.formula_sql import parsed_formula
from queryfleet.compiler.plan import Output
from queryfleet.errors import CompileError
from queryfleet.model import ColumnType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from queryfleet.compiler.calculation import Parsed
    from queryfleet.compiler.metric_query import TableCalculation
    from queryfleet.compiler.plan import Order
    from queryfleet.compiler.question import Question
    from queryfleet.compiler.rendering import Renderer
    from queryfleet.compiler.stack import Stack
    from queryfleet.compiler.totals import Totals

__all__ = ["add_calculations", "calculation_type", "parsed_calculations"]

_DATES = {"date": ColumnType.DATE, "timestamp": ColumnType.TIMESTAMP}


def parsed_calculations(question: Question, renderer: Renderer, *, can_write_sql: bool) -> dict[str, Parsed]:
    """Return every table calculation of a question taken apart, by name.

    Raises:
        FieldReferenceError: One mentions what is not selected.
        ForbiddenError: One reads other tables, and the caller may not write SQL.
        CompileError: One cannot be understood.
    """
    query = question.query
    names = Names(
        explore=question.explore,
        columns=(*query.dimensions, *query.metrics),
        calculations=tuple(each.name for each in query.calculations),
    )
    return {each.name: _parsed(each, names, renderer, can_write_sql=can_write_sql) for each in query.calculations}


def _parsed(calculation: TableCalculation, names: Names, renderer: Renderer, *, can_write_sql: bool) -> Parsed:
    name = calculation.name
    if calculation.template is not None:
        return parsed_template(name, calculation.template, names)
    if calculation.formula is not None:
        return parsed_formula(name, calculation.formula, names)
    if calculation.sql is not None:
        return parsed_sql(name, calculation.sql, names, renderer, can_write_sql=can_write_sql)
    raise CompileError(f"the table calculation `{name}` has nothing to compute: give it `sql` or a `formula`")


def calculation_type(calculation: TableCalculation, parsed: Parsed) -> ColumnType:
    """Return the type of a calculation: declared, else what can be told from it or its format, else text."""
    if calculation.type is not None:
        return calculation.type
    if parsed.type is not None:
        return parsed.type
    shown = calculation.sent.get("format")
    kind = shown.get("type") if isinstance(shown, dict) else None
    if not isinstance(kind, str) or kind == "default":
        return ColumnType.STRING
    return _DATES.get(kind, ColumnType.NUMBER)


def add_calculations(
    stack: Stack,
    parsed: Mapping[str, Parsed],
    order: Callable[[str], tuple[Order, ...]],
    *,
    renderer: Renderer,
    totals: Totals,
) -> None:
    """Put the calculations on a stack, as few stages as their references allow.

    Args:
        stack: Its top has the selected fields.
        parsed: By name.
        order: Returns the order of the rows of a stage, by its name.
        renderer: Of the question.
        totals: Has the stages that the calculations need.

    Raises:
        CompileError: Calculations go round.
    """
    for number, level in enumerate(in_levels(parsed), 1):
        source = stack.push("rows" if number == 1 else f"calculations_{number - 1}")
        scope = Scope(
            context=renderer.context,
            source=source,
            order=order(source),
            total_source=totals.name("total"),
            row_total_source=totals.name("row_total"),
        )
        joins = []
        if any(each.totals for each in level):
            joins.append(totals.joined("total", source))
        if any(each.row_totals for each in level):
            joins.append(totals.joined("row_total", source))
        stack.add((Output(name=each.name, sql=each.write(scope)) for each in level), joins)
