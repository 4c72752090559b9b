"""Which question shows the rows behind a value."""

from __future__ import annotations

import pytest

from queryfleet.errors import FieldReferenceError, ForbiddenError, ParameterError
from queryfleet.schemas.saved_requests import UnderlyingDataRequest
from queryfleet.settings import Settings
from queryfleet.status.record import StoredQuestion
from serve_app.models import ProjectModels
from serve_app.questions import Asker
from serve_app.underlying_data import underlying_question
from tests.fixtures.statuses import PROJECT
from tests.unit.test_queries import record

MODELS = {
    "orders.yml": """
        type: model
        name: orders
        sql_from: orders
        primary_key: order_id
        sets:
          short: {fields: [order_id, secret]}
        parameters:
          rate: {type: number}
        joins:
          - {join: customers, sql_on: "${orders.customer_id} = ${customers.customer_id}", relationship: many-to-one}
        dimensions:
          - {name: order_id, type: number, sql: "${TABLE}.order_id"}
          - {name: customer_id, type: number, sql: "${TABLE}.customer_id", hidden: true}
          - {name: status, type: string, sql: "${TABLE}.status"}
          - {name: secret, type: string, sql: "${TABLE}.secret", required_attributes: {level: chief}}
          - {name: converted, type: number, sql: "${TABLE}.x * ${ld.parameters.orders.rate}"}
          - {name: ordered_at, type: timestamp, sql: "${TABLE}.ordered_at", time_intervals: [DAY, MONTH]}
        metrics:
          revenue:
            type: sum
            sql: ${TABLE}.amount
            show_underlying_values: [short*, customers.name, order_count]
          order_count: {type: count, sql: "${order_id}"}
        """,
    "customers.yml": """
        type: model
        name: customers
        sql_from: customers
        dimensions:
          - {name: customer_id, type: number, sql: "${TABLE}.customer_id", hidden: true}
          - {name: name, type: string, sql: "${TABLE}.name"}
        """,
}
CITY = {"id": "up", "name": "up", "type": "sql", "table": "orders", "sql": "upper(status)", "dimensionType": "string"}
BIN = {
    "id": "bin",
    "name": "bin",
    "type": "bin",
    "dimensionId": "orders_order_id",
    "binType": "fixed_width",
    "binWidth": 5,
}


@pytest.fixture
def models(catalog_of):
    """Return a project with orders and customers."""
    catalog = catalog_of(MODELS)
    assert not catalog.errors, catalog.errors
    definition = {"warehouse": {"type": "duckdb", "path": "x"}}
    return ProjectModels(project_uuid=PROJECT, version=1, name="x", definition=definition, catalog=catalog)


@pytest.fixture
def drill(models):
    """Return what compiles a drill-down into a source question."""

    def drilled(item=None, *, source=None, stored=None, level=(), may_run_sql=False, **body):
        asked = {"exploreName": "orders", "dimensions": ["orders_status"], "metrics": ["orders_order_count"]}
        return underlying_question(
            UnderlyingDataRequest.model_validate(
                {"underlyingDataSourceQueryUuid": "x", "filters": {}, "underlyingDataItemId": item} | body
            ),
            record(),
            StoredQuestion(
                question={"metricQuery": asked | (source or {})} | (stored or {}), pivot=None, sql="", cache_key=None
            ),
            models=models,
            asker=Asker(attributes={"level": level} if level else {}, may_run_sql=may_run_sql),
            settings=Settings(),
        )

    return drilled


def selected(asked):
    query = asked.members["metricQuery"]
    return query["dimensions"], query["metrics"]


def test_metric_that_lists_columns_shows_exactly_those(drill):
    """Sets, other tables and metrics count; what is not the caller's is left out."""
    columns = ["orders_order_id", "customers_name"]
    assert selected(drill("orders_revenue")) == (columns, ["orders_order_count"])
    dimensions, _ = selected(drill("orders_revenue", level=("chief",)))
    assert dimensions == ["orders_order_id", "orders_secret", "customers_name"]


def test_without_a_list_the_visible_dimensions_of_the_tables_in_play_are_shown(drill):
    """Hidden ones, those that lack a parameter, and intervals of a date that is shown itself are left out."""
    names = ["orders_order_id", "orders_status", "orders_ordered_at"]
    assert selected(drill()) == (names, [])
    assert selected(drill("orders_order_count")) == (names, [])
    source = {"dimensions": ["customers_name"]}
    assert selected(drill(source=source)) == ([*names, "customers_name"], [])
    assert selected(drill(parameters={"orders.rate": 2}))[0] == [*names[:2], "orders_converted", names[2]]
    assert selected(drill(stored={"parameters": {"orders.rate": 2}}))[0][2] == "orders_converted"


def test_custom_sql_dimensions_stay_and_bins_go(drill):
    """They need the right to run SQL, unless a saved chart brought them; a bin can still be filtered."""
    source = {"dimensions": ["up", "bin"], "customDimensions": [CITY, BIN]}
    rule = {"target": {"fieldId": "bin"}, "operator": "equals", "values": ["0 - 5"]}
    asked = drill(source=source, may_run_sql=True, filters={"dimensions": {"and": [rule]}})
    assert selected(asked)[0][-1] == "up"
    assert "bin" not in selected(asked)[0]
    with pytest.raises(ForbiddenError):
        drill(source=source)
    assert selected(drill(source=source, stored={"chartUuid": "c"}))[0][-1] == "up"


def test_equal_rows_stay_when_they_are_asked_for(drill):
    """`distinct: false` leaves the grouping out, and is refused together with metrics."""
    assert "GROUP BY" in drill().question.sql
    assert "GROUP BY" not in drill(distinct=False).question.sql
    with pytest.raises(ParameterError, match="distinct"):
        drill("orders_revenue", distinct=False)


def test_date_zoom_of_the_source_holds_for_the_filters(drill):
    """A zoomed day is compared as the month it shows; without a zoom as the day it is."""
    rule = {"target": {"fieldId": "orders_ordered_at_day"}, "operator": "equals", "values": ["2024-02-01"]}
    body = {"source": {"dimensions": ["orders_ordered_at_day"]}, "filters": {"dimensions": {"and": [rule]}}}

    def filtered(**more):
        group = drill(**body, **more).members["metricQuery"]["filters"]["dimensions"]
        return group["and"][0]["target"]["fieldId"]

    assert filtered() == "orders_ordered_at_day"
    assert filtered(dateZoom={"granularity": "MONTH"}) == "orders_ordered_at_month"
    assert filtered(stored={"dateZoom": {"granularity": "month"}}) == "orders_ordered_at_month"


def test_unknown_item_is_refused_and_sql_needs_the_right_to_run_it(drill, models):
    """The message has the nearest name; items of the source's own are known."""
    with pytest.raises(FieldReferenceError, match="`orders_revenue`"):
        drill("orders_revenu")
    calculation = {"name": "c", "displayName": "c", "formula": "=orders_order_count"}
    assert selected(drill("c", source={"tableCalculations": [calculation]}))[0]
    body = UnderlyingDataRequest.model_validate({"underlyingDataSourceQueryUuid": "x", "filters": {}})
    source = StoredQuestion(question=None, pivot=None, sql="select 1 as n", cache_key=None)
    with pytest.raises(ForbiddenError, match="run SQL"):
        underlying_question(body, record(), source, models=models, asker=Asker(), settings=Settings())
    editor = Asker(may_run_sql=True)
    asked = underlying_question(body, record(), source, models=models, asker=editor, settings=Settings())
    assert "(\nselect 1 as n\n)" in asked.question.sql
