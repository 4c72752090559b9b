"""Envelopes: times, texts and headers as the wire spells them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from queryfleet.errors import (
    AuthorizationError,
    NotFoundError,
    RequestError,
    StatusStoreError,
    TooManyRequestsError,
)
from serve_app.dependencies import invalid_request
from serve_app.envelope import error_response, iso, ok, ok_with_rows


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC), "2026-01-02T03:04:05.678Z"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000Z"),
        (
            datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            "2026-01-01T21:34:05.000Z",
        ),
    ],
)
def test_iso_of_any_zone_is_utc_with_milliseconds(moment, text):
    """A database that answers in its own zone does not move the times of the answers."""
    assert iso(moment) == text


def test_ok_wraps_what_it_is_given():
    """The envelope has two members and no spaces; other scripts stay readable."""
    assert ok({"a": "größe"}).body == '{"status":"ok","results":{"a":"größe"}}'.encode()
    assert ok(None).body == b'{"status":"ok","results":null}'


def test_ok_with_rows_splices_text_that_is_json_already():
    """Rows are not parsed again on their way out."""
    body = ok_with_rows({"page": 1}, b'[{"a":1}]').body
    assert json.loads(body) == {"status": "ok", "results": {"page": 1, "rows": [{"a": 1}]}}


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (StatusStoreError("away"), "retry-after", "2"),
        (TooManyRequestsError("full", retryAfterSeconds=5), "retry-after", "5"),
        (AuthorizationError("who?"), "www-authenticate", "ApiKey"),
        (NotFoundError("no"), "retry-after", None),
    ],
)
def test_error_response_tells_what_to_do_next_in_its_headers(error, header, value):
    """What passes has a time to come back; what lacks a token says which one."""
    response = error_response(error)
    assert response.headers.get(header) == value
    assert json.loads(response.body)["error"] == {
        "statusCode": error.status,
        "name": error.wire_name,
        "message": error.message,
        "data": error.details,
    }


def test_error_response_with_another_status_has_it_in_both_places():
    """Status line and body agree."""
    response = error_response(RequestError("Method Not Allowed"), status=405)
    assert (response.status_code, json.loads(response.body)["error"]["statusCode"]) == (405, 405)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1], {"a": 1}, None, b"x"])
def test_invalid_request_leaves_out_values_that_json_cannot_show(value):
    """What was sent is shown when it is a plain value, and cut; the answer is valid JSON whatever it was."""
    problem = {"loc": ("body", "limit"), "msg": "Value error, is wrong", "input": value}
    error = invalid_request([problem])
    assert error.details == {"limit": {"message": "is wrong"}}
    shown = invalid_request([problem | {"input": "x" * 1000}])
    assert shown.details == {"limit": {"message": "is wrong", "value": "x" * 100}}
