"""Chunks: small at first, closed by size or age, the same bytes however the rows arrive."""

from __future__ import annotations

import threading
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.results.chunking import ChunkBuilder, ChunkLimits, chunk_key, manifest_key, result_prefix
from queryfleet.results.manifest import blocks_of
from tests.strategies.chunked_results import QUERY, encoded, numbered_lines

LIMITS = ChunkLimits(
    chunk_bytes=800, chunk_bytes_first=100, chunk_age_seconds=1.0, chunk_age_seconds_max=5.0, block_rows=4
)


class Clock:
    """Monotonic seconds that stand still until told."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """A clock that the test moves."""
    return Clock()


@pytest.fixture
def builder(clock):
    """A builder of small chunks."""
    return ChunkBuilder(QUERY, 2, LIMITS, clock=clock)


def test_limits_double_from_chunk_to_chunk_up_to_their_ends():
    """Sizes and ages grow by two and stop at the configured ends, however many chunks there are."""
    assert [100, 200, 400, 800, 800] == [LIMITS.target_bytes(index) for index in range(5)]
    assert [1.0, 2.0, 4.0, 5.0, 5.0] == [LIMITS.target_age(index) for index in range(5)]
    assert (800, 5.0) == (LIMITS.target_bytes(10**6), LIMITS.target_age(10**6))


def test_limits_with_a_first_chunk_larger_than_all_keep_to_the_smaller():
    """No chunk is asked to be larger than the target of all."""
    assert ChunkLimits(chunk_bytes=10, chunk_bytes_first=100).target_bytes(0) == 10


def test_keys_of_an_attempt_share_its_prefix_and_sort_by_index():
    """What an attempt writes can be listed by one prefix, in order, apart from other attempts."""
    keys = [chunk_key(QUERY, 2, index) for index in (0, 9, 10, 12345)]
    assert sorted(keys) == keys
    assert all(key.startswith(result_prefix(QUERY, 2)) for key in [*keys, manifest_key(QUERY, 2)])
    assert not result_prefix(QUERY, 12).startswith(result_prefix(QUERY, 1))


def test_append_closes_each_chunk_at_its_own_target(builder):
    """The first chunk closes early, later ones at twice the size, the last keeps to the target."""
    sizes = []
    for line in numbered_lines(200):
        sealed = builder.append(encoded([line]))
        sizes += [sealed.ref.byte_count] if sealed is not None else []
    assert len(sizes) > 4
    for index, size in enumerate(sizes):
        assert LIMITS.target_bytes(index) <= size < LIMITS.target_bytes(index) + 30


def test_seal_aged_waits_for_the_oldest_row(builder, clock):
    """A chunk closes when its first row, not its last, has waited long enough."""
    assert builder.seal_aged() is None
    builder.append(encoded([b"a\n"]))
    clock.now = 0.9
    builder.append(encoded([b"b\n"]))
    assert builder.seal_aged() is None
    clock.now = 1.0
    sealed = builder.seal_aged()
    assert sealed is not None
    assert sealed.data == b"a\nb\n"
    assert builder.seal_aged() is None


def test_seal_aged_waits_longer_for_each_chunk(builder, clock):
    """The second chunk may grow twice as old as the first."""
    builder.append(encoded([b"a\n"]))
    assert builder.seal() is not None
    builder.append(encoded([b"b\n"]))
    clock.now = 1.9
    assert builder.seal_aged() is None
    clock.now = 2.0
    assert builder.seal_aged() is not None


def test_seal_of_nothing_gives_no_chunk(builder):
    """An empty result has no chunks, and an empty batch makes none."""
    builder.append(encoded([]))
    assert builder.seal() is None
    assert builder.row_count == 0


def test_row_count_counts_sealed_and_open_rows(builder):
    """Every row counts, stored or not."""
    builder.append(encoded([b"a\n", b"b\n"]))
    builder.seal()
    builder.append(encoded([b"c\n"]))
    assert builder.row_count == 3


def test_append_of_a_batch_whose_lines_do_not_begin_at_zero_keeps_its_lines(builder):
    """A slice of a larger buffer is taken by its offsets."""
    batch = encoded([b"skipped\n", b"a\n", b"bb\n"])
    tail = type(batch)(data=batch.data[8:], offsets=batch.offsets[1:])
    builder.append(tail)
    sealed = builder.seal()
    assert sealed is not None
    assert sealed.data == b"a\nbb\n"
    assert [5] == [block.end for block in blocks_of(sealed.ref)]


_texts = st.lists(st.binary(max_size=60).map(lambda data: data.replace(b"\n", b" ") + b"\n"), max_size=80)


@given(_texts, st.lists(st.integers(0, 30), max_size=10))
def test_any_batching_of_rows_gives_the_same_bytes(lines, cuts):
    """How the warehouse groups rows changes where chunks end, and nothing of what they say together."""
    builder = ChunkBuilder(QUERY, 1, LIMITS, clock=lambda: 0.0)
    chunks, begin = [], 0
    for count in [*cuts, len(lines)]:
        chunks.append(builder.append(encoded(lines[begin : begin + count])))
        begin += count
    chunks = [chunk for chunk in [*chunks, builder.seal()] if chunk is not None]
    assert b"".join(chunk.data for chunk in chunks) == b"".join(lines)
    row = 0
    for index, chunk in enumerate(chunks):
        ref = chunk.ref
        assert (index, chunk_key(QUERY, 1, index), row) == (ref.index, ref.key, ref.first_row)
        assert (chunk.data.count(b"\n"), len(chunk.data)) == (ref.row_count, ref.byte_count)
        assert zlib.crc32(chunk.data) == ref.crc32
        for block in blocks_of(ref):
            assert zlib.crc32(chunk.data[block.start : block.end]) == block.crc32
        row += ref.row_count
    assert len(lines) == row == builder.row_count


def test_two_threads_that_append_and_seal_lose_nothing():
    """While one thread appends and another closes chunks, every row is in one chunk, in order."""
    limits = ChunkLimits(chunk_bytes=4096, chunk_bytes_first=4096, chunk_age_seconds=1e-9, block_rows=7)
    builder = ChunkBuilder(QUERY, 1, limits)
    lines = numbered_lines(3000)
    full, aged, done = [], [], threading.Event()

    def seal():
        while not done.is_set():
            aged.append(builder.seal_aged())

    sealer = threading.Thread(target=seal)
    sealer.start()
    full.extend(builder.append(encoded(lines[begin : begin + 3])) for begin in range(0, len(lines), 3))
    done.set()
    sealer.join(timeout=10)
    sealed = [chunk for chunk in (*full, *aged, builder.seal()) if chunk is not None]
    found = sorted(sealed, key=lambda chunk: chunk.ref.index)
    assert list(range(len(found))) == [chunk.ref.index for chunk in found]
    assert b"".join(chunk.data for chunk in found) == b"".join(lines)
    assert sum(chunk.ref.row_count for chunk in found) == len(lines)
