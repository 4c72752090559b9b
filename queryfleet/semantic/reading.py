"""What every part of a model is read with: the project's defaults, the list of problems, and how strict to be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from queryfleet.errors import CompileError
from queryfleet.section import Section, nearest
from queryfleet.semantic.mini_language import parse_filter
from queryfleet.semantic.problem import Problems

if TYPE_CHECKING:
    from collections.abc import Collection

    from queryfleet.semantic.definition import ProjectDefaults
    from queryfleet.semantic.explore import FilterRule

__all__ = ["Reading", "check_keys", "filter_rule", "is_ignored"]

# Keys that other tools read and that change nothing here.
_IGNORED: Final = frozenset({"ai_hint", "spotlight", "pre_aggregates", "image", "richText", "rich_text"})
# A misspelt one of these shows rows or fields to people who must not see them.
_PROTECTING: Final = (
    "sql_filter",
    "sql_where",
    "sql_filter_on_join",
    "required_attributes",
    "any_attributes",
    "required_filters",
    "filters",
    "hidden",
)
_ALIKE: Final = 0.8  # of 1: one or two letters wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How models are read."""

    defaults: ProjectDefaults
    problems: Problems = field(default_factory=Problems)  # fills while reading
    is_strict: bool = True  # False: keys that are not known are warnings, since other tools' keys stand among ours


def is_ignored(key: str) -> bool:
    """Tell whether a key is known and has no effect here."""
    return key in _IGNORED


def check_keys(section: Section, known: Collection[str], reading: Reading) -> None:
    """Report every key that is not one of `known`.

    Raises:
        ConfigurationError: One is not, and reading is strict or the key looks like one that protects something. The
            message has its line and the nearest right name.
    """
    for key in section.values:
        if key in known:
            continue
        place = section.document.where((*section.path, key))
        if is_ignored(key):
            reading.problems.warning(place, f"`{key}` has no effect here")
            continue
        protecting = [each for each in _PROTECTING if each in known]
        if reading.is_strict or get_close_matches(key.lower(), protecting, n=1, cutoff=_ALIKE):
            raise section.error(key, f"is not a known key; {nearest(key, known)}")
        reading.problems.warning(place, f"`{key}` is not a known key; {nearest(key, known)}")


def filter_rule(section: Section, *, is_required: bool | None = None) -> FilterRule:
    """Return the rule of one mapping `{field: value}`.

    Args:
        section: The mapping.
        is_required: None: a metric's filter, one key. Otherwise an explore's own, and whether a query must have it
            when its key `required` does not say.

    Raises:
        ConfigurationError: There is not exactly one field, or its value is nothing that the short form knows.
    """
    extra = () if is_required is None else ("required",)
    names = [key for key in section.values if key not in extra]
    if len(names) != 1:
        raise section.error(None, "must name one field, as in `- status: completed`: write one entry for each field")
    name = names[0]
    table, _, field_name = name.rpartition(".")
    if not field_name or "." in table:
        raise section.error(name, "is not a field: write `field` or `table.field`")
    try:
        rule = parse_filter(name, section.values[name])
    except CompileError as error:
        raise section.error(name, f"cannot be understood: {error.message}") from None
    if is_required is None:
        return rule
    return replace(rule, is_required=section.flag("required", default=is_required))
