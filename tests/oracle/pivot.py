"""Pivots over plain lists of dicts, one cell at a time: slow, and meant to be obviously right.

Knows nothing of queryfleet. Flat rows are dicts of Python values; a pivot is its wire configuration.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import math
from dataclasses import dataclass
from decimal import Decimal

SAFE = 2**53 - 1


@dataclass
class Expected:
    """What must come out."""

    lines: list[str]
    names: list[str]  # of the value columns, in order
    indexes: list[int | None]  # their columnIndex
    total: int | None
    is_cut: bool


def spell(value):
    """Return the JSON text of one stored value."""
    match value:
        case None | bool() | str():
            return json.dumps(value, ensure_ascii=False)
        case int():
            return str(value) if abs(value) <= SAFE else f'"{value}"'
        case float():
            return _spell_float(value)
        case Decimal():
            return _spell_decimal(value)
        case dt.datetime():
            return value.strftime('"%Y-%m-%dT%H:%M:%S.') + f'{value.microsecond // 1000:03d}Z"'
        case dt.date():
            return f'"{value.isoformat()}"'
    raise TypeError(value)


def _spell_float(value):
    if math.isnan(value):
        return '"NaN"'
    if math.isinf(value):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    text = repr(value).removesuffix(".0")
    if "e" in text:
        digits, exponent = text.split("e")
        return f"{digits}e{int(exponent):+d}" if int(exponent) > 0 else f"{digits}e{int(exponent)}"
    return "-0.0" if text == "-0" else text


def _spell_decimal(value):
    """A number where up to 15 digits say it all, else a string of the digits."""
    plain = format(value.normalize(), "f") if value else "0"
    if len(plain.replace("-", "").replace(".", "").lstrip("0")) <= 15:
        return plain
    return f'"{value:f}"'


def text_of(value):
    """Return a group value as a part of a name."""
    if value is None:
        return "<null>"
    stored = json.loads(spell(value))
    if isinstance(stored, bool):
        return "true" if stored else "false"
    if isinstance(stored, str):
        return stored
    return _javascript_number(stored)


def _javascript_number(number):
    value = Decimal(repr(number)).normalize()
    if value == 0:
        return "0"
    exponent = value.adjusted()
    if -7 < exponent < 21:
        return format(value, "f")
    return f"{value.scaleb(-exponent):f}e{exponent:+d}"


def same(value):
    """Return what equal values have in common."""
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def compare(one, other, *, descending, nulls_first):
    """Compare two values of one type; NaN is larger than all numbers."""
    if one is None or other is None:
        if one is other:
            return 0
        return -1 if (one is None) == nulls_first else 1
    first, second = _sortable(one), _sortable(other)
    found = (first > second) - (first < second)
    return -found if descending else found


def _sortable(value):
    if isinstance(value, float):
        return (1, 0.0) if math.isnan(value) else (0, value)
    return value


def nulls_default(nulls, descending):
    """Return whether null comes first where the sort does not say it."""
    return nulls in {"first", "largest" if descending else "smallest"}


class Pivot:
    """One pivot of some flat rows."""

    def __init__(self, rows, configuration, *, limit=None, column_limit=200, nulls="last", rank_hidden_rows=False):
        self.rows = rows
        self.limit, self.column_limit, self.nulls = limit, column_limit, nulls
        self.rank_hidden_rows = rank_hidden_rows
        index = configuration.get("indexColumn") or []
        self.index = [entry["reference"] for entry in (index if isinstance(index, list) else [index])]
        self.values = [(entry["reference"], entry["aggregation"]) for entry in configuration["valuesColumns"]]
        hidden_values = [(e["reference"], e["aggregation"]) for e in configuration.get("sortOnlyColumns", [])]
        self.groups = self._references(configuration, "groupByColumns")
        self.passthrough = [r for r in self._references(configuration, "passthroughDimensions") if r not in self.index]
        hidden = self._references(configuration, "sortOnlyDimensions") if self.groups else []
        order = [r for r in self._references(configuration, "pivotColumnsOrder") if r in self.groups + hidden]
        self.dimensions = list(dict.fromkeys([*order, *self.groups, *hidden]))
        self.metrics_as_rows = configuration.get("metricsAsRows", False)
        self.sort = configuration.get("sortBy") or []
        names = {}
        for reference, aggregation in reversed([*self.values, *hidden_values]):
            names[reference] = f"{reference}_{aggregation}"
        self.value_names = names

    @staticmethod
    def _references(configuration, member):
        return [entry["reference"] for entry in configuration.get(member) or []]

    def direction(self, entry):
        """Return how one entry of the sort compares."""
        descending = entry["direction"] == "DESC"
        nulls_first = entry.get("nullsFirst")
        if nulls_first is None:
            nulls_first = nulls_default(self.nulls, descending)
        return {"descending": descending, "nulls_first": nulls_first}

    @property
    def ascending(self):
        """Return how what is not sorted by compares."""
        return {"descending": False, "nulls_first": nulls_default(self.nulls, descending=False)}

    def ordered(self, keys, parts):
        """Sort keys; `parts` are (value of a key, direction), the first that differs decides."""

        def compare_keys(one, other):
            for value, direction in parts:
                found = compare(value(one), value(other), **direction)
                if found:
                    return found
            return 0

        return sorted(keys, key=functools.cmp_to_key(compare_keys))

    def best(self, rows, name, direction):
        """Return the first of some cells."""
        return self.ordered([row[name] for row in rows], [(lambda value: value, direction)])[0]

    def key(self, row, references):
        """Return what tells rows or columns apart."""
        return tuple(same(row[reference]) for reference in references)

    def grouped(self, references):
        """Return the flat rows by their values of some columns."""
        found = {}
        for row in self.rows:
            found.setdefault(self.key(row, references), []).append(row)
        return found

    def columns(self):
        """Return the columns in order, each as its flat rows, and for each entry of the sort its anchor."""
        groups = list(self.grouped(self.dimensions).values())
        parts, pinned = [], {}
        for number, entry in enumerate(self.sort):
            reference = entry["reference"]
            if reference in self.dimensions:
                parts.append((lambda rows, r=reference: rows[0][r], self.direction(entry)))
            elif reference not in self.index and reference in self.value_names:
                pinned[number] = self.pinned(entry, groups)
                if pinned[number] is None:
                    name, direction = self.value_names[reference], self.direction(entry)
                    parts.append((lambda rows, n=name, d=direction: self.best(rows, n, d), direction))
        parts += [(lambda rows, r=reference: rows[0][r], self.ascending) for reference in self.dimensions]
        ordered = self.ordered(groups, parts)
        anchors = {number: self.pinned(self.sort[number], ordered) or (ordered or [[]])[0] for number in pinned}
        return ordered, anchors

    def pinned(self, entry, groups):
        """Return the column that an entry names, if there is one."""
        pins = {pin["reference"]: pin["value"] for pin in entry.get("pivotValues") or []}
        if set(pins) != set(self.groups):
            return None
        for rows in groups:
            raw = {reference: json.loads(spell(rows[0][reference])) for reference in self.groups}
            if raw == pins:
                return rows
        return None

    def ordered_rows(self, anchors):
        """Return the rows in order, each as its flat rows."""
        parts = []
        for number, entry in enumerate(self.sort):
            if entry["reference"] in self.index:
                parts.append((lambda rows, r=entry["reference"]: rows[0][r], self.direction(entry)))
            elif number in anchors:
                name = self.value_names[entry["reference"]]
                cells = {id(row) for row in anchors[number]} if self.groups else None
                parts.append((lambda rows, n=name, c=cells: self.anchor_cell(rows, n, c), self.direction(entry)))
        parts += [(lambda rows, r=reference: rows[0][r], self.ascending) for reference in self.index]
        return self.ordered(self.grouped(self.index).values(), parts)

    def anchor_cell(self, rows, name, cells):
        """Return a row's cell in the anchor column: the smallest of several."""
        found = [row[name] for row in rows if cells is None or id(row) in cells]
        return self.best(found and [{name: value} for value in found], name, _SMALLEST) if found else None

    def expected(self):
        """Return the lines and what is said about them."""
        columns, anchors = self.columns()
        rows = self.ordered_rows(anchors)
        is_cut = self.limit is not None and len(rows) > self.limit
        rows = rows[: self.limit] if is_cut else rows
        position = {id(row): number for number, cells in enumerate(columns) for row in cells}
        shown, total = self.shown(len(columns), {position[id(row)] for cells in rows for row in cells})
        taken, names, indexes, name_of = set(self.index + self.passthrough), [], [], {}
        for number, column_index in shown:
            suffix = "_".join(text_of(columns[number][0][reference]) for reference in self.groups) if columns else ""
            name_of[number] = [_free(f"{r}_{a}" + (f"_{suffix}" if suffix else ""), taken) for r, a in self.values]
            names += name_of[number]
            indexes += [column_index] * len(self.values)
        lines = [self.line(cells, position, name_of) for cells in rows]
        return Expected(lines=lines, names=names, indexes=indexes, total=total, is_cut=is_cut)

    def shown(self, count, seen):
        """Return (number, columnIndex) of the columns that are shown, and how many value columns there are."""
        if not self.groups:
            return [(0, None)], None
        fit = max(1, self.column_limit // (1 if self.metrics_as_rows else len(self.values)))
        ranked = range(count) if self.rank_hidden_rows else sorted(seen)
        found = [(number, place + 1) for place, number in enumerate(ranked) if place < fit and number in seen]
        total = len(seen) * (1 if self.metrics_as_rows else len(self.values))
        return found, total or None

    def line(self, cells, position, name_of):
        """Return one line: the first flat row's index, then every cell that is shown."""
        carried = self.index + self.passthrough
        shown = carried + [f"{r}_{a}" for r, a in self.values]
        parts = [(lambda row: position[id(row)], _SMALLEST)]
        parts += [(lambda row, name=name: row[name], _SMALLEST) for name in shown]
        cells = self.ordered(cells, parts)
        members = {name: spell(cells[0][name]) for name in carried}
        for row in cells:
            for name, (reference, aggregation) in zip(name_of.get(position[id(row)], []), self.values, strict=False):
                members[name] = spell(row[f"{reference}_{aggregation}"])
        return "{" + ",".join(f"{json.dumps(n, ensure_ascii=False)}:{text}" for n, text in members.items()) + "}"


_SMALLEST = {"descending": False, "nulls_first": False}


def _free(name, taken):
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found


def expected_pivot(rows, configuration, **options):
    """Return what must come of flat rows.

    Args:
        rows: Dicts of Python values.
        configuration: `pivotConfiguration`.
        options: `limit`, `column_limit`, `nulls` (first, last, largest, smallest), `rank_hidden_rows`.
    """
    return Pivot(rows, configuration, **options).expected()


def expected_fold(rows, configuration):
    """Return the lines and names of flat rows that have their row_index and column_index, in order.

    Here a column gets its name when it is first met. A row_index whose column_index is None has no cell.
    """
    pivot = Pivot(rows, configuration)
    carried = pivot.index + pivot.passthrough
    taken, names, lines, current = set(carried), {}, [], None
    for row in rows:
        if row["row_index"] != current:
            current = row["row_index"]
            lines.append({name: spell(row[name]) for name in carried})
        if row["column_index"] is None:
            continue
        if row["column_index"] not in names:
            suffix = "_".join(text_of(row[reference]) for reference in pivot.groups)
            bases = [f"{r}_{a}" for r, a in pivot.values]
            names[row["column_index"]] = [_free(base + (f"_{suffix}" if suffix else ""), taken) for base in bases]
        for name, (reference, aggregation) in zip(names[row["column_index"]], pivot.values, strict=True):
            lines[-1][name] = spell(row[f"{reference}_{aggregation}"])
    texts = [
        "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{text}" for name, text in line.items()) + "}"
        for line in lines
    ]
    return texts, [name for index in sorted(names) for name in names[index]]
