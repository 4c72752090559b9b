"""How long the display texts of one page take: 5,000 rows of 20 columns, against Node going cell by cell.

Both sides get the same values and warm up once. Node keeps one
Intl.NumberFormat per column, the fastest way it has. The first row is compared, so both do the same work.
"""

from __future__ import annotations

import json
import random
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa

from bench.figures import median
from bench.node_side import NodeSide
from bench.report import Finding, Report, milliseconds, times
from queryfleet.columns import LogicalType, logical_field
from queryfleet.encoding.json_text import json_texts
from queryfleet.formatting import format_column, rule_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.stand import Stand
    from queryfleet.errors import JsonValue
    from queryfleet.formatting import FormatRule

__all__ = ["run"]

ROWS = 5_000


def metric(**options: JsonValue) -> FormatRule | None:
    return rule_of({"fieldType": "metric", "type": "sum", **options})


def dimension(**options: JsonValue) -> FormatRule | None:
    return rule_of({"fieldType": "dimension", **options})


def fixed(decimals: int) -> dict[str, JsonValue]:
    return {"minimumFractionDigits": decimals, "maximumFractionDigits": decimals}


def page() -> Iterator[tuple[pa.Array, pa.Field, FormatRule | None, dict[str, JsonValue]]]:
    """Return (array, field, rule, what Node is told) of 20 columns."""
    draw = random.Random(20)
    amounts = [round(draw.uniform(-1e4, 1e6), 2) for _ in range(ROWS)]
    ratios = [draw.random() for _ in range(ROWS)]
    counts = [draw.randrange(10**7) for _ in range(ROWS)]
    wide = [Decimal(draw.randrange(10**12)).scaleb(-4) for _ in range(ROWS)]
    micros = [draw.randrange(1_500_000_000_000, 1_800_000_000_000) * 1000 for _ in range(ROWS)]
    real, whole, exact = pa.float64(), pa.int64(), pa.decimal128(18, 4)
    moment = pa.timestamp("us")
    usd: dict[str, JsonValue] = {"style": "currency", "currency": "USD"}
    euro: dict[str, JsonValue] = {"type": "currency", "currency": "EUR", "separator": "periodComma"}
    columns: list[tuple[Sequence[object], pa.DataType | None, FormatRule | None, dict[str, JsonValue]]] = [
        (amounts, real, None, {"kind": "number"}),
        (ratios, real, None, {"kind": "number"}),
        (amounts, real, metric(format="usd"), {"kind": "number", "options": usd}),
        (amounts, real, metric(format="#,##0.00"), {"kind": "number", "options": fixed(2)}),
        (
            ratios,
            real,
            metric(format="percent", round=1),
            {"kind": "number", "options": fixed(1), "scale": 100, "suffix": "%"},
        ),
        (amounts, real, metric(compact="auto"), {"kind": "auto"}),
        (
            amounts,
            real,
            metric(compact="thousands", round=1),
            {"kind": "number", "options": fixed(1), "scale": 1e-3, "suffix": "K"},
        ),
        (
            amounts,
            real,
            metric(formatOptions=euro),
            {"kind": "number", "options": {**usd, "currency": "EUR", "locale": "de-DE"}},
        ),
        (amounts, real, metric(round=0), {"kind": "number", "options": fixed(0)}),
        (counts, whole, None, {"kind": "integer"}),
        (counts, whole, metric(), {"kind": "integer"}),
        ([None if n % 9 == 0 else n for n in counts], whole, None, {"kind": "integer"}),
        ([n * 10**11 for n in counts], whole, None, {"kind": "integer"}),
        (wide, exact, None, {"kind": "number"}),
        (wide, exact, metric(round=2), {"kind": "number", "options": fixed(2)}),
        ([f"{n:f}" for n in wide], None, metric(format="usd"), {"kind": "number", "options": usd}),
        (micros, moment, dimension(type="timestamp"), {"kind": "timestamp"}),
        (micros, moment, dimension(type="timestamp"), {"kind": "timestamp"}),
        (
            [n // 86_400_000_000 for n in micros],
            pa.date32(),
            dimension(type="date", timeInterval="MONTH"),
            {"kind": "date"},
        ),
        ([n > 0.5 for n in ratios], pa.bool_(), dimension(type="boolean"), {"kind": "boolean"}),
    ]
    for values, kind, rule, told in columns:
        field = logical_field("f", LogicalType.DECIMAL) if kind is None else pa.field("f", kind)
        yield pa.array(values, field.type), field, rule, told


def run(stand: Stand) -> Report:
    """Alternate both. Takes some seconds."""
    runs = 5 if stand.quick else 15
    columns = list(page())
    path = stand.folder / "page.json"
    cells = [[json.loads(text) for text in json_texts(array, field).to_pylist()] for array, field, _, _ in columns]
    path.write_text(json.dumps({"columns": [told for *_, told in columns], "cells": cells}))
    ours, theirs = [], []
    with NodeSide("format_page.mjs", {"path": str(path)}) as node:
        for _ in range(runs + 1):
            began = time.perf_counter()
            texts = [format_column(array, field, rule) for array, field, rule, _ in columns]
            ours.append(time.perf_counter() - began)
            answer = node.ask({})
            theirs.append(answer["milliseconds"] / 1000)
    first = [text[0].as_py() for text in texts]
    if first != answer["first"]:
        raise RuntimeError(f"the texts are not the same: {first} and {answer['first']}")
    mine, other = median(ours[1:]), median(theirs[1:])
    finding = Finding(
        what="display texts of a page",
        ours=milliseconds(mine),
        other=f"Node, cell by cell: {milliseconds(other)}",
        ratio=f"{times(other / mine)} faster",
    )
    setting = f"{ROWS:,} rows of {len(columns)} columns; medians of {runs} alternating runs after a warm-up."
    return Report(findings=(finding,), setting=setting)
