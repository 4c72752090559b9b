"""Models through the client and the command line, without a network."""

from __future__ import annotations

import io
import json

import pytest

from queryfleet import errors
from queryfleet.cli.explores import explore_text, explores_text
from queryfleet.cli.failure import ExitCode
from queryfleet.cli.output import OutputFormat
from queryfleet.cli.project import push_project
from queryfleet.cli.reading import ReadCommand, run_read
from queryfleet.cli.token import create_token, revoke_token, tokens_text
from queryfleet.client import ExploreSummary, Filter, NewToken, Sort
from queryfleet.client.question import filter_of_text, sort_of_text
from tests.fixtures.query_service import PROJECT, Wired, fill

EXPLORE = {
    "name": "orders",
    "tables": {
        "orders": {
            "dimensions": {"status": {"table": "orders", "name": "status", "type": "string", "label": "Status"}},
            "metrics": {"revenue": {"table": "orders", "name": "revenue", "type": "sum", "label": "Reve\x1bnue"}},
        }
    },
}


def test_question_is_sent_in_the_words_of_the_wire(client, query_service):
    """Rules on selected metrics are metric filters, every other one is on a dimension; unset members are left out."""
    client.query(
        "orders",
        dimensions=["orders_status"],
        metrics=["orders_revenue"],
        filters=[
            Filter(field_id="orders_status", operator="notEquals", values=["placed"]),
            Filter(field_id="orders_revenue", operator="greaterThan", values=[5]),
            Filter(field_id="orders_at", operator="inThePast", values=[2], settings={"unitOfTime": "weeks"}),
        ],
        sorts="-orders_revenue",
        limit=9,
        parameters={"rate": 2},
        timezone="UTC",
        wait_seconds=1,
    )
    asked = query_service.asked[0]
    assert (asked.method, asked.path) == ("POST", f"/api/v2/projects/{PROJECT}/query/metric-query")
    assert len(asked.headers["idempotency-key"]) == 32
    assert asked.params == {"waitMs": "1000"}
    assert asked.body == {
        "context": "api",
        "parameters": {"rate": 2},
        "query": {
            "exploreName": "orders",
            "dimensions": ["orders_status"],
            "metrics": ["orders_revenue"],
            "filters": {
                "dimensions": {
                    "and": [
                        {"target": {"fieldId": "orders_status"}, "operator": "notEquals", "values": ["placed"]},
                        {
                            "target": {"fieldId": "orders_at"},
                            "operator": "inThePast",
                            "values": [2],
                            "settings": {"unitOfTime": "weeks"},
                        },
                    ]
                },
                "metrics": {
                    "and": [{"target": {"fieldId": "orders_revenue"}, "operator": "greaterThan", "values": [5]}]
                },
            },
            "sorts": [{"fieldId": "orders_revenue", "descending": True}],
            "limit": 9,
            "tableCalculations": [],
            "timezone": "UTC",
        },
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("orders_status=placed, shipped", ("orders_status", "equals", ["placed", "shipped"])),
        ("a!=b", ("a", "notEquals", ["b"])),
        ("a>=1", ("a", "greaterThanOrEqual", ["1"])),
        ("a <= 1", ("a", "lessThanOrEqual", ["1"])),
        ("a>1,5", ("a", "greaterThan", ["1,5"])),
        ("a<2024-01-01", ("a", "lessThan", ["2024-01-01"])),
        ("a~b=c", ("a", "include", ["b=c"])),
        ("a!~b", ("a", "doesNotInclude", ["b"])),
        ("a=null", ("a", "isNull", [])),
        ("a!=null", ("a", "notNull", [])),
    ],
)
def test_filter_typed_by_a_person_is_read(text, expected):
    """Each sign means one operator; only equality takes a list."""
    found = filter_of_text(text)
    assert (found.field_id, found.operator, list(found.values)) == expected


@pytest.mark.parametrize("text", ["", "orders_status", "=x", "  ~x"])
def test_filter_without_a_field_or_a_sign_is_refused(text):
    """The message shows how one looks."""
    with pytest.raises(errors.ParameterError, match="orders_amount>=100"):
        filter_of_text(text)


def test_sort_typed_by_a_person_is_read():
    """A hyphen turns the order round."""
    assert sort_of_text(" -orders_revenue") == Sort(field_id="orders_revenue", descending=True)
    assert sort_of_text("orders_status") == Sort(field_id="orders_status")


def test_explores_are_listed(client, query_service):
    """Names, labels, descriptions, and why one cannot be used."""
    query_service.documents["GET explores"] = [
        {"name": "orders", "label": "Orders", "description": "One row an order."},
        {"name": "broken", "errors": [{"type": "x", "message": "no field a"}]},
    ]
    assert client.explores() == (
        ExploreSummary(name="orders", label="Orders", description="One row an order."),
        ExploreSummary(name="broken", label="broken", error="no field a"),
    )
    text = explores_text(Wired(query_service), as_json=False)
    assert text == "orders  One row an order.\nbroken  cannot be used: no field a\n"
    assert json.loads(explores_text(Wired(query_service), as_json=True))[1]["error"] == "no field a"


@pytest.mark.parametrize("answer", [None, {}, [1], [{"label": "x"}]])
def test_explores_of_another_shape_are_a_clear_error(client, query_service, answer):
    """What is no list of explores is not taken for one."""
    query_service.documents["GET explores"] = answer
    with pytest.raises(errors.ServiceError):
        client.explores()


def test_explore_shows_its_fields_by_id(query_service):
    """One field a line, ready to be copied; nothing steers the terminal."""
    query_service.documents["GET explores/orders"] = EXPLORE
    text = explore_text(Wired(query_service), "orders", as_json=False)
    assert text.splitlines() == [
        "orders_status   dimension string  Status",
        "orders_revenue  metric sum        Reve\\x1bnue",
    ]
    assert json.loads(explore_text(Wired(query_service), "orders", as_json=True)) == EXPLORE


def test_query_command_writes_the_rows(query_service):
    """A question is run and written like a statement."""
    query_service.on_submit = lambda query: fill(query, 3)
    command = ReadCommand(
        start=lambda client, terms: client.query("orders", metrics="orders_revenue", **terms),
        format=OutputFormat.JSONL,
    )
    stdout, stderr = io.BytesIO(), io.StringIO()
    code = run_read(Wired(query_service), command, stdout=stdout, stderr=stderr, width=None)
    assert (code, len(stdout.getvalue().splitlines())) == (ExitCode.OK, 3)
    assert query_service.asked[0].body["context"] == "cli"


def test_push_sends_the_files_of_the_project_and_nothing_else(query_service, tmp_path):
    """Models and `project.yml` are sent; data beside them stays where it is."""
    (tmp_path / "project.yml").write_text("name: x")
    (tmp_path / "models" / "deep").mkdir(parents=True)
    (tmp_path / "models" / "deep" / "a.yml").write_text("ä")
    (tmp_path / "models" / "notes.txt").write_text("no")
    (tmp_path / "shop.duckdb").write_bytes(b"\xff")
    query_service.documents["PUT models"] = {"version": 3, "explores": ["a"], "problems": []}
    report = push_project(Wired(query_service), tmp_path, as_json=False)
    assert (report.text, report.exit_code) == ("version 3: 1 explore\n", ExitCode.OK)
    assert query_service.asked[0].body == {"files": {"project.yml": "name: x", "models/deep/a.yml": "ä"}}


def test_push_that_is_refused_shows_every_problem(query_service, tmp_path):
    """File and line, as a compiler says it; the exit code tells a script."""
    (tmp_path / "project.yml").write_text("name: x")
    problems = [
        {"severity": "error", "file": "models/a.yml", "line": 4, "message": "wrong"},
        {"severity": "warning", "file": "project.yml", "line": None, "message": "odd"},
    ]

    def refuse(_asked):
        raise errors.CompileError("Nothing was changed: models/a.yml, line 4: wrong", problems=problems)

    query_service.on_request = refuse
    report = push_project(Wired(query_service), tmp_path, as_json=False)
    assert report.text.splitlines() == [
        "models/a.yml, line 4: error: wrong",
        "project.yml: warning: odd",
        "Nothing was changed.",
    ]
    assert report.exit_code is ExitCode.FAILED
    assert json.loads(push_project(Wired(query_service), tmp_path, as_json=True).text)["problems"] == problems


def test_push_of_a_folder_without_a_project_is_refused(query_service, tmp_path):
    """Nothing is sent."""
    with pytest.raises(errors.ConfigurationError, match=r"project\.yml"):
        push_project(Wired(query_service), tmp_path, as_json=False)
    assert query_service.asked == []


def test_new_token_is_returned_once(query_service):
    """Role, attributes and expiry are sent; the token comes back."""
    query_service.documents["POST tokens"] = {"token": "secret", "tokenUuid": "x", "userUuid": "y", "expiresAt": None}
    wanted = NewToken(name="Ada", role="viewer", attributes={"region": ["north"]}, expires_in_seconds=60)
    assert create_token(Wired(query_service), wanted) == "secret"
    assert query_service.asked[0].body == {
        "name": "Ada",
        "role": "viewer",
        "attributes": {"region": ["north"]},
        "expiresInSeconds": 60,
    }


def test_tokens_are_listed_and_revoked(query_service):
    """A line for each token, or all there is as JSON; a revoked one is named."""
    listed = [{"tokenUuid": "t-1", "role": "viewer", "name": "Ada\t\x1b", "email": None, "createdAt": "2024-06-12"}]
    query_service.documents |= {"GET tokens": listed, "DELETE tokens/t-1": None}
    assert tokens_text(Wired(query_service), as_json=False).split("\t")[:2] == ["t-1", "viewer"]
    assert "\x1b" not in tokens_text(Wired(query_service), as_json=False)
    assert json.loads(tokens_text(Wired(query_service), as_json=True)) == listed
    assert "t-1 is revoked" in revoke_token(Wired(query_service), "t-1")
    assert query_service.asked[-1].method == "DELETE"
