"""The life of a query: exactly the steps of the table, and the end is the end."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.errors import IllegalTransitionError
from queryfleet.status.transitions import TERMINAL, Event, LifeState, QueryStatus, apply

# Written out once more, by hand: the test and the module must agree on every pair.
STEPS = {
    ("pending", "claimed"): "running",
    ("pending", "failed"): "error",
    ("pending", "cancelled"): "cancelled",
    ("running", "finished"): "ready",
    ("running", "failed"): "error",
    ("running", "cancelled"): "cancelled",
    ("running", "lost"): "pending",
}

events = st.tuples(st.sampled_from(Event), st.integers(0, 4) | st.none(), st.booleans())


def lives(sequence):
    """Yield every state that a sequence of events leads through; illegal ones change nothing."""
    state = LifeState()
    yield state
    for event, attempt, as_current in sequence:
        try:
            state = apply(state, event, attempt=state.attempt if as_current else attempt)
        except IllegalTransitionError:
            continue
        yield state


@pytest.mark.parametrize(("status", "event"), list(product(QueryStatus, Event)))
def test_apply_of_every_pair_follows_the_table(status, event):
    """Each of the steps of the table leads where it says; every other one is refused and says from where to what."""
    state = LifeState(status=status, attempt=2)
    target = STEPS.get((status, event))
    if target is None:
        with pytest.raises(IllegalTransitionError) as caught:
            apply(state, event, attempt=2)
        assert (status, event) == (caught.value.details["status"], caught.value.details["event"])
    else:
        assert target == apply(state, event, attempt=2).status


def test_apply_claimed_begins_a_new_attempt():
    """Only a claim makes an attempt, and it counts from one."""
    state = apply(LifeState(), Event.CLAIMED)
    assert state.attempt == 1
    state = apply(apply(state, Event.LOST, attempt=1), Event.CLAIMED)
    assert (state.status, state.attempt) == (QueryStatus.RUNNING, 2)


@pytest.mark.parametrize("event", [Event.FINISHED, Event.FAILED, Event.CANCELLED, Event.LOST])
@pytest.mark.parametrize("attempt", [None, 1, 3])
def test_apply_of_another_attempt_is_refused(event, attempt):
    """A running query listens to its current attempt only."""
    with pytest.raises(IllegalTransitionError) as caught:
        apply(LifeState(status=QueryStatus.RUNNING, attempt=2), event, attempt=attempt)
    assert (attempt, 2) == (caught.value.details["attempt"], caught.value.details["currentAttempt"])


@pytest.mark.parametrize(
    ("status", "event"), [(QueryStatus.RUNNING, Event.FINISHED), (QueryStatus.PENDING, Event.CLAIMED)]
)
def test_apply_after_a_cancel_was_asked_for_can_only_end(status, event):
    """Once a cancel is accepted the query neither starts nor becomes ready."""
    with pytest.raises(IllegalTransitionError):
        apply(LifeState(status=status, attempt=1, cancel_requested=True), event, attempt=1)
    ended = apply(LifeState(status=status, attempt=1, cancel_requested=True), Event.CANCELLED, attempt=1)
    assert ended.status is QueryStatus.CANCELLED


@given(st.lists(events, max_size=30))
def test_any_life_ends_at_most_once_and_for_good(sequence):
    """Whatever happens in whatever order, a query that has ended never changes again."""
    passed = list(lives(sequence))
    ended = [state for state in passed if state.status in TERMINAL]
    assert len(ended) <= 1
    assert ended in ([], [passed[-1]])


@given(st.lists(events, max_size=30))
def test_any_life_only_counts_attempts_up(sequence):
    """The number of the attempt never falls, and grows by one exactly when a query begins to run."""
    passed = list(lives(sequence))
    for before, after in pairwise(passed):
        begins = after.status is QueryStatus.RUNNING
        assert after.attempt == before.attempt + (1 if begins else 0)


def test_terminal_are_exactly_the_states_without_a_way_out():
    """The set that everybody asks agrees with the table."""
    assert {status for status in QueryStatus if status not in {source for source, _ in STEPS}} == TERMINAL
