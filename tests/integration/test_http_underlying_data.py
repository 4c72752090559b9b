"""Drill-downs over HTTP: the same rows whether a stored result or the warehouse has them, and which of them had."""

from __future__ import annotations

import uuid

import pytest

from serve_app.accounts import token_hash
from tests.fixtures.http_app import error_of
from tests.fixtures.market import raw
from tests.fixtures.statuses import PROJECT
from tests.integration.test_http_saved_queries import results, rule, run, saved

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

WIDE = [
    "sales_sale_id",
    "sales_payment",
    "sales_amount",
    "sales_sold_at",
    "stores_store_id",
    "stores_city",
    "stores_region",
]


def every(*rules):
    return {"dimensions": {"and": list(rules)}}


async def asked(market, *dimensions, who="chief", metrics=(), **query):
    """Ask the models, and return the uuid of the query."""
    answer = await market.ask(who=who, dimensions=list(dimensions), metrics=list(metrics), **query)
    return answer.json()["results"]["queryUuid"]


async def drilled(market, source, filters=None, *, who="chief", **body):
    """Drill down twice, the second time past what is stored; both have the same rows. Returns the first answer."""
    body |= {"underlyingDataSourceQueryUuid": source, "filters": filters or {}}
    first = await results(market, "underlying-data", who=who, **body)
    again = await results(market, "underlying-data", who=who, **body, invalidateCache=True)
    assert again["answeredFrom"] == "warehouse"
    assert raw(first) == raw(again)
    for name in ("rows", "columns", "metricQuery", "fields", "totalResults"):
        assert first.get(name) == again.get(name)
    return first


async def test_underlying_data_that_a_stored_result_holds_are_chosen_from_it(market):
    """A filter, other columns' repetitions and the limit hold on stored rows as in the warehouse."""
    everything = await asked(market, *WIDE, limit=5000)
    first = await drilled(market, everything, every(rule("stores_city", "Oslo")), limit=5000)
    assert first["answeredFrom"] == "storedResult"
    assert len(raw(first)) == 120
    for rules in (
        [rule("sales_payment", "cash", "gift")],
        [rule("sales_payment", "card", operator="notEquals"), rule("sales_sale_id", 100, operator="lessThan")],
        [rule("sales_sale_id", "12", 37.0, 512), rule("stores_region", operator="notNull")],
        [rule("sales_sale_id", "7", "500", operator="inBetween")],
        [rule("stores_region", "north", includeNull=True)],
        [{"or": [rule("stores_city", "Rome"), rule("sales_sale_id", 3)]}],
        [rule("stores_city", "nowhere")],
    ):
        found = await drilled(market, everything, every(*rules), limit=40)
        assert found["answeredFrom"] == "storedResult", rules
        deeper = await drilled(market, found["queryUuid"], every(*rules, rule("stores_city", "Bari")))
        assert deeper["answeredFrom"] == ("warehouse" if len(raw(found)) == 40 else "storedResult")


async def test_underlying_data_of_the_same_groups_may_have_their_metrics(market):
    """`show_underlying_values` with a metric, on a source grouped alike; grouped otherwise the warehouse is asked."""
    dimensions = ["stores_city", "sales_payment"]
    source = await asked(market, *dimensions, metrics=["sales_sale_count"])
    chosen = await drilled(market, source, every(rule("stores_city", "Oslo")), underlyingDataItemId="sales_sale_count")
    assert chosen["answeredFrom"] == "warehouse"  # the visible dimensions of both tables are more than those two


async def test_underlying_data_go_to_the_warehouse_when_stored_rows_might_not_do(market):
    """Cut, filtered otherwise, aggregated, filtered by what is not there or not exact: never from stored rows."""
    everything = await asked(market, *WIDE, limit=5000)
    cut = await asked(market, *WIDE, limit=100)
    oslo = await asked(market, *WIDE, limit=5000, filters=every(rule("stores_city", "Oslo")))
    cities = await asked(market, "stores_city", metrics=["sales_sale_count"])
    for source, rules, body in (
        (cut, [], {}),
        (oslo, [rule("stores_region", "north")], {}),
        (cities, [rule("stores_city", "Oslo")], {}),
        (everything, [rule("sales_sold_at", "2024-01-01T08:00:00Z")], {}),
        (everything, [rule("sales_amount", 3.7)], {}),
        (everything, [rule("stores_city", "oslo", caseSensitive=False)], {}),
        (everything, [rule("stores_city", "Os", operator="startsWith")], {}),
        (everything, [rule("sales_sold_at_month", "2024-01-01")], {}),
        (everything, [], {"distinct": False}),
        (everything, [], {"parameters": {"sales.rate": 2}}),
    ):
        found = await drilled(market, source, every(*rules), limit=10, **body)
        assert found["answeredFrom"] == "warehouse", rules
    narrowed = await drilled(market, oslo, every(rule("stores_city", "Oslo"), rule("sales_payment", "card")))
    assert narrowed["answeredFrom"] == "storedResult"


async def test_underlying_data_are_those_of_the_caller_s_rights_of_today(market, api):
    """Who has fewer regions than when the query ran gets the rows of those, from the warehouse."""
    source = await asked(market, *WIDE, who="both", limit=5000)
    before = await drilled(market, source, who="both", limit=5000)
    assert before["answeredFrom"] == "storedResult"
    await api.statuses.put_token(
        token_uuid=str(uuid.uuid4()),
        token_hash=token_hash("both-today"),
        user_uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, "both")),
        name="both",
        roles={PROJECT: "viewer"},
        attributes={PROJECT: {"region": ["south"]}},
    )
    after = await drilled(market, source, who="both-today", limit=5000)
    assert after["answeredFrom"] == "warehouse"
    assert {row["stores_region"] for row in raw(after)} == {"south"}
    error_of(
        await run(market, "underlying-data", who="north", underlyingDataSourceQueryUuid=source, filters={}),
        404, "NotFoundError",
    )  # fmt: skip


async def test_underlying_data_in_an_order_of_their_own(market):
    """Numbers, texts, directions and places of NULL are as the warehouse has them."""
    everything = await asked(market, *WIDE, limit=5000)
    for sorts in (
        [{"fieldId": "stores_city", "descending": True}, {"fieldId": "sales_amount", "descending": False}],
        [{"fieldId": "sales_payment", "descending": False, "nullsFirst": True}],
    ):
        found = await drilled(market, everything, sorts=sorts, limit=77)
        assert found["answeredFrom"] == "storedResult"


async def test_equal_rows_that_were_asked_for_are_stored_and_chosen(market):
    """A source with repetitions gives them, or each row once, as the request says."""
    source = await asked(market, "stores_city")
    whole = await drilled(market, source, limit=5000, distinct=False)
    for body in ({"distinct": False}, {}):
        found = await drilled(market, whole["queryUuid"], every(rule("stores_city", "Rome")), limit=5000, **body)
        assert found["answeredFrom"] == "storedResult"


async def test_underlying_data_of_sql_are_its_own_rows(market):
    """From the stored result, whoever asks; with what it cannot tell from the warehouse, for whoever may run SQL."""
    sql = "select sale_id, payment, amount::double as amount, sold_at from sales order by sale_id limit 400"
    source = (await results(market, "sql", sql=sql))["queryUuid"]
    found = await drilled(market, source, every(rule("payment", "card")), limit=None)
    assert (found["answeredFrom"], len(raw(found))) == ("storedResult", 133)
    assert set(raw(found)[0]) == {"sale_id", "payment", "amount", "sold_at"}
    instant = next(row["sold_at"] for row in raw(found))
    one = await drilled(market, source, every(rule("sold_at", instant)))
    assert (one["answeredFrom"], len(raw(one))) == ("storedResult", 1)
    sorts = [{"fieldId": "sale_id", "descending": True}]
    last = await drilled(market, source, sorts=sorts, limit=2)
    assert [row["sale_id"] for row in raw(last)] == [399, 398]
    inexact = await drilled(market, source, every(rule("amount", 3.7)))
    assert inexact["answeredFrom"] == "warehouse"
    for body in (
        {"filters": every(rule("paymnt", "card"))},
        {"underlyingDataItemId": "x"},
        {"sorts": [{"fieldId": "x", "descending": True}]},
    ):
        wrong = {"underlyingDataSourceQueryUuid": source, "filters": {}} | body
        error = error_of(await run(market, "underlying-data", **wrong), 400, "FieldReferenceError")
        assert "`payment`" in error["message"]


async def test_underlying_data_of_a_sql_chart_are_open_to_its_readers_while_they_are_stored(market):
    """A reader who may not run SQL gets the stored rows, and is told when only the warehouse has the answer."""
    await saved(market, "sql-charts", sql="select city, region from stores order by city", slug="cities")
    source = (await results(market, "sql-chart", who="north", slug="cities"))["queryUuid"]
    body = {"underlyingDataSourceQueryUuid": source, "filters": every(rule("region", "south"))}
    found = await results(market, "underlying-data", who="north", **body)
    assert (found["answeredFrom"], [row["city"] for row in raw(found)]) == ("storedResult", ["Bari", "Rome"])
    again = await run(market, "underlying-data", who="north", **body, invalidateCache=True)
    assert "run SQL" in error_of(again, 403, "ForbiddenError")["message"]


async def test_underlying_data_of_a_pivot_are_the_flat_rows(market):
    """Of a pivoted question to the models and of pivoted SQL, in which stored rows are no longer there."""
    pivot = {
        "indexColumn": {"reference": "payment", "type": "category"},
        "valuesColumns": [{"reference": "amount", "aggregation": "sum"}],
        "groupByColumns": [{"reference": "store_id"}],
    }
    sql = "select payment, store_id, amount from sales"
    source = (await results(market, "sql", sql=sql, pivotConfiguration=pivot))["queryUuid"]
    found = await drilled(
        market, source, every(rule("payment", "card"), rule("store_id", 2)), limit=None,
        sorts=[{"fieldId": "amount", "descending": False}],
    )  # fmt: skip
    assert found["answeredFrom"] == "warehouse"
    assert len(raw(found)) == len(market.truth(f"{sql} where payment = 'card' and store_id = 2"))


async def test_repeat_of_a_drill_down_says_what_the_first_one_said(market):
    """Under one idempotency key there is one query, and one answer to where it comes from."""
    source = await asked(market, *WIDE, limit=5000)
    body = {"underlyingDataSourceQueryUuid": source, "filters": {}}
    answers = [
        await market.api.send(
            "POST", market.api.path("underlying-data"), token="chief", json=body, headers={"Idempotency-Key": "once"}
        )
        for _ in range(2)
    ]
    first, second = (answer.json()["results"] for answer in answers)
    assert first["queryUuid"] == second["queryUuid"]
    assert first["answeredFrom"] == second["answeredFrom"] == "storedResult"


async def test_underlying_data_are_the_same_on_other_databases(rides):
    """Texts whose equality is known, days of moments, and orders that only the database knows."""
    names = ["rides_ride_id", "rides_city", "rides_rider", "rides_started", "rides_started_month"]
    source = await asked(rides, *names, explore="rides")
    for rules, place in (
        ([rule("rides_city", "Oslo")], "storedResult"),
        ([rule("rides_city", operator="isNull")], "storedResult"),
        ([rule("rides_started_month", "2024-01-01")], "storedResult"),
        ([rule("rides_started_month", "2024-02-01", operator="greaterThanOrEqual")], "storedResult"),
        ([rule("rides_ride_id", 2, "5")], "storedResult"),
        ([rule("rides_started", "2024-01-03T00:00:00Z")], "warehouse"),
    ):
        found = await drilled(rides, source, every(*rules))
        assert (found["answeredFrom"], rules) == (place, rules)
