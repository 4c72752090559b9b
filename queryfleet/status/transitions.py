"""The life of a query, as a table and pure functions.

    pending ──claimed───────────▶ running ──finished───▶ ready ◀──given_rows───╮
       ├──cancel_requested──╮        ├──cancelled──────▶ cancelled             │ pending, waiting
       │                    ╰────────┼─────────────────────▲                   │ for an equal query
       ├──failed─────────────────────┴──failed─────────▶ error ◀──given_error──┤ (a follower)
       ▲                             │                                         │
       ╰───────────lost──────────────╯                  pending ◀──promoted────╯

While it runs, a query has a phase, which only moves to the right:

    queued ──claimed──▶ connecting ──executing──▶ executing ──fetching──▶ fetching ──finishing──▶ finishing

A follower shares the run of another query, its leader, and ends when that one does: in the leader's rows or error. When
the leader is cancelled, which is one person's wish and not the followers', the oldest of them is promoted and runs in
its place. Rows that are there when a query is accepted make it `ready` from birth.

Nothing here waits, reads a clock or writes. The store carries each step out as one conditional update, so a step that
the table lacks changes no row; `ready`, `error` and `cancelled` are final.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from queryfleet.errors import IllegalTransitionError

__all__ = ["PHASES", "TERMINAL", "Event", "LifeState", "Phase", "QueryStatus", "apply", "give", "loss"]


class QueryStatus(StrEnum):
    """The five states a client sees."""

    PENDING = "pending"  # accepted and committed, not with an actor yet
    RUNNING = "running"  # an actor has it: connecting, executing, or storing rows
    READY = "ready"  # the manifest is complete; every row can be read
    ERROR = "error"  # `error_name` and `error_message` say why
    CANCELLED = "cancelled"  # by a person; rows already stored are removed


class Phase(StrEnum):
    """What exactly is going on while a query is pending or running."""

    QUEUED = "queued"  # waits for an actor
    CONNECTING = "connecting"  # an actor opens a session in the warehouse
    EXECUTING = "executing"  # the warehouse works; no row yet
    FETCHING = "fetching"  # rows arrive and are stored
    FINISHING = "finishing"  # all rows are here; the last uploads are on their way


class Event(StrEnum):
    """What can happen to a query."""

    CLAIMED = "claimed"  # the status actor gave it to a query actor
    RENEWED = "renewed"  # that actor is alive
    EXECUTING = "executing"  # the warehouse has the statement
    FETCHING = "fetching"  # the warehouse has told the columns
    FINISHING = "finishing"  # the last row has arrived
    COMMITTED = "committed"  # one more chunk can be read
    FINISHED = "finished"  # the actor committed everything
    FAILED = "failed"  # the warehouse or the service could not do it
    CANCEL_REQUESTED = "cancel_requested"  # a person wants it stopped, or nobody polls it any more
    CANCELLED = "cancelled"  # the warehouse has let go of a query whose cancel was requested
    LOST = "lost"  # its actor is gone; it will be tried again
    GIVEN_ROWS = "given_rows"  # the query it waited for is ready
    GIVEN_ERROR = "given_error"  # the query it waited for failed
    PROMOTED = "promoted"  # the query it waited for was cancelled, and it runs in that one's place


TERMINAL = frozenset({QueryStatus.READY, QueryStatus.ERROR, QueryStatus.CANCELLED})

PHASES = tuple(Phase)  # in the order in which they follow one another

_STEPS: dict[tuple[QueryStatus, Event], QueryStatus] = {
    (QueryStatus.PENDING, Event.CLAIMED): QueryStatus.RUNNING,
    (QueryStatus.PENDING, Event.FAILED): QueryStatus.ERROR,
    (QueryStatus.PENDING, Event.CANCEL_REQUESTED): QueryStatus.CANCELLED,
    (QueryStatus.PENDING, Event.GIVEN_ROWS): QueryStatus.READY,
    (QueryStatus.PENDING, Event.GIVEN_ERROR): QueryStatus.ERROR,
    (QueryStatus.PENDING, Event.PROMOTED): QueryStatus.PENDING,
    (QueryStatus.RUNNING, Event.RENEWED): QueryStatus.RUNNING,
    (QueryStatus.RUNNING, Event.EXECUTING): QueryStatus.RUNNING,
    (QueryStatus.RUNNING, Event.FETCHING): QueryStatus.RUNNING,
    (QueryStatus.RUNNING, Event.FINISHING): QueryStatus.RUNNING,
    (QueryStatus.RUNNING, Event.COMMITTED): QueryStatus.RUNNING,
    (QueryStatus.RUNNING, Event.CANCEL_REQUESTED): QueryStatus.RUNNING,
    (QueryStatus.RUNNING, Event.FINISHED): QueryStatus.READY,
    (QueryStatus.RUNNING, Event.FAILED): QueryStatus.ERROR,
    (QueryStatus.RUNNING, Event.CANCELLED): QueryStatus.CANCELLED,
    (QueryStatus.RUNNING, Event.LOST): QueryStatus.PENDING,
}

# The phase a step leads to; a step that is missing here leaves it as it is. Notes that arrive late move nothing back.
_PHASE_AFTER: dict[Event, Phase] = {
    Event.CLAIMED: Phase.CONNECTING,
    Event.EXECUTING: Phase.EXECUTING,
    Event.FETCHING: Phase.FETCHING,
    Event.FINISHING: Phase.FINISHING,
    Event.FINISHED: Phase.FINISHING,
    Event.LOST: Phase.QUEUED,
}

_OF_LEADERS = frozenset({Event.CLAIMED})  # a follower is never given to an actor
_OF_FOLLOWERS = frozenset({Event.GIVEN_ROWS, Event.GIVEN_ERROR, Event.PROMOTED})
_BY_PERSONS = frozenset({Event.CANCEL_REQUESTED})  # carry no attempt, whatever the status
_LOSE_TO_A_CANCEL = frozenset({Event.COMMITTED, Event.FINISHED, Event.LOST})  # once one was requested
_NEED_A_CANCEL = frozenset({Event.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeState:
    """What decides whether a step is allowed."""

    status: QueryStatus = QueryStatus.PENDING
    phase: Phase = Phase.QUEUED
    attempt: int = 0  # number of claims so far; the current attempt while running
    cancel_requested: bool = False  # a person asked; from then on a running query can only be cancelled or fail
    follows: bool = False  # waits for another query's result instead of running


def apply(state: LifeState, event: Event, *, attempt: int | None = None) -> LifeState:
    """Return the state after `event`.

    Args:
        state: Where the query is.
        event: What happened.
        attempt: The attempt that reports it; None when no attempt is involved: a pending query has none, and a
            person who wants a cancel does not know it.

    Raises:
        IllegalTransitionError: The table has no such step, the reporting attempt is not the current one, or one of
            the guards refuses: a follower is not claimed and nobody else is promoted; after a cancel was requested
            nothing is committed, finished or tried again, and without a request nothing is cancelled.
    """
    target = _STEPS.get((state.status, event))
    reason = "the table has no such step" if target is None else _refusal(state, event, attempt)
    if target is None or reason is not None:
        raise IllegalTransitionError(
            f"A {state.status} query cannot become {event}: {reason}.",
            status=state.status,
            event=event,
            attempt=attempt,
            currentAttempt=state.attempt,
        )
    return LifeState(
        status=target,
        phase=_phase_after(state.phase, event),
        attempt=state.attempt + (event is Event.CLAIMED),
        cancel_requested=state.cancel_requested or event is Event.CANCEL_REQUESTED,
        follows=state.follows and event not in _OF_FOLLOWERS,
    )


def _refusal(state: LifeState, event: Event, attempt: int | None) -> str | None:
    """Return why a guard does not let a step of the table happen, or None."""
    runs = state.status is QueryStatus.RUNNING
    expected = state.attempt if runs and event not in _BY_PERSONS else None
    if attempt != expected:
        return "another attempt is the current one" if runs else "it has no current attempt"
    if (state.follows and event in _OF_LEADERS) or (not state.follows and event in _OF_FOLLOWERS):
        return "it waits for another query's result" if state.follows else "it does not wait for another query"
    if state.cancel_requested and event in _LOSE_TO_A_CANCEL:
        return "a cancel was requested"
    if not state.cancel_requested and event in _NEED_A_CANCEL:
        return "no cancel was requested"
    return None


def _phase_after(phase: Phase, event: Event) -> Phase:
    target = _PHASE_AFTER.get(event, phase)
    return target if event is Event.LOST else max(phase, target, key=PHASES.index)


def loss(state: LifeState, *, attempts_max: int) -> Event:
    """Return what it means that the actor of a running query is gone.

    Returns:
        `cancelled` when a cancel was requested, since there is nothing left to stop; `failed` when the query has been
        tried `attempts_max` times; otherwise `lost`: it goes back into the queue.
    """
    if state.cancel_requested:
        return Event.CANCELLED
    return Event.FAILED if state.attempt >= attempts_max else Event.LOST


def give(follower: LifeState, leader: LifeState) -> LifeState:
    """Return a follower's state once its leader is ready or failed: it ends the same way, at the same phase.

    It takes over the leader's attempt too, by which its rows are found.

    Raises:
        IllegalTransitionError: The follower does not wait, or the leader has neither rows nor an error to give.
    """
    if leader.status not in (QueryStatus.READY, QueryStatus.ERROR):
        raise IllegalTransitionError(f"A {leader.status} query has nothing to give.", status=leader.status)
    ended = apply(follower, Event.GIVEN_ROWS if leader.status is QueryStatus.READY else Event.GIVEN_ERROR)
    return replace(ended, phase=leader.phase, attempt=leader.attempt)
