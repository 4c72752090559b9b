"""Settings to open parts: the stores that actors and replicas use."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from queryfleet.errors import ConfigurationError, NotSupportedError, StorageError

if TYPE_CHECKING:
    from queryfleet.results.store import ObjectStore
    from queryfleet.settings import Settings
    from queryfleet.status.store import StatusStore

__all__ = ["database_url", "open_result_store", "open_status_store", "warm_up_store"]

_WARM_UP_SECONDS = 5.0


async def open_status_store(settings: Settings, *, connections_max: int) -> StatusStore:
    """Open the status store on the running loop."""
    from queryfleet.status.postgres import PostgresStatusStore

    store = PostgresStatusStore(database_url(settings), connections_max=connections_max)
    await store.open()
    return store


def database_url(settings: Settings) -> str:
    """Return the database URL, password included; never print it."""
    if settings.database_url is None:
        raise ConfigurationError("QUERYFLEET_DATABASE_URL is not set.")
    return settings.database_url.get_secret_value()


def open_result_store(settings: Settings) -> ObjectStore:
    """Return the object store for results; it connects on first use."""
    from queryfleet.results.store import StoreOptions, open_store

    if settings.store_url is None:
        raise ConfigurationError("QUERYFLEET_STORE_URL is not set.")
    options = StoreOptions(
        endpoint_url=settings.store_endpoint_url,
        access_key_id=settings.store_access_key_id,
        secret_access_key=settings.store_secret_access_key,
        region=settings.store_region,
        links_url=settings.store_links_url,
    )
    return open_store(settings.store_url, options)


async def warm_up_store(store: ObjectStore) -> None:
    """Make the first connection now, so that no query waits for it. A store that is away, or none, is no error here."""
    with contextlib.suppress(StorageError, NotSupportedError, TimeoutError):
        async with asyncio.timeout(_WARM_UP_SECONDS):
            await store.get("probe/warm-up")
