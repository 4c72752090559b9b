"""The one way a query is accepted: checked, then committed. Routes call it; nothing else starts a query.

There is no call to wake anybody: the insert itself notifies the status actor, and if that notification is lost the
next sweep finds the query.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from typing import TYPE_CHECKING

from queryfleet.cache_key import cache_key
from queryfleet.errors import NotFoundError
from queryfleet.status.record import NewQuery
from queryfleet.warehouse.statement import check_statement

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue
    from queryfleet.limits import ProjectLimits
    from queryfleet.status.record import Acceptance
    from queryfleet.status.store import StatusStore

__all__ = ["submit_sql"]

_CHECK_INLINE_CHARACTERS = 1000  # longer statements are checked in a thread: it takes some µs per character


async def submit_sql(
    statuses: StatusStore,
    *,
    project_uuid: str,
    project: dict[str, JsonValue],
    limits: ProjectLimits,
    user_uuid: str,
    sql: str,
    row_limit: int | None,
    context: str,
    idempotency_key: str | None,
    use_cache: bool = True,
    poll_ttl_seconds: float | None = None,
) -> Acceptance:
    """Accept one SQL question.

    Args:
        statuses: Where it is committed.
        project_uuid: A project the caller may use.
        project: Its stored definition.
        limits: Of the project.
        user_uuid: Whose query it is.
        sql: As the user wrote it.
        row_limit: Most rows; None for all.
        context: Where the question comes from.
        idempotency_key: The caller's name for this request; a repeat gives the query of the first time.
        use_cache: Rows that are there, or that an equal running query is about to have, will do.
        poll_ttl_seconds: Cancel the query when nobody polls for so long.

    Raises:
        InvalidRequestError: Nothing to run.
        ParameterError: More than one statement.
        ForbiddenError: Not a reading statement, and the project does not allow others.
        ConflictError: The key was used for another request.
        TooManyRequestsError: Too many queries of the project wait already.
        StatusStoreError: The database is away; nothing was accepted.
    """
    warehouse = project.get("warehouse")
    if not isinstance(warehouse, dict):
        raise NotFoundError("The project has no warehouse.", projectUuid=project_uuid)
    await _check(sql, dialect=str(warehouse.get("type")), allow_writes=bool(project.get("allow_writes")))
    asked = json.dumps([project_uuid, sql, row_limit, context, use_cache, poll_ttl_seconds], ensure_ascii=False)
    # A statement that may change something must run each time it is asked.
    shares = limits.cache and not project.get("allow_writes")
    key = cache_key(
        project_uuid=project_uuid,
        warehouse=warehouse,
        sql=sql,
        row_limit=row_limit,
        rows_max=limits.rows,
        bytes_max=limits.bytes,
        timezone=str(project.get("timezone", "UTC")),
    )
    query = NewQuery(
        query_uuid=str(uuid.uuid4()),
        project_uuid=project_uuid,
        user_uuid=user_uuid,
        context=context,
        sql=sql,
        row_limit=row_limit,
        idempotency_key=idempotency_key,
        request_hash=hashlib.sha256(asked.encode("utf-8", "surrogatepass")).digest(),
        cache_key=key if shares else None,
        use_cache=use_cache,
        cache_margin_seconds=limits.cache_margin_seconds(),
        poll_ttl_seconds=poll_ttl_seconds,
        queue_max=limits.queue,
    )
    return await statuses.accept(query)


async def _check(sql: str, *, dialect: str, allow_writes: bool) -> None:
    if len(sql) <= _CHECK_INLINE_CHARACTERS:
        check_statement(sql, dialect=dialect, allow_writes=allow_writes)
    else:
        await asyncio.to_thread(check_statement, sql, dialect=dialect, allow_writes=allow_writes)
