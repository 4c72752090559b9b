"""Parts that are compressed one by one and still are one stream."""

from __future__ import annotations

import zlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queryfleet.export.compression import StreamCoder, coded, joined_crc32
from queryfleet.export.options import ContentCoding

PARTS = st.lists(st.binary(max_size=300) | st.just(b"abc" * 1000), max_size=5)


@given(PARTS)
@settings(max_examples=50, derandomize=True)
def test_gzip_parts_are_one_member(parts):
    """A reader that stops after the first member has all bytes, and nothing follows."""
    reader = zlib.decompressobj(31)
    assert reader.decompress(StreamCoder(ContentCoding.GZIP).whole(parts)) == b"".join(parts)
    assert reader.eof
    assert reader.unused_data == b""


@given(PARTS)
@settings(max_examples=50, derandomize=True)
def test_zstd_parts_are_one_stream(parts):
    """Frames one after the other read as one."""
    stream = StreamCoder(ContentCoding.ZSTD).whole(parts)
    assert stream
    with pa.CompressedInputStream(pa.BufferReader(stream), "zstd") as reader:
        assert reader.read() == b"".join(parts)


def test_identity_changes_nothing():
    """Without a coding the bytes are the bytes."""
    assert StreamCoder(ContentCoding.IDENTITY).whole([b"a", b"", b"b"]) == b"ab"


def test_gzip_that_breaks_off_is_seen():
    """A stream without its end is no whole member."""
    coder = StreamCoder(ContentCoding.GZIP)
    reader = zlib.decompressobj(31)
    assert reader.decompress(coder.begin() + coder.add(coded(b"a" * 100, ContentCoding.GZIP))) == b"a" * 100
    assert not reader.eof


@given(st.binary(max_size=100), st.binary(max_size=100))
@settings(max_examples=100, derandomize=True)
def test_joined_checksum_is_that_of_the_joined_bytes(first, second):
    """Checksums of parts give that of the whole, whatever the lengths."""
    assert joined_crc32(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


@pytest.mark.parametrize("coding", ContentCoding)
def test_part_is_the_same_each_time(coding):
    """A part that is made twice is the same, whoever makes it."""
    assert coded(b"abc" * 500, coding) == coded(b"abc" * 500, coding)
