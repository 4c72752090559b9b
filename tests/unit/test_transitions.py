"""The life of a query: exactly the steps of the table, and the end is the end."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.errors import IllegalTransitionError
from queryfleet.status.transitions import (
    PHASES,
    TERMINAL,
    Event,
    LifeState,
    Phase,
    QueryStatus,
    apply,
    give,
    loss,
)

# Written out once more, by hand: the test and the module must agree on every pair.
STEPS = {
    ("pending", "claimed"): "running",
    ("pending", "failed"): "error",
    ("pending", "cancel_requested"): "cancelled",
    ("running", "renewed"): "running",
    ("running", "executing"): "running",
    ("running", "fetching"): "running",
    ("running", "finishing"): "running",
    ("running", "committed"): "running",
    ("running", "cancel_requested"): "running",
    ("running", "finished"): "ready",
    ("running", "failed"): "error",
    ("running", "lost"): "pending",
}
FOLLOWER_STEPS = {
    ("pending", "failed"): "error",
    ("pending", "cancel_requested"): "cancelled",
    ("pending", "given_rows"): "ready",
    ("pending", "given_error"): "error",
    ("pending", "promoted"): "pending",
}
STEPS_AFTER_A_REQUEST = {
    ("running", "renewed"): "running",
    ("running", "executing"): "running",
    ("running", "fetching"): "running",
    ("running", "finishing"): "running",
    ("running", "cancel_requested"): "running",
    ("running", "failed"): "error",
    ("running", "cancelled"): "cancelled",
}
PEOPLE = {Event.CANCEL_REQUESTED}

events = st.tuples(st.sampled_from(Event), st.integers(0, 4) | st.none(), st.booleans())


def reporter(state, event):
    """Return the attempt that may report an event."""
    return state.attempt if state.status is QueryStatus.RUNNING and event not in PEOPLE else None


def lives(sequence, follows=False):
    """Yield every state that a sequence of events leads through; illegal ones change nothing."""
    state = LifeState(follows=follows)
    yield state
    for event, attempt, as_current in sequence:
        try:
            state = apply(state, event, attempt=reporter(state, event) if as_current else attempt)
        except IllegalTransitionError:
            continue
        yield state


STATES = [
    *((LifeState(status=status, attempt=2), STEPS) for status in QueryStatus),
    (LifeState(follows=True), FOLLOWER_STEPS),  # a follower is pending, or it has ended and follows no more
    (LifeState(status=QueryStatus.RUNNING, attempt=2, cancel_requested=True), STEPS_AFTER_A_REQUEST),
    (LifeState(status=QueryStatus.CANCELLED, attempt=2, cancel_requested=True), STEPS_AFTER_A_REQUEST),
]


@pytest.mark.parametrize(("state", "steps", "event"), [(*state, event) for state, event in product(STATES, Event)])
def test_apply_of_every_pair_follows_the_table(state, steps, event):
    """Each of the steps of the table leads where it says; every other one is refused and says from where to what."""
    target = steps.get((state.status, event))
    if target is None:
        with pytest.raises(IllegalTransitionError) as caught:
            apply(state, event, attempt=reporter(state, event))
        assert (state.status, event) == (caught.value.details["status"], caught.value.details["event"])
    else:
        assert target == apply(state, event, attempt=reporter(state, event)).status


def test_apply_claimed_begins_a_new_attempt():
    """Only a claim makes an attempt, and it counts from one."""
    state = apply(LifeState(), Event.CLAIMED)
    assert state.attempt == 1
    state = apply(apply(state, Event.LOST, attempt=1), Event.CLAIMED)
    assert (state.status, state.attempt) == (QueryStatus.RUNNING, 2)


@pytest.mark.parametrize(
    "event", sorted({event for status, event in STEPS if status == "running"} - {"cancel_requested"})
)
@pytest.mark.parametrize("attempt", [None, 1, 3])
def test_apply_of_another_attempt_is_refused(event, attempt):
    """A running query listens to its current attempt only."""
    with pytest.raises(IllegalTransitionError) as caught:
        apply(LifeState(status=QueryStatus.RUNNING, attempt=2), Event(event), attempt=attempt)
    assert (attempt, 2) == (caught.value.details["attempt"], caught.value.details["currentAttempt"])


def test_apply_to_a_pending_query_by_an_old_attempt_is_refused():
    """Who lost a query cannot end it while it waits for the next attempt."""
    waiting = LifeState(attempt=1)
    with pytest.raises(IllegalTransitionError):
        apply(waiting, Event.FAILED, attempt=1)


@pytest.mark.parametrize("late", [Event.EXECUTING, Event.FETCHING, Event.FINISHING])
def test_apply_of_a_late_note_moves_no_phase_back(late):
    """A note that arrives after a later one changes nothing."""
    state = LifeState(status=QueryStatus.RUNNING, phase=Phase.FINISHING, attempt=1)
    assert state == apply(state, late, attempt=1)


@pytest.mark.parametrize(
    ("cancel_requested", "attempt", "expected"),
    [(False, 1, Event.LOST), (False, 2, Event.FAILED), (True, 1, Event.CANCELLED), (True, 2, Event.CANCELLED)],
)
def test_loss_of_an_actor_is_tried_again_ended_or_the_cancel(cancel_requested, attempt, expected):
    """A lost attempt goes back into the queue, unless it was the last one or a cancel had been requested."""
    state = LifeState(status=QueryStatus.RUNNING, attempt=attempt, cancel_requested=cancel_requested)
    event = loss(state, attempts_max=2)
    assert expected is event
    assert apply(state, event, attempt=attempt).status is not QueryStatus.RUNNING


@pytest.mark.parametrize("status", QueryStatus)
def test_give_ends_a_follower_as_its_leader_ended(status):
    """A follower gets rows or an error; from a query that has neither it gets nothing."""
    leader = LifeState(status=status, phase=Phase.FETCHING, attempt=3)
    follower = LifeState(follows=True)
    if status in (QueryStatus.READY, QueryStatus.ERROR):
        assert leader == give(follower, leader)
    else:
        with pytest.raises(IllegalTransitionError):
            give(follower, leader)


def test_give_to_a_query_that_does_not_wait_is_refused():
    """Nobody is given what they did not wait for."""
    with pytest.raises(IllegalTransitionError):
        give(LifeState(), LifeState(status=QueryStatus.READY))


@given(st.lists(events, max_size=30), st.booleans())
def test_any_life_ends_at_most_once_and_for_good(sequence, follows):
    """Whatever happens in whatever order, a query that has ended never changes again."""
    passed = list(lives(sequence, follows))
    ended = [state for state in passed if state.status in TERMINAL]
    assert len(ended) <= 1
    assert ended in ([], [passed[-1]])


@given(st.lists(events, max_size=30), st.booleans())
def test_any_life_only_counts_attempts_up(sequence, follows):
    """The number of the attempt never falls, and grows by one exactly when a query begins to run."""
    for before, after in pairwise(lives(sequence, follows)):
        begins = before.status is QueryStatus.PENDING and after.status is QueryStatus.RUNNING
        assert after.attempt == before.attempt + begins


@given(st.lists(events, max_size=30))
def test_any_attempt_only_moves_its_phase_forward(sequence):
    """Inside one attempt no phase comes back; a new one begins in the queue."""
    for before, after in pairwise(lives(sequence)):
        if after.status is QueryStatus.PENDING:
            assert after.phase is Phase.QUEUED
        else:
            assert PHASES.index(after.phase) >= PHASES.index(before.phase)


def test_terminal_are_exactly_the_states_without_a_way_out():
    """The set that everybody asks agrees with the table."""
    assert {status for status in QueryStatus if status not in {source for source, _ in STEPS}} == TERMINAL
