"""What every object store promises."""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx2
import pytest

from queryfleet.errors import InternalError, ObjectNotFoundError, ResultCorruptError
from queryfleet.results.store import ObjectStore, StoreOptions, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An empty place for one test's objects."""

    url: str
    options: StoreOptions | None = None
    listed_count: int = 1100  # more than one page of a listing


@pytest.fixture(params=["memory", "local", "rclone", "swift"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Yield a place in each kind of store in turn."""
    match request.param:
        case "memory":
            return Place(url=f"memory://{uuid4()}")
        case "local":
            return Place(url=(tmp_path / "a store").as_uri())
        case kind:
            server = request.getfixturevalue(f"{kind}_server")
            count = 60 if kind == "swift" else 1100  # it needs some 6 ms for each
            return Place(url=f"s3://tests/{uuid4()}/ä", options=server.options, listed_count=count)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[ObjectStore]:
    """Yield an open, empty store."""
    opened = open_store(place.url, place.options)
    yield opened
    await opened.close()


async def keys_below(store: ObjectStore, prefix: str = "") -> list[str]:
    """List all keys, sorted."""
    return sorted([info.key async for info in store.list(prefix)])


@pytest.mark.parametrize("size", [0, 1, 100_000, 16 * MIB])
async def test_put_any_size_is_read_back_whole(store, size):
    """What was put is what is got, from nothing to 16 MiB."""
    data = os.urandom(size)
    await store.put("results/q/1/00000000.jsonl", data)
    assert data == await store.get("results/q/1/00000000.jsonl")
    (info,) = [info async for info in store.list("results/q/")]
    assert ("results/q/1/00000000.jsonl", size) == (info.key, info.byte_count)


@pytest.mark.parametrize("kind", [bytes, bytearray, lambda data: memoryview(data)[3:]])
async def test_put_any_buffer_kind_is_accepted(store, kind):
    """Bytes, byte arrays and views on a part of either can be put."""
    data = kind(b"0123456789")
    await store.put("a", data)
    assert bytes(data) == await store.get("a")


async def test_put_existing_key_replaces_the_object(store):
    """A second put to a key, longer or shorter, wins completely."""
    for data in (b"first", b"second and longer", b"3"):
        await store.put("a/b", data)
        assert data == await store.get("a/b")
        assert data[1:] == await store.get_range("a/b", 1, len(data))


async def test_get_missing_object_raises_not_found(store):
    """A missing object is its own error, not worth a repetition, and names the key."""
    await store.put("there/x", b"1")
    for read in (
        store.get("not/there"),
        store.get_range("not/there", 0, 1),
        store.get_range("not/there", 0, 0),
        store.get("there"),
    ):
        with pytest.raises(ObjectNotFoundError, match="there") as caught:
            await read
        assert not caught.value.retryable


async def test_get_range_within_object_returns_exactly_those_bytes(store):
    """Any range from the first byte to the last one is answered exactly, empty ones too."""
    data = os.urandom(700_000)
    await store.put("a", data)
    cases = [(0, 0), (0, 1), (0, len(data)), (len(data) - 1, len(data)), (len(data), len(data)), (5, 5)]
    cases += [tuple(sorted(random.Random(7).choices(range(len(data) + 1), k=2))) for _ in range(10)]
    for start, end in cases:
        assert data[start:end] == await store.get_range("a", start, end), (start, end)


async def test_get_range_beyond_the_end_raises_corrupt(store):
    """A range that ends after the object's last byte is an error, never fewer bytes."""
    await store.put("a", b"0123456789")
    await store.put("empty", b"")
    for key, start, end in (("a", 0, 11), ("a", 9, 11), ("a", 10, 11), ("a", 50, 60), ("a", 11, 11)):
        with pytest.raises(ResultCorruptError, match="a"):
            await store.get_range(key, start, end)
    with pytest.raises(ResultCorruptError):
        await store.get_range("empty", 0, 1)
    assert await store.get_range("empty", 0, 0) == b""


async def test_get_range_wrong_bounds_is_a_bug(store):
    """Bounds that are no range are the caller's mistake."""
    for start, end in ((-1, 1), (2, 1), (-2, -1)):
        with pytest.raises(InternalError):
            await store.get_range("a", start, end)


async def test_put_and_get_many_at_once_keep_objects_apart(store):
    """Sixty concurrent writers and readers get each their own bytes."""
    objects = {f"many/{number:03}": os.urandom(1000 + 500 * number) for number in range(60)}
    await asyncio.gather(*(store.put(key, data) for key, data in objects.items()))
    read = await asyncio.gather(*(store.get(key) for key in objects))
    assert list(objects.values()) == read
    parts = await asyncio.gather(*(store.get_range(key, 10, 900) for key in objects))
    assert [data[10:900] for data in objects.values()] == parts


async def test_put_same_key_at_once_leaves_one_whole_object(store):
    """Of concurrent writers of one key one wins, and no reader sees a mixture."""
    versions = [bytes([number]) * (200_000 + number) for number in range(6)]
    await store.put("same", versions[0])
    answers = await asyncio.gather(*(store.put("same", data) for data in versions), *(store.get("same"),) * 1)
    assert answers[-1] in versions
    assert await store.get("same") in versions


@pytest.mark.parametrize(
    "key",
    [
        "ünï/Ω 漢字/😀.jsonl",
        "with space/and+plus/%41",
        "quote'\"<&>;?#=@/x",
        "a" * 200 + "/b",
        ".hidden/..x/y..",
    ],
)
async def test_put_unusual_key_is_kept_as_spelled(store, key):
    """Keys are text: nothing in them is decoded, folded or escaped on the way."""
    await store.put(key, b"data")
    assert await store.get(key) == b"data"
    assert [key] == await keys_below(store)
    await store.delete([key])
    assert await keys_below(store) == []


IMPOSSIBLE = ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a/./b", "a\nb", "a\0b", "\ud800", "x" * 1025]


async def test_any_call_with_an_impossible_key_is_a_bug(store):
    """A key that could leave the root, or that some store cannot hold, is refused by all of them."""
    for key in IMPOSSIBLE:
        calls = (store.put(key, b""), store.get(key), store.get_range(key, 0, 1), store.delete([key]))
        for call in calls:
            with pytest.raises(InternalError):
                await call


async def test_list_prefix_yields_exactly_the_fitting_keys(store, place):
    """A listing is complete beyond one page, and a prefix is plain text that may end inside a name."""
    begun = datetime.now(UTC)
    expected = [f"results/q1/1/{number:08}" for number in range(place.listed_count)]
    expected += ["results/q1/2/0", "results/q10/1/0"]
    limit = asyncio.Semaphore(16)

    async def put(key: str) -> None:
        async with limit:
            await store.put(key, b"12")

    await asyncio.gather(*(put(key) for key in [*expected, "other/x", "result"]))
    assert sorted(expected) == await keys_below(store, "results/")
    assert sorted(expected) == await keys_below(store, "results/q1")
    assert expected[: place.listed_count] == await keys_below(store, "results/q1/1/")
    assert expected[10:20] == await keys_below(store, "results/q1/1/0000001")
    assert await keys_below(store, "o") == ["other/x"]
    assert await keys_below(store, "results/q1/3/") == []
    assert await keys_below(store, "nothing/at/all") == []
    infos = [info async for info in store.list("results/q1/2")]
    assert [info.byte_count for info in infos] == [2]
    assert timedelta(0) == infos[0].modified_at.utcoffset()
    assert infos[0].modified_at.tzinfo is UTC
    assert abs(infos[0].modified_at - begun) < timedelta(seconds=60)
    await store.delete([*expected, "never/was"])
    assert await keys_below(store) == ["other/x", "result"]


async def test_list_neighbour_with_a_longer_name_stays_apart(store, place):
    """A store whose root begins with another one's name shares nothing with it."""
    neighbour = open_store(f"{place.url}2", place.options)
    await store.put("mine", b"1")
    await neighbour.put("theirs", b"2")
    assert await keys_below(store) == ["mine"]
    assert await keys_below(neighbour) == ["theirs"]
    await neighbour.close()


async def test_delete_repeated_or_unknown_keys_is_no_error(store):
    """Deleting is idempotent, and touches only what was named."""
    await store.put("a/b", b"1")
    await store.put("a/c", b"1")
    await store.delete([])
    await store.delete(["a/b", "a/b", "never/was"])
    await store.delete(["a/b"])
    assert await keys_below(store) == ["a/c"]


async def test_put_cancelled_at_any_moment_leaves_all_or_nothing(store):
    """However far a cancelled put had come, its key is missing or holds the whole object."""
    data = os.urandom(4 * MIB)
    for ticks in (0, 1, 2, 3, 5, 8, 13, 40, 100):
        key = f"cancelled/{ticks}"
        task = asyncio.create_task(store.put(key, data))
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            assert data == await store.get(key)
        except ObjectNotFoundError:
            # A body that was sent before the cancel may still become an object: then it is whole.
            if await keys_below(store, key):
                assert data == await store.get(key)


async def test_open_store_again_reads_what_another_wrote(store, place):
    """A second store at the same URL, and at the one the first tells, sees every object at once."""
    await store.put("a/b", b"data")
    for url in (place.url, store.url):
        second = open_store(url, place.options)
        assert store.url == second.url
        assert await second.get("a/b") == b"data"
        assert await keys_below(second) == ["a/b"]
        await second.close()


async def test_close_twice_then_use_is_a_bug(place):
    """A store can be closed twice, unused too; then it refuses everything."""
    opened = open_store(place.url, place.options)
    await opened.close()
    await opened.close()
    for call in (opened.put("a", b""), opened.get("a"), opened.get_range("a", 0, 1), opened.delete(["a"])):
        with pytest.raises(InternalError, match="closed"):
            await call
    with pytest.raises(InternalError, match="closed"):
        await keys_below(opened)


# Streams -------------------------------------------------------------------------------------------------------


async def stream_of(*pieces: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    """Yield the pieces, then maybe fail."""
    for piece in pieces:
        yield piece
    if error is not None:
        raise error


@pytest.mark.parametrize("sizes", [[], [0], [10], [3 * MIB] * 3, [20 * MIB, 1], [8 * MIB], [8 * MIB] * 2])
async def test_stream_of_any_size_is_one_whole_object(store, sizes):
    """However the pieces are cut, the object is all of them."""
    pieces = [os.urandom(size) for size in sizes]
    whole = b"".join(pieces)
    assert await store.put_stream("results/q/1/exports/a.csv", stream_of(*pieces)) == len(whole)
    assert await store.get("results/q/1/exports/a.csv") == whole
    assert await keys_below(store) == ["results/q/1/exports/a.csv"]


async def test_stream_that_fails_leaves_what_was_there(store):
    """A stream that breaks off in the middle neither shows a part nor harms the older object."""
    await store.put("a", b"old")
    for key in ("a", "b"):
        with pytest.raises(RuntimeError):
            await store.put_stream(key, stream_of(os.urandom(9 * MIB), os.urandom(9 * MIB), error=RuntimeError()))
    assert (await keys_below(store), await store.get("a")) == (["a"], b"old")


async def test_stream_that_is_cancelled_leaves_nothing(store):
    """A cancelled stream shows nothing, and nothing of it appears later."""
    reached = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield os.urandom(8 * MIB)
        reached.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(store.put_stream("a", endless()))
    await asyncio.wait_for(reached.wait(), 30)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert await keys_below(store) == []
    assert await store.abandon_uploads(datetime.now(UTC) + timedelta(hours=1)) == 0


async def test_signed_url_reads_the_object_and_nothing_else(store, place):
    """A link gives the bytes and ranges of its object to anybody; stores that are no web servers give none."""
    await store.put("results/ä b.csv", b"0123456789")
    url = await store.signed_url("results/ä b.csv", seconds=60, file_name="Größe 1.csv")
    if place.options is None:
        assert url is None
        return
    assert place.options.secret_access_key.get_secret_value() not in url
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(url)
        assert (answer.status_code, answer.content) == (200, b"0123456789")
        part = await http.get(url, headers={"Range": "bytes=3-5"})
        assert part.content == b"345"
        assert (await http.get(url.replace("results", "result"))).status_code >= 400
    elsewhere = open_store(place.url, replace(place.options, links_url="http://links.test:1234"))
    assert (await elsewhere.signed_url("a", seconds=60)).startswith("http://links.test:1234/tests/")
    await elsewhere.close()
    nowhere = open_store(place.url, replace(place.options, links_url="none"))
    assert await nowhere.signed_url("a", seconds=60) is None
    await nowhere.close()


async def test_abandoned_stream_is_dropped_once_it_is_old(store, place):
    """What a process that died has left of a stream goes, if it is old enough; objects stay."""
    await store.put("results/a", b"x")
    left = 1
    if place.options is not None:
        await store.send("create_multipart_upload", store._name("results/b"))
    elif place.url.startswith("file:"):
        (store._root / "results" / ".queryfleet-put-left").write_bytes(b"half")
    else:
        left = 0
    now = datetime.now(UTC)
    assert await store.abandon_uploads(now - timedelta(hours=1)) == 0
    assert await store.abandon_uploads(now + timedelta(hours=1)) == left
    assert await store.abandon_uploads(now + timedelta(hours=1)) == 0
    assert await keys_below(store) == ["results/a"]
