"""`GET …/explores`: what can be asked about."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from queryfleet.schemas.model_answers import ExploreAnswer, ExploresAnswer
from serve_app.dependencies import Caller, ProjectUuid, ServicesOf
from serve_app.envelope import ok
from serve_app.explore_documents import explore_document, explore_summaries
from serve_app.permitted import find_explore
from serve_app.routes._answers import errors

__all__ = ["ExploreName", "router"]

router = APIRouter(prefix="/api/v1/projects/{projectUuid}/explores", tags=["models"])

ExploreName = Annotated[str, Path(description="Name of an explore of the project.")]


@router.get(
    "",
    operation_id="getExplores",
    summary="List the explores of a project",
    responses={200: {"model": ExploresAnswer}, **errors(401, 404, 503)},
    response_model=None,
)
async def get_explores(
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Return every explore that the caller may use; who may run SQL also sees those that cannot be used, and why."""
    project_uuid = caller.enter(projectUuid)
    models = await services.models.of(project_uuid)
    attributes, with_broken = caller.attributes_in(project_uuid), caller.may_run_sql(project_uuid)
    return ok(await asyncio.to_thread(explore_summaries, models.catalog, attributes, with_broken=with_broken))


@router.get(
    "/{exploreName}",
    operation_id="getExplore",
    summary="Describe one explore",
    responses={200: {"model": ExploreAnswer}, **errors(400, 401, 403, 404, 503)},
    response_model=None,
)
async def get_explore(
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    exploreName: ExploreName,  # noqa: N803
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Return the tables of an explore, and of each the dimensions and metrics that are listed for this caller."""
    project_uuid = caller.enter(projectUuid)
    models = await services.models.of(project_uuid)
    attributes, may_run_sql = caller.attributes_in(project_uuid), caller.may_run_sql(project_uuid)

    def described() -> object:
        explore = find_explore(models.catalog, exploreName, attributes, with_broken=may_run_sql)
        return explore_document(explore, attributes, with_warnings=may_run_sql)

    return ok(await asyncio.to_thread(described))
