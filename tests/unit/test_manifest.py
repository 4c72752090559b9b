"""The index of chunks: any page of any result is found, moves few bytes, and is never wrong."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from queryfleet.errors import ResultCorruptError
from queryfleet.model import Column, ColumnType
from queryfleet.results.manifest import blocks_of, manifest_document, page_slices
from queryfleet.results.reader import _cut
from tests.strategies.chunked_results import QUERY, chunked, chunked_results, numbered_lines, pages


def read(result, slices):
    """Return what the slices hold, and how many bytes were read for it."""
    ranges = [result.objects[piece.chunk.key][piece.start : piece.end] for piece in slices]
    parts = [_cut(data, piece) for data, piece in zip(ranges, slices, strict=True)]
    return b"".join(parts), sum(map(len, ranges))


@given(pages())
def test_page_slices_of_any_page_give_exactly_its_lines(page):
    """Whatever the chunks and the page are, the slices cut to exactly the wanted lines."""
    result, first_row, row_count = page
    text, _ = read(result, page_slices(result.refs, first_row, row_count))
    assert text == result.text(first_row, row_count)


@given(chunked_results(), st.data())
def test_page_slices_of_a_page_at_block_edges_read_its_own_bytes_only(result, data):
    """A page whose size is a multiple of the block's moves not one byte more than it has."""
    page_size = result.block_rows * data.draw(st.integers(1, 4))
    first_row = page_size * data.draw(st.integers(0, (len(result.lines) - 1) // page_size))
    row_count = min(page_size, len(result.lines) - first_row)
    text, moved = read(result, page_slices(result.refs, first_row, row_count))
    assert text == result.text(first_row, row_count)
    assert moved == len(text)


@given(st.integers(1, 30), st.lists(st.integers(1, 70), max_size=8), st.data())
def test_page_slices_of_a_page_of_two_blocks_read_less_than_twice_its_bytes(block_rows, row_counts, data):
    """With lines of one length, a page of two blocks or more costs less than twice its own bytes."""
    lines = [b"x" * 9 + b"\n"] * data.draw(st.integers(2 * block_rows, 200))
    result = chunked(lines, row_counts, block_rows=block_rows)
    row_count = data.draw(st.integers(2 * block_rows, len(lines)))
    first_row = data.draw(st.integers(0, len(lines) - row_count))
    text, moved = read(result, page_slices(result.refs, first_row, row_count))
    assert moved < 2 * len(text)


@given(pages())
def test_page_slices_ask_each_chunk_once(page):
    """A page is one range of each chunk that takes part, in row order."""
    result, first_row, row_count = page
    slices = page_slices(result.refs, first_row, row_count)
    keys = [piece.chunk.key for piece in slices]
    assert len(set(keys)) == len(keys)
    assert sorted(keys) == keys
    assert sum(piece.row_count for piece in slices) == row_count


@given(pages(), st.data())
def test_page_slices_with_a_missing_chunk_are_refused(page, data):
    """A gap in the wanted rows is an error, never a shorter page."""
    result, first_row, row_count = page
    needed = [piece.chunk for piece in page_slices(result.refs, first_row, row_count)]
    assume(needed)
    gone = data.draw(st.sampled_from(needed))
    with pytest.raises(ResultCorruptError, match="missing"):
        page_slices([ref for ref in result.refs if ref is not gone], first_row, row_count)


def test_page_slices_beyond_the_last_row_are_refused():
    """More rows than there are is an error, never a shorter page."""
    result = chunked(numbered_lines(10), [4], block_rows=3)
    with pytest.raises(ResultCorruptError) as caught:
        page_slices(result.refs, 8, 3)
    assert (10, 11) == (caught.value.details["firstRow"], caught.value.details["endRow"])


@given(chunked_results())
def test_blocks_of_any_chunk_cover_it_without_overlap(result):
    """Blocks are adjacent, whole lines, between edges that count over the whole result, and checksummed."""
    for chunk in result.chunks:
        row, byte = chunk.ref.first_row, 0
        for block in blocks_of(chunk.ref):
            data = chunk.data[block.start : block.end]
            assert (row, byte) == (block.first_row, block.start)
            assert row == chunk.ref.first_row or row % result.block_rows == 0
            assert block.row_count == data.count(b"\n")
            assert 1 <= block.row_count <= result.block_rows
            assert zlib.crc32(data) == block.crc32
            row, byte = row + block.row_count, block.end
        assert (row, byte) == (chunk.ref.first_row + chunk.ref.row_count, chunk.ref.byte_count)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda ref: replace(ref, byte_count=ref.byte_count + 1),
        lambda ref: replace(ref, row_count=ref.row_count + 5),
        lambda ref: replace(ref, blocks=ref.blocks[:-8]),
        lambda ref: replace(ref, blocks=ref.blocks + struct.pack("<II", 1, 0)),
        lambda ref: replace(ref, blocks=ref.blocks[:-1]),
        lambda ref: replace(ref, blocks=b""),
        lambda ref: replace(ref, blocks=struct.pack("<I", 0) + ref.blocks[4:]),
    ],
    ids=["bytes", "rows", "block lost", "block added", "cut short", "empty", "no distance"],
)
def test_blocks_of_an_index_that_does_not_fit_are_refused(spoil):
    """A damaged index is told, never believed."""
    ref = chunked(numbered_lines(10), [], block_rows=5).refs[0]
    with pytest.raises(ResultCorruptError) as caught:
        blocks_of(spoil(ref))
    assert ref.key == caught.value.details["key"]


def test_manifest_document_names_every_chunk_and_adds_up():
    """The copy beside the chunks explains the whole result."""
    result = chunked(numbered_lines(10), [4], block_rows=5)
    columns = [Column(reference="n", type=ColumnType.NUMBER)]
    document = manifest_document(query_uuid=QUERY, attempt=1, columns=columns, chunks=result.refs)
    assert document["complete"] is True
    assert [{"reference": "n", "type": "number"}] == document["columns"]
    assert (10, len(result.text(0, 10))) == (document["rowCount"], document["byteCount"])
    assert [
        {
            "key": ref.key,
            "firstRow": ref.first_row,
            "rowCount": ref.row_count,
            "byteCount": ref.byte_count,
            "crc32": f"{ref.crc32:08x}",
        }
        for ref in result.refs
    ] == document["chunks"]
