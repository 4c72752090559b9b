"""Saved SQL charts as statements: references filled in, limits and filters of a dashboard around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.context import Context
from queryfleet.compiler.dashboard_filters import holds
from queryfleet.compiler.dialects import DIALECTS
from queryfleet.compiler.filter_request import parse_rules
from queryfleet.compiler.filter_values import FilterTarget
from queryfleet.compiler.filters import FilterGroup, condition, rules
from queryfleet.compiler.sql_source import without_limit
from queryfleet.content.pivot import sql_chart_pivot
from queryfleet.errors import (
    FieldReferenceError,
    InvalidRequestError,
    NotSupportedError,
    ParameterError,
)
from queryfleet.limits import ProjectLimits
from queryfleet.model import ColumnType
from queryfleet.semantic.filter_rule import FilterRule
from queryfleet.warehouse.statement import check_statement, is_plain_query, strip_terminator
from serve_app.clock import question_time
from serve_app.pivots import PivotAsked, pivoted_sql
from serve_app.saved_questions import layered, parsed_sorts
from serve_app.sql_references import filled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.submit import PivotedStatement
    from queryfleet.compiler.dialects import Dialect
    from queryfleet.content.values import SqlChart
    from queryfleet.errors import JsonValue
    from queryfleet.settings import Settings
    from serve_app.models import ProjectModels
    from serve_app.questions import Asker
    from serve_app.saved_questions import Placed

__all__ = ["SqlAsked", "around", "context_for_sql", "sql_chart_question"]

_ALL_ROWS: Final = 2**63 - 1  # some warehouses want a LIMIT beside an OFFSET
_LISTS: Final = ("dimensions", "metrics", "tableCalculations")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlAsked:
    """A statement that can be submitted, and members of its answer."""

    sql: str
    row_limit: int | None  # None: all
    pivot: PivotedStatement | None
    members: dict[str, JsonValue]


def sql_chart_question(
    chart: SqlChart,
    place: Placed | None,
    *,
    limit: tuple[int | None] | None,
    parameters: Mapping[str, JsonValue],
    models: ProjectModels,
    asker: Asker,
    settings: Settings,
) -> SqlAsked:
    """Return what runs for a SQL chart.

    Args:
        chart: The chart.
        place: On a dashboard; None: the chart stands for itself.
        limit: Of the request, in a tuple; None: it says nothing, and the chart's holds.
        parameters: Of the request, by name.
        models: Of the project, whose parameters the statement may refer to.
        asker: The caller, whose attributes it may refer to.
        settings: Of the service.

    Raises:
        ParameterError: A parameter has no value or a wrong one (`details.missingReferences`), or a filter does not fit.
        ForbiddenError: The statement needs an attribute that the caller has no value of, or does not only read.
        NotSupportedError: The warehouse has no dialect to filter, pivot or refer in.
    """
    warehouse = models.warehouse_type
    given = layered(place.dashboard.parameters if place is not None else {}, parameters)
    statement = filled(chart.sql, given, models, asker)
    sql = statement.sql
    check_statement(sql, dialect=warehouse, allow_writes=False)
    wanted = chart.limit if limit is None else limit[0]
    applied: dict[str, JsonValue] = {name: [] for name in _LISTS}
    dialect = DIALECTS.get(warehouse)
    holding = () if place is None else _rules(place, applied)
    sorts = () if place is None else _order(place, chart)
    if dialect is not None and (holding or sorts or limit == (None,)):
        sql, outer = without_limit(strip_terminator(sql, dialect=dialect.grammar), dialect)
        if limit != (None,) and outer.limit is not None:
            wanted = outer.limit if wanted is None else min(wanted, outer.limit)
        if holding or sorts:
            if not is_plain_query(sql, dialect=dialect.grammar):
                raise ParameterError("The SQL chart cannot be filtered: it is no SELECT or WITH … SELECT.", field="sql")
            sql = around(
                sql, holding, sorts, known=chart.column_types, context=context_for_sql(dialect, models, settings)
            )
        sql += outer.written(_ALL_ROWS if wanted is None else wanted)
    elif holding:
        raise NotSupportedError(
            f"dashboardFilters are not available for a warehouse of type {warehouse!r}.", field="dashboardFilters"
        )
    pivot = None
    configuration = sql_chart_pivot(chart)
    if configuration is not None:
        asked = PivotAsked.of(configuration, None, ProjectLimits.of(models.definition, settings), settings)
        pivot = pivoted_sql(sql, asked, warehouse_type=warehouse, row_limit=wanted)
    members = statement.members | ({"sql": sql} if asker.may_run_sql else {})
    if place is not None:
        members["appliedDashboardFilters"] = applied
    return SqlAsked(sql=sql, row_limit=wanted, pivot=pivot, members=members)


def context_for_sql(dialect: Dialect, models: ProjectModels, settings: Settings) -> Context:
    """Return what filters around a statement of SQL depend on."""
    return Context(
        dialect=dialect,
        now=question_time(settings),
        timezone=models.timezone,
        start_of_week=models.start_of_week,
    )


def _rules(place: Placed, applied: dict[str, JsonValue]) -> tuple[tuple[FilterRule, ColumnType | None], ...]:
    """Return the rules whose target for this tile is a column of the statement, and note them as applied."""
    found: list[tuple[FilterRule, ColumnType | None]] = []
    for name in _LISTS:
        sent = place.filters.get(name)
        if sent is None:
            continue
        where = f"dashboardFilters.{name}"
        if not isinstance(sent, list) or not all(isinstance(each, dict) for each in sent):
            details: dict[str, JsonValue] = {where: {"message": "must be a list of rules"}}
            raise InvalidRequestError(f"The request is not valid: {where} must be a list of rules.", **details)
        targeted = [_targeted(each, place.tile_uuid) for each in sent if isinstance(each, dict)]
        kept = [each for each in targeted if each is not None]
        parsed = zip(parse_rules(kept, where), kept, strict=True)
        holding = [(rule, _fallback(each)) for rule, each in parsed if holds(rule)]
        applied[name] = [rule.to_json() for rule, _ in holding]
        found += holding
    return tuple(found)


def _targeted(sent: Mapping[str, JsonValue], tile_uuid: str) -> dict[str, JsonValue] | None:
    targets = sent.get("tileTargets")
    target = targets.get(tile_uuid) if isinstance(targets, dict) else None
    return {**sent, "target": target} if isinstance(target, dict) and target.get("isSqlColumn") is True else None


def _fallback(sent: Mapping[str, JsonValue]) -> ColumnType | None:
    target = sent.get("target")
    word = target.get("fallbackType") if isinstance(target, dict) else None
    return ColumnType(word) if isinstance(word, str) and word in set(ColumnType) else None


def _order(place: Placed, chart: SqlChart) -> tuple[tuple[str, bool, bool | None], ...]:
    """Return the sorts of a dashboard on known columns of a SQL chart: name, descending, nulls first."""
    sorts = parsed_sorts(place.sorts, "dashboardSorts")
    return tuple(
        (each.field_id, each.is_descending, each.nulls_first) for each in sorts if each.field_id in chart.column_types
    )


def around(
    sql: str,
    filters: Sequence[tuple[FilterRule | FilterGroup, ColumnType | None]],
    sorts: Sequence[tuple[str, bool, bool | None]],
    *,
    known: Mapping[str, ColumnType],
    context: Context,
    is_distinct: bool = False,
) -> str:
    """Return a statement that reads another one with filters and an order around it.

    Args:
        sql: The other one, without a terminator.
        filters: All of which must hold; with the type of the column of a rule, where that is told.
        sorts: Column, whether it is descending, and where NULL comes; None: as the warehouse does.
        known: Types of columns.
        context: Of the warehouse and the caller.
        is_distinct: Rows that are equal are put together.

    Raises:
        FieldReferenceError: A column has a name that cannot be quoted.
        ParameterError: A value does not fit.
    """
    dialect = context.dialect
    types = {each.field_id: type_ for each, type_ in filters if type_ is not None and isinstance(each, FilterRule)}
    types |= dict(known)
    guessed = {rule.field_id: _guessed(rule) for each, _ in filters for rule in rules(each)}

    def target(name: str) -> FilterTarget:
        if any(each in name for each in '"`\\'):
            raise FieldReferenceError("The name of a SQL column must not hold a quotation mark or a backslash.")
        return FilterTarget(sql=dialect.quote(name), type=types.get(name) or guessed[name])

    where = condition(FilterGroup(members=tuple(each for each, _ in filters)), target, context) if filters else None
    order = ", ".join(
        f"{dialect.quote(name)}{' DESC' if is_descending else ''}" + _nulls(first)
        for name, is_descending, first in sorts
    )
    lines = [f"SELECT {'DISTINCT ' if is_distinct else ''}*", f"FROM (\n{sql}\n) AS {dialect.quote('sql_query')}"]
    lines += [] if where is None else [f"WHERE {where}"]
    lines += [f"ORDER BY {order}"] if order else []
    return "\n".join(lines)


def _nulls(first: bool | None) -> str:
    return "" if first is None else f" NULLS {'FIRST' if first else 'LAST'}"


def _guessed(rule: FilterRule) -> ColumnType:
    """Return the type that a rule's values have, where nothing says that of the column."""
    value = next((each for each in rule.values if each is not None), None)
    if isinstance(value, bool):
        return ColumnType.BOOLEAN
    if isinstance(value, (int, float)):
        return ColumnType.NUMBER
    return ColumnType.TIMESTAMP if rule.unit_of_time is not None else ColumnType.STRING
