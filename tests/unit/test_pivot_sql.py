"""Statements of pivots: what they are made of in every dialect, and which they refuse."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from queryfleet.compiler.dialects import DIALECTS
from queryfleet.compiler.pivot_pins import pin_condition
from queryfleet.compiler.pivot_sql import can_rank, flat_plan, null_order, ranked_plan
from queryfleet.compiler.printer import printed
from queryfleet.compiler.sql_source import sql_plan, without_order_and_limit
from queryfleet.errors import CompileError, ParameterError
from queryfleet.model import ColumnType
from queryfleet.pivot.spec import PivotLimits, PivotPlan
from queryfleet.pivot.task import PivotTask, PivotWay
from queryfleet.pivot.wire import parse_pivot

POSTGRES = DIALECTS["postgres"]
EVERYTHING = {
    "indexColumn": [{"reference": "month", "type": "time"}],
    "groupByColumns": [{"reference": "city"}],
    "valuesColumns": [{"reference": "fare", "aggregation": "sum"}, {"reference": "fare", "aggregation": "avg"}],
    "sortOnlyColumns": [{"reference": "rides", "aggregation": "any"}],
    "sortOnlyDimensions": [{"reference": "region"}],
    "passthroughDimensions": [{"reference": "year"}],
    "sortBy": [
        {"reference": "fare", "direction": "DESC", "pivotValues": [{"reference": "city", "value": "Oslo"}]},
        {"reference": "rides", "direction": "ASC", "nullsFirst": True},
        {"reference": "month", "direction": "ASC"},
    ],
}
NAMES = ("month", "city", "region", "year", "fare", "rides")


def plan_of(configuration, dialect=POSTGRES, **limits):
    return PivotPlan(spec=parse_pivot(configuration), limits=PivotLimits(**limits), nulls=null_order(dialect))


def ranked(configuration, dialect=POSTGRES, names=NAMES):
    source = sql_plan("select * from rides order by fare limit 5", names, dialect)
    pivot = plan_of(configuration, dialect)
    return printed(ranked_plan(source, pivot, dialect, types={"city": ColumnType.STRING}), dialect)


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_ranked_statement_is_one_scan_without_joins_in_every_dialect(name):
    """It parses, joins nothing, reads the source once and without its order and limit, and gives ranks last."""
    dialect = DIALECTS[name]
    tree = sqlglot.parse_one(ranked(EVERYTHING, dialect), read=dialect.grammar)
    assert not list(tree.find_all(exp.Join))
    assert not list(tree.find_all(exp.Limit))
    assert [table.name for table in tree.find_all(exp.Table)].count("rides") == 1
    assert tree.named_selects[-3:] == ["row_index", "column_index", "total_columns"]
    assert tree.named_selects[:2] == ["month", "year"]
    outside_windows = [order for order in tree.find_all(exp.Order) if not isinstance(order.parent, exp.Window)]
    assert len(outside_windows) == 1


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_flat_statement_has_all_that_ranking_needs(name):
    """Index, hidden and passthrough columns and every value under its flat name, in no order."""
    dialect = DIALECTS[name]
    plan = flat_plan(sql_plan("select * from rides", NAMES, dialect), plan_of(EVERYTHING, dialect), dialect)
    tree = sqlglot.parse_one(printed(plan, dialect), read=dialect.grammar)
    assert tree.named_selects == ["month", "city", "region", "year", "fare_sum", "fare_avg", "rides_any"]
    assert not list(tree.find_all(exp.Order))


def test_ranked_statement_of_a_plain_pivot_is_the_known_one():
    """Two ranks, the row limit, ranks of what is left, the column limit."""
    configuration = {
        "indexColumn": {"reference": "month"},
        "groupByColumns": [{"reference": "city"}],
        "valuesColumns": [{"reference": "fare", "aggregation": "sum"}],
    }
    assert ranked(configuration, names=("month", "city", "fare")) == _KNOWN


_KNOWN = """\
WITH "qf_pivot_query" AS (
SELECT
  "month" AS "month",
  "city" AS "city",
  "fare" AS "fare"
FROM (
select * from rides
) AS "qf_sql"
),
"qf_pivot_cells" AS (
SELECT
  "month" AS "month",
  "city" AS "city",
  SUM("fare") AS "fare_sum"
FROM "qf_pivot_query"
GROUP BY 1, 2
),
"qf_pivot_ranked" AS (
SELECT
  "qf_pivot_cells"."month" AS "month",
  "qf_pivot_cells"."city" AS "city",
  "qf_pivot_cells"."fare_sum" AS "fare_sum",
  DENSE_RANK() OVER (ORDER BY "city" NULLS LAST) AS "qf_pivot_column",
  DENSE_RANK() OVER (ORDER BY "month" NULLS LAST) AS "qf_pivot_row"
FROM "qf_pivot_cells"
),
"qf_pivot_visible" AS (
SELECT
  "qf_pivot_ranked"."month" AS "month",
  "qf_pivot_ranked"."city" AS "city",
  "qf_pivot_ranked"."fare_sum" AS "fare_sum",
  "qf_pivot_ranked"."qf_pivot_column" AS "qf_pivot_column",
  "qf_pivot_ranked"."qf_pivot_row" AS "qf_pivot_row",
  DENSE_RANK() OVER (ORDER BY "qf_pivot_column") AS "qf_pivot_place"
FROM "qf_pivot_ranked"
WHERE ("qf_pivot_row" <= 500)
),
"qf_pivot_counted" AS (
SELECT
  "qf_pivot_visible"."month" AS "month",
  "qf_pivot_visible"."city" AS "city",
  "qf_pivot_visible"."fare_sum" AS "fare_sum",
  "qf_pivot_visible"."qf_pivot_column" AS "qf_pivot_column",
  "qf_pivot_visible"."qf_pivot_row" AS "qf_pivot_row",
  "qf_pivot_visible"."qf_pivot_place" AS "qf_pivot_place",
  MAX("qf_pivot_place") OVER () AS "qf_pivot_total",
  ROW_NUMBER() OVER (PARTITION BY "qf_pivot_row" ORDER BY "qf_pivot_place") AS "qf_pivot_number"
FROM "qf_pivot_visible"
)
SELECT
  "qf_pivot_counted"."month" AS "month",
  "qf_pivot_counted"."city" AS "city",
  "qf_pivot_counted"."fare_sum" AS "fare_sum",
  "qf_pivot_row" AS "row_index",
  CASE WHEN "qf_pivot_place" <= 200 THEN "qf_pivot_place" END AS "column_index",
  "qf_pivot_total" AS "total_columns"
FROM "qf_pivot_counted"
WHERE ("qf_pivot_place" <= 200 OR "qf_pivot_number" = 1)
ORDER BY "qf_pivot_row", "qf_pivot_place\""""


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("select a from t order by a limit 10", "select a from t"),
        (
            "select 'limit 5', -- order by x\n b from t order by \"limit\" desc",
            "select 'limit 5', -- order by x\n b from t",
        ),
        ("select * from (select a from t order by a limit 3) as x -- limit 5", None),
        ("select distinct on (a) a, b from t order by a, b", None),
        ("select a from t order by a limit 5 offset 3", None),
        ("select a from t order by a fetch first 3 rows only", None),
        ("select a from t order by a for update", None),
        ("select 1 as n limit all", "select 1 as n"),
    ],
)
def test_outer_limit_and_order_are_dropped_only_where_nothing_needs_them(sql, kept):
    """Words in texts, comments and parentheses are no clauses."""
    assert without_order_and_limit(sql, POSTGRES) == (sql if kept is None else kept)


@pytest.mark.parametrize(
    ("value", "type_", "condition"),
    [
        (None, None, '"c" IS NULL'),
        ("it's", ColumnType.STRING, "\"c\" = 'it''s'"),
        (2.5, ColumnType.NUMBER, '"c" = 2.5'),
        ("x", ColumnType.NUMBER, "1 = 0"),
        ("NaN", ColumnType.NUMBER, "1 = 0"),
        (True, ColumnType.BOOLEAN, '"c" = TRUE'),
        ("maybe", ColumnType.BOOLEAN, "1 = 0"),
        ("2024-02-01T00:00:00Z", ColumnType.DATE, "CAST(\"c\" AS DATE) = DATE '2024-02-01'"),
        ("soon", ColumnType.DATE, "1 = 0"),
        (
            "2024-02-01T10:00:00Z",
            ColumnType.TIMESTAMP,
            "DATE_TRUNC('SECOND', \"c\") = TIMESTAMPTZ '2024-02-01 10:00:00.000+00:00'",
        ),
    ],
)
def test_pinned_value_becomes_a_literal_of_its_columns_type(value, type_, condition):
    """What cannot be such a value is found nowhere."""
    assert pin_condition("c", value, type_, POSTGRES) == condition


def test_pin_on_a_column_of_unknown_type_cannot_be_ranked_by_the_warehouse():
    """Unless it is NULL; a pin that does not name a whole column does not count."""
    pivot = plan_of(EVERYTHING)
    assert not can_rank(pivot, {})
    assert can_rank(pivot, {"city": ColumnType.STRING})
    with pytest.raises(ParameterError, match="pinned"):
        ranked_plan(sql_plan("select 1", NAMES, POSTGRES), pivot, POSTGRES)
    pin = [{"reference": "city", "value": None}]
    assert can_rank(plan_of(EVERYTHING | {"sortBy": [{"reference": "fare", "pivotValues": pin}]}), {})


def test_names_that_cannot_be_are_refused():
    """What the query lacks, what ranks are called, and what PostgreSQL would cut."""
    with pytest.raises(ParameterError, match="'fare'"):
        ranked(EVERYTHING, names=("month", "city", "region", "year", "rides"))
    with pytest.raises(ParameterError, match="row_index"):
        ranked(EVERYTHING | {"indexColumn": {"reference": "row_index"}}, names=(*NAMES, "row_index"))
    long = "f" * 60
    with pytest.raises(CompileError, match="63 bytes"):
        ranked(EVERYTHING | {"valuesColumns": [{"reference": long, "aggregation": "sum"}]}, names=(*NAMES, long))
    with pytest.raises(ParameterError, match="SELECT"):
        sql_plan("show tables", NAMES, POSTGRES)


def test_task_comes_back_as_it_was_stored():
    """An actor does what was accepted."""
    task = PivotTask(
        way=PivotWay.DISTRIBUTED,
        plan=plan_of(EVERYTHING, rows=None, columns=7),
        items={"city": {"type": "string", "name": "city"}},
        timezone="Europe/Berlin",
        has_original=True,
        warnings=("said",),
    )
    again = PivotTask.from_json(task.to_json())
    assert again == task
    assert set(again.display.rules) == {"city"}
