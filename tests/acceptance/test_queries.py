"""Queries over plain HTTP, and what the warehouses say when they are asked directly."""

from __future__ import annotations

import itertools
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fixtures.service import LEDGER_ROWS
from tests.servers.http_api import raw_rows
from tests.servers.service_process import wait_until
from tests.servers.wire_values import spelled

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

LEDGER = "select * from ledger order by entry_id"
ORDERS = f"select * from orders where order_id <= {LEDGER_ROWS} order by order_id"
# Rows trickle: about one stored chunk each second, and the first of them long before the last.
TRICKLE_ROWS = 3000
TRICKLE = (
    "select n, repeat(chr(65 + n % 26), 2000) as filler, pg_sleep(0.0015)::text as slept "
    f"from generate_series(1, {TRICKLE_ROWS}) as s(n)"
)
SLEEP = "select pg_sleep(600)::text as slept"
BUSY = "select count(*) as n from range(100000000000) where hash(range) = 1"


@pytest.fixture
def cancelled_at_end(service):
    """Collect queries that a test may leave running; they are cancelled with it."""
    queries = []
    yield queries
    for api, query_uuid in queries:
        assert api.cancel(query_uuid).status == 200


def _expected(names, rows):
    return [dict(zip(names, map(spelled, row), strict=True)) for row in rows]


def _run(api, sql, **page):
    poll = api.wait(api.submit(sql), **page)
    assert poll["status"] == "ready", poll
    return poll


# Pages ---------------------------------------------------------------------------------------------------------


def test_pages_of_postgres_result_concatenated_equal_the_table(service):
    """No row of 100,003 is missing, doubled, out of order or changed."""
    query_uuid = service.ledger.submit(LEDGER)
    last = service.ledger.wait(query_uuid)
    assert (last["totalResults"], last["progress"]["rows"]) == (LEDGER_ROWS, LEDGER_ROWS)
    expected = _expected(last["columns"], service.warehouses.ledger_rows(LEDGER))
    pages = list(service.ledger.pages(query_uuid, page_size=5000))
    assert [len(page) for page in pages] == [5000] * 20 + [3]
    assert list(itertools.chain.from_iterable(pages)) == expected


def test_pages_of_duckdb_result_of_any_size_equal_the_table(service):
    """A page size that divides nothing cuts the same rows."""
    query_uuid = service.shop.submit(ORDERS)
    last = service.shop.wait(query_uuid)
    expected = _expected(last["columns"], service.warehouses.shop_rows(ORDERS))
    pages = service.shop.pages(query_uuid, page_size=4999)
    assert list(itertools.chain.from_iterable(pages)) == expected
    for page_size, page in [(1, 1), (1, LEDGER_ROWS), (7, 9001), (333, 151), (2048, 49)]:
        poll = service.shop.poll(query_uuid, page=page, page_size=page_size)
        first = (page - 1) * page_size
        assert raw_rows(poll) == expected[first : first + page_size]
        assert poll["rowCount"] == len(poll["rows"])
        assert poll.get("previousPage") == (page - 1 or None)
        assert poll.get("nextPage") == (page + 1 if page < -(-LEDGER_ROWS // page_size) else None)
    beyond = service.shop.get(f"/{query_uuid}", page=22, pageSize=5000)
    assert (beyond.status, beyond.error["name"]) == (422, "PaginationError")


def test_empty_result_tells_its_columns(service):
    """Nothing found is an answer: columns, no row, no further page."""
    for api, sql in [(service.ledger, LEDGER), (service.shop, ORDERS)]:
        poll = _run(api, f"select * from ({sql}) as q where 1 = 0")
        assert (poll["rows"], poll["totalResults"], poll["totalPageCount"]) == ([], 0, 0)
        assert len(poll["columns"]) >= 10
        assert "nextPage" not in poll


def test_one_row_and_200_columns_keep_their_order(service):
    """Width is no limit, and the columns stand as the statement has them."""
    columns = [f"c{number}" for number in range(200, 0, -1)]
    items = ", ".join(f"{number} as {name}" for number, name in enumerate(columns))
    for api in (service.ledger, service.shop):
        poll = _run(api, f"select {items}")
        assert list(poll["columns"]) == columns
        assert [list(row.items()) for row in raw_rows(poll)] == [list(zip(columns, range(200), strict=True))]


POSTGRES_TYPES = """
select true as flag, 9007199254740991 as safe, 9007199254740993 as beyond, 1.10::numeric as tenth,
       12345678901234567890.123456789::numeric as exact, 'NaN'::float8 as nan, '-Infinity'::float8 as low,
       0.1::float8 as real, '\\xdeadbeef'::bytea as raw, '00112233-4455-6677-8899-aabbccddeeff'::uuid as id,
       date '2024-02-29' as leap, timestamp '2024-01-02 03:04:05.678901' as at,
       timestamptz '2024-01-02 03:04:05+05:30' as zoned, time '23:59:59.5' as clock,
       array[1, null, 3] as list, '{"a": [1, "ü"]}'::jsonb as document, null::text as nothing, '' as empty,
       interval '1 year 2 days' as span
"""
DUCKDB_TYPES = """
select true as flag, 9007199254740991 as safe, 9007199254740993 as beyond, 1.10::decimal(9, 2) as tenth,
       12345678901234567890.123456789::decimal(38, 9) as exact, 'nan'::double as nan, '-inf'::double as low,
       0.1::double as real, '\\xDE\\xAD\\xBE\\xEF'::blob as raw,
       '00112233-4455-6677-8899-aabbccddeeff'::uuid as id, date '2024-02-29' as leap,
       timestamp '2024-01-02 03:04:05.678901' as at, timestamptz '2024-01-02 03:04:05+05:30' as zoned,
       time '23:59:59.5' as clock, [1, null, 3] as list, {'a': [1, 2], 'b': 'ü'} as document,
       null::varchar as nothing, '' as empty, 170141183460469231731687303715884105::hugeint as huge
"""


def test_values_of_every_type_are_spelled_as_documented(service):
    """Large integers, exact decimals, bytes, times and nested values arrive without loss."""
    (row,) = service.warehouses.ledger_rows(POSTGRES_TYPES)
    poll = _run(service.ledger, POSTGRES_TYPES)
    expected = dict(zip(poll["columns"], map(spelled, row[:-1]), strict=False)) | {"span": "1 year 2 days"}
    assert raw_rows(poll) == [expected]
    (row,) = service.warehouses.shop_rows(DUCKDB_TYPES)
    poll = _run(service.shop, DUCKDB_TYPES)
    assert raw_rows(poll) == _expected(poll["columns"], [row])
    assert poll["rows"][0]["beyond"]["value"]["raw"] == "9007199254740993"


def test_text_of_every_script_survives_in_names_and_values(service):
    """Statement, column name, value and error message carry Unicode, quotes and control characters."""
    text = 'Łódź 東京 \u202eעברית 👩‍👩‍👧 "quoted" back\\slash\ttab\nline \x01 e\u0301'
    for api in (service.ledger, service.shop):
        poll = _run(api, f'select \'{text}\' as "größe 🏺 ""x"""')
        assert raw_rows(poll) == [{'größe 🏺 "x"': text}]
        failed = api.wait(api.submit('select "größe"'))
        assert "größe" in failed["error"]


# While a query runs --------------------------------------------------------------------------------------------


def test_first_page_is_readable_before_the_query_is_ready(service):
    """Rows of page 1 come while later ones are still being made, and are the final ones."""
    query_uuid = service.ledger.submit(TRICKLE)
    early = service.ledger.wait_for(query_uuid, lambda poll: "rows" in poll, page=1, page_size=100)
    assert (early["status"], early["phase"]) == ("running", "fetching")
    assert "totalResults" not in early
    seen = [early["progress"]["rows"]]
    while (poll := service.ledger.poll(query_uuid, wait_ms=50))["status"] == "running":
        assert "rows" not in poll, "no page was named"
        seen.append(poll["progress"]["rows"])
    final = service.ledger.poll(query_uuid, page=1, page_size=100)
    assert final["status"] == "ready"
    assert seen == sorted(seen)
    assert len({*seen, TRICKLE_ROWS}) >= 3, "progress is told while the query runs"
    assert final["totalResults"] == TRICKLE_ROWS
    assert raw_rows(early) == raw_rows(final)
    assert [row["n"] for row in raw_rows(final)] == list(range(1, 101))


def test_duckdb_query_streams_too(service):
    """An embedded warehouse does not first compute everything."""
    sql = """
        select range as n, list_sum(list_transform(range(4000), lambda x: (x * n) % 7)) as heavy,
               repeat('x', 500) as filler
        from range(30000)
    """
    query_uuid = service.shop.submit(sql)
    early = service.shop.wait_for(query_uuid, lambda poll: "rows" in poll, page=1, page_size=10)
    assert early["status"] == "running"
    final = service.shop.wait(query_uuid, page=1, page_size=10)
    assert raw_rows(final) == raw_rows(early)
    assert [row["n"] for row in raw_rows(final)] == list(range(10))


def test_wait_holds_the_answer_until_something_changed(service, cancelled_at_end):
    """`waitMs` is an upper bound: nothing changed uses it up, an end does not."""
    sleeping = service.ledger.submit(SLEEP)
    cancelled_at_end.append((service.ledger, sleeping))
    service.ledger.wait_for(sleeping, lambda poll: poll.get("phase") == "executing")
    assert service.ledger.get(f"/{sleeping}", waitMs=0).seconds < 1.0
    held = service.ledger.get(f"/{sleeping}", waitMs=1500)
    assert held.results["status"] == "running"
    assert 1.4 < held.seconds < 4.0
    brief = service.ledger.submit("select pg_sleep(1)::text as slept")
    ended = service.ledger.get(f"/{brief}", waitMs=30_000)
    assert ended.results["status"] == "ready"
    assert ended.seconds < 10.0
    refused = service.ledger.get(f"/{brief}", waitMs=60_001)
    assert refused.status == 422
    assert "waitMs" in refused.error["data"]


def test_execute_with_wait_answers_with_rows(service):
    """A short question needs one request."""
    answer = service.shop.post("/sql?waitMs=20000", {"sql": "select 42 as n"}).results
    assert answer["status"] == "ready"
    assert raw_rows(answer) == [{"n": 42}]
    again = service.shop.poll(answer["queryUuid"])
    assert again["rows"] == answer["rows"]


def test_ready_query_tells_where_the_time_went(service):
    """Every phase has a duration, and together they are the whole."""
    poll = _run(service.ledger, "select pg_sleep(0.5)::text as slept")
    timings = poll["timings"]
    assert set(timings) >= {"queueMs", "connectMs", "executeMs", "totalMs"}
    assert timings["executeMs"] >= 450
    assert abs(sum(timings.values()) - 2 * timings["totalMs"]) <= 5
    assert poll["attempt"] == 1
    assert "@" in poll["warehouseQueryId"], "backend pid and start"
    performance = poll["metadata"]["performance"]
    assert performance["initialQueryExecutionMs"] == poll["initialQueryExecutionMs"] >= 450


def test_idempotency_key_runs_a_request_once(service):
    """A repeat gets the first query; another question under the same key is a conflict."""
    key = uuid.uuid4().hex
    body = {"sql": "select 1 as n", "invalidateCache": True}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: service.shop.post("/sql", body, Idempotency_Key=key), range(8)))
    assert len({answer.results["queryUuid"] for answer in answers}) == 1
    other = service.shop.post("/sql", {"sql": "select 2 as n"}, Idempotency_Key=key)
    assert (other.status, other.error["name"]) == (409, "ConflictError")


def test_equal_questions_share_one_run_and_its_rows(service):
    """Asked at the same time the warehouse runs once; asked later it does not run at all."""
    body = {"sql": "select n, pg_sleep(0.002)::text as slept from generate_series(1, 500) as s(n)"}
    together = [service.ledger.post("/sql", body).results["queryUuid"] for _ in range(3)]
    assert len(set(together)) == 3
    runs = set()
    polls = [service.ledger.poll(query_uuid) for query_uuid in together]
    while any(poll["status"] != "ready" for poll in polls):
        runs |= {query_uuid for query_uuid in together if service.backends(query_uuid)}
        polls = [service.ledger.poll(query_uuid, wait_ms=50) for query_uuid in together]
    assert len(runs) == 1
    later = service.ledger.post("/sql?waitMs=10000", body).results
    assert later["cacheMetadata"]["cacheHit"] is True
    assert all(poll["rows"] == later["rows"] for poll in polls)
    assert [row["n"] for row in raw_rows(later)] == list(range(1, 501))


def test_twenty_queries_at_once_of_two_users_stay_apart(service):
    """Each gets its own rows, and nobody sees the other's query."""

    def ask(number):
        api = service.shop if number % 2 else service.other_shop
        query_uuid = api.submit(f"select {number} as n, count(*) as orders from orders where order_id % 20 = {number}")
        return number, api, query_uuid, api.wait(query_uuid)

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(ask, range(20)))
    counts = service.warehouses.shop_rows("select order_id % 20, count(*) from orders group by 1 order by 1")
    assert [tuple(raw_rows(poll)[0].values()) for _, _, _, poll in answers] == counts
    for number, _, query_uuid, _ in answers[:2]:
        stranger = service.other_shop if number % 2 else service.shop
        assert stranger.get(f"/{query_uuid}").status == 404
        assert stranger.cancel(query_uuid).status == 404


# Refusals and errors -------------------------------------------------------------------------------------------


def test_broken_statement_is_an_error_by_the_poll(service):
    """The execute accepts it; the poll says what is wrong, and where."""
    for api in (service.ledger, service.shop):
        poll = api.wait(api.submit("select nosuch_column from nosuch_table"))
        assert poll["status"] == "error"
        assert poll["errorName"] == "WarehouseQueryError"
        assert "nosuch_table" in poll["error"]
        assert "rows" not in poll


def test_changing_statement_is_refused_and_changes_nothing(service):
    """Reading projects only read, also when the change hides where only the warehouse sees it."""
    for api, table in [(service.ledger, "ledger"), (service.shop, "orders")]:
        refused = api.post("/sql", {"sql": f"delete from {table}"})
        assert (refused.status, refused.error["name"]) == (403, "ForbiddenError")
    hidden = service.ledger.submit("with gone as (delete from ledger returning *) select count(*) from gone")
    poll = service.ledger.wait(hidden)
    assert poll["status"] == "error"
    assert "read-only" in poll["error"]
    assert service.warehouses.ledger_rows("select count(*) from ledger") == [(LEDGER_ROWS,)]


# Cancelling ----------------------------------------------------------------------------------------------------


def test_cancel_of_running_postgres_query_ends_it_in_the_warehouse(service):
    """Within a second the backend is gone; the stored rows are gone too, and stay so."""
    query_uuid = service.ledger.submit(TRICKLE)
    service.ledger.wait_for(query_uuid, lambda poll: poll["progress"]["rows"] > 0)
    assert service.backends(query_uuid)
    assert service.stored_files(query_uuid)
    answer = service.ledger.cancel(query_uuid)
    assert answer.body == {"status": "ok", "results": None}
    assert wait_until(lambda: not service.backends(query_uuid), seconds=1.0)
    poll = service.ledger.wait(query_uuid)
    assert poll["status"] == "cancelled"
    assert poll["cancelledAt"].endswith("Z")
    assert "rows" not in poll
    assert service.stored_files(query_uuid) == []
    assert service.ledger.cancel(query_uuid).body == {"status": "ok", "results": None}
    assert service.ledger.poll(query_uuid) == poll


def test_cancel_of_running_duckdb_query_frees_its_actor(service):
    """A computation of minutes ends at once, and the next query finds an actor."""
    query_uuid = service.shop.submit(BUSY)
    service.shop.wait_for(query_uuid, lambda poll: poll.get("phase") == "executing")
    began = time.monotonic()
    service.shop.cancel(query_uuid)
    assert service.shop.wait(query_uuid)["status"] == "cancelled"
    assert time.monotonic() - began < 5.0
    assert raw_rows(_run(service.shop, "select 1 as n")) == [{"n": 1}]


def test_queue_tells_positions_and_can_be_cancelled(service, cancelled_at_end):
    """With every actor busy queries wait in order; one that waits is cancelled without ever starting."""
    running = [service.ledger.submit(SLEEP) for _ in range(2)]
    cancelled_at_end += [(service.ledger, query_uuid) for query_uuid in running]
    for query_uuid in running:
        service.ledger.wait_for(query_uuid, lambda poll: poll["status"] == "running")
    first, second = (service.shop.submit(f"select {number} as n") for number in range(2))
    assert [service.shop.poll(query)["queuePosition"] for query in (first, second)] == [1, 2]
    service.shop.cancel(first)
    poll = service.shop.poll(first)
    assert (poll["status"], poll["attempt"]) == ("cancelled", 0)
    waiting = service.shop.poll(second)
    assert (waiting["status"], waiting["phase"], waiting["queuePosition"]) == ("pending", "queued", 1)
    service.ledger.cancel(running[0])
    assert service.shop.wait(second)["status"] == "ready"


def test_cancel_of_ready_query_changes_nothing(service):
    """A finished result stays readable."""
    query_uuid = service.shop.submit("select 7 as n")
    before = service.shop.wait(query_uuid)
    assert service.shop.cancel(query_uuid).body == {"status": "ok", "results": None}
    after = service.shop.poll(query_uuid)
    assert after["status"] == "ready"
    assert after["rows"] == before["rows"]
