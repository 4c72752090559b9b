"""What a status store must hold after any sequence of calls: the pure functions, and next to nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from queryfleet.errors import ConflictError, IllegalTransitionError, TooManyRequestsError
from queryfleet.status.transitions import TERMINAL, Event, LifeState, Phase, QueryStatus, apply, give, loss

if TYPE_CHECKING:
    from queryfleet.model import ChunkRef
    from queryfleet.status.record import NewQuery


@dataclass(slots=True, kw_only=True)
class Known:
    """One query as the model has it."""

    query: NewQuery
    life: LifeState = field(default_factory=LifeState)
    leader: str | None = None  # whom it waits for, or waited for when it was cancelled
    is_leader: bool = False  # others with its cache key join it
    chunks: dict[int, list[ChunkRef]] = field(default_factory=dict)  # by attempt
    totals: tuple[int, int, int] = (0, 0, 0)  # rows, bytes, chunks
    result: tuple[str, int] | None = None  # whose chunks are its rows; None: its own
    error: str | None = None
    made: int = 0  # which result in turn its rows are; larger is newer
    kept: bool = True  # the rows do not expire soon
    lease_over: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.life.status not in TERMINAL

    @property
    def runs(self) -> bool:
        """Whether an attempt is current."""
        return self.life.status is QueryStatus.RUNNING

    @property
    def waits(self) -> bool:
        """Whether it waits for an actor."""
        return self.life.status is QueryStatus.PENDING and self.leader is None


def totals_of(chunks):
    """Return rows, bytes and number of some chunks."""
    return sum(c.row_count for c in chunks), sum(c.byte_count for c in chunks), len(chunks)


class LifeModel:
    """All queries. Each method does to the model what the store's method of that name promises."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}  # in the order of acceptance
        self.forgets = False  # those who wait for an ended query are left alone, as by a crash in between
        self._made = 0

    # Accepting -------------------------------------------------------------------------------------------------

    def leader_of(self, key: bytes | None) -> str | None:
        """Return the query that equal ones join."""
        leads = [u for u, k in self.known.items() if k.is_leader and k.is_live and k.query.cache_key == key]
        return leads[0] if leads else None

    def accept(self, query: NewQuery):
        """Return `(uuid, created, cache hit)`, or the class of the error."""
        mine = (query.project_uuid, query.user_uuid, query.idempotency_key)
        for known in self.known.values() if query.idempotency_key else ():
            earlier = known.query
            if mine == (earlier.project_uuid, earlier.user_uuid, earlier.idempotency_key):
                same = earlier.request_hash == query.request_hash
                return (earlier.query_uuid, False, False) if same else ConflictError
        shares = query.cache_key is not None and query.use_cache
        rows = self._rows_for(query) if shares else None
        leader = self.leader_of(query.cache_key) if shares else None
        new = Known(query=query)
        if rows is not None:
            new.life = LifeState(status=QueryStatus.READY, phase=Phase.FINISHING)
            self._take(new, rows)
        elif leader is not None:
            new.life, new.leader = LifeState(follows=True), leader
        elif self._queued(query.project_uuid) >= query.queue_max:
            return TooManyRequestsError
        else:
            new.is_leader = shares
        self.known[query.query_uuid] = new
        return query.query_uuid, True, rows is not None

    def _queued(self, project_uuid: str) -> int:
        return sum(known.waits and known.query.project_uuid == project_uuid for known in self.known.values())

    def _rows_for(self, query: NewQuery) -> str | None:
        ready = [
            (known.made, uuid)
            for uuid, known in self.known.items()
            if known.life.status is QueryStatus.READY and known.kept and known.query.cache_key == query.cache_key
        ]
        return max(ready)[1] if ready else None

    def _take(self, known: Known, source: str) -> None:
        given = self.known[source]
        known.totals, known.error, known.made, known.kept = given.totals, given.error, given.made, given.kept
        known.result = given.result or (source, given.life.attempt)

    # Steps -----------------------------------------------------------------------------------------------------

    def step(self, uuid: str, event: Event, attempt: int | None = None) -> bool:
        """Take one step if the table has it."""
        known = self.known[uuid]
        try:
            known.life = apply(known.life, event, attempt=attempt)
        except IllegalTransitionError:
            return False
        if known.life.status in TERMINAL:
            known.lease_over = False
        return True

    def claim(self, uuid: str, *, lease_over: bool) -> bool:
        """Return whether the claim wins."""
        won = self.step(uuid, Event.CLAIMED)
        if won:
            known = self.known[uuid]
            known.totals, known.lease_over = (0, 0, 0), lease_over
        return won

    def report(self, uuid: str, event: Event, attempt: int):
        """Return `(current, cancel requested)` as a lease says it."""
        current = self.step(uuid, event, attempt)
        return current, current and self.known[uuid].life.cancel_requested

    def commit(self, uuid: str, attempt: int, chunk: ChunkRef) -> bool:
        """Return whether the chunk is published afterwards."""
        known = self.known[uuid]
        if chunk in known.chunks.get(attempt, []):
            return True
        rows, size, count = known.totals
        if (chunk.index, chunk.first_row) != (count, rows) or not self.step(uuid, Event.COMMITTED, attempt):
            return False
        known.chunks.setdefault(attempt, []).append(chunk)
        known.totals = (rows + chunk.row_count, size + chunk.byte_count, count + 1)
        return True

    def finish(self, uuid: str, attempt: int, chunks, totals, *, kept: bool) -> bool:
        """Return whether the end is accepted."""
        known = self.known[uuid]
        new = [chunk for chunk in dict.fromkeys(chunks) if chunk not in known.chunks.get(attempt, [])]
        rows, size, count = known.totals
        for chunk in new:
            if (chunk.index, chunk.first_row) != (count, rows):
                return False
            rows, size, count = rows + chunk.row_count, size + chunk.byte_count, count + 1
        if totals != (rows, size, count):
            return False
        if not new and (known.life.status, known.life.attempt) == (QueryStatus.READY, attempt):
            self.settle(uuid)
            return True
        if not self.step(uuid, Event.FINISHED, attempt):
            return False
        if new:
            known.chunks.setdefault(attempt, []).extend(new)
        self._made += 1
        known.totals, known.made, known.kept = totals, self._made, kept
        self.settle(uuid)
        return True

    # Ends ------------------------------------------------------------------------------------------------------

    def fail(self, uuid: str, attempt: int | None, error: str) -> bool:
        """Return whether the query ended by this."""
        done = self.step(uuid, Event.FAILED, attempt)
        if done:
            self.known[uuid].error = error
        self.settle(uuid)
        return done

    def request_cancel(self, uuid: str) -> QueryStatus | None:
        """Return the status afterwards, None when nothing changed."""
        done = self.step(uuid, Event.CANCEL_REQUESTED)
        self.settle(uuid)
        return self.known[uuid].life.status if done else None

    def confirm_cancel(self, uuid: str, attempt: int) -> bool:
        """Return whether the query ended by this."""
        done = self.step(uuid, Event.CANCELLED, attempt)
        if done:
            self.known[uuid].totals = (0, 0, 0)
        self.settle(uuid)
        return done

    def lose(self, uuid: str, attempt: int, *, attempts_max: int) -> QueryStatus | None:
        """Return the status afterwards, None when nothing changed."""
        known = self.known[uuid]
        event = loss(known.life, attempts_max=attempts_max)
        done = self.step(uuid, event, attempt)
        if done:
            known.totals, known.lease_over = (0, 0, 0), False
            if event is Event.FAILED:
                known.error = "UnexpectedServerError"
        self.settle(uuid)
        return known.life.status if done else None

    def settle(self, ended: str | None = None) -> None:
        """End or promote those who wait for `ended`; None: for anybody who has ended."""
        if self.forgets and ended is not None:
            return
        orphans: dict[bytes | None, list[str]] = {}
        for uuid, known in self.known.items():
            if known.life.status is not QueryStatus.PENDING or known.leader is None:
                continue
            leader = self.known[known.leader]
            if leader.is_live or ended not in (None, known.leader):
                continue
            if leader.life.status is QueryStatus.CANCELLED:
                orphans.setdefault(known.query.cache_key, []).append(uuid)
            else:
                known.life = give(known.life, leader.life)
                self._take(known, known.leader)
                known.leader = None
        for key, (heir, *others) in orphans.items():
            leads = self.leader_of(key) is None
            self.step(heir, Event.PROMOTED)
            self.known[heir].leader, self.known[heir].is_leader = None, leads
            for other in others:
                self.known[other].leader = heir

    def forget_chunks(self, uuid: str, attempt: int) -> None:
        """Drop what an attempt had published."""
        self.known[uuid].chunks.pop(attempt, None)
