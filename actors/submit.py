"""The one way a query is accepted: checked, then committed. Routes call it; nothing else starts a query.

There is no call to wake anybody: the insert itself notifies the status actor, and if that notification is lost the
next sweep finds the query.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING

from queryfleet.errors import NotFoundError
from queryfleet.status.record import NewQuery
from queryfleet.warehouse.statement import check_statement

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue
    from queryfleet.status.postgres import PostgresStatusStore
    from queryfleet.status.record import Acceptance

__all__ = ["submit_sql"]


async def submit_sql(
    statuses: PostgresStatusStore,
    *,
    project_uuid: str,
    project: dict[str, JsonValue],
    user_uuid: str,
    sql: str,
    row_limit: int | None,
    context: str,
    idempotency_key: str | None,
) -> Acceptance:
    """Accept one SQL question.

    Args:
        statuses: Where it is committed.
        project_uuid: A project the caller may use.
        project: Its stored definition.
        user_uuid: Whose query it is.
        sql: As the user wrote it.
        row_limit: Most rows; None for all.
        context: Where the question comes from.
        idempotency_key: The caller's name for this request; a repeat gives the query of the first time.

    Raises:
        InvalidRequestError: Nothing to run.
        ParameterError: More than one statement.
        ForbiddenError: Not a reading statement, and the project does not allow others.
        ConflictError: The key was used for another request.
        StatusStoreError: The database is away; nothing was accepted.
    """
    warehouse = project.get("warehouse")
    if not isinstance(warehouse, dict):
        raise NotFoundError("The project has no warehouse.", projectUuid=project_uuid)
    check_statement(sql, dialect=str(warehouse.get("type")), allow_writes=bool(project.get("allow_writes")))
    asked = json.dumps([project_uuid, sql, row_limit, context], ensure_ascii=False)
    query = NewQuery(
        query_uuid=str(uuid.uuid4()),
        project_uuid=project_uuid,
        user_uuid=user_uuid,
        context=context,
        sql=sql,
        row_limit=row_limit,
        idempotency_key=idempotency_key,
        request_hash=hashlib.sha256(asked.encode("utf-8", "surrogatepass")).digest(),
    )
    return await statuses.accept(query)
