"""How long the display texts of one page take: 5,000 rows of 20 columns, against Node going cell by cell.

    python bench/format_page.py

Both sides get the same values, warm up once and report the median of five runs. Node keeps one
Intl.NumberFormat per column, the fastest way it has. The first row is compared, so both do the same work.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from queryfleet.columns import LogicalType, logical_field
from queryfleet.formatting import format_column, rule_of
from queryfleet.results.json_text import json_texts

ROWS = 5_000
RUNS = 5
NODE_SCRIPT = Path(__file__).parent / "node" / "format_page.mjs"


def metric(**options):
    return rule_of({"fieldType": "metric", "type": "sum", **options})


def dimension(**options):
    return rule_of({"fieldType": "dimension", **options})


def fixed(decimals, **options):
    return {"minimumFractionDigits": decimals, "maximumFractionDigits": decimals, **options}


def page():
    """Return (array, field, rule, what Node is told) of 20 columns."""
    draw = random.Random(20)
    amounts = [round(draw.uniform(-1e4, 1e6), 2) for _ in range(ROWS)]
    ratios = [draw.random() for _ in range(ROWS)]
    counts = [draw.randrange(10**7) for _ in range(ROWS)]
    wide = [Decimal(draw.randrange(10**12)).scaleb(-4) for _ in range(ROWS)]
    micros = [draw.randrange(1_500_000_000_000, 1_800_000_000_000) * 1000 for _ in range(ROWS)]
    real, whole, exact = pa.float64(), pa.int64(), pa.decimal128(18, 4)
    moment = pa.timestamp("us")
    usd = {"style": "currency", "currency": "USD"}
    euro = {"type": "currency", "currency": "EUR", "separator": "periodComma"}
    columns = [
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


def main():
    columns = list(page())
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        texts = [format_column(array, field, rule) for array, field, rule, _ in columns]
        times.append((time.perf_counter() - start) * 1e3)
    ours = statistics.median(times[1:])
    cells = [
        [json.loads(text) for text in json_texts(array, field).to_pylist()] for array, field, _, _ in columns
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"columns": [told for *_, told in columns], "cells": cells}, file)
        file.flush()
        answer = subprocess.run(
            ["node", NODE_SCRIPT, file.name, str(RUNS)], check=True, capture_output=True, text=True
        )
    node = json.loads(answer.stdout)
    different = [(a[0].as_py(), b) for a, b in zip(texts, node["first"], strict=True) if a[0].as_py() != b]
    print(f"page          {ROWS} rows x {len(columns)} columns, median of {RUNS}")
    print(f"format_column {ours:8.2f} ms (first page, tables included: {times[0]:.1f} ms)")
    print(f"Node          {node['milliseconds']:8.2f} ms")
    print(f"ratio         {ours / node['milliseconds']:8.3f}")
    print(f"first row     {different or 'the same'}")


if __name__ == "__main__":
    main()
