"""The one way a query is accepted: checked, then committed. Routes call it; nothing else starts a query.

There is no call to wake anybody: the insert itself notifies the status actor, and if that notification is lost the
next sweep finds the query.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from queryfleet.cache_key import cache_key
from queryfleet.errors import NotFoundError
from queryfleet.results.store_none import storage_is_off
from queryfleet.status.record import NewQuery
from queryfleet.warehouse.statement import check_statement
from queryfleet.warehouse_config import KEEPING_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.errors import JsonValue
    from queryfleet.limits import ProjectLimits
    from queryfleet.pivot.task import PivotTask
    from queryfleet.results.selection import RowSelection
    from queryfleet.status.record import Acceptance, Failure, StoredRows
    from queryfleet.status.store import StatusStore

__all__ = ["CompiledQuestion", "PivotedStatement", "question_key", "submit_question", "submit_sql"]

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
    pivot: PivotedStatement | None = None,
    stores_rows: bool = True,
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
        pivot: What runs in place of `sql`, and what is done with its rows; None: `sql` runs.
        stores_rows: Results are stored; else they must be such as the warehouse can be asked for again.

    Raises:
        NotSupportedError: Results are not stored, and this one could not be read.
        InvalidRequestError: Nothing to run.
        ParameterError: More than one statement.
        ForbiddenError: Not a reading statement, and the project does not allow others.
        ConflictError: The key was used for another request.
        TooManyRequestsError: Too many queries of the project wait already.
        StatusStoreError: The database is away; nothing was accepted.
    """
    warehouse = _warehouse(project, project_uuid)
    if not stores_rows:
        _check_readable(warehouse, is_pivot=pivot is not None)
    await _check(sql, dialect=str(warehouse.get("type")), allow_writes=bool(project.get("allow_writes")))
    asked: list[JsonValue] = [project_uuid, sql, row_limit, context, use_cache, poll_ttl_seconds]
    task = None
    question: dict[str, JsonValue] | None = None
    if pivot is not None:
        question = {"sqlQuery": {"sql": sql, "limit": row_limit}}  # whose rows are behind the pivot's
        sql, row_limit, task = pivot.sql, None, pivot.task.to_json()
        asked.append(task)
        await _check(sql, dialect=str(warehouse.get("type")), allow_writes=False)
    # A statement that may change something must run each time it is asked.
    shares = limits.cache and stores_rows and not project.get("allow_writes")
    key = _cache_key(project_uuid, project, limits, sql=sql, row_limit=row_limit, pivot=task)
    query = NewQuery(
        query_uuid=str(uuid.uuid4()),
        project_uuid=project_uuid,
        user_uuid=user_uuid,
        context=context,
        sql=sql,
        row_limit=row_limit,
        idempotency_key=idempotency_key,
        request_hash=_request_hash(asked),
        cache_key=key if shares else None,
        use_cache=use_cache,
        cache_margin_seconds=limits.cache_margin_seconds(),
        poll_ttl_seconds=poll_ttl_seconds,
        queue_max=limits.queue,
        question=question,
        pivot=task,
    )
    return await statuses.accept(query)


@dataclass(frozen=True, slots=True, kw_only=True)
class PivotedStatement:
    """A statement of the cells of a pivot, and what is done with them."""

    sql: str
    task: PivotTask


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledQuestion:
    """A question to the models, as SQL; or its end, where that is known already."""

    sql: str  # empty with an `outcome`
    fields: Mapping[str, JsonValue] | None  # descriptions of the columns by name, in order; None: plain SQL
    timezone: str | None  # in which times are shown; None: as UTC
    question: Mapping[str, JsonValue]  # what was asked, to be kept: `metricQuery`, `parameters`, …
    asked: JsonValue  # the request; a repeat under the same idempotency key has an equal one
    query_uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    outcome: Failure | StoredRows | None = None
    pivot: PivotTask | None = None  # what is done with the rows of `sql`; None: nothing
    selection: RowSelection | None = (
        None  # rows of a stored result that are those of `sql`; None: the warehouse runs it
    )


async def submit_question(
    statuses: StatusStore,
    question: CompiledQuestion,
    *,
    project_uuid: str,
    project: dict[str, JsonValue],
    limits: ProjectLimits,
    user_uuid: str,
    context: str,
    idempotency_key: str | None,
    use_cache: bool = True,
    poll_ttl_seconds: float | None = None,
    stores_rows: bool = True,
) -> Acceptance:
    """Accept a question that was compiled. What the caller may see is in its SQL, and with that in its cache key.

    Args:
        statuses: Where it is committed.
        question: The question.
        project_uuid: A project the caller may use.
        project: Its stored definition.
        limits: Of the project.
        user_uuid: Whose query it is.
        context: Where the question comes from.
        idempotency_key: The caller's name for this request; a repeat gives the query of the first time.
        use_cache: Rows that are there, or that an equal running query is about to have, will do.
        poll_ttl_seconds: Cancel the query when nobody polls for so long.
        stores_rows: Results are stored; else they must be such as the warehouse can be asked for again.

    Raises:
        NotSupportedError: Results are not stored, and this one could not be read.
        ParameterError: A text of SQL in the models or the question makes it more than one statement.
        ForbiddenError: Likewise, a statement that does not only read.
        ConflictError: The key was used for another request.
        TooManyRequestsError: Too many queries of the project wait already.
        StatusStoreError: The database is away; nothing was accepted.
    """
    warehouse = _warehouse(project, project_uuid)
    if not stores_rows:
        _check_readable(warehouse, is_pivot=question.pivot is not None)
        if question.selection is not None:
            raise storage_is_off("A choice of stored rows")
    key = None
    task = None if question.pivot is None else question.pivot.to_json()
    if question.outcome is None and question.selection is None:
        # Whatever the warehouse allows, a question only reads, and so its rows may be shared.
        await _check(question.sql, dialect=str(warehouse.get("type")), allow_writes=False)
        if limits.cache and stores_rows:
            key = question_key(project_uuid, project, limits, sql=question.sql, pivot=task)
    query = NewQuery(
        query_uuid=question.query_uuid,
        project_uuid=project_uuid,
        user_uuid=user_uuid,
        context=context,
        sql=question.sql,
        row_limit=None,
        idempotency_key=idempotency_key,
        request_hash=_request_hash([project_uuid, question.asked, context, use_cache, poll_ttl_seconds]),
        cache_key=key,
        use_cache=use_cache,
        cache_margin_seconds=limits.cache_margin_seconds(),
        poll_ttl_seconds=poll_ttl_seconds,
        queue_max=limits.queue,
        fields=question.fields,
        timezone=question.timezone,
        question=question.question,
        pivot=task,
        selection=None if question.selection is None else question.selection.to_json(),
        outcome=question.outcome,
    )
    return await statuses.accept(query)


def question_key(
    project_uuid: str,
    project: dict[str, JsonValue],
    limits: ProjectLimits,
    *,
    sql: str,
    pivot: dict[str, JsonValue] | None = None,
) -> bytes:
    """Return the cache key of a compiled question; arguments as of `submit_question`."""
    return _cache_key(project_uuid, project, limits, sql=sql, row_limit=None, pivot=pivot)


def _warehouse(project: dict[str, JsonValue], project_uuid: str) -> dict[str, JsonValue]:
    warehouse = project.get("warehouse")
    if not isinstance(warehouse, dict):
        raise NotFoundError("The project has no warehouse.", projectUuid=project_uuid)
    return warehouse


def _check_readable(warehouse: Mapping[str, JsonValue], *, is_pivot: bool) -> None:
    """Refuse what nobody could read without a store, before the warehouse is asked and paid for it."""
    kind = warehouse.get("type")
    if kind not in KEEPING_TYPES:
        raise storage_is_off(f"A query on {kind}")
    if is_pivot:
        raise storage_is_off("A pivot")


def _cache_key(
    project_uuid: str,
    project: dict[str, JsonValue],
    limits: ProjectLimits,
    *,
    sql: str,
    row_limit: int | None,
    pivot: dict[str, JsonValue] | None,
) -> bytes:
    return cache_key(
        project_uuid=project_uuid,
        warehouse=_warehouse(project, project_uuid),
        sql=sql,
        row_limit=row_limit,
        rows_max=limits.rows,
        bytes_max=limits.bytes,
        timezone=str(project.get("timezone", "UTC")),
        pivot=pivot,
    )


def _request_hash(asked: list[JsonValue]) -> bytes:
    text = json.dumps(asked, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


async def _check(sql: str, *, dialect: str, allow_writes: bool) -> None:
    if len(sql) <= _CHECK_INLINE_CHARACTERS:
        check_statement(sql, dialect=dialect, allow_writes=allow_writes)
    else:
        await asyncio.to_thread(check_statement, sql, dialect=dialect, allow_writes=allow_writes)
