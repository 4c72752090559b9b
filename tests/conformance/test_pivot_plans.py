"""Pivots ranked by the warehouse or here, on real databases: the same bytes, and the right ones."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from queryfleet.compiler.dialects import DIALECTS
from queryfleet.compiler.pivot_sql import flat_plan, null_order, ranked_plan
from queryfleet.compiler.printer import printed
from queryfleet.compiler.sql_source import sql_plan
from queryfleet.pivot.details import pivot_details
from queryfleet.pivot.fold import folded
from queryfleet.pivot.local import pivoted
from queryfleet.pivot.naming import Display
from queryfleet.pivot.ranked import RankedColumns, ranked_spec
from queryfleet.pivot.spec import PivotLimits, PivotPlan
from queryfleet.pivot.wire import parse_pivot
from queryfleet.warehouse.base import Statement
from queryfleet.warehouse.duckdb import DuckDBWarehouse
from queryfleet.warehouse.postgres import PostgresWarehouse
from tests.fixtures.warehouses import TAG
from tests.oracle.pivot import expected_pivot
from tests.strategies.pivot_sql import questions

PLAIN = Display(rules={})
ENGINES = ("duckdb", pytest.param("postgres", marks=pytest.mark.integration))


@pytest.fixture(scope="module")
def warehouses(postgres_server, tmp_path_factory):
    """The databases, by name of their dialect."""
    path = tmp_path_factory.mktemp("pivots") / "empty.duckdb"
    duckdb.connect(str(path)).close()
    return {
        "duckdb": DuckDBWarehouse(path=str(path), threads=1, memory_limit="500MB", read_only=True),
        "postgres": PostgresWarehouse(conninfo=postgres_server.url),
    }


def answer(warehouse, sql, *, batch_rows=1000):
    """Run a statement; returns its schema and batches."""
    session = warehouse.open()
    try:
        session.connect()
        session.submit(Statement(sql=sql, tag=TAG, row_limit=None, allow_writes=False))
        return session.schema(), list(session.batches(max_rows=batch_rows))
    finally:
        session.close()


def lines_of(encoded):
    return b"".join(bytes(lines.data) for lines in encoded).decode().split("\n")[:-1]


def by_warehouse(warehouse, sql, pivot, batch_rows):
    """Return lines and pivotDetails of a ranked statement."""
    _, batches = answer(warehouse, sql, batch_rows=batch_rows)
    plan = PivotPlan(spec=ranked_spec(pivot.spec), limits=pivot.limits)
    ranked = RankedColumns(plan, PLAIN)
    lines = lines_of(folded(ranked.all_cells(batches, ahead_max=10_000), plan.spec, ranked.columns))
    return lines, pivot_details(pivot.spec, ranked.in_order(), total=ranked.total)


def by_service(warehouse, sql, pivot):
    """Return lines and pivotDetails of a flat statement."""
    schema, batches = answer(warehouse, sql)
    found = pivoted(pa.Table.from_batches(batches, schema), pivot, PLAIN)
    lines = lines_of(folded([found.cells], pivot.spec, found.dictionary.columns))
    return lines, pivot_details(pivot.spec, found.dictionary.columns, total=found.dictionary.total)


def flat_rows(drawn):
    """Aggregate the rows of a question by hand."""
    groups = {}
    dimensions = [*drawn.types]
    for row in drawn.rows:
        groups.setdefault(tuple(row[name] for name in dimensions), []).append(row)
    functions = {"any": lambda cells: cells[0] if cells else None, "count": len}
    functions |= {"sum": lambda c: sum(c) if c else None, "min": lambda c: min(c, default=None)}
    functions |= {"max": lambda c: max(c, default=None)}
    columns = [*drawn.configuration["valuesColumns"], *drawn.configuration["sortOnlyColumns"]]
    found = []
    for key, rows in groups.items():
        flat = dict(zip(dimensions, key, strict=True))
        for column in columns:
            name, aggregation = column["reference"], column["aggregation"]
            cells = [row[name] for row in rows if row[name] is not None]
            flat[f"{name}_{aggregation}"] = functions[aggregation](cells)
        found.append(flat)
    return found


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=35, derandomize=True, suppress_health_check=list(HealthCheck))
@given(drawn=questions())
def test_pivot_plans_give_the_same_bytes_and_the_right_ones(drawn, engine, warehouses):
    """Ranked by the warehouse or here, cut into batches anyhow, a pivot is what a plain evaluation says it is."""
    dialect = DIALECTS[engine]
    spec = parse_pivot(drawn.configuration)
    limits = PivotLimits(rows=drawn.limit, columns=drawn.column_limit)
    pivot = PivotPlan(spec=spec, limits=limits, nulls=null_order(dialect))
    source = sql_plan(drawn.sql, [*drawn.types, "v", "w"], dialect)
    ranked = printed(ranked_plan(source, pivot, dialect, is_grouped=drawn.is_grouped, types=drawn.types), dialect)
    flat = printed(flat_plan(source, pivot, dialect, is_grouped=drawn.is_grouped), dialect)
    found = by_warehouse(warehouses[engine], ranked, pivot, 3)
    assert found == by_service(warehouses[engine], flat, pivot)
    expected = expected_pivot(
        flat_rows(drawn), drawn.configuration, limit=drawn.limit, column_limit=drawn.column_limit,
        nulls=pivot.nulls.value,
    )  # fmt: skip
    lines, details = found
    assert lines == expected.lines
    assert [entry["pivotColumnName"] for entry in details["valuesColumns"]] == expected.names
    assert [entry.get("columnIndex") for entry in details["valuesColumns"]] == expected.indexes
    assert details["totalColumnCount"] == expected.total
