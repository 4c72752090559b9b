"""What cannot be had of a result that is not stored, told by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.errors import NotSupportedError
from queryfleet.results.store_none import storage_is_off

if TYPE_CHECKING:
    from queryfleet.settings import Settings
    from queryfleet.status.record import QueryRecord

__all__ = ["require_storage", "require_stored"]


def require_storage(settings: Settings, what: str) -> None:
    """Pass where results are stored.

    Args:
        settings: Of the service.
        what: What is asked for, in the singular: the subject of the message.

    Raises:
        NotSupportedError: They are not; names the setting.
    """
    if not settings.stores_rows:
        raise storage_is_off(what)


def require_stored(record: QueryRecord, what: str) -> None:
    """Pass for a query whose rows are stored, or may yet be; raises `NotSupportedError` for those of another time."""
    if record.is_unstored:
        raise NotSupportedError(
            f"{what} needs stored results, and those of this query were not: it ran while QUERYFLEET_STORE_URL was "
            "`none`. Run it again.",
            queryUuid=record.query_uuid,
            setting="QUERYFLEET_STORE_URL",
        )
