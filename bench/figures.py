"""Medians and percentiles of measured times."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Spread", "median", "percentile"]


def median(values: Sequence[float]) -> float:
    """Return the median of at least one value."""
    return statistics.median(values)


def percentile(values: Sequence[float], per_cent: float) -> float:
    """Return the smallest value that is not exceeded by `per_cent` of the values; at least one is needed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * per_cent / 100) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Median and 99th percentile of the same values."""

    p50: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up at least one value."""
        return cls(p50=percentile(values, 50), p99=percentile(values, 99))

    @classmethod
    def median_of(cls, windows: Sequence[Sequence[float]]) -> Spread:
        """Sum up each window and return the medians of the sums."""
        spreads = [cls.of(window) for window in windows]
        return cls(p50=median([s.p50 for s in spreads]), p99=median([s.p99 for s in spreads]))
