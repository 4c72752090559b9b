"""Objects as files below one directory, for one machine or a shared mount.

A write goes to a temporary file beside its target, is flushed to disk, and takes its name in one step: a
reader, in any process, sees the old file or the whole new one. All file work runs on the loop's default
threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import threading
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from queryfleet.errors import InternalError, ObjectNotFoundError, ResultCorruptError, StorageError
from queryfleet.results.store import ObjectInfo, check_key, check_prefix, check_range

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from io import BufferedWriter

__all__ = ["LocalStore"]

_T = TypeVar("_T")
_TEMPORARY = ".queryfleet-put-"  # begins the name of every unfinished write
_ABANDONED_SECONDS = 3600  # an unfinished write this old belongs to a process that died
_SLICE_BYTES = 4 * 2**20  # a cancelled write stops after at most this much more
_CREATE_ATTEMPTS = 10
_LISTING_BATCH = 1000  # entries fetched from the listing thread at a time

_HINTS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; raise it",
    errno.EACCES: "permission was denied; let the service's user read and write this directory",
    errno.EPERM: "permission was denied; let the service's user read and write this directory",
    errno.EROFS: "the file system is read-only; choose another directory",
    errno.ENAMETOOLONG: "a name is longer than the file system allows; choose a shorter directory",
}


class LocalStore:
    """Files below `root`, named by their keys; see `ObjectStore`.

    Args:
        root: Absolute directory; made by the first write.

    Names beginning with `.queryfleet-put-` are the store's own. Empty directories are removed with their last
    file.
    """

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root)
        self._closed = False

    @property
    def url(self) -> str:
        """`file:///…`, percent-encoded where needed."""
        return self._root.as_uri()

    @property
    def retry_count(self) -> int:
        """Always 0: nothing here fails for a passing reason."""
        return 0

    async def put(self, key: str, data: bytes | bytearray | memoryview) -> None:
        """Write one file durably; see `ObjectStore.put`. Cost: file and directory are flushed to disk.

        A cancelled write waits until its thread has cleaned up, at most for one slice and one flush.
        """
        path = self._path(key)
        abandoned = threading.Event()
        work = asyncio.create_task(self._run(lambda: _write(path, memoryview(data).cast("B"), abandoned)))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            # The thread cannot be interrupted; left alone it could still make the object visible after the
            # caller was told it is not.
            abandoned.set()
            await asyncio.wait([work])
            if not work.cancelled():
                work.exception()  # marked as seen: the cancellation is what the caller gets
            raise

    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> int:
        """Append pieces to a temporary file, then give it its name; see `ObjectStore.put_stream`."""
        path = self._path(key)
        temporary = path.with_name(f"{_TEMPORARY}{uuid4().hex}")
        byte_count = 0
        file = await self._run(lambda: _create(temporary))
        try:
            async for piece in pieces:
                byte_count += await self._run(partial(file.write, piece))
            await self._run(lambda: _publish(file, temporary, path))
        finally:
            await asyncio.shield(self._run(lambda: _discard(file, temporary)))
        return byte_count

    async def signed_url(self, key: str, *, seconds: int, file_name: str | None = None) -> str | None:  # noqa: ARG002
        """Return None: files are read through the service."""
        self._path(key)
        return None

    async def abandon_uploads(self, before: datetime) -> int:
        """Remove unfinished writes; see `ObjectStore.abandon_uploads`. Cost: walks the whole directory."""
        self._check_open()
        return await self._run(lambda: _remove_unfinished(self._root, before.timestamp()))

    async def get(self, key: str) -> bytes:
        """Return a whole file; see `ObjectStore.get`."""
        path = self._path(key)
        return await self._run(path.read_bytes, key=key)

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        """Return some bytes of a file; see `ObjectStore.get_range`."""
        check_range(start, end)
        path = self._path(key)
        return await self._run(lambda: _read_range(path, start, end), key=key)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove files, and directories that became empty; see `ObjectStore.delete`."""
        paths = [self._path(key) for key in keys]
        await self._run(lambda: _remove(self._root, paths))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield files, without unfinished writes; see `ObjectStore.list`. Reads only fitting directories."""
        self._check_open()
        entries = _walk(self._root, check_prefix(prefix))
        while batch := await self._run(lambda: tuple(itertools.islice(entries, _LISTING_BATCH))):
            for info in batch:
                yield info

    async def close(self) -> None:
        """See `ObjectStore.close`."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise InternalError(f"The store {self.url} was used after it was closed")

    def _path(self, key: str) -> Path:
        self._check_open()
        if any(segment.startswith(_TEMPORARY) for segment in check_key(key).split("/")):
            raise InternalError(f"The object key {key[:100]!r} uses a name kept for unfinished writes")
        return self._root / key

    async def _run(self, work: Callable[[], _T], *, key: str | None = None) -> _T:
        """Do blocking `work` on a thread; with a `key`, a missing file means that this object is missing."""
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError)
            if key is not None and missing:
                raise ObjectNotFoundError(f"There is no object {key!r} in {self.url}", key=key) from error
            hint = _HINTS.get(error.errno or 0, error.strerror or "it failed")
            raise StorageError(f"The store {self.url} cannot be used: {hint}", cause=str(error)) from error


def _write(path: Path, data: memoryview, abandoned: threading.Event) -> None:
    temporary = path.with_name(f"{_TEMPORARY}{uuid4().hex}")
    try:
        with _create(temporary) as file:
            for start in range(0, len(data), _SLICE_BYTES):
                if abandoned.is_set():
                    return
                file.write(data[start : start + _SLICE_BYTES])
            file.flush()
            os.fsync(file.fileno())
        if not abandoned.is_set():
            temporary.replace(path)
            _sync_directory(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _publish(file: BufferedWriter, temporary: Path, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    temporary.replace(path)
    _sync_directory(path.parent)


def _discard(file: BufferedWriter, temporary: Path) -> None:
    file.close()
    with contextlib.suppress(OSError):
        temporary.unlink()


def _remove_unfinished(root: Path, before: float) -> int:
    count = 0
    for path in root.rglob(f"{_TEMPORARY}*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                path.unlink()
                count += 1
    return count


def _create(path: Path) -> BufferedWriter:
    for attempt in itertools.count(1):
        try:
            _make_directory(path.parent)
            return path.open("xb")
        except FileNotFoundError:  # a concurrent delete found the new directory still empty and removed it
            if attempt == _CREATE_ATTEMPTS:
                raise
    raise AssertionError


def _make_directory(directory: Path) -> None:
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    with contextlib.suppress(FileExistsError):  # made meanwhile; were it a file, the open would say so
        directory.mkdir()
    _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    """Make names in `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_range(path: Path, start: int, end: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        data = b"" if size < end else os.pread(file.fileno(), end - start, start)
    if size < end or len(data) != end - start:
        raise ResultCorruptError(f"The object {path} has {size} bytes; bytes {start} to {end} were expected")
    return data


def _remove(root: Path, paths: Sequence[Path]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
            path.unlink()
    for directory in {path.parent for path in paths}:
        _prune(root, directory)


def _prune(root: Path, directory: Path) -> None:
    """Remove `directory` and those above it, below `root`, where nothing but abandoned writes is left."""
    while directory != root:
        try:
            _remove_abandoned(directory)
            directory.rmdir()
        except FileNotFoundError:
            pass  # already gone; the one above may be empty now
        except OSError:
            return
        directory = directory.parent


def _remove_abandoned(directory: Path) -> None:
    oldest = time.time() - _ABANDONED_SECONDS
    for path in directory.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _walk(root: Path, prefix: str) -> Iterator[ObjectInfo]:
    pending = [prefix.rpartition("/")[0]]
    while pending:
        directory = pending.pop()
        try:
            entries = tuple(os.scandir(root / directory))
        except (FileNotFoundError, NotADirectoryError):
            continue  # never written, or removed meanwhile
        for entry in entries:
            key = f"{directory}/{entry.name}" if directory else entry.name
            if not key.startswith(prefix) or entry.name.startswith(_TEMPORARY):
                continue
            with contextlib.suppress(FileNotFoundError):
                if entry.is_dir():
                    pending.append(key)
                else:
                    status = entry.stat()
                    modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
                    yield ObjectInfo(key=key, byte_count=status.st_size, modified_at=modified_at)
