"""Rows as JSON lines, CSV and a table; messages that cannot steer a terminal."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet import errors
from queryfleet.cli.failure import ExitCode, exit_code, failure_text
from queryfleet.cli.output import csv_bytes, first_rows, jsonl_bytes, table_text
from queryfleet.client.answers import ResultPage, parse_snapshot
from queryfleet.client.texts import printable, progress_text
from queryfleet.model import Column, ColumnType

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def _page(records, *, page=1, columns=("id", "city")):
    rows = tuple({name: {"value": {"raw": raw, "formatted": f"<{raw}>"}} for name, raw in r.items()} for r in records)
    return ResultPage(
        columns=tuple(Column(reference=name, type=ColumnType.STRING) for name in columns),
        rows=rows,
        page=page,
        page_size=max(len(rows), 1),
        total_rows=len(rows),
        total_pages=1,
    )


@given(st.lists(st.fixed_dictionaries({"id": _JSON, "city": _JSON}), max_size=5))
def test_jsonl_any_values_come_back_as_they_were(records):
    """Each line is one JSON object that holds exactly the raw values."""
    data = jsonl_bytes(_page(records))
    assert records == [json.loads(line) for line in data.decode().split("\n")[:-1]]


def test_jsonl_keys_are_in_column_order():
    """The order of keys does not depend on the order in the answer."""
    assert jsonl_bytes(_page([{"city": "Oslo", "id": 1}])) == b'{"id":1,"city":"Oslo"}\n'


def test_jsonl_lone_surrogate_stays_an_escape():
    """Text that has no UTF-8 is still valid JSON."""
    data = jsonl_bytes(_page([{"id": "\ud800", "city": "é"}]))
    assert [{"id": "\ud800", "city": "é"}] == [json.loads(line) for line in data.decode().splitlines()]


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.fixed_dictionaries({"id": _TEXT, "city": _TEXT}), max_size=5))
def test_csv_any_text_is_read_back_by_a_csv_reader(records):
    """Commas, quotes and line ends in values survive, and lines end as RFC 4180 wants."""
    text = csv_bytes(_page(records), with_header=True).decode()
    read = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert [["id", "city"], *([r["id"], r["city"]] for r in records)] == read


def test_csv_values_are_spelled_as_documented():
    """Null is empty, an empty text is quoted, nested values are compact JSON."""
    records = [
        {"id": None, "city": ""},
        {"id": {"a": [1, None]}, "city": True},
        {"id": 1.5, "city": 'say "hi", now\n'},
    ]
    expected = 'id,city\r\n,""\r\n"{""a"":[1,null]}",true\r\n1.5,"say ""hi"", now\n"\r\n'
    assert expected == csv_bytes(_page(records), with_header=True).decode()


def test_csv_later_pages_have_no_header():
    """The header appears once, also when the result is empty."""
    assert csv_bytes(_page([{"id": 1, "city": "x"}]), with_header=False) == b"1,x\r\n"
    assert csv_bytes(_page([]), with_header=True) == b"id,city\r\n"


def test_csv_null_alone_in_its_row_is_not_an_empty_line():
    """No row disappears because a reader skips empty lines."""
    assert csv_bytes(_page([{"id": None}], columns=("id",)), with_header=False) == b'""\r\n'


def test_table_shows_display_texts_and_aligns_numbers_right():
    """A table shows what the service formatted, in column order."""
    columns = (
        Column(reference="n", type=ColumnType.NUMBER),
        Column(reference="city", type=ColumnType.STRING),
    )
    lines = table_text(columns, [("1", "Oslo"), ("1,234", "[bold]x[/bold]")], width=None).splitlines()
    assert ["    n   city", "    1   Oslo", "1,234   [bold]x[/bold]"] == [lines[0], lines[2], lines[3]]


def test_table_without_terminal_cuts_and_folds_nothing():
    """Redirected tables are as wide as their values."""
    long = "x" * 5000
    columns = (Column(reference="a", type=ColumnType.STRING),)
    assert long in table_text(columns, [(long,)], width=None).splitlines()


def test_table_on_narrow_terminal_folds_instead_of_cutting():
    """On a terminal every character of a value is still there."""
    columns = (Column(reference="a", type=ColumnType.STRING),)
    text = table_text(columns, [("abcdefghij" * 3,)], width=12)
    assert "abcdefghij" * 3 in "".join(line.strip() for line in text.splitlines())


def test_table_values_cannot_steer_the_terminal():
    """Control characters in data are shown, not obeyed."""
    columns = (Column(reference="a", type=ColumnType.STRING),)
    assert r"\x1b[31mred\x9b" in table_text(columns, [("\x1b[31mred\x9b",)], width=None)


def test_first_rows_stops_reading_when_it_has_enough():
    """No page is fetched that is not shown."""

    def pages():
        yield _page([{"id": 1, "city": "a"}, {"id": 2, "city": "b"}])
        raise AssertionError("read too far")

    columns, rows = first_rows(pages(), row_count=1)
    assert (["id", "city"], [("<1>", "<a>")]) == ([column.reference for column in columns], rows)


def test_printable_keeps_lines_and_tabs():
    """Only what could steer the terminal is spelled out."""
    assert printable("a\n\tb\rc\x07") == "a\n\tb\\x0dc\\x07"


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"position": 11}, ["  at line 2, column 2:", "     frm t", "     ^"]),
        ({"lineNumber": 2, "charNumber": 3}, ["  at line 2, column 3:", "     frm t", "      ^"]),
        ({"lineNumber": 1}, ["  at line 1:", "    select x"]),
        ({"position": 99}, []),
        ({"lineNumber": 9}, []),
        ({}, []),
    ],
)
def test_failure_text_shows_the_place_in_the_statement(details, expected):
    """Refused SQL is shown with the place, when the warehouse told one that lies inside it."""
    text = failure_text(errors.WarehouseQueryError("syntax error", **details), sql="select x\n frm t")
    assert ["Error: syntax error", *expected] == text.splitlines()


def test_failure_text_names_the_warehouses_own_query():
    """A failure can be looked up in the warehouse."""
    assert "01ab" in failure_text(errors.WarehouseQueryError("no", warehouseQueryId="01ab"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.WarehouseQueryError("x"), ExitCode.FAILED),
        (errors.QueryCancelledError("x"), ExitCode.FAILED),
        (errors.AuthorizationError("x"), ExitCode.FAILED),
        (errors.ConfigurationError("x"), ExitCode.WRONG_USE),
        (errors.ServiceUnreachableError("x"), ExitCode.UNREACHABLE),
    ],
)
def test_exit_code_of_each_kind_of_error(error, code):
    """Scripts can tell a failed query from wrong use and from a service that is away."""
    assert code == exit_code(error)


def test_progress_text_tells_phase_size_and_time():
    """One line says how far a query is."""
    running = {
        "phase": "fetching",
        "attempt": 2,
        "progress": {"rows": 12_000, "bytes": 3_400_000, "chunks": 2},
    }
    snapshot = parse_snapshot({"queryUuid": "q", "status": "running", **running})
    expected = "fetching · 12,000 rows · 3.4 MB · 2 chunks · attempt 2 · 4.2 s"
    assert expected == progress_text(snapshot, seconds=4.21)
    waiting = parse_snapshot({"queryUuid": "q", "status": "pending", "phase": "queued", "queuePosition": 3})
    assert progress_text(waiting, seconds=1) == "queued · number 3 in the queue · 1.0 s"
