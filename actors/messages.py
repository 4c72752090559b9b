"""What crosses an actor boundary: frozen values, no live objects, no secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.model import QueryTag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.errors import JsonValue
    from queryfleet.status.record import QueryRecord, Resume

__all__ = ["ActorReport", "Assignment", "Outcome", "RunReport"]

from enum import StrEnum


class Outcome(StrEnum):
    """How one attempt ended, as the actor that ran it saw it."""

    READY = "ready"  # everything is durable and published
    ERROR = "error"  # the query ended in error
    CANCELLED = "cancelled"  # by a person
    LOST = "lost"  # the warehouse went away in the middle; the query is back in the queue
    FENCED = "fenced"  # another attempt has the query, or it ended without us; nothing was published


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One attempt at one query, for one actor."""

    query_uuid: str
    attempt: int
    project_uuid: str
    user_uuid: str
    context: str
    sql: str
    row_limit: int | None
    project: dict[str, JsonValue]  # the project's stored definition: secrets only by reference
    resume: Resume | None = None  # what an earlier attempt has left to this one
    pivot: Mapping[str, JsonValue] | None = None  # what is done with the rows: `PivotTask.to_json`; None: nothing
    selection: Mapping[str, JsonValue] | None = None  # `RowSelection.to_json`; None: the rows are the warehouse's

    @classmethod
    def of(cls, record: QueryRecord, project: dict[str, JsonValue]) -> Assignment:
        """Return the attempt that a claim has begun.

        Args:
            record: Of the query, as claimed.
            project: The stored definition of its project.
        """
        return cls(
            query_uuid=record.query_uuid,
            attempt=record.attempt,
            project_uuid=record.project_uuid,
            user_uuid=record.user_uuid,
            context=record.context,
            sql=record.sql,
            row_limit=record.row_limit,
            project=project,
            resume=record.resume,
            pivot=record.pivot,
            selection=record.selection,
        )

    @property
    def tag(self) -> QueryTag:
        """What the warehouse is told about the asker."""
        return QueryTag(
            query_uuid=self.query_uuid,
            project_uuid=self.project_uuid,
            user_uuid=self.user_uuid,
            context=self.context,
            attempt=self.attempt,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What an actor tells after an attempt."""

    query_uuid: str
    attempt: int
    outcome: Outcome
    recycle: bool  # the actor should be replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorReport:
    """What a query actor is doing."""

    name: str
    node_id: str  # of Ray
    query_uuid: str | None  # None: idle
    attempt: int | None
    queries_done: int
    rss_bytes: int
