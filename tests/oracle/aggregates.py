"""Aggregate functions over plain lists, exact where SQL is."""

from __future__ import annotations

from fractions import Fraction


def aggregate(kind, values, percentile=50):
    """Return the aggregate of some values.

    Args:
        kind: Type of the metric.
        values: With Nones, which no aggregate sees.
        percentile: 0 to 100, of that type.

    Returns:
        A count, or None where there is nothing to aggregate.
    """
    found = [value for value in values if value is not None]
    match kind:
        case "count":
            return len(found)
        case "count_distinct":
            return len(set(found))
    if not found:
        return None
    match kind:
        case "sum" | "sum_distinct":
            return sum(found)
        case "min":
            return min(found)
        case "max":
            return max(found)
        case "average" | "average_distinct":
            return sum(Fraction(value) for value in found) / len(found)
        case "median":
            return _percentile(found, 50)
        case "percentile":
            return _percentile(found, percentile)
    raise ValueError(kind)


def _percentile(values, percentile):
    """Return the value at a share of the way through the sorted ones, between two of them on a straight line."""
    ordered = sorted(Fraction(value) for value in values)
    place = Fraction(str(percentile)) / 100 * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
