"""Columns computed from the finished rows: post-calculation metrics, and table calculations by template."""

from __future__ import annotations

from fractions import Fraction

from tests.oracle.aggregates import aggregate
from tests.oracle.ordering import Sort, compared, ordered


def ratio(a, b):
    """Return a / b, None where SQL with NULLIF has none."""
    return None if a is None or b is None or b == 0 else Fraction(a) / Fraction(b)


def post_calculation(kind, source, rows, sorts, setting):
    """Return the values of a post-calculation metric, one for each row.

    Args:
        kind: Type of the metric.
        source: Id of the metric it is of.
        rows: All groups of the query, by id.
        sorts: Of the query, tie-breaks included.
        setting: Of the question.
    """
    values = dict(zip(map(id, rows), (row[source] for row in rows), strict=True))
    found = {}
    total = aggregate("sum", values.values())
    before, previous = [], None
    for row in ordered(rows, sorts, setting):
        value = values[id(row)]
        before.append(value)
        match kind:
            case "percent_of_total":
                found[id(row)] = ratio(value, total)
            case "running_total":
                found[id(row)] = aggregate("sum", before)
            case "percent_of_previous":
                share = ratio(value, previous)
                found[id(row)] = None if share is None else share - 1
        previous = value
    return [found[id(row)] for row in rows]


def templated(template, rows, sorts, setting):
    """Return the values of a table calculation by template, one for each row."""
    order = [Sort(id=each["fieldId"], descending=each.get("order") == "desc") for each in template.get("orderBy") or ()]
    order = [*order, *sorts]
    parts = {}
    for row in rows:
        parts.setdefault(tuple(row[field] for field in template.get("partitionBy") or ()), []).append(row)
    found = {}
    for part in parts.values():
        found |= _part(template, ordered(part, order, setting), setting)
    return [found[id(row)] for row in rows]


def _part(template, rows, setting):
    field = template.get("fieldId")
    values = [None if field is None else row[field] for row in rows]
    found = {}
    for index, row in enumerate(rows):
        previous = values[index - 1] if index else None
        match template["type"]:
            case "percent_change_from_previous":
                share = ratio(values[index], previous)
                value = None if share is None else share - 1
            case "percent_of_previous_value":
                value = ratio(values[index], previous)
            case "percent_of_column_total":
                value = ratio(values[index], aggregate("sum", values))
            case "rank_in_column":
                value = _rank(row, rows, [Sort(id=field)], setting)
            case "running_total":
                value = aggregate("sum", values[: index + 1])
            case "window_function":
                value = _window(template, values, index)
        found[id(row)] = value
    return found


def _rank(row, rows, sorts, setting):
    return 1 + sum(compared(other, row, sorts, setting) < 0 for other in rows)


def _window(template, values, index):
    kind = template["windowFunction"]
    if kind == "row_number":
        return index + 1
    return aggregate(
        {"avg": "average"}.get(kind, kind), values[_first(template, index) : _last(template, index, values)]
    )


def _first(template, index):
    start = (template.get("frame") or {}).get("start") or {"type": "UNBOUNDED_PRECEDING"}
    match start["type"]:
        case "PRECEDING":
            return max(0, index - start["offset"])
        case "CURRENT_ROW":
            return index
    return 0


def _last(template, index, values):
    end = (template.get("frame") or {}).get("end") or {"type": "UNBOUNDED_FOLLOWING"}
    match end["type"]:
        case "FOLLOWING":
            return index + 1 + end["offset"]
        case "CURRENT_ROW":
            return index + 1
    return len(values)
