"""`PUT …/models` and `…/tokens`: what an admin of a project changes in it."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from queryfleet.content.files import read_content
from queryfleet.content.record import FileContent
from queryfleet.errors import (
    CompileError,
    ConfigurationError,
    ConflictError,
    JsonValue,
    NotFoundError,
    ParameterError,
)
from queryfleet.project import Project
from queryfleet.schemas.model_answers import ProjectAnswer, RevokedAnswer, TokenAnswer, TokensAnswer
from queryfleet.schemas.requests import ProjectRequest, TokenRequest
from queryfleet.semantic.problem import Problem, Problems
from queryfleet.semantic.project_files import compile_files
from queryfleet.semantic.stored_catalog import catalog_to_bytes
from serve_app.accounts import canonical_uuid, token_hash
from serve_app.dependencies import Caller, ProjectUuid, ServicesOf, read_body
from serve_app.envelope import iso, ok
from serve_app.routes._answers import body_of, errors

if TYPE_CHECKING:
    from queryfleet.status.record import ProjectToken

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/projects/{projectUuid}", tags=["project"])

_FILES_BYTES_MAX = 64 * 1024 * 1024  # a manifest of dbt is large
_TOKEN_BYTES = 32
# What `project.yml` says about models. The rest of it is the operator's: where the warehouse is, with which secrets,
# and what may be done to it.
_OF_MODELS = ("name", "parameters", "defaults", "custom_granularities", "start_of_week", "timezone")


@router.put(
    "/models",
    operation_id="putModels",
    summary="Replace a project's models",
    responses={200: {"model": ProjectAnswer}, **errors(400, 401, 403, 404, 413, 422, 503)},
    response_model=None,
    openapi_extra=body_of(ProjectRequest),
)
async def put_models(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Check the files of a project's folder and replace its models and content: whole, or not at all.

    Errors answer 400 with `data.problems`: `severity`, `file`, `line` and `message` of each. Of `project.yml`, the
    name, parameters, defaults, granularities, time zone and start of the week count; its warehouse, limits,
    attributes and rights are set where the service is started. Needs the role admin.
    """
    project_uuid = caller.enter(projectUuid)
    caller.require_admin(project_uuid)
    body = await read_body(request, ProjectRequest, bytes_max=_FILES_BYTES_MAX)
    compiled = await asyncio.to_thread(_compiled, body.files)
    project = compiled.project
    if project.project_uuid != project_uuid:
        text = f"project.yml is of project {project.project_uuid}, not of this one."
        raise ParameterError(text, projectUuid=project_uuid)
    stored = await services.statuses.load_stored_project(project_uuid)
    known = stored["definition"] if stored is not None else {}
    written = project.to_json()
    definition = known | {name: written[name] for name in _OF_MODELS}
    version = await services.statuses.put_project(project_uuid, project.name, definition, compiled.models)
    loaded = await services.content.replace_files(project_uuid, compiled.content)
    problems = [each.to_json() for each in compiled.problems]
    return ok({"version": version, "explores": compiled.explores, "content": loaded.to_json(), "problems": problems})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    """A project without an error."""

    project: Project
    models: bytes  # the catalog as stored
    explores: list[str]
    content: tuple[FileContent, ...]
    problems: tuple[Problem, ...]  # warnings


def _compiled(files: dict[str, str]) -> _Compiled:
    """Return a project without an error.

    Raises:
        CompileError: There is an error; details list all of them, and the warnings.
    """
    try:
        project, catalog = compile_files(files)
    except ConfigurationError as error:
        of_project = Problems()
        of_project.raised(error, "project.yml")
        raise _refused(tuple(of_project.found)) from None
    of_content = Problems()
    content = read_content(files, project.project_uuid, of_content, catalog)
    problems = (*catalog.problems, *of_content.found)
    if any(each.is_error for each in problems):
        raise _refused(problems)
    return _Compiled(
        project=project,
        models=catalog_to_bytes(catalog),
        explores=list(catalog.explores),
        content=content,
        problems=problems,
    )


def _refused(problems: tuple[Problem, ...]) -> CompileError:
    wrong = [each for each in problems if each.is_error]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    listed: list[JsonValue] = [each.to_json() for each in problems]
    return CompileError(f"Nothing was changed: {wrong[0].text}{more}", problems=listed)


@router.post(
    "/tokens",
    operation_id="createToken",
    summary="Make a token",
    responses={200: {"model": TokenAnswer}, **errors(400, 401, 403, 404, 422, 503)},
    response_model=None,
    openapi_extra=body_of(TokenRequest),
)
async def create_token(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Make a token of a new user with a role, and attributes, in this project alone. Needs the role admin."""
    project_uuid = caller.enter(projectUuid)
    caller.require_admin(project_uuid)
    body = await read_body(request, TokenRequest, bytes_max=services.settings.body_bytes_max)
    token, user_uuid = secrets.token_urlsafe(_TOKEN_BYTES), str(uuid.uuid4())
    seconds = body.expiresInSeconds
    expires_at = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
    attributes = {name: [value] if isinstance(value, str) else value for name, value in body.attributes.items()}
    token_uuid = await services.statuses.put_token(
        token_uuid=str(uuid.uuid4()),
        token_hash=token_hash(token),
        user_uuid=user_uuid,
        name=body.name,
        roles={project_uuid: body.role},
        attributes={project_uuid: attributes},
        email=body.email,
        expires_at=expires_at,
    )
    made: dict[str, Any] = {"token": token, "tokenUuid": token_uuid, "userUuid": user_uuid}
    return ok(made | {"expiresAt": None if expires_at is None else iso(expires_at)})


@router.get(
    "/tokens",
    operation_id="listTokens",
    summary="List the tokens of a project",
    responses={200: {"model": TokensAnswer}, **errors(401, 403, 404, 503)},
    response_model=None,
)
async def list_tokens(
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Return who has a role in this project, oldest first, expired tokens too. Needs the role admin."""
    project_uuid = caller.enter(projectUuid)
    caller.require_admin(project_uuid)
    tokens = await services.statuses.project_tokens(project_uuid)
    return ok([_listed(each) for each in tokens])


def _listed(token: ProjectToken) -> dict[str, Any]:
    expires_at = token["expires_at"]
    return {
        "tokenUuid": token["token_uuid"],
        "userUuid": token["user_uuid"],
        "name": token["name"],
        "email": token["email"],
        "role": token["role"],
        "attributes": token["attributes"],
        "createdAt": iso(token["created_at"]),
        "expiresAt": None if expires_at is None else iso(expires_at),
    }


@router.delete(
    "/tokens/{tokenUuid}",
    operation_id="revokeToken",
    summary="Revoke a token",
    responses={200: {"model": RevokedAnswer}, **errors(401, 403, 404, 409, 503)},
    response_model=None,
)
async def revoke_token(
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    tokenUuid: Annotated[str, Path(description="Of the token, as it is listed.")],  # noqa: N803
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Take a token's role in this project away, within five seconds. Needs the role admin.

    One that has no role elsewhere ends altogether. Its queries go on.
    """
    project_uuid = caller.enter(projectUuid)
    caller.require_admin(project_uuid)
    token_uuid = canonical_uuid(tokenUuid)
    if token_uuid == caller.token_uuid:
        raise ConflictError("This is the token of the request itself; revoke it with another admin's.")
    if token_uuid is None or not await services.statuses.remove_token(token_uuid, project_uuid):
        raise NotFoundError("No such token has a role in this project.", tokenUuid=tokenUuid)
    return ok(None)
