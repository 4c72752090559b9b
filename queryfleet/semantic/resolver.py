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
from queryfleet.semantic.nearest_name import nearest_name
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

    from queryfleet.errors import JsonValue
    from queryfleet.semantic.explore import CustomGranularity, Field
    from queryfleet.semantic.expression import SqlPart

__all__ = ["Namespace", "Resolver"]

_DEPTH_MAX: Final = 100  # fields through fields; far beyond what a person writes, well within the stack
_TOO_DEEP: Final = f"it refers to fields through more than {_DEPTH_MAX} others"
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
    cause: str = ""  # likewise, of the field at the bottom of it: `table.name` and why
    cycle: tuple[str, ...] = ()  # it failed because these go round (`table.name`; the first is not repeated)
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
            raise CompileError(_TOO_DEEP)
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
        self._black: dict[str, _Outcome] = {}  # by key, `table.name`: unlike ids, keys never collide
        self._grey: dict[str, None] = {}  # keys of the fields on the stack, outermost first

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
        parts = self._parts(sql, own, needs, kind=None, is_join=is_join)
        expression = needs.outcome(parts).expression
        if expression is None:
            raise AssertionError
        return expression

    def dimension_id(self, written: str, own: str) -> str:
        """Return the field id that `field` or `table.field` in a filter or a list of keys stands for.

        Args:
            written: As in the model.
            own: Alias of the table that a name alone belongs to.

        Raises:
            CompileError: There is no such table or field, or it is a metric.
        """
        return self._dimension(written, own)[0].field_id

    def _dimension(self, written: str, own: str) -> tuple[Field, Field]:
        table, _, name = written.rpartition(".")
        named, compiled = self._found(Reference(table=table or None, name=name, start=0), own, is_join=False)
        if isinstance(named, Metric):
            raise CompileError(f"`{written}` is a metric; name a dimension")
        return named, compiled

    def _outcome(self, each: Field) -> _Outcome:
        key = _key(each)
        known = self._black.get(key)
        if known is None:
            self._grey[key] = None
            try:
                known = _failed(key, each.error) if each.error is not None else self._compile(each)
            except CompileError as error:
                # Only the outermost field is known to reach too deep: those on the way may be well on their own.
                if error.details.get("isTooDeep") and len(self._grey) > 1:
                    raise
                known = _failed(key, error.message, error.details)
            finally:
                del self._grey[key]
            self._black[key] = known
        return known

    def _compile(self, each: Field) -> _Outcome:
        if len(self._grey) > _DEPTH_MAX + 1:
            raise CompileError(_TOO_DEEP, isTooDeep=True)
        needs = _Needs(tables={each.table})
        if isinstance(each, Dimension):
            return needs.outcome(self._parts(each.sql, each.table, needs, kind=None))
        parts = self._parts(each.sql, each.table, needs, kind=each.metric_class)
        for written in (*(rule.field_id for rule in each.filters), *each.distinct_keys):
            self._use(self._dimension(written, each.table)[1], written, needs)
        return needs.outcome(parts)

    def _use(self, each: Field, written: str, needs: _Needs) -> None:
        """Add what a mentioned field needs.

        Raises:
            CompileError: It closes a cycle, or cannot be used itself.
        """
        key = _key(each)
        if key in self._grey:
            stack = list(self._grey)
            raise _cycle_error([stack[-1], *stack[stack.index(key) : -1]])
        outcome = self._outcome(each)
        if outcome.expression is not None:
            needs.add(outcome)
            return
        current = next(reversed(self._grey), "")
        if current in outcome.cycle:  # the cycle goes through this field as well: tell it from here on
            at = outcome.cycle.index(current)
            raise _cycle_error([*outcome.cycle[at:], *outcome.cycle[:at]])
        name, _, reason = outcome.cause.partition(": ")
        since = "" if name == key else f", since `{name}` cannot"
        raise CompileError(f"it refers to `{written}`, which cannot be used{since}: {reason}", cause=outcome.cause)

    def _parts(
        self, sql: str, own: str, needs: _Needs, *, kind: MetricClass | None, is_join: bool = False
    ) -> list[SqlPart]:
        """Return the parts of a text; what they need is added to `needs`.

        Args:
            sql: As written.
            own: Alias of the table it belongs to.
            needs: Is filled.
            kind: Of the metric it belongs to; None for everything else.
            is_join: See `expression`.
        """
        needs.size += len(sql)
        found: list[SqlPart] = []
        used: list[Field] = []
        for token in tokens(sql):
            match token:
                case Literal():
                    found.append(SqlText(text=token.text))
                case TableSelf():
                    found.append(TableRef(table=own))
                case Reference():
                    named, compiled = self._found(token, own, is_join=is_join)
                    _check_kind(token, named, kind)
                    self._use(compiled, token.text, needs)
                    used.append(named)
                    is_metric = isinstance(named, Metric)
                    part = MetricRef if is_metric else DimensionRef
                    found.append(part(field_id=named.field_id))
                case AttributeName():
                    needs.attributes.add(token.name)
                    found.append(AttributeRef(name=token.name))
                case UserEmail():
                    found.append(UserEmailRef())
                case ParameterName():
                    found.append(ParameterRef(name=self._parameter(token.name, needs)))
                case Tag():
                    for name in _PARAMETER_IN_TAG.findall(_STRINGS.sub("''", token.condition)):
                        self._parameter(name, needs)
                    found.append(LiquidTag(name=token.name, condition=token.condition))
        _check_whole(found, used, kind)
        return found

    def _parameter(self, name: str, needs: _Needs) -> str:
        if name not in self._parameters:
            advice = nearest_name(name, self._parameters)
            raise CompileError(f"there is no parameter `{name}`; {advice}")
        needs.parameters.add(name)
        return name

    def _found(self, reference: Reference, own: str, *, is_join: bool) -> tuple[Field, Field]:
        """Return the field that a reference names, and the one whose SQL it has: of an interval, its base."""
        namespace = self._namespaces[self._alias(reference, own, is_join=is_join)]
        name = reference.name
        found = namespace.dimensions.get(name) or namespace.metrics.get(name)
        if found is not None:
            return found, found
        interval = unlisted_interval(namespace.dimensions, name, self._granularities)
        if interval is not None and interval.base_dimension is not None:
            return interval, namespace.dimensions[interval.base_dimension]
        known = [*namespace.dimensions, *namespace.metrics]
        advice = nearest_name(name, known)
        raise CompileError(f"`{reference.text}` names no field of table `{namespace.alias}`; {advice}")

    def _alias(self, reference: Reference, own: str, *, is_join: bool) -> str:
        table = reference.table
        if table is None:
            return own
        # A model's SQL says its own name and means itself, under whatever alias it is joined.
        if not is_join and self._namespaces[own].model == table:
            return own
        if table in self._namespaces:
            return table
        of_model = [each.alias for each in self._namespaces.values() if each.model == table]
        if len(of_model) == 1:
            return of_model[0]
        if of_model:
            raise CompileError(
                f"`{reference.text}` may mean {' or '.join(of_model)}, all of them `{table}`: write which"
            )
        raise CompileError(
            f"`{reference.text}` names no table of this explore; {nearest_name(table, self._namespaces)}"
        )


def _key(each: Field) -> str:
    return f"{each.table}.{each.name}"


def _failed(key: str, failure: str, details: Mapping[str, JsonValue] | None = None) -> _Outcome:
    cycle = (details or {}).get("cycle")
    return _Outcome(
        failure=failure,
        cause=str((details or {}).get("cause", f"{key}: {failure}")),
        cycle=tuple(map(str, cycle)) if isinstance(cycle, list) else (),
    )


def _cycle_error(keys: list[str]) -> CompileError:
    names = [*keys, keys[0]]
    if len({name.partition(".")[0] for name in names}) == 1:
        names = [name.partition(".")[2] for name in names]
    return CompileError(f"it refers to itself: {' -> '.join(names)}", cycle=list(keys))


def _check_kind(reference: Reference, named: Field, kind: MetricClass | None) -> None:
    """Raise when a text of this kind may not mention the field."""
    if isinstance(named, Metric):
        if kind is None:
            raise CompileError(f"`{reference.text}` is a metric: a dimension, a filter or a join has rows, not groups")
        if kind in (MetricClass.AGGREGATE, MetricClass.DEDUPLICATED):
            raise CompileError(f"`{reference.text}` is a metric, and an aggregate cannot hold another: use type number")
        if named.metric_class is MetricClass.POST_CALCULATION:
            raise CompileError(f"`{reference.text}` is computed after everything else: no metric can refer to it")
    elif kind is MetricClass.POST_CALCULATION:
        raise CompileError(f"`{reference.text}` is a dimension: this type is computed from a metric")


def _check_whole(parts: list[SqlPart], used: list[Field], kind: MetricClass | None) -> None:
    """Raise when a text as a whole is not what a metric of its kind can be."""
    texts = [part.text for part in parts if isinstance(part, SqlText)]
    if kind is MetricClass.POST_CALCULATION and (len(used) != 1 or any(text.strip() for text in texts)):
        raise CompileError("it must be a reference to one metric and nothing else, such as `${revenue}`")
    if kind is MetricClass.EXPRESSION and any(isinstance(each, Dimension) for each in used):
        text = " ".join(texts)
        if _AGGREGATE_CALL.search(_STRINGS.sub("''", text)) is None:
            raise CompileError(
                "it mentions a dimension outside of an aggregate: put `sum(…)` around it, or refer to metrics"
            )
