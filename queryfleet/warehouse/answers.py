"""Parts of a service's JSON answers, of which nothing is taken for granted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.errors import JsonValue

__all__ = ["entries", "number", "part"]


def part(answer: Mapping[str, JsonValue], key: str) -> Mapping[str, JsonValue]:
    """Return an object of the answer; an empty one when there is none."""
    value = answer.get(key)
    return value if isinstance(value, dict) else {}


def entries(answer: Mapping[str, JsonValue], key: str) -> list[Mapping[str, JsonValue]]:
    """Return the objects of a list of the answer; none when there is no list."""
    value = answer.get(key)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def number(answer: Mapping[str, JsonValue], key: str) -> int:
    """Return a whole number of the answer; 0 when there is none."""
    value = answer.get(key)
    return value if isinstance(value, int) else 0
