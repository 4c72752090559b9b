"""Metric queries to SQL: the plain statement, what is refused and how, and what every dialect can read."""

from __future__ import annotations

import datetime as dt
import re

import pytest
import sqlglot

from queryfleet.compiler.dialects import DIALECTS, dialect_of
from queryfleet.compiler.row_limit import QueryLimits
from queryfleet.errors import CompileError, FieldReferenceError, ForbiddenError, ParameterError, RequestError

DUCKDB = dialect_of("duckdb")


def _rule(field_id: str, operator: str = "equals", *values: object, **more: object) -> dict[str, object]:
    return {"target": {"fieldId": field_id}, "operator": operator, "values": list(values), **more}


def _where(*nodes: object, kind: str = "and") -> dict[str, object]:
    return {"dimensions": {kind: list(nodes)}}


def _calculation(name: str, **members: object) -> dict[str, object]:
    return {"name": name, "displayName": name, **members}


def test_plain_question_is_one_select(compiled) -> None:
    """Dimensions are grouped by place, needed joins are made, the rest of the order is the remaining dimensions."""
    found = compiled(DUCKDB, dimensions=["orders_day_month", "customers_name"], metrics=["orders_revenue"],
                     filters=_where(_rule("orders_region", "equals", "north")), limit=10)  # fmt: skip
    shown = re.sub(r"\(select \* from.*?\) AS \"", '(…) AS "', found.sql, flags=re.DOTALL)
    assert shown == (
        "SELECT\n"
        '  CAST(DATE_TRUNC(\'MONTH\', "orders".day) AS DATE) AS "orders_day_month",\n'
        '  "customers".name AS "customers_name",\n'
        '  SUM(("orders".amount)) AS "orders_revenue"\n'
        'FROM (…) AS "orders"\n'
        'LEFT OUTER JOIN (…) AS "customers"\n'
        '  ON (("orders".customer_id) = ("customers".id))\n'
        'WHERE ("orders".id > 0 or "orders".id is null)\n'
        "  AND ((\"orders\".region IN ('north')))\n"
        "GROUP BY 1, 2\n"
        'ORDER BY "orders_day_month" DESC, "customers_name"\n'
        "LIMIT 10"
    )
    assert found.columns == ("orders_day_month", "customers_name", "orders_revenue")
    assert [item["type"] for item in found.items.values()] == ["date", "string", "sum"]
    assert not found.warnings


def test_answer_repeats_the_question_as_it_is_run(compiled) -> None:
    """Repetitions are gone, the default order and the limit are filled in, own members are as they were sent."""
    calculation = _calculation("twice", sql="${orders.revenue} * 2", format={"type": "currency"})
    found = compiled(DUCKDB, dimensions=["orders_region", "orders_region"], metrics=["orders_revenue"],
                     tableCalculations=[calculation], limit=9_999)  # fmt: skip
    wire = found.query.to_json()
    assert wire["dimensions"] == ["orders_region"]
    assert wire["sorts"] == [{"fieldId": "orders_revenue", "descending": True}]
    assert wire["limit"] == 5000
    assert wire["tableCalculations"] == [calculation]
    assert found.items["twice"] == calculation
    assert "at most 5000 rows" in found.warnings[0].message


@pytest.mark.parametrize(
    ("limit", "limits", "expected"),
    [
        (None, QueryLimits(cells_max=100), 33),
        (None, QueryLimits(cells_max=None), None),
        (7, QueryLimits(rows_max=5), 5),
        (7, QueryLimits(rows_max=None), 7),
        (0, QueryLimits(), 0),
    ],
)
def test_limit_is_what_the_service_allows(compiled, limit, limits, expected) -> None:
    """A number is cut to the most rows; null means as many rows as the columns leave of the cells."""
    found = compiled(DUCKDB, dimensions=["orders_region", "orders_day"], metrics=["orders_revenue"], limit=limit,
                     options={"limits": limits})  # fmt: skip
    assert found.query.limit == expected
    assert (f"LIMIT {expected}" in found.sql) is (expected is not None)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"metrics": ["orders_revenue"]}, []),
        ({"dimensions": ["orders_region", "orders_day"], "metrics": ["orders_revenue"]}, [("orders_day", True)]),
        ({"dimensions": ["orders_region"], "metrics": ["orders_revenue"]}, [("orders_revenue", True)]),
        ({"dimensions": ["orders_region", "orders_id"]}, [("orders_region", False)]),
    ],
)
def test_default_order_is_latest_then_greatest_then_first(compiled, members, expected) -> None:
    """Without sorts: by the first date, else the first metric, else the first dimension."""
    sorts = compiled(DUCKDB, **members).query.sorts
    assert [(each.field_id, each.is_descending) for each in sorts] == expected


@pytest.mark.parametrize(
    ("members", "error", "words"),
    [
        ({}, ParameterError, "selects nothing"),
        ({"dimensions": ["orders_regoin"]}, FieldReferenceError, "`orders_region`?"),
        ({"dimensions": ["orders_revenue"]}, FieldReferenceError, "is a metric"),
        ({"metrics": ["orders_region"]}, FieldReferenceError, "is a dimension"),
        ({"dimensions": ["orders_secret"]}, ForbiddenError, "orders_secret"),
        ({"metrics": ["orders_revenue"], "sorts": [{"fieldId": "orders_secret"}]}, ForbiddenError, "orders_secret"),
        ({"metrics": ["orders_revenue"], "tableCalculations": [{"name": "c", "sql": "${orders.secret}"}]},
         ForbiddenError, "orders_secret"),
        ({"metrics": ["orders_revenue"], "tableCalculations": [{"name": "c", "formula": "=orders_secret"}]},
         ForbiddenError, "orders_secret"),
        ({"metrics": ["orders_revenue"], "limit": -1}, ParameterError, "`limit`"),
        ({"metrics": ["orders_revenue"], "sorts": [{"fieldId": "orders_region"}]}, ParameterError, "not selected"),
        ({"metrics": ["orders_revenue"], "sorts": [{"fieldId": 'a"b'}]}, ParameterError, "quotation mark"),
        ({"metrics": ["orders_revenue"], "filters": {"metrics": _rule("orders_region", "isNull")}},
         FieldReferenceError, "is a dimension"),
        ({"metrics": ["orders_revenue"], "filters": _where(_rule("orders_revenue", "isNull"))},
         FieldReferenceError, "is a metric"),
        ({"metrics": ["orders_revenue"], "filters": {"tableCalculations": _rule("nope", "isNull")}},
         FieldReferenceError, "nope"),
        ({"metrics": ["orders_revenue"], "timezone": "Mars/Base"}, ParameterError, "Mars/Base"),
        ({"dimensions": ["orders_day"], "date_zoom": {"granularity": "MOON"}}, ParameterError, "dateZoom"),
    ],
)  # fmt: skip
def test_question_that_means_nothing_is_refused_by_name(compiled, members, error, words) -> None:
    """Each error says which member is wrong, and where there is one, the nearest right name."""
    with pytest.raises(error, match=re.escape(words)):
        compiled(DUCKDB, **members)


@pytest.mark.parametrize(
    ("calculation", "error", "words"),
    [
        ({"sql": "${orders.revenu}"}, FieldReferenceError, "`orders_revenue`?"),
        ({"sql": "${orders.buyers}"}, FieldReferenceError, "not selected"),
        ({"sql": "${nowhere.x}"}, FieldReferenceError, "nowhere"),
        ({"sql": "  "}, CompileError, "is empty"),
        ({"sql": "total(${orders.region})"}, CompileError, "metrics only"),
        ({"sql": "total(${orders.revenue} + row())"}, CompileError, "cannot hold"),
        ({"sql": "offset(row(), 1)"}, CompileError, "make a calculation of the inner one"),
        ({"sql": "offset(${orders.revenue}, 1.5)"}, CompileError, "whole numbers"),
        ({"sql": "offset(${orders.revenue})"}, CompileError, "takes 2 arguments"),
        ({"sql": "row(1)"}, CompileError, "takes 0 arguments"),
        ({"sql": "row("}, CompileError, "no closing bracket"),
        ({"sql": "1)"}, CompileError, "closes nothing"),
        ({"sql": "index(${orders.revenue}, 0)"}, CompileError, "from 1"),
        ({"sql": "offset_list(${orders.revenue}, 0, 5000)"}, CompileError, "1 to 1000"),
        ({"sql": "pivot_row(${orders.revenue})"}, CompileError, "pivot_row"),
        ({"sql": "{% if x %} 1 {% endif %}"}, CompileError, "tags"),
        ({"sql": "${a} + 1"}, CompileError, "a -> a"),
        ({"formula": "=SUMM(orders_revenue)"}, CompileError, "`SUM`?"),
        ({"formula": "=ROUND(1, orders_revenue)"}, CompileError, "whole number"),
        ({"formula": "=SUM(MAX(orders_revenue))"}, CompileError, "cannot hold"),
        ({"formula": "=1 +"}, CompileError, "ends too early"),
        ({"formula": "=(1"}, CompileError, "not closed"),
        ({"formula": "=1 2"}, CompileError, "`2`"),
        ({"formula": "=1 ? 2"}, CompileError, "unknown"),
        ({"formula": "="}, CompileError, "empty"),
        ({"formula": "=" + "(" * 200}, CompileError, "brackets"),
        ({"formula": "=orders_regon"}, FieldReferenceError, "`orders_region`?"),
        ({"template": {"type": "running_total", "fieldId": "orders_nothing"}}, FieldReferenceError, "orders_nothing"),
        ({"template": {"type": "running_sum", "fieldId": "orders_revenue"}}, ParameterError, "running_sum"),
        ({"template": {"type": "running_total"}}, ParameterError, "fieldId"),
        ({"template": {"type": "window_function", "windowFunction": "mean", "fieldId": "orders_revenue"}},
         ParameterError, "mean"),
        ({"template": {"type": "window_function", "windowFunction": "sum"}}, ParameterError, "needs a column"),
        ({}, ParameterError, "nothing to compute"),
        ({"sql": "1", "formula": "=1"}, ParameterError, "sql and formula"),
    ],
)  # fmt: skip
def test_calculation_that_means_nothing_is_refused_by_name(compiled, calculation, error, words) -> None:
    """Each error names the calculation."""
    with pytest.raises(error, match=re.escape(words)) as raised:
        compiled(DUCKDB, dimensions=["orders_region"], metrics=["orders_revenue"],
                 tableCalculations=[_calculation("a", **calculation)])  # fmt: skip
    assert "`a`" in str(raised.value) or "a -> a" in str(raised.value)


def test_calculations_that_go_round_are_told_in_order(compiled) -> None:
    """A cycle is shown as the way round."""
    calculations = [_calculation("a", sql="${b}"), _calculation("b", formula="=c"), _calculation("c", sql="${a} + 1")]
    with pytest.raises(CompileError, match="a -> b -> c -> a"):
        compiled(DUCKDB, metrics=["orders_revenue"], tableCalculations=calculations)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"tableCalculations": [_calculation("orders_region", sql="1")]}, "taken by explore"),
        ({"tableCalculations": [_calculation("x", sql="1"), _calculation("x", sql="2")]}, "taken by another entry"),
        ({"customDimensions": [{"id": "orders_region", "type": "sql", "table": "orders", "sql": "1"}]}, "taken"),
        ({"additionalMetrics": [{"table": "orders", "name": "revenue", "type": "sum", "sql": "${amount}"}]}, "already"),
        ({"tableCalculations": [_calculation("a`b", sql="1")]}, "backtick"),
    ],
)
def test_name_that_is_taken_is_refused(compiled, members, words) -> None:
    """No name of the question's own hides another column."""
    with pytest.raises(ParameterError, match=words):
        compiled(DUCKDB, metrics=["orders_revenue"], **members)


@pytest.mark.parametrize(
    ("metric", "error", "words"),
    [
        ({"type": "sum", "sql": "${amnt}"}, FieldReferenceError, "`orders_amount`?"),
        ({"type": "sum", "sql": "${secret}"}, ForbiddenError, "secret"),
        ({"type": "sum", "sql": "${revenue}"}, CompileError, "cannot hold another"),
        ({"type": "sum", "sql": "${amount}", "table": "nowhere"}, CompileError, "nowhere"),
        ({"type": "sum", "sql": "${ld.parameters.x}"}, CompileError, "no parameter `x`"),
        ({"type": "number", "sql": "${revenue}", "filters": [{"target": {"fieldRef": "orders.region"},
          "operator": "isNull"}]}, CompileError, "takes no filters"),
        ({"type": "number", "sql": "${before} * 2"}, CompileError, "use a table calculation"),
        ({"type": "summ", "sql": "${amount}"}, ParameterError, "`sum`?"),
        ({"type": "sum"}, ParameterError, "lacks `sql`"),
        ({"type": "sum_distinct", "sql": "${note}", "table": "notes"}, CompileError, "distinct_keys"),
    ],
)  # fmt: skip
def test_metric_of_the_question_that_means_nothing_is_refused(compiled, metric, error, words) -> None:
    """Each error names what is wrong."""
    before = {"table": "orders", "name": "before", "type": "number", "generationType": "periodOverPeriod",
              "baseMetricId": "orders_revenue", "timeDimensionId": "orders_day", "granularity": "DAY"}  # fmt: skip
    own = {"table": "orders", "name": "own", **metric}
    with pytest.raises(error, match=re.escape(words)):
        compiled(DUCKDB, metrics=[f"{own['table']}_own"], additionalMetrics=[before, own])


def test_override_takes_the_place_of_what_the_model_says(compiled) -> None:
    """Options win over the words of the model, which would otherwise be looked at first."""
    options = {"type": "percent", "round": 1}
    found = compiled(
        DUCKDB, dimensions=["orders_amount"], dimensionOverrides={"orders_amount": {"formatOptions": options}}
    )
    item = found.items["orders_amount"]
    assert item["formatOptions"] == options
    assert not {"format", "round"} & set(item)
    found = compiled(DUCKDB, dimensions=["orders_amount"], dimensionOverrides={"orders_amount": {"round": 0}})
    assert (found.items["orders_amount"]["format"], found.items["orders_amount"]["round"]) == ("eur", 0)


def test_metric_of_the_question_that_is_wrong_and_not_used_is_left_alone(compiled) -> None:
    """Clients keep sending metrics that a model has outgrown."""
    own = {"table": "orders", "name": "own", "type": "sum", "sql": "${gone}"}
    assert compiled(DUCKDB, metrics=["orders_revenue"], additionalMetrics=[own]).columns == ("orders_revenue",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"timeDimensionId": "orders_day_week"}, "not selected"),
        ({"timeDimensionId": "orders_region"}, "name a date"),
        ({"granularity": "HOUR"}, "HOUR"),
        ({"granularity": "MOON"}, "MOON"),
        ({"granularity": None}, "needs `baseMetricId`"),
        ({"generationType": "magic"}, "magic"),
        ({"baseMetricId": "orders_share"}, "after everything else"),
    ],
)
def test_comparison_of_periods_that_means_nothing_is_refused(compiled, changes, words) -> None:
    """Each error names what is wrong."""
    before = {"table": "orders", "name": "before", "type": "number", "generationType": "periodOverPeriod",
              "baseMetricId": "orders_revenue", "timeDimensionId": "orders_day", "granularity": "DAY"}  # fmt: skip
    with pytest.raises(RequestError, match=re.escape(words)):
        compiled(DUCKDB, dimensions=["orders_day", "orders_region"], metrics=["orders_before"],
                 additionalMetrics=[before | changes])  # fmt: skip


@pytest.mark.parametrize(
    ("custom", "words"),
    [
        ({"binType": "fixed_number", "binNumber": 0}, "binNumber"),
        ({"binType": "fixed_width", "binWidth": 0}, "binWidth"),
        ({"binType": "custom_range", "customRange": []}, "customRange"),
        ({"binType": "custom_range", "customRange": [{}]}, "neither"),
        ({"binType": "custom_group", "customGroups": []}, "needs a dimension of type string"),
        ({"binType": "custom_group", "dimensionId": "orders_region", "customGroups": []}, "has no values"),
        ({"binType": "fixed_width", "binWidth": 1, "dimensionId": "orders_secret"}, "not open"),
        ({"binType": "fixed_width", "binWidth": 1, "dimensionId": None}, "needs `binType` and `dimensionId`"),
    ],
)
def test_bins_that_mean_nothing_are_refused(compiled, custom, words) -> None:
    """Each error names what is wrong."""
    own = {"id": "own", "type": "bin", "dimensionId": "orders_amount", **custom}
    with pytest.raises(RequestError, match=re.escape(words)):
        compiled(DUCKDB, dimensions=["own"], customDimensions=[own])


@pytest.mark.parametrize(
    "members",
    [
        {"dimensions": ["own"], "customDimensions": [{"id": "own", "type": "sql", "table": "orders", "sql": "1"}]},
        {"metrics": ["orders_own"],
         "additionalMetrics": [{"table": "orders", "name": "own", "type": "max", "sql": "(select 1)"}]},
        {"metrics": ["orders_revenue"], "tableCalculations": [_calculation("a", sql="(SELECT max(x) FROM other)")]},
        {"metrics": ["orders_revenue"], "tableCalculations": [_calculation("a", sql="1 + (/* */ from other)")]},
        {"metrics": ["orders_revenue"], "tableCalculations": [_calculation("a", sql="query_to_xml('select 1', true)")]},
        {"metrics": ["orders_revenue"], "tableCalculations": [_calculation("a", sql="read_text -- x\n('f')")]},
        {"metrics": ["orders_revenue"], "tableCalculations": [_calculation("a", sql='"query_to_xml" (1)')]},
    ],
)  # fmt: skip
def test_caller_who_may_not_write_sql_cannot_reach_other_tables(compiled, members) -> None:
    """SQL of the caller's own is refused, and allowed to those who may run SQL anyway."""
    with pytest.raises(ForbiddenError):
        compiled(DUCKDB, **members, options={"can_write_sql": False})
    assert compiled(DUCKDB, **members).sql


def test_caller_who_may_not_write_sql_can_still_calculate(compiled) -> None:
    """References, dimensions' own SQL, windows and words inside quotes are no other tables."""
    found = compiled(
        DUCKDB,
        metrics=["orders_a", "orders_b", "orders_revenue"],
        additionalMetrics=[
            {"table": "orders", "name": "a", "type": "max", "sql": "${TABLE}.amount"},
            {"table": "orders", "name": "b", "type": "min", "sql": "${customers.name}"},
        ],
        tableCalculations=[
            _calculation("c", sql="case when 'select' = '' then 1 else sum(${orders.a}) over () end"),
            _calculation("d", sql="round(extract(year from date '2024-01-01') + total(${orders.revenue}), 2)"),
        ],
        options={"can_write_sql": False},
    )
    assert found.sql


def test_warnings_name_what_to_declare(compiled) -> None:
    """Where a relationship or a key is missing the plain statement runs, and the answer says so."""
    found = compiled(DUCKDB, dimensions=["notes_note"], metrics=["orders_revenue", "orders_buyers"])
    assert [(each.fields, each.tables) for each in found.warnings] == [(("orders_revenue",), ("notes",))]
    assert "relationship" in found.warnings[0].message
    found = compiled(DUCKDB, metrics=["visits_visit_count", "orders_revenue"])
    assert [(each.fields, each.tables) for each in found.warnings] == [(("visits_visit_count",), ("visits",))]
    assert "primary_key" in found.warnings[0].to_json()["message"]
    found = compiled(DUCKDB, metrics=["orders_mixed"])
    assert "make a metric of each aggregate" in found.warnings[0].message


def test_joins_that_nothing_needs_are_not_made(compiled) -> None:
    """A table is joined when a field, a filter or the condition of a needed join mentions it."""
    assert "JOIN" not in compiled(DUCKDB, metrics=["orders_revenue"]).sql
    filtered = compiled(DUCKDB, metrics=["orders_buyers"], filters=_where(_rule("customers_name", "isNull")))
    assert filtered.sql.count("JOIN") == 1


REQUIRED = """\
type: model
name: events
sql_from: events
required_filters: [{kind: click}, {at: inThePast 7 days}]
dimensions:
  - {name: kind, type: string, sql: "${TABLE}.kind"}
  - {name: at, type: timestamp, sql: "${TABLE}.at"}
metrics:
  n: {type: count, sql: "${TABLE}.id"}
  first_at: {type: min, sql: "${at}"}
"""


@pytest.mark.parametrize(
    ("filters", "is_kept"),
    [
        (None, True),
        (_where(_rule("events_kind", "equals", "view")), False),
        (_where({"and": [_rule("events_kind", "equals", "view")]}), False),
        (_where(_rule("events_kind", "equals", "view"), kind="or"), False),  # the only member: every row must pass it
        (_where(_rule("events_kind", "equals", "view"), _rule("events_at", "notNull"), kind="or"), True),
        (_where(_rule("events_kind", "equals")), True),
        (_where(_rule("events_kind", "equals", "view", disabled=True)), True),
        (_where(_rule("events_at_day", "notNull")), True),
    ],
)
def test_required_filter_is_replaced_only_by_a_rule_every_row_must_pass(catalog_of, filters, is_kept) -> None:
    """An alternative, a disabled rule or one without values does not do."""
    from queryfleet.compiler.compiler import compile_metric_query
    from queryfleet.compiler.context import Context
    from queryfleet.compiler.request import parse_metric_query

    explore = catalog_of(REQUIRED).explore("events")
    context = Context(dialect=DUCKDB, now=dt.datetime(2025, 5, 20, tzinfo=dt.UTC))
    query = parse_metric_query({"exploreName": "events", "metrics": ["events_n"], "filters": filters})
    found = compile_metric_query(query, explore, context)
    assert ("'click'" in found.sql) is is_kept
    is_time_filtered = filters is not None and "notNull" in str(filters) and "or" not in filters["dimensions"]
    assert ("2025-05-13" in found.sql) is not is_time_filtered


def test_moment_of_a_metric_is_selected_in_utc_where_a_dialect_needs_it(catalog_of) -> None:
    """The least of a column of moments is as much a moment as the column."""
    from queryfleet.compiler.compiler import compile_metric_query
    from queryfleet.compiler.context import Context
    from queryfleet.compiler.request import parse_metric_query

    explore = catalog_of(REQUIRED.replace('"${TABLE}.at"}', '"${TABLE}.at", metrics: {latest: {type: max}}}')).explore(
        "events"
    )
    now = dt.datetime(2025, 5, 20, tzinfo=dt.UTC)
    query = parse_metric_query({"exploreName": "events", "metrics": ["events_latest"]})
    plain = compile_metric_query(query, explore, Context(dialect=DUCKDB, now=now)).sql
    shifted = compile_metric_query(query, explore, Context(dialect=DUCKDB, now=now, data_timezone="Asia/Kolkata")).sql
    assert "TIMESTAMPTZ)" not in plain.partition("FROM")[0]
    assert "TIMESTAMPTZ)" in shifted.partition("FROM")[0]


def test_name_that_a_warehouse_would_cut_is_refused(catalog_of) -> None:
    """PostgreSQL cuts names at 63 bytes; then the result's column had another name than the field."""
    from queryfleet.compiler.compiler import compile_metric_query
    from queryfleet.compiler.context import Context
    from queryfleet.compiler.metric_query import MetricQuery

    name = "n" * 60
    text = f'type: model\nname: t\nsql_from: t\ndimensions:\n  - {{name: {name}aa, type: number, sql: "1"}}\n'
    explore = catalog_of(text).explore("t")
    query = MetricQuery(explore="t", dimensions=(f"t_{name}aa",))
    now = dt.datetime(2025, 5, 20, tzinfo=dt.UTC)
    assert compile_metric_query(query, explore, Context(dialect=DUCKDB, now=now)).sql
    with pytest.raises(CompileError, match="63 bytes"):
        compile_metric_query(query, explore, Context(dialect=dialect_of("postgres"), now=now))


EVERYTHING = {
    "dimensions": ["orders_day_month", "items_kind", "size", "width", "range", "group", "own"],
    "metrics": [
        "orders_revenue", "orders_average", "orders_written", "orders_highest", "items_order_total", "orders_share",
        "orders_so_far", "orders_change", "orders_before", "orders_own", "orders_buyers",
    ],
    "filters": {
        "dimensions": {
            "and": [_rule("orders_region", "include", "it's 100%"), _rule("orders_day", "inThePast", 3)],
        },
        "metrics": {"or": [_rule("orders_revenue", "greaterThan", 1), _rule("orders_order_count", "isNull")]},
        "tableCalculations": {"and": [_rule("place", "lessThan", 100)]},
    },
    "sorts": [
        {"fieldId": "orders_day_month", "descending": True, "nullsFirst": True},
        {"fieldId": "size", "descending": False},
        {"fieldId": "orders_revenue", "descending": True},
    ],
    "pivotDimensions": ["items_kind"],
    "tableCalculations": [
        _calculation("place", sql="row()", type="number"),
        _calculation("part", sql="1.0 * ${orders.revenue} / total(${orders.revenue}) + row_total(${orders.average})"),
        _calculation("neighbours", sql="offset(${orders.revenue}, -1) + index(${orders.revenue}, 2) + ${place}"),
        _calculation("some", sql="offset_list(${orders.revenue}, 0, 2)"),
        _calculation("other", sql="lookup(1, ${place}, ${orders.revenue})"),
        _calculation("running", template={"type": "running_total", "fieldId": "orders_revenue"}),
        _calculation("change", template={"type": "percent_change_from_previous", "fieldId": "orders_revenue"}),
        _calculation("sheet", formula="=IF(orders_revenue > 1, ROUND(orders_revenue / 3, 2), MONTH(orders_day_month))"),
        _calculation("text", formula="=CONCAT(LEFT(items_kind, 2), '-') & RIGHT(items_kind, FIND('a', items_kind))"),
        _calculation("days", formula="=DAYS(TODAY(), EDATE(orders_day_month, -1))"),
    ],
    "customDimensions": [
        {"id": "size", "type": "bin", "binType": "fixed_number", "binNumber": 3, "dimensionId": "orders_amount"},
        {"id": "width", "type": "bin", "binType": "fixed_width", "binWidth": 2.5, "dimensionId": "orders_amount"},
        {"id": "range", "type": "bin", "binType": "custom_range", "dimensionId": "orders_amount",
         "customRange": [{"to": 5}, {"from": 5, "to": 20.5}, {"from": 20.5}]},
        {"id": "group", "type": "bin", "binType": "custom_group", "dimensionId": "orders_region",
         "customGroups": [{"name": "it's", "values": [{"matchType": "includes", "value": "o\\r"}]}]},
        {"id": "own", "type": "sql", "table": "orders", "sql": "${customers.name} || ''", "dimensionType": "string"},
    ],
    "additionalMetrics": [
        {"table": "orders", "name": "before", "type": "sum", "generationType": "periodOverPeriod",
         "baseMetricId": "orders_revenue", "timeDimensionId": "orders_day_month", "granularity": "YEAR"},
        {"table": "orders", "name": "own", "type": "percentile", "percentile": 90, "sql": "${amount}",
         "filters": [{"target": {"fieldRef": "orders.region"}, "operator": "startsWith", "values": ["no_"]}]},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_everything_at_once_is_one_statement_in_every_dialect(compiled, name) -> None:
    """A question with every kind of stage parses as one SELECT of the dialect, with the columns asked for, in order."""
    dialect = DIALECTS[name]
    found = compiled(dialect, **EVERYTHING)
    (statement,) = sqlglot.parse(found.sql, dialect=dialect.grammar)
    names = [each.alias_or_name for each in statement.expressions]
    assert names == list(found.columns)
    assert names == [*EVERYTHING["dimensions"], *EVERYTHING["metrics"],
                     *(each["name"] for each in EVERYTHING["tableCalculations"])]  # fmt: skip
    assert found.sql == compiled(dialect, **EVERYTHING).sql


def test_plan_can_be_put_into_another_statement(compiled) -> None:
    """Without order and limit a plan has the same stages and columns."""
    plan = compiled(DUCKDB, **EVERYTHING).plan
    inner = plan.unordered()
    assert (inner.final.order_by, inner.final.limit) == ((), None)
    assert inner.final.names == plan.final.names
    assert inner.stage(plan.stages[0].name) == plan.stages[0]
    with pytest.raises(KeyError):
        plan.stage("nothing")
