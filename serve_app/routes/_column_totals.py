"""Totals for files: the query that has them, asked for when a file is."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final

from queryfleet.errors import ConflictError, NotFoundError
from queryfleet.schemas.requests import CalculateTotalRequest, QueryContext
from queryfleet.status.transitions import QueryStatus
from serve_app.routes._asking import asker_of, submitted
from serve_app.totals import total_question

if TYPE_CHECKING:
    from queryfleet.status.record import QueryRecord
    from serve_app.accounts import Account
    from serve_app.services import Services

__all__ = ["column_totals_of"]

_TRIES: Final = 5  # queries of totals that failed, one after the other


async def column_totals_of(services: Services, caller: Account, record: QueryRecord) -> str:
    """Return the query of the column totals of a query: the same one each time, unless it has failed.

    Args:
        services: Of the replica.
        caller: Whose rights of today count.
        record: One of the caller's queries.

    Raises:
        ParameterError: The query did not ask the models.
        RequestError: It cannot be asked any more; the class and the message say why.
    """
    source = await services.statuses.load_question(record.query_uuid)
    if source is None:
        raise NotFoundError("There is no such query.", queryUuid=record.query_uuid)
    models = await services.models.of(record.project_uuid)
    asker = asker_of(caller, record.project_uuid)
    body = CalculateTotalRequest(kind="columnTotal")
    answer = await asyncio.to_thread(total_question, body, source, models, asker, services.settings)
    said = hashlib.sha256(answer.question.sql.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    for number in range(_TRIES):
        acceptance = await submitted(
            services,
            caller,
            models,
            answer.question,
            context=QueryContext.CALCULATE_TOTAL,
            idempotency_key=f"queryfleet-column-totals:{record.query_uuid}:{said}:{number}",
            use_cache=True,
            poll_ttl_seconds=None,
        )
        found = await services.queries.load(
            acceptance.query_uuid, project_uuid=record.project_uuid, user_uuid=caller.user_uuid
        )
        if acceptance.created or found.status not in (QueryStatus.ERROR, QueryStatus.CANCELLED):
            return acceptance.query_uuid
    raise ConflictError("The totals of this query have failed several times; leave showColumnTotals out.")
