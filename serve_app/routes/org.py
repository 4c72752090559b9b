"""`GET /api/v1/org/projects`: which projects a caller may ask."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from queryfleet.schemas.model_answers import ProjectsAnswer
from serve_app.dependencies import Caller, ServicesOf
from serve_app.envelope import ok
from serve_app.routes._answers import errors

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/org", tags=["project"])


@router.get(
    "/projects",
    operation_id="getProjects",
    summary="List the projects of the caller",
    responses={200: {"model": ProjectsAnswer}, **errors(401, 503)},
    response_model=None,
)
async def get_projects(caller: Caller, services: ServicesOf) -> Response:
    """Return the projects in which the caller has a role, by name."""
    known = [each for each in await services.statuses.projects() if each["project_uuid"] in caller.roles]
    return ok(
        [
            {
                "projectUuid": each["project_uuid"],
                "name": each["name"],
                "type": "DEFAULT",
                "role": caller.roles[each["project_uuid"]],
            }
            for each in sorted(known, key=lambda each: (each["name"], each["project_uuid"]))
        ]
    )
