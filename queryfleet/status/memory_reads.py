"""What the in-memory status store keeps, and every method that does not step a query along."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from queryfleet.status.admission import ProjectShare, Slot, Waiting, claim_order
from queryfleet.status.record import (
    AbandonedQuery,
    ExpiredLease,
    ExpiredResult,
    HistoryEntry,
    KnownToken,
    OverdueQuery,
    PendingCancel,
    ProjectName,
    ProjectToken,
    QueueDepth,
    StoredProject,
    StoredQuestion,
)
from queryfleet.status.rows import Row, live_attempts, record_of
from queryfleet.status.transitions import QueryStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from queryfleet.errors import JsonValue
    from queryfleet.model import ChunkRef
    from queryfleet.status.record import HistoryFilter, QueryRecord

__all__ = ["MemoryReads", "utc_now"]

_LIVE = frozenset({QueryStatus.PENDING, QueryStatus.RUNNING})
_MIRRORED = (
    *("query_uuid", "status", "phase", "attempt", "warehouse_query_id", "columns"),
    *("row_count", "byte_count", "chunk_count", "truncated"),
)
_MOMENTS = ("claimed_at", "executing_at", "fetching_at", "finishing_at")


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class MemoryReads:
    """Holds rows with the columns of the tables in the database, so that both stores mean the same by each.

    Args:
        clock: Aware UTC time. Moments of the store grow strictly even when the clock stands still.
    """

    def __init__(self, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._last_moment = datetime.min.replace(tzinfo=UTC)
        self._queries: dict[str, Row] = {}  # by uuid, in the order of acceptance
        self._chunks: dict[tuple[str, int], list[ChunkRef]] = {}  # by query and attempt, in row order
        self._projects: dict[str, tuple[str, dict[str, JsonValue]]] = {}
        self._models: dict[str, tuple[int, bytes | None]] = {}  # version and compiled catalog by project
        self._tokens: dict[bytes, KnownToken] = {}
        self._expiries: dict[bytes, datetime | None] = {}  # of tokens
        self._made: dict[bytes, datetime] = {}  # when, of tokens

    async def open(self) -> None:
        """Do nothing; see `StatusStore.open`."""

    async def close(self) -> None:
        """Do nothing: what is stored stays until the store itself is gone."""

    async def ping(self) -> str:
        """Return `memory`, there being no schema."""
        return "memory"

    def _now(self) -> datetime:
        self._last_moment = max(self._clock(), self._last_moment + timedelta(microseconds=1))
        return self._last_moment

    def _with_status(self, *statuses: QueryStatus) -> Iterable[Row]:
        return (row for row in self._queries.values() if row["status"] in statuses)

    def _queue(self) -> Iterable[Row]:
        return (row for row in self._with_status(QueryStatus.PENDING) if row["leader_uuid"] is None)

    # Reading ---------------------------------------------------------------------------------------------------

    async def load(self, query_uuid: str) -> QueryRecord | None:
        """Return one query; see `StatusStore.load`."""
        row = self._queries.get(query_uuid)
        if row is None:
            return None
        seen = row | {"sql": ""}
        leader = self._queries.get(row["leader_uuid"] or "")
        if leader is not None and row["status"] == QueryStatus.PENDING and leader["status"] == QueryStatus.RUNNING:
            moments = {name: leader[name].isoformat() if leader[name] else None for name in _MOMENTS}
            mirrored = {name: leader[name] for name in _MIRRORED} | moments
            seen |= {"leader": mirrored, "leader_schema": leader["arrow_schema"]}
        return record_of(seen)

    async def load_question(self, query_uuid: str) -> StoredQuestion | None:
        """Return what a query asked; see `StatusStore.load_question`."""
        row = self._queries.get(query_uuid)
        return (
            None
            if row is None
            else StoredQuestion(
                question=row["question"], pivot=row["pivot"], sql=row["sql"], cache_key=row["cache_key"]
            )
        )

    async def load_many(self, query_uuids: Sequence[str]) -> list[QueryRecord]:
        """Return many queries; see `StatusStore.load_many`."""
        found = [await self.load(query_uuid) for query_uuid in dict.fromkeys(query_uuids)]
        return [record for record in found if record is not None]

    async def chunks(self, query_uuid: str, attempt: int, *, first_row: int, end_row: int) -> tuple[ChunkRef, ...]:
        """Return the chunks of a row range; see `StatusStore.chunks`."""
        chunks = self._chunks.get((query_uuid, attempt), [])
        return tuple(
            chunk for chunk in chunks if chunk.first_row < end_row and chunk.first_row + chunk.row_count > first_row
        )

    async def touch(self, query_uuid: str) -> None:
        """Note a poll; see `StatusStore.touch`."""
        row = self._queries.get(query_uuid)
        if row is not None and row["status"] in _LIVE:
            row["polled_at"] = self._now()

    async def queue_position(self, query_uuid: str) -> int | None:
        """Return the place in the queue; see `StatusStore.queue_position`. Cost: orders the whole queue."""
        waiting = [_waiting(row) for row in self._queue()]
        order = claim_order(waiting, await self.running(), self._weights(), count=len(waiting))
        places = {query.query_uuid: place for place, query in enumerate(order, 1)}
        return places.get(query_uuid)

    def _weights(self) -> dict[str, ProjectShare]:
        return {
            project_uuid: ProjectShare(weight=_limit(definition, "weight", 1.0))
            for project_uuid, (_, definition) in self._projects.items()
        }

    async def waiting(self, *, per_user: int = 50) -> list[Waiting]:
        """Return each user's oldest; see `StatusStore.waiting`."""
        lines: dict[tuple[str, str], list[Waiting]] = {}
        for row in self._queue():
            lines.setdefault((row["project_uuid"], row["user_uuid"]), []).append(_waiting(row))
        return [query for line in lines.values() for query in line[:per_user]]

    async def running(self) -> list[Slot]:
        """Return one slot per running query; see `StatusStore.running`."""
        rows = self._with_status(QueryStatus.RUNNING)
        return [Slot(project_uuid=row["project_uuid"], user_uuid=row["user_uuid"]) for row in rows]

    # Sweeps ----------------------------------------------------------------------------------------------------

    async def expired_leases(self) -> list[ExpiredLease]:
        """Return attempts not heard of in time; see `StatusStore.expired_leases`."""
        now = self._now()
        return [
            ExpiredLease(
                query_uuid=row["query_uuid"],
                attempt=row["attempt"],
                cancel_requested=row["cancel_requested_at"] is not None,
                actor_name=row["actor_name"],
            )
            for row in self._with_status(QueryStatus.RUNNING)
            if row["lease_until"] < now
        ]

    async def cancels_pending(self) -> list[PendingCancel]:
        """Return cancels not carried out; see `StatusStore.cancels_pending`."""
        now = self._now()
        return [
            PendingCancel(
                query_uuid=row["query_uuid"],
                attempt=row["attempt"],
                actor_name=row["actor_name"],
                warehouse_query_id=row["warehouse_query_id"],
                seconds=(now - row["cancel_requested_at"]).total_seconds(),
            )
            for row in self._with_status(QueryStatus.RUNNING)
            if row["cancel_requested_at"] is not None
        ]

    async def queue_overdue(self, *, queue_seconds: float) -> list[OverdueQuery]:
        """Return queries that waited too long; see `StatusStore.queue_overdue`."""
        now = self._now()
        overdue = []
        for row in self._queue():
            allowed = _limit(self._projects[row["project_uuid"]][1], "queue_seconds", queue_seconds)
            if (now - row["queued_at"]).total_seconds() > allowed:
                overdue.append(OverdueQuery(query_uuid=row["query_uuid"], seconds=allowed))
        return overdue

    async def abandoned(self) -> list[AbandonedQuery]:
        """Return queries nobody polls; see `StatusStore.abandoned`."""
        now = self._now()
        return [
            AbandonedQuery(query_uuid=row["query_uuid"], poll_ttl_seconds=row["poll_ttl_seconds"])
            for row in self._with_status(*_LIVE)
            if row["cancel_requested_at"] is None
            and row["poll_ttl_seconds"] is not None
            and (now - row["polled_at"]).total_seconds() > row["poll_ttl_seconds"]
        ]

    async def queue_depth(self) -> QueueDepth:
        """Return how busy the service is; see `StatusStore.queue_depth`."""
        now = self._now()
        waits = [(now - row["queued_at"]).total_seconds() for row in self._queue()]
        running = len(await self.running())
        return QueueDepth(pending=len(waits), running=running, oldest_seconds=max(waits, default=0.0))

    # Clean-up and history --------------------------------------------------------------------------------------

    async def forget_chunks(self, query_uuid: str, attempt: int) -> None:
        """Drop chunk references; see `StatusStore.forget_chunks`."""
        self._chunks.pop((query_uuid, attempt), None)

    async def expired_results(self, *, now: datetime, count: int) -> list[ExpiredResult]:
        """Return results to remove; see `StatusStore.expired_results`."""
        expired = [
            row
            for row in self._with_status(QueryStatus.READY)
            if row["objects_deleted_at"] is None and row["results_expire_at"] < now
        ]
        expired.sort(key=lambda row: row["results_expire_at"])
        return [ExpiredResult(query_uuid=row["query_uuid"], attempt=row["attempt"]) for row in expired[:count]]

    async def mark_deleted(self, query_uuid: str) -> None:
        """Note that a result is gone; see `StatusStore.mark_deleted`."""
        if query_uuid in self._queries:
            self._queries[query_uuid]["objects_deleted_at"] = self._now()

    async def known_attempts(self, query_uuids: Sequence[str]) -> dict[str, range]:
        """Return whose objects must stay; see `StatusStore.known_attempts`."""
        known: dict[str, range] = {}
        for query_uuid in query_uuids:
            row = self._queries.get(query_uuid)
            if row is not None:
                stored = row["status"] == QueryStatus.READY and row["result_query_uuid"] is None
                needed = row["objects_deleted_at"] is None and (row["status"] in _LIVE or stored)
                first = next(
                    row[name] for name in ("first_attempt", "resume_attempt", "attempt") if row[name] is not None
                )
                known[query_uuid] = live_attempts(first, row["attempt"] if needed else None)
        return known

    async def forget_history(self, *, before: datetime, count: int) -> int:
        """Drop what ended long ago; see `StatusStore.forget_history`."""
        old = [row for row in self._queries.values() if row["ended_at"] is not None and row["ended_at"] < before]
        gone = [
            row["query_uuid"]
            for row in sorted(old, key=lambda row: row["ended_at"])
            if row["status"] != QueryStatus.READY
            or row["objects_deleted_at"] is not None
            or row["results_expire_at"] < before
        ][:count]
        for query_uuid in gone:
            del self._queries[query_uuid]
        for key in [key for key in self._chunks if key[0] in gone]:
            del self._chunks[key]
        for row in self._queries.values():
            if row["leader_uuid"] in gone:
                row["leader_uuid"] = None
        return len(gone)

    def _history(self, wanted: HistoryFilter) -> list[Row]:
        found = [
            row
            for row in self._queries.values()
            if row["project_uuid"] == wanted.project_uuid
            and wanted.user_uuid in (None, row["user_uuid"])
            and (wanted.statuses is None or row["status"] in wanted.statuses)
            and (wanted.since is None or row["created_at"] >= wanted.since)
            and (wanted.until is None or row["created_at"] < wanted.until)
        ]
        return sorted(found, key=lambda row: row["created_at"], reverse=True)

    async def history(self, wanted: HistoryFilter, *, count: int, skip: int, sql_characters: int) -> list[HistoryEntry]:
        """Return a page of the history; see `StatusStore.history`."""
        return [_history_entry(row, sql_characters) for row in self._history(wanted)[skip : skip + count]]

    async def history_count(self, wanted: HistoryFilter) -> int:
        """Return how long the history is; see `StatusStore.history_count`."""
        return len(self._history(wanted))

    # Projects and tokens ---------------------------------------------------------------------------------------

    async def put_project(
        self, project_uuid: str, name: str, definition: dict[str, JsonValue], models: bytes | None = None
    ) -> int:
        """Store a project; see `StatusStore.put_project`."""
        version, known = self._models.get(project_uuid, (0, None))
        self._projects[project_uuid] = (name, dict(definition))
        self._models[project_uuid] = (version + 1, known if models is None else models)
        return version + 1

    async def load_project(self, project_uuid: str) -> dict[str, JsonValue] | None:
        """Return a definition; see `StatusStore.load_project`."""
        known = self._projects.get(project_uuid)
        return dict(known[1]) if known is not None else None

    async def project_version(self, project_uuid: str) -> int | None:
        """Return a version; see `StatusStore.project_version`."""
        known = self._models.get(project_uuid)
        return known[0] if known is not None else None

    async def load_stored_project(self, project_uuid: str) -> StoredProject | None:
        """Return a project with its models; see `StatusStore.load_stored_project`."""
        known = self._projects.get(project_uuid)
        if known is None:
            return None
        version, models = self._models[project_uuid]
        return StoredProject(version=version, name=known[0], definition=dict(known[1]), models=models)

    async def projects(self) -> list[ProjectName]:
        """Return every project; see `StatusStore.projects`."""
        return [ProjectName(project_uuid=uuid, name=name) for uuid, (name, _) in self._projects.items()]

    async def put_token(
        self,
        *,
        token_uuid: str,
        token_hash: bytes,
        user_uuid: str,
        name: str,
        roles: dict[str, str],
        attributes: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
        email: str | None = None,
        expires_at: datetime | None = None,
    ) -> str:
        """Store a token; see `StatusStore.put_token`."""
        new = KnownToken(token_uuid=token_uuid, user_uuid=user_uuid, name=name, email=None, roles={}, attributes={})
        token = self._tokens.setdefault(token_hash, new)
        self._expiries[token_hash] = expires_at
        self._made.setdefault(token_hash, self._now())
        token |= {"name": name, "email": email}
        token["roles"] |= roles
        for project_uuid in roles:
            given = (attributes or {}).get(project_uuid, {})
            token["attributes"][project_uuid] = {attribute: list(texts) for attribute, texts in given.items()}
        return token["token_uuid"]

    async def project_tokens(self, project_uuid: str) -> list[ProjectToken]:
        """Return the tokens with a role in a project; see `StatusStore.project_tokens`."""
        return [
            ProjectToken(
                token_uuid=token["token_uuid"],
                user_uuid=token["user_uuid"],
                name=token["name"],
                email=token["email"],
                role=token["roles"][project_uuid],
                attributes=token["attributes"].get(project_uuid, {}),
                created_at=self._made[digest],
                expires_at=self._expiries[digest],
            )
            for digest, token in self._tokens.items()
            if project_uuid in token["roles"]
        ]

    async def remove_token(self, token_uuid: str, project_uuid: str) -> bool:
        """Take a token's role in a project away; see `StatusStore.remove_token`."""
        for digest, token in self._tokens.items():
            if token["token_uuid"] == token_uuid and project_uuid in token["roles"]:
                del token["roles"][project_uuid]
                token["attributes"].pop(project_uuid, None)
                if not token["roles"]:
                    self._expiries[digest] = self._now()
                return True
        return False

    async def load_token(self, token_hash: bytes) -> KnownToken | None:
        """Return a token; see `StatusStore.load_token`."""
        expires_at = self._expiries.get(token_hash)
        return None if expires_at is not None and expires_at <= self._now() else self._tokens.get(token_hash)


def _waiting(row: Row) -> Waiting:
    names = ("query_uuid", "project_uuid", "user_uuid", "created_at")
    return Waiting(**{name: row[name] for name in names})


def _limit(definition: dict[str, JsonValue], name: str, default: float) -> float:
    limits = definition.get("limits")
    value = limits.get(name) if isinstance(limits, dict) else None
    return float(value) if isinstance(value, int | float) else default


def _explore_name(question: Row | None) -> str | None:
    name: str | None = ((question or {}).get("metricQuery") or {}).get("exploreName")
    return name


def _history_entry(row: Row, sql_characters: int) -> HistoryEntry:
    return HistoryEntry(
        query_uuid=row["query_uuid"],
        user_uuid=row["user_uuid"],
        context=row["context"],
        sql=row["sql"][:sql_characters],
        explore_name=_explore_name(row["question"]),
        status=row["status"],
        phase=row["phase"],
        attempt=row["attempt"],
        warehouse_query_id=row["warehouse_query_id"],
        cache_hit=row["cache_hit"],
        truncated=row["truncated"],
        row_count=row["row_count"],
        byte_count=row["byte_count"],
        error_name=row["error_name"],
        error_message=row["error_message"],
        created_at=row["created_at"],
        claimed_at=row["claimed_at"],
        executing_at=row["executing_at"],
        fetching_at=row["fetching_at"],
        finishing_at=row["finishing_at"],
        ended_at=row["ended_at"],
        results_expire_at=row["results_expire_at"],
    )
