"""Files as objects: what a crash, a cancellation and a bad directory leave behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from queryfleet.errors import InternalError, ObjectNotFoundError, StorageError
from queryfleet.results.store_local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

READER = """
import sys
for _ in range(300):
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    assert len(data) == 400_000 and len(set(data)) == 1, len(data)
"""


def names_in(folder: Path) -> list[str]:
    """List what is in a directory."""
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Yield a store whose directory does not exist yet."""
    return LocalStore(tmp_path / "deep" / "root")


async def test_put_cancelled_while_flushing_shows_nothing(store, tmp_path, monkeypatch):
    """A put cancelled before it took its name leaves no file of any kind, and ends only then."""
    entered, may_go_on = threading.Event(), threading.Event()
    flush = os.fsync

    def slow_flush(descriptor: int) -> None:
        entered.set()
        may_go_on.wait(10)
        flush(descriptor)

    await store.put("a/first", b"1")
    monkeypatch.setattr(os, "fsync", slow_flush)
    task = asyncio.create_task(store.put("a/second", b"2"))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names_in(tmp_path / "deep/root/a") == ["first"]


async def test_put_failing_write_shows_nothing(store, tmp_path, monkeypatch):
    """A full disk is reported as such, and nothing is left of the object."""
    await store.put("a/first", b"1")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full") as caught:
        await store.put("a/second", b"2")
    assert caught.value.retryable
    assert names_in(tmp_path / "deep/root/a") == ["first"]


async def test_put_while_another_process_reads_is_never_seen_half(store, tmp_path):
    """A reader in another process sees whole objects only, however often they are replaced."""
    await store.put("a", b"0" * 400_000)
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READER, str(tmp_path / "deep/root/a"), stderr=subprocess.PIPE
    )
    ended = asyncio.create_task(reader.communicate())
    number = 0
    while not ended.done():
        number += 1
        await store.put("a", bytes([number % 256]) * 400_000)
    assert (await ended, reader.returncode) == ((None, b""), 0)
    assert number > 5


async def test_list_leftover_of_a_killed_writer_is_hidden_and_later_removed(store, tmp_path):
    """What a killed process left is no object, cannot be named, and goes with the last file once old."""
    await store.put("q/1/a", b"1")
    await store.put("q/2/a", b"1")
    folder = tmp_path / "deep/root/q"
    for number, age_seconds in (("1", 7200), ("2", 60)):
        leftover = folder / number / ".queryfleet-put-0"
        leftover.write_bytes(b"half")
        moment = leftover.stat().st_mtime - age_seconds
        os.utime(leftover, (moment, moment))
    assert sorted([info.key async for info in store.list("q")]) == ["q/1/a", "q/2/a"]
    with pytest.raises(InternalError):
        await store.get("q/1/.queryfleet-put-0")
    await store.delete(["q/1/a", "q/2/a"])
    assert names_in(folder) == ["2"]


async def test_delete_last_file_removes_its_directories_but_not_the_root(store, tmp_path):
    """Directories come and go with their files."""
    await store.put("a/b/c", b"1")
    await store.put("a/d", b"1")
    await store.delete(["a/b/c"])
    assert names_in(tmp_path / "deep/root/a") == ["d"]
    await store.delete(["a/d"])
    assert names_in(tmp_path / "deep/root") == []


async def test_put_and_delete_at_once_in_one_directory_both_succeed(store):
    """A directory removed under a writer's feet is made again."""

    async def work(number: int) -> None:
        for _ in range(20):
            await store.put(f"same/deep/{number}", b"1")
            await store.delete([f"same/deep/{number}"])

    await asyncio.gather(*(work(number) for number in range(8)))
    assert [info async for info in store.list("")] == []


async def test_put_root_is_a_file_names_the_store(tmp_path):
    """A store that cannot be a directory is an error of the store, not a missing object."""
    (tmp_path / "file").write_text("in the way")
    store = LocalStore(tmp_path / "file")
    with pytest.raises(StorageError, match="file") as caught:
        await store.put("a/b", b"1")
    assert not isinstance(caught.value, ObjectNotFoundError)
    with pytest.raises(ObjectNotFoundError):
        await store.get("a/b")


async def test_put_file_mode_follows_the_umask(store, tmp_path):
    """Objects can be read by whoever the process's umask lets read."""
    before = os.umask(0o022)
    try:
        await store.put("a", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "deep/root/a").stat().st_mode & 0o777 == 0o644
