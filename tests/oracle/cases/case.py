"""One question with a promise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.oracle.description import Explore, Setting
from tests.oracle.market import MARKET

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A metric query, and what it is asked of."""

    name: str  # what must hold, in a few words; unique
    query: Mapping[str, Any]  # in wire form
    explore: Explore = MARKET
    setting: Setting = field(default_factory=Setting)


def ids_of(cases):
    """Return the names of cases, for test ids.

    Raises:
        ValueError: Two are alike.
    """
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        raise ValueError(sorted({name for name in names if names.count(name) > 1}))
    return [name.replace(" ", "-") for name in names]
