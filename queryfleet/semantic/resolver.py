"""What names in the SQL of an explore stand for: every field resolved once, depth first.

    white   not looked at yet
    grey    on the stack: meeting one again closes a cycle, reported as `a -> b -> a`
    black   has its expression, or the reason it has none

A field that fails takes down the fields that mention it, each with a message of its own, and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from queryfleet.errors import CompileError
from queryfleet.section import nearest
from queryfleet.semantic.explore import Dimension, Metric, MetricClass, unlisted_interval
from queryfleet.semantic.expression import (
    AttributeRef,
    DimensionRef,
    Expression,
    LiquidTag,
    MetricRef,
    ParameterRef,
    SqlText,
    TableRef,
    UserEmailRef,
)
from queryfleet.semantic.references import (
    AttributeName,
    Literal,
    ParameterName,
    Reference,
    TableSelf,
    Tag,
    UserEmail,
    tokens,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from queryfleet.semantic.explore import CustomGranularity, Field, FilterRule
    from queryfleet.semantic.expression import SqlPart

__all__ = ["Namespace", "Resolver"]

_DEPTH_MAX: Final = 100  # fields through fields; far beyond what a person writes, well within the stack
_SIZE_MAX: Final = 1_000_000  # characters of one expression with every field put in: doubling adds up quickly
_PARAMETER_IN_TAG: Final = re.compile(r"\b(?:lightdash|ld)\.parameters\.([\w-]+(?:\.[\w-]+)?)")
_STRINGS: Final = re.compile(r"'[^']*'")
# Calls that make one value of many rows, in the dialects we know. An expression over dimensions needs one of them;
# without, the warehouse would refuse the statement with a message about GROUP BY that no reader could place.
_AGGREGATE_CALL: Final = re.compile(
    r"""\b(count\w* | sum\w* | avg\w* | mean | min\w* | max\w* | median | mode | std\w* | var\w* | percentile\w*
    | quantile\w* | approx\w* | any\w* | first\w* | last\w* | arg_\w+ | \w*agg\w* | list | group\w* | bool_\w+
    | logical_\w+ | every | some | bit\w* | corr\w* | covar\w* | regr_\w+ | histogram | hll\w* | uniq\w* | kurtosis
    | skew\w* | entropy | product | string_concat | array_concat\w*)\s*\(""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """The fields of one table of an explore, not yet compiled."""

    alias: str
    model: str  # name of its model, by which it may be referred to, too
    dimensions: Mapping[str, Dimension]  # by name, intervals not included
    metrics: Mapping[str, Metric]  # by name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """A black field."""

    expression: Expression | None = None  # None: it failed
    failure: str = ""  # why
    cycle: tuple[str, ...] = ()  # it failed because these field ids go round, first one not repeated
    depth: int = 0  # fields through fields
    size: int = 0  # characters with everything put in


@dataclass(slots=True, kw_only=True)
class _Needs:
    """Collects what an expression needs, directly and through fields."""

    tables: set[str]
    attributes: set[str] = field(default_factory=set)
    parameters: set[str] = field(default_factory=set)
    depth: int = 0
    size: int = 0

    def add(self, outcome: _Outcome) -> None:
        expression = outcome.expression
        if expression is not None:
            self.tables.update(expression.tables)
            self.attributes.update(expression.attributes)
            self.parameters.update(expression.parameters)
        self.depth = max(self.depth, outcome.depth + 1)
        self.size += outcome.size

    def outcome(self, parts: list[SqlPart]) -> _Outcome:
        if self.depth > _DEPTH_MAX:
            raise CompileError(f"it refers to fields through more than {_DEPTH_MAX} others")
        if self.size > _SIZE_MAX:
            raise CompileError(f"with every field put in, its SQL is longer than {_SIZE_MAX} characters")
        expression = Expression(
            parts=tuple(parts),
            tables=tuple(sorted(self.tables)),
            attributes=tuple(sorted(self.attributes)),
            parameters=tuple(sorted(self.parameters)),
        )
        return _Outcome(expression=expression, depth=self.depth, size=self.size)


class Resolver:
    """Resolves the SQL of one explore; every field is compiled once, whatever refers to it.

    Args:
        namespaces: The tables by alias, the base first.
        parameters: Names that `${ld.parameters.…}` may have.
        custom_granularities: Of the project, by name.
    """

    def __init__(
        self,
        namespaces: Mapping[str, Namespace],
        *,
        parameters: Collection[str],
        custom_granularities: Mapping[str, CustomGranularity],
    ) -> None:
        self._namespaces = namespaces
        self._parameters = parameters
        self._granularities = custom_granularities
        self._black: dict[str, _Outcome] = {}
        self._grey: dict[str, str] = {}  # field id to `table.name`, in the order of the stack

    def compiled(self, each: Field) -> Expression | str:
        """Return the expression of a field of the namespaces, or why it has none."""
        outcome = self._outcome(each)
        return outcome.failure if outcome.expression is None else outcome.expression

    def expression(self, sql: str, own: str, *, is_join: bool = False) -> Expression:
        """Return SQL that belongs to no field: a row filter, a join condition.

        Args:
            sql: As written.
            own: Alias of the table it belongs to, meant by `${TABLE}` and by a name alone.
            is_join: In a join condition an alias is what it says; elsewhere a model's name first means the own table.

        Raises:
            CompileError: A name in it stands for nothing, or for a metric.
        """
        needs = _Needs(tables={own})
        parts = self._parts(sql, own, needs, kind=MetricClass.AGGREGATE, is_join=is_join)
        expression = needs.outcome(parts).expression
        if expression is None:
            raise AssertionError
        return expression

    def field_id(self, written: str, own: str) -> str:
        """Return the field id that `field` or `table.field` stands for.

        Args:
            written: As in a filter or a list of keys.
            own: Alias of the table that a name alone belongs to.

        Raises:
            CompileError: There is no such table or field.
        """
        table, _, name = written.rpartition(".")
        return self._found(Reference(table=table or None, name=name, start=0), own, is_join=False).field_id

    def _outcome(self, each: Field) -> _Outcome:
        field_id = each.field_id
        known = self._black.get(field_id)
        if known is None:
            self._grey[field_id] = f"{each.table}.{each.name}"
            try:
                known = _Outcome(failure=each.error) if each.error is not None else self._compile(each)
            except CompileError as error:
                cycle = error.details.get("cycle")
                ids = tuple(str(step) for step in cycle) if isinstance(cycle, list) else ()
                known = _Outcome(failure=error.message, cycle=ids)
            del self._grey[field_id]
            self._black[field_id] = known
        return known

    def _compile(self, each: Field) -> _Outcome:
        if len(self._grey) > _DEPTH_MAX + 1:
            raise CompileError(f"it refers to fields through more than {_DEPTH_MAX} others")
        needs = _Needs(tables={each.table})
        if isinstance(each, Dimension):
            return needs.outcome(self._parts(each.sql, each.table, needs, kind=None))
        parts = self._parts(each.sql, each.table, needs, kind=each.metric_class)
        if each.metric_class is MetricClass.POST_CALCULATION:
            _check_post_calculation(parts)
        for written in (*(rule.field_id for rule in each.filters), *each.distinct_keys):
            self._depend(self.field_id(written, each.table), needs)
        return needs.outcome(parts)

    def _depend(self, field_id: str, needs: _Needs) -> None:
        for namespace in self._namespaces.values():
            for each in namespace.dimensions.values():
                if each.field_id == field_id or field_id.startswith(f"{each.field_id}_"):
                    self._use(each, f"{each.table}.{each.name}", needs)
                    if each.field_id == field_id:
                        return

    def _use(self, each: Field, written: str, needs: _Needs) -> None:
        """Add what a mentioned field needs.

        Raises:
            CompileError: It closes a cycle, or cannot be used itself.
        """
        if each.field_id in self._grey:
            ids = list(self._grey)
            ids = ids[ids.index(each.field_id) :]
            raise CompileError(self._cycle_text(ids), cycle=list(ids))
        outcome = self._outcome(each)
        if outcome.expression is None:
            current = next(reversed(self._grey), "")
            if current in outcome.cycle:  # the cycle goes through this field as well: tell it from here on
                at = outcome.cycle.index(current)
                ids = [*outcome.cycle[at:], *outcome.cycle[:at]]
                raise CompileError(self._cycle_text(ids), cycle=list(ids))
            raise CompileError(f"it refers to `{written}`, which cannot be used: {outcome.failure}")
        needs.add(outcome)

    def _cycle_text(self, ids: list[str]) -> str:
        names = [self._name(field_id) for field_id in [*ids, ids[0]]]
        if len({name.partition(".")[0] for name in names}) == 1:
            names = [name.partition(".")[2] for name in names]
        return f"it refers to itself: {' -> '.join(names)}"

    def _name(self, field_id: str) -> str:
        for namespace in self._namespaces.values():
            for each in (*namespace.dimensions.values(), *namespace.metrics.values()):
                if each.field_id == field_id:
                    return f"{each.table}.{each.name}"
        return field_id
