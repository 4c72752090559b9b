"""`queryfleet status`, `attach` and `cancel`: how one query is."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from queryfleet.client.progress import ProgressLine
from queryfleet.client.texts import megabytes, printable, progress_text

if TYPE_CHECKING:
    from typing import TextIO

    from queryfleet.cli.connection import Service
    from queryfleet.client import QuerySnapshot
    from queryfleet.errors import JsonValue

__all__ = ["cancel_query", "follow_query", "query_status", "status_json", "status_text"]


def query_status(service: Service, query_uuid: str) -> QuerySnapshot:
    """Ask how a query is.

    Raises:
        ServiceError: Unknown query, or no answer.
    """
    with service.client() as client:
        return client.attach(query_uuid).snapshot


def cancel_query(service: Service, query_uuid: str) -> QuerySnapshot:
    """Cancel a query and return how it is then; one that had ended before stays what it was.

    Raises:
        ServiceError: Unknown query, or no answer.
    """
    with service.client() as client:
        return client.attach(query_uuid).cancel()


def follow_query(service: Service, query_uuid: str, *, stderr: TextIO, is_quiet: bool) -> QuerySnapshot:
    """Show how a query goes until it has ended, and return how it is then.

    Raises:
        ServiceError: Unknown query, or no answer.
    """
    progress = ProgressLine(stderr, is_quiet=is_quiet, started_at=time.monotonic())
    with service.client() as client:
        query = client.attach(query_uuid)
        for snapshot in query.watch(interval_seconds=progress.interval_seconds, page_size=1):
            if not snapshot.is_ended:
                progress.show(progress_text(snapshot, seconds=progress.seconds))
        progress.clear()
        return query.snapshot


def status_json(snapshot: QuerySnapshot) -> str:
    """Return a query's status as one line of JSON, named as on the wire; unknown values are null."""
    failure = snapshot.failure
    progress = snapshot.progress
    error: JsonValue = None
    if failure is not None:
        error = {
            "name": failure.name,
            "message": failure.message,
            "data": failure.data,
            "erroredAt": failure.errored_at,
        }
    answer: dict[str, JsonValue] = {
        "queryUuid": snapshot.query_uuid,
        "status": snapshot.status.value,
        "phase": snapshot.phase,
        "queuePosition": snapshot.queue_position,
        "attempt": snapshot.attempt,
        "progress": {"rows": progress.rows, "bytes": progress.bytes, "chunks": progress.chunks},
        "timings": dict(_timings(snapshot)),
        "warehouseQueryId": snapshot.warehouse_query_id,
        "totalResults": snapshot.page.total_rows if snapshot.page else None,
        "cancelledAt": snapshot.cancelled_at,
        "error": error,
    }
    return json.dumps(answer, ensure_ascii=False)


def status_text(snapshot: QuerySnapshot) -> str:
    """Return a query's status for people, one fact a line."""
    facts = [("query", snapshot.query_uuid), ("status", snapshot.status.value)]
    facts += [("phase", snapshot.phase)] if snapshot.phase else []
    facts += [("queue", f"number {snapshot.queue_position}")] if snapshot.queue_position is not None else []
    facts += [("attempt", str(snapshot.attempt))] if snapshot.attempt else []
    progress = snapshot.progress
    if progress.rows:
        facts.append(("stored", f"{progress.rows:,} rows, {megabytes(progress.bytes)}, {progress.chunks:,} chunks"))
    if snapshot.page and snapshot.page.total_rows is not None:
        facts.append(("rows", f"{snapshot.page.total_rows:,}"))
    facts += [(name.removesuffix("Ms"), f"{value:,.0f} ms") for name, value in _timings(snapshot)]
    facts += [("warehouse id", snapshot.warehouse_query_id)] if snapshot.warehouse_query_id else []
    facts += [("cancelled at", snapshot.cancelled_at)] if snapshot.cancelled_at else []
    if snapshot.failure is not None:
        facts.append(("error", snapshot.failure.message))
    return "\n".join(f"{name:<13} {printable(value)}" for name, value in facts)


def _timings(snapshot: QuerySnapshot) -> list[tuple[str, float]]:
    timings = snapshot.timings
    named = [
        ("queueMs", timings.queue_ms),
        ("connectMs", timings.connect_ms),
        ("executeMs", timings.execute_ms),
        ("fetchMs", timings.fetch_ms),
        ("finishMs", timings.finish_ms),
        ("totalMs", timings.total_ms),
    ]
    return [(name, value) for name, value in named if value is not None]
