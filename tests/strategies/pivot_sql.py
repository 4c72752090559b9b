"""Hypothesis strategies: rows that a warehouse can be given as text, and pivots of them."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

from hypothesis import strategies as st

from queryfleet.model import ColumnType
from tests.oracle.pivot import spell

# SQL type, type of the field, values. Text is in an order that every collation agrees on.
KINDS = {
    "text": ("text", ColumnType.STRING, ["a", "b", "it's", "q\\n", "x--y"]),
    "number": ("integer", ColumnType.NUMBER, [-2, 0, 7, 10]),
    "date": ("date", ColumnType.DATE, [dt.date(2023, 12, 31), dt.date(2024, 2, 29), dt.date(2024, 3, 1)]),
    "boolean": ("boolean", ColumnType.BOOLEAN, [True, False]),
}
VALUES = [-3, 0, 0, 1, 2, 50]


@dataclass
class DrawnQuestion:
    """Rows as dicts, the same as a statement, and a pivot of them."""

    rows: list[dict]
    sql: str
    configuration: dict
    types: dict
    limit: int | None
    column_limit: int
    is_grouped: bool  # one row for each cell


def literal(value, sql_type):
    """Return a value as SQL that every database knows."""
    if value is None:
        text = "null"
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, int):
        text = str(value)
    else:
        doubled = str(value).replace("'", "''")
        text = f"'{doubled}'"
    return f"cast({text} as {sql_type})"


@st.composite
def questions(draw):
    """Draw a pivot of at most twenty rows; every other one has several rows in some cells."""
    index = [f"i{number}" for number in range(draw(st.integers(0, 2)))]
    groups = [f"g{number}" for number in range(draw(st.integers(0, 2)))]
    hidden = ["h0"] if groups and draw(st.integers(0, 3)) == 0 else []
    kinds = {name: KINDS[draw(st.sampled_from(sorted(KINDS)))] for name in [*index, *groups, *hidden]}
    is_grouped = draw(st.booleans())
    keys = draw(
        st.lists(
            st.tuples(*(st.sampled_from([*values, None]) for _, _, values in kinds.values())),
            min_size=1,
            max_size=20 if kinds else 1,
            unique=is_grouped,
        )
    )
    rows = [
        dict(zip(kinds, key, strict=True)) | {name: draw(st.sampled_from(VALUES) | st.none()) for name in ("v", "w")}
        for key in keys
    ]
    aggregation = "any" if is_grouped else draw(st.sampled_from(["sum", "min", "max", "count"]))
    values = [("v", aggregation), ("w", "any" if is_grouped else "max")]
    shown = draw(st.integers(1, 2))
    configuration = {
        "indexColumn": [{"reference": name, "type": "category"} for name in index],
        "valuesColumns": [{"reference": r, "aggregation": a} for r, a in values[:shown]],
        "groupByColumns": [{"reference": name} for name in groups],
        "sortBy": draw(_sorts(rows, index + groups + hidden + ["v", "w"], groups)),
        "metricsAsRows": draw(st.booleans()),
        "sortOnlyColumns": [{"reference": r, "aggregation": a} for r, a in values[shown:]],
        "sortOnlyDimensions": [{"reference": name} for name in hidden],
        "pivotColumnsOrder": [{"reference": name} for name in draw(st.permutations(groups + hidden))],
    }
    types = {name: sql_type for name, (sql_type, _, _) in kinds.items()} | {"v": "integer", "w": "integer"}
    selects = [
        "select " + ", ".join(f'{literal(row[name], types[name])} as "{name}"' for name in types) for row in rows
    ]
    return DrawnQuestion(
        rows=rows,
        sql=" union all ".join(selects) + draw(st.sampled_from(["", " limit 1", " -- that is all", ";"])),
        configuration=configuration,
        types={name: field_type for name, (_, field_type, _) in kinds.items()},
        limit=draw(st.none() | st.integers(1, 5)),
        column_limit=draw(st.sampled_from([1, 2, 4, 200])),
        is_grouped=is_grouped,
    )


@st.composite
def _sorts(draw, rows, names, groups):
    found = []
    for name in draw(st.lists(st.sampled_from(names), max_size=3, unique=True)):
        entry = {"reference": name, "direction": draw(st.sampled_from(["ASC", "DESC"]))}
        nulls_first = draw(st.none() | st.booleans())
        if nulls_first is not None:
            entry["nullsFirst"] = nulls_first
        if name in ("v", "w") and groups and draw(st.booleans()):
            row = draw(st.sampled_from(rows))
            entry["pivotValues"] = [
                {"reference": group, "value": json.loads(spell(row[group])) if draw(st.integers(0, 4)) else "gone"}
                for group in groups
            ]
        found.append(entry)
    return found
