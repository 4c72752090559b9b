"""The different values of a dimension, for those who fill in a filter."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from actors.submit import CompiledQuestion
from queryfleet.columns import columns_of
from queryfleet.compiler.filters import FilterGroup, rules
from queryfleet.compiler.metric_query import MetricQuery, Sort
from queryfleet.compiler.request import parse_filter_group
from queryfleet.errors import CompileError, FieldReferenceError, ForbiddenError, NotFoundError, ParameterError
from queryfleet.results.chunking import ChunkBuilder, ChunkLimits
from queryfleet.results.page import schema_to_bytes
from queryfleet.semantic.access import permitted_explore
from queryfleet.semantic.explore import Dimension, Metric
from queryfleet.semantic.filter_rule import FilterOperator, FilterRule
from queryfleet.semantic.nearest_name import nearest_name
from queryfleet.status.record import Failure, StoredRows
from serve_app.questions import Asker, compiled, parameter_values

if TYPE_CHECKING:
    import pyarrow as pa

    from queryfleet.results.chunking import SealedChunk
    from queryfleet.results.store import ObjectStore
    from queryfleet.schemas.requests import FieldValuesRequest
    from queryfleet.semantic.explore import Explore
    from queryfleet.settings import Settings
    from serve_app.models import ProjectModels

__all__ = ["FieldSearch", "search_field", "with_known_values"]

_VALUES_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSearch:
    """A search that can be submitted, and the members of its answer."""

    question: CompiledQuestion
    members: dict[str, Any]
    values: tuple[str, ...] | None = None  # the models list the values: these are found; else the warehouse is asked


def search_field(body: FieldValuesRequest, models: ProjectModels, asker: Asker, settings: Settings) -> FieldSearch:
    """Compile a search.

    Raises:
        NotFoundError: There is no such table or field.
        ForbiddenError: It is not the caller's.
        ParameterError: The field is a metric, or the limit is out of range.
        RequestError: The filters or parameters are wrong.
    """
    if not 0 <= body.limit <= _VALUES_MAX:
        raise ParameterError(f"`limit` is {body.limit}; write 0 to {_VALUES_MAX}", field="limit")
    explore = _explore_of(body.table, models, asker)
    dimension = _dimension(body.fieldId, explore)
    curated = dimension.filter_autocomplete
    label = _label(dimension, explore)
    members = {"valueFieldId": dimension.field_id, "labelFieldId": None if label is None else label.field_id}
    asked = body.model_dump(mode="json")
    if curated is not None and curated.values and not curated.fetch_from_warehouse:
        word = body.search.casefold()
        found = tuple(value for value in curated.values if word in value.casefold())[: body.limit]
        fields = {dimension.field_id: dimension.item()}
        made = CompiledQuestion(sql="", fields=fields, timezone=models.timezone, question={}, asked=asked)
        return FieldSearch(question=made, members=members | {"labelFieldId": None}, values=found)
    query = _query(body, explore, dimension, label)
    found_sql = None
    try:
        found_sql = compiled(query, explore, models, asker, settings, parameters=parameter_values(body.parameters))
    except ParameterError as error:
        if "missingReferences" not in error.details:
            raise
        outcome = Failure(name=error.wire_name, message=error.message, status=error.status, details=dict(error.details))
    made = CompiledQuestion(
        sql="" if found_sql is None else found_sql.sql,
        fields={} if found_sql is None else {name: dict(item) for name, item in found_sql.items.items()},
        timezone=models.timezone,
        question={"metricQuery": query.to_json()},
        asked=asked,
        outcome=outcome if found_sql is None else None,
    )
    return FieldSearch(question=made, members=members)


def _explore_of(table: str, models: ProjectModels, asker: Asker) -> Explore:
    """Return an explore that has the table, which shows only the rows of it that the caller may see.

    The table's own explore comes first: another one may lack rows that nothing is joined to.
    """
    explores = models.catalog.explores.values()
    holders = [each for each in explores if table in each.tables]
    own = [each for each in holders if each.base_table == table and each.name == table]
    forbidden: ForbiddenError | None = None
    for each in [*own, *(one for one in holders if one not in own)]:
        try:
            explore = permitted_explore(each, asker.attributes)
        except ForbiddenError as error:
            forbidden = forbidden or error
            continue
        if explore.tables[table].access.allows(asker.attributes):
            return _with_row_filter(explore, table)
        forbidden = forbidden or ForbiddenError(f"the table `{table}` is not open to you")
    if forbidden is not None:
        raise forbidden
    known = sorted({name for each in explores for name in each.tables if _is_open(each, name, asker)})
    raise NotFoundError(f"there is no table `{table}`; {nearest_name(table, known)}", table=table)


def _is_open(explore: Explore, table: str, asker: Asker) -> bool:
    base = explore.tables[explore.base_table]
    rules_ = (explore.access, base.access, explore.tables[table].access)
    return all(rule.allows(asker.attributes) for rule in rules_)


def _with_row_filter(explore: Explore, table: str) -> Explore:
    """Return the explore with the row filter of a table that is joined; that of the base it has already."""
    found = explore.tables[table]
    if table == explore.base_table:
        return explore
    if found.sql_filter_error is not None:
        raise CompileError(f"the values of table `{table}` cannot be searched here: its row filter cannot be used")
    if found.sql_filter is None:
        return explore
    return replace(explore, row_filters=(*explore.row_filters, found.sql_filter))


def _dimension(field_id: str, explore: Explore) -> Dimension:
    try:
        found = explore.field(field_id)
    except FieldReferenceError as error:
        raise NotFoundError(error.message, fieldId=field_id) from None
    if isinstance(found, Metric):
        raise ParameterError(f"`{field_id}` is a metric: only dimensions have values to search", fieldId=field_id)
    return found


def _label(dimension: Dimension, explore: Explore) -> Dimension | None:
    """Return the dimension that is shown in the place of the values; None when there is none for this caller."""
    curated = dimension.filter_autocomplete
    if curated is None or curated.label_dimension is None:
        return None
    label = explore.tables[dimension.table].dimensions.get(curated.label_dimension)
    is_usable = label is not None and label.error is None and label.field_id not in explore.denied
    return label if is_usable else None


def _query(body: FieldValuesRequest, explore: Explore, dimension: Dimension, label: Dimension | None) -> MetricQuery:
    shown = [dimension] if label is None else [dimension, label]
    conditions: list[FilterGroup | FilterRule] = [
        FilterRule(field_id=dimension.field_id, operator=FilterOperator.NOT_NULL)
    ]
    if body.search:
        matches = tuple(
            FilterRule(
                field_id=each.field_id, operator=FilterOperator.INCLUDE, values=(body.search,), case_sensitive=False
            )
            for each in shown
        )
        conditions.append(FilterGroup(members=matches, is_any=True))
    given = parse_filter_group(body.filters) if body.filters else None
    if given is not None:
        conditions += [each for each in given.members if _is_of(each, explore)] if not given.is_any else [given]
    return MetricQuery(
        explore=explore.name,
        dimensions=tuple(each.field_id for each in shown),
        dimension_filters=FilterGroup(members=tuple(conditions)),
        sorts=(Sort(field_id=shown[-1].field_id),),
        limit=body.limit,
    )


def _is_of(node: FilterGroup | FilterRule, explore: Explore) -> bool:
    """Tell whether every field of a rule or group is one of the explore that the caller may use."""
    for rule in rules(node):
        try:
            explore.dimension(rule.field_id)
        except (FieldReferenceError, ForbiddenError):
            return False
    return True


async def with_known_values(search: FieldSearch, store: ObjectStore, *, ttl_seconds: float) -> CompiledQuestion:
    """Store the values that a search found in the models, and return its question with them as its end.

    Raises:
        StorageError: The store is away.
    """
    schema, chunk = await asyncio.to_thread(_encoded, search)
    if chunk is not None:
        await store.put(chunk.ref.key, chunk.data)
    rows = StoredRows(
        columns=tuple(columns_of(schema)),
        arrow_schema=schema_to_bytes(schema),
        chunk=None if chunk is None else chunk.ref,
        ttl_seconds=ttl_seconds,
    )
    return replace(search.question, outcome=rows)


def _encoded(search: FieldSearch) -> tuple[pa.Schema, SealedChunk | None]:
    import pyarrow as pa

    from queryfleet.results.encoder import Encoder

    schema = pa.schema([(search.members["valueFieldId"], pa.string())])
    builder = ChunkBuilder(search.question.query_uuid, 0, ChunkLimits())
    if search.values:
        builder.append(Encoder(schema).encode(pa.record_batch([pa.array(search.values)], schema=schema)))
    return schema, builder.seal()
