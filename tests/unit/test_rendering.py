"""Compiled expressions to SQL: references, callers' values as literals, parameters, tags, intervals, metric filters."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from queryfleet.compiler.context import Context
from queryfleet.compiler.dialects import dialect_of
from queryfleet.compiler.parameters import resolve_parameters
from queryfleet.compiler.rendering import Renderer
from queryfleet.errors import CompileError, ForbiddenError, ParameterError
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    from collections.abc import Callable

    from queryfleet.semantic.catalog import Catalog
    from queryfleet.semantic.explore import Explore

NOW = dt.datetime(2025, 5, 20, 10, 5, tzinfo=dt.UTC)
MODEL = """\
type: model
name: orders
sql_from: "${ld.attr.schema}.orders"
sql_filter: "${TABLE}.region IN (${ld.attr.region}) OR ${TABLE}.owner = ${ld.user.email}"
case_sensitive: false
dimensions:
  - {name: id, type: number, sql: "${TABLE}.id"}
  - {name: status, type: string, sql: "${TABLE}.status", case_sensitive: true}
  - {name: region, type: string, sql: "${TABLE}.region"}
  - {name: amount, type: number, sql: "${TABLE}.amount -- gross"}
  - {name: net, type: number, sql: "${amount} / ${ld.parameters.rate}"}
  - {name: ordered_at, type: timestamp, sql: "${TABLE}.ordered_at", time_intervals: [DAY, MONTH, HOUR, fiscal, shift]}
  - {name: shipped_on, type: date, sql: "${TABLE}.shipped_on"}
  - {name: logged_at, type: timestamp, sql: "${TABLE}.logged_at", convert_timezone: false}
  - {name: month_text, type: string, sql: "'m' || ${ordered_at_month}"}
  - name: grain
    type: string
    sql: >-
      {% if ld.parameters.grain == 'day' %}a{% elsif ld.query.fields contains 'orders.ordered_at' %}b{% else
      %}${ld.parameters.label}{% endif %}
metrics:
  total: {type: sum, sql: "${net}"}
  count:
    type: count
    sql: "${id}"
    filters: [{status: "a'b"}, {region: "%x%"}, {ordered_at_month: "inThePast 2 months"}]
  ratio: {type: number, sql: "${total} / ${count}"}
  spread: {type: percentile, sql: "${amount}", percentile: 90}
"""
PROJECT = """\
parameters:
  rate: {type: number, default: 1.5}
  grain: {default: week}
  label: {}
custom_granularities:
  fiscal: {label: fiscal, sql: "year(${COLUMN} + interval 3 month)", type: number}
  shift: {label: shift, sql: "date_trunc('hour', ${COLUMN})"}
"""


@pytest.fixture
def orders(catalog_of: Callable[..., Catalog]) -> Explore:
    """Return the explore of the model."""
    catalog = catalog_of(MODEL, PROJECT)
    assert {} == dict(catalog.errors)
    return catalog.explore("orders")


def _renderer(explore: Explore, parameters: dict | None = None, **changes: object) -> Renderer:
    values = resolve_parameters(explore.parameters, parameters or {})
    context = Context(dialect=dialect_of("duckdb"), now=NOW, parameters=values)
    return Renderer(explore, replace(context, **changes))


def _selected(explore: Explore, name: str, *, grain: TimeInterval | None = None, **changes: object) -> str:
    parameters = changes.pop("parameters", None)
    return _renderer(explore, parameters, **changes).dimension(explore.dimension(f"orders_{name}"), grain=grain)


def test_reference_is_the_fields_sql_in_parentheses(orders: Explore) -> None:
    """A comment at the end of a field's SQL does not swallow what follows it."""
    assert '"orders".status' == _selected(orders, "status")
    assert '("orders".amount -- gross\n) / 1.5' == _selected(orders, "net")
    assert "'m' || (CAST(DATE_TRUNC('MONTH', \"orders\".ordered_at) AS DATE))" == _selected(orders, "month_text")


def test_parameter_is_a_literal_and_is_reported(orders: Explore) -> None:
    """What was met and what was used are told apart; a parameter without a value is an error by name."""
    renderer = _renderer(orders, {"rate": "-2"})
    assert "/ (-2)" in renderer.dimension(orders.dimension("orders_net"))
    assert {"rate"} == renderer.parameter_references
    assert [-2] == [value.to_json() for value in renderer.used_parameters.values()]
    with pytest.raises(ParameterError, match="Missing parameters: label") as caught:
        renderer.dimension(orders.dimension("orders_grain"))
    assert ["label"] == caught.value.details["missingReferences"]
    assert {"rate", "grain", "label"} == renderer.parameter_references
    assert {"rate", "grain"} == set(renderer.used_parameters)


def test_tags_decide_by_parameters_and_by_the_questions_fields(orders: Explore) -> None:
    """An interval of a field counts as the field; a branch that is not taken needs no value."""
    assert "a" == _selected(orders, "grain", parameters={"grain": "day"})
    for field in ("orders_ordered_at", "orders_ordered_at_month", "orders_ordered_at_week"):
        assert "b" == _selected(orders, "grain", fields=frozenset({field, "calculation"}))
    assert "'it''s'" == _selected(orders, "grain", parameters={"label": "it's"})


def test_row_filter_has_the_callers_values_as_literals(orders: Explore) -> None:
    """Quotes in an attribute or an address stay data."""
    (row_filter,) = orders.row_filters
    renderer = _renderer(orders, attributes={"region": ("no'rth", "south")}, email="o'neil@example.com")
    expected = "\"orders\".region IN ('no''rth', 'south') OR \"orders\".owner = 'o''neil@example.com'"
    assert expected == renderer.expression(row_filter, "orders")


def test_missing_attribute_is_forbidden_and_only_its_name_told(orders: Explore) -> None:
    """Neither the filter's SQL nor anybody's values are in the message."""
    (row_filter,) = orders.row_filters
    for changes in ({}, {"attributes": {"region": ()}}):
        with pytest.raises(ForbiddenError, match="`region`") as caught:
            _renderer(orders, **changes).expression(row_filter, "orders")
        assert "owner" not in caught.value.message
    with pytest.raises(ForbiddenError, match="e-mail"):
        _renderer(orders, attributes={"region": ("a",)}).expression(row_filter, "orders")


@pytest.mark.parametrize("value", ["a b", "a;b", "a'", "a--b", "", "ä", "a\n", '"a"'])
def test_attribute_in_from_must_look_like_a_name(orders: Explore, value: str) -> None:
    """It is inserted as it is, so anything else than a name is refused, without repeating it."""
    with pytest.raises(ForbiddenError, match="`schema`") as caught:
        _renderer(orders, attributes={"schema": (value,)}).source(orders.tables["orders"])
    assert not value or f"`{value}`" not in caught.value.message
    found = _renderer(orders, attributes={"schema": ("my-db.Team_1",)}).source(orders.tables["orders"])
    assert "my-db.Team_1.orders" == found


def test_interval_is_cut_in_the_querys_zone(orders: Explore) -> None:
    """A field that is never shifted, a date, and a zone that is the session's need no shift."""
    zone = {"timezone": "America/New_York"}
    local = "(CAST(\"orders\".ordered_at AS TIMESTAMPTZ) AT TIME ZONE 'America/New_York')"
    assert f"CAST({local} AS DATE)" == _selected(orders, "ordered_at_day", **zone)
    assert 'CAST("orders".ordered_at AS DATE)' == _selected(orders, "ordered_at_day")
    assert 'CAST("orders".logged_at AS DATE)' == _selected(orders, "logged_at_day", **zone)
    assert 'CAST("orders".shipped_on AS DATE)' == _selected(orders, "shipped_on_day", **zone)
    assert '"orders".ordered_at' == _selected(orders, "ordered_at", **zone)


def test_grain_replaces_the_interval_where_it_is_possible(orders: Explore) -> None:
    """A zoomed field holds the new period; a date has no hours."""
    year = "CAST(DATE_TRUNC('YEAR', \"orders\".ordered_at) AS DATE)"
    assert year == _selected(orders, "ordered_at_month", grain=TimeInterval.YEAR)
    assert year == _selected(orders, "ordered_at_fiscal", grain=TimeInterval.YEAR)
    assert '"orders".shipped_on' == _selected(orders, "shipped_on", grain=TimeInterval.HOUR)


def test_granularity_of_the_project_sees_the_zones_clock(orders: Explore) -> None:
    """Its column is the wall clock, and a moment it yields is turned back into an instant."""
    local = "(CAST(\"orders\".ordered_at AS TIMESTAMPTZ) AT TIME ZONE 'Asia/Kolkata')"
    assert 'year(("orders".ordered_at) + interval 3 month)' == _selected(orders, "ordered_at_fiscal")
    assert f"year({local} + interval 3 month)" == _selected(orders, "ordered_at_fiscal", timezone="Asia/Kolkata")
    assert f"(CAST(date_trunc('hour', {local}) AS TIMESTAMP) AT TIME ZONE 'Asia/Kolkata')" == _selected(
        orders, "ordered_at_shift", timezone="Asia/Kolkata"
    )


def test_moment_of_another_data_zone_is_selected_as_an_instant(orders: Explore) -> None:
    """A client must not take the warehouse's clock for UTC."""
    zone = {"data_timezone": "Europe/Oslo", "timezone": "Europe/Oslo"}
    assert 'CAST("orders".ordered_at AS TIMESTAMPTZ)' == _selected(orders, "ordered_at", **zone)
    assert '"orders".logged_at' == _selected(orders, "logged_at", **zone)
    snowflake = _selected(orders, "ordered_at", dialect=dialect_of("snowflake"))
    assert "CAST(CONVERT_TIMEZONE('UTC', \"orders\".ordered_at) AS TIMESTAMP_NTZ)" == snowflake


def test_filters_of_a_metric_choose_the_rows_it_aggregates(orders: Explore) -> None:
    """They are always case sensitive, counted from now, and asked of an interval's base."""
    assert (
        "CASE WHEN ((\"orders\".status IN ('a''b')) AND (\"orders\".region LIKE '%x%' ESCAPE '!') "
        "AND (\"orders\".ordered_at >= TIMESTAMPTZ '2025-04-01 00:00:00.000+00:00' "
        "AND \"orders\".ordered_at < TIMESTAMPTZ '2025-06-01 00:00:00.000+00:00')) "
        'THEN (("orders".id)) ELSE NULL END'
    ) == _renderer(orders).argument(orders.metric("orders_count"))


def test_metric_refers_to_metrics_by_their_aggregates(orders: Explore) -> None:
    """An expression holds each metric it mentions in parentheses."""
    written = _renderer(orders).metric(orders.metric("orders_ratio"))
    assert written.startswith("(SUM(((")
    assert ") / (COUNT(CASE WHEN " in written
    spread = _renderer(orders).metric(orders.metric("orders_spread"))
    assert 'QUANTILE_CONT(CAST(("orders".amount -- gross\n) AS DOUBLE), 0.9)' == spread


def test_filter_target_knows_case_base_and_zone(orders: Explore) -> None:
    """The nearest setting of case is the field's, then the table's; an interval knows what it cuts."""
    renderer = _renderer(orders)
    assert renderer.filter_target(orders.dimension("orders_status")).case_sensitive is True
    assert renderer.filter_target(orders.dimension("orders_region")).case_sensitive is False
    month = renderer.filter_target(orders.dimension("orders_ordered_at_month"))
    assert ('"orders".ordered_at', TimeInterval.MONTH) == (month.base_sql, month.interval)
    hour = renderer.filter_target(orders.dimension("orders_ordered_at_hour"))
    assert (None, None) == (hour.base_sql, hour.interval)
    assert not renderer.filter_target(orders.dimension("orders_logged_at")).shifted
    assert '("orders".amount -- gross\n)' == renderer.filter_target(orders.dimension("orders_amount")).sql


def test_tables_are_those_a_field_reaches(orders: Explore) -> None:
    """By field id, or of an expression."""
    renderer = _renderer(orders)
    assert {"orders"} == renderer.tables("orders_total") == renderer.tables(orders.row_filters[0])


def test_field_that_could_not_be_compiled_says_why(orders: Explore) -> None:
    """A failed field is an error with its reason."""
    failed = replace(orders.dimension("orders_net"), expression=None, error="it refers to nothing")
    with pytest.raises(CompileError, match="`orders_net` cannot be used: it refers to nothing"):
        _renderer(orders).dimension(failed)
