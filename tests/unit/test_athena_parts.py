"""Athena's result files and errors, without Athena."""

from __future__ import annotations

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv

from queryfleet.errors import WarehouseConnectionError, WarehouseQueryError, WarehouseTimeoutError
from queryfleet.warehouse import athena_csv
from queryfleet.warehouse.athena_csv import result_rows, whole_rows
from queryfleet.warehouse.athena_errors import AthenaFailure, explained
from queryfleet.warehouse.background import BackgroundCalls

TEXTS = st.one_of(st.none(), st.text(alphabet='a",\n\r ä🦆', max_size=6))
ROWS = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.tuples(*[TEXTS] * width), max_size=12).map(lambda r: (width, r))
)


def file_of(width: int, rows: list[tuple[str | None, ...]]) -> bytes:
    """Write a result file as Athena does: what is there in quotes, NULL as nothing."""
    columns = [pa.array([row[number] for row in rows], pa.string()) for number in range(width)]
    sink = pa.BufferOutputStream()
    table = pa.Table.from_arrays(columns, names=[f"c{number}" for number in range(width)])
    csv.write_csv(table, sink, csv.WriteOptions(quoting_style="all_valid"))
    return sink.getvalue().to_pybytes()


def rows_of(data: bytes, width: int, *, first_row: int = 0) -> list[tuple[str | None, ...]]:
    """Read a file as the warehouse does."""
    calls = BackgroundCalls("test")
    tables = result_rows(lambda start, end: (data[start:end], len(data)), calls, columns=width, first_row=first_row)
    return [row for table in tables for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]


@given(case=ROWS, range_bytes=st.integers(1, 40), skip=st.integers(0, 13))
@settings(max_examples=60, derandomize=True)
def test_result_rows_are_those_of_the_file_however_it_is_cut(case, range_bytes, skip):
    """Quotes, commas, line breaks, NULL and empty texts survive ranges of any length, from any row on."""
    width, rows = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(athena_csv, "FIRST_BYTES", range_bytes)
        patch.setattr(athena_csv, "RANGE_BYTES", range_bytes + 1)
        assert rows[skip:] == rows_of(file_of(width, rows), width, first_row=skip)


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", 0),
        (b'"a"', 0),
        (b'"a"\n', 4),
        (b'"a"\n"b\n', 4),
        (b'"a\n"', 0),
        (b'"a""\n"\n"', 7),
        (b"\n\n", 2),
        (b'\n"\n', 1),
    ],
)
def test_whole_rows_end_outside_quotes(data, end):
    """Only a line break outside quotes ends a row."""
    assert end == whole_rows(data)


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_result_rows_of_a_file_that_is_not_whole_are_an_error(cut):
    """A file that ends inside a row is never taken for all of it."""
    data = file_of(1, [("first",), ("second",)])
    with pytest.raises(WarehouseConnectionError, match="not whole"):
        rows_of(data[:-cut] if cut > 1 else data[:3], 1)


def test_result_rows_of_a_short_range_are_an_error():
    """Fewer bytes than the file has there are no range."""
    with pytest.raises(WarehouseConnectionError, match="incomplete"):
        list(result_rows(lambda start, end: (b'"a"\n', 100), BackgroundCalls("test"), columns=1, first_row=0))


def explain(error: Exception, sql: str | None = "select 1") -> Exception:
    """Make our error of one."""
    return explained(error, place="r/w/d", sql=sql, lines_before=1, secrets=["hunter2"], query_id="q1")


def answer(code: str, message: str, athena: str | None = None) -> ClientError:
    """Make the error of an answer."""
    return ClientError({"Error": {"Code": code, "Message": message}, "AthenaErrorCode": athena}, "StartQueryExecution")


def test_explained_statement_that_failed_has_code_name_and_place():
    """The line counts in the user's statement, not in what was sent."""
    failure = AthenaFailure("TABLE_NOT_FOUND: line 3:8: Table 'x' does not exist", category=2, kind=1301)
    error = explain(failure, "select *\nfrom   x")
    assert isinstance(error, WarehouseQueryError)
    assert error.message == "Table 'x' does not exist"
    assert error.details == {
        "errorCode": "1301", "errorName": "TABLE_NOT_FOUND", "warehouseQueryId": "q1", "lineNumber": 2, "position": 17,
    }  # fmt: skip


def test_explained_place_in_our_own_line_is_left_out():
    """What Athena says of the comment in front is no place in the statement."""
    error = explain(answer("InvalidRequestException", "line 1:1: mismatched input", "MALFORMED_QUERY"))
    assert isinstance(error, WarehouseQueryError)
    assert error.details == {"errorCode": "MALFORMED_QUERY", "warehouseQueryId": "q1"}


@pytest.mark.parametrize(
    ("error", "advice", "transient"),
    [
        (answer("UnrecognizedClientException", "The token hunter2 is invalid."), "access_key_id", False),
        (answer("AccessDeniedException", "not authorized to perform: glue:GetDatabase"), "Glue catalog", False),
        (NoCredentialsError(), "those of the machine", False),
        (answer("ThrottlingException", "Rate exceeded"), "Try again later", True),
        (answer("MetadataException", "Database x not found"), "`database`", False),
        (ConnectTimeoutError(endpoint_url="https://athena"), "`region`", True),
        (AthenaFailure("out of capacity", category=1, retryable=True), "Try again later", True),
    ],
)
def test_explained_fault_of_the_connection_says_what_to_check(error, advice, transient):
    """Logins, permissions, places and networks are told apart, without secrets."""
    found = explain(error)
    assert isinstance(found, WarehouseConnectionError)
    assert advice in found.message
    assert found.details["transient"] is transient
    assert "hunter2" not in f"{found.message}{found.details}"


def test_explained_time_out_of_athena_is_one():
    """Athena's own limit ends a query as ours does."""
    assert isinstance(explain(AthenaFailure("Query timeout", category=1)), WarehouseTimeoutError)
