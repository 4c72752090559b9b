"""Between rows of the database and values: what each column means is said once, here."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from queryfleet.model import ChunkRef, Column, ColumnType
from queryfleet.status.record import Failure, QueryRecord, Resume, Timings
from queryfleet.status.transitions import LifeState, Phase, QueryStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from queryfleet.status.record import HistoryFilter, NewQuery, StoredRows

__all__ = [
    "Row",
    "chunk_of",
    "chunk_values",
    "column_values",
    "history_values",
    "life_of",
    "live_attempts",
    "new_values",
    "outcome_values",
    "record_of",
]

Row = dict[str, Any]


def new_values(query: NewQuery) -> Row:
    """Return the parameters of the statements that store a query."""
    return {
        "query_uuid": query.query_uuid,
        "project_uuid": query.project_uuid,
        "user_uuid": query.user_uuid,
        "context": query.context,
        "sql": query.sql,
        "row_limit": query.row_limit,
        "idempotency_key": query.idempotency_key,
        "request_hash": query.request_hash,
        "cache_key": query.cache_key,
        "margin_seconds": query.cache_margin_seconds,
        "poll_ttl_seconds": query.poll_ttl_seconds,
        "queue_max": query.queue_max,
        "fields": query.fields,
        "timezone": query.timezone,
        "question": query.question,
        "pivot": query.pivot,
        "selection": query.selection,
    }


def outcome_values(outcome: Failure | StoredRows) -> Row:
    """Return the further parameters of the statement that stores a query with its end."""
    if isinstance(outcome, Failure):
        names = ("columns", "arrow_schema", "ttl_seconds")
        counts = ("row_count", "byte_count", "chunk_count")
        return dict.fromkeys(names) | dict.fromkeys(counts, 0) | {"status": QueryStatus.ERROR.value} | _error(outcome)
    chunk = outcome.chunk
    return dict.fromkeys(("error_name", "error_message", "error_status", "error_details")) | {
        "status": QueryStatus.READY.value,
        "columns": column_values(outcome.columns),
        "arrow_schema": outcome.arrow_schema,
        "ttl_seconds": outcome.ttl_seconds,
        "row_count": 0 if chunk is None else chunk.row_count,
        "byte_count": 0 if chunk is None else chunk.byte_count,
        "chunk_count": 0 if chunk is None else 1,
    }


def _error(failure: Failure) -> Row:
    return {
        "error_name": failure.name,
        "error_message": failure.message,
        "error_status": failure.status,
        "error_details": failure.details,
    }


def history_values(wanted: HistoryFilter) -> Row:
    """Return the parameters of the statements that look into the history."""
    return {
        "project_uuid": wanted.project_uuid,
        "user_uuid": wanted.user_uuid,
        "statuses": [status.value for status in wanted.statuses] if wanted.statuses is not None else None,
        "since": wanted.since,
        "until": wanted.until,
    }


def column_values(columns: Iterable[Column]) -> list[dict[str, str]]:
    """Return what is stored of a result's columns, in order."""
    return [{"reference": column.reference, "type": column.type.value} for column in columns]


def life_of(row: Row) -> LifeState:
    """Return what decides about the next step of the query that a row describes."""
    return LifeState(
        status=QueryStatus(row["status"]),
        phase=Phase(row["phase"]),
        attempt=row["attempt"],
        cancel_requested=row["cancel_requested_at"] is not None,
        follows=row["leader_uuid"] is not None,
    )


def record_of(row: Row) -> QueryRecord:
    """Return the query that a row describes; one that waits for another's result mirrors that one's progress."""
    followed = row.get("leader")
    if followed is not None:
        return _follower(row, followed)
    failure = None
    if row["error_name"] is not None:
        failure = Failure(
            name=row["error_name"],
            message=row["error_message"],
            status=row["error_status"],
            details=row["error_details"] or {},
        )
    columns = row["columns"]
    return QueryRecord(
        query_uuid=str(row["query_uuid"]),
        project_uuid=str(row["project_uuid"]),
        user_uuid=str(row["user_uuid"]),
        context=row["context"],
        sql=row["sql"],
        row_limit=row["row_limit"],
        status=QueryStatus(row["status"]),
        phase=Phase(row["phase"]),
        attempt=row["attempt"],
        actor_name=row["actor_name"],
        cancel_requested=row["cancel_requested_at"] is not None,
        warehouse_query_id=row["warehouse_query_id"],
        columns=tuple(Column(reference=c["reference"], type=ColumnType(c["type"])) for c in columns)
        if columns is not None
        else None,
        arrow_schema=bytes(row["arrow_schema"]) if row["arrow_schema"] is not None else None,
        row_count=row["row_count"],
        byte_count=row["byte_count"],
        chunk_count=row["chunk_count"],
        failure=failure,
        warnings=tuple(row["warnings"]),
        timings=Timings(
            created_at=row["created_at"],
            claimed_at=row["claimed_at"],
            executing_at=row["executing_at"],
            fetching_at=row["fetching_at"],
            finishing_at=row["finishing_at"],
            ended_at=row["ended_at"],
        ),
        results_expire_at=row["results_expire_at"],
        results_created_at=row["results_created_at"],
        cache_hit=row["cache_hit"],
        leader_uuid=str(row["leader_uuid"]) if row["leader_uuid"] is not None else None,
        result_query_uuid=str(row["result_query_uuid"] or row["query_uuid"]),
        result_attempt=row["attempt"] if row["result_attempt"] is None else row["result_attempt"],
        truncated=row["truncated"],
        objects_deleted=row["objects_deleted_at"] is not None,
        poll_ttl_seconds=row["poll_ttl_seconds"],
        resume=_resume(row),
        fields=row["fields"],
        timezone=row["timezone"],
        pivot=row["pivot"],
        selection=row["selection"],
        pivot_details=row["pivot_details"],
    )


def _resume(row: Row) -> Resume | None:
    if row.get("resume_query_id") is None or row["status"] != QueryStatus.RUNNING:
        return None
    schema = row["resume_schema"]
    return Resume(
        query_id=row["resume_query_id"],
        attempt=row["resume_attempt"],
        arrow_schema=bytes(schema) if schema is not None else None,
    )


def live_attempts(first: int, last: int | None) -> range:
    """Return the attempts whose objects must stay; none when there is no last one."""
    return range(first, last + 1) if last is not None else range(0)


def _follower(row: Row, leader: Row) -> QueryRecord:
    """Describe a query that waits for another one's result by what that other one is doing."""
    mirrored = {
        name: leader[name]
        for name in ("status", "phase", "attempt", "warehouse_query_id", "columns", "row_count", "byte_count",
                     "chunk_count", "truncated")
    }  # fmt: skip
    moments = {
        name: datetime.fromisoformat(leader[name]) if leader[name] is not None else None
        for name in ("claimed_at", "executing_at", "fetching_at", "finishing_at")
    }
    # The leader may have been claimed before this query was made; its wait then was none.
    if moments["claimed_at"] is not None:
        moments["claimed_at"] = max(moments["claimed_at"], row["created_at"])
    where = {"result_query_uuid": leader["query_uuid"], "result_attempt": leader["attempt"]}
    return record_of(row | mirrored | moments | where | {"arrow_schema": row["leader_schema"], "leader": None})


def chunk_of(row: Row) -> ChunkRef:
    """Return the chunk reference that a row describes."""
    return ChunkRef(
        index=row["chunk_index"],
        key=row["object_key"],
        first_row=row["first_row"],
        row_count=row["row_count"],
        byte_count=row["byte_count"],
        crc32=row["crc32"],
        blocks=bytes(row["blocks"]),
    )


def chunk_values(chunk: ChunkRef) -> dict[str, object]:
    """Return the parameters of the statements that store a chunk reference; `chunk_of` reads them back."""
    return {
        "chunk_index": chunk.index,
        "object_key": chunk.key,
        "first_row": chunk.first_row,
        "row_count": chunk.row_count,
        "byte_count": chunk.byte_count,
        "crc32": chunk.crc32,
        "blocks": chunk.blocks,
    }
