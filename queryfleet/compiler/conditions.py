"""Conditions on the rows of a question: what it asks itself, and what its explore asks of every question."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from queryfleet.compiler.filters import FilterGroup, rules
from queryfleet.compiler.rows import Condition
from queryfleet.semantic.explore import Dimension, FilterRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from queryfleet.compiler.custom_dimensions import CustomColumn
    from queryfleet.compiler.filters import FilterTarget
    from queryfleet.compiler.plan import Stage
    from queryfleet.compiler.rendering import Renderer
    from queryfleet.semantic.explore import Explore

__all__ = ["Conditions", "base_id", "enabled_ids", "without_field"]


class Conditions:
    """Writes the conditions of one question.

    Args:
        renderer: Of the question.
        customs: The question's own dimensions by id.
    """

    def __init__(self, renderer: Renderer, customs: Mapping[str, CustomColumn]) -> None:
        self._renderer = renderer
        self._explore = renderer.explore
        self._customs = customs

    def of(self, group: FilterGroup | None, *, except_base: str | None = None) -> tuple[Condition, ...]:
        """Return the conditions of a filter on dimensions, and required ones that it does not have.

        Args:
            group: What the question asks; None: nothing.
            except_base: Field id of a dimension: rules on it and its intervals are left out.

        Raises:
            FieldReferenceError: A rule names no dimension.
            ForbiddenError: One names a dimension that is not the caller's.
            ParameterError: An operator or a value does not fit.
        """
        found: list[Condition] = []
        if group is not None:
            kept = group
            if except_base is not None:
                kept = without_field(group, lambda field_id: self._base_id(field_id) == except_base)
            found += self._written(kept, self._target)
        for rule in self._required(group):
            if except_base is None or self._base_id(rule.field_id) != except_base:
                found += self._written(rule, None)
        return tuple(found)

    def _written(
        self, node: FilterGroup | FilterRule, target: Callable[[str], FilterTarget] | None
    ) -> Iterator[Condition]:
        sql = self._renderer.condition(node, target)
        if sql is None:
            return
        tables: set[str] = set()
        bounds: list[Stage] = []
        for rule in self._effective(node, target):
            custom = self._customs.get(rule.field_id)
            if custom is None:
                tables |= self._renderer.tables(rule.field_id)
            else:
                tables |= custom.column.tables
                bounds += [] if custom.column.bounds is None else [custom.column.bounds]
        yield Condition(sql=sql, tables=frozenset(tables), bounds=tuple(dict.fromkeys(bounds)))

    def _effective(
        self, node: FilterGroup | FilterRule, target: Callable[[str], FilterTarget] | None
    ) -> Iterator[FilterRule]:
        """Yield the rules that are in the SQL: what has no effect must not bring its table, which may drop rows."""
        if self._renderer.condition(node, target) is None:
            return
        if isinstance(node, FilterGroup):
            for member in node.members:
                yield from self._effective(member, target)
        else:
            yield node

    def _target(self, field_id: str) -> FilterTarget:
        custom = self._customs.get(field_id)
        if custom is not None:
            return custom.target
        return self._renderer.filter_target(self._explore.dimension(field_id))

    def _required(self, group: FilterGroup | None) -> Iterator[FilterRule]:
        """Yield the required rules that no rule of the question replaces.

        Only a rule that every row must pass does: one that has an effect and is not an alternative to another.
        """
        required = [rule for rule in self._explore.filters if rule.is_required]
        if not required:
            return
        strict = () if group is None else tuple(_strict_rules(group))
        filtered = {
            self._base_id(rule.field_id)
            for rule in strict
            if rule.field_id not in self._customs and self._renderer.condition(rule, self._target) is not None
        }
        yield from (rule for rule in required if self._base_id(rule.field_id) not in filtered)

    def _base_id(self, field_id: str) -> str:
        return base_id(field_id, self._explore) if field_id not in self._customs else field_id


def base_id(field_id: str, explore: Explore) -> str:
    """Return the id of the dimension that an interval belongs to; of other fields their own."""
    found = explore.referenced(field_id)
    return explore.base_of(found).field_id if isinstance(found, Dimension) else field_id


def enabled_ids(group: FilterGroup | None) -> tuple[str, ...]:
    """Return the ids that enabled rules of a filter name, each once."""
    if group is None:
        return ()
    return tuple(dict.fromkeys(rule.field_id for rule in rules(group) if not rule.is_disabled))


def without_field(group: FilterGroup, is_left_out: Callable[[str], bool]) -> FilterGroup:
    """Return a filter without its rules on some fields; groups that become empty stay and ask nothing."""
    members: list[FilterGroup | FilterRule] = []
    for member in group.members:
        if isinstance(member, FilterGroup):
            members.append(without_field(member, is_left_out))
        elif not is_left_out(member.field_id):
            members.append(member)
    return replace(group, members=tuple(members))


def _strict_rules(group: FilterGroup) -> Iterator[FilterRule]:
    """Yield the enabled rules that every row must pass."""
    if group.is_any and len(group.members) > 1:
        return
    for member in group.members:
        if isinstance(member, FilterGroup):
            yield from _strict_rules(member)
        elif not member.is_disabled:
            yield member
