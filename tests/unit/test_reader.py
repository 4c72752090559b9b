"""Reading by byte range: exactly the wanted lines, or the right error."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings

from queryfleet.errors import ResultCorruptError, ResultsExpiredError
from queryfleet.results.chunking import manifest_key
from queryfleet.results.reader import delete_attempt, read_lines
from queryfleet.results.store_memory import MemoryStore
from tests.strategies.chunked_results import QUERY, chunked, numbered_lines, pages

pytestmark = pytest.mark.anyio


class CountingStore(MemoryStore):
    """A store that counts what is read from it."""

    def __init__(self):
        super().__init__()
        self.ranges = 0
        self.moved_bytes = 0

    async def get_range(self, key, start, end):
        data = await super().get_range(key, start, end)
        self.ranges += 1
        self.moved_bytes += len(data)
        return data


async def stored(result, store=None):
    """Return a store that holds the chunks of `result`."""
    store = store or MemoryStore()
    for key, data in result.objects.items():
        await store.put(key, data)
    return store


@pytest.fixture
def result():
    """Thirty rows in chunks of ten, with block edges at every fifth."""
    return chunked(numbered_lines(30), [10, 10, 10], block_rows=5)


@given(pages())
@settings(deadline=None)
def test_read_lines_of_any_page_gives_exactly_its_lines(page):
    """Whatever the chunks and the page are, the wanted lines come back and no others."""
    result, first_row, row_count = page

    async def read():
        return await read_lines(await stored(result), result.refs, first_row, row_count)

    assert asyncio.run(read()) == result.text(first_row, row_count)


async def test_read_lines_cost_depends_on_the_page_only():
    """The last page of a large result moves as few bytes as the first: its own."""
    result = chunked(numbered_lines(5000), [700] * 7, block_rows=100)
    costs = []
    for first_row in (0, 2400, 4900):
        store = await stored(result, CountingStore())
        text = await read_lines(store, result.refs, first_row, 100)
        assert len(text) == store.moved_bytes
        costs.append(store.ranges)
    assert costs == [1, 1, 1]


async def test_read_lines_with_one_flipped_bit_is_corrupt(result):
    """One wrong bit inside the page is an error that names the object, never a wrong row."""
    store = await stored(result)
    key = result.refs[1].key
    data = bytearray(result.objects[key])
    data[3] ^= 1
    await store.put(key, data)
    with pytest.raises(ResultCorruptError, match="damaged") as caught:
        await read_lines(store, result.refs, 8, 4)
    assert key == caught.value.details["key"]


async def test_read_lines_beside_a_flipped_bit_is_unharmed(result):
    """Damage elsewhere in a chunk does not take away the pages that are whole."""
    store = await stored(result)
    key = result.refs[1].key
    data = bytearray(result.objects[key])
    data[-2] ^= 1
    await store.put(key, data)
    assert await read_lines(store, result.refs, 10, 5) == result.text(10, 5)


async def test_read_lines_of_a_truncated_object_is_corrupt(result):
    """An object that is too short is an error that names it."""
    store = await stored(result)
    key = result.refs[1].key
    await store.put(key, result.objects[key][:-3])
    with pytest.raises(ResultCorruptError) as caught:
        await read_lines(store, result.refs, 15, 5)
    assert key == caught.value.details["key"]


async def test_read_lines_of_a_missing_object_says_run_again(result):
    """Rows that are no longer there are told as expired: the reader's way out is to ask again."""
    store = await stored(result)
    await store.delete([result.refs[1].key])
    with pytest.raises(ResultsExpiredError, match="run the query again"):
        await read_lines(store, result.refs, 8, 4)


async def test_read_lines_with_another_chunks_bytes_is_corrupt(result):
    """An object of the right length with other content is noticed."""
    store = await stored(result)
    await store.put(result.refs[1].key, result.objects[result.refs[2].key])
    assert result.refs[1].byte_count == result.refs[2].byte_count
    with pytest.raises(ResultCorruptError):
        await read_lines(store, result.refs, 10, 5)


async def test_read_lines_with_references_of_other_rows_is_corrupt(result):
    """References that overlap or leave a gap are an error, never other rows."""
    store = await stored(result)
    shifted = [result.refs[0], replace(result.refs[1], first_row=11), result.refs[2]]
    with pytest.raises(ResultCorruptError):
        await read_lines(store, shifted, 8, 4)


async def test_delete_attempt_removes_its_objects_and_no_others(result):
    """Everything an attempt wrote goes, the manifest's copy too; other attempts and queries stay. Twice is fine."""
    store = await stored(result)
    await store.put(manifest_key(QUERY, 1), b"{}")
    others = [manifest_key(QUERY, 11), manifest_key(QUERY, 2), "results/other/1/00000000.jsonl"]
    for key in others:
        await store.put(key, b"x")
    assert await delete_attempt(store, QUERY, 1) == 4
    assert await delete_attempt(store, QUERY, 1) == 0
    assert sorted(others) == sorted([info.key async for info in store.list("")])
