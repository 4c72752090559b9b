"""Saved content in memory, for tests."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from queryfleet.content.record import (
    ContentVersion,
    FilesLoaded,
    NewContent,
    StoredContent,
    file_content_uuid,
    slug_taken,
)
from queryfleet.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from queryfleet.content.record import ContentKind, FileContent
    from queryfleet.errors import JsonValue

__all__ = ["MemoryContentStore"]


class MemoryContentStore:
    """The protocol on dictionaries.

    Args:
        projects: Those that exist.
    """

    def __init__(self, projects: Collection[str]) -> None:
        self._projects = projects
        self._found: dict[str, list[StoredContent]] = {}  # versions by content uuid, oldest first
        self._digests: dict[str, str] = {}  # of what files made, by content uuid

    async def close(self) -> None:
        """Do nothing: what is stored stays until the store itself is gone."""

    async def create(self, new: NewContent) -> StoredContent:
        """See `ContentStore.create`."""
        self._check_project(new.project_uuid)
        if self._newest(new.project_uuid, new.kind, new.slug) is not None:
            raise slug_taken(new.kind, new.slug)
        return self._create(new, is_from_file=False)

    async def load(self, content_uuid: str, *, version_uuid: str | None = None) -> StoredContent | None:
        """See `ContentStore.load`."""
        found = self._found.get(content_uuid, [])
        wanted = [each for each in found if version_uuid in (None, each.version_uuid)]
        return replace(wanted[-1], newest_version=found[-1].version) if wanted else None

    async def find(self, project_uuid: str, kind: ContentKind, slug: str) -> StoredContent | None:
        """See `ContentStore.find`."""
        return self._newest(project_uuid, kind, slug)

    async def update(
        self,
        content_uuid: str,
        *,
        based_on: int,
        name: str,
        body: Mapping[str, JsonValue],
        user_uuid: str | None,
    ) -> StoredContent | None:
        """See `ContentStore.update`."""
        found = self._found.get(content_uuid)
        if not found or found[-1].version != based_on:
            return None
        return self._add(found[-1], name=name, body=body, user_uuid=user_uuid)

    async def delete(self, content_uuid: str, *, based_on: int | None = None) -> bool:
        """See `ContentStore.delete`."""
        found = self._found.get(content_uuid)
        if not found or based_on not in (None, found[-1].version):
            return False
        del self._found[content_uuid]
        self._digests.pop(content_uuid, None)
        return True

    async def listed(self, project_uuid: str, kind: ContentKind, *, count: int, skip: int) -> Sequence[StoredContent]:
        """See `ContentStore.listed`."""
        found = sorted(self._all(project_uuid, kind), key=lambda each: (each.name, each.slug))
        return found[skip : skip + count]

    async def count(self, project_uuid: str, kind: ContentKind) -> int:
        """See `ContentStore.count`."""
        return len(self._all(project_uuid, kind))

    async def versions(self, content_uuid: str, *, count: int) -> Sequence[ContentVersion]:
        """See `ContentStore.versions`."""
        return [
            ContentVersion(
                version=each.version,
                version_uuid=each.version_uuid,
                created_at=each.updated_at,
                user_uuid=each.user_uuid,
            )
            for each in reversed(self._found.get(content_uuid, []))
        ][:count]

    async def replace_files(self, project_uuid: str, files: Sequence[FileContent]) -> FilesLoaded:
        """See `ContentStore.replace_files`."""
        self._check_project(project_uuid)
        created = updated = unchanged = 0
        kept = set()
        for file in files:
            known = self._newest(project_uuid, file.kind, file.slug)
            if known is None:
                known = self._create(_of_file(project_uuid, file), is_from_file=True)
                created += 1
            elif self._digests.get(known.content_uuid) == file.digest:
                unchanged += 1
            else:
                known = replace(known, is_from_file=True)
                self._add(known, name=file.name, body=file.body, user_uuid=None)
                updated += 1
            self._digests[known.content_uuid] = file.digest
            kept.add(known.content_uuid)
        gone = [
            content_uuid
            for content_uuid, versions in self._found.items()
            if versions[-1].project_uuid == project_uuid and content_uuid in self._digests and content_uuid not in kept
        ]
        for content_uuid in gone:
            await self.delete(content_uuid)
        return FilesLoaded(created=created, updated=updated, deleted=len(gone), unchanged=unchanged)

    def _check_project(self, project_uuid: str) -> None:
        if project_uuid not in self._projects:
            raise NotFoundError("There is no such project.", projectUuid=project_uuid)

    def _all(self, project_uuid: str, kind: ContentKind) -> list[StoredContent]:
        newest = (versions[-1] for versions in self._found.values())
        return [each for each in newest if each.project_uuid == project_uuid and each.kind is kind]

    def _newest(self, project_uuid: str, kind: ContentKind, slug: str) -> StoredContent | None:
        return next((each for each in self._all(project_uuid, kind) if each.slug == slug), None)

    def _create(self, new: NewContent, *, is_from_file: bool) -> StoredContent:
        now = datetime.now(UTC)
        stored = StoredContent(
            content_uuid=new.content_uuid,
            project_uuid=new.project_uuid,
            kind=new.kind,
            slug=new.slug,
            name=new.name,
            body=dict(new.body),
            user_uuid=new.user_uuid,
            version=1,
            version_uuid=str(uuid.uuid4()),
            newest_version=1,
            is_from_file=is_from_file,
            created_at=now,
            updated_at=now,
        )
        self._found[new.content_uuid] = [stored]
        return stored

    def _add(
        self, known: StoredContent, *, name: str, body: Mapping[str, JsonValue], user_uuid: str | None
    ) -> StoredContent:
        version = known.version + 1
        stored = replace(
            known,
            name=name,
            body=dict(body),
            user_uuid=user_uuid,
            version=version,
            version_uuid=str(uuid.uuid4()),
            newest_version=version,
            updated_at=datetime.now(UTC),
        )
        self._found[known.content_uuid].append(stored)
        return stored


def _of_file(project_uuid: str, file: FileContent) -> NewContent:
    return NewContent(
        content_uuid=file_content_uuid(project_uuid, file.kind, file.slug),
        project_uuid=project_uuid,
        kind=file.kind,
        slug=file.slug,
        name=file.name,
        body=file.body,
    )
