"""Saved content for one caller: found by uuid or slug, shown as the wire has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from queryfleet.errors import ForbiddenError, InvalidRequestError, NotFoundError
from serve_app.accounts import canonical_uuid
from serve_app.envelope import iso

if TYPE_CHECKING:
    from queryfleet.content.record import ContentKind, StoredContent
    from queryfleet.content.store import ContentStore
    from queryfleet.errors import JsonValue

__all__ = ["content_answer", "content_in_project", "content_of_project", "etag", "version_asked"]


async def content_in_project(
    store: ContentStore, project_uuid: str, kind: ContentKind, name: str, *, version: str | None = None
) -> StoredContent:
    """Return content of a project by its uuid or slug.

    Args:
        store: Where it is.
        project_uuid: A project the caller may use.
        kind: Which kind it must be.
        name: The uuid or slug.
        version: Uuid or number of another version than the newest.

    Raises:
        NotFoundError: The project has none of that name, or it has no such version.
    """
    known = canonical_uuid(name)
    found = await (store.find(project_uuid, kind, name) if known is None else store.load(known))
    if found is None or found.project_uuid != project_uuid or found.kind is not kind:
        raise _missing(kind, name)
    return found if version is None else await _version(store, found, version)


async def content_of_project(
    store: ContentStore, project_uuid: str, kind: ContentKind, content_uuid: str, *, version_uuid: str | None = None
) -> StoredContent:
    """Return content that a question names by its uuid.

    Raises:
        NotFoundError: There is none of that uuid and kind, or it has no such version.
        ForbiddenError: It is another project's.
    """
    known = canonical_uuid(content_uuid)
    found = None if known is None else await store.load(known)
    if found is None or found.kind is not kind:
        raise _missing(kind, content_uuid)
    if found.project_uuid != project_uuid:
        raise ForbiddenError(f"The {kind.label} belongs to another project.", uuid=content_uuid)
    return found if version_uuid is None else await _version(store, found, version_uuid)


async def _version(store: ContentStore, found: StoredContent, version: str) -> StoredContent:
    known = canonical_uuid(version)
    if known is None and version.isdecimal():
        history = await store.versions(found.content_uuid, count=found.newest_version)
        known = next((each.version_uuid for each in history if str(each.version) == version), None)
    other = None if known is None else await store.load(found.content_uuid, version_uuid=known)
    if other is None:
        raise NotFoundError(f"The {found.kind.label} has no version {version[:60]!r}.", version=version[:60])
    return other


def _missing(kind: ContentKind, name: str) -> NotFoundError:
    return NotFoundError(f"There is no {kind.label} {name[:200]!r} in this project.", uuid=name[:200])


def content_answer(content: StoredContent, *, with_sql: bool, is_whole: bool = True) -> dict[str, Any]:
    """Return content as the wire has it.

    Args:
        content: As stored.
        with_sql: Show the SQL of a SQL chart: the caller may run SQL.
        is_whole: With the body, not only what a list shows.
    """
    body = dict(content.body) if is_whole else {"name": content.name, "description": content.body.get("description")}
    if not with_sql:
        body.pop("sql", None)
    return {
        "uuid": content.content_uuid,
        "slug": content.slug,
        "kind": content.kind.value,
        **body,
        "version": content.version,
        "versionUuid": content.version_uuid,
        "newestVersion": content.newest_version,
        "isFromFile": content.is_from_file,
        "createdAt": iso(content.created_at),
        "updatedAt": iso(content.updated_at),
        "updatedByUserUuid": content.user_uuid,
    }


def etag(content: StoredContent) -> str:
    """Return the `ETag` of content as of its version."""
    return f'"{content.version}"'


def version_asked(if_match: str | None, in_body: int | None) -> int | None:
    """Return the version that a change is based on, of the header `If-Match` or the body; None: neither says.

    Raises:
        InvalidRequestError: The header is no version, or says another than the body.
    """
    if if_match is None or if_match.strip() == "*":
        return in_body
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isdecimal() or len(text) > 9 or (in_body is not None and int(text) != in_body):  # noqa: PLR2004
        fault = "must be the ETag of a version, and the same version as `version` of the body"
        details: dict[str, JsonValue] = {"If-Match": {"message": fault}}
        raise InvalidRequestError(f"If-Match {fault}.", **details)
    return int(text)
