"""A machine that draws calls and makes each of them to a status store and to a model of it.

The model is little more than `transitions.apply`. After every call the machine looks at every byte the store holds.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from queryfleet.errors import AttemptFencedError
from queryfleet.model import ChunkRef, Column, ColumnType
from queryfleet.status.admission import ProjectShare, claim_order
from queryfleet.status.record import Failure, NewQuery
from queryfleet.status.rows import Row, life_of
from queryfleet.status.transitions import PHASES, TERMINAL, Event, QueryStatus
from tests.strategies.life_model import Known, LifeModel, totals_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.servers.status_rigs import Rig

ATTEMPTS_MAX = 3
DRAIN_ROUNDS = 200
PROJECTS = {
    str(uuid.UUID(int=1)): 1.0,  # by uuid, its weight
    str(uuid.UUID(int=2)): 1.0,
    str(uuid.UUID(int=3)): 2.0,
}
USERS = [str(uuid.UUID(int=11)), str(uuid.UUID(int=12))]
COLUMNS = [Column(reference="n", type=ColumnType.NUMBER)]
NEVER_FULL = 1_000_000


picks = st.integers(0, 11)
sizes = st.integers(1, 3)
lates = st.sampled_from([0, 0, 0, 0, 0, 1])  # attempts ago

IS_OF_KIND: dict[str, Callable[[Known], bool]] = {
    "waiting": lambda known: known.waits,
    "running": lambda known: known.runs,
    "following": lambda known: known.is_live and known.leader is not None,
    "ended": lambda known: not known.is_live,
}
KINDS = [*IS_OF_KIND, "waiting", "running"]
ACTIONS = [
    *("claim", "claim", "renew", "note_executing", "note_fetching", "note_finishing", "commit", "finish"),
    *("fail", "fail_waiting", "request_cancel", "confirm_cancel", "lose", "clean_up"),
]
MISTAKES = [None, "repeats", "reversed", "wrong totals"]
ENDS = ["finish", "fail", "request_cancel", "confirm_cancel", "lose"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What differs between two calls of one kind."""

    lease: float = 30.0  # seconds; negative: it has run out at once
    rows: Sequence[int] = ()  # of new chunks
    mistake: str | None = None
    kept: bool = True  # the result does not expire at once
    forgets: bool = False  # those who wait for a query that ends by this are left alone


QUIET = Details()


def next_chunk(query_uuid: str, attempt: int, published: Sequence[ChunkRef], row_count: int) -> ChunkRef:
    rows, _, count = totals_of(published)
    return ChunkRef(
        index=count,
        key=f"results/{query_uuid}/{attempt}/{count:08d}.jsonl",
        first_row=rows,
        row_count=row_count,
        byte_count=10 * row_count,
        crc32=row_count,
        blocks=b"b",
    )


class LifeMachine(RuleBasedStateMachine):
    """Draws calls; `rig` is set by the test."""

    rig: Rig

    def __init__(self) -> None:
        super().__init__()
        self.model = LifeModel()
        self.store = self.rig.store
        self.last_rows: dict[str, Row] = {}
        self.accepted = 0

    @initialize()
    def begin(self):
        self.rig.clear()
        self.rig.forgets = False
        self.store = self.rig.store
        for project_uuid, weight in PROJECTS.items():
            self.call(self.store.put_project(project_uuid, "p", {"limits": {"weight": weight}}))

    def call(self, work):
        return self.rig.run(work)

    def refused(self, work) -> bool:
        try:
            self.call(work)
        except AttemptFencedError:
            return True
        return False

    def pick(self, number: int, wanted: Callable = lambda known: True) -> str:
        """Choose a query that `wanted` lets through, or any."""
        known = self.model.known
        found = [query_uuid for query_uuid in known if wanted(known[query_uuid])] or list(known)
        return found[-1 - number % len(found)]

    has_queries = precondition(lambda self: self.model.known)

    # Accepting -------------------------------------------------------------------------------------------------

    @rule(
        project=st.sampled_from([*sorted(PROJECTS)[:1] * 3, *sorted(PROJECTS)]),
        user=st.sampled_from(USERS),
        key=st.sampled_from([b"k", b"k", b"k", b"l", None]),
        use_cache=st.sampled_from([True, True, True, False]),
        idempotency_key=st.sampled_from([None, None, None, None, "i", "j"]),
        request_hash=st.sampled_from([b"a", b"b"]),
        queue_max=st.sampled_from([NEVER_FULL, NEVER_FULL, 2]),
    )
    def accept_any(self, project, user, key, use_cache, idempotency_key, request_hash, queue_max):
        self.accept(project, user, key, use_cache, idempotency_key, request_hash, queue_max)

    @rule(user=st.sampled_from(USERS), use_cache=st.sampled_from([True, True, True, False]))
    def accept_equal(self, user, use_cache):
        self.accept(min(PROJECTS), user, b"k", use_cache, None, b"a", NEVER_FULL)

    @rule(user=st.sampled_from(USERS), use_cache=st.booleans(), rows=st.lists(sizes, max_size=2), kept=st.booleans())
    def run_equal(self, user, use_cache, rows, kept):
        """A whole life without trouble, when nobody else's will do."""
        self.accept(min(PROJECTS), user, b"k", use_cache, None, b"a", NEVER_FULL)
        query_uuid = self.pick(0)
        if self.model.known[query_uuid].waits:
            self.do_claim(query_uuid, 0, QUIET)
            self.do_finish(query_uuid, 1, Details(rows=rows, kept=kept))

    def accept(self, project, user, key, use_cache, idempotency_key, request_hash, queue_max):
        self.accepted += 1
        query = NewQuery(
            query_uuid=str(uuid.uuid5(uuid.NAMESPACE_OID, str(self.accepted))),
            project_uuid=project,
            user_uuid=user,
            context="api",
            sql="select 1",
            cache_key=key and key + project.encode(),
            use_cache=use_cache,
            idempotency_key=idempotency_key,
            request_hash=request_hash,
            cache_margin_seconds=60.0,
            queue_max=queue_max,
        )
        expected = self.model.accept(query)
        if isinstance(expected, type):
            with pytest.raises(expected):
                self.call(self.store.accept(query))
        else:
            acceptance = self.call(self.store.accept(query))
            assert expected == (acceptance.query_uuid, acceptance.created, acceptance.cache_hit)

    # One attempt -----------------------------------------------------------------------------------------------

    # What is done to one query -----------------------------------------------------------------------------------

    @has_queries
    @rule(
        pick=picks,
        kind=st.sampled_from(KINDS),
        late=lates,
        actions=st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=4),
        details=st.builds(
            Details,
            lease=st.sampled_from([30.0, 30.0, -1.0]),
            rows=st.lists(sizes, max_size=2),
            mistake=st.sampled_from([None, None, *MISTAKES]),
            kept=st.booleans(),
            forgets=st.booleans(),
        ),
    )
    def act(self, pick, kind, late, actions, details):
        """Do some things to one query, as its actor, the status actor and a person would; what comes late is late."""
        query_uuid = self.pick(pick, IS_OF_KIND[kind])
        attempt = max(0, self.model.known[query_uuid].life.attempt - late)
        for action in actions:
            with self.forgetting(details.forgets):
                getattr(self, f"do_{action}")(query_uuid, attempt, details)
            self.rows_are_those_of_the_model()
            if action == "claim" and not late:
                attempt = self.model.known[query_uuid].life.attempt

    @precondition(lambda self: any(known.waits or known.runs for known in self.model.known.values()))
    @rule(pick=picks, order=st.permutations(ENDS), forgets=st.booleans(), chunk=st.sampled_from(MISTAKES))
    def race(self, pick, order, forgets, chunk):
        """Everything that can end an attempt comes at once, in any order, and again when the next attempt has begun."""
        query_uuid = self.pick(pick, lambda known: known.waits or known.runs)
        known = self.model.known[query_uuid]
        self.do_claim(query_uuid, 0, QUIET)
        attempt = known.life.attempt
        self.do_commit(query_uuid, attempt, QUIET)
        self.do_commit(query_uuid, attempt, Details(mistake=chunk))
        self.act_in_turn(query_uuid, attempt, order, forgets)
        if known.waits:
            self.do_claim(query_uuid, 0, QUIET)
            self.act_in_turn(query_uuid, attempt, ["renew", "note_fetching", "commit", *order], forgets)

    def act_in_turn(self, query_uuid, attempt, actions, forgets):
        for action in actions:
            with self.forgetting(forgets):
                getattr(self, f"do_{action}")(query_uuid, attempt, QUIET)
            self.rows_are_those_of_the_model()

    @contextmanager
    def forgetting(self, forgets: bool):
        """Leave those who wait for a query that ends in here alone, if asked to."""
        self.rig.forgets = self.model.forgets = forgets
        try:
            yield
        finally:
            self.rig.forgets = self.model.forgets = False

    def do_claim(self, query_uuid, attempt, details):
        expected = self.model.claim(query_uuid, lease_over=details.lease < 0)
        record = self.call(self.store.claim(query_uuid, "query-a", lease_seconds=details.lease))
        assert expected == (record is not None)
        if record is not None:
            life = self.model.known[query_uuid].life
            assert (life.status, life.attempt, "select 1") == (record.status, record.attempt, record.sql)
            assert (record.row_count, record.columns, record.warehouse_query_id) == (0, None, None)

    def do_renew(self, query_uuid, attempt, details):
        self.report(
            query_uuid, attempt, Event.RENEWED, self.store.renew(query_uuid, attempt, lease_seconds=details.lease)
        )
        known = self.model.known[query_uuid]
        if known.runs and known.life.attempt == attempt:
            known.lease_over = details.lease < 0

    def do_note_executing(self, query_uuid, attempt, details):
        work = self.store.record_executing(query_uuid, attempt, f"wh-{attempt}")
        self.report(query_uuid, attempt, Event.EXECUTING, work)

    def do_note_fetching(self, query_uuid, attempt, details):
        work = self.store.record_fetching(query_uuid, attempt, columns=COLUMNS, arrow_schema=b"s")
        self.report(query_uuid, attempt, Event.FETCHING, work)

    def do_note_finishing(self, query_uuid, attempt, details):
        self.report(query_uuid, attempt, Event.FINISHING, self.store.record_finishing(query_uuid, attempt))

    def report(self, query_uuid, attempt, event, work):
        expected = self.model.report(query_uuid, event, attempt)
        lease = self.call(work)
        assert expected == (lease.current, lease.cancel_requested)

    def do_commit(self, query_uuid, attempt, details):
        """The next chunk, the last one again, another one in its place, or one after a gap."""
        published = self.model.known[query_uuid].chunks.get(attempt, [])
        chunk = next_chunk(query_uuid, attempt, published, sum(details.rows) + 1)
        if details.mistake == "repeats" and published:
            chunk = published[-1]
        elif details.mistake == "reversed" and published:
            chunk = replace(published[-1], row_count=published[-1].row_count + 1, crc32=0)
        elif details.mistake == "wrong totals":
            chunk = replace(chunk, index=chunk.index + 1, first_row=chunk.first_row + 1)
        expected = self.model.commit(query_uuid, attempt, chunk)
        assert expected == (not self.refused(self.store.commit_chunk(query_uuid, attempt, chunk)))

    def do_finish(self, query_uuid, attempt, details):
        """With some more chunks, which may be repeated, reversed, or not be what the totals say."""
        published = self.model.known[query_uuid].chunks.get(attempt, [])
        total = list(published)
        for row_count in details.rows:
            total.append(next_chunk(query_uuid, attempt, total, row_count))
        rows, size, count = totals_of(total)
        sent = total[len(published) :]
        if details.mistake == "repeats":
            sent = total + total[-1:]
        elif details.mistake == "reversed":
            sent.reverse()
        elif details.mistake == "wrong totals":
            rows += 1
        expected = self.model.finish(query_uuid, attempt, sent, (rows, size, count), kept=details.kept)
        work = self.store.finish(
            query_uuid,
            attempt,
            chunks=sent,
            row_count=rows,
            byte_count=size,
            chunk_count=count,
            ttl_seconds=3600.0 if details.kept else -1.0,
        )
        assert expected == (not self.refused(work))

    def do_fail(self, query_uuid, attempt, details):
        self.fail(query_uuid, attempt)

    def do_fail_waiting(self, query_uuid, attempt, details):
        self.fail(query_uuid, None)

    def fail(self, query_uuid, attempt):
        expected = self.model.fail(query_uuid, attempt, "WarehouseQueryError")
        failure = Failure(name="WarehouseQueryError", message="no", status=400, details={"a": 1})
        assert expected == self.call(self.store.fail(query_uuid, attempt, failure))

    def do_request_cancel(self, query_uuid, attempt, details):
        expected = self.model.request_cancel(query_uuid)
        record = self.call(self.store.request_cancel(query_uuid))
        assert expected == (record.status if record is not None else None)

    def do_confirm_cancel(self, query_uuid, attempt, details):
        expected = self.model.confirm_cancel(query_uuid, attempt)
        assert expected == self.call(self.store.confirm_cancel(query_uuid, attempt, warning="w"))

    def do_lose(self, query_uuid, attempt, details):
        expected = self.model.lose(query_uuid, attempt, attempts_max=ATTEMPTS_MAX)
        assert expected == self.call(self.store.lose(query_uuid, attempt, attempts_max=ATTEMPTS_MAX, reason="test"))

    def do_clean_up(self, query_uuid, attempt, details):
        """As an actor does when it has removed what its attempt wrote; and somebody polls."""
        self.call(self.store.touch(query_uuid))
        life = self.model.known[query_uuid].life
        if attempt != life.attempt or life.status not in (QueryStatus.RUNNING, QueryStatus.READY):
            self.model.forget_chunks(query_uuid, attempt)
            self.call(self.store.forget_chunks(query_uuid, attempt))

    # What is done to all of them ---------------------------------------------------------------------------------

    @rule()
    def sweep(self):
        """Find attempts whose lease has run out, and lose exactly those."""
        expired = self.call(self.store.expired_leases())
        known = self.model.known
        over = {(query_uuid, known[query_uuid].life.attempt) for query_uuid in known if known[query_uuid].lease_over}
        assert over == {(row["query_uuid"], row["attempt"]) for row in expired}
        for query_uuid, attempt in sorted(over):
            self.do_lose(query_uuid, attempt, QUIET)

    @rule()
    def settle(self):
        self.model.settle()
        self.call(self.store.settle())
        for known in self.model.known.values():
            assert known.life.status in TERMINAL or known.leader is None or self.model.known[known.leader].is_live

    # What must hold --------------------------------------------------------------------------------------------

    @invariant()
    def rows_are_those_of_the_model(self):
        rows, chunks = self.rig.rows(), self.rig.chunk_rows()
        known = self.model.known
        assert known.keys() == rows.keys()
        for query_uuid, row in rows.items():
            expected = known[query_uuid]
            assert expected.life == life_of(row)
            assert (expected.leader, expected.is_leader) == (row["leader_uuid"], row["is_leader"])
            assert expected.totals == (row["row_count"], row["byte_count"], row["chunk_count"])
            assert expected.error == row["error_name"]
            result = (row["result_query_uuid"], row["result_attempt"])
            assert expected.result == (None if result == (None, None) else result)
        stored = {(u, a): found for u, k in known.items() for a, found in k.chunks.items() if found}
        assert stored == chunks
        self.check_ends(rows, chunks)
        self.check_steps(rows)
        self.last_rows = rows

    def check_ends(self, rows, chunks):
        for row in rows.values():
            assert (row["status"] in TERMINAL) == (row["ended_at"] is not None)
            assert (row["status"] == QueryStatus.RUNNING) == (row["lease_until"] is not None)
            if row["status"] == QueryStatus.READY:
                own = (row["query_uuid"], row["attempt"])
                where = (row["result_query_uuid"], row["result_attempt"]) if row["result_query_uuid"] else own
                found = chunks.get(where, [])
                assert totals_of(found) == (row["row_count"], row["byte_count"], row["chunk_count"])
                assert [c.index for c in found] == list(range(len(found)))
                assert [c.first_row for c in found] == [totals_of(found[:n])[0] for n in range(len(found))]
                assert found == list(self.call(self.store.chunks(*where, first_row=0, end_row=10**9)))
            elif row["status"] == QueryStatus.RUNNING:
                current = chunks.get((row["query_uuid"], row["attempt"]), [])
                assert totals_of(current) == (row["row_count"], row["byte_count"], row["chunk_count"])

    def check_steps(self, rows):
        for query_uuid, before in self.last_rows.items():
            after = rows[query_uuid]
            assert after["attempt"] >= before["attempt"]
            if before["status"] in TERMINAL:
                assert before == after
            elif (before["attempt"], before["status"]) == (after["attempt"], after["status"]):
                assert PHASES.index(before["phase"]) <= PHASES.index(after["phase"])

    @invariant()
    def equal_questions_have_at_most_one_leader(self):
        leaders = [
            row["cache_key"]
            for row in self.last_rows.values()
            if row["is_leader"] and row["status"] in (QueryStatus.PENDING, QueryStatus.RUNNING)
        ]
        assert len(leaders) == len(set(leaders))

    @invariant()
    def callers_see_what_is_stored(self):
        newest = list(self.model.known)[-3:]
        for query_uuid, known in self.model.known.items():
            if not known.is_live and query_uuid not in newest:
                continue  # seen when it ended, and its row has not changed since
            record = self.call(self.store.load(query_uuid))
            leader = self.model.known.get(known.leader or "")
            mirrored = known.life.status is QueryStatus.PENDING and leader is not None and leader.runs
            shown = leader if mirrored else known
            assert (shown.life.status, shown.life.phase) == (record.status, record.phase)
            assert shown.totals == (record.row_count, record.byte_count, record.chunk_count)
            own = (shown.query.query_uuid, shown.life.attempt)
            assert (known.result or own) == (record.result_query_uuid, record.result_attempt)

    @invariant()
    def places_are_the_order_of_claims(self):
        waiting = self.call(self.store.waiting())
        assert {u for u, known in self.model.known.items() if known.waits} == {query.query_uuid for query in waiting}
        shares = {project_uuid: ProjectShare(weight=weight) for project_uuid, weight in PROJECTS.items()}
        order = claim_order(waiting, self.call(self.store.running()), shares, count=len(waiting))
        places = [self.call(self.store.queue_position(query.query_uuid)) for query in order]
        assert list(range(1, len(waiting) + 1)) == places
        others = [query_uuid for query_uuid, known in self.model.known.items() if not known.waits]
        assert all(self.call(self.store.queue_position(query_uuid)) is None for query_uuid in others[-3:])

    def teardown(self):
        """Everything that was accepted ends, when nobody does anything but what the service does by itself."""
        for _ in range(DRAIN_ROUNDS):
            self.settle()
            live = [(query_uuid, known) for query_uuid, known in self.model.known.items() if known.is_live]
            if not live:
                break
            for query_uuid, known in live:
                if known.waits:
                    self.do_claim(query_uuid, 0, QUIET)
                if known.runs and known.life.cancel_requested:
                    self.do_confirm_cancel(query_uuid, known.life.attempt, QUIET)
                elif known.runs:
                    self.do_finish(query_uuid, known.life.attempt, QUIET)
            self.rows_are_those_of_the_model()
        assert all(row["status"] in TERMINAL for row in self.rig.rows().values())
