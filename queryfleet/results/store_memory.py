"""Objects in this process's memory: for tests and examples, gone with the process."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from queryfleet.errors import InternalError, ObjectNotFoundError, ResultCorruptError
from queryfleet.results.store import ObjectInfo, check_key, check_prefix, check_range

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ["MemoryStore"]

_Objects = dict[str, tuple[bytes, datetime]]
_shared: dict[str, _Objects] = {}  # by store name: what makes `memory://name` mean the same to everybody here


class MemoryStore:
    """Objects of one name, shared by every `MemoryStore` of that name in the process; see `ObjectStore`.

    Args:
        name: Letters, digits, `.`, `_` and `-`. None: a name nobody else has.

    Bounds: keeps everything that is not deleted, also after `close`.
    """

    def __init__(self, name: str | None = None) -> None:
        self._name = name or uuid4().hex
        self._objects = _shared.setdefault(self._name, {})
        self._closed = False

    @property
    def url(self) -> str:
        """`memory://name`."""
        return f"memory://{self._name}"

    @property
    def retry_count(self) -> int:
        """Always 0: nothing here fails for a passing reason."""
        return 0

    async def put(self, key: str, data: bytes | bytearray | memoryview) -> None:
        """Keep a copy of `data`; see `ObjectStore.put`."""
        self._open()[check_key(key)] = (bytes(data), datetime.now(UTC))

    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> int:
        """Keep the joined pieces, which are all in memory; see `ObjectStore.put_stream`."""
        data = b"".join([piece async for piece in pieces])
        await self.put(key, data)
        return len(data)

    async def signed_url(self, key: str, *, seconds: int, file_name: str | None = None) -> str | None:  # noqa: ARG002
        """Return None: there is nobody to ask."""
        check_key(key)
        return None

    async def abandon_uploads(self, before: datetime) -> int:  # noqa: ARG002
        """Return 0: what is unfinished is nowhere."""
        return 0

    async def get(self, key: str) -> bytes:
        """Return a whole object; see `ObjectStore.get`."""
        entry = self._open().get(check_key(key))
        if entry is None:
            raise ObjectNotFoundError(f"There is no object {key!r} in {self.url}", key=key)
        return entry[0]

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        """Return some bytes of an object; see `ObjectStore.get_range`."""
        check_range(start, end)
        data = await self.get(key)
        if len(data) < end:
            raise ResultCorruptError(
                f"Object {key!r} in {self.url} has {len(data)} bytes; bytes {start} to {end} were expected",
                key=key,
            )
        return data[start:end]

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget objects; see `ObjectStore.delete`."""
        objects = self._open()
        for key in [check_key(key) for key in keys]:
            objects.pop(key, None)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield the objects there were when the listing began; see `ObjectStore.list`."""
        check_prefix(prefix)
        for key, (data, modified_at) in tuple(self._open().items()):
            if key.startswith(prefix):
                yield ObjectInfo(key=key, byte_count=len(data), modified_at=modified_at)

    async def close(self) -> None:
        """See `ObjectStore.close`."""
        self._closed = True

    def _open(self) -> _Objects:
        if self._closed:
            raise InternalError(f"The store {self.url} was used after it was closed")
        return self._objects
