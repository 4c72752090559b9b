"""The result writer: committed in order, held back by a slow store, all or nothing."""

from __future__ import annotations

import asyncio
import json

import pytest

from queryfleet.errors import AttemptFencedError, InternalError, StorageError
from queryfleet.model import Column, ColumnType
from queryfleet.results.chunking import manifest_key
from queryfleet.results.store_memory import MemoryStore
from queryfleet.results.writer import ResultWriter
from tests.strategies.chunked_results import QUERY, chunked, numbered_lines

pytestmark = pytest.mark.anyio

COLUMNS = [Column(reference="n", type=ColumnType.NUMBER)]
IN_FLIGHT = 2
PATIENCE_SECONDS = 10.0


class GatedStore(MemoryStore):
    """A store whose puts wait until the test lets them go on, or fail."""

    def __init__(self):
        super().__init__()
        self.waiting: dict[str, asyncio.Future[None]] = {}  # by key: puts that have begun
        self.held_bytes = self.held_bytes_max = 0
        self.changed = asyncio.Condition()

    async def put(self, key, data):
        gate = self.waiting[key] = asyncio.get_running_loop().create_future()
        self.held_bytes += len(data)
        self.held_bytes_max = max(self.held_bytes_max, self.held_bytes)
        async with self.changed:
            self.changed.notify_all()
        try:
            await gate
        finally:
            self.held_bytes -= len(data)
            del self.waiting[key]
        await super().put(key, data)

    async def wait_for(self, *keys):
        """Return once puts of all these keys have begun."""
        async with asyncio.timeout(PATIENCE_SECONDS), self.changed:
            await self.changed.wait_for(lambda: all(key in self.waiting for key in keys))

    def release(self, key):
        """Let a put that has begun go on."""
        self.waiting[key].set_result(None)


class FailingStore(MemoryStore):
    """A store that takes no object whose key ends so."""

    def __init__(self, ending):
        super().__init__()
        self._ending = ending

    async def put(self, key, data):
        if key.endswith(self._ending):
            raise StorageError("The store is away.")
        await super().put(key, data)


@pytest.fixture
def chunks():
    """Six chunks of ten rows."""
    return chunked(numbered_lines(60), [10] * 6, block_rows=5).chunks


def writer_on(store, *, commit=None, in_flight=IN_FLIGHT):
    """Return a writer and the list of what it commits: (index, whether its object was there then)."""
    committed = []

    async def note(ref):
        if commit is not None:
            await commit(ref)
        there = [info.key async for info in store.list(ref.key)]
        committed.append((ref.index, bool(there)))

    return ResultWriter(store, QUERY, 1, commit=note, uploads_in_flight=in_flight), committed


async def keys_of(store):
    """Return the keys of every object, sorted."""
    return sorted([info.key async for info in store.list("")])


async def settled():
    """Let every task that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_put_commits_in_order_after_each_object_is_durable(chunks):
    """Uploads that end in another order are published in the order of rows, none before its object."""
    store = GatedStore()
    writer, committed = writer_on(store, in_flight=3)
    for chunk in chunks[:3]:
        await writer.put(chunk)
    await store.wait_for(*(chunk.ref.key for chunk in chunks[:3]))
    store.release(chunks[2].ref.key)
    store.release(chunks[1].ref.key)
    await settled()
    assert committed == []
    store.release(chunks[0].ref.key)
    await settled()
    assert committed == [(0, True), (1, True), (2, True)]
    await writer.abandon()


async def test_put_waits_while_the_uploads_are_full(chunks):
    """A slow store holds the producer back: never more chunks are on their way than allowed."""
    store = GatedStore()
    writer, _ = writer_on(store)
    await writer.put(chunks[0])
    await writer.put(chunks[1])
    third = asyncio.create_task(writer.put(chunks[2]))
    await store.wait_for(chunks[0].ref.key, chunks[1].ref.key)
    await settled()
    assert not third.done()
    assert len(store.waiting) == IN_FLIGHT
    store.release(chunks[1].ref.key)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await third
    await store.wait_for(chunks[2].ref.key)
    assert len(store.waiting) == IN_FLIGHT
    assert store.held_bytes_max <= IN_FLIGHT * max(chunk.ref.byte_count for chunk in chunks)
    await writer.abandon()


async def test_put_waits_while_commits_are_held_up(chunks):
    """A database that is away holds the producer back like a slow store does."""
    gate = asyncio.Event()
    writer, committed = writer_on(MemoryStore(), commit=lambda _: gate.wait())
    await writer.put(chunks[0])
    await writer.put(chunks[1])
    third = asyncio.create_task(writer.put(chunks[2]))
    await settled()
    assert not third.done()
    gate.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await third
        await writer.finish(None, columns=COLUMNS)
    assert [index for index, _ in committed] == [0, 1, 2]


async def test_finish_leaves_the_last_chunk_uncommitted_and_writes_the_manifest(chunks):
    """When finish returns everything is durable, the manifest included, and only the last chunk is unpublished."""
    store = MemoryStore()
    writer, committed = writer_on(store)
    for chunk in chunks[:-1]:
        await writer.put(chunk)
    finished = await writer.finish(chunks[-1], columns=COLUMNS)
    assert [index for index, _ in committed] == [0, 1, 2, 3, 4]
    assert (chunks[-1].ref,) == finished.uncommitted
    assert (60, 6) == (finished.row_count, finished.chunk_count)
    assert sum(len(chunk.data) for chunk in chunks) == finished.byte_count
    assert sorted([*(chunk.ref.key for chunk in chunks), manifest_key(QUERY, 1)]) == await keys_of(store)
    manifest = json.loads(await store.get(manifest_key(QUERY, 1)))
    assert [chunk.ref.key for chunk in chunks] == [entry["key"] for entry in manifest["chunks"]]


async def test_finish_waits_for_manifest_and_last_chunk(chunks):
    """Finish does not return while either is still on its way."""
    store = GatedStore()
    writer, _ = writer_on(store)
    finishing = asyncio.create_task(writer.finish(chunks[0], columns=COLUMNS))
    await store.wait_for(chunks[0].ref.key, manifest_key(QUERY, 1))
    store.release(chunks[0].ref.key)
    await settled()
    assert not finishing.done()
    store.release(manifest_key(QUERY, 1))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await finishing).chunk_count == 1


async def test_finish_of_an_empty_result_writes_only_the_manifest():
    """No rows, no chunks: the manifest alone says so."""
    store = MemoryStore()
    writer, _ = writer_on(store)
    finished = await writer.finish(None, columns=COLUMNS)
    assert ((), 0, 0, 0) == (
        finished.uncommitted,
        finished.row_count,
        finished.byte_count,
        finished.chunk_count,
    )
    assert [manifest_key(QUERY, 1)] == await keys_of(store)


async def test_failed_upload_ends_the_writer(chunks):
    """What an upload failed with is raised by the next put and by finish, and nothing after it is committed."""
    store = FailingStore("00000001.jsonl")
    writer, committed = writer_on(store)
    await writer.put(chunks[0])
    await writer.put(chunks[1])
    await settled()
    with pytest.raises(StorageError):
        await writer.put(chunks[2])
    with pytest.raises(StorageError):
        await writer.finish(chunks[3], columns=COLUMNS)
    assert committed == [(0, True)]
    assert manifest_key(QUERY, 1) not in await keys_of(store)


async def test_refused_commit_ends_the_writer(chunks):
    """An attempt that has lost its query learns it from its next chunk."""

    async def refuse(_):
        raise AttemptFencedError("Another attempt has this query.")

    writer, committed = writer_on(MemoryStore(), commit=refuse)
    await writer.put(chunks[0])
    await settled()
    with pytest.raises(AttemptFencedError):
        await writer.put(chunks[1])
    assert committed == []


@pytest.mark.parametrize("ending", ["manifest.json", "00000000.jsonl"])
async def test_finish_that_cannot_write_everything_fails(chunks, ending):
    """A result whose last chunk or manifest is not durable is not finished."""
    writer, _ = writer_on(FailingStore(ending))
    with pytest.raises(StorageError):
        await writer.finish(chunks[0], columns=COLUMNS)
    await writer.abandon()


async def test_abandon_leaves_no_running_task(chunks):
    """After abandon no upload is under way, none can begin, and nothing was published."""
    store = GatedStore()
    before = asyncio.all_tasks()
    writer, committed = writer_on(store)
    await writer.put(chunks[0])
    await writer.put(chunks[1])
    waiting = asyncio.create_task(writer.put(chunks[2]))
    await store.wait_for(chunks[0].ref.key, chunks[1].ref.key)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await writer.abandon()
        with pytest.raises(InternalError):
            await waiting
    assert asyncio.all_tasks() == before
    assert (store.waiting, await keys_of(store), committed) == ({}, [], [])


async def test_abandon_after_a_failed_finish_stops_its_other_upload(chunks):
    """When the manifest fails while the last chunk is on its way, no object appears after the clean-up."""
    store = GatedStore()
    writer, _ = writer_on(store)
    finishing = asyncio.create_task(writer.finish(chunks[0], columns=COLUMNS))
    await store.wait_for(chunks[0].ref.key, manifest_key(QUERY, 1))
    store.waiting[manifest_key(QUERY, 1)].set_exception(StorageError("The store is away."))
    with pytest.raises(StorageError):
        await finishing
    async with asyncio.timeout(PATIENCE_SECONDS):
        await writer.abandon()
    assert (store.waiting, await keys_of(store)) == ({}, [])
