"""Which table calculations have a total: those that compute one row from that row's own fields.

A calculation that reads other rows (windows, offsets, totals, templates) means something else over fewer rows, so it
has none. One that reads what has no total itself has none either. In doubt there is none: a wrong total is worse.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.calculation import Names
from queryfleet.compiler.formula import functions_in, names_in, parse_formula
from queryfleet.compiler.formula_functions import WINDOWED
from queryfleet.errors import RequestError
from queryfleet.semantic.references import Literal, Reference, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from queryfleet.compiler.metric_query import TableCalculation
    from queryfleet.semantic.explore import Explore

__all__ = ["calculations_with_total"]

_OTHER_ROWS: Final = re.compile(
    r"\b(?:over|select|row|offset|index|offset_list|list|lookup|total|row_total|pivot_\w+)\b", re.IGNORECASE
)


def calculations_with_total(
    calculations: tuple[TableCalculation, ...], columns: tuple[str, ...], explore: Explore
) -> tuple[TableCalculation, ...]:
    """Return the calculations that can be made over totals as they are made over rows.

    Args:
        calculations: Of the source.
        columns: Dimensions and metrics that the totals have.
        explore: As the caller may use it.
    """
    kept: tuple[TableCalculation, ...] = ()
    while True:
        known = tuple(each.name for each in kept)
        names = Names(explore=explore, columns=columns, calculations=known)
        found = tuple(each for each in calculations if each in kept or _has_total(each, names))
        if len(found) == len(kept):
            return found
        kept = found


def _has_total(calculation: TableCalculation, names: Names) -> bool:
    try:
        read = _read(calculation)
        if read is None:
            return False
        for written in read:
            names.found(written, calculation.name)
    except RequestError:
        return False  # not in the totals, or wrong, which was said when the source was asked
    return True


def _read(calculation: TableCalculation) -> Iterable[str] | None:
    """Return what a calculation mentions; None: it reads other rows."""
    if calculation.formula is not None:
        formula = parse_formula(calculation.formula, calculation.name)
        return None if WINDOWED & set(functions_in(formula)) else tuple(names_in(formula))
    if calculation.sql is None:
        return None
    pieces = tokens(calculation.sql)
    if any(isinstance(piece, Literal) and _OTHER_ROWS.search(piece.text) for piece in pieces):
        return None
    return tuple(piece.text for piece in pieces if isinstance(piece, Reference))
