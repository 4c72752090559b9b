"""Explores as a caller may know them, in the words of the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.errors import ForbiddenError
from queryfleet.semantic.access import permitted_explore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.errors import JsonValue
    from queryfleet.semantic.catalog import Catalog
    from queryfleet.semantic.explore import Dimension, Explore, Join, Metric, Table

__all__ = ["explore_document", "explore_summaries"]


def explore_summaries(
    catalog: Catalog, attributes: Mapping[str, tuple[str, ...]], *, with_broken: bool
) -> list[JsonValue]:
    """Return one entry for each explore that the caller may know of, in the order of names.

    Args:
        catalog: Of the project.
        attributes: Of the caller.
        with_broken: Explores that cannot be used are listed too, each with its `errors`.
    """
    found: dict[str, JsonValue] = {}
    for name, explore in catalog.explores.items():
        try:
            permitted_explore(explore, attributes)
        except ForbiddenError:
            continue
        found[name] = _summary(explore)
    if with_broken:
        for name, reason in catalog.broken.items():
            found[name] = {"name": name, "label": name, "errors": [{"type": "METADATA_PARSE_ERROR", "message": reason}]}
    return [found[name] for name in sorted(found)]


def _summary(explore: Explore) -> JsonValue:
    entry: dict[str, JsonValue] = {
        "name": explore.name,
        "label": explore.label,
        "type": "default",
        "tags": list(explore.tags),
        "databaseName": None,  # a model names its table as SQL does, which may be a whole statement
        "schemaName": None,
    }
    if explore.description is not None:
        entry["description"] = explore.description
    if explore.groups:
        entry["groups"] = list(explore.groups)
        entry["groupLabel"] = explore.groups[0]
    return entry


def explore_document(
    explore: Explore, attributes: Mapping[str, tuple[str, ...]], *, with_warnings: bool
) -> dict[str, JsonValue]:
    """Return one explore with the tables and fields that are listed in it.

    Args:
        explore: As the caller may use it; see `permitted_explore`.
        attributes: Of the caller.
        with_warnings: Include what was left out when the models were read, and why.

    What is hidden, has failed or is not the caller's is left out, and so is every row filter.
    """
    joins = [join for join in explore.joins if explore.tables[join.table].access.allows(attributes)]
    listed = {explore.base_table} | {join.table for join in joins if not join.hidden}
    tables = [table for name, table in explore.tables.items() if name in listed]
    document: dict[str, JsonValue] = {
        "name": explore.name,
        "label": explore.label,
        "tags": list(explore.tags),
        "baseTable": explore.base_table,
        "joinedTables": [_join(join) for join in joins],
        "tables": {table.name: _table(table, explore) for table in tables},
        "parameters": {name: parameter.item() for name, parameter in explore.parameters.items()},
        "requiredFilters": [rule.to_json() for rule in explore.filters if rule.field_id not in explore.denied],
    }
    if explore.description is not None:
        document["description"] = explore.description
    if with_warnings and explore.warnings:
        document["warnings"] = [{"message": text} for text in explore.warnings]
    return document


def _join(join: Join) -> JsonValue:
    document: dict[str, JsonValue] = {
        "table": join.table,
        "type": join.type.value,
        "hidden": join.hidden,
        "always": join.always,
    }
    if join.relationship is not None:
        document["relationship"] = join.relationship.value
    return document


def _table(table: Table, explore: Explore) -> JsonValue:
    def is_listed(each: Dimension | Metric) -> bool:
        return not each.hidden and each.error is None and each.field_id not in explore.denied

    document: dict[str, JsonValue] = {
        "name": table.name,
        "originalName": table.model,
        "label": table.label,
        "orderFieldsBy": table.order_fields_by.upper(),
        "dimensions": {name: each.item() for name, each in table.dimensions.items() if is_listed(each)},
        "metrics": {name: each.item() for name, each in table.metrics.items() if is_listed(each)},
    }
    if table.description is not None:
        document["description"] = table.description
    default = table.default_time_dimension
    if default is not None:
        document["defaultTimeDimension"] = {"field": default.field, "interval": default.interval}
    return document
