"""Where chunks are kept: one small protocol, three implementations.

Correctness never depends on conditional writes, tags, object metadata, part copies or the order of a listing: the
manifest in Postgres is the index, every key is written once by one writer. What is asked of a store is only this:
an object is invisible until it is complete, and durable when `put` returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

__all__ = ["ObjectInfo", "ObjectStore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """One entry of a listing."""

    key: str  # relative to the store's root
    byte_count: int
    modified_at: datetime  # aware, UTC


class ObjectStore(Protocol):
    """Keeps immutable objects under slash-separated keys below one root.

    All methods may be called concurrently from one event loop, and none blocks it. A store belongs to the loop it is
    first used on. Failures of the store itself are `StorageError` (retryable); a missing object is
    `ObjectNotFoundError`.
    """

    @property
    def url(self) -> str:
        """Where this store lies, without any secret; `open_store` accepts it."""
        ...

    async def put(self, key: str, data: bytes | bytearray | memoryview) -> None:
        """Write one object, whole or not at all; it is visible and durable on return. Replaces an older one."""
        ...

    async def get(self, key: str) -> bytes:
        """Return a whole object.

        Raises:
            ObjectNotFoundError: There is none.
        """
        ...

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        """Return bytes `start` (from 0) up to, not including, `end`. Reads no more than that from the store.

        Raises:
            ObjectNotFoundError: There is no such object.
            ResultCorruptError: The object is shorter than `end`.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; keys without an object are no error."""
        ...

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield every object whose key starts with `prefix`, in no promised order."""
        ...

    async def close(self) -> None:
        """Release connections; the store cannot be used afterwards."""
        ...
