"""Statements of the compiler on real engines, over rows few enough to be counted by hand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from queryfleet.compiler.compiler import CompiledQuery
    from tests.fixtures.sql_engines import SqlEngine

    Compile = Callable[..., CompiledQuery]


@pytest.fixture
def answer(compiled: Compile, sql_engine: SqlEngine) -> Callable[..., list[tuple[object, ...]]]:
    """Return what answers a question to the bakery, numbers as plain ones."""

    def ask(**members: object) -> list[tuple[object, ...]]:
        found = compiled(sql_engine.dialect, **members)
        return [tuple(_plain(value) for value in row) for row in sql_engine.rows(found.sql)]

    return ask


def _plain(value: object) -> object:
    if isinstance(value, float | Decimal):
        return round(float(value), 6)
    return value.date() if isinstance(value, dt.datetime) else value


def _calculation(name: str, **members: object) -> dict[str, object]:
    return {"name": name, "displayName": name, **members}


def _ascending(*ids: str) -> list[dict[str, object]]:
    return [{"fieldId": each, "descending": False} for each in ids]


BY_MONTH = {
    "dimensions": ["orders_day_month"],
    "metrics": ["orders_revenue"],
    "sorts": [{"fieldId": "orders_day_month", "descending": False}],
}
MONTHS = [dt.date(2025, 1, 1), dt.date(2025, 2, 1), dt.date(2025, 3, 1)]


def test_metrics_on_both_sides_of_a_join_each_count_their_own_rows_once(answer) -> None:
    """Orders, their items and their customers can be asked about in one question."""
    metrics = ["orders_revenue", "orders_order_count", "items_sold", "customers_credit", "orders_average"]
    assert answer(metrics=metrics) == [(100, 5, 100, 21, 20)]


def test_repeated_rows_are_counted_once_in_each_group_null_groups_included(answer) -> None:
    """An order with items of two kinds is in both groups, once in each."""
    found = answer(dimensions=["items_kind"], metrics=["orders_revenue", "orders_order_count"],
                   sorts=[{"fieldId": "items_kind", "descending": False, "nullsFirst": False}])  # fmt: skip
    assert found == [("bread", 30, 2), ("cake", 40, 2), (None, 40, 2)]


def test_rows_without_a_match_do_not_count_for_the_joined_table(answer) -> None:
    """An order without a customer brings no customer; a group of only such orders has zero."""
    found = answer(dimensions=["orders_id"], metrics=["customers_customer_count", "customers_credit"],
                   sorts=_ascending("orders_id"))  # fmt: skip
    assert found[-1] == (5, 0, None)
    assert found[0] == (1, 1, 5)


def test_expression_with_its_own_aggregate_is_counted_right_too(answer) -> None:
    """SQL that holds `sum(…)` itself is computed over the keys of its table."""
    found = answer(dimensions=["items_kind"], metrics=["orders_written", "items_sold"],
                   sorts=[{"fieldId": "items_kind", "descending": False, "nullsFirst": False}])  # fmt: skip
    assert found == [("bread", 30, 24), ("cake", 40, 36), (None, 40, 40)]


def test_expression_over_raw_columns_is_counted_right_too(answer) -> None:
    """`sum(${TABLE}.credit)` of the joined table counts each customer once."""
    assert answer(metrics=["customers_credit_by_hand", "orders_order_count"]) == [(21, 5)]


def test_filter_of_a_metric_on_a_repeating_table_keeps_the_row_once(answer) -> None:
    """An order with bread counts once, however many items it has."""
    assert answer(metrics=["orders_bread_revenue", "orders_revenue"]) == [(30, 100)]


def test_count_of_all_rows_counts_rows_of_its_own_table(answer) -> None:
    """`count(*)` of orders counts orders, with items joined and without."""
    assert answer(metrics=["orders_row_count"]) == [(5,)]
    assert answer(metrics=["orders_row_count", "items_items_count"]) == [(5, 6)]


def test_many_to_many_join_repeats_neither_side(answer) -> None:
    """Orders and visits of the same customers are both counted once where keys are known."""
    sorts = [{"fieldId": "visits_page", "nullsFirst": False}]
    found = answer(metrics=["orders_revenue"], dimensions=["visits_page"], sorts=sorts)
    assert found == [("x", 60), ("y", 30), (None, 40)]


def test_distinct_metrics_take_one_value_for_each_key(answer) -> None:
    """The amount of an order counts once, whatever the number of its items."""
    found = answer(dimensions=["items_kind"], metrics=["items_order_total", "items_order_mean", "items_sold"],
                   sorts=[{"fieldId": "items_kind", "nullsFirst": False}])  # fmt: skip
    assert found == [("bread", 30, 15, 24), ("cake", 40, 20, 36), (None, 40, 40, 40)]


def test_metric_over_metrics_aggregates_once_more(answer) -> None:
    """`max(${revenue})` runs, alone, within another metric, and beside repeated rows."""
    found = answer(**BY_MONTH | {"metrics": ["orders_highest", "orders_above", "orders_revenue"]})
    assert found == list(zip(MONTHS, [30, 30, 40], [31, 31, 41], [30, 30, 40], strict=True))
    assert answer(metrics=["orders_highest", "items_sold"]) == [(100, 100)]


def test_window_over_a_metric_is_no_nesting(answer) -> None:
    """`sum(${revenue}) over ()` is the sum over all groups."""
    found = answer(**BY_MONTH | {"metrics": ["orders_share_of_all"]})
    assert found == list(zip(MONTHS, [0.3, 0.3, 0.4], strict=True))


def test_row_filter_holds_beside_filters_of_the_question(answer) -> None:
    """An OR at the top of a row filter lets no row past the question's own filter."""
    rule = {"target": {"fieldId": "orders_region"}, "operator": "equals", "values": ["north"]}
    assert answer(metrics=["orders_order_count"], filters={"dimensions": {"and": [rule]}}) == [(2,)]


def test_post_calculations_of_a_pivoted_question_run_down_each_column(answer) -> None:
    """Running totals run within each pivoted column, shares within each row."""
    found = answer(
        dimensions=["orders_day_month", "orders_region"],
        metrics=["orders_so_far", "orders_share"],
        pivotDimensions=["orders_region"],
        sorts=[{"fieldId": "orders_day_month"}, {"fieldId": "orders_region", "nullsFirst": True}],
    )
    assert found == [
        (MONTHS[0], "north", 10, 0.333333),
        (MONTHS[0], "south", 20, 0.666667),
        (MONTHS[1], None, 30, 1),
        (MONTHS[2], "north", 50, 1),
        (MONTHS[2], "south", 20, None),
    ]


def test_earlier_periods_join_at_most_one_row_where_months_differ_in_length(answer) -> None:
    """The 31st of March has the last day of February before it, and no row comes twice."""
    before = {
        "table": "orders", "name": "before", "type": "number", "generationType": "periodOverPeriod",
        "baseMetricId": "orders_order_count", "timeDimensionId": "orders_day", "granularity": "MONTH",
    }  # fmt: skip
    found = answer(
        dimensions=["orders_day"],
        metrics=["orders_order_count", "orders_before"],
        additionalMetrics=[before],
        sorts=_ascending("orders_day"),
    )
    assert len(found) == 4
    assert {row[2] for row in found} == {None}


def test_several_shifts_and_a_share_of_one_are_computed_side_by_side(answer) -> None:
    """One and two months before, and a table calculation over both."""
    common = {
        "table": "orders", "type": "number", "generationType": "periodOverPeriod", "baseMetricId": "orders_revenue",
        "timeDimensionId": "orders_day_month", "granularity": "month",
    }  # fmt: skip
    found = answer(
        **BY_MONTH | {"metrics": ["orders_revenue", "orders_one", "orders_two"]},
        additionalMetrics=[common | {"name": "one"}, common | {"name": "two", "periodOffset": 2}],
        tableCalculations=[_calculation("growth", sql="${orders.one} - ${orders.two}")],
    )
    assert found == [(MONTHS[0], 30, None, None, None), (MONTHS[1], 30, 30, None, None), (MONTHS[2], 40, 30, 30, 0)]


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("row()", [1, 2, 3]),
        ("offset(${orders.revenue}, -1)", [None, 30, 30]),
        ("offset( ${orders.revenue} + 1 , 1 )", [31, 41, None]),
        ("offset(${orders.revenue}, 0)", [30, 30, 40]),
        ("index(${orders.revenue}, 3)", [40, 40, 40]),
        ("total(${orders.revenue}) - ${orders.revenue}", [70, 70, 60]),
        ("row_total(${orders.revenue})", [30, 30, 40]),
        ("lookup(40, ${orders.revenue}, ${orders.order_count})", [2, 2, 2]),
        ("case when 'row()' = '-- (' then 1 else row() /* offset( */ end", [1, 2, 3]),
        ("sum(${orders.revenue}) over ()", [100, 100, 100]),
    ],
)
def test_functions_of_calculations_in_sql_look_at_other_rows(answer, sql, values) -> None:
    """Our functions see the rows in the order of the query; the rest of the text is left alone."""
    asked = BY_MONTH | {"metrics": ["orders_revenue", "orders_order_count"]}
    found = answer(**asked, tableCalculations=[_calculation("calc", sql=sql)])
    assert [row[3] for row in found] == values


def test_lists_of_calculations_are_lists(answer) -> None:
    """`list` and `offset_list` make lists."""
    calculations = [
        _calculation("both", sql="list(${orders.revenue}, 1)"),
        _calculation("next", sql="offset_list(${orders.revenue}, 0, 2)"),
    ]
    found = answer(**BY_MONTH, tableCalculations=calculations)
    assert [([*map(_plain, row[2])], [*map(_plain, row[3])]) for row in found] == [
        ([30, 1], [30, 30]),
        ([30, 1], [30, 40]),
        ([40, 1], [40, None]),
    ]


def test_total_is_computed_again_and_counts_right(answer) -> None:
    """Totals of ratios and of repeated rows are those of all rows, not sums of groups."""
    found = answer(
        dimensions=["items_kind"],
        metrics=["orders_average", "orders_order_count"],
        tableCalculations=[
            _calculation("mean", sql="total(${orders.average})"),
            _calculation("count", sql="total(${orders.order_count} + ${orders.order_count})"),
        ],
        sorts=[{"fieldId": "count"}, {"fieldId": "items_kind", "nullsFirst": True}],
    )
    assert [row[3:] for row in found] == [(20, 10)] * 3


def test_functions_of_one_row_without_dimensions_find_it(answer) -> None:
    """A question without dimensions has one row, which is first, last and the total."""
    sql = "row() + index(${orders.revenue}, 1) + total(${orders.revenue}) + coalesce(offset(${orders.revenue}, 1), 0)"
    assert answer(metrics=["orders_revenue"], tableCalculations=[_calculation("calc", sql=sql)]) == [(100, 201)]


def test_row_total_adds_up_the_pivoted_columns(answer) -> None:
    """`row_total` is over the pivoted dimensions only."""
    found = answer(
        dimensions=["orders_day_month", "orders_region"],
        metrics=["orders_revenue"],
        pivotDimensions=["orders_region"],
        tableCalculations=[_calculation("all", sql="row_total(${orders.revenue})")],
        sorts=_ascending("orders_day_month", "orders_region"),
    )
    assert [row[3] for row in found] == [30, 30, 30, 40, 40]


@pytest.mark.parametrize(
    ("formula", "values"),
    [
        ("=orders_revenue / orders_order_count", [15, 30, 20]),
        ("=orders_revenue / (orders_revenue - 30)", [None, None, 4]),
        ("=-orders_revenue + 2 * 3 ^ 2", [-12, -12, -22]),
        ("=IF(AND(orders_revenue > 30, NOT(FALSE)), 'big', \"small\") & '!'", ["small!", "small!", "big!"]),
        ("=IFS(orders_revenue > 35, 1, orders_order_count = 1, 2, 3)", [3, 2, 1]),
        ("=SWITCH(orders_revenue, 30, 'a', 40, 'b')", ["a", "a", "b"]),
        ("=SUM(orders_revenue) - MAX(orders_revenue)", [60, 60, 60]),
        ("=AVERAGE(orders_order_count)", [1.666667, 1.666667, 1.666667]),
        ("=MIN(orders_revenue, 35)", [30, 30, 35]),
        ("=ROUND(orders_revenue / 7, 2)", [4.29, 4.29, 5.71]),
        ("=ROUNDUP(-orders_revenue / 7) + ROUNDDOWN(orders_revenue / 7, 1)", [-0.8, -0.8, -0.3]),
        ("=MOD(orders_revenue, 7) + ABS(-1) + INT(2.5) + POWER(2, 3)", [13, 13, 16]),
        ("=50% + SQRT(16) + LN(EXP(1)) + LOG(100) + SIGN(-5)", [6.5] * 3),
        ("=QUOTIENT(orders_revenue, 7) + DIVIDE(1, 0, 5)", [9, 9, 10]),
        ("=CONCAT(LEFT('bread', 2), RIGHT('bread', 2), MID('bread', 2, 2), LEN('ab'))", ["bradre2"] * 3),
        ("=UPPER(TRIM('  a  ')) & LOWER('B') & SUBSTITUTE('xyx', 'x', 'z')", ["Abzyz"] * 3),
        ("=FIND('e', 'bread') + SEARCH('E', 'bread')", [6] * 3),
        ("=IF(CONTAINS('bread', 'rea'), 1, 0) + IF(STARTSWITH('bread', 'br'), 2, 0) + IF(ENDSWITH('bread', 'd'), 4, 0)",
         [7] * 3),
        ("=IF(STARTSWITH('it''s', \"it's\"), 1, 0)", [1] * 3),
        ("=YEAR(orders_day_month) + MONTH(orders_day_month) + DAY(orders_day_month) + QUARTER(orders_day_month)",
         [2028, 2029, 2030]),
        ("=DAYS(EDATE(orders_day_month, 1), orders_day_month)", [31, 28, 31]),
        ("=YEAR(TODAY())", [2025] * 3),
        ("=ROW() + RANK(orders_revenue)", [3, 4, 4]),
        ("=RUNNING_TOTAL(orders_revenue) - COALESCE(LAG(orders_revenue), 0)", [30, 30, 70]),
        ("=IF(ISBLANK(LEAD(orders_revenue, 1)), 0, IFNULL(NULLIF(orders_revenue, 30), -1))", [-1, -1, 0]),
        ("=IF(orders_revenue <> 30, TRUE, XOR(TRUE, TRUE))", [False, False, True]),
        ("=VALUE(TEXT(orders_order_count)) + PI() * 0", [2, 1, 2]),
        ("=IF(MINUTE(NOW()) = 5, GREATEST(1, 2), LEAST(1, 2))", [2] * 3),
    ],
)  # fmt: skip
def test_formula_computes_what_a_spreadsheet_does(answer, formula, values) -> None:
    """Each function, over the months of the bakery."""
    asked = BY_MONTH | {"metrics": ["orders_revenue", "orders_order_count"]}
    found = answer(**asked, tableCalculations=[_calculation("calc", formula=formula)])
    assert [row[3] for row in found] == pytest.approx(values) if None not in values else values


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ({"type": "window_function", "windowFunction": "rank", "orderBy": [{"fieldId": "orders_revenue"}]}, [1, 1, 3]),
        ({"type": "window_function", "windowFunction": "dense_rank",
          "orderBy": [{"fieldId": "orders_revenue", "order": "desc"}]}, [2, 2, 1]),
        ({"type": "window_function", "windowFunction": "sum", "fieldId": "orders_revenue"}, [100, 100, 100]),
        ({"type": "window_function", "windowFunction": "max", "fieldId": "orders_revenue",
          "orderBy": [{"fieldId": "orders_revenue"}],
          "frame": {"frameType": "range", "end": {"type": "current_row"}}}, [30, 30, 40]),
        ({"type": "running_total", "fieldId": "double"}, [60, 120, 200]),
        ({"type": "rank_in_column", "fieldId": "orders_revenue"}, [1, 1, 3]),
    ],
)  # fmt: skip
def test_template_is_a_window_over_the_rows(answer, template, values) -> None:
    """Templates have their own order, then the query's; they may read other calculations."""
    calculations = [_calculation("calc", template=template), _calculation("double", sql="${orders.revenue} * 2")]
    found = answer(**BY_MONTH, tableCalculations=calculations)
    assert [row[2] for row in found] == values


def test_date_zoom_shows_another_interval_under_the_same_id(compiled, answer, sql_engine) -> None:
    """The column keeps its id and holds quarters; its filter still means days."""
    rule = {"target": {"fieldId": "orders_day_day"}, "operator": "greaterThan", "values": ["2025-01-10"]}
    asked = {
        "dimensions": ["orders_day_day"],
        "metrics": ["orders_revenue"],
        "filters": {"dimensions": {"and": [rule]}},
        "date_zoom": {"granularity": "QUARTER"},
    }
    assert answer(**asked) == [(dt.date(2025, 1, 1), 90)]
    found = compiled(sql_engine.dialect, **asked)
    assert found.is_date_zoomed
    assert found.items["orders_day_day"]["timeInterval"] == "QUARTER"


def test_bins_are_ordered_by_number_and_look_at_rows_the_caller_may_see(answer) -> None:
    """Ten comes after nine, and the ends of bins are those of all rows whatever the filter."""
    bins = {"id": "size", "name": "Size", "type": "bin", "binType": "fixed_number", "binNumber": 3,
            "dimensionId": "orders_amount"}  # fmt: skip
    found = answer(
        dimensions=["size"],
        metrics=["orders_order_count"],
        customDimensions=[bins],
        sorts=[{"fieldId": "size", "descending": True, "nullsFirst": False}],
    )
    assert found == [("30 - 40", 2), ("20 - 30", 1), ("10 - 20", 1), (None, 1)]


def test_table_named_like_a_stage_is_not_hidden_by_it(catalog_of, sql_engine) -> None:
    """Stages have names that no table of the explore has."""
    from queryfleet.compiler.compiler import compile_metric_query
    from queryfleet.compiler.context import Context
    from queryfleet.compiler.request import parse_metric_query

    catalog = catalog_of("""\
        type: model
        name: qf_rows
        sql_from: select 1 as qf_metrics, 2 as b
        dimensions:
          - {name: a, type: number, sql: "${TABLE}.qf_metrics", metrics: {total: {type: sum}}}
    """)
    query = parse_metric_query({
        "exploreName": "qf_rows", "dimensions": ["qf_rows_a"], "metrics": ["qf_rows_total"],
        "tableCalculations": [_calculation("c", sql="row()")],
    })  # fmt: skip
    now = dt.datetime(2025, 5, 20, tzinfo=dt.UTC)
    found = compile_metric_query(query, catalog.explore("qf_rows"), Context(dialect=sql_engine.dialect, now=now))
    assert sql_engine.rows(found.sql) == [(1, 1, 1)]


@pytest.mark.integration
def test_parts_of_a_statement_are_joined_by_hashing_in_postgres(compiled, database_url) -> None:
    """Groups with NULLs are matched without comparing each with each: the time does not grow with their square."""
    import psycopg

    from queryfleet.compiler.dialects import dialect_of

    found = compiled(
        dialect_of("postgres"), dimensions=["items_kind", "orders_day", "orders_amount"],
        metrics=["orders_order_count", "items_sold"],
    )  # fmt: skip
    with psycopg.connect(database_url, autocommit=True) as connection:
        # A nested loop is then taken only where there is no other way.
        connection.execute("set enable_nestloop = off")
        plan = "\n".join(row[0] for row in connection.execute(f"explain {found.sql}"))
    assert "qf_keyed_1" in found.sql
    assert "Nested Loop" not in plan
