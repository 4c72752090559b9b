"""Drill-down into SQL: the rows of an earlier statement behind a value, from its stored result or by asking again.

Stored texts are compared by their characters. What cannot be answered from the stored rows is asked of the warehouse,
around the earlier statement and its limit; that needs the right to run SQL, whoever was allowed to run the earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from actors.submit import CompiledQuestion
from queryfleet.compiler.dialects import dialect_of
from queryfleet.compiler.filters import FilterGroup, rules
from queryfleet.compiler.request import parse_metric_query
from queryfleet.compiler.sql_source import without_limit
from queryfleet.errors import FieldReferenceError, ForbiddenError, ParameterError
from queryfleet.limits import ProjectLimits
from queryfleet.results.page import schema_from_bytes
from queryfleet.results.selection import AllOf, RowOrder, RowSelection, is_exact
from queryfleet.warehouse.statement import is_plain_query, strip_terminator
from serve_app.questions import Asked
from serve_app.saved_questions import parsed_sorts
from serve_app.sql_charts import around, context_for_sql
from serve_app.stored_answers import is_kept, relations_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from queryfleet.compiler.metric_query import Sort
    from queryfleet.model import ColumnType
    from queryfleet.results.selection import Condition
    from queryfleet.schemas.saved_requests import UnderlyingDataRequest
    from queryfleet.settings import Settings
    from queryfleet.status.record import QueryRecord, StoredQuestion
    from serve_app.models import ProjectModels
    from serve_app.questions import Asker

__all__ = ["underlying_sql"]


def underlying_sql(
    body: UnderlyingDataRequest,
    record: QueryRecord,
    source: StoredQuestion,
    *,
    models: ProjectModels,
    asker: Asker,
    settings: Settings,
) -> Asked:
    """Return the question for the rows behind a value of an earlier statement.

    Args:
        body: The request.
        record: The earlier query, of the caller's own.
        source: What it asked.
        models: Of the project.
        asker: The caller.
        settings: Of the service.

    Raises:
        FieldReferenceError: A filter, a sort or the item names no column of the earlier query.
        ParameterError: A value does not fit, there is a date zoom, or the statement cannot stand in another one.
        ForbiddenError: The stored rows do not do, and the caller may not run SQL.
        NotSupportedError: The stored rows do not do, and there is no dialect for the warehouse.
    """
    if body.dateZoom:
        raise ParameterError("dateZoom is for queries that ask the models; this one is SQL.", field="dateZoom")
    drill = _Drill.of(body, record, source, settings)
    limits = ProjectLimits.of(models.definition, settings)
    is_usable = settings.stores_rows and not body.invalidateCache and is_kept(record, limits)
    selection = drill.selection(record) if is_usable else None
    sql = drill.base_sql
    if selection is None:
        sql = drill.statement(models, asker, settings)
    return Asked(
        question=CompiledQuestion(
            sql=sql,
            fields=None,
            timezone=None,
            question={"sqlQuery": {"sql": drill.base_sql, "limit": drill.base_limit}},
            asked=body.model_dump(mode="json", exclude={"waitMs"}),
            selection=selection,
        ),
        members={
            "fields": {},
            "warnings": [],
            "parameterReferences": [],
            "usedParametersValues": {},
            "resolvedTimezone": None,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drill:
    """A drill-down into a statement."""

    base_sql: str  # the earlier statement, before it was pivoted
    base_limit: int | None
    group: FilterGroup
    sorts: tuple[Sort, ...]
    is_distinct: bool
    limit: int
    types: dict[str, ColumnType]  # of its columns, as far as they are known

    @classmethod
    def of(cls, body: UnderlyingDataRequest, record: QueryRecord, source: StoredQuestion, settings: Settings) -> _Drill:
        asked = (source["question"] or {}).get("sqlQuery")
        flat = asked if isinstance(asked, dict) else {"sql": source["sql"], "limit": record.row_limit}
        parsed = parse_metric_query({"exploreName": "", "filters": dict(body.filters)})
        groups = (parsed.dimension_filters, parsed.metric_filters, parsed.calculation_filters)
        group = FilterGroup(members=tuple(each for each in groups if each is not None))
        sorts = parsed_sorts(body.sorts or [], "sorts")
        types = {} if record.pivot is not None else {each.reference: each.type for each in record.columns or ()}
        item = [] if body.underlyingDataItemId is None else [body.underlyingDataItemId]
        _check_names((*(rule.field_id for rule in rules(group)), *(sort.field_id for sort in sorts), *item), types)
        most = max(settings.export_cells_max // max(1, len(types)), 1)
        return cls(
            base_sql=str(flat["sql"]),
            base_limit=cast("int | None", flat["limit"]),
            group=group,
            sorts=sorts,
            is_distinct=body.distinct and "distinct" in body.model_fields_set,
            limit=most if body.limit is None else min(body.limit, most),
            types=types,
        )

    def selection(self, record: QueryRecord) -> RowSelection | None:
        """Return which stored rows those are; None when that cannot be said of stored values."""
        schema = schema_from_bytes(record.arrow_schema or b"")
        names = [sort.field_id for sort in self.sorts] + (schema.names if self.is_distinct else [])
        condition = self._condition(self.group, schema)
        if not schema.names or condition is None or not all(is_exact(schema.field(name)) for name in names):
            return None
        return RowSelection(
            query_uuid=record.result_query_uuid,
            attempt=record.result_attempt,
            row_count=record.row_count,
            arrow_schema=record.arrow_schema or b"",
            columns=tuple(schema.names),
            condition=condition[0],
            order=tuple(
                RowOrder(column=each.field_id, is_descending=each.is_descending, nulls_first=bool(each.nulls_first))
                for each in self.sorts
            ),
            limit=self.limit,
            is_distinct=self.is_distinct,
        )

    def _condition(self, group: FilterGroup, schema: pa.Schema) -> tuple[Condition | None] | None:
        """Return a group as a condition, in a tuple; None when it might not mean the same."""
        found: list[Condition] = []
        for member in group.members:
            if isinstance(member, FilterGroup):
                inner = self._condition(member, schema)
                if inner is None:
                    return None
                found += [] if inner[0] is None else [inner[0]]
                continue
            name = member.field_id
            rule = (
                None if member.case_sensitive is False else relations_of(member, self.types[name], schema.field(name))
            )
            if rule is None:
                return None
            found.append(rule)
        return (AllOf(members=tuple(found), is_any=group.is_any) if found else None,)

    def statement(self, models: ProjectModels, asker: Asker, settings: Settings) -> str:
        """Return the statement that asks the warehouse."""
        if not asker.may_run_sql:
            raise ForbiddenError(
                "The stored result of this query cannot answer this, and asking the warehouse again needs the right to "
                "run SQL.",
                field="underlyingDataSourceQueryUuid",
            )
        dialect = dialect_of(models.warehouse_type)
        inner = strip_terminator(self.base_sql, dialect=dialect.grammar)
        if not is_plain_query(inner, dialect=dialect.grammar):
            raise ParameterError(
                "This query has no underlying data: its SQL is no SELECT or WITH … SELECT.",
                field="underlyingDataSourceQueryUuid",
            )
        if self.base_limit is not None:
            inner, outer = without_limit(inner, dialect)
            most = self.base_limit if outer.limit is None else min(self.base_limit, outer.limit)
            inner += outer.written(most) or f"\nLIMIT {most}"
        sql = around(
            inner,
            [(rule_or_group, None) for rule_or_group in self.group.members],
            [(each.field_id, each.is_descending, each.nulls_first) for each in self.sorts],
            known=self.types,
            context=context_for_sql(dialect, models, settings),
            is_distinct=self.is_distinct,
        )
        return f"{sql}\nLIMIT {self.limit}"


def _check_names(names: Iterable[str], types: dict[str, ColumnType]) -> None:
    unknown = next((name for name in names if types and name not in types), None)
    if unknown is not None:
        known = ", ".join(f"`{name}`" for name in list(types)[:20])
        raise FieldReferenceError(
            f"The earlier query has no column `{unknown[:60]}`; it has {known}.", fieldId=unknown[:60]
        )
