"""The janitor: removes what nobody can read any more. Objects first, then rows, so that nothing is forgotten.

Three duties, each in small bounded steps and safe to repeat or to interrupt anywhere:

- *expired results*: their objects go, then their rows are marked;
- *orphans*: objects of attempts that were lost, cancelled or failed and could not clean up themselves;
- *history*: queries that ended longer ago than the retention time.

Chunks are written with single PUTs. Files that are made on demand may be multipart uploads; what a process that died
has left of one is dropped. Finished files lie beside the chunks and go with them.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from queryfleet.errors import StorageError
from queryfleet.results.chunking import RESULTS_PREFIX, attempt_of_key
from queryfleet.results.reader import delete_result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from queryfleet.results.store import ObjectInfo, ObjectStore
    from queryfleet.status.store import StatusStore

__all__ = ["Cleaned", "Janitor"]

_STEP = 200  # queries per statement
_KEYS_STEP = 1000  # objects per deletion
_UPLOAD_AGE = timedelta(days=1)  # no upload takes so long

log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What one round removed."""

    results: int  # expired results
    orphans: int  # objects without a query that needs them
    queries: int  # rows of the history


class Janitor:
    """Cleans one service.

    Args:
        statuses: Says what is needed.
        store: Holds what may not be.
        retention_seconds: How long ended queries stay in the history.
        orphan_seconds: An object this young is never an orphan: its attempt may be about to be recorded.
        foreign_seconds: An object of a query that the database does not know is left alone until it is this old: it
            may belong to another service on the same bucket.
        clock: Aware UTC time.
    """

    def __init__(
        self,
        statuses: StatusStore,
        store: ObjectStore,
        *,
        retention_seconds: float,
        orphan_seconds: float,
        foreign_seconds: float,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._statuses = statuses
        self._store = store
        self._retention = timedelta(seconds=retention_seconds)
        self._orphan_age = timedelta(seconds=orphan_seconds)
        self._foreign_age = timedelta(seconds=foreign_seconds)
        self._clock = clock

    async def clean(self) -> Cleaned:
        """Do all three duties to their end.

        Raises:
            StorageError: The store is away; what is left is done next time.
            StatusStoreError: The database is away; likewise.
        """
        with contextlib.suppress(StorageError):  # not every service can list them, and they only take room
            await self._store.abandon_uploads(self._clock() - _UPLOAD_AGE)
        cleaned = Cleaned(
            results=await self.expire_results(), orphans=await self.remove_orphans(), queries=await self.forget()
        )
        if cleaned.results or cleaned.orphans or cleaned.queries:
            log.info("janitor.cleaned", results=cleaned.results, orphans=cleaned.orphans, queries=cleaned.queries)
        return cleaned

    async def expire_results(self) -> int:
        """Remove the objects of expired results; returns of how many queries."""
        done = 0
        while rows := await self._statuses.expired_results(now=self._clock(), count=_STEP):
            for row in rows:
                # A query that shares another one's rows has no objects of its own; deleting none is no error.
                await delete_result(self._store, row["query_uuid"])
                await self._statuses.forget_chunks(row["query_uuid"], row["attempt"])
                await self._statuses.mark_deleted(row["query_uuid"])
            done += len(rows)
        return done

    async def remove_orphans(self) -> int:
        """Remove objects of attempts that nobody needs; returns how many objects. Cost: lists the whole store."""
        youngest = self._clock() - self._orphan_age
        found: defaultdict[tuple[str, int], list[ObjectInfo]] = defaultdict(list)
        done = 0
        async for info in self._store.list(RESULTS_PREFIX):
            attempt = attempt_of_key(info.key)
            if attempt is not None and info.modified_at < youngest:
                found[attempt].append(info)
            if len(found) >= _STEP:
                done += await self._remove_unneeded(found)
                found.clear()
        return done + await self._remove_unneeded(found)

    async def _remove_unneeded(self, found: Mapping[tuple[str, int], list[ObjectInfo]]) -> int:
        if not found:
            return 0
        known = await self._statuses.known_attempts(sorted({query_uuid for query_uuid, _ in found}))
        foreign_before = self._clock() - self._foreign_age
        keys = []
        for (query_uuid, attempt), infos in found.items():
            if query_uuid not in known:
                keys += [info.key for info in infos if info.modified_at < foreign_before]
            elif attempt not in known[query_uuid]:
                keys += [info.key for info in infos]
        for begin in range(0, len(keys), _KEYS_STEP):
            await self._store.delete(keys[begin : begin + _KEYS_STEP])
        return len(keys)

    async def forget(self) -> int:
        """Drop queries that ended before the retention time; returns how many."""
        before = self._clock() - self._retention
        done = 0
        while dropped := await self._statuses.forget_history(before=before, count=_STEP):
            done += dropped
        return done
