"""Settings to open parts: the stores that actors and replicas use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from queryfleet.results.store import ObjectStore
    from queryfleet.settings import Settings
    from queryfleet.status.postgres import PostgresStatusStore

__all__ = ["open_result_store", "open_status_store"]


async def open_status_store(settings: Settings, *, connections_max: int) -> PostgresStatusStore:
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
    )
    return open_store(settings.store_url, options)
