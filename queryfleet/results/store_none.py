"""The place of a store where results are not stored: it holds nothing and takes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.errors import NotSupportedError
from queryfleet.model import NO_STORE
from queryfleet.results.store import check_key, check_prefix, check_range

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from queryfleet.results.store import ObjectInfo

__all__ = ["NoStore", "storage_is_off"]

_SETTING = "QUERYFLEET_STORE_URL"


def storage_is_off(what: str) -> NotSupportedError:
    """Return the refusal of what needs stored results; `what` is the subject of its sentence, in the singular."""
    return NotSupportedError(
        f"{what} needs stored results, and this service stores none: {_SETTING} is `{NO_STORE}`. "
        "Set it to s3://bucket/prefix or file:///folder.",
        setting=_SETTING,
    )


class NoStore:
    """Refuses every object with `NotSupportedError`, lists none and deletes none; else as `ObjectStore`."""

    @property
    def url(self) -> str:
        """`none`."""
        return NO_STORE

    @property
    def retry_count(self) -> int:
        """Always 0: nothing is tried."""
        return 0

    async def put(self, key: str, data: bytes | bytearray | memoryview) -> None:  # noqa: ARG002
        """Refuse."""
        check_key(key)
        raise storage_is_off("Storing rows")

    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> int:  # noqa: ARG002
        """Refuse, before the first piece."""
        check_key(key)
        raise storage_is_off("Storing rows")

    async def signed_url(self, key: str, *, seconds: int, file_name: str | None = None) -> str | None:  # noqa: ARG002
        """Return None: there is nothing to lead to."""
        check_key(key)
        return None

    async def abandon_uploads(self, before: datetime) -> int:  # noqa: ARG002
        """Return 0."""
        return 0

    async def get(self, key: str) -> bytes:
        """Refuse: what was stored once, before storage was switched off, is out of reach."""
        check_key(key)
        raise storage_is_off("Reading stored rows")

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        """Refuse like `get`."""
        check_range(start, end)
        return await self.get(key)

    async def delete(self, keys: Sequence[str]) -> None:
        """Do nothing."""
        for key in keys:
            check_key(key)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield nothing."""
        check_prefix(prefix)
        nothing: tuple[ObjectInfo, ...] = ()
        for info in nothing:
            yield info

    async def close(self) -> None:
        """Do nothing."""
