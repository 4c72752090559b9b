"""Groups of a result's pieces, fetched by others: what becomes of rows, order and failures. Without a cluster."""

from __future__ import annotations

import asyncio
import pickle
import uuid
from dataclasses import dataclass

import pyarrow as pa
import pytest

from actors.fan_out import FanOut, FetchGroup, fetch_group, groups_of
from queryfleet.errors import QueryCancelledError, WarehouseConnectionError, WarehouseQueryError
from queryfleet.results.encoder import Encoder
from queryfleet.results.reader import read_lines
from queryfleet.results.store_memory import MemoryStore

pytestmark = pytest.mark.anyio

QUERY = str(uuid.uuid4())
SCHEMA = pa.schema([("n", pa.int64())])


def rows(begin, end):
    return pa.record_batch([pa.array(range(begin, end), pa.int64())], schema=SCHEMA)


@dataclass(frozen=True)
class Piece:
    """Some rows, whose link may have expired."""

    begin: int
    end: int
    byte_count: int = 10
    expired: bool = False

    @property
    def row_count(self):
        return self.end - self.begin

    def read(self):
        if self.expired:
            raise OSError("403")
        return rows(self.begin, self.end)


class Session:
    """Gives fresh pieces of any rows, cut otherwise than before."""

    def __init__(self):
        self.asked = []

    def partitions(self, *, first_row, end_row=None):
        self.asked.append((first_row, end_row))
        middle = (first_row + end_row) // 2
        return [Piece(first_row, middle), Piece(middle, end_row)]


def groups(pieces, *, target_bytes=20, index=0, first_row=0):
    first = FetchGroup(
        query_uuid=QUERY, attempt=1, index=index, first_row=first_row, block_rows=100, partitions=()
    )  # fmt: skip
    return groups_of(pieces, first=first, target_bytes=target_bytes)


async def run(parts, fetch, *, session=None, at_once=3, check=lambda: None):
    refs = []

    async def add(ref):
        refs.append(ref)

    await FanOut(session or Session(), fetch, at_once=at_once, check=check).run(parts, add)
    return sorted(refs, key=lambda ref: ref.index)


@pytest.mark.parametrize("target_bytes", [1, 20, 25, 1000])
def test_groups_of_pieces_cover_all_rows_once(target_bytes):
    """Groups are adjacent, numbered without a gap, and hold every piece once."""
    pieces = [Piece(begin, begin + 7) for begin in range(30, 100, 7)]
    found = groups(pieces, target_bytes=target_bytes, index=4, first_row=30)
    assert [group.index for group in found] == list(range(4, 4 + len(found)))
    assert [piece for group in found for piece in group.partitions] == pieces
    assert [group.first_row for group in found[1:]] == [group.end_row for group in found[:-1]]
    assert (found[0].first_row, found[-1].end_row) == (30, 100)
    assert pickle.loads(pickle.dumps(found)) == found


async def test_fan_out_stores_every_row_in_order():
    """Whatever order groups end in, their chunks are the result."""
    store = MemoryStore()

    async def fetch(group):
        await asyncio.sleep(0.01 * (3 - group.index % 4))
        return await fetch_group(group, store)

    refs = await run(groups([Piece(begin, begin + 333) for begin in range(0, 3330, 333)]), fetch)
    assert [ref.first_row for ref in refs] == [666 * number for number in range(5)]
    assert await read_lines(store, refs, 0, 3330) == bytes(Encoder(SCHEMA).encode(rows(0, 3330)).data)
    assert await read_lines(store, refs, 650, 40) == bytes(Encoder(SCHEMA).encode(rows(650, 690)).data)


async def test_fan_out_repeats_only_the_group_that_failed():
    """Links that expired and tasks that were lost cost their own group, with fresh links."""
    store, session, fetched = MemoryStore(), Session(), []

    async def fetch(group):
        fetched.append(group.index)
        if group.index == 2 and fetched.count(2) == 1:
            raise WarehouseConnectionError("The cluster lost the task.", transient=True)
        return await fetch_group(group, store)

    pieces = [Piece(begin, begin + 50, expired=begin == 50) for begin in range(0, 400, 50)]
    refs = await run(groups(pieces), fetch, session=session)
    assert sorted(fetched) == [0, 0, 1, 2, 2, 3]
    assert sorted(session.asked) == [(0, 100), (200, 300)]
    assert await read_lines(store, refs, 0, 400) == bytes(Encoder(SCHEMA).encode(rows(0, 400)).data)


async def test_fan_out_gives_up_on_a_group_that_never_works():
    """After three tries the error ends the attempt, and nothing is left under way."""
    tries = []

    async def fetch(group):
        tries.append(group.index)
        raise WarehouseConnectionError("The link has expired.", transient=True)

    with pytest.raises(WarehouseConnectionError):
        await run(groups([Piece(0, 10)]), fetch)
    assert len(tries) == 3


async def test_fan_out_does_not_repeat_what_cannot_help():
    """A value that cannot be delivered is told at once."""
    tries = []

    async def fetch(group):
        tries.append(group.index)
        raise WarehouseQueryError("Column v holds a value that cannot be delivered.")

    with pytest.raises(WarehouseQueryError):
        await run(groups([Piece(0, 10)]), fetch)
    assert len(tries) == 1


async def test_fan_out_that_is_not_wanted_any_more_ends_soon():
    """A cancel does not wait for tasks."""
    wanted, ended = [True], asyncio.Event()

    async def fetch(_):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    def check():
        if not wanted[0]:
            raise QueryCancelledError("The query was cancelled.")

    running = asyncio.create_task(run(groups([Piece(0, 10)]), fetch, check=check))
    await asyncio.sleep(0)
    wanted[0] = False
    with pytest.raises(QueryCancelledError):
        async with asyncio.timeout(5):
            await running
    assert ended.is_set()
