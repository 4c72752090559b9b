"""Pivots over HTTP: metric queries and SQL queries, both ways of making them, pages, warnings and bad input."""

from __future__ import annotations

import pytest

from tests.fixtures.http_app import error_of

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

BY_MONTH = {
    "indexColumn": {"reference": "rides_started_month", "type": "time"},
    "groupByColumns": [{"reference": "rides_city"}],
    "valuesColumns": [{"reference": "rides_fare", "aggregation": "any"}],
    "sortBy": [{"reference": "rides_started_month", "direction": "DESC"}],
}
BY_FARE = BY_MONTH | {"sortBy": [{"reference": "rides_fare", "direction": "DESC", "nullsFirst": False}]}
WAYS = ("sql", "distributed")


def names(results):
    return [column["pivotColumnName"] for column in results["pivotDetails"]["valuesColumns"]]


async def both(rides, configuration, **more):
    """Have a pivot made by the warehouse and by the service; they must agree, and one of them is returned."""
    found = [await rides.pivot(configuration, body={"pivotPlan": way}, **more) for way in WAYS]
    compared = [[each[name] for name in ("status", "rows", "pivotDetails", "columns", "warnings")] for each in found]
    assert compared[0] == compared[1]
    return found[0]


def months(results):
    return [row["rides_started_month"]["value"]["formatted"] for row in results["rows"]]


async def test_pivot_of_a_metric_query_is_the_known_one(rides):
    """Months from the newest, cities in order, missing cells absent, values in their field's format."""
    results = await both(rides, BY_MONTH)
    assert results["status"] == "ready", results
    assert results["rows"] == [
        {
            "rides_started_month": {"value": {"raw": "2024-03-01", "formatted": "2024-03"}},
            "rides_fare_any_Bergen": {"value": {"raw": 2, "formatted": "$2.00"}},
        },
        {
            "rides_started_month": {"value": {"raw": "2024-02-01", "formatted": "2024-02"}},
            "rides_fare_any_Oslo": {"value": {"raw": 7, "formatted": "$7.00"}},
            "rides_fare_any_<null>": {"value": {"raw": 1, "formatted": "$1.00"}},
        },
        {
            "rides_started_month": {"value": {"raw": "2024-01-01", "formatted": "2024-01"}},
            "rides_fare_any_Bergen": {"value": {"raw": 5, "formatted": "$5.00"}},
            "rides_fare_any_Oslo": {"value": {"raw": 10, "formatted": "$10.00"}},
        },
    ]
    city, fare = {"referenceField": "rides_city"}, {"referenceField": "rides_fare", "aggregation": "any"}
    shown = [("Bergen", "Bergen", "Bergen"), ("Oslo", "Oslo", "Oslo"), ("<null>", None, "∅")]
    assert results["pivotDetails"] == {
        "totalColumnCount": 3,
        "indexColumn": {"reference": "rides_started_month", "type": "time"},
        "groupByColumns": [{"reference": "rides_city"}],
        "sortBy": [{"reference": "rides_started_month", "direction": "DESC"}],
        "originalColumns": {},
        "valuesColumns": [
            fare
            | {
                "pivotColumnName": f"rides_fare_any_{suffix}",
                "columnIndex": number,
                "pivotValues": [city | {"value": value, "formatted": formatted}],
            }
            for number, (suffix, value, formatted) in enumerate(shown, 1)
        ],
    }
    assert list(results["columns"]) == ["rides_started_month", *names(results)]
    assert results["columns"]["rides_fare_any_Oslo"]["type"] == "number"
    assert (results["totalResults"], results["warnings"]) == (3, [])
    second = await rides.page(results["queryUuid"], "?page=2&pageSize=2")
    assert (second["rows"], second["totalPageCount"]) == (results["rows"][2:], 2)
    assert second["pivotDetails"] == results["pivotDetails"]


async def test_pivot_sorted_by_a_metric_orders_columns_and_rows_by_it(rides):
    """Columns by their best value; rows by their cell in the first column, a missing one last."""
    results = await both(rides, BY_FARE)
    assert names(results) == ["rides_fare_any_Oslo", "rides_fare_any_Bergen", "rides_fare_any_<null>"]
    assert months(results) == ["2024-01", "2024-02", "2024-03"]


async def test_pivot_pinned_to_a_column_orders_rows_only(rides):
    """The rows follow the column that is named, and the columns stay in their own order."""
    pin = [{"reference": "rides_city", "value": "Bergen"}]
    sort = [{"reference": "rides_fare", "direction": "ASC", "nullsFirst": False, "pivotValues": pin}]
    results = await both(rides, BY_MONTH | {"sortBy": sort})
    assert months(results) == ["2024-03", "2024-01", "2024-02"]
    assert names(results)[0] == "rides_fare_any_Bergen"


async def test_pivot_orders_names_of_months_by_the_calendar(rides):
    """Whether they are the rows or the columns, and although the query is sorted by something else."""
    month = {"reference": "rides_started_month_name"}
    configuration = {"indexColumn": month, "groupByColumns": [{"reference": "rides_city"}]}
    asked = {"dimensions": ["rides_started_month_name", "rides_city"]}
    by_rows = await both(rides, BY_MONTH | configuration | {"sortBy": []}, **asked)
    shown = [row["rides_started_month_name"]["value"]["raw"] for row in by_rows["rows"]]
    assert shown == ["January", "February", "March"]
    configuration = {"indexColumn": {"reference": "rides_city"}, "groupByColumns": [month]}
    sort = [{"reference": "rides_started_month_name", "direction": "DESC"}]
    by_columns = await both(rides, BY_MONTH | configuration | {"sortBy": sort}, **asked)
    assert names(by_columns) == [f"rides_fare_any_{month}" for month in ("March", "February", "January")]


async def test_pivot_of_sql_aggregates_in_the_warehouse(rides):
    """The statement's own limit and order do not count; its columns are told."""
    sql = "select city, extract(month from started) as month, fare from rides -- all\norder by fare limit 1"
    configuration = {
        "indexColumn": {"reference": "city", "type": "category"},
        "groupByColumns": [{"reference": "month"}],
        "valuesColumns": [{"reference": "fare", "aggregation": "sum"}, {"reference": "fare", "aggregation": "count"}],
        "sortBy": [{"reference": "city", "direction": "DESC", "nullsFirst": True}],
    }
    found = []
    for way in WAYS:
        body = {"sql": sql, "pivotConfiguration": configuration, "pivotPlan": way}
        answer = await rides.api.post(body, query="?waitMs=20000", token="chief")
        found.append(answer.json()["results"])
    results, other = found
    assert results["status"] == "ready", results
    assert (results["rows"], results["pivotDetails"]) == (other["rows"], other["pivotDetails"])
    rows = [{name: cell["value"]["raw"] for name, cell in row.items()} for row in results["rows"]]
    assert [{name: float(v) if name != "city" else v for name, v in row.items()} for row in rows] == [
        {"city": None, "fare_sum_2": 1, "fare_count_2": 1},
        {"city": "Oslo", "fare_sum_1": 10, "fare_count_1": 2, "fare_sum_2": 7, "fare_count_2": 1},
        {"city": "Bergen", "fare_sum_1": 5, "fare_count_1": 1, "fare_sum_3": 2, "fare_count_3": 1},
    ]
    details = results["pivotDetails"]
    assert details["totalColumnCount"] == 6
    assert set(details["originalColumns"]) == {"city", "month", "fare"}
    assert details["originalColumns"]["fare"] == {"reference": "fare", "type": "number"}


async def test_pivot_limits_rows_then_columns_and_says_so(rides):
    """Columns are those of the shown rows, a row without a shown cell stays, and the page tells of hidden columns."""
    settings = rides.api.services.settings.model_copy(update={"pivot_columns_max": 1})
    object.__setattr__(rides.api.services, "settings", settings)
    results = await both(rides, BY_MONTH, limit=2)
    assert months(results) == ["2024-03", "2024-02"]
    assert names(results) == ["rides_fare_any_Bergen"]
    assert list(results["rows"][1]) == ["rides_started_month"]
    assert results["pivotDetails"]["totalColumnCount"] == 3
    assert "3 columns" in results["warnings"][-1]["message"]


async def test_pivot_without_groups_keeps_its_rows(rides):
    """Rows pass through, sorted by a value, each value under its own name."""
    configuration = {
        "indexColumn": {"reference": "rides_city", "type": "category"},
        "valuesColumns": [{"reference": "rides_fare", "aggregation": "sum"}],
        "sortBy": [{"reference": "rides_fare", "direction": "DESC"}],
    }
    results = await both(rides, configuration, limit=2)
    rows = [{name: cell["value"]["formatted"] for name, cell in row.items()} for row in results["rows"]]
    assert rows == [
        {"rides_city": "Oslo", "rides_fare_sum": "$17.00"},
        {"rides_city": "Bergen", "rides_fare_sum": "$7.00"},
    ]
    assert "columnIndex" not in results["pivotDetails"]["valuesColumns"][0]


async def test_pivot_without_rows_has_no_columns(rides):
    """An empty result is a result."""
    rule = {"target": {"fieldId": "rides_city"}, "operator": "equals", "values": ["Rome"]}
    results = await both(rides, BY_MONTH, filters={"dimensions": {"and": [rule]}})
    assert (results["status"], results["rows"], results["columns"]) == ("ready", [], {})
    assert results["pivotDetails"]["valuesColumns"] == []
    assert results["pivotDetails"]["totalColumnCount"] is None


async def test_pivot_that_leaves_a_dimension_out_is_answered_with_a_warning(rides):
    """Where a cell has several values, any of them is shown: that must be said."""
    results = await rides.pivot(BY_MONTH, dimensions=["rides_started_month", "rides_city", "rides_rider"])
    assert results["status"] == "ready"
    assert "rides_rider" in results["warnings"][0]["message"]


async def test_equal_pivots_share_rows_and_other_ones_do_not(rides):
    """The cache gives the same page with its pivotDetails; another pivot of the same question is made anew."""
    first = await rides.pivot(BY_MONTH)
    again = await rides.pivot(BY_MONTH)
    assert again["cacheMetadata"]["cacheHit"] is True
    assert (again["rows"], again["pivotDetails"]) == (first["rows"], first["pivotDetails"])
    other = await rides.pivot(BY_FARE)
    assert other["cacheMetadata"]["cacheHit"] is False
    plain = await rides.ask(explore="rides", dimensions=["rides_city"], metrics=["rides_fare"])
    assert plain.json()["results"]["pivotDetails"] is None


async def test_pivot_can_be_read_as_csv(rides):
    """A file has a column for each column of the pivot; missing cells are empty."""
    results = await rides.pivot(BY_MONTH)
    path = rides.api.path(f"{results['queryUuid']}/results")
    answer = await rides.api.send("GET", path, token="chief", headers={"Accept": "text/csv"})
    assert answer.status_code == 200, answer.text
    lines = answer.text.splitlines()
    assert len(lines) == 4, answer.text
    assert lines[0].endswith("rides_fare_any_Bergen,rides_fare_any_Oslo,rides_fare_any_<null>")


async def test_pivot_that_cannot_be_is_refused(rides):
    """What is wrong is named, before anything runs."""
    before = await rides.api.query_count()

    async def refused(change, status, name, **more):
        body = {"pivotConfiguration": BY_MONTH | change, **more}
        asked = {"dimensions": ["rides_started_month", "rides_city"], "metrics": ["rides_fare"]}
        return error_of(await rides.ask(explore="rides", body=body, **asked), status, name)["message"]

    index = {"indexColumn": {"reference": "rides_city"}}
    assert "rides_city" in await refused(index, 400, "ParameterError")
    values = {"valuesColumns": [{"reference": "rides_fare", "aggregation": "median"}]}
    assert "median" in await refused(values, 400, "ParameterError")
    values = {"valuesColumns": [{"reference": "rides_riders", "aggregation": "any"}]}
    assert "rides_riders" in await refused(values, 400, "ParameterError")
    await refused({"valuesColumns": "x"}, 422, "ValidateError")
    await refused({}, 422, "ValidateError", pivotPlan="spark")
    sql = {"sql": "show tables", "pivotConfiguration": BY_MONTH}
    assert "SELECT" in error_of(await rides.api.post(sql, token="chief"), 400, "ParameterError")["message"]
    assert await rides.api.query_count() == before


async def test_sql_without_a_column_of_the_pivot_ends_in_an_error(rides):
    """The warehouse says which one is missing; the poll tells it."""
    answer = await rides.api.post(
        {"sql": "select fare from rides", "pivotConfiguration": BY_MONTH}, query="?waitMs=20000", token="chief"
    )
    results = answer.json()["results"]
    assert (results["status"], results["errorName"]) == ("error", "WarehouseQueryError")
    assert "rides_started_month" in results["error"]


async def test_pivot_orders_bins_by_their_numbers(rides):
    """Not by their text, and although the query is not sorted by them."""
    bins = {"id": "bins", "name": "bins", "type": "bin", "table": "rides", "dimensionId": "rides_ride_id"}
    bins |= {"binType": "fixed_width", "binWidth": 5}
    configuration = BY_MONTH | {"indexColumn": {"reference": "rides_city"}, "groupByColumns": [{"reference": "bins"}]}
    asked = {"dimensions": ["rides_city", "bins"], "customDimensions": [bins]}
    sort = [{"reference": "bins", "direction": "DESC"}]
    results = await both(rides, configuration | {"sortBy": sort}, **asked)
    shown = [column["pivotValues"][0]["value"] for column in results["pivotDetails"]["valuesColumns"]]
    assert len(shown) == 2
    assert shown[0].startswith("5")
    assert shown[1].startswith("0")


async def test_pivot_columns_of_one_name_are_told_apart_alike_by_both_plans(rides):
    """Columns that differ in a dimension that is not shown are numbered in their order, not as rows bring them."""
    configuration = BY_MONTH | {"sortOnlyDimensions": [{"reference": "rides_rider"}]}
    results = await both(rides, configuration, dimensions=["rides_started_month", "rides_city", "rides_rider"])
    assert [name.removeprefix("rides_fare_any_") for name in names(results)] == [
        "Bergen", "Bergen_2", "Oslo", "Oslo_2", "<null>",
    ]  # fmt: skip
    # The newest month only has the second column of Bergen.
    assert list(results["rows"][0]) == ["rides_started_month", "rides_fare_any_Bergen_2"]
