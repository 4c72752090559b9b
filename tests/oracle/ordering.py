"""The order of rows, total: the sorts of the query, then what is left of its dimensions."""

from __future__ import annotations

import functools
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """One step of an order."""

    id: str
    descending: bool = False
    nulls_first: bool | None = None  # None: as the database does
    rank: object = None  # what stands for a value; None: the value itself


def ordered(rows, sorts, setting):
    """Return rows in order; those that are equal in every sort stay as they are."""
    return sorted(rows, key=functools.cmp_to_key(lambda a, b: compared(a, b, sorts, setting)))


def compared(a, b, sorts, setting):
    """Return -1, 0 or 1: how two rows stand."""
    for sort in sorts:
        left, right = _key(a, sort), _key(b, sort)
        if left is None or right is None:
            first = sort.nulls_first
            if first is None:
                first = sort.descending and setting.nulls_first_descending
            sign = (left is None) - (right is None)
            sign = -sign if first else sign
        else:
            sign = (left > right) - (left < right)
            sign = -sign if sort.descending else sign
        if sign:
            return sign
    return 0


def _key(row, sort):
    value = row[sort.id]
    return value if sort.rank is None else sort.rank(value, row)
