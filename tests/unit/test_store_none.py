"""The place of a store where results are not stored."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from queryfleet.errors import NotSupportedError
from queryfleet.results.store import open_store

pytestmark = pytest.mark.anyio


async def test_no_store_takes_and_gives_nothing_and_names_the_setting():
    """Whoever comes to it with rows, or for some, is told which setting to change; cleaning it up is no error."""
    store = open_store("none")

    async def pieces():
        yield b"row"

    for work in (
        store.put("a/b", b"row"),
        store.put_stream("a/b", pieces()),
        store.get("a/b"),
        store.get_range("a/b", 0, 1),
    ):
        with pytest.raises(NotSupportedError, match="QUERYFLEET_STORE_URL"):
            await work
    assert [info async for info in store.list("")] == []
    assert await store.signed_url("a/b", seconds=1) is None
    assert await store.abandon_uploads(datetime.now(UTC)) == 0
    await store.delete(["a/b"])
    await store.close()
    assert (store.url, store.retry_count) == ("none", 0)
