"""Saved charts, tiles of dashboards, SQL charts and drill-downs over HTTP, on real rows."""

from __future__ import annotations

import uuid

import pytest

from tests.fixtures.http_app import OTHER_PROJECT, error_of
from tests.fixtures.market import raw

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

NONE = {"dimensions": [], "metrics": [], "tableCalculations": []}
BY_CITY = {"exploreName": "sales", "dimensions": ["stores_city"], "metrics": ["sales_sale_count"], "limit": 500}


def rule(field_id, *values, operator="equals", **more):
    return {"target": {"fieldId": field_id, "tableName": "t"}, "operator": operator, "values": list(values), **more}


def dashboard_filters(*rules):
    return NONE | {"dimensions": list(rules)}


async def saved(market, collection, **body):
    answer = await market.send("POST", market.v1(collection), {"name": "x", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


async def run(market, route, *, who="chief", **body):
    return await market.send("POST", market.api.path(f"{route}?waitMs=20000"), body, who=who)


async def results(market, route, **body):
    answer = await run(market, route, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


async def chart_of(market, query=None, **body):
    return await saved(market, "saved-charts", metricQuery=BY_CITY | (query or {}), **body)


async def tile_of(market, chart, *, type_="saved_chart", key="savedChartUuid", **body):
    tile = {"type": type_, "properties": {key: chart["uuid"]}}
    board = await saved(market, "dashboards", tiles=[tile, {"type": "markdown"}], **body)
    return {"dashboardUuid": board["uuid"], "tileUuid": board["tiles"][0]["uuid"], "dashboardSorts": []}


async def test_chart_gives_what_its_question_gives(market):
    """The rows, fields and effective question of the metric query that was saved."""
    chart = await chart_of(market)
    found = await results(market, "chart", chartUuid=chart["uuid"])
    assert raw(found) == await market.rows(dimensions=BY_CITY["dimensions"], metrics=BY_CITY["metrics"])
    assert found["metricQuery"]["dimensions"] == ["stores_city"]
    assert set(found["fields"]) == {"stores_city", "sales_sale_count"}


async def test_chart_shows_each_caller_their_own_rows(market):
    """Row filters of the models hold; who has no region gets an error."""
    chart = await chart_of(market)
    cities = {row["stores_city"] for row in raw(await results(market, "chart", chartUuid=chart["uuid"], who="north"))}
    assert cities == {"Oslo", "Bergen"}
    error_of(await run(market, "chart", chartUuid=chart["uuid"], who="nobody"), 403, "ForbiddenError")


async def test_chart_with_sql_of_an_editor_runs_for_a_viewer(market):
    """Whoever may run SQL may save it; its readers need no such right, and keep their row filter."""
    calculation = {"name": "twice", "displayName": "Twice", "sql": "${sales.sale_count} * 2"}
    chart = await chart_of(market, {"tableCalculations": [calculation]})
    found = await results(market, "chart", chartUuid=chart["uuid"], who="north")
    rows = raw(found)
    for route in (f"{found['queryUuid']}/calculate-total", "underlying-data"):
        body = {"kind": "grandTotal", "underlyingDataSourceQueryUuid": found["queryUuid"], "filters": {}}
        assert (await run(market, route, who="north", **body)).status_code == 200
    assert [row["twice"] for row in rows] == [2 * row["sales_sale_count"] for row in rows]
    assert len(rows) == 2


async def test_limit_of_a_chart_request_is_its_own_the_request_s_or_the_cap(market):
    """Absent: the chart's; a number: that many; null: as many as the cells of an export."""
    chart = await chart_of(market, {"limit": 3})
    cells = market.api.services.settings.export_cells_max
    for body, limit in (({}, 3), ({"limit": 2}, 2), ({"limit": cells}, cells // 2), ({"limit": None}, cells // 2)):
        found = await results(market, "chart", chartUuid=chart["uuid"], **body)
        assert found["metricQuery"]["limit"] == limit
    error_of(await run(market, "chart", chartUuid=chart["uuid"], limit=-1), 422, "ValidateError")


async def test_filters_of_a_chart_request_are_added_to_its_own(market):
    """They narrow the chart, never replace its rules, and an unknown field is an error."""
    own = {"dimensions": {"or": [rule("stores_city", "Oslo"), rule("stores_city", "Rome")]}}
    chart = await chart_of(market, {"filters": own})
    more = {"dimensions": {"and": [rule("stores_city", "Oslo", "Bari")]}}
    found = await results(market, "chart", chartUuid=chart["uuid"], filters=more)
    assert [row["stores_city"] for row in raw(found)] == ["Oslo"]
    unknown = {"dimensions": {"and": [rule("stores_citty", "Oslo")]}}
    error = error_of(await run(market, "chart", chartUuid=chart["uuid"], filters=unknown), 400, "FieldReferenceError")
    assert "`stores_city`" in error["message"]


async def test_version_of_a_chart_that_is_named_is_the_one_that_runs(market):
    """The newest runs by default; one that does not exist is not found."""
    chart = await chart_of(market)
    changed = {"name": "x", "version": 1, "metricQuery": BY_CITY | {"dimensions": ["stores_region"]}}
    await market.send("PUT", market.v1(f"saved-charts/{chart['uuid']}"), changed)
    newest = await results(market, "chart", chartUuid=chart["uuid"])
    old = await results(market, "chart", chartUuid=chart["uuid"], versionUuid=chart["versionUuid"])
    assert (newest["metricQuery"]["dimensions"], old["metricQuery"]["dimensions"]) == (
        ["stores_region"],
        ["stores_city"],
    )
    for version in (str(uuid.uuid4()), "x"):
        error_of(await run(market, "chart", chartUuid=chart["uuid"], versionUuid=version), 404, "NotFoundError")


async def test_chart_that_cannot_be_run_says_why(market):
    """Unknown, not a uuid, of another project, of another kind, of an explore that is gone."""
    for chart_uuid in (str(uuid.uuid4()), "x"):
        error_of(await run(market, "chart", chartUuid=chart_uuid), 404, "NotFoundError")
    foreign = await market.api.send(
        "POST",
        f"/api/v1/projects/{OTHER_PROJECT}/saved-charts",
        token="stranger",
        json={"name": "x", "metricQuery": BY_CITY},
    )
    error_of(await run(market, "chart", chartUuid=foreign.json()["results"]["uuid"]), 403, "ForbiddenError")
    board = await saved(market, "dashboards")
    error_of(await run(market, "chart", chartUuid=board["uuid"]), 404, "NotFoundError")
    gone = await chart_of(market, {"exploreName": "sale"})
    error_of(await run(market, "chart", chartUuid=gone["uuid"]), 404, "NotFoundError")
    error_of(await run(market, "chart"), 422, "ValidateError")


async def test_chart_s_pivot_is_derived_when_results_are_to_be_pivoted(market):
    """Of a table its pivot columns, of a cartesian chart its axes; without any, the plain rows."""
    query = {"dimensions": ["stores_region", "sales_payment"], "metrics": ["sales_sale_count"]}
    layout = {"layout": {"xField": "stores_region", "yField": ["sales_sale_count"]}}
    pivot = {"columns": ["sales_payment"]}
    for config in ({"type": "table"}, {"type": "cartesian", "config": layout}):
        chart = await chart_of(market, query, chartConfig=config, pivotConfig=pivot, slug=config["type"])
        found = await results(market, "chart", chartUuid=chart["uuid"], pivotResults=True)
        assert [each["reference"] for each in found["pivotDetails"]["groupByColumns"]] == ["sales_payment"]
        assert {row["stores_region"]["value"]["raw"] for row in found["rows"]} == {"north", "south"}
        assert len(found["rows"]) == 2
        plain = await results(market, "chart", chartUuid=chart["uuid"])
        assert len(plain["rows"]) == 6
    for number, more in enumerate(({"pivotConfig": pivot, "chartConfig": {"type": "pie"}}, {})):
        chart = await chart_of(market, query, slug=f"plain{number}", **more)
        found = await results(market, "chart", chartUuid=chart["uuid"], pivotResults=True)
        assert len(found["rows"]) == 6


async def test_dashboard_filters_replace_narrow_and_are_dropped_as_the_tile_says(market):
    """Targets of the tile hold, `false` and unknown fields drop a rule; what holds is reported."""
    own = {"dimensions": {"and": [rule("stores_city", "Oslo", "Rome", "Bari")]}}
    chart = await chart_of(market, {"filters": own})
    tile = await tile_of(market, chart)
    uuid_ = tile["tileUuid"]
    for rules, cities, applied in (
        ([], ["Bari", "Oslo", "Rome"], []),
        ([rule("stores_city", "Bergen")], ["Bergen"], ["stores_city"]),
        ([rule("stores_region", "south")], ["Bari", "Rome"], ["stores_region"]),
        ([rule("stores_region", "south", tileTargets={uuid_: False})], ["Bari", "Oslo", "Rome"], []),
        ([rule("x", "south", tileTargets={uuid_: {"fieldId": "stores_region"}})], ["Bari", "Rome"], ["stores_region"]),
        ([rule("nowhere", "south"), rule("sales_store_id", 1)], ["Bari", "Oslo", "Rome"], []),
        ([rule("stores_city", disabled=True), rule("stores_city")], ["Bari", "Oslo", "Rome"], []),
    ):
        found = await results(
            market, "dashboard-chart", chartUuid=chart["uuid"], dashboardFilters=dashboard_filters(*rules), **tile
        )
        assert sorted(row["stores_city"] for row in raw(found)) == cities, rules
        assert [each["target"]["fieldId"] for each in found["appliedDashboardFilters"]["dimensions"]] == applied
        assert found["dateZoomApplied"] is False


async def test_dashboard_filter_is_no_alternative_to_a_chart_s_rules(market):
    """In the place of a rule in an OR group it still must hold for every row, with all that it says."""
    own = {"dimensions": {"or": [rule("stores_city", "Oslo"), rule("stores_region", "south")]}}
    chart = await chart_of(market, {"filters": own})
    tile = await tile_of(market, chart)
    found = await results(
        market,
        "dashboard-chart",
        chartUuid=chart["uuid"],
        dashboardFilters=dashboard_filters(rule("stores_city", "ROME", caseSensitive=False, includeNull=True)),
        **tile,
    )
    assert [row["stores_city"] for row in raw(found)] == ["Rome"]
    (applied,) = found["appliedDashboardFilters"]["dimensions"]
    assert (applied["caseSensitive"], applied["includeNull"]) == (False, True)


async def test_dashboard_sorts_and_zoom_hold_for_the_tile(market):
    """Sorts on other columns leave the chart's; a date is shown at another interval under its own id."""
    query = {"dimensions": ["sales_sold_at_day"], "sorts": [{"fieldId": "sales_sold_at_day", "descending": False}]}
    chart = await chart_of(market, query)
    tile = await tile_of(market, chart) | {"chartUuid": chart["uuid"], "dashboardFilters": NONE}
    by_count = {"fieldId": "sales_sale_count", "descending": True}
    sorted_ = await results(market, "dashboard-chart", **tile | {"dashboardSorts": [by_count]})
    assert sorted_["metricQuery"]["sorts"] == [by_count]
    error = error_of(await run(market, "dashboard-chart", **tile | {"dashboardSorts": [{}]}), 422, "ValidateError")
    assert "dashboardSorts.0.fieldId" in error["data"]
    other = await results(market, "dashboard-chart", **tile | {"dashboardSorts": [by_count | {"fieldId": "nothing"}]})
    assert other["metricQuery"]["sorts"] == query["sorts"]
    zoomed = await results(market, "dashboard-chart", **tile, dateZoom={"granularity": "month"})
    assert zoomed["dateZoomApplied"] is True
    assert {row["sales_sold_at_day"][8:] for row in raw(zoomed)} == {"01"}
    assert len(raw(zoomed)) < len(raw(other))


async def test_parameters_of_the_request_win_over_the_dashboard_s_and_those_over_the_chart_s(market):
    """Each level speaks where the ones above it are silent; without any the poll says what is missing."""
    query = {"dimensions": ["sales_converted"], "metrics": []}
    chart = await chart_of(market, query, parameters={"sales.rate": 2})
    tile = await tile_of(market, chart, parameters={"sales.rate": {"value": 3}})
    asked = tile | {"chartUuid": chart["uuid"], "dashboardFilters": NONE}
    alone = await results(market, "chart", chartUuid=chart["uuid"])
    assert alone["usedParametersValues"] == {"sales.rate": 2}
    assert (await results(market, "dashboard-chart", **asked))["usedParametersValues"] == {"sales.rate": 3}
    asked["parameters"] = {"sales.rate": 4}
    assert (await results(market, "dashboard-chart", **asked))["usedParametersValues"] == {"sales.rate": 4}
    bare = await chart_of(market, query, slug="bare")
    found = await results(market, "chart", chartUuid=bare["uuid"])
    assert (found["status"], found["parameterReferences"]) == ("error", ["sales.rate"])


async def test_tile_that_is_missing_or_shows_something_else_is_refused(market):
    """404 for a dashboard or tile that is not there, 400 for a tile of another chart, 422 for what is left out."""
    chart, other = await chart_of(market), await chart_of(market, slug="other")
    tile = await tile_of(market, chart) | {"chartUuid": chart["uuid"], "dashboardFilters": NONE}
    for change in ({"tileUuid": str(uuid.uuid4())}, {"dashboardUuid": str(uuid.uuid4())}, {"dashboardUuid": "x"}):
        error_of(await run(market, "dashboard-chart", **tile | change), 404, "NotFoundError")
    error_of(await run(market, "dashboard-chart", **tile | {"chartUuid": other["uuid"]}), 400, "ParameterError")
    for name in ("tileUuid", "dashboardUuid", "dashboardFilters", "dashboardSorts", "chartUuid"):
        body = {key: value for key, value in tile.items() if key != name}
        assert name in error_of(await run(market, "dashboard-chart", **body), 422, "ValidateError")["data"]


async def test_sql_chart_runs_by_uuid_and_slug_with_its_limit(market):
    """A viewer may run what an editor has saved; the request's limit wins, null means all."""
    sql = "select city from stores order by city limit 4"
    chart = await saved(market, "sql-charts", sql=sql, limit=2, slug="cities")
    for body in ({"savedSqlUuid": chart["uuid"]}, {"slug": "cities"}):
        found = await results(market, "sql-chart", who="nobody", **body)
        assert [row["city"] for row in raw(found)] == ["Bari", "Bergen"]
        assert (found["parameterReferences"], found["resolvedTimezone"]) == ([], None)
        assert "metricQuery" not in found
    assert len(raw(await results(market, "sql-chart", slug="cities", limit=3))) == 3
    offset = {"sql": "select city from stores order by city limit 1 offset 1", "limit": None, "slug": "offset"}
    await saved(market, "sql-charts", **offset)
    for body, cities in (({}, ["Bergen"]), ({"limit": None}, ["Bergen", "Lost", "Oslo", "Rome"])):
        found = await results(market, "sql-chart", slug="offset", **body)
        assert [row["city"] for row in raw(found)] == cities
    assert len(raw(await results(market, "sql-chart", slug="cities", limit=None))) == 5
    error_of(await run(market, "sql-chart"), 422, "ValidateError")
    for body in ({"slug": "nothing"}, {"savedSqlUuid": str(uuid.uuid4())}):
        error_of(await run(market, "sql-chart", **body), 404, "NotFoundError")


async def test_sql_chart_refers_to_attributes_and_parameters(market):
    """They are put in quoted; who lacks one is told."""
    sql = "select city from stores where region in (${ld.attr.region}) and store_id < ${ld.parameters.sales.rate}"
    await saved(market, "sql-charts", sql=sql, slug="mine")
    found = await results(market, "sql-chart", slug="mine", who="north", parameters={"sales.rate": 2})
    assert [row["city"] for row in raw(found)] == ["Oslo"]
    assert found["usedParametersValues"] == {"sales.rate": 2}
    error = error_of(await run(market, "sql-chart", slug="mine"), 400, "ParameterError")
    assert error["data"]["missingReferences"] == ["sales.rate"]
    error_of(
        await run(market, "sql-chart", slug="mine", who="nobody", parameters={"sales.rate": 2}), 403, "ForbiddenError"
    )
    await saved(market, "sql-charts", sql="select 1 as n where 1 < ${ld.parameters.nothing}", slug="wrong")
    error_of(await run(market, "sql-chart", slug="wrong"), 400, "ParameterError")


@pytest.mark.parametrize("path", ["sql", "sql-chart"])
async def test_sql_is_filled_with_what_the_caller_has(market, path):
    """SQL that is sent refers to parameters and attributes as saved SQL does; a comment stays one."""
    where = "region in (${ld.attr.region}) and 1 < ${ld.parameters.sales.rate}"
    sql = "select city from stores -- ${ld.attr.region}\nwhere " + where
    if path == "sql":
        body = {"sql": sql}
    else:
        await saved(market, "sql-charts", sql=sql, slug="filled")
        body = {"slug": "filled"}
    found = await results(market, path, **body, who="analyst", parameters={"sales.rate": 2})
    assert {row["city"] for row in raw(found)} == {"Oslo", "Bergen"}
    assert (found["parameterReferences"], found["usedParametersValues"]) == (["sales.rate"], {"sales.rate": 2})
    error = error_of(await run(market, path, **body), 400, "ParameterError")
    assert error["data"]["missingReferences"] == ["sales.rate"]


@pytest.mark.parametrize("path", ["sql", "sql-chart"])
async def test_value_inside_quotes_is_refused(market, path):
    """A text between the author's own quotes would end them, and its rest would be SQL."""
    sql = "select city from stores where region = '${ld.attr.region}'"
    if path == "sql":
        body = {"sql": sql}
    else:
        await saved(market, "sql-charts", sql=sql, slug="quoted")
        body = {"slug": "quoted"}
    error = error_of(await run(market, path, **body), 400, "ParameterError")
    assert "inside quotes" in error["message"]
    number = await results(market, "sql", sql="select '${ld.parameters.sales.rate}' as n", parameters={"sales.rate": 2})
    assert [row["n"] for row in raw(number)] == ["2"]


async def test_sign_before_a_value_stays_a_sign(market):
    """Minus and a negative number are no comment, and a letter before a text makes no other kind of it."""
    body = {"sql": "select 1 -${ld.parameters.sales.rate} as n", "parameters": {"sales.rate": -2}}
    assert [row["n"] for row in raw(await results(market, "sql", **body))] == [3]


async def test_sql_chart_that_writes_is_refused(market):
    """Only reading statements run, whatever was saved, and only one."""
    await saved(market, "sql-charts", sql="drop table stores", slug="drop")
    error_of(await run(market, "sql-chart", slug="drop"), 403, "ForbiddenError")
    await saved(market, "sql-charts", sql="select 1) as x; drop table stores --", slug="two")
    answer = await run(market, "sql-chart", slug="two")
    assert answer.status_code in (400, 403)


async def test_sql_chart_s_layout_is_its_pivot(market):
    """`x` is the index, `y` the values with their aggregation, `groupBy` the columns."""
    layout = {
        "x": {"reference": "region", "type": "category"},
        "y": [{"reference": "n", "aggregation": "sum"}],
        "groupBy": [{"reference": "payment"}],
    }
    sql = "select region, payment, 1 as n from sales join stores using (store_id) where region is not null"
    await saved(
        market, "sql-charts", sql=sql, limit=None, slug="p", config={"type": "vertical_bar", "fieldConfig": layout}
    )
    found = await results(market, "sql-chart", slug="p")
    assert len(found["rows"]) == 2
    assert {each["pivotColumnName"] for each in found["pivotDetails"]["valuesColumns"]} == {
        f"n_sum_{payment}" for payment in ("card", "cash", "gift")
    }


async def test_dashboard_sql_chart_takes_rules_on_sql_columns_alone(market):
    """The filter is inside the limit, rules without such a target are dropped, and a literal stays one."""
    sql = "select city, region, store_id from stores order by city limit 2 -- first"
    chart = await saved(
        market, "sql-charts", sql=sql, limit=None, columns=[{"reference": "store_id", "type": "number"}]
    )
    tile = await tile_of(market, chart, type_="sql_chart", key="savedSqlUuid") | {"savedSqlUuid": chart["uuid"]}

    def of_column(name, *values, **more):
        target = {"fieldId": name, "tableName": "sql", "isSqlColumn": True}
        return rule("stores_region", *values, tileTargets={tile["tileUuid"]: target}, **more)

    for rules, cities in (
        ([], {"Bari", "Bergen"}),
        ([rule("stores_region", "south")], {"Bari", "Bergen"}),
        ([of_column("region", "south")], {"Bari", "Rome"}),
        ([of_column("region", "it's -- \\")], set()),
        ([of_column("store_id", 3, operator="greaterThanOrEqual"), of_column("region", "south")], {"Bari", "Rome"}),
    ):
        found = await results(market, "dashboard-sql-chart", dashboardFilters=dashboard_filters(*rules), **tile)
        assert {row["city"] for row in raw(found)} == cities, rules
        applied = [each["target"]["fieldId"] for each in found["appliedDashboardFilters"]["dimensions"]]
        assert applied == [each["tileTargets"][tile["tileUuid"]]["fieldId"] for each in rules if "tileTargets" in each]
    sorts = {"dashboardSorts": [{"fieldId": "store_id", "descending": True}]}
    found = await results(market, "dashboard-sql-chart", dashboardFilters=NONE, **tile | sorts)
    assert [row["store_id"] for row in raw(found)] == [5, 4]
    wrong = dashboard_filters(of_column('a"b', "x"))
    error_of(await run(market, "dashboard-sql-chart", dashboardFilters=wrong, **tile), 400, "FieldReferenceError")


async def test_underlying_data_of_a_cell_are_its_rows(market):
    """All visible dimensions of the tables in play, the rows that the filters and the row filter let through."""
    source = await results(market, "metric-query", query=BY_CITY, who="north")
    asked = {"underlyingDataSourceQueryUuid": source["queryUuid"], "underlyingDataItemId": "sales_sale_count"}
    asked["filters"] = {"dimensions": {"and": [rule("stores_city", "Oslo")]}}
    found = await results(market, "underlying-data", **asked, who="north")
    names = ["sales_sale_id", "sales_payment", "sales_amount", "sales_sold_at"]
    assert list(found["fields"]) == [*names, "stores_store_id", "stores_city", "stores_region"]
    counted = next(row["sales_sale_count"] for row in raw(source) if row["stores_city"] == "Oslo")
    assert len(raw(found)) == counted
    assert {row["stores_city"] for row in raw(found)} == {"Oslo"}
    assert found["metricQuery"]["limit"] == 500
    asked["filters"] = {"dimensions": {"and": [rule("stores_city", "Rome")]}}
    assert raw(await results(market, "underlying-data", **asked, who="north")) == []
    asked["limit"] = 1
    asked["sorts"] = [{"fieldId": "sales_amount", "descending": True}]
    asked["filters"] = {}
    assert len(raw(await results(market, "underlying-data", **asked, who="north"))) == 1


async def test_underlying_data_of_a_query_that_is_not_the_caller_s_is_not_found(market):
    """Another user's, unknown, not a uuid: 404; a column that a SQL query lacks and an unknown item: 400."""
    source = await results(market, "metric-query", query=BY_CITY)
    asked = {"underlyingDataSourceQueryUuid": source["queryUuid"], "filters": {}}
    error_of(await run(market, "underlying-data", **asked, who="north"), 404, "NotFoundError")
    for query_uuid in (str(uuid.uuid4()), "x"):
        body = asked | {"underlyingDataSourceQueryUuid": query_uuid}
        error_of(await run(market, "underlying-data", **body), 404, "NotFoundError")
    sql = await results(market, "sql", sql="select 1 as n")
    body = asked | {"underlyingDataSourceQueryUuid": sql["queryUuid"], "underlyingDataItemId": "m"}
    error_of(await run(market, "underlying-data", **body), 400, "FieldReferenceError")
    body = asked | {"underlyingDataItemId": "sales_sale_cnt"}
    error = error_of(await run(market, "underlying-data", **body), 400, "FieldReferenceError")
    assert "`sales_sale_count`" in error["message"]
    body = asked | {"filters": {"dimensions": {"and": [rule("nowhere", 1)]}}}
    error_of(await run(market, "underlying-data", **body), 400, "FieldReferenceError")
    error_of(
        await run(market, "underlying-data", underlyingDataSourceQueryUuid=source["queryUuid"]), 422, "ValidateError"
    )


async def test_underlying_data_of_a_zoomed_chart_filter_at_the_shown_grain(market):
    """The clicked month is the whole month, though the column's id is that of a day."""
    query = {"dimensions": ["sales_sold_at_day"]}
    chart = await chart_of(market, query)
    tile = await tile_of(market, chart) | {"chartUuid": chart["uuid"], "dashboardFilters": NONE}
    source = await results(market, "dashboard-chart", **tile, dateZoom={"granularity": "month"})
    month = raw(source)[1]
    asked = {"underlyingDataSourceQueryUuid": source["queryUuid"], "underlyingDataItemId": "sales_sale_count"}
    asked["filters"] = {"dimensions": {"and": [rule("sales_sold_at_day", month["sales_sold_at_day"])]}}
    assert len(raw(await results(market, "underlying-data", **asked))) == month["sales_sale_count"]


async def test_files_of_a_project_become_content_and_problems_name_their_line(market):
    """A push stores charts and dashboards; one that is wrong changes nothing."""
    files = market.files() | {
        "charts/by-city.yml": "name: By city\ntableName: sales\nmetricQuery:\n  dimensions: [stores_city]\n"
        "  metrics: [sales_sale_count]\nversion: 1\n",
        "charts/ones.yml": "name: Ones\nsql: select 1 as n\n",
        "dashboards/main.yml": "name: Main\ntiles:\n  - type: saved_chart\n    properties: {chartSlug: by-city}\n"
        "filters:\n  dimensions:\n    - target: {fieldId: stores_region}\n      operator: equals\n"
        "      values: [south]\n      tileTargets:\n        by-city: {fieldId: stores_city}\n",
    }
    answer = await market.send("PUT", market.v1("models"), {"files": files}, who="boss")
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"]["content"] == {"created": 3, "updated": 0, "deleted": 0, "unchanged": 0}
    board = (await market.send("GET", market.v1("dashboards/main"))).json()["results"]
    tile = board["tiles"][0]["uuid"]
    assert list(board["filters"]["dimensions"][0]["tileTargets"]) == [tile]
    chart = (await market.send("GET", market.v1("saved-charts/by-city"))).json()["results"]
    found = await results(
        market,
        "dashboard-chart",
        chartUuid=chart["uuid"],
        dashboardUuid=board["uuid"],
        tileUuid=tile,
        dashboardFilters=NONE,
        dashboardSorts=[],
    )
    assert len(raw(found)) == 4
    files["charts/by-city.yml"] = (
        files["charts/by-city.yml"].replace("dimensions:", "dimension:").replace("table", "tab")
    )
    error = error_of(await market.send("PUT", market.v1("models"), {"files": files}, who="boss"), 400, "CompileError")
    (problem,) = [each for each in error["data"]["problems"] if each["severity"] == "error"]
    assert (problem["file"], problem["line"]) == ("charts/by-city.yml", 2)
    assert "`tableName`" in problem["message"]
    assert (await market.send("GET", market.v1("saved-charts/by-city"))).json()["results"]["version"] == 1


async def test_query_of_a_chart_is_repeated_under_its_idempotency_key(market):
    """The same request under the same key is the same query; after the chart has changed it is a conflict."""
    chart = await chart_of(market)
    path, body = market.api.path("chart"), {"chartUuid": chart["uuid"]}

    async def ask():
        return await market.api.send("POST", path, token="chief", json=body, headers={"Idempotency-Key": "k"})

    first, second = await ask(), await ask()
    assert first.json()["results"]["queryUuid"] == second.json()["results"]["queryUuid"]
    await market.send(
        "PUT", market.v1(f"saved-charts/{chart['uuid']}"), {"name": "y", "version": 1, "metricQuery": BY_CITY}
    )
    error_of(await ask(), 409, "ConflictError")


async def test_sql_tile_is_filtered_limited_and_pivoted_on_each_warehouse(rides):
    """Rule, own limit and offset, order and pivot together, in the words of the warehouse."""
    sql = "select city, rider, fare from rides where city is not null order by ride_id limit 4 offset 1"
    columns = [{"reference": "city", "type": "string"}, {"reference": "fare", "type": "number"}]
    chart = await saved(rides, "sql-charts", sql=sql, limit=None, columns=columns, slug="plain")
    tile = await tile_of(rides, chart, type_="sql_chart", key="savedSqlUuid") | {"savedSqlUuid": chart["uuid"]}
    target = {"fieldId": "fare", "tableName": "sql", "isSqlColumn": True}
    least = rule("any", 4, operator="greaterThanOrEqual", tileTargets={tile["tileUuid"]: target})
    body = {"dashboardFilters": dashboard_filters(least)} | tile
    body["dashboardSorts"] = [{"fieldId": "fare", "descending": True, "nullsFirst": False}]
    found = await results(rides, "dashboard-sql-chart", **body)
    assert [(row["city"], row["fare"]) for row in raw(found)] == [("Oslo", 6), ("Bergen", 5), ("Oslo", 4)]
    layout = {"x": {"reference": "rider"}, "y": [{"reference": "fare", "aggregation": "sum"}]}
    layout["groupBy"] = [{"reference": "city"}]
    config = {"type": "line", "fieldConfig": layout}
    change = {
        "name": "x",
        "version": 1,
        "sql": "select city, rider, fare from rides",
        "columns": columns,
        "config": config,
    }
    changed = await rides.send("PUT", rides.v1("sql-charts/plain"), change)
    assert changed.status_code == 200, changed.text
    found = await results(rides, "dashboard-sql-chart", **body | {"dashboardSorts": []})
    assert {each["pivotColumnName"] for each in found["pivotDetails"]["valuesColumns"]} == {
        "fare_sum_Bergen",
        "fare_sum_Oslo",
    }
