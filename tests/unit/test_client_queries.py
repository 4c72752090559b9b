"""What a data scientist does with queries and results, without a network."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import types

import pytest

import queryfleet
from queryfleet import client as client_package
from queryfleet import errors
from queryfleet.client.history import parse_history, parse_projects
from tests.fixtures.query_service import PROJECT, URL, client_of, fill, transport
from tests.fixtures.scripted_service import Answer

OTHER = "6a1d3b63-0e1f-4d69-9b3f-1c8b6c7f6d22"
PROJECTS = [
    {"projectUuid": PROJECT, "name": "Shop", "role": "admin"},
    {"projectUuid": OTHER, "name": "Ledger", "role": "viewer"},
]


@pytest.fixture
def anyio_backend():
    """These clients are for asyncio."""
    return "asyncio"


def answered(results):
    """Return an answer with these results."""
    return Answer(status=200, body=json.dumps({"status": "ok", "results": results}).encode())


def test_exported_names_are_the_ones_that_are_promised():
    """Names that users import change on purpose only; each is there, and the lists are sorted."""
    assert queryfleet.__all__ == [
        "AsyncClient", "AsyncQuery", "AsyncResult", "Client", "Filter", "Query", "Result", "Sort", "__version__",
        "errors",
    ]  # fmt: skip
    assert client_package.__all__ == [
        "AsyncClient", "AsyncQuery", "AsyncResult", "Client", "ExploreSummary", "Filter", "Health", "HistoryEntry",
        "NewToken", "Progress", "ProjectSummary", "Query", "QueryFailure", "QuerySnapshot", "Result", "ResultPage",
        "RetryPolicy", "Sort", "Terms", "Timings",
    ]  # fmt: skip
    assert queryfleet.errors is errors
    assert all(getattr(queryfleet, name) for name in queryfleet.__all__)
    assert all(getattr(client_package, name) for name in client_package.__all__)
    assert set(queryfleet.__all__) <= set(dir(queryfleet))
    with pytest.raises(AttributeError, match="nosuch"):
        _ = queryfleet.nosuch


def test_import_of_the_package_and_the_client_loads_nothing_heavy():
    """`import queryfleet` is free, and the client brings neither Arrow nor an HTTP library before it is made."""
    code = (
        "import sys, queryfleet; assert 'queryfleet.client' not in sys.modules; queryfleet.Client;"
        "print([name for name in ('httpx2', 'pyarrow', 'rich', 'typer', 'pydantic', 'ray') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def unset(query_service, monkeypatch, tmp_path):
    """Make a client that no project was named for."""
    monkeypatch.delenv("QUERYFLEET_PROJECT", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("QUERYFLEET_DATA_DIR", str(tmp_path))

    def make(project=None):
        return queryfleet.Client(
            URL, token=query_service.token, project=project, transport=transport(query_service), progress=False
        )

    return make


def serve_projects(query_service, projects):
    def answer(asked):
        return answered(projects) if asked.path == "/api/v1/org/projects" else None

    query_service.on_request = answer


def test_only_project_is_found_by_itself_and_once(query_service, unset):
    """Nobody types a uuid where there is nothing to choose; the service is asked for it once."""
    serve_projects(query_service, PROJECTS[:1])
    with unset() as client:
        client.sql("select 1")
        client.sql("select 2")
    assert [asked.path.split("/")[3] for asked in query_service.asked] == ["org", "projects", "projects"]
    assert query_service.asked[1].path == f"/api/v2/projects/{PROJECT}/query/sql"


def test_several_projects_without_a_choice_are_listed(query_service, unset):
    """The error has what there is to choose from."""
    serve_projects(query_service, PROJECTS)
    with unset() as client, pytest.raises(errors.ConfigurationError, match=f"(?s)2 projects.*{PROJECT}  Shop.*Ledger"):
        client.sql("select 1")


def test_project_is_found_by_its_name(query_service, unset):
    """A name is as good as a uuid, for the client and for one call; an unknown one is an error that lists them."""
    serve_projects(query_service, PROJECTS)
    with unset("Ledger") as client:
        client.sql("select 1")
        client.sql("select 1", project="Shop")
        assert [asked.path.split("/")[4] for asked in query_service.asked if "v2" in asked.path] == [OTHER, PROJECT]
        with pytest.raises(errors.ConfigurationError, match=r"(?s)no project of the name 'Nosuch'.*Ledger"):
            client.explores(project="Nosuch")


def test_token_without_a_project_says_so(query_service, unset):
    """A token that opens nothing is not a crash."""
    serve_projects(query_service, [])
    with unset() as client, pytest.raises(errors.ConfigurationError, match="no role in any project"):
        client.history()


def test_unknown_keyword_is_a_type_error(client):
    """A misspelt keyword is never ignored."""
    with pytest.raises(TypeError, match="'invalidate_cach'; there are project"):
        client.sql("select 1", invalidate_cach=True)


def test_terms_reach_the_service(client, query_service):
    """Each keyword is sent under its own name."""
    client.sql("select 1", invalidate_cache=True, poll_ttl_seconds=9, context="cli", idempotency_key="k")
    asked = query_service.asked[0]
    assert asked.body == {"sql": "select 1", "context": "cli", "invalidateCache": True, "pollTtl": 9}
    assert asked.headers["idempotency-key"] == "k"


def test_pivot_by_names_of_dimensions_becomes_a_configuration(client, query_service):
    """Dimensions that are named spread out, the others tell rows apart, metrics fill the cells."""
    client.query("o", dimensions=["o_a", "o_b"], metrics="o_m", pivot="o_b", sorts="-o_a")
    assert query_service.asked[0].body["pivotConfiguration"] == {
        "indexColumn": [{"reference": "o_a"}],
        "groupByColumns": [{"reference": "o_b"}],
        "valuesColumns": [{"reference": "o_m", "aggregation": "any"}],
        "sortBy": [{"reference": "o_a", "direction": "DESC"}],
    }
    with pytest.raises(errors.ParameterError, match="'o_c'; the dimensions are o_a"):
        client.query("o", dimensions="o_a", pivot=["o_c"])


def test_filters_go_to_the_group_of_their_field(client, query_service):
    """Dimensions, metrics and calculations are filtered apart; the wire form is sent as it is."""
    calculation = {"name": "share", "displayName": "Share", "sql": "1"}
    client.query("o", metrics="o_m", filters=["o_a=x", "o_m>1", "share<2"], table_calculations=[calculation])
    groups = query_service.asked[0].body["query"]["filters"]
    assert {kind: [rule["target"]["fieldId"] for rule in group["and"]] for kind, group in groups.items()} == {
        "dimensions": ["o_a"],
        "metrics": ["o_m"],
        "tableCalculations": ["share"],
    }
    client.query("o", filters={"dimensions": {"or": []}})
    assert query_service.asked[1].body["query"]["filters"] == {"dimensions": {"or": []}}


def test_result_shows_its_first_rows_types_and_counts(client, query_service):
    """What a notebook or a prompt shows needs no further request, and says how much is missing."""
    query_service.on_submit = lambda query: fill(query, 1200)
    result = client.sql("select 1").result()
    asked = len(query_service.asked)
    assert (len(result), result.sql, [column.reference for column in result.columns]) == (
        1200,
        "select 1",
        ["id", "city"],
    )
    lines = repr(result).splitlines()
    assert [lines[0].split(), lines[1].split(), lines[3].split()] == [
        ["id", "city"],
        ["number", "string"],
        ["0", "city", "0"],
    ]
    assert lines[-2:-1] == ["first 10 rows"]
    assert lines[-1].startswith("1,200 rows of 2 columns · ")
    html = result._repr_html_()
    assert html.count("<tr>") == 11
    assert "1,200 rows of 2 columns" in html
    assert len(query_service.asked) == asked


def test_result_steers_neither_terminal_nor_notebook(client, query_service):
    """Names and values of the warehouse are text, whatever they hold."""

    def fill_with_markup(query):
        fill(query, 1)
        query.columns = {"<b>": {"reference": "<b>", "type": "string"}}
        query.rows = [{"<b>": "<script>\x1b[2J" + "x" * 100}]

    query_service.on_submit = fill_with_markup
    result = client.sql("select 1").result()
    assert "\x1b" not in repr(result)
    html = result._repr_html_()
    assert "\x1b" not in html
    assert set(re.findall(r"</?([a-z]+)", html)) == {"div", "table", "thead", "tbody", "tr", "th", "td", "br", "small"}


def test_empty_result_has_columns_and_a_repr(client, query_service):
    """No rows are a result too."""
    query_service.on_submit = lambda query: fill(query, 0)
    result = client.sql("select 1").result()
    assert (len(result), len(result.columns)) == (0, 2)
    assert "0 rows of 2 columns" in repr(result)


def test_cells_of_a_pivot_that_do_not_occur_are_empty(client, query_service):
    """A pivot's rows lack members; a page fills them."""
    query_service.on_submit = lambda query: fill(query, 1)
    query_service.on_request = lambda asked: (
        answered(
            {
                "queryUuid": "q",
                "status": "ready",
                "columns": {name: {"reference": name, "type": "number"} for name in ("a", "b")},
                "rows": [{"a": {"value": {"raw": 1, "formatted": "1"}}}],
                "totalResults": 1,
                "totalPageCount": 1,
                "pivotDetails": {},
            }
        )
        if asked.method == "GET"
        else None
    )
    page = client.sql("select 1").result().page()
    assert list(page.records()) == [{"a": 1, "b": None}]
    assert list(page.formatted()) == [("1", "")]


def test_failure_carries_class_message_and_the_warehouses_id(client, query_service):
    """A failed query raises what the service raised, with what is needed to find it in the warehouse."""

    def fail(query):
        query.status = "error"
        query.error = errors.WarehouseTimeoutError("too slow", warehouseQueryId="w-1")

    query_service.on_submit = fail
    query = client.sql("select 1")
    assert query.wait().failure.message == "too slow"
    with pytest.raises(errors.WarehouseTimeoutError, match="too slow") as caught:
        query.to_arrow()
    assert caught.value.details == {"warehouseQueryId": "w-1", "queryUuid": query.query_uuid}


def test_wait_that_is_over_leaves_the_query_running(client, query_service):
    """A time limit of waiting is not one of the query."""
    query = client.sql("select 1")
    with pytest.raises(TimeoutError, match=r"within 0\.05 seconds; it goes on"):
        query.result(timeout=0.05)
    assert query_service.queries[query.query_uuid].status == "pending"


def interrupt_polls(query_service):
    def interrupt(asked):
        if asked.method == "GET":
            raise KeyboardInterrupt

    query_service.on_request = interrupt


@pytest.mark.parametrize(
    "read",
    [lambda q: q.wait(), lambda q: q.to_arrow(), lambda q: next(q.batches()), lambda q: next(q.pages(page_size=4))],
)
def test_interrupt_while_waiting_cancels(client, query_service, read):
    """Ctrl-C leaves nothing running, whichever method waits."""
    query = client.sql("select 1")
    interrupt_polls(query_service)
    with pytest.raises(KeyboardInterrupt):
        read(query)
    assert query_service.queries[query.query_uuid].status == "cancelled"


def test_interrupt_before_the_answer_cancels_what_was_started(client, query_service):
    """The key finds the query whose name nobody has seen."""
    state = {"is_first": True}

    def lose(asked):
        if asked.path.endswith("/sql") and state.pop("is_first", False):
            query_service.on_request = None
            query_service.answer(asked)
            raise KeyboardInterrupt

    query_service.on_request = lose
    with pytest.raises(KeyboardInterrupt):
        client.sql("select 1", wait_seconds=9)
    assert [query.status for query in query_service.queries.values()] == ["cancelled"]


def test_interrupt_of_a_client_that_does_not_cancel_leaves_the_query(query_service):
    """Whoever wants queries to go on says so."""
    with client_of(query_service, cancel_on_interrupt=False) as client:
        query = client.sql("select 1")
        interrupt_polls(query_service)
        with pytest.raises(KeyboardInterrupt):
            query.wait()
    assert query_service.queries[query.query_uuid].status == "pending"


def test_block_cancels_what_has_not_ended_and_nothing_else(client, query_service):
    """Leaving a block, by its end or an error, leaves nothing running; what has ended stays, and costs no request."""
    with client.sql("select 1") as query:
        pass
    assert query_service.queries[query.query_uuid].status == "cancelled"
    with pytest.raises(ZeroDivisionError), client.sql("select 2") as query:
        _ = 1 / 0
    assert query_service.queries[query.query_uuid].status == "cancelled"
    query_service.on_submit = lambda query: fill(query, 1)
    with client.sql("select 3") as query:
        query.wait()
        asked = len(query_service.asked)
    assert (query_service.queries[query.query_uuid].status, len(query_service.asked)) == ("ready", asked)


def test_attached_query_is_left_alone_until_it_is_cancelled(client, query_service):
    """Looking at a query of another program does not end it; `cancel` does."""
    started = client.sql("select 1")
    with client.attach(started.query_uuid) as query:
        assert query.status == "pending"
    assert query_service.queries[query.query_uuid].status == "pending"
    assert query.cancel().status == "cancelled"
    assert "cancelled" in repr(query)


def test_watch_tells_phase_place_and_rows(client, query_service):
    """Whoever watches sees how far the query is."""
    query = client.sql("select 1")

    def queue(scripted):
        scripted.queue_position = 3

    def run(scripted):
        fill(scripted, 7, status="running")
        scripted.queue_position, scripted.stored_rows = None, 4

    query_service.on_poll = [queue, run, lambda scripted: fill(scripted, 7)]
    seen = [(each.phase, each.queue_position, each.progress.rows) for each in query.watch(interval_seconds=0.05)]
    assert seen == [("queued", 3, 0), ("fetching", None, 4), (None, None, 0)]


@pytest.mark.parametrize("name", [PROJECT, "by-city"])
def test_saved_chart_runs_by_uuid_or_slug(client, query_service, name):
    """A slug is looked up, a uuid is not."""
    query_service.documents["GET saved-charts/by-city"] = {"uuid": PROJECT}
    client.chart(name, limit="all", pivot=True, filters="o_a=x")
    asked = query_service.asked[-1]
    assert asked.path.endswith("/query/chart")
    assert asked.body == {
        "chartUuid": PROJECT,
        "pivotResults": True,
        "limit": None,
        "filters": {"dimensions": {"and": [{"target": {"fieldId": "o_a"}, "operator": "equals", "values": ["x"]}]}},
        "context": "api",
    }
    assert len(query_service.asked) == (1 if name == PROJECT else 2)


DASHBOARD = {
    "uuid": OTHER,
    "filters": {"dimensions": [{"target": {"fieldId": "o_a"}}]},
    "tiles": [
        {"type": "markdown", "uuid": "m", "properties": {"title": "x"}},
        {"type": "saved_chart", "uuid": "t1", "tileSlug": "first", "properties": {"savedChartUuid": PROJECT}},
        {"type": "sql_chart", "uuid": "t2", "properties": {"savedSqlUuid": PROJECT, "chartSlug": "fares"}},
    ],
}


def test_tile_runs_with_the_filters_of_its_dashboard(client, query_service):
    """A tile is found by any of its names and asks what the dashboard shows."""
    query_service.documents["GET dashboards/sales"] = DASHBOARD
    client.dashboard_chart("sales", "first", sorts="-o_a", limit=3)
    asked = query_service.asked[-1]
    assert asked.path.endswith("/query/dashboard-chart")
    assert asked.body == {
        "chartUuid": PROJECT,
        "tileUuid": "t1",
        "dashboardUuid": OTHER,
        "dashboardFilters": {"dimensions": [{"target": {"fieldId": "o_a"}}], "metrics": [], "tableCalculations": []},
        "dashboardSorts": [{"fieldId": "o_a", "descending": True}],
        "pivotResults": False,
        "limit": 3,
        "context": "api",
    }
    client.dashboard_chart("sales", "fares", filters={})
    asked = query_service.asked[-1]
    assert asked.path.endswith("/query/dashboard-sql-chart")
    assert (asked.body["savedSqlUuid"], asked.body["dashboardFilters"]["dimensions"]) == (PROJECT, [])
    with pytest.raises(errors.NotFoundError, match=r"no tile 'm'.*there is: first, fares"):
        client.dashboard_chart("sales", "m")


def test_other_questions_are_sent_in_the_words_of_the_wire(client, query_service):
    """SQL charts, drill-downs and totals name what they mean."""
    source = client.sql("select 1")
    client.sql_chart("fares", parameters={"least": 5})
    client.sql_chart(OTHER, limit=3)
    client.underlying_data(source, item="o_m", filters="o_a=x", sorts="o_a", distinct=False)
    client.total(source.query_uuid, "columnSubtotal", dimensions="o_a")
    sent = [(asked.path.rpartition("/query/")[2], asked.body) for asked in query_service.asked[1:]]
    rule = {"target": {"fieldId": "o_a"}, "operator": "equals", "values": ["x"]}
    assert sent == [
        ("sql-chart", {"slug": "fares", "parameters": {"least": 5}, "context": "api"}),
        ("sql-chart", {"savedSqlUuid": OTHER, "limit": 3, "context": "api"}),
        (
            "underlying-data",
            {
                "underlyingDataSourceQueryUuid": source.query_uuid,
                "filters": {"dimensions": {"and": [rule]}},
                "distinct": False,
                "limit": 500,
                "underlyingDataItemId": "o_m",
                "sorts": [{"fieldId": "o_a", "descending": False}],
                "context": "api",
            },
        ),
        (
            f"{source.query_uuid}/calculate-total",
            {"kind": "columnSubtotal", "subtotalDimensions": ["o_a"], "context": "api"},
        ),
    ]


def entry(number):
    """Return one query of a history."""
    return {
        "queryUuid": f"q{number}",
        "userUuid": "u",
        "context": "api",
        "sql": "select\n 1",
        "exploreName": None,
        "status": "ready",
        "attempt": 1,
        "rows": 5,
        "bytes": 50,
        "createdAt": "2026-01-02T03:04:05.678Z",
        "timings": {"totalMs": 1500},
    }


def test_history_reads_as_many_pages_as_it_needs(client, query_service):
    """Entries that moved on to the next page meanwhile are there once."""

    def answer(asked):
        page = int(asked.params["page"])
        numbers = range((page - 1) * 1000 - (page - 1), page * 1000 - (page - 1))
        return answered({"page": page, "totalPageCount": 3, "queries": [entry(number) for number in numbers]})

    query_service.on_request = answer
    found = client.history(limit=1500, status="ready")
    assert [each.query_uuid for each in found] == [f"q{number}" for number in range(1500)]
    assert len(query_service.asked) == 2
    assert (found[0].row_count, found[0].timings.total_ms, found[0].status) == (5, 1500, "ready")
    with pytest.raises(errors.ParameterError, match="'done' is none of pending"):
        client.history(status=["done"])


@pytest.mark.parametrize("results", [None, {}, {"queries": [{}]}, {"queries": 1, "page": 1, "totalPageCount": 1}, [1]])
def test_history_and_projects_of_another_shape_are_clear_errors(results):
    """What is no answer of the service is not taken for one."""
    with pytest.raises(errors.ServiceError):
        parse_history(results)
    if results != []:
        with pytest.raises(errors.ServiceError):
            parse_projects(results)


@pytest.mark.anyio
async def test_cancelled_task_cancels_its_query(async_client, query_service):
    """Whoever gives up a task that waits leaves nothing running."""
    query_service.on_submit = None
    query = await async_client.sql("select 1")
    waiting = asyncio.create_task(query.result())
    while len(query_service.asked) < 2:
        await asyncio.sleep(0.001)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert query_service.queries[query.query_uuid].status == "cancelled"
    await async_client.close()


@pytest.mark.anyio
async def test_async_block_and_result_are_those_of_the_blocking_client(async_client, query_service):
    """The twin reads, shows and cancels the same."""
    query_service.on_submit = lambda query: fill(query, 3)
    async with async_client as client:
        result = await (await client.sql("select 1")).result()
        assert (len(result), [row["id"] for row in (await result.page()).records()]) == (3, [0, 1, 2])
        assert "3 rows of 2 columns" in result._repr_html_()
        query_service.on_submit = None
        async with await client.sql("select 2") as query:
            pass
        assert query_service.queries[query.query_uuid].status == "cancelled"


class _Screen:
    """A stderr that is a terminal, or is none."""

    def __init__(self, *, is_terminal):
        self.written = ""
        self._is_terminal = is_terminal

    def isatty(self):
        """Say which."""
        return self._is_terminal

    def write(self, text):
        """Keep it."""
        self.written += text

    def flush(self):
        """Nothing waits."""


def slow(query_service):
    """Let a query take some polls, the clock running quickly."""
    query_service.on_poll = [lambda _query: None, lambda _query: None, lambda query: fill(query, 1)]


@pytest.fixture
def quick_clock(monkeypatch):
    """Let every look at the clock find a second gone, so that nobody waits to see progress."""
    monkeypatch.setattr("queryfleet.client.progress._SILENT_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("is_terminal", "wanted", "is_shown"), [(True, None, True), (False, None, False), (True, False, False)]
)
def test_progress_is_shown_where_somebody_sees_it(
    query_service, monkeypatch, quick_clock, is_terminal, wanted, is_shown
):
    """A line on a terminal, taken away in the end; elsewhere, or when unwanted, not a character."""
    screen = _Screen(is_terminal=is_terminal)
    monkeypatch.setattr("sys.stderr", screen)
    slow(query_service)
    with queryfleet.Client(
        URL, token=query_service.token, project=PROJECT, progress=wanted, transport=transport(query_service)
    ) as client:
        client.sql("select 1").result()
    assert ("queued" in screen.written) is is_shown
    assert screen.written.endswith("\r\x1b[2K") is is_shown
    assert bool(screen.written) is is_shown


def test_progress_in_a_notebook_is_one_output_that_changes(query_service, monkeypatch, quick_clock):
    """One display, updated, and empty in the end; a notebook's stderr stays empty."""
    shown = []

    class Handle:
        def update(self, data, *, raw):
            shown.append(("update", data["text/plain"], raw))

    def display(data, *, raw, display_id):
        shown.append(("display", data["text/plain"], raw and display_id))
        return Handle()

    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    slow(query_service)
    with queryfleet.Client(
        URL, token=query_service.token, project=PROJECT, transport=transport(query_service)
    ) as client:
        client.sql("select 1").result()
    assert [kind for kind, _, _ in shown] == ["display", "update", "update"]
    assert shown[0][1].startswith("queued")
    assert shown[-1][1] == ""
