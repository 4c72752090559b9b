"""What a client takes, from its headers, and which bytes it asks for."""

from __future__ import annotations

import pytest

from queryfleet.errors import ParameterError
from queryfleet.export.options import ContentCoding, ExportFormat
from queryfleet.export.ranges import byte_range
from serve_app.negotiation import accepted_coding, accepted_format, is_match


@pytest.mark.parametrize(
    ("header", "format_"),
    [
        (None, ExportFormat.JSONL),
        ("*/*", ExportFormat.JSONL),
        ("application/json", ExportFormat.JSONL),
        ("application/x-ndjson", ExportFormat.JSONL),
        ("text/csv", ExportFormat.CSV),
        ("text/*", ExportFormat.CSV),
        ("Text/CSV; charset=utf-8; q=0.5, application/x-ndjson;q=0.1", ExportFormat.CSV),
        ("application/vnd.apache.arrow.stream, */*;q=0.1", ExportFormat.ARROW_STREAM),
        ("application/x-ndjson;q=0, text/csv;q=0.1", ExportFormat.CSV),
    ],
)
def test_accept_chooses_what_is_liked_best(header, format_):
    """The kind with the highest quality is sent; lines of JSON when nothing is said."""
    assert accepted_format(header) is format_


@pytest.mark.parametrize("header", ["image/png", "text/html", "text/csv;q=0", "text/csv;q=x"])
def test_accept_of_nothing_we_have_is_an_error(header):
    """Who takes none of the kinds is told which there are."""
    with pytest.raises(ParameterError, match="text/csv"):
        accepted_format(header)


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, ContentCoding.IDENTITY),
        ("", ContentCoding.IDENTITY),
        ("br", ContentCoding.IDENTITY),
        ("gzip", ContentCoding.GZIP),
        ("gzip, deflate, br, zstd", ContentCoding.ZSTD),
        ("gzip;q=1.0, zstd;q=0.5", ContentCoding.GZIP),
        ("gzip;q=0", ContentCoding.IDENTITY),
        ("*", ContentCoding.ZSTD),
        ("identity, gzip;q=0.5", ContentCoding.IDENTITY),
    ],
)
def test_accept_encoding_chooses_what_is_liked_best(header, coding):
    """Bytes are compressed only for who says so, and never in a way that was refused."""
    assert accepted_coding(header) is coding


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 10)),
        ("bytes=5-99", (5, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=10-", (10, 10)),
        ("bytes=-0", (10, 10)),
        ("bytes=5-2", None),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("lines=0-1", None),
        ("bytes=" + "9" * 30 + "-", None),
    ],
)
def test_range_header_is_read_as_the_standard_says(header, span):
    """One range is understood; what is none, or several, means everything."""
    assert byte_range(header, 10) == span


def test_entity_tags_match_in_lists_and_when_weak():
    """A tag is found among others."""
    assert is_match('W/"a", "b"', '"a"')
    assert not is_match(None, '"a"')
    assert not is_match('"ab"', '"a"')
