"""One object from pieces, by a multipart upload: nothing is visible before its end, and memory stays at two parts."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from queryfleet.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["S3Requests", "upload_pieces"]

_PART_BYTES = 8 * 1024 * 1024  # at least 5 MiB, which S3 asks of all parts but the last
_PARTS_MAX = 10_000
_DOUBLE_AFTER = 1000  # parts; then they are twice as large, so that 10,000 of them hold any file
_ABORT_SECONDS = 10.0


class S3Requests(Protocol):
    """Sends requests about one bucket, repeated where that may help."""

    async def send(self, method: str, name: str, **arguments: object) -> dict[str, Any]:
        """Send one request about the object `name`; raises `StorageError`."""
        ...


async def upload_pieces(requests: S3Requests, name: str, pieces: AsyncIterator[bytes]) -> int:
    """Write one object and return its length.

    What fits in one part is one plain put. When `pieces` or a request fails, or the task is cancelled, nothing becomes
    visible and the parts are dropped, if the service can be reached.

    Raises:
        StorageError: The service failed, or the object has too many parts.
    """
    upload: _Upload | None = None
    try:
        parts = _parts(pieces)
        first = await anext(parts, b"")
        async for part in parts:
            if upload is None:
                upload = _Upload(requests, name)
                await upload.begin()
                await upload.add(first)
            await upload.add(part)
        if upload is None:
            await requests.send("put_object", name, Body=first)
            return len(first)
        await upload.complete()
    except BaseException:
        if upload is not None:
            await upload.abort()
        raise
    return upload.byte_count


async def _parts(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield joined pieces of the size of a part; the last one is what is left."""
    waiting: list[bytes] = []
    size = count = 0
    wanted = _PART_BYTES
    async for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        while size >= wanted:
            joined = b"".join(waiting)
            yield joined[:wanted]
            waiting, size, count = [joined[wanted:]], size - wanted, count + 1
            wanted = _PART_BYTES << count // _DOUBLE_AFTER
    if size:
        yield b"".join(waiting)


class _Upload:
    """One multipart upload; a part travels while the next one is made."""

    def __init__(self, requests: S3Requests, name: str) -> None:
        self._requests = requests
        self._name = name
        self._id = ""
        self._done: list[dict[str, object]] = []
        self._travelling: asyncio.Task[None] | None = None
        self.byte_count = 0

    async def begin(self) -> None:
        answer = await self._requests.send("create_multipart_upload", self._name)
        self._id = answer["UploadId"]

    async def add(self, part: bytes) -> None:
        await self._arrive()
        number = len(self._done) + 1
        if number > _PARTS_MAX:
            raise StorageError(f"The file is too large for the store: it has more than {_PARTS_MAX} parts.")
        self.byte_count += len(part)
        self._travelling = asyncio.create_task(self._send(part, number))

    async def _send(self, part: bytes, number: int) -> None:
        named = {"UploadId": self._id, "PartNumber": number}
        answer = await self._requests.send("upload_part", self._name, Body=part, **named)
        self._done.append({"ETag": answer["ETag"], "PartNumber": number})

    async def _arrive(self) -> None:
        travelling, self._travelling = self._travelling, None
        if travelling is not None:
            await travelling

    async def complete(self) -> None:
        await self._arrive()
        try:
            parts = {"Parts": self._done}
            await self._requests.send("complete_multipart_upload", self._name, UploadId=self._id, MultipartUpload=parts)
        except StorageError:
            # The answer of an earlier try may have been lost: then the upload is gone and the object is there.
            if not await self._is_there():
                raise

    async def _is_there(self) -> bool:
        with contextlib.suppress(StorageError):
            answer = await self._requests.send("head_object", self._name)
            return int(answer["ContentLength"]) == self.byte_count
        return False

    async def abort(self) -> None:
        if self._travelling is not None:
            self._travelling.cancel()
            await asyncio.gather(self._travelling, return_exceptions=True)
        if not self._id:
            return
        with contextlib.suppress(StorageError, TimeoutError):
            async with asyncio.timeout(_ABORT_SECONDS):
                await self._requests.send("abort_multipart_upload", self._name, UploadId=self._id)
