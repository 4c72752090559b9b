"""How long a question to the models takes to become SQL, and how long a project's models take to load.

The question has 10 joins and 30 fields, with filters on rows and on a metric, a table calculation and metrics that a
join would repeat; the explore has 500 fields. It is read from JSON each time, as a request is. The project has 300
models of 20 fields, every third of them joined with two others. Times of questions are CPU time of the thread, so that
other work of the machine does not count.
"""

from __future__ import annotations

import datetime as dt
import gc
import time
from typing import TYPE_CHECKING

from bench.figures import median
from bench.report import Finding, Report, milliseconds, seconds
from queryfleet.compiler.compiler import compile_metric_query
from queryfleet.compiler.context import Context
from queryfleet.compiler.dialects import dialect_of
from queryfleet.compiler.request import parse_metric_query
from queryfleet.semantic.catalog import load_catalog

if TYPE_CHECKING:
    from pathlib import Path

    from bench.stand import Stand

__all__ = ["run"]

PROJECT = """\
name: Bench
project_uuid: 5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c11
warehouse: {type: duckdb, path: bench.duckdb}
"""
JOINS = 10
FIELDS_OF_A_TABLE = 47  # with 11 tables some 500
COMPILE_TARGET, LOAD_TARGET = 0.020, 5.0  # seconds


def model(name: str, *, fields: int, joins: str = "") -> str:
    """Return a model of `fields` fields: a key, a moment with its intervals, numbers with metrics."""
    dimensions = [
        '  - {name: id, type: number, sql: "${TABLE}.id"}',
        '  - {name: at, type: timestamp, sql: "${TABLE}.at"}',
    ]
    metrics = ['  n: {type: count, sql: "${id}"}', '  share: {type: number, sql: "1.0 * ${m0} / nullif(${n}, 0)"}']
    for number in range((fields - 10) // 2):
        dimensions.append(f"  - {{name: d{number}, type: string, sql: \"coalesce(${{TABLE}}.d{number}, '')\"}}")
        metrics.append(f'  m{number}: {{type: sum, sql: "${{TABLE}}.x{number}"}}')
    return (
        f"type: model\nname: {name}\nsql_from: shop.{name}\nprimary_key: id\n{joins}"
        f"dimensions:\n{chr(10).join(dimensions)}\nmetrics:\n{chr(10).join(metrics)}\n"
    )


def joins_of(base: str, others: list[str], relationship: str = "many-to-one") -> str:
    entries = [
        f'  - {{join: {each}, sql_on: "${{{base}.id}} = ${{{each}.id}}", relationship: {relationship}}}'
        for each in others
    ]
    return "joins:\n" + "\n".join(entries) + "\n"


def write_project(folder: Path, models: dict[str, str]) -> Path:
    (folder / "models").mkdir(parents=True)
    (folder / "project.yml").write_text(PROJECT)
    for name, text in models.items():
        (folder / "models" / f"{name}.yml").write_text(text)
    return folder


def question() -> dict[str, object]:
    tables = ["base", *(f"t{number}" for number in range(JOINS))]
    dimensions = ["base_at_month", *(f"{table}_d0" for table in tables)]
    metrics = [*(f"{table}_m1" for table in tables), "base_share", "base_n", "t0_share", "base_m2", "base_m3", "t1_m2"]
    rule = {
        "target": {"fieldId": "base_at"},
        "operator": "inThePast",
        "values": [90],
        "settings": {"unitOfTime": "days"},
    }
    words = {"target": {"fieldId": "t3_d1"}, "operator": "equals", "values": [f"value {n}" for n in range(20)]}
    above = {"target": {"fieldId": "base_m1"}, "operator": "greaterThan", "values": [10]}
    return {
        "exploreName": "base",
        "dimensions": dimensions,
        "metrics": metrics,
        "filters": {"dimensions": {"and": [rule, {"or": [words, words]}]}, "metrics": {"and": [above]}},
        "sorts": [{"fieldId": "base_m1", "descending": True}],
        "limit": 500,
        "tableCalculations": [
            {"name": "part", "displayName": "Part", "sql": "${base.m1} / nullif(total(${base.m1}), 0)"}
        ],
    }


def compile_times(folder: Path, runs: int) -> tuple[list[float], int, int]:
    """Return the CPU times of single compilations in seconds, and the numbers of fields of explore and question."""
    others = [f"t{number}" for number in range(JOINS)]
    models = {name: model(name, fields=FIELDS_OF_A_TABLE) for name in others}
    models["base"] = model("base", fields=FIELDS_OF_A_TABLE, joins=joins_of("base", others))
    explore = load_catalog(write_project(folder, models)).explore("base")
    now = dt.datetime(2025, 5, 20, tzinfo=dt.UTC)
    context = Context(dialect=dialect_of("postgres"), now=now, timezone="Europe/Oslo")
    sent = question()
    taken: list[float] = []
    for _ in range(runs):
        began = time.thread_time()
        found = compile_metric_query(parse_metric_query(sent), explore, context)
        taken.append(time.thread_time() - began)
    return taken, len(explore.fields), len(found.columns)


def load_times(folder: Path, count: int, runs: int) -> list[float]:
    models: dict[str, str] = {}
    for number in range(count):
        others = [f"model_{(number + step) % count}" for step in (1, 2)] if number % 3 == 0 else []
        joins = joins_of(f"model_{number}", others) if others else ""
        models[f"model_{number}"] = model(f"model_{number}", fields=20, joins=joins)
    write_project(folder, models)
    taken: list[float] = []
    for _ in range(runs):
        gc.collect()
        began = time.perf_counter()
        catalog = load_catalog(folder)
        taken.append(time.perf_counter() - began)
        assert len(catalog.explores) == count, catalog.errors
    return taken


def run(stand: Stand) -> Report:
    """Compile, then load. Takes some twenty seconds."""
    runs, count, loads = (50, 30, 1) if stand.quick else (1000, 300, 3)
    compile_times(stand.folder / "warm", 5)
    taken, fields, selected = compile_times(stand.folder / "question", runs)
    slow = sorted(taken)[int(len(taken) * 0.99)]
    loading = median(load_times(stand.folder / "models", count, loads))
    return Report(
        setting=f"{runs:,} questions of {selected} fields and {JOINS} joins to an explore of {fields} fields; "
        f"{count} models, loaded {loads} times.",
        findings=(
            Finding(
                what="question to SQL, 99 of 100 within (CPU)",
                ours=milliseconds(slow),
                target=f"< {milliseconds(COMPILE_TARGET)}",
                met=slow < COMPILE_TARGET,
            ),
            Finding(what="question to SQL, median (CPU)", ours=milliseconds(median(taken))),
            Finding(
                what=f"loading {count} models",
                ours=seconds(loading),
                target=f"< {seconds(LOAD_TARGET)}",
                met=loading < LOAD_TARGET,
            ),
        ),
    )
