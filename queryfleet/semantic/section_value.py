"""Values of a model's mappings that need more than `Section` offers: lists, blank text, names, attributes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from queryfleet.section import Section
from queryfleet.semantic.explore import AccessRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from queryfleet.errors import JsonValue
    from queryfleet.semantic.parameter import ParameterScalar

__all__ = [
    "access_rule",
    "checked_name",
    "humanised",
    "number",
    "optional_flag",
    "prose",
    "scalars",
    "section_items",
    "section_map",
    "text_map",
    "texts",
]

# Names end up in field ids, and field ids in quotes in every dialect: nothing that could end a quote is let in.
_NAME: Final = re.compile(r"[\w-]{1,200}")


def checked_name(section: Section, key: str | None, name: str) -> str:
    """Return a name of a model, field or parameter.

    Raises:
        ConfigurationError: It holds anything but letters, digits, `_` and `-`, or more than 200 of them.
    """
    if _NAME.fullmatch(name) is None:
        raise section.error(key, "is a name that cannot be used: write 1 to 200 letters, digits, `_` or `-`")
    return name


def humanised(name: str) -> str:
    """Return a label for a name: `Order id` for `order_id`."""
    words = " ".join(name.replace("-", "_").split("_")).strip()
    return words[:1].upper() + words[1:]


def prose(section: Section, key: str) -> str | None:
    """Return text for people, or None when it is missing or blank: documentation tools write empty ones."""
    value = section.values.get(key)
    return None if isinstance(value, str) and not value.strip() else section.text(key)


def optional_flag(section: Section, key: str) -> bool | None:
    """Return true or false, or None when the key is not given."""
    return None if section.values.get(key) is None else section.flag(key, default=False)


def number(section: Section, key: str, *, low: float, high: float) -> float | None:
    """Return a number from `low` to `high`, or None when the key is not given."""
    value = section.values.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise section.error(key, f"must be a number from {low:g} to {high:g}")
    return float(value)


def texts(section: Section, key: str) -> tuple[str, ...] | None:
    """Return one text or a list of them, or None when the key is not given."""
    value = section.values.get(key)
    if value is None:
        return None
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) and item.strip() for item in found):
        raise section.error(key, "must be text or a list of texts: put numbers, dates and true or false in quotes")
    return tuple(item for item in found if isinstance(item, str))


def scalars(section: Section, key: str) -> tuple[ParameterScalar, ...]:
    """Return one text or number, or a list of them; empty when the key is not given."""
    value = section.values.get(key)
    if value is None:
        return ()
    found = value if isinstance(value, list) else [value]
    if any(isinstance(item, bool) or not isinstance(item, (str, int, float)) for item in found):
        raise section.error(key, "must be text, a number, or a list of them: put dates and true or false in quotes")
    return tuple(item for item in found if isinstance(item, (str, int, float)))


def section_items(section: Section, key: str) -> Sequence[Section]:
    """Return a list of mappings, each a section of its own; empty when the key is not given."""
    value = section.values.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise section.error(key, "must be a list of mappings, each beginning with a hyphen")
    return [_mapping(section, (key, index), item) for index, item in enumerate(value)]


def section_map(section: Section, key: str) -> dict[str, Section]:
    """Return a mapping of names to mappings, in order; an entry without a value is an empty mapping."""
    return {
        name: _mapping(section, (key, name), {} if item is None else item)
        for name, item in section.mapping(key).items()
    }


def _mapping(section: Section, steps: tuple[str | int, ...], item: JsonValue) -> Section:
    if not isinstance(item, dict):
        place = Section(document=section.document, values={}, path=(*section.path, *steps))
        raise place.error(None, "must be a mapping of `key: value` lines")
    return Section(document=section.document, values=item, path=(*section.path, *steps))


def text_map(section: Section, key: str) -> dict[str, str]:
    """Return a mapping of names to texts; empty when the key is not given."""
    inner = section.section(key)
    found = {}
    for name in inner.values:
        found[name] = inner.required_text(name, "text")
    return found


def access_rule(section: Section) -> AccessRule:
    """Return what `required_attributes` and `any_attributes` demand.

    Raises:
        ConfigurationError: One of them is there and says nothing: it was meant to keep somebody out.
    """
    for key in ("required_attributes", "any_attributes"):
        if key in section.values and section.values[key] is None:
            raise section.error(key, "is empty: name an attribute and its values, or remove the line")
    required, any_ = (_attributes(section.section(key)) for key in ("required_attributes", "any_attributes"))
    return AccessRule(required=required, any=any_)


def _attributes(section: Section) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, value in section.values.items():
        words = [_attribute_word(item) for item in (value if isinstance(value, list) else [value])]
        known = tuple(word for word in words if word is not None)
        # A rule without a value would let nobody in, or everybody, depending on the reader: it must say which.
        if not known or len(known) != len(words):
            raise section.error(name, "must be a text or a list of texts: the values that let a person in")
        found[name] = known
    return found


def _attribute_word(value: JsonValue) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int)) else None
