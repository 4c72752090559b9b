"""Questions to models over HTTP: answers, errors, and who sees what."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures.http_app import error_of
from tests.fixtures.market import CITIES, raw
from tests.fixtures.statuses import PROJECT

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

BY_CITY = {"dimensions": ["stores_city"], "metrics": ["sales_revenue", "sales_sale_count"]}
TRUTH = (
    "select city, sum(amount)::double, count(*) from sales join stores using (store_id) where region in ({}) group by 1"
)


def equals(field_id, *values, operator="equals"):
    """Return a filter of one rule."""
    return {"and": [{"target": {"fieldId": field_id}, "operator": operator, "values": list(values)}]}


async def test_answer_has_everything_the_protocol_names(market):
    """Question, fields in order, warnings, parameters, zone; and with `waitMs` the rows, shown as the models say."""
    answer = await market.ask(**BY_CITY, sorts=[{"fieldId": "stores_city", "descending": False}], limit=2)
    results = answer.json()["results"]
    assert list(results["fields"]) == ["stores_city", "sales_revenue", "sales_sale_count"]
    assert results["fields"]["sales_revenue"]["label"] == "Revenue"
    assert (results["warnings"], results["parameterReferences"], results["usedParametersValues"]) == ([], [], {})
    assert (results["cacheMetadata"], results["resolvedTimezone"]) == ({"cacheHit": False}, "Europe/Berlin")
    assert results["metricQuery"]["exploreName"] == "sales"
    assert "appliedDashboardFilters" not in results
    first = results["rows"][0]
    assert first["stores_city"]["value"] == {"raw": "Bari", "formatted": "Bari"}
    amount = first["sales_revenue"]["value"]
    assert amount["formatted"] == f"€{round(amount['raw']):,}"
    polled = await market.api.poll(results["queryUuid"], "?page=1&pageSize=1", token="chief")
    assert polled.json()["results"]["rows"] == [first]
    assert polled.json()["results"]["resolvedTimezone"] == "Europe/Berlin"


async def test_rows_are_those_of_the_caller_and_equal_the_truth(market):
    """Every person's sums are over the rows of their own regions."""
    for who, regions in (("north", "'north'"), ("south", "'south'"), ("both", "'north', 'south'")):
        rows = await market.rows(**BY_CITY, who=who)
        found = sorted((row["stores_city"], row["sales_sale_count"], round(row["sales_revenue"], 6)) for row in rows)
        truth = market.truth(TRUTH.format(regions))
        assert found == sorted((city, count, round(total, 6)) for city, total, count in truth)


async def test_person_without_the_attribute_gets_an_error_not_all_rows(market):
    """The message names the attribute, and nothing of the filter's SQL."""
    error = error_of(await market.ask(**BY_CITY, who="nobody"), 403, "ForbiddenError")
    assert "region" in error["message"]
    assert "exists" not in error["message"]


async def test_limit_above_the_maximum_is_lowered_with_a_warning(market):
    """Nothing looks complete that is not."""
    most = market.api.services.settings.row_limit_max
    answer = await market.ask(dimensions=["stores_city"], limit=most + 1)
    results = answer.json()["results"]
    assert str(most) in results["warnings"][0]["message"]
    assert results["metricQuery"]["limit"] == most


async def test_names_that_are_wrong_get_the_nearest_right_one(market):
    """Explores, fields and operators: each error says what to write, none costs a query."""
    before = await market.api.query_count()
    error = error_of(await market.ask(explore="sale", dimensions=["x"]), 404, "NotFoundError")
    assert "`sales`" in error["message"]
    error = error_of(await market.ask(dimensions=["sales_paymnt"]), 400, "FieldReferenceError")
    assert "`sales_payment`" in error["message"]
    filters = {"dimensions": equals("sales_payment", "x", operator="equal")}
    assert "`equals`" in error_of(await market.ask(**BY_CITY, filters=filters), 400, "ParameterError")["message"]
    error_of(await market.ask(), 400, "ParameterError")
    error_of(await market.ask(dimensions=[1]), 422, "ValidateError")
    error_of(await market.ask(**BY_CITY, timezone="Mars/Base"), 400, "ParameterError")
    answer = await market.ask(**BY_CITY, sorts=[{"fieldId": "sales_payment", "descending": True}])
    error_of(answer, 400, "ParameterError")
    assert await market.api.query_count() == before


async def test_body_that_is_no_question_is_refused(market):
    """What is missing or of the wrong type is named."""
    path = market.api.path("metric-query")
    assert "query" in error_of(await market.send("POST", path, {}), 422, "ValidateError")["data"]
    error = error_of(await market.send("POST", path, {"query": {"dimensions": "x"}}), 422, "ValidateError")
    assert any("dimensions" in name for name in error["data"])
    body = {"query": {"exploreName": "sales", "metrics": ["sales_revenue"]}, "pivotConfiguration": {"indexColumn": []}}
    error_of(await market.send("POST", path, body), 400, "ParameterError")


async def test_field_that_attributes_take_away_is_forbidden_wherever_it_is_named(market):
    """Selected, filtered, sorted, computed with, or through a field made of it: 403, and no value gets out."""
    assert (await market.ask(metrics=["sales_margin", "sales_doubled_margin"])).status_code == 200
    calculation = {"name": "c", "displayName": "c", "formula": "=sales_margin"}
    additional = {"table": "sales", "name": "m", "type": "number", "sql": "${margin}"}
    asked = [
        {"metrics": ["sales_margin"]},
        {"metrics": ["sales_doubled_margin"]},
        {**BY_CITY, "filters": {"metrics": equals("sales_margin", 1, operator="greaterThan")}},
        {"metrics": ["sales_m"], "additionalMetrics": [additional]},
    ]
    for query in asked:
        error_of(await market.ask(**query, who="both"), 403, "ForbiddenError")
    for query in (
        {**BY_CITY, "sorts": [{"fieldId": "sales_margin", "descending": True}]},
        {**BY_CITY, "tableCalculations": [calculation]},
    ):
        answer = await market.ask(**query, who="both")
        assert answer.status_code in (400, 403), answer.text
    error_of(await market.ask(explore="payroll", dimensions=["payroll_store_id"], who="both"), 403, "ForbiddenError")


async def test_sql_of_the_callers_own_needs_the_right_to_run_sql(market):
    """A viewer cannot read past the row filter by a calculation, a custom dimension or a custom metric."""
    secret = "(select max(city) from stores)"
    asked = [
        {**BY_CITY, "tableCalculations": [{"name": "c", "displayName": "c", "sql": secret}]},
        {
            "dimensions": ["d"],
            "customDimensions": [
                {"id": "d", "name": "d", "type": "sql", "table": "sales", "sql": secret, "dimensionType": "string"}
            ],
        },
        {"metrics": ["sales_m"], "additionalMetrics": [{"table": "sales", "name": "m", "type": "max", "sql": secret}]},
    ]
    for query in asked:
        error = error_of(await market.ask(**query, who="north"), 403, "ForbiddenError")
        assert secret not in error["message"]
        assert (await market.ask(**query, who="chief")).status_code == 200
    own = {"table": "sales", "name": "m", "type": "max", "sql": "${amount}"}
    assert (await market.ask(metrics=["sales_m"], additionalMetrics=[own], who="north")).status_code == 200


async def test_second_statement_in_the_callers_sql_is_refused(market):
    """A question is one statement that reads."""
    calculation = {"name": "c", "displayName": "c", "sql": "1; drop table sales"}
    answer = await market.ask(**BY_CITY, tableCalculations=[calculation])
    assert answer.status_code in (400, 403), answer.text


async def test_missing_parameter_ends_the_query_not_the_request(market):
    """The answer has a uuid, and the poll says which value is missing; with the value it runs."""
    answer = await market.ask(dimensions=["sales_converted"], limit=1)
    results = answer.json()["results"]
    assert (results["status"], results["errorName"]) == ("error", "ParameterError")
    assert results["error"] == "Missing parameters: sales.rate"
    assert results["parameterReferences"] == ["sales.rate"]
    assert list(results["fields"]) == ["sales_converted"]
    answer = await market.ask(dimensions=["sales_converted"], limit=1, body={"parameters": {"sales.rate": 2}})
    results = answer.json()["results"]
    assert (results["status"], results["usedParametersValues"]) == ("ready", {"sales.rate": 2})
    wrong = await market.ask(dimensions=["sales_converted"], body={"parameters": {"sales.rate": "x"}})
    assert "sales.rate" in error_of(wrong, 400, "ParameterError")["message"]


async def test_relative_dates_count_from_the_test_clock(market):
    """A fixed clock makes the past a fixed one."""
    object.__setattr__(
        market.api.services,
        "settings",
        market.api.services.settings.model_copy(update={"test_now": "2024-02-01T00:30:00+01:00"}),
    )
    rule = {
        "target": {"fieldId": "sales_sold_at"},
        "operator": "inTheCurrent",
        "values": [1],
        "settings": {"unitOfTime": "months"},
    }
    (row,) = await market.rows(metrics=["sales_sale_count"], filters={"dimensions": {"and": [rule]}})
    ((expected,),) = market.truth(
        "select count(*) from sales join stores using (store_id) where region is not null"
        " and sold_at >= timestamp '2024-01-31 23:00:00' and sold_at < timestamp '2024-02-29 23:00:00'"
    )
    assert row["sales_sale_count"] == expected > 0


async def test_dashboard_filters_reach_the_fields_that_are_listed(market):
    """A rule takes the place of the question's own; one on a field that is not there is left out without a word."""
    filters = {"dimensions": equals("stores_city", "Oslo")}
    given = {
        "dimensions": [
            {"target": {"fieldId": "stores_city"}, "operator": "equals", "values": ["Rome", "Bari"]},
            {"target": {"fieldId": "nosuch_field"}, "operator": "equals", "values": ["x"]},
            {"target": {"fieldId": "sales_store_id"}, "operator": "equals", "values": [1]},
        ],
        "metrics": [],
        "tableCalculations": [],
    }
    answer = await market.ask(**BY_CITY, filters=filters, body={"dashboardFilters": given})
    results = answer.json()["results"]
    assert {row["stores_city"] for row in raw(results)} == {"Rome", "Bari"}
    applied = results["appliedDashboardFilters"]
    assert [rule["target"]["fieldId"] for rule in applied["dimensions"]] == ["stores_city"]
    assert (applied["metrics"], applied["tableCalculations"]) == ([], [])


async def test_date_zoom_keeps_the_id_and_says_that_it_applied(market):
    """A chart shows another granularity under the same column."""
    zoom = {"granularity": "Month", "xAxisFieldId": "sales_sold_at_day"}
    answer = await market.ask(dimensions=["sales_sold_at_day"], metrics=["sales_sale_count"], body={"dateZoom": zoom})
    results = answer.json()["results"]
    assert results["dateZoomApplied"] is True
    assert all(row["sales_sold_at_day"].endswith("-01") for row in raw(results))


async def test_equal_question_takes_the_rows_that_are_there(market):
    """The second one is a hit, with its own uuid and its own descriptions of fields; another attribute is no hit."""
    first = (await market.ask(**BY_CITY, who="north")).json()["results"]
    again = (await market.ask(**BY_CITY, who="analyst")).json()["results"]
    assert (first["cacheMetadata"]["cacheHit"], again["cacheMetadata"]["cacheHit"]) == (False, True)
    assert again["queryUuid"] != first["queryUuid"]
    assert (again["rows"], again["fields"]) == (first["rows"], first["fields"])
    other = (await market.ask(**BY_CITY, who="south")).json()["results"]
    assert other["cacheMetadata"]["cacheHit"] is False


async def test_idempotency_key_runs_a_question_once(market):
    """The same request finds the query it started; another one under the same key is a conflict."""
    query = {
        "exploreName": "sales",
        "dimensions": ["stores_city"],
        "metrics": [],
        "filters": {},
        "sorts": [],
        "limit": 5,
    }
    path, headers = market.api.path("metric-query"), {"Idempotency-Key": "k"}
    body = {"query": query | {"tableCalculations": []}}
    answers = [await market.api.send("POST", path, token="chief", json=body, headers=headers) for _ in range(2)]
    assert len({answer.json()["results"]["queryUuid"] for answer in answers}) == 1
    body["query"]["limit"] = 6
    error_of(await market.api.send("POST", path, token="chief", json=body, headers=headers), 409, "ConflictError")


async def test_compiled_query_is_the_sql_that_runs(market):
    """It is shown to those who may write SQL themselves, and to nobody else."""
    body = {
        "dimensions": ["stores_city"],
        "metrics": [],
        "filters": {},
        "sorts": [],
        "limit": 7,
        "tableCalculations": [],
    }
    path = market.v1("explores/stores/compileQuery")
    answer = await market.send("POST", path, body | {"additionalMetrics": []}, who="analyst")
    sql = answer.json()["results"]["query"]
    assert "'north'" in sql
    assert "LIMIT 7" in sql
    assert {row[0] for row in market.truth(sql)} == CITIES["north"]
    error_of(await market.send("POST", path, body, who="north"), 403, "ForbiddenError")
    error_of(await market.send("POST", path, body | {"exploreName": "sales"}), 400, "ParameterError")


async def test_history_of_a_viewer_has_no_sql_and_says_the_explore(market):
    """What a viewer asked is listed; the SQL of the row filter is not for them."""
    await market.ask(**BY_CITY, who="north")
    await market.ask(**BY_CITY, who="analyst")
    path = f"/api/v2/projects/{PROJECT}/query-history"
    for who, shows_sql in (("north", False), ("analyst", True)):
        answer = await market.send("GET", path, who=who)
        (entry,) = answer.json()["results"]["queries"]
        assert entry["exploreName"] == "sales"
        assert ("exists" in entry["sql"]) is shows_sql
        assert bool(entry["sql"]) is shows_sql


async def test_answer_shows_its_sql_to_those_who_may_run_sql(market):
    """What an analyst gets can be run again; a viewer does not see row filters."""
    sql = (await market.ask(**BY_CITY, who="analyst")).json()["results"]["sql"]
    assert {row[0] for row in market.truth(sql)} == CITIES["north"]
    assert "sql" not in (await market.ask(**BY_CITY, who="north")).json()["results"]


async def test_projects_of_a_caller_are_those_of_the_token(market):
    """A project with its name and the caller's role; others do not exist."""
    await market.api.statuses.put_project(str(uuid.uuid4()), "Hidden", {})
    answer = await market.send("GET", "/api/v1/org/projects", who="north")
    (project,) = answer.json()["results"]
    assert (project["projectUuid"], project["role"], project["type"]) == (PROJECT, "viewer", "DEFAULT")
    assert project["name"]


# Whatever is asked, through every route that gives rows: nobody sees a row of another region.
FIELDS = ["stores_city", "stores_region", "sales_payment", "sales_sold_at_month", "sales_sale_id"]
QUESTIONS = st.fixed_dictionaries(
    {
        "dimensions": st.lists(st.sampled_from(FIELDS), min_size=0, max_size=3, unique=True).map(
            lambda ids: ["stores_city", *(one for one in ids if one != "stores_city")]
        ),
        "metrics": st.lists(st.sampled_from(["sales_revenue", "sales_sale_count"]), max_size=2, unique=True),
        "filters": st.sampled_from(
            [
                {},
                {"dimensions": {"or": equals("stores_city", "Oslo", "Rome")["and"]}},
                {
                    "dimensions": {
                        "or": [*equals("sales_payment", "gift")["and"], *equals("stores_region", "south")["and"]]
                    }
                },
                {"dimensions": {"and": equals("stores_city", "x' or '1'='1")["and"]}},
                {
                    "dimensions": {
                        "or": [
                            *equals("stores_region", operator="isNull")["and"],
                            *equals("stores_city", "", operator="include")["and"],
                        ]
                    }
                },
            ]
        ),
        "limit": st.sampled_from([1, 500, None]),
    }
)


@settings(max_examples=12, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=QUESTIONS, page_size=st.integers(1, 3))
async def test_nobody_sees_rows_of_another_region(market, question, page_size):
    """Execute answers, pages of any size, cached rows, lines, field values and uuids of others show own rows only."""
    uuids = {}
    for who in ("both", "north", "south"):
        results = (await market.ask(**question, who=who)).json()["results"]
        cities = {row["stores_city"] for row in raw(results)}
        assert cities <= CITIES[who]
        uuids[who] = results["queryUuid"]
        page = await market.api.poll(results["queryUuid"], f"?page=1&pageSize={page_size}", token=who)
        assert {row["stores_city"] for row in raw(page.json()["results"])} <= CITIES[who]
        lines = await market.send("GET", market.v1(f"sqlRunner/results/{results['queryUuid']}"), who=who)
        assert lines.status_code == 200
        for city in CITIES["both"] - CITIES[who]:
            assert city not in lines.text
        for table, field_id in (("stores", "stores_city"), ("sales", "sales_sale_id")):
            body = {"table": table, "fieldId": field_id, "search": "", "limit": 10000}
            answer = await market.send("POST", market.api.path("field-values?waitMs=20000"), body, who=who)
            values = {row[field_id] for row in raw(answer.json()["results"])}
            assert values <= (CITIES[who] if table == "stores" else _sales_of(market, who))
    for owner, query_uuid in uuids.items():
        for method, path in _routes_of(market, query_uuid):
            if method == "GET":  # whatever it gives, in whatever form
                content = (await market.send(method, path, who=owner)).content
                assert not [city for city in CITIES["both"] - CITIES[owner] if city.encode() in content], path


async def test_query_of_another_user_is_nowhere_to_be_found(market):
    """Every route that takes a query's uuid answers as if there were no such query, to an admin, too."""
    query_uuid = (await market.ask(**BY_CITY, who="north")).json()["results"]["queryUuid"]
    routes = _routes_of(market, query_uuid)
    assert len(routes) >= 4
    for who in ("south", "both", "boss", "stranger"):
        for method, path in routes:
            body = None if method == "GET" else {"type": "csv", "kind": "grandTotal"}
            error_of(await market.send(method, path, body, who=who), 404, "NotFoundError")


def _routes_of(market, query_uuid):
    """Return method and path of every route of the service that takes a query's uuid."""
    names = {"projectUuid": PROJECT, "queryUuid": query_uuid, "jobId": query_uuid}
    found = []
    for path, methods in market.api.app.openapi()["paths"].items():
        if "{queryUuid}" in path or "{jobId}" in path:
            filled = path
            for name, value in names.items():
                filled = filled.replace(f"{{{name}}}", value)
            found += [(method.upper(), filled) for method in methods if "{" not in filled]
    return found


def _sales_of(market, who):
    regions = {"north": "'north'", "south": "'south'", "both": "'north', 'south'"}[who]
    sql = f"select sale_id from sales join stores using (store_id) where region in ({regions})"
    return {row[0] for row in market.truth(sql)}
