"""The life of a query, as a table and one pure function.

    pending ──claimed──▶ running ──finished──▶ ready
       ├──cancelled─────────┼──cancelled────▶ cancelled
       ├──failed────────────┼──failed───────▶ error
       ╰──◀─────lost────────╯

Nothing here waits, reads a clock or writes. The store carries each step out as one conditional update, so a step that
the table lacks changes no row; `ready`, `error` and `cancelled` are final.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from queryfleet.errors import IllegalTransitionError

__all__ = ["TERMINAL", "Event", "LifeState", "Phase", "QueryStatus", "apply"]


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
    FINISHED = "finished"  # that actor committed everything
    FAILED = "failed"  # the warehouse or the service could not do it
    CANCELLED = "cancelled"  # the warehouse has let go, or it never began
    LOST = "lost"  # its actor is gone; it will be tried again


TERMINAL = frozenset({QueryStatus.READY, QueryStatus.ERROR, QueryStatus.CANCELLED})

_ALLOWED: dict[tuple[QueryStatus, Event], QueryStatus] = {
    (QueryStatus.PENDING, Event.CLAIMED): QueryStatus.RUNNING,
    (QueryStatus.PENDING, Event.FAILED): QueryStatus.ERROR,
    (QueryStatus.PENDING, Event.CANCELLED): QueryStatus.CANCELLED,
    (QueryStatus.RUNNING, Event.FINISHED): QueryStatus.READY,
    (QueryStatus.RUNNING, Event.FAILED): QueryStatus.ERROR,
    (QueryStatus.RUNNING, Event.CANCELLED): QueryStatus.CANCELLED,
    (QueryStatus.RUNNING, Event.LOST): QueryStatus.PENDING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeState:
    """What decides whether a step is allowed."""

    status: QueryStatus = QueryStatus.PENDING
    attempt: int = 0  # number of claims so far; the current attempt while running
    cancel_requested: bool = False  # a person asked; `finished` loses against it


def apply(state: LifeState, event: Event, *, attempt: int | None = None) -> LifeState:
    """Return the state after `event`.

    Args:
        state: Where the query is.
        event: What happened.
        attempt: The attempt that reports it; None when no attempt is involved (a pending query).

    Raises:
        IllegalTransitionError: The table has no such step, the reporting attempt is not the current one, or the query
            was to be cancelled and finished instead.
    """
    target = _ALLOWED.get((state.status, event))
    stale = state.status is QueryStatus.RUNNING and attempt != state.attempt
    overtaken = event in (Event.FINISHED, Event.CLAIMED) and state.cancel_requested
    if target is None or stale or overtaken:
        raise IllegalTransitionError(
            f"A {state.status} query cannot become {event}.",
            status=state.status,
            event=event,
            attempt=attempt,
            currentAttempt=state.attempt,
        )
    claimed = event is Event.CLAIMED
    return replace(state, status=target, attempt=state.attempt + 1 if claimed else state.attempt)
