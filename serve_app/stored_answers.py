"""When the stored result of an earlier query holds the rows of a drill-down, so that the warehouse need not be asked.

A result is used only if it must have the very rows that the warehouse would give. That is proved on the plans of three
questions, compiled under the caller's rights of today:

    earlier     its cache key is the stored one: same SQL, same warehouse, same limits, so nothing has changed
    narrowed    the earlier one with the filters of the drill-down: the same columns from the same joined tables
    drill-down  its columns are among those of `narrowed`, from the same tables, under the same filters

and on the columns: filters, orders and repetitions only of values that every warehouse compares alike. Whatever is not
plain goes to the warehouse.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from actors.submit import question_key
from queryfleet.columns import column_of, has_own_rules
from queryfleet.compiler.dialects import dialect_of
from queryfleet.compiler.filter_values import boolean_value, day_value, number_value, text_value
from queryfleet.compiler.filters import FilterGroup, rules
from queryfleet.compiler.pivot_sql import null_order
from queryfleet.errors import RequestError
from queryfleet.limits import ProjectLimits
from queryfleet.model import ColumnType
from queryfleet.results.page import schema_from_bytes
from queryfleet.results.selection import AllOf, Comparison, Relation, RowOrder, RowSelection, is_exact, selection_scalar
from queryfleet.semantic.filter_rule import FilterOperator, FilterRule
from queryfleet.status.transitions import QueryStatus
from serve_app.questions import compiled, with_repetitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from queryfleet.compiler.compiler import CompiledQuery
    from queryfleet.compiler.metric_query import MetricQuery
    from queryfleet.compiler.plan import Select
    from queryfleet.errors import JsonValue
    from queryfleet.results.selection import Condition
    from queryfleet.semantic.explore import Explore
    from queryfleet.settings import Settings
    from queryfleet.status.record import QueryRecord, StoredQuestion
    from serve_app.models import ProjectModels
    from serve_app.questions import Asker

__all__ = ["DrillDown", "is_kept", "relations_of", "rows_of_models"]

# Two texts are equal there only if all their characters are; others ignore case or spaces at the end, or may do so.
_EXACT_TEXTS: Final = frozenset({"bigquery", "duckdb", "postgres"})
_BYTEWISE_ORDER: Final = frozenset({"bigquery", "duckdb"})
_NAN_IS_GREATEST: Final = frozenset({"duckdb", "postgres"})
_RELATIONS: Final = {
    FilterOperator.LESS_THAN: Relation.LESS,
    FilterOperator.LESS_THAN_OR_EQUAL: Relation.LESS_OR_EQUAL,
    FilterOperator.GREATER_THAN: Relation.GREATER,
    FilterOperator.GREATER_THAN_OR_EQUAL: Relation.GREATER_OR_EQUAL,
    FilterOperator.EQUALS: Relation.IN,
    FilterOperator.NOT_EQUALS: Relation.NOT_IN,
    FilterOperator.IS_NULL: Relation.NULL,
    FilterOperator.NOT_NULL: Relation.NOT_NULL,
}
_ORDERED: Final = frozenset({ColumnType.NUMBER, ColumnType.DATE, ColumnType.TIMESTAMP})
_TAKES_MANY: Final = frozenset({Relation.IN, Relation.NOT_IN})
_TAKES_NONE: Final = frozenset({Relation.NULL, Relation.NOT_NULL})


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillDown:
    """A question for the rows behind a value, and the earlier question whose value it is."""

    query: MetricQuery
    parameters: Mapping[str, JsonValue]
    is_distinct: bool
    earlier: MetricQuery
    earlier_parameters: Mapping[str, JsonValue]
    is_saved: bool  # SQL of its own was let through when it was saved
    explore: Explore  # as the caller may use it today


def is_kept(record: QueryRecord, limits: ProjectLimits) -> bool:
    """Tell whether all rows of a query are stored as the warehouse gave them, for long enough to be read."""
    margin = dt.timedelta(seconds=limits.cache_margin_seconds())
    return (
        record.status is QueryStatus.READY
        and not record.truncated
        and not record.objects_deleted
        and record.pivot is None
        and record.arrow_schema is not None
        and (record.chunk_count > 0 or record.row_count == 0)
        and record.results_expire_at is not None
        and record.results_expire_at > dt.datetime.now(dt.UTC) + margin
    )


def rows_of_models(
    drill: DrillDown,
    record: QueryRecord,
    source: StoredQuestion,
    *,
    models: ProjectModels,
    asker: Asker,
    settings: Settings,
) -> RowSelection | None:
    """Return which stored rows of an earlier question to the models answer a drill-down; None: it is not sure.

    Args:
        drill: The two questions.
        record: The earlier query, of the caller's own.
        source: What it asked.
        models: Of the project.
        asker: The caller.
        settings: Of the service.

    Cost: three compilations, some milliseconds.
    """
    limits = ProjectLimits.of(models.definition, settings)
    if not settings.stores_rows or not is_kept(record, limits) or record.arrow_schema is None:
        return None

    def compiling(query: MetricQuery, parameters: Mapping[str, JsonValue]) -> CompiledQuery:
        return compiled(
            query, drill.explore, models, asker, settings, parameters=parameters, can_write_sql=drill.is_saved or None
        )

    def key_of(sql: str) -> bytes:
        return question_key(models.project_uuid, models.definition, limits, sql=sql)

    try:
        earlier = compiling(drill.earlier, drill.earlier_parameters)
        asked = compiling(drill.query, drill.parameters)
        narrowed = compiling(
            replace(earlier.query, dimension_filters=asked.query.dimension_filters), drill.earlier_parameters
        )
    except RequestError:
        return None
    dialect = dialect_of(models.warehouse_type)
    stored_key = _key_of(record, source)
    has_only_dimensions = not (drill.earlier.metrics or drill.earlier.calculations)
    is_repeated = has_only_dimensions and stored_key == key_of(with_repetitions(earlier, dialect))
    if not is_repeated and stored_key != key_of(earlier.sql):
        return None
    proof = _Proof(
        earlier=earlier, narrowed=narrowed, asked=asked, explore=drill.explore, dialect_name=dialect.name,
        schema=schema_from_bytes(record.arrow_schema), is_repeated=is_repeated, is_distinct=drill.is_distinct,
    )  # fmt: skip
    is_whole = earlier.plan.final.limit is None or record.row_count < earlier.plan.final.limit
    if not (is_whole and proof.is_same_source() and proof.has_columns()):
        return None
    condition = proof.condition()
    order = proof.order({dialect.quote(name): name for name in asked.columns}, null_order(dialect).nulls_first)
    if condition is None or order is None:
        return None
    return RowSelection(
        query_uuid=record.result_query_uuid,
        attempt=record.result_attempt,
        row_count=record.row_count,
        arrow_schema=record.arrow_schema,
        columns=asked.columns,
        condition=condition[0],
        order=order,
        limit=asked.plan.final.limit,
        is_distinct=proof.needs_distinct(),
        cache_key=key_of(asked.sql if drill.is_distinct else with_repetitions(asked, dialect)),
    )


def _key_of(record: QueryRecord, source: StoredQuestion) -> bytes | None:
    """Return the cache key that the earlier query has, or would have if it had asked the warehouse."""
    if record.selection is not None:
        return RowSelection.from_json(record.selection).cache_key
    return source["cache_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    """What has to hold so that the rows of `asked` are rows of `earlier`."""

    earlier: CompiledQuery
    narrowed: CompiledQuery  # the earlier one under the filters of `asked`
    asked: CompiledQuery
    explore: Explore
    dialect_name: str
    schema: pa.Schema  # of the stored rows
    is_repeated: bool  # the stored rows are those of the tables, equal ones not put together
    is_distinct: bool  # and so are those that are wanted, unless this is true

    def is_same_source(self) -> bool:
        """Tell whether all three read the same tables, row filters included, and the filters only narrow."""
        plans = [self.earlier.plan, self.narrowed.plan, self.asked.plan]
        if any(plan.stages for plan in plans) or any(
            _has_more_filters(each.query) for each in (self.earlier, self.asked)
        ):
            return False
        earlier, narrowed, asked = (plan.final for plan in plans)
        return (
            _read(earlier) == _read(narrowed) == _read(asked)
            and earlier.outputs == narrowed.outputs
            and narrowed.where == asked.where
            and _conjuncts(self.earlier.query) <= _conjuncts(self.asked.query)
        )

    def has_columns(self) -> bool:
        """Tell whether the stored rows have all columns, grouped as they are asked for."""
        outputs = set(self.narrowed.plan.final.outputs)
        names = self.asked.columns
        if not set(self.asked.plan.final.outputs) <= outputs or any(name not in self.schema.names for name in names):
            return False
        if self.asked.query.metrics and (self.is_repeated or not self._is_same_grouping()):
            return False
        if not self.is_distinct:
            return self.is_repeated
        return not self.needs_distinct() or all(self._is_exact(name) for name in names)

    def needs_distinct(self) -> bool:
        """Tell whether stored rows that differ may be equal in what is asked for."""
        return self.is_distinct and (self.is_repeated or not self._is_same_grouping())

    def _is_same_grouping(self) -> bool:
        return set(self.asked.query.dimensions) == set(self.earlier.query.dimensions)

    def _is_exact(self, name: str, texts: frozenset[str] = _EXACT_TEXTS) -> bool:
        column = self.schema.field(name)
        if not is_exact(column) or has_own_rules(column):
            return False
        return column_of(column).type is not ColumnType.STRING or self.dialect_name in texts

    def _has_order(self, name: str) -> bool:
        kind = self.schema.field(name).type
        is_float = kind in ("float", "double") and self.dialect_name in _NAN_IS_GREATEST
        return is_float or self._is_exact(name, _BYTEWISE_ORDER)

    def condition(self) -> tuple[Condition | None] | None:
        """Return the filters of `asked` on stored columns, in a tuple; None: they are not sure to mean the same."""
        group = self.asked.query.dimension_filters
        if group is None or not any(True for _ in rules(group)):
            return (None,)
        found = self._group(group)
        return None if found is None else (found,)

    def _group(self, node: FilterGroup | FilterRule) -> Condition | None:
        if isinstance(node, FilterRule):
            return self._rule(node)
        members = [self._group(member) for member in node.members]
        kept = tuple(member for member in members if member is not None)
        return AllOf(members=kept, is_any=node.is_any) if kept and len(kept) == len(members) else None

    def _rule(self, rule: FilterRule) -> Condition | None:
        name = rule.field_id
        is_custom = any(name == each.id for each in self.asked.query.custom_dimensions)
        if is_custom or name not in self.earlier.query.dimensions or not self._is_exact(name):
            return None
        if rule.case_sensitive is False or self.explore.case_sensitive is False:
            return None
        dimension = self.explore.dimension(name)
        of_table = self.explore.tables[dimension.table].case_sensitive
        if False in (dimension.case_sensitive, of_table) or dimension.type is ColumnType.TIMESTAMP:
            return None
        return relations_of(rule, dimension.type, self.schema.field(name))

    def order(self, names: Mapping[str, str], nulls_first: object) -> tuple[RowOrder, ...] | None:
        """Return the order of `asked`; empty: that of the stored rows is it; None: it cannot be sure to be the same."""
        wanted, stored = self.asked.plan.final.order_by, self.earlier.plan.final.order_by
        if stored[: len(wanted)] == wanted:
            return ()
        found = []
        for entry in wanted:
            name = names.get(entry.sql)
            if name is None or not self._has_order(name):
                return None
            is_first = entry.nulls_first
            if is_first is None:
                is_first = bool(nulls_first(descending=entry.is_descending))  # type: ignore[operator]
            found.append(RowOrder(column=name, is_descending=entry.is_descending, nulls_first=is_first))
        return tuple(found)


def _read(select: Select) -> tuple[object, ...]:
    """Return everything that decides which rows a select reads, the question's own filters left aside."""
    return (select.source, select.joins, select.row_filters)


def _has_more_filters(query: MetricQuery) -> bool:
    return query.metric_filters is not None or query.calculation_filters is not None


def _conjuncts(query: MetricQuery) -> set[FilterRule | FilterGroup]:
    """Return the conditions that must all hold, without the names that clients give them."""
    group = query.dimension_filters
    if group is None:
        return set()
    plain = _plain(group)
    found: set[FilterRule | FilterGroup] = set()
    open_groups = [plain]
    while open_groups:
        each = open_groups.pop()
        if isinstance(each, FilterGroup) and (not each.is_any or len(each.members) == 1):
            open_groups += each.members
        else:
            found.add(each)
    return found


def _plain(node: FilterRule | FilterGroup) -> FilterRule | FilterGroup:
    if isinstance(node, FilterRule):
        return replace(node, id=None)
    return replace(node, id=None, members=tuple(_plain(member) for member in node.members))


def relations_of(rule: FilterRule, kind: ColumnType, column: pa.Field) -> Condition | None:
    """Return a rule as a condition on a stored column; None when that might not mean the same.

    Args:
        rule: Of any operator.
        kind: What the rule takes its field for.
        column: As it is stored.
    """
    values = _values(rule, kind, column)
    if rule.is_disabled or values is None:
        return None
    name = column.name
    if rule.operator is FilterOperator.IN_BETWEEN and kind in _ORDERED and len(values) == 2:  # noqa: PLR2004 - ends
        found: Condition = AllOf(
            members=(
                Comparison(column=name, relation=Relation.GREATER_OR_EQUAL, values=values[:1]),
                Comparison(column=name, relation=Relation.LESS_OR_EQUAL, values=values[1:]),
            )
        )
    else:
        relation = _RELATIONS.get(rule.operator)
        if relation is None or (relation not in _TAKES_NONE | _TAKES_MANY and kind not in _ORDERED):
            return None
        wanted = () if relation in _TAKES_NONE else values if relation in _TAKES_MANY else values[:1]
        if not wanted and relation not in _TAKES_NONE:
            return None  # a rule without values asks nothing, which is for the compiler to say
        found = Comparison(column=name, relation=relation, values=wanted)
    if not rule.includes_null or rule.operator in (FilterOperator.IS_NULL, FilterOperator.NOT_NULL):
        return found
    return AllOf(members=(found, Comparison(column=name, relation=Relation.NULL)), is_any=True)


def _values(rule: FilterRule, kind: ColumnType, column: pa.Field) -> tuple[str, ...] | None:
    """Return the values of a rule as the texts of a selection; None when a column of this type has no such value."""
    import pyarrow.types as t

    stored = column_of(column).type
    # A date that was cut from a moment may be stored as the first moment of its day.
    is_cut = kind is ColumnType.DATE and t.is_timestamp(column.type) and column.type.tz is None
    if (stored is not kind and not is_cut) or any(isinstance(each, str) and "${" in each for each in rule.values):
        return None
    if any(each is None or each == "" for each in rule.values):
        return None
    try:
        texts = tuple(_text(rule, each, kind) for each in rule.values)
    except RequestError:
        return None
    return None if any(selection_scalar(text, column) is None for text in texts) else texts


def _text(rule: FilterRule, value: str | float | bool | None, kind: ColumnType) -> str:
    match kind:
        case ColumnType.BOOLEAN:
            return "true" if boolean_value(rule, value) else "false"
        case ColumnType.NUMBER:
            return str(number_value(rule, value))
        case ColumnType.DATE:
            return day_value(rule, value).isoformat()
        case _:
            return text_value(rule, value)
