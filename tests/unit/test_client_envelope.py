"""Envelopes, errors made classes again, and answers as values."""

from __future__ import annotations

import json

import pytest

from queryfleet import errors
from queryfleet.client.answers import parse_health, parse_snapshot
from queryfleet.client.envelope import error_class, results_of
from queryfleet.errors import ServiceError, ServiceUnreachableError
from queryfleet.status.transitions import QueryStatus

_URL = "http://service.test"


def _error_body(status, name, *, message="It says why.", data=None):
    error = {"statusCode": status, "name": name, "message": message, "data": data or {}}
    return json.dumps({"status": "error", "error": error}).encode()


def _all_classes():
    return [getattr(errors, name) for name in errors.__all__ if name != "JsonValue"]


@pytest.mark.parametrize("cls", _all_classes(), ids=lambda cls: cls.__name__)
def test_error_class_of_any_wire_name_is_the_class_or_a_relative(cls):
    """An error arrives as its own class, or as the nearest class that shares its wire name."""
    if cls is ServiceUnreachableError:
        assert error_class(cls.wire_name) is ServiceError  # never on the wire
        return
    found = error_class(cls.wire_name, cls.status)
    assert found.wire_name == cls.wire_name
    related = issubclass(found, cls) or issubclass(cls, found)
    assert related or {found, cls} == {errors.ConflictError, errors.QueryCancelledError}


def test_results_of_error_envelope_raises_its_class_with_message_and_data():
    """A refused statement arrives as `WarehouseQueryError` with the warehouse's position."""
    with pytest.raises(errors.WarehouseQueryError) as caught:
        results_of(400, "application/json", _error_body(400, "WarehouseQueryError", data={"position": 8}), url=_URL)
    assert (caught.value.message, caught.value.details) == ("It says why.", {"position": 8})


def test_results_of_same_name_other_status_chooses_by_status():
    """`S3Error` with 500 is corrupt data, with 503 a store that is away."""
    with pytest.raises(errors.ResultCorruptError):
        results_of(500, "application/json", _error_body(500, "S3Error"), url=_URL)
    with pytest.raises(errors.StorageError) as caught:
        results_of(503, "application/json", _error_body(503, "S3Error"), url=_URL)
    assert type(caught.value) is errors.StorageError


def test_results_of_unknown_error_name_raises_service_error_that_keeps_it():
    """An error of a newer service is still an error, with its name and status in the details."""
    with pytest.raises(ServiceError) as caught:
        results_of(418, "application/json", _error_body(418, "TeapotError"), url=_URL)
    assert type(caught.value) is ServiceError
    assert caught.value.details == {"errorName": "TeapotError", "httpStatus": 418}


def test_results_of_error_data_named_like_parameters_is_kept():
    """Field names in the data cannot collide with the error's own parameters."""
    data = {"message": {"message": "too long"}, "self": 1, "cls": 2}
    with pytest.raises(errors.InvalidRequestError) as caught:
        results_of(422, "application/json", _error_body(422, "ValidateError", data=data), url=_URL)
    assert data == caught.value.details


@pytest.mark.parametrize("status", [502, 503, 504])
def test_results_of_gateway_page_is_unreachable(status):
    """A proxy that answers for a service that is down is told apart from the service."""
    with pytest.raises(ServiceUnreachableError, match=f"http://service.test answered {status}"):
        results_of(status, "text/html; charset=utf-8", b"<html>Bad Gateway</html>", url=_URL)


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"{}", b'{"status":"ok"', b""])
@pytest.mark.parametrize("status", [200, 302, 404])
def test_results_of_anything_but_an_envelope_is_a_clear_error(status, body):
    """An address that is not the service's says so, and does not crash or look empty."""
    with pytest.raises(ServiceError, match="not the query service's"):
        results_of(status, "text/html", body, url=_URL)


def test_parse_snapshot_of_running_query_has_progress_and_timings():
    """Everything the service tells about a running query is there."""
    snapshot = parse_snapshot(
        {
            "status": "running",
            "queryUuid": "q",
            "phase": "fetching",
            "attempt": 2,
            "progress": {"rows": 10, "bytes": 200, "chunks": 1},
            "timings": {"queueMs": 4, "connectMs": 1.25},
            "warehouseQueryId": "01a",
            "addedLater": [1],
        }
    )
    assert (snapshot.status, snapshot.phase, snapshot.attempt) == (QueryStatus.RUNNING, "fetching", 2)
    assert (snapshot.progress.rows, snapshot.progress.bytes, snapshot.progress.chunks) == (10, 200, 1)
    assert (snapshot.timings.queue_ms, snapshot.timings.connect_ms, snapshot.timings.fetch_ms) == (
        4,
        1.25,
        None,
    )
    assert snapshot.warehouse_query_id == "01a"
    assert not snapshot.is_ended
    snapshot.raise_if_failed()


def test_parse_snapshot_of_ready_page_keeps_order_raw_and_formatted():
    """A page gives raw records and display texts in the order of its columns."""
    cells = {
        "b": {"value": {"raw": None, "formatted": "∅"}},
        "a": {"value": {"raw": 1234, "formatted": "1,234"}},
    }
    columns = {"a": {"reference": "a", "type": "number"}, "b": {"reference": "b", "type": "geography"}}
    page = parse_snapshot(
        {
            "status": "ready",
            "queryUuid": "q",
            "rows": [cells],
            "columns": columns,
            "page": 1,
            "pageSize": 500,
            "totalResults": 1,
            "totalPageCount": 1,
        }
    ).page
    assert page is not None
    assert [("a", "number"), ("b", "string")] == [(column.reference, column.type) for column in page.columns]
    assert [{"a": 1234, "b": None}] == list(page.records())
    assert list(next(page.records())) == ["a", "b"]
    assert [("1,234", "∅")] == list(page.formatted())


def test_snapshot_of_failed_query_raises_the_class_of_its_failure():
    """A failed query raises what the warehouse said, with its details."""
    snapshot = parse_snapshot(
        {
            "status": "error",
            "queryUuid": "q",
            "error": "no such column",
            "errorName": "WarehouseQueryError",
            "errorData": {"lineNumber": 2},
            "erroredAt": "2026-01-02T03:04:05.678Z",
        }
    )
    with pytest.raises(errors.WarehouseQueryError, match="no such column") as caught:
        snapshot.raise_if_failed()
    assert caught.value.details == {"lineNumber": 2, "queryUuid": "q"}


def test_snapshot_of_cancelled_query_raises_cancelled():
    """A cancelled query has no rows to hope for."""
    with pytest.raises(errors.QueryCancelledError):
        parse_snapshot({"status": "cancelled", "queryUuid": "q"}).raise_if_failed()


@pytest.mark.parametrize(
    "results",
    [
        None,
        [],
        {},
        {"queryUuid": 7},
        {"queryUuid": "q", "status": "hibernating"},
        {"queryUuid": "q", "attempt": True},
        {"queryUuid": "q", "progress": [1]},
        {"queryUuid": "q", "status": "ready", "rows": [1], "columns": {}},
        {"queryUuid": "q", "status": "ready", "rows": []},
    ],
)
def test_parse_snapshot_of_malformed_answer_is_a_service_error(results):
    """A wrong shape is a clear error, never a crash or a guess."""
    with pytest.raises(ServiceError):
        parse_snapshot(results)


def test_parse_health_reads_limits():
    """The limits a client must keep to are published."""
    health = parse_health(
        {
            "healthy": True,
            "version": "1.2",
            "query": {"maxPageSize": 100, "defaultPageSize": 50, "maxLimit": 9},
        }
    )
    assert (health.healthy, health.version, health.max_page_size) == (True, "1.2", 100)
    assert (health.default_page_size, health.max_limit) == (50, 9)
