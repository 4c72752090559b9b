"""What a caller may know of an explore, by user attributes.

A field that refers to one the caller must not see is not theirs either: its values would tell. Joins and row
filters are the project's own and refer to whatever they need.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from queryfleet.errors import ForbiddenError
from queryfleet.semantic.explore import Dimension, unlisted_interval
from queryfleet.semantic.expression import DimensionRef, MetricRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.semantic.explore import Explore, Field

__all__ = ["permitted_explore"]


def permitted_explore(explore: Explore, attributes: Mapping[str, tuple[str, ...]]) -> Explore:
    """Return the explore as one caller may use it: fields that are not theirs are refused by name.

    Args:
        explore: Compiled.
        attributes: The caller's values by attribute name.

    Returns:
        The explore itself when everything is allowed, else one with `denied` filled.

    Raises:
        ForbiddenError: The explore, or its base table, is not the caller's.

    Cost: linear in the fields; nothing is compiled again.
    """
    base = explore.tables[explore.base_table]
    if not (explore.access.allows(attributes) and base.access.allows(attributes)):
        raise ForbiddenError(f"the explore `{explore.name}` is not open to you: ask who gives out user attributes")
    denied = {
        each.field_id
        for each in explore.fields.values()
        if not (each.access.allows(attributes) and explore.tables[each.table].access.allows(attributes))
    }
    if not denied:
        return explore
    mentions = {each.field_id: _mentioned(each, explore) for each in explore.fields.values()}
    grown = True
    while grown:
        more = {field_id for field_id, ids in mentions.items() if field_id not in denied and ids & denied}
        denied |= more
        grown = bool(more)
    return replace(explore, denied=tuple(sorted(denied)))


def _mentioned(each: Field, explore: Explore) -> set[str]:
    """Return the field ids that a field refers to, filters and keys included; of intervals, their bases."""
    parts = () if each.expression is None else each.expression.parts
    ids = {part.field_id for part in parts if isinstance(part, (DimensionRef, MetricRef))}
    if not isinstance(each, Dimension):
        ids |= {rule.field_id for rule in each.filters} | set(each.distinct_keys)
    return {_base_id(field_id, explore) for field_id in ids}


def _base_id(field_id: str, explore: Explore) -> str:
    """Return the id of a field that is listed: of an interval that no model lists, its base's."""
    if field_id in explore.fields:
        return field_id
    for table in explore.tables.values():
        if field_id.startswith(f"{table.name}_"):
            name = field_id[len(table.name) + 1 :]
            made = unlisted_interval(table.dimensions, name, explore.custom_granularities)
            if made is not None:
                return explore.base_of(made).field_id
    return field_id
