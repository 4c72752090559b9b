"""The stock `lightdash` client, as it is on the package index, against a whole service."""

from __future__ import annotations

import importlib.util
import logging
import threading
import time

import httpx
import lightdash
import pytest
from lightdash.exceptions import LightdashAuthError, LightdashConnectionError, QueryCancelled, QueryError, QueryTimeout
from lightdash.query import _QueryExecutor
from lightdash.table_calculations import TableCalculation

from cluster.local.sample import PROJECT_UUID
from tests.fixtures.service import LEDGER_ROWS, LEDGER_UUID, SHOP_ORDERS

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

# One row of the ledger sleeps for as long as a parameter says; its default is not at all.
LONG_SQL = "select pg_sleep(600)::text as slept"


@pytest.fixture
def client(service):
    """The client, on the shop."""
    return lightdash.Client(service.process.url, service.process.token, PROJECT_UUID)


@pytest.fixture
def ledger(service):
    """The client, on the ledger in PostgreSQL."""
    return lightdash.Client(service.process.url, service.process.token, LEDGER_UUID)


@pytest.fixture
def requests_of(caplog):
    """Return what gives the requests that the client sent since it was last asked: `METHOD path`."""
    caplog.set_level(logging.DEBUG, logger="lightdash.client")

    def sent():
        messages = [record.getMessage() for record in caplog.records if record.name == "lightdash.client"]
        caplog.clear()
        lines = [message.removeprefix("Request: ") for message in messages if message.startswith("Request: ")]
        return [f"{line.split()[0]} {httpx.URL(line.split()[1]).path.rpartition('/')[2]}" for line in lines]

    return sent


def truth(service, sql):
    """Ask DuckDB itself."""
    return service.warehouses.shop_rows(sql)


# Models --------------------------------------------------------------------------------------------------------


def test_models_are_listed_with_their_fields(client):
    """Models, metrics and dimensions are found by attribute and by list, with label and description."""
    models = {model.name: model for model in client.list_models()}
    assert set(models) == {"orders", "customers", "products"}
    orders = client.models.orders
    assert (orders.label, orders.description) == ("Orders", "Orders of 2022 to 2024, one row each.")
    assert client.get_model("orders") is orders
    metrics = {metric.name: metric for metric in orders.list_metrics()}
    assert metrics["revenue"].label == "Revenue"
    assert orders.metrics.revenue.description == "Sum of all amounts."
    dimensions = {dimension.name for dimension in orders.list_dimensions()}
    assert {"status", "ordered_at", "ordered_at_month"} <= dimensions
    assert "customer_id" not in dimensions  # hidden
    assert orders.dimensions.status.field_id == "orders_status"


def test_model_that_is_not_there_gets_a_suggestion(client):
    """The client knows the names, so a typo is its own matter."""
    with pytest.raises(AttributeError, match="orders"):
        client.get_model("order")


# Queries -------------------------------------------------------------------------------------------------------


def test_chained_query_equals_the_warehouse(client, service):
    """Filter, sort, table calculation and limit: the rows are those of SQL, keyed by label."""
    orders = client.models.orders
    tenth = TableCalculation(name="tenth", sql="${orders.revenue} / 10", display_name="Tenth")
    query = (
        orders.query()
        .metrics(orders.metrics.revenue, orders.metrics.order_count)
        .dimensions(orders.dimensions.status)
        .table_calculations(tenth)
        .filter(orders.dimensions.status != "placed")
        .filter(orders.dimensions.quantity >= 2)
        .sort(orders.metrics.revenue.desc())
        .limit(3)
    )
    expected = truth(
        service,
        "select status, sum(amount)::double, count(order_id) from orders where status <> 'placed' and quantity >= 2"
        " group by 1 order by 2 desc limit 3",
    )
    rows = query.to_records()
    assert [(row["Status"], row["Orders"]) for row in rows] == [(status, count) for status, _, count in expected]
    assert [row["Revenue"] for row in rows] == pytest.approx([total for _, total, _ in expected])
    assert [row["tenth"] if "tenth" in row else row["Tenth"] for row in rows] == pytest.approx(
        [total / 10 for _, total, _ in expected]
    )


def test_filters_combined_with_or_equal_the_warehouse(client, service):
    """A composite filter keeps its meaning."""
    orders = client.models.orders
    condition = (orders.dimensions.status == ["returned", "cancelled"]) | (orders.dimensions.is_gift == True)  # noqa: E712 - builds a filter
    query = orders.query(metrics=orders.metrics.order_count, filters=condition)
    ((expected,),) = truth(service, "select count(*) from orders where status in ('returned', 'cancelled') or is_gift")
    assert query.to_records() == [{"Orders": expected}]


def test_calculation_can_be_filtered_on(client, service):
    """Rows are dropped after everything was computed."""
    orders = client.models.orders
    doubled = TableCalculation(name="doubled", sql="${orders.order_count} * 2")
    least = 2 * truth(service, "select count(*) from orders where status = 'shipped'")[0][0]
    query = (
        orders.query(metrics=[orders.metrics.order_count], dimensions=[orders.dimensions.status])
        .table_calculations(doubled)
        .filter(doubled > least)
    )
    expected = {
        status
        for status, count in truth(service, "select status, count(*) from orders group by 1")
        if 2 * count > least
    }
    assert {row["Status"] for row in query.to_records()} == expected


@pytest.mark.parametrize(("first", "count"), [(0, 0), (1, 1), (1, 7), (1, 25)], ids=["none", "one", "one page", "3.5"])
def test_results_of_any_length_are_whole_with_few_requests(client, requests_of, first, count):
    """No row, one row, one page, three and a half: the first page comes with one poll and is not read again."""
    orders = client.models.orders
    condition = (orders.dimensions.order_id >= first) & (orders.dimensions.order_id < first + count)
    query = orders.query(
        dimensions=[orders.dimensions.order_id], filters=condition, sort=orders.dimensions.order_id.asc()
    )
    result = query.limit(100).execute()
    list(requests_of())
    expected = list(range(first, first + count))
    assert [row["Order id"] for page in result.iter_pages(7) for row in page] == expected
    pages = max(1, -(-count // 7))
    assert len(requests_of()) == pages
    assert [row["Order id"] for row in result] == expected
    assert requests_of() == []  # the page of the poll was the whole result
    assert len(result) == count
    assert result.total_pages == (1 if count else 0)


def test_query_takes_the_requests_it_needs_and_no_more(client, requests_of):
    """Health once, one execute, polls, and nothing for the rows of a first page."""
    orders = client.models.orders
    orders.list_metrics()
    requests_of()
    rows = orders.query(metrics=["orders_order_count"], limit=11).to_records()
    sent = requests_of()
    assert rows == [{"Orders": SHOP_ORDERS}]
    assert (sent.count("GET health"), sent.count("POST metric-query")) == (1, 1)
    assert len(set(sent[2:])) == 1  # the rest are polls of one query


def test_large_result_comes_in_pages_of_the_largest_size(client, requests_of):
    """Twenty thousand rows are a handful of requests."""
    orders = client.models.orders
    result = orders.query(dimensions=["orders_order_id"], limit=20_000, sort=orders.dimensions.order_id.asc()).execute()
    requests_of()
    assert [row["Order id"] for row in result.to_records()] == list(range(1, 20_001))
    assert len(requests_of()) == 3


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(
            "pandas",
            marks=pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="pandas is not installed"),
        ),
        "polars",
    ],
)
def test_data_frames_have_the_rows(client, service, backend):
    """Both kinds of frames, whole and page by page."""
    orders = client.models.orders
    query = orders.query(
        metrics=[orders.metrics.order_count],
        dimensions=["orders_ordered_at_month"],
        sort=[orders.dimensions.ordered_at_month.asc()],
    )
    expected = truth(
        service, "select count(*) from orders group by date_trunc('month', ordered_at) order by min(ordered_at)"
    )
    for frame in (query.to_df(backend), query.execute().to_df_lazy(backend, page_size=7)):
        assert list(frame.columns) == ["Ordered at month", "Orders"]
        assert list(frame["Orders"]) == [count for (count,) in expected]
        assert frame["Ordered at month"][0] == "2022-01-01"


def test_joined_fields_and_values_of_every_type_come_raw(client):
    """Fields of joined tables are named by text; dates, moments, booleans and decimals keep their values."""
    orders = client.models.orders
    (row,) = orders.query(
        dimensions=[
            "customers_country",
            "orders_ordered_at",
            "orders_shipped_on",
            "orders_is_gift",
            "orders_unit_price",
        ],
        filters=orders.dimensions.order_id == 1,
    ).to_records()
    assert isinstance(row["Country"], str)
    assert row["Ordered at"].endswith("Z")
    assert isinstance(row["Is gift"], bool)
    assert isinstance(row["Unit price"], float)


def test_compiled_sql_runs_in_the_warehouse(client, service):
    """The SQL that is shown is the SQL that runs."""
    orders = client.models.orders
    query = orders.query(
        metrics=[orders.metrics.order_count],
        dimensions=[orders.dimensions.status],
        filters=orders.dimensions.status != "placed",
        sort=orders.dimensions.status.asc(),
        limit=2,
    )
    assert truth(service, query.compile()) == [(row["Status"], row["Orders"]) for row in query.to_records()]
    assert "placed" not in orders.query(metrics=["orders_order_count"]).compile()


# Slow, failing, cancelled --------------------------------------------------------------------------------------


def test_slow_query_is_polled_until_it_is_ready(ledger, service, requests_of):
    """A second of work is five polls or more, and then the rows."""
    requests_of()
    sleeping = ledger.get_model("ledger").query(dimensions=["ledger_slept"], limit=1)
    executor = _QueryExecutor(ledger)
    body = sleeping._build_payload()
    began = ledger._make_request(
        "POST",
        f"/api/v2/projects/{LEDGER_UUID}/query/metric-query",
        json={"query": body | {"filters": _one_entry()}, "parameters": {"ledger.seconds": 2}, "invalidateCache": True},
    )
    page = executor._poll_until_ready(began["queryUuid"], 60)
    assert page["totalResults"] == 1
    assert len([line for line in requests_of() if line.endswith(began["queryUuid"])]) >= 5


def _one_entry():
    return {"dimensions": {"and": [{"target": {"fieldId": "ledger_entry_id"}, "operator": "equals", "values": [1]}]}}


def test_warehouse_error_is_the_clients_query_error(ledger):
    """What the warehouse says reaches the person, with the query's uuid."""
    query = ledger.get_model("ledger").query(dimensions=["ledger_broken"])
    with pytest.raises(QueryError, match="division by zero") as caught:
        query.to_records()
    assert caught.value.query_uuid


def test_time_out_of_the_client_leaves_the_query_to_be_cancelled(ledger, service):
    """The client gives up in its own time; the query can still be ended, and is."""
    executor = _QueryExecutor(ledger)
    query_uuid = service.ledger.submit(LONG_SQL)
    with pytest.raises(QueryTimeout):
        executor._poll_until_ready(query_uuid, 0.5)
    executor.cancel(query_uuid)
    with pytest.raises(QueryCancelled):
        executor._poll_until_ready(query_uuid, 10)


def test_cancel_from_another_thread_ends_the_wait(ledger, service):
    """Whoever waits learns of it within a poll, and the warehouse has let go."""
    executor = _QueryExecutor(ledger)
    query_uuid = service.ledger.submit(LONG_SQL)
    service.ledger.wait_for(query_uuid, lambda poll: poll.get("phase") == "executing")
    canceller = threading.Thread(target=executor.cancel, args=(query_uuid,))
    canceller.start()
    try:
        with pytest.raises(QueryCancelled):
            executor._poll_until_ready(query_uuid, 30)
    finally:
        canceller.join()
    assert service.backends(query_uuid) == []


def test_refused_requests_are_the_clients_errors(client, service):
    """A bad token, a field that is not there, a limit that is too large: each is the error the client has for it."""
    stranger = lightdash.Client(service.process.url, "wrong", PROJECT_UUID)
    with pytest.raises(LightdashAuthError):
        stranger.list_models()
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        client.models.orders.query(dimensions=["orders_statu"]).to_records()
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        lightdash.Client(service.process.url, service.process.token, LEDGER_UUID[:-1] + "9").list_models()
    most = client.get_query_limits()["maxLimit"]
    with pytest.raises(ValueError, match=str(most)):
        client.models.orders.query(metrics=["orders_order_count"], limit=most + 1).to_records()
    with pytest.raises(ValueError, match="at least 1"):
        client.models.orders.query(metrics=["orders_order_count"], limit=0).to_records()


def test_service_that_is_not_there_is_a_connection_error(service):
    """The client's message says what to look at."""
    nowhere = lightdash.Client("http://127.0.0.1:9", service.process.token, PROJECT_UUID)
    with pytest.raises(LightdashConnectionError, match=r"127\.0\.0\.1:9"):
        nowhere.list_models()


def test_token_of_a_service_account_is_sent_in_both_schemes(service):
    """A token that begins like a service account's works for every call, also where the client sends it as a key."""
    from tests.fixtures.service import add_user

    token = "ldsvc_" + "a" * 30
    add_user(str(service.process.about["database_url"]), token, {PROJECT_UUID: "editor"})
    account = lightdash.Client(service.process.url, token, PROJECT_UUID)
    assert account.auth_header == "Bearer"
    assert {model.name for model in account.list_models()} == {"orders", "customers", "products"}
    assert account.sql("select 1 as n").to_records() == [{"n": 1}]


# SQL -----------------------------------------------------------------------------------------------------------


def test_sql_gives_all_rows_with_their_columns(client, service):
    """Rows, columns and their order are those of the statement, up to the limit."""
    sql = "select order_id, status, amount, ordered_at, note from orders order by order_id"
    result = client.sql(sql, limit=12_345)
    assert result.columns == ["order_id", "status", "amount", "ordered_at", "note"]
    assert [row["order_id"] for row in result] == list(range(1, 12_346))
    assert len(client.sql(sql)) == 500
    frame = client.sql("select status, count(*) as n from orders group by 1").to_df("polars")
    assert dict(frame.iter_rows()) == dict(truth(service, "select status, count(*) from orders group by 1"))


def test_sql_without_rows_has_its_columns(client):
    """Nothing found is an answer."""
    result = client.sql("select order_id from orders where false")
    assert (result.rows, result.columns) == ([], ["order_id"])


def test_sql_error_is_the_clients_query_error(client):
    """The warehouse's own words."""
    with pytest.raises(QueryError, match="nosuch"):
        client.sql("select * from nosuch")
    with pytest.raises(LightdashAuthError, match="403"):
        client.sql("drop table orders")


def test_sql_runner_lists_tables_and_their_fields(client, ledger):
    """Both warehouses tell what they hold."""
    ((_, schemas),) = client.sql_runner.tables().items()
    assert {"orders", "customers", "products"} <= set(schemas["main"])
    fields = client.sql_runner.fields("orders")
    assert (fields["order_id"], fields["status"], fields["ordered_at"]) == ("number", "string", "timestamp")
    ((_, schemas),) = ledger.sql_runner.tables().items()
    assert "ledger" in schemas["public"]
    fields = ledger.sql_runner.fields("ledger", schema="public")
    assert list(fields)[:3] == ["entry_id", "big", "small"]
    assert (fields["is_even"], fields["booked_on"], fields["seen_at"]) == ("boolean", "date", "timestamp")


def test_queries_of_the_ledger_equal_the_warehouse(ledger, service):
    """The same client works with PostgreSQL."""
    model = ledger.get_model("ledger")
    rows = model.query(
        metrics=[model.metrics.entry_count, model.metrics.total], dimensions=[model.dimensions.is_even]
    ).to_records()
    expected = service.warehouses.ledger_rows("select is_even, count(*), sum(amount)::float8 from ledger group by 1")
    assert sorted((row["Is even"], row["Number of entries"]) for row in rows) == sorted(row[:2] for row in expected)
    assert sum(row["Number of entries"] for row in rows) == LEDGER_ROWS
    assert sum(float(row["Total"]) for row in rows) == pytest.approx(sum(row[2] for row in expected))


def test_rows_of_another_user_cannot_be_read_with_their_uuid(client, service):
    """A query is its owner's alone, whoever else may use the project."""
    result = client.models.orders.query(metrics=["orders_order_count"]).execute()
    assert service.other_shop.get(f"/{result.query_uuid}").status == 404
    stranger = lightdash.Client(service.process.url, service.other_token, PROJECT_UUID)
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        _QueryExecutor(stranger).get_page(result.query_uuid, 1)


def test_equal_query_is_answered_from_what_is_stored(client):
    """The second time costs no warehouse; `invalidate_cache` asks again."""
    query = client.models.orders.query(metrics=["orders_buyer_count"])
    first = query.execute()
    began = time.monotonic()
    again = client.models.orders.query(metrics=["orders_buyer_count"]).execute()
    assert time.monotonic() - began < 5
    fresh = client.models.orders.query(metrics=["orders_buyer_count"]).execute(invalidate_cache=True)
    assert len({first.query_uuid, again.query_uuid, fresh.query_uuid}) == 3
    assert first.to_records() == again.to_records() == fresh.to_records()
