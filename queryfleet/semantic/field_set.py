"""Named lists of fields, and what an entry of one stands for: `name`, `set*`, `-name`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from queryfleet.errors import CompileError
from queryfleet.semantic.nearest_name import nearest_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["expanded_fields"]

_NESTING_MAX: Final = 3  # sets within sets


def expanded_fields(entries: Sequence[str], sets: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the fields that a list stands for, each once, in the order they are first named.

    Args:
        entries: A field; `set*` for the fields of a set; `-field` or `-set*` to leave out what the others bring,
            wherever it stands in the list.
        sets: Sets by name, as written.

    Raises:
        CompileError: There is no such set, or sets lie in one another more than three deep.
    """
    return tuple(_expanded(entries, sets, ()))


def _expanded(entries: Sequence[str], sets: Mapping[str, tuple[str, ...]], outer: tuple[str, ...]) -> dict[str, None]:
    found: dict[str, None] = {}
    excluded: set[str] = set()
    for entry in entries:
        name = entry.removeprefix("-")
        names = _set_fields(name[:-1], sets, outer) if name.endswith("*") else {name: None}
        if entry.startswith("-"):
            excluded.update(names)
        else:
            found.update(names)
    return {name: None for name in found if name not in excluded}


def _set_fields(name: str, sets: Mapping[str, tuple[str, ...]], outer: tuple[str, ...]) -> dict[str, None]:
    if name not in sets:
        advice = nearest_name(name, sets)
        raise CompileError(f"there is no set `{name}`; {advice}")
    if name in outer:
        raise CompileError(f"the set `{name}` holds itself: {' -> '.join([*outer[outer.index(name) :], name])}")
    if len(outer) >= _NESTING_MAX:
        raise CompileError(f"the set `{name}` lies more than {_NESTING_MAX} deep in others")
    return _expanded(sets[name], sets, (*outer, name))
