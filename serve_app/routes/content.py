"""Saved charts, SQL charts and dashboards of a project: made, read, listed, changed, deleted."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response

from queryfleet.content.record import ContentKind, NewContent, StoredContent, slug_of
from queryfleet.content.values import BODY_OF, checked_body
from queryfleet.errors import ConflictError, ForbiddenError, InvalidRequestError, NotFoundError
from queryfleet.schemas.content_answers import ContentAnswer, ContentListAnswer, ContentVersionsAnswer, DeletedAnswer
from serve_app.accounts import Account
from serve_app.content import content_answer, content_in_project, etag, version_asked
from serve_app.dependencies import Caller, ProjectUuid, ServicesOf, read_body
from serve_app.envelope import iso, ok
from serve_app.routes._answers import body_of, errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from queryfleet.schemas.content import ContentBody

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/projects/{projectUuid}", tags=["content"])

_PAGE_SIZE_MAX = 500
_VERSIONS_MAX = 1000
_COLLECTIONS = {
    "saved-charts": (ContentKind.CHART, "SavedChart", "chart"),
    "sql-charts": (ContentKind.SQL_CHART, "SqlChart", "SQL chart"),
    "dashboards": (ContentKind.DASHBOARD, "Dashboard", "dashboard"),
}


def _kind_of(request: Request) -> ContentKind:
    """Return the kind of content that a route is about: its path says so."""
    return next(kind for path, (kind, _, _) in _COLLECTIONS.items() if path in request.scope["route"].path.split("/"))


_Kind = Annotated[ContentKind, Depends(_kind_of)]
_ContentName = Annotated[str, Path(description="Uuid or slug.", max_length=200)]
_IfMatch = Annotated[str | None, Header(description="The `ETag` of the version that the change is based on.")]


async def list_content(
    projectUuid: ProjectUuid,  # noqa: N803 - the wire's spelling
    kind: _Kind,
    caller: Caller,
    services: ServicesOf,
    page: Annotated[int, Query(ge=1, le=1_000_000, description="From 1.")] = 1,
    pageSize: Annotated[int, Query(ge=1, le=_PAGE_SIZE_MAX, description="Contents of a page.")] = 100,  # noqa: N803
) -> Response:
    """Return the newest versions in the order of names, without their bodies."""
    project_uuid = caller.enter(projectUuid)
    total = await services.content.count(project_uuid, kind)
    found = await services.content.listed(project_uuid, kind, count=pageSize, skip=(page - 1) * pageSize)
    with_sql = caller.may_run_sql(project_uuid)
    listed = [content_answer(each, with_sql=with_sql, is_whole=False) for each in found]
    paging = {"page": page, "pageSize": pageSize, "totalResults": total, "totalPageCount": -(-total // pageSize)}
    return ok({"data": listed, "pagination": paging})


async def create_content(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803
    kind: _Kind,
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Store it as version 1. Needs the role editor or admin."""
    project_uuid = _editable(caller, projectUuid)
    body: ContentBody = await read_body(request, BODY_OF[kind], bytes_max=services.settings.body_bytes_max)
    stored = await services.content.create(
        NewContent(
            content_uuid=str(uuid.uuid4()),
            project_uuid=project_uuid,
            kind=kind,
            slug=body.slug or slug_of(body.name),
            name=body.name,
            body=checked_body(kind, body),
            user_uuid=caller.user_uuid,
        )
    )
    return _answer(stored)


async def get_content(
    projectUuid: ProjectUuid,  # noqa: N803
    name: _ContentName,
    kind: _Kind,
    caller: Caller,
    services: ServicesOf,
    version: Annotated[str | None, Query(description="Number or uuid of another version than the newest.")] = None,
) -> Response:
    """Return one version. Its `ETag` is what a change sends as `If-Match`."""
    project_uuid = caller.enter(projectUuid)
    found = await content_in_project(services.content, project_uuid, kind, name, version=version)
    return _answer(found, with_sql=caller.may_run_sql(project_uuid))


async def list_versions(
    projectUuid: ProjectUuid,  # noqa: N803
    name: _ContentName,
    kind: _Kind,
    caller: Caller,
    services: ServicesOf,
) -> Response:
    """Return who changed it when, newest first, at most 1000 versions."""
    project_uuid = caller.enter(projectUuid)
    found = await content_in_project(services.content, project_uuid, kind, name)
    history = await services.content.versions(found.content_uuid, count=_VERSIONS_MAX)
    listed = [
        {
            "version": each.version,
            "versionUuid": each.version_uuid,
            "createdAt": iso(each.created_at),
            "createdByUserUuid": each.user_uuid,
        }
        for each in history
    ]
    return ok({"uuid": found.content_uuid, "versions": listed})


async def update_content(
    request: Request,
    projectUuid: ProjectUuid,  # noqa: N803
    name: _ContentName,
    kind: _Kind,
    caller: Caller,
    services: ServicesOf,
    if_match: _IfMatch = None,
) -> Response:
    """Add a version that replaces the whole body; 409 when it is not based on the newest one.

    What it is based on is said by `If-Match` or by `version` of the body. The slug stays. Needs the role editor or
    admin.
    """
    project_uuid = _editable(caller, projectUuid)
    body: ContentBody = await read_body(request, BODY_OF[kind], bytes_max=services.settings.body_bytes_max)
    based_on = version_asked(if_match, body.version)
    if based_on is None:
        fault = "is missing: send the version that the change is based on, or If-Match"
        raise InvalidRequestError(f"The request is not valid: version {fault}.", version={"message": fault})
    found = await content_in_project(services.content, project_uuid, kind, name)
    if body.slug not in (None, found.slug):
        fault = f"cannot be changed; it is {found.slug!r}"
        raise InvalidRequestError(f"The request is not valid: slug {fault}.", slug={"message": fault})
    stored = await services.content.update(
        found.content_uuid,
        based_on=based_on,
        name=body.name,
        body=checked_body(kind, body),
        user_uuid=caller.user_uuid,
    )
    if stored is None:
        raise await _changed(services, project_uuid, kind, found.content_uuid, based_on)
    return _answer(stored)


async def delete_content(
    projectUuid: ProjectUuid,  # noqa: N803
    name: _ContentName,
    kind: _Kind,
    caller: Caller,
    services: ServicesOf,
    if_match: _IfMatch = None,
) -> Response:
    """Delete it with all its versions; with `If-Match` only if that is the newest. Needs the role editor or admin.

    What a file of the project's folder describes is there again when the folder is loaded next.
    """
    project_uuid = _editable(caller, projectUuid)
    based_on = version_asked(if_match, None)
    found = await content_in_project(services.content, project_uuid, kind, name)
    if not await services.content.delete(found.content_uuid, based_on=based_on):
        raise await _changed(services, project_uuid, kind, found.content_uuid, based_on)
    return ok({"uuid": found.content_uuid, "deleted": True})


def _editable(caller: Account, project_uuid: str) -> str:
    """Return the project's uuid if the caller may change its content."""
    known = caller.enter(project_uuid)
    if not caller.may_run_sql(known):
        raise ForbiddenError(
            "Changing saved content needs the role editor or admin in this project.", role=caller.roles[known]
        )
    return known


def _answer(content: StoredContent, *, with_sql: bool = True) -> Response:
    answer = ok(content_answer(content, with_sql=with_sql))
    answer.headers["ETag"] = etag(content)
    return answer


async def _changed(
    services: ServicesOf, project_uuid: str, kind: ContentKind, content_uuid: str, based_on: int | None
) -> ConflictError | NotFoundError:
    """Return why a change did not happen: there is another version, or nothing any more."""
    found = await services.content.load(content_uuid)
    if found is None or found.project_uuid != project_uuid:
        return NotFoundError(f"The {kind.label} was deleted meanwhile.", uuid=content_uuid)
    details: dict[str, Any] = {"version": based_on, "newestVersion": found.newest_version}
    return ConflictError(
        f"The {kind.label} is at version {found.newest_version}, not {based_on}: read it again and repeat the change.",
        **details,
    )


def _add(method: str, path: str, handler: Callable[..., Awaitable[Response]], described: dict[str, Any]) -> None:
    router.add_api_route(path, handler, methods=[method], response_model=None, **described)


for _path, (_content_kind, _word, _label) in _COLLECTIONS.items():
    _one, _of_writing = f"/{_path}/{{name}}", {"openapi_extra": body_of(BODY_OF[_content_kind])}
    _answers = {200: {"model": ContentAnswer}}
    _reading, _changing = errors(401, 403, 404, 422, 503), errors(400, 401, 403, 404, 409, 413, 422, 503)
    _add(
        "GET",
        f"/{_path}",
        list_content,
        {
            "operation_id": f"list{_word}s",
            "summary": f"List {_label}s",
            "responses": {200: {"model": ContentListAnswer}, **_reading},
        },
    )
    _add(
        "POST",
        f"/{_path}",
        create_content,
        {
            "operation_id": f"create{_word}",
            "summary": f"Make a {_label}",
            "responses": _answers | _changing,
            **_of_writing,
        },
    )
    _add(
        "GET",
        _one,
        get_content,
        {"operation_id": f"get{_word}", "summary": f"Read a {_label}", "responses": _answers | _reading},
    )
    _add(
        "GET",
        f"{_one}/versions",
        list_versions,
        {
            "operation_id": f"list{_word}Versions",
            "summary": f"List the versions of a {_label}",
            "responses": {200: {"model": ContentVersionsAnswer}, **_reading},
        },
    )
    _add(
        "PUT",
        _one,
        update_content,
        {
            "operation_id": f"update{_word}",
            "summary": f"Change a {_label}",
            "responses": _answers | _changing,
            **_of_writing,
        },
    )
    _add(
        "DELETE",
        _one,
        delete_content,
        {
            "operation_id": f"delete{_word}",
            "summary": f"Delete a {_label}",
            "responses": {200: {"model": DeletedAnswer}, **errors(401, 403, 404, 409, 422, 503)},
        },
    )
