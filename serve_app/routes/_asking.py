"""What routes that ask share: who asks, how a question is committed, and how its answer is made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from actors.submit import submit_question
from queryfleet.limits import ProjectLimits
from serve_app.envelope import ok
from serve_app.pages import PageRequest
from serve_app.questions import Asker
from serve_app.routes._answers import cache_metadata

if TYPE_CHECKING:
    from starlette.responses import Response

    from actors.submit import CompiledQuestion
    from queryfleet.schemas.requests import QueryContext
    from queryfleet.status.record import Acceptance
    from serve_app.accounts import Account
    from serve_app.models import ProjectModels
    from serve_app.services import Services

__all__ = ["answer_to", "asker_of", "submitted"]


def asker_of(caller: Account, project_uuid: str) -> Asker:
    """Return what of a caller decides about the SQL."""
    return Asker(
        attributes=caller.attributes_in(project_uuid),
        email=caller.email,
        may_run_sql=caller.may_run_sql(project_uuid),
    )


async def submitted(
    services: Services,
    caller: Account,
    models: ProjectModels,
    question: CompiledQuestion,
    *,
    context: QueryContext,
    idempotency_key: str | None,
    use_cache: bool,
    poll_ttl_seconds: float | None,
) -> Acceptance:
    """Commit a question; raises like `submit_question`."""
    # Shielded: a client that hangs up now leaves a whole query or none.
    return await asyncio.shield(
        submit_question(
            services.statuses,
            question,
            project_uuid=models.project_uuid,
            project=models.definition,
            limits=ProjectLimits.of(models.definition, services.settings),
            user_uuid=caller.user_uuid,
            context=context.value,
            idempotency_key=idempotency_key,
            use_cache=use_cache,
            poll_ttl_seconds=poll_ttl_seconds,
            stores_rows=services.settings.stores_rows,
        )
    )


async def answer_to(
    services: Services,
    caller: Account,
    acceptance: Acceptance,
    members: dict[str, Any],
    *,
    wait_ms: int,
    project_uuid: str,
) -> Response:
    """Return the answer to an execute call: the query and these members, and those of a poll when it was held."""
    members = {"queryUuid": acceptance.query_uuid, "cacheMetadata": {"cacheHit": False}} | members
    if wait_ms == 0 and acceptance.created and not acceptance.cache_hit:
        return ok(members | {"status": "pending"})
    record = await services.queries.load(acceptance.query_uuid, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    members |= {"cacheMetadata": cache_metadata(record)}
    if wait_ms == 0:
        return ok(members | {"status": record.status.value})
    record = await services.queries.wait(record, until=lambda _: False, timeout_seconds=wait_ms / 1000)
    return await services.pages.answer(record, PageRequest.of(None, None, services.settings), members)
