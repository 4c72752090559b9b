"""Files with a row of totals over HTTP: computed by the warehouse, last in csv and xlsx."""

from __future__ import annotations

import asyncio
import csv
import io
from urllib.parse import urlsplit

import pytest

from tests.fixtures.http_app import error_of
from tests.unit.test_export import cells_of_sheet

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

QUERY = {"dimensions": ["stores_city"], "metrics": ["sales_revenue", "sales_sale_count"]}
PIVOT = {
    "indexColumn": {"reference": "stores_city", "type": "category"},
    "valuesColumns": [{"reference": "sales_sale_count", "aggregation": "any"}],
    "groupByColumns": [{"reference": "sales_payment"}],
}


async def asked(market, *, pivot=None, who="chief", **query):
    body = {} if pivot is None else {"pivotConfiguration": pivot}
    answer = await market.ask(who=who, body=body, **(QUERY | query))
    assert answer.json()["results"]["status"] == "ready", answer.text
    return answer.json()["results"]["queryUuid"]


async def file_of(market, desk, query_uuid, *, who="chief", **body):
    """Have a file made and return its bytes."""
    path = market.api.path(f"{query_uuid}/download")
    asking = asyncio.create_task(market.send("POST", path, {"showColumnTotals": True, **body}, who=who))
    while not asking.done():
        await desk.work()
        await asyncio.sleep(0.01)
    answer = await asking
    assert answer.status_code == 200, answer.text
    link = urlsplit(answer.json()["results"]["fileUrl"])
    return (await market.api.send("GET", f"{link.path}?{link.query}", token="")).content


def lines_of(data):
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))


async def test_csv_ends_in_totals_that_the_warehouse_computed(market, desk):
    """Formatted like their columns, over all rows, those beyond the query's limit included."""
    query_uuid = await asked(market, limit=2)
    *rows, total = lines_of(await file_of(market, desk, query_uuid, type="csv"))
    assert len(rows) == 3
    (revenue, count) = market.truth(
        "select sum(amount), count(*) from sales join stores using (store_id) where region is not null"
    )[0]
    assert total == ["Total", f"€{round(revenue):,}", str(count)]
    raw = lines_of(await file_of(market, desk, query_uuid, type="csv", onlyRaw=True))
    assert raw[-1] == ["Total", str(revenue), str(count)]
    hidden = await file_of(
        market, desk, query_uuid, type="csv", hiddenFields=["stores_city"], columnOrder=["sales_sale_count"]
    )
    assert lines_of(hidden)[-1] == [str(count), f"€{round(revenue):,}"]


async def test_totals_are_those_of_what_the_caller_may_see(market, desk):
    """Row filters hold for totals, too."""
    query_uuid = await asked(market, who="north", metrics=["sales_sale_count"])
    total = lines_of(await file_of(market, desk, query_uuid, who="north", type="csv"))[-1]
    assert total == ["Total", "240"]


async def test_sheet_ends_in_a_row_of_numbers(market, desk):
    """Its cells are real numbers, as those of the rows above."""
    query_uuid = await asked(market)
    *_, above, total = cells_of_sheet(await file_of(market, desk, query_uuid, type="xlsx"))
    assert [cell[1] for cell in total[::2]] == ["Total", "480"]
    assert [cell[0] for cell in total] == [cell[0] for cell in above]


async def test_pivoted_file_has_a_total_for_each_column(market, desk):
    """Under the names of the pivot's columns; what has no total stays empty."""
    query_uuid = await asked(
        market, metrics=["sales_sale_count"], dimensions=["stores_city", "sales_payment"], pivot=PIVOT
    )
    head, *_, total = lines_of(await file_of(market, desk, query_uuid, type="csv"))
    assert head[1:] == [f"sales_sale_count_any_{each}" for each in ("card", "cash", "gift")]
    assert total == ["Total", "160", "160", "160"]
    path = market.api.path(f"{query_uuid}/schedule-download")
    flat = await market.send("POST", path, {"type": "csv", "exportPivotedData": False})
    error_of(flat, 501, "NotImplemented")


async def test_the_same_file_is_found_again_with_its_totals(market, desk):
    """Asking again runs nothing and gives the same bytes."""
    query_uuid = await asked(market)
    first = await file_of(market, desk, query_uuid, type="csv")
    count = await market.api.query_count()
    assert await file_of(market, desk, query_uuid, type="csv") == first
    assert await market.api.query_count() == count


async def test_totals_that_fail_leave_the_file_whole(market, desk, api):
    """The row is there and empty; the next request for the file asks for totals anew."""
    query_uuid = await asked(market)
    job = (
        await market.send(
            "POST", market.api.path(f"{query_uuid}/schedule-download"), {"type": "csv", "showColumnTotals": True}
        )
    ).json()
    async with api.statuses._connection() as connection:
        await connection.execute(
            "update query set status = 'error', error_name = 'WarehouseQueryError', error_message = 'x', "
            "error_status = 400 where context = 'calculateTotal'"
        )
    await desk.work()
    state = (await market.send("GET", f"/api/v1/schedulers/job/{job['results']['jobId']}/status")).json()["results"]
    assert state["status"] == "completed"
    link = urlsplit(state["details"]["fileUrl"])
    data = (await market.api.send("GET", f"{link.path}?{link.query}", token="")).content
    assert lines_of(data)[-1] == ["Total", "", ""]
    assert lines_of(await file_of(market, desk, query_uuid, type="csv"))[-1][2] == "480"
