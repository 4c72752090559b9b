"""Compiled expressions to SQL text of one dialect, for one caller.

    ${TABLE}.amount          "orders".amount
    ${net_amount}            (the dimension's SQL)
    ${ld.attr.region}        'north', 'south'
    ${ld.parameters.rate}    1.5

Text of a model goes in as it is; every value of a caller goes in as a literal of the dialect.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.filter_values import FilterTarget
from queryfleet.compiler.filters import FilterGroup, condition, parameter_references
from queryfleet.compiler.grains import cut, shift_zone, unit_of
from queryfleet.compiler.liquid import kept_parts
from queryfleet.compiler.parameters import check_given
from queryfleet.compiler.quoting import Enclosure, enclosing
from queryfleet.errors import CompileError, FieldReferenceError, ForbiddenError
from queryfleet.model import ColumnType
from queryfleet.semantic.explore import Dimension, Metric
from queryfleet.semantic.expression import (
    AttributeRef,
    DimensionRef,
    MetricRef,
    ParameterRef,
    SqlText,
    TableRef,
    UserEmailRef,
)
from queryfleet.semantic.field import MetricClass
from queryfleet.semantic.intervals import TimeInterval, interval_type, is_interval_possible
from queryfleet.semantic.parameter import ParameterType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from queryfleet.compiler.context import Context
    from queryfleet.compiler.liquid import LiquidValue
    from queryfleet.compiler.parameters import ParameterValue
    from queryfleet.semantic.explore import Explore, Table
    from queryfleet.semantic.expression import Expression, SqlPart
    from queryfleet.semantic.filter_rule import FilterRule

__all__ = ["Renderer"]

_RAW_ATTRIBUTE: Final = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_ATOM: Final = re.compile(r"""["`]?\w+["`]?(?:\.["`]?\w+["`]?)*""", re.ASCII)


class Renderer:
    """Renders one question; it remembers what it has rendered, and which parameters that took.

    Args:
        explore: As the caller may use it.
        context: Of the question.
    """

    def __init__(self, explore: Explore, context: Context) -> None:
        self._explore = explore
        self._context = context
        self._dimensions: dict[str, str] = {}  # SQL by field id, as references see it
        self._references: set[str] = set()
        self._used: dict[str, ParameterValue] = {}
        self._selected: frozenset[str] | None = None
        self._filtered: frozenset[str] | None = None

    @property
    def explore(self) -> Explore:
        """Return the explore."""
        return self._explore

    @property
    def context(self) -> Context:
        """Return the context."""
        return self._context

    @property
    def parameter_references(self) -> frozenset[str]:
        """Return the names of all parameters met so far, in branches that were not taken and conditions, too."""
        return frozenset(self._references)

    @property
    def used_parameters(self) -> Mapping[str, ParameterValue]:
        """Return the values that entered the SQL so far, or decided what enters, by name."""
        return dict(self._used)

    # --- expressions --------------------------------------------------------------------------------------------

    def expression(self, expression: Expression, table: str) -> str:
        """Return the SQL of an expression, without parentheses around it.

        Args:
            expression: Of this explore.
            table: Alias of the table it belongs to; in messages only.

        Raises:
            ForbiddenError: It needs a user attribute that the caller lacks, or the caller's unknown e-mail address.
            ParameterError: It needs a parameter without a value: `Missing parameters: …`.
            CompileError: A condition of a tag is none.
        """
        return self._rendered(expression, table, self._attribute)

    def source(self, table: Table) -> str:
        """Return what stands in FROM for a table, without its alias.

        Attributes are inserted as they are, as parts of names.

        Raises:
            ForbiddenError: It needs a user attribute that the caller lacks, or whose value has other characters than
                letters, digits, `_`, `.` and `-`.
            ParameterError: It needs a parameter without a value.
        """
        return self._rendered(table.sql_from, table.name, self._raw_attribute)

    def _rendered(
        self,
        expression: Expression,
        table: str,
        attribute: Callable[[str], str],
        substitutes: Mapping[str, str] | None = None,
    ) -> str:
        self._references.update(expression.parameters)
        kept = list(kept_parts(expression.parts, self._liquid_value))
        check_given((part.name for part in kept if isinstance(part, ParameterRef)), self._context.parameters)
        written = ""
        try:
            for part in kept:
                inside = self._inside(part, written, attribute)
                if inside is not Enclosure.COMMENT:  # a value could end a comment: what nobody reads needs none
                    written += self._part(part, attribute, substitutes or {})
        except CompileError as error:
            raise CompileError(f"table `{table}`: {error.message}", **error.details) from None
        # A comment that runs to the end of the line must not swallow what comes after.
        return f"{written}\n" if "--" in written.rpartition("\n")[2] else written

    def _inside(self, part: SqlPart, before: str, attribute: Callable[[str], str]) -> Enclosure:
        """Return what a part would be put inside of.

        Raises:
            CompileError: Inside quotes, where a literal would end them, and a value of the caller's become SQL.
        """
        if isinstance(part, (SqlText, TableRef)) or (isinstance(part, AttributeRef) and attribute != self._attribute):
            return Enclosure.NOTHING
        found = enclosing(before, self._context.dialect.name)
        if found is not Enclosure.QUOTES or (isinstance(part, ParameterRef) and self._is_number(part.name)):
            return found
        name = getattr(part, "field_id", "") or getattr(part, "name", "") or "the e-mail address"
        raise CompileError(f"`{name}` stands inside quotes in its SQL: remove them, values are put in with their own")

    def _is_number(self, name: str) -> bool:
        return self._context.parameters[name].type is ParameterType.NUMBER

    def _part(self, part: SqlPart, attribute: Callable[[str], str], substitutes: Mapping[str, str]) -> str:  # noqa: PLR0911 - a table
        match part:
            case SqlText():
                return part.text
            case TableRef():
                return self._context.dialect.quote(part.table)
            case DimensionRef():
                return substitutes.get(part.field_id) or f"({self._reference(part.field_id)})"
            case MetricRef():
                return f"({self._metric(part.field_id)})"
            case AttributeRef():
                return attribute(part.name)
            case UserEmailRef():
                return self._email()
            case ParameterRef():
                return self._parameter(part.name).sql(self._context.dialect)
            case _:
                raise AssertionError(part)  # tags are gone

    def _reference(self, field_id: str) -> str:
        known = self._dimensions.get(field_id)
        if known is None:
            found = self._explore.referenced(field_id)
            if not isinstance(found, Dimension):
                raise CompileError(f"`{field_id}` is a metric; a dimension is needed here", fieldId=field_id)
            known = self._dimensions[field_id] = self._cut(found, None)
        return known

    def _metric(self, field_id: str) -> str:
        found = self._explore.referenced(field_id)
        if not isinstance(found, Metric):
            raise CompileError(f"`{field_id}` is a dimension; a metric is needed here", fieldId=field_id)
        return self.metric(found)

    def _email(self) -> str:
        if not self._context.email:
            raise ForbiddenError("this explore needs your e-mail address, and none is known of you")
        return self._context.dialect.text(self._context.email)

    def _parameter(self, name: str) -> ParameterValue:
        value = self._used[name] = self._context.parameters[name]
        return value

    def _attribute_values(self, name: str) -> tuple[str, ...]:
        values = self._context.attributes.get(name, ())
        if not values:
            raise ForbiddenError(
                f"you have no value of the user attribute `{name}`: ask who gives out user attributes", attribute=name
            )
        return values

    def _attribute(self, name: str) -> str:
        return ", ".join(self._context.dialect.text(value) for value in self._attribute_values(name))

    def _raw_attribute(self, name: str) -> str:
        values = self._attribute_values(name)
        # Two hyphens would begin a comment.
        if any(_RAW_ATTRIBUTE.fullmatch(value) is None or "--" in value for value in values):
            raise ForbiddenError(
                f"your user attribute `{name}` is used as part of a name, where it may have letters, digits, `_`, `.` "
                "and single `-` only",
                attribute=name,
            )
        return ", ".join(values)

    def _liquid_value(self, kind: str, name: str) -> LiquidValue:
        if kind == "parameter":
            self._references.add(name)
            if name not in self._context.parameters:
                return None
            value = self._parameter(name)
            return value.values if value.multiple else value.values[0]
        if name == "fields":
            if self._selected is None:
                self._selected = self._spellings(self._context.fields)
            return self._selected
        if self._filtered is None:
            self._filtered = self._spellings(self._context.filtered)
        return self._filtered

    def _spellings(self, field_ids: Iterable[str]) -> frozenset[str]:
        """Return the ids, `table.name` of each, and that of the base of each interval."""
        found: set[str] = set()
        for field_id in field_ids:
            found.add(field_id)
            try:
                each = self._explore.referenced(field_id)
            except FieldReferenceError:  # of the question itself: a table calculation
                continue
            found.add(f"{each.table}.{each.name}")
            if isinstance(each, Dimension) and each.base_dimension is not None:
                found.add(f"{each.table}.{each.base_dimension}")
        return frozenset(found)

    # --- fields -------------------------------------------------------------------------------------------------

    def dimension(self, dimension: Dimension, *, grain: TimeInterval | None = None) -> str:
        """Return what is selected for a dimension: complete, cut to its interval, in the query's zone.

        Args:
            dimension: Of this explore, an interval that no model lists included.
            grain: Cut a date or moment to this instead of the dimension's own interval; without effect where it is
                not possible.

        Raises:
            CompileError: The dimension could not be compiled.
            ForbiddenError: As `expression`.
            ParameterError: As `expression`.
        """
        base = dimension.base_type or dimension.type
        applied = grain if grain is not None and is_interval_possible(grain, base) else None
        sql = self._cut(dimension, applied)
        type_ = dimension.type if applied is None else interval_type(applied, base)
        context = self._context
        is_made_utc = context.dialect.selects_utc or context.data_timezone != "UTC"
        if type_ is ColumnType.TIMESTAMP and dimension.convert_timezone and is_made_utc:
            return context.dialect.utc(sql)
        return sql

    def _cut(self, dimension: Dimension, grain: TimeInterval | None) -> str:
        """Return a dimension's SQL, cut to an interval: the given one, or its own."""
        if dimension.custom_granularity is not None and grain is None:
            return self._granularity(dimension)
        sql = self._uncut(dimension)
        interval = grain or dimension.interval
        if interval is None:
            return sql
        base = dimension.base_type or dimension.type
        return cut(atom(sql), interval, self._context, base=base, is_shifted=dimension.convert_timezone)

    def _uncut(self, dimension: Dimension) -> str:
        """Return the SQL of a dimension's base, or of a dimension that is none's interval."""
        source = self._explore.base_of(dimension) if dimension.custom_granularity is not None else dimension
        return self.expression(_compiled(source), dimension.table)

    def _granularity(self, dimension: Dimension) -> str:
        """Return a granularity of the project over the base, which it sees on the wall clock of the query's zone."""
        context = self._context
        base = dimension.base_type or dimension.type
        zone = shift_zone(base, context, is_shifted=dimension.convert_timezone)
        expression = _compiled(dimension)
        if zone is None:
            return self.expression(expression, dimension.table)
        column = self._explore.base_of(dimension).field_id
        clock = context.dialect.local(atom(self._uncut(dimension)), zone)
        sql = self._rendered(expression, dimension.table, self._attribute, {column: clock})
        return context.dialect.instant(sql, zone) if dimension.type is ColumnType.TIMESTAMP else sql

    def filter_target(self, dimension: Dimension, *, case_sensitive: bool | None = None) -> FilterTarget:
        """Return what a rule on a dimension is about.

        Args:
            dimension: Of this explore.
            case_sensitive: Of text rules; None: as the dimension, its table or the explore says.

        Raises:
            CompileError: The dimension could not be compiled.
            ForbiddenError: As `expression`.
            ParameterError: As `expression`.
        """
        said = (
            case_sensitive,
            dimension.case_sensitive,
            self._explore.tables[dimension.table].case_sensitive,
            self._explore.case_sensitive,
        )
        is_range = dimension.interval is not None and unit_of(dimension.interval) is not None
        return FilterTarget(
            sql=atom(self._reference_of(dimension)),
            type=dimension.type,
            case_sensitive=next((each for each in said if each is not None), None),
            base_sql=atom(self._uncut(dimension)) if is_range else None,
            base_type=dimension.base_type,
            interval=dimension.interval if is_range else None,
            shifted=dimension.convert_timezone,
        )

    def _reference_of(self, dimension: Dimension) -> str:
        known = self._dimensions.get(dimension.field_id)
        return self._cut(dimension, None) if known is None else known

    def condition(
        self, node: FilterGroup | FilterRule, target: Callable[[str], FilterTarget] | None = None
    ) -> str | None:
        """Return the condition of a filter in parentheses, and remember its parameters; None: every row passes.

        Args:
            node: What is asked.
            target: Returns what a field id stands for; None: dimensions of the explore, whoever asks.

        Raises:
            ParameterError: As `filters.condition`.
        """
        for name in sorted(parameter_references(node)):
            self._references.add(name)
            if name in self._context.parameters:
                self._parameter(name)
        return condition(node, target or self._referenced_target, self._context)

    def _referenced_target(self, field_id: str) -> FilterTarget:
        found = self._explore.referenced(field_id)
        if not isinstance(found, Dimension):
            raise CompileError(f"`{field_id}` is a metric; a dimension is needed here", fieldId=field_id)
        return self.filter_target(found)

    def argument(self, metric: Metric) -> str:
        """Return what a metric aggregates: its SQL, NULL for rows that its own filters leave out.

        Raises:
            CompileError: The metric, or a field of its filters, could not be compiled.
            ForbiddenError: As `expression`.
            ParameterError: As `expression`, or a value of its filters does not fit.
        """
        sql = self.expression(_compiled(metric), metric.table)

        def target(field_id: str) -> FilterTarget:
            found = self._explore.referenced(field_id)
            if not isinstance(found, Dimension):
                raise CompileError(f"the filters of `{metric.field_id}` name `{field_id}`, which is a metric")
            return self.filter_target(found, case_sensitive=True)

        asked = self.condition(FilterGroup(members=metric.filters), target)
        return sql if asked is None else f"CASE WHEN {asked} THEN ({sql}) ELSE NULL END"

    def metric(self, metric: Metric) -> str:
        """Return a metric over rows as one expression: its aggregate, or its SQL with the metrics it mentions.

        Raises:
            CompileError: It could not be compiled, or is of a class that needs stages of its own.
        """
        match metric.metric_class:
            case MetricClass.AGGREGATE:
                return self._context.dialect.aggregate(metric.type, self.argument(metric), metric.percentile)
            case MetricClass.EXPRESSION:
                return self.expression(_compiled(metric), metric.table)
            case _:
                raise CompileError(
                    f"the metric `{metric.field_id}` of type {metric.type} cannot be part of another expression",
                    fieldId=metric.field_id,
                )

    def tables(self, what: Expression | str) -> frozenset[str]:
        """Return the aliases of the tables that an expression, or the field of an id, reaches through all it mentions.

        Raises:
            FieldReferenceError: There is no such field.
            CompileError: It could not be compiled.
        """
        expression = _compiled(self._explore.referenced(what)) if isinstance(what, str) else what
        return frozenset(expression.tables)


def _compiled(field: Dimension | Metric) -> Expression:
    if field.expression is None:
        raise CompileError(f"the field `{field.field_id}` cannot be used: {field.error}", fieldId=field.field_id)
    return field.expression


def atom(sql: str) -> str:
    """Return an expression that binds as one: itself if it is a name, else in parentheses."""
    return sql if _ATOM.fullmatch(sql) else f"({sql})"
