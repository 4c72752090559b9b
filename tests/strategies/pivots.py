"""Hypothesis strategies: flat rows and pivots of them, made to collide, clash and surprise."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
from hypothesis import strategies as st

from queryfleet.columns import LogicalType, logical_field
from tests.oracle.pivot import same, spell

_TEXTS = [
    "",
    "a",
    "b",
    "c",
    "a_b",
    "b_c",
    "<null>",
    "null",
    'q"\\',
    "l\nf",
    "\x00\x1f",
    "🙂",
    "é",
    "10",
    "a_2",
    "x" * 70,
]
_DECIMALS = [Decimal("1.50"), Decimal("-0.01"), Decimal("10.00"), Decimal("12345678901234567.89"), Decimal("0.00")]


def _instant(milliseconds):
    return dt.datetime.fromtimestamp(0, dt.UTC).replace(tzinfo=None) + dt.timedelta(milliseconds=milliseconds)


KINDS = {
    "text": (pa.field("c", pa.string()), st.sampled_from(_TEXTS) | st.text(max_size=5)),
    "view": (pa.field("c", pa.string_view()), st.sampled_from(_TEXTS)),
    "integer": (pa.field("c", pa.int64()), st.sampled_from([0, -1, 7, 10, 2**53, 2**63 - 1, -(2**63)])),
    "float": (
        pa.field("c", pa.float64()),
        st.sampled_from([0.0, 1.5, 10.0, -2.25, 1e21, 1e-7, float("nan"), float("inf"), -float("inf")]),
    ),
    "decimal": (pa.field("c", pa.decimal128(38, 2)), st.sampled_from(_DECIMALS)),
    "decimal text": (logical_field("c", LogicalType.DECIMAL), st.sampled_from(_DECIMALS)),
    "boolean": (pa.field("c", pa.bool_()), st.booleans()),
    "date": (pa.field("c", pa.date32()), st.dates(dt.date(1999, 1, 1), dt.date(2030, 1, 1))),
    "timestamp": (
        pa.field("c", pa.timestamp("ms")),
        st.integers(10**12, 2 * 10**12).map(_instant),
    ),
}


@dataclass
class DrawnPivot:
    """Flat rows, once as dicts and once as Arrow, and a pivot of them."""

    rows: list[dict]
    table: pa.Table
    configuration: dict
    limit: int | None
    column_limit: int
    nulls: str
    rank_hidden_rows: bool


def arrow_table(rows, fields):
    """Return rows as a table; decimals of text columns as their digits."""
    arrays = []
    for field in fields:
        values = [row[field.name] for row in rows]
        if field.type == pa.string():
            values = [format(value, "f") if isinstance(value, Decimal) else value for value in values]
        arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


@st.composite
def _dimension(draw, name):
    field, values = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    pool = draw(st.lists(values | st.none(), min_size=1, max_size=4, unique_by=same))
    return field.with_name(name), pool


@st.composite
def pivots(draw):
    """Draw a pivot of at most thirty flat rows."""
    index = [f"i{number}" for number in range(draw(st.integers(0, 2)))]
    groups = [f"g{number}" for number in range(draw(st.integers(0, 2)))]
    hidden = ["h0"] if groups and draw(st.integers(0, 3)) == 0 else []
    passed = ["p0"] if groups and draw(st.integers(0, 3)) == 0 else []
    fields, pools = [], []
    for name in [*index, *groups, *hidden, *passed]:
        field, pool = draw(_dimension(name))
        fields.append(field)
        pools.append(pool)
    values = [("v", "any"), ("v", "sum"), ("w", "max")][: draw(st.integers(1, 3))]
    sort_only = [("s", "any")] if draw(st.integers(0, 3)) == 0 else []
    value_kinds = [draw(st.sampled_from(sorted(KINDS))) for _ in [*values, *sort_only]]
    keys = draw(
        st.lists(
            st.tuples(*map(st.sampled_from, pools)),
            max_size=1 if not (index or groups) else 30,
            unique_by=lambda key: tuple(map(same, key)) if groups else tuple(map(same, key[: len(index)])),
        )
    )
    rows = [dict(zip([field.name for field in fields], key, strict=True)) for key in keys]
    for (reference, aggregation), kind in zip([*values, *sort_only], value_kinds, strict=True):
        field, cells = KINDS[kind]
        fields.append(field.with_name(f"{reference}_{aggregation}"))
        for row in rows:
            row[fields[-1].name] = draw(cells | st.none())
    configuration = {
        "indexColumn": [{"reference": name, "type": "category"} for name in index],
        "valuesColumns": [{"reference": r, "aggregation": a} for r, a in values],
        "groupByColumns": [{"reference": name} for name in groups],
        "sortBy": draw(_sorts(index + groups + hidden, [r for r, _ in values + sort_only], groups, rows)),
        "metricsAsRows": draw(st.booleans()),
        "sortOnlyColumns": [{"reference": r, "aggregation": a} for r, a in sort_only],
        "sortOnlyDimensions": [{"reference": name} for name in hidden],
        "passthroughDimensions": [{"reference": name} for name in passed],
        "pivotColumnsOrder": [{"reference": name} for name in draw(st.permutations(groups + hidden))],
    }
    return DrawnPivot(
        rows=rows,
        table=arrow_table(rows, fields),
        configuration=configuration,
        limit=draw(st.none() | st.integers(1, 8)),
        column_limit=draw(st.sampled_from([1, 2, 5, 200])),
        nulls=draw(st.sampled_from(["first", "last", "largest", "smallest"])),
        rank_hidden_rows=draw(st.booleans()),
    )


@st.composite
def _sorts(draw, dimensions, values, groups, rows):
    names = draw(st.lists(st.sampled_from([*dimensions, *dict.fromkeys(values)]), max_size=3, unique=True))
    found = []
    for name in names:
        entry = {"reference": name, "direction": draw(st.sampled_from(["ASC", "DESC"]))}
        nulls_first = draw(st.none() | st.booleans())
        if nulls_first is not None:
            entry["nullsFirst"] = nulls_first
        if name in values and groups and rows and draw(st.booleans()):
            row = draw(st.sampled_from(rows))
            entry["pivotValues"] = [{"reference": group, "value": pin_value(row[group])} for group in groups]
        found.append(entry)
    return found


def pin_value(value):
    """Return a group value as a page shows it."""
    return json.loads(spell(value))
