"""Any sequence of calls, in any order and from any attempt, leads a store exactly where the table says.

One machine draws calls and makes each of them to a store and to a model, which is little more than
`transitions.apply`. After every call it looks at every byte the store holds.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.rows import dict_row

from queryfleet.errors import AttemptFencedError
from queryfleet.model import ChunkRef, Column, ColumnType
from queryfleet.status.admission import ProjectShare, claim_order
from queryfleet.status.memory import MemoryStatusStore
from queryfleet.status.postgres import PostgresStatusStore, load_statements
from queryfleet.status.record import Failure, NewQuery
from queryfleet.status.rows import Row, chunk_of, life_of
from queryfleet.status.transitions import PHASES, TERMINAL, Event, QueryStatus
from tests.strategies.life_model import NOTES, LifeModel, totals_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from queryfleet.status.store import StatusStore

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


class Rig(Protocol):
    """A store, and what a test must see of it that no caller sees."""

    store: StatusStore
    forgets: bool  # nobody who waits for an ended query is dealt with, as by a crash between two steps

    def run(self, work: Coroutine): ...
    def rows(self) -> dict[str, Row]: ...
    def chunk_rows(self) -> dict[tuple[str, int], list[ChunkRef]]: ...
    def clear(self) -> None: ...


class ForgetfulMemory(MemoryStatusStore):
    forgets = False

    def _settle(self, ended):
        if ended is None or not self.forgets:
            super()._settle(ended)


class MemoryRig:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.store = ForgetfulMemory()

    @property
    def forgets(self) -> bool:
        return self.store.forgets

    @forgets.setter
    def forgets(self, value: bool) -> None:
        self.store.forgets = value

    def run(self, work):
        """Run a coroutine that never waits."""
        try:
            work.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("The store in memory waited.")

    def rows(self):
        return {query_uuid: dict(row) for query_uuid, row in self.store._queries.items()}

    def chunk_rows(self):
        return {key: list(chunks) for key, chunks in self.store._chunks.items() if chunks}


class ForgetfulPostgres(PostgresStatusStore):
    @property
    def forgets(self):
        return not self._statements["settle_followers"].startswith(b"--")

    @forgets.setter
    def forgets(self, value):
        idle = b"select from query where query_uuid = %(query_uuid)s"
        self._statements = load_statements()
        if value:
            self._statements |= {"settle_followers": idle, "promote_follower": idle}


class PostgresRig(MemoryRig):
    def __init__(self, url: str) -> None:
        self._loop = asyncio.Runner()
        self.store = ForgetfulPostgres(url, connections_max=2, timeout_seconds=10)
        self._eye = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        self.run(self.store.open())

    def clear(self) -> None:
        self._eye.execute("delete from query")

    def run(self, work):
        return self._loop.run(work)

    def rows(self):
        rows = self._eye.execute("select * from query order by created_at").fetchall()
        names = ("query_uuid", "leader_uuid", "result_query_uuid")
        return {str(row["query_uuid"]): row | {n: row[n] and str(row[n]) for n in names} for row in rows}

    def chunk_rows(self):
        rows = self._eye.execute("select * from chunk order by query_uuid, attempt, chunk_index").fetchall()
        found: dict[tuple[str, int], list[ChunkRef]] = {}
        for row in rows:
            found.setdefault((str(row["query_uuid"]), row["attempt"]), []).append(chunk_of(row))
        return found

    def close(self) -> None:
        self.run(self.store.close())
        self._eye.close()
        self._loop.close()


picks = st.integers(0, 11)
sizes = st.integers(1, 3)
leases = st.sampled_from([30.0, 30.0, -1.0])
lates = st.sampled_from([0, 0, 0, 0, 1])  # attempts ago


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

    def attempt_of(self, query_uuid: str, late: int) -> int:
        """Return the current attempt, or one `late` attempts earlier."""
        return max(0, self.model.known[query_uuid].life.attempt - late)

    def next_chunk(self, query_uuid: str, attempt: int, row_count: int, skip: int = 0) -> ChunkRef:
        published = self.model.known[query_uuid].chunks.get(attempt, [])
        rows, _, count = totals_of(published)
        return ChunkRef(
            index=count + skip,
            key=f"results/{query_uuid}/{attempt}/{count + skip:08d}.jsonl",
            first_row=rows + skip,
            row_count=row_count,
            byte_count=10 * row_count,
            crc32=row_count,
            blocks=b"b",
        )

    has_queries = precondition(lambda self: self.model.known)
    has_running = precondition(lambda self: any(known.runs for known in self.model.known.values()))
    has_live = precondition(lambda self: any(known.is_live for known in self.model.known.values()))
    has_waiting = precondition(lambda self: any(known.waits for known in self.model.known.values()))

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

    @has_waiting
    @rule(pick=picks, lease=leases)
    def claim_waiting(self, pick, lease):
        self.claim(self.pick(pick, lambda known: known.waits), lease)

    @has_queries
    @rule(pick=picks)
    def claim_in_vain(self, pick):
        """A follower, or a query that runs or has ended."""
        self.claim(self.pick(pick, lambda known: not known.waits), 30.0)

    def claim(self, query_uuid, lease):
        expected = self.model.claim(query_uuid, lease_over=lease < 0)
        record = self.call(self.store.claim(query_uuid, "query-a", lease_seconds=lease))
        assert expected == (record is not None)
        if record is not None:
            life = self.model.known[query_uuid].life
            assert (life.status, life.attempt, "select 1") == (record.status, record.attempt, record.sql)
            assert (record.row_count, record.columns, record.warehouse_query_id) == (0, None, None)

    @has_running
    @rule(pick=picks, late=lates, note=st.sampled_from(sorted(NOTES)))
    def note_phase(self, pick, late, note):
        query_uuid = self.pick(pick, lambda known: known.runs)
        attempt = self.attempt_of(query_uuid, late)
        expected = self.model.report(query_uuid, NOTES[note], attempt)
        match note:
            case "executing":
                work = self.store.record_executing(query_uuid, attempt, f"wh-{attempt}")
            case "fetching":
                work = self.store.record_fetching(query_uuid, attempt, columns=COLUMNS, arrow_schema=b"s")
            case _:
                work = self.store.record_finishing(query_uuid, attempt)
        lease = self.call(work)
        assert expected == (lease.current, lease.cancel_requested)

    @has_running
    @rule(pick=picks, late=lates, lease=leases)
    def renew(self, pick, late, lease):
        query_uuid = self.pick(pick, lambda known: known.runs)
        self.renew_of(query_uuid, self.attempt_of(query_uuid, late), lease)

    def renew_of(self, query_uuid, attempt, lease):
        expected = self.model.report(query_uuid, Event.RENEWED, attempt)
        answer = self.call(self.store.renew(query_uuid, attempt, lease_seconds=lease))
        assert expected == (answer.current, answer.cancel_requested)
        if answer.current:
            self.model.known[query_uuid].lease_over = lease < 0

    @has_running
    @rule(pick=picks, rows=sizes)
    def commit_next(self, pick, rows):
        query_uuid = self.pick(pick, lambda known: known.runs)
        attempt = self.attempt_of(query_uuid, 0)
        self.commit(query_uuid, attempt, self.next_chunk(query_uuid, attempt, rows))

    @has_queries
    @rule(pick=picks, late=st.integers(0, 2), rows=sizes, skip=st.integers(0, 1), which=picks, again=st.booleans())
    def commit_out_of_turn(self, pick, late, rows, skip, which, again):
        """A gap, a late attempt, a query that does not run; a chunk that is there, or another one in its place."""
        query_uuid = self.pick(pick, lambda known: known.chunks)
        attempt = self.attempt_of(query_uuid, late)
        published = self.model.known[query_uuid].chunks.get(attempt, [])
        if again and published:
            there = published[which % len(published)]
            chunk = there if skip else replace(there, row_count=rows, byte_count=10 * rows, crc32=rows)
        else:
            chunk = self.next_chunk(query_uuid, attempt, rows, skip)
        self.commit(query_uuid, attempt, chunk)

    def commit(self, query_uuid, attempt, chunk):
        expected = self.model.commit(query_uuid, attempt, chunk)
        assert expected == (not self.refused(self.store.commit_chunk(query_uuid, attempt, chunk)))

    @has_running
    @rule(
        pick=picks,
        late=lates,
        more=st.lists(sizes, max_size=2),
        mistake=st.sampled_from([None, None, None, "repeats", "reversed", "wrong totals"]),
        kept=st.booleans(),
        forgets=st.booleans(),
    )
    def finish(self, pick, late, more, mistake, kept, forgets):
        query_uuid = self.pick(pick, lambda known: known.runs)
        self.finish_of(query_uuid, self.attempt_of(query_uuid, late), more, mistake, kept=kept, forgets=forgets)

    def finish_of(self, query_uuid, attempt, more=(), mistake=None, *, kept=True, forgets=False):
        """Finish with some more chunks, which may be repeated, reversed, or not be what the totals say."""
        published = list(self.model.known[query_uuid].chunks.get(attempt, []))
        total = list(published)
        for row_count in more:
            first = self.next_chunk(query_uuid, attempt, row_count)
            rows, _, count = totals_of(total)
            total.append(replace(first, index=count, key=f"{first.key}.{count}", first_row=rows))
        rows, size, count = totals_of(total)
        sent = total[len(published) :]
        if mistake == "repeats":
            sent = total + total[-1:]
        elif mistake == "reversed":
            sent.reverse()
        elif mistake == "wrong totals":
            rows += 1
        with self.forgetting(forgets):
            expected = self.model.finish(query_uuid, attempt, sent, (rows, size, count), kept=kept)
            work = self.store.finish(
                query_uuid,
                attempt,
                chunks=sent,
                row_count=rows,
                byte_count=size,
                chunk_count=count,
                ttl_seconds=3600.0 if kept else -1.0,
            )
            assert expected == (not self.refused(work))

    # Ends ------------------------------------------------------------------------------------------------------

    @contextmanager
    def forgetting(self, forgets: bool):
        """Leave those who wait for a query that ends in here alone, if asked to."""
        self.rig.forgets = self.model.forgets = forgets
        try:
            yield
        finally:
            self.rig.forgets = self.model.forgets = False

    @has_live
    @rule(pick=picks, forgets=st.booleans())
    def fail_pending(self, pick, forgets):
        self.fail_of(self.pick(pick, lambda known: known.is_live and not known.runs), None, forgets)

    @has_running
    @rule(pick=picks, late=lates, forgets=st.booleans())
    def fail_running(self, pick, late, forgets):
        query_uuid = self.pick(pick, lambda known: known.runs)
        self.fail_of(query_uuid, self.attempt_of(query_uuid, late), forgets)

    def fail_of(self, query_uuid, attempt, forgets=False):
        with self.forgetting(forgets):
            expected = self.model.fail(query_uuid, attempt, "WarehouseQueryError")
            failure = Failure(name="WarehouseQueryError", message="no", status=400, details={"a": 1})
            assert expected == self.call(self.store.fail(query_uuid, attempt, failure))

    @has_live
    @rule(pick=picks, running=st.booleans(), forgets=st.booleans())
    def request_cancel(self, pick, running, forgets):
        self.cancel_of(self.pick(pick, lambda known: known.runs if running else known.is_live), forgets)

    def cancel_of(self, query_uuid, forgets=False):
        with self.forgetting(forgets):
            expected = self.model.request_cancel(query_uuid)
            record = self.call(self.store.request_cancel(query_uuid))
            assert expected == (record.status if record is not None else None)

    @has_running
    @rule(pick=picks, late=lates, forgets=st.booleans())
    def confirm_cancel(self, pick, late, forgets):
        query_uuid = self.pick(pick, lambda known: known.runs and known.life.cancel_requested)
        self.confirm_of(query_uuid, self.attempt_of(query_uuid, late), forgets)

    def confirm_of(self, query_uuid, attempt, forgets=False):
        with self.forgetting(forgets):
            expected = self.model.confirm_cancel(query_uuid, attempt)
            assert expected == self.call(self.store.confirm_cancel(query_uuid, attempt, warning="w"))

    @has_running
    @rule(pick=picks, late=lates, forgets=st.booleans())
    def lose(self, pick, late, forgets):
        query_uuid = self.pick(pick, lambda known: known.runs)
        self.lose_of(query_uuid, self.attempt_of(query_uuid, late), forgets)

    def lose_of(self, query_uuid, attempt, forgets=False):
        with self.forgetting(forgets):
            expected = self.model.lose(query_uuid, attempt, attempts_max=ATTEMPTS_MAX)
            work = self.store.lose(query_uuid, attempt, attempts_max=ATTEMPTS_MAX, reason="test")
            assert expected == self.call(work)

    @has_queries
    @rule(pick=picks, late=lates, what=st.sampled_from(["renew", "finish", "fail", "cancel", "confirm", "lose"]))
    def call_in_vain(self, pick, late, what):
        """Something for a running query, to one that does not run: late, or sent again."""
        query_uuid = self.pick(pick, lambda known: not known.runs)
        attempt = self.attempt_of(query_uuid, late)
        match what:
            case "renew":
                self.renew_of(query_uuid, attempt, 30.0)
            case "finish":
                self.finish_of(query_uuid, attempt)
            case "fail":
                self.fail_of(query_uuid, attempt)
            case "cancel" if not self.model.known[query_uuid].is_live:
                self.cancel_of(query_uuid)
            case "confirm":
                self.confirm_of(query_uuid, attempt)
            case _:
                self.lose_of(query_uuid, attempt)

    @rule()
    def sweep(self):
        """Find attempts whose lease has run out, and lose exactly those."""
        expired = self.call(self.store.expired_leases())
        known = self.model.known
        over = {(query_uuid, known[query_uuid].life.attempt) for query_uuid in known if known[query_uuid].lease_over}
        assert over == {(row["query_uuid"], row["attempt"]) for row in expired}
        for query_uuid, attempt in sorted(over):
            self.lose_of(query_uuid, attempt)

    @rule()
    def settle(self):
        self.model.settle()
        self.call(self.store.settle())
        for known in self.model.known.values():
            assert known.life.status in TERMINAL or known.leader is None or self.model.known[known.leader].is_live

    @has_queries
    @rule(pick=picks, late=st.integers(0, 2))
    def forget_chunks(self, pick, late):
        """As an actor does when it has removed what its attempt wrote; and somebody polls."""
        query_uuid = self.pick(pick)
        self.call(self.store.touch(query_uuid))
        attempt = self.attempt_of(query_uuid, late)
        known = self.model.known[query_uuid]
        needed = attempt == known.life.attempt and known.life.status in (QueryStatus.RUNNING, QueryStatus.READY)
        if not needed:
            self.model.forget_chunks(query_uuid, attempt)
            self.call(self.store.forget_chunks(query_uuid, attempt))

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
        for query_uuid, known in self.model.known.items():
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
                    self.claim(query_uuid, 30.0)
                if known.runs and known.life.cancel_requested:
                    self.confirm_of(query_uuid, known.life.attempt)
                elif known.runs:
                    self.finish_of(query_uuid, known.life.attempt)
            self.rows_are_those_of_the_model()
        assert all(row["status"] in TERMINAL for row in self.rig.rows().values())


def run_machine(rig: Rig, *, examples: int, steps: int) -> None:
    machine = type("Life", (LifeMachine,), {"rig": rig})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    )


def test_life_in_memory_follows_the_table():
    """Whatever is called in whatever order, the store in memory holds what the table allows and loses no query."""
    run_machine(MemoryRig(), examples=200, steps=50)


@pytest.mark.integration
def test_life_on_postgres_follows_the_table(migrated_url):
    """Whatever is called in whatever order, the database holds what the table allows and loses no query."""
    rig = PostgresRig(migrated_url)
    try:
        run_machine(rig, examples=40, steps=40)
    finally:
        rig.close()
