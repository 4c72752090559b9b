"""Any sequence of calls, in any order and from any attempt, leads a status store exactly where the table says."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.servers.status_rigs import MemoryRig, PostgresRig
from tests.strategies.life_machine import ACTIONS, ATTEMPTS_MAX, ENDS, QUIET, USERS, Details, LifeMachine

# Beside what the machine draws, everything that can happen twice in a row is tried. A name may carry what is wrong.
EVENTS = [*dict.fromkeys(ACTIONS), "finish:wrong totals", "commit:wrong totals", "commit:repeats", "cancel follower"]
DRASTIC = [*ENDS, "claim", "fail_waiting", "cancel follower", "claim follower"]


def machine_of(rig) -> type[LifeMachine]:
    """Return the machine on one store."""
    return type("Life", (LifeMachine,), {"rig": rig})


def draw_lives(rig, *, examples: int, steps: int, shrinks: bool) -> None:
    """Let the machine draw that many lives of so many steps, and look for the shortest one that goes wrong or not."""
    phases = [phase for phase in Phase if shrinks or phase is not Phase.shrink]
    drawn = settings(max_examples=examples, stateful_step_count=steps, deadline=None, phases=phases)
    run_state_machine_as_test(machine_of(rig), settings=drawn)


def live(rig, attempts: int, events: tuple[str, ...]) -> None:
    """Let events happen to a query that others wait for, the same ones late to its next attempt, and everything end."""
    machine = machine_of(rig)()
    machine.begin()
    for _ in range(3):
        machine.accept_equal(USERS[0], use_cache=True)
    leader, follower = list(machine.model.known)[:2]
    for attempt in range(1, attempts + 1):
        machine.do_claim(leader, 0, QUIET)
        machine.do_commit(leader, attempt, QUIET)
        if attempt < attempts:
            machine.do_lose(leader, attempt, QUIET)
    happen(machine, leader, follower, attempts, events)
    if machine.model.known[leader].waits:
        machine.do_claim(leader, 0, QUIET)
        happen(machine, leader, follower, attempts, events)
    machine.teardown()


def happen(machine, leader, follower, attempt, events) -> None:
    """Let some things happen to a query, or its follower."""
    for event in events:
        action, _, mistake = event.partition(":")
        if action == "cancel follower":
            machine.do_request_cancel(follower, 0, QUIET)
        elif action == "claim follower":
            machine.do_claim(follower, 0, QUIET)
        else:
            details = Details(mistake=mistake, rows=[2, 1] if mistake else [])
            getattr(machine, f"do_{action}")(leader, attempt, details)
        machine.rows_are_those_of_the_model()
        machine.callers_see_what_is_stored()


def orders(rig, events, count):
    """Let every sequence of `count` events happen to a query that waits, that runs, and that runs for the last time."""
    for attempts in (0, 1, ATTEMPTS_MAX):
        for order in product(events, repeat=count):
            live(rig, attempts, order)


def test_drawn_lives_in_memory_follow_the_table():
    """Whatever is called in whatever order, the store in memory holds what the table allows and loses no query."""
    draw_lives(MemoryRig(), examples=200, steps=50, shrinks=True)


def test_all_orders_of_events_in_memory_follow_the_table():
    """Any two calls in a row, and any three that can end a query, do what the table says."""
    orders(MemoryRig(), EVENTS, 2)
    orders(MemoryRig(), DRASTIC, 3)


@pytest.fixture
def postgres_rig(migrated_url):
    """Yield a store on PostgreSQL that a test can look into."""
    rig = PostgresRig(migrated_url)
    yield rig
    rig.close()


@pytest.mark.integration
def test_drawn_lives_on_postgres_follow_the_table(postgres_rig):
    """Whatever is called in whatever order, the database holds what the table allows and loses no query."""
    # To shrink takes minutes on a server; what goes wrong is shrunk by calling this with `shrinks=True`.
    draw_lives(postgres_rig, examples=30, steps=40, shrinks=False)


@pytest.mark.integration
def test_all_orders_of_events_on_postgres_follow_the_table(postgres_rig):
    """Any two calls in a row that can end a query, and any two on a running one, do what the table says."""
    orders(postgres_rig, DRASTIC, 2)
    for order in product(EVENTS, repeat=2):
        live(postgres_rig, 1, order)
