"""Advice for a name that is not known, among names that people chose."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["nearest_name"]

_SHOWN: Final = 10  # names listed when none is alike: an explore may have hundreds of fields
_ALIKE: Final = 0.6  # of 1


def nearest_name(word: str, known: Collection[str]) -> str:
    """Return advice: the known name most like `word`, whatever its case, or some of them when none is like it.

    Args:
        word: What was written.
        known: In an order that makes sense to a reader; may be empty.

    Cost: some 10 µs for each known name.
    """
    if not known:
        return "there are none"
    lowered: dict[str, str] = {}
    for name in known:
        lowered.setdefault(name.lower(), name)
    close = get_close_matches(word.lower(), lowered, n=1, cutoff=_ALIKE)
    if close:
        return f"did you mean `{lowered[close[0]]}`?"
    shown = list(known)[:_SHOWN]
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"choose one of: {', '.join(shown)}{more}"
