"""Where saved content is kept: the protocol that every store fulfils."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from queryfleet.content.record import (
        ContentKind,
        ContentVersion,
        FileContent,
        FilesLoaded,
        NewContent,
        StoredContent,
    )
    from queryfleet.errors import JsonValue

__all__ = ["ContentStore"]


class ContentStore(Protocol):
    """Saved content of all projects. Every method raises `StatusStoreError` when the database is away."""

    async def close(self) -> None:
        """Let go of connections."""

    async def create(self, new: NewContent) -> StoredContent:
        """Store content as version 1.

        Raises:
            ConflictError: The project has content of that kind and slug already.
            NotFoundError: There is no such project.
        """

    async def load(self, content_uuid: str, *, version_uuid: str | None = None) -> StoredContent | None:
        """Return content of any project and kind, as of its newest version or another of its own; None: there is none.

        Cost: two primary-key reads, in one statement.
        """

    async def find(self, project_uuid: str, kind: ContentKind, slug: str) -> StoredContent | None:
        """Return the newest version of the content with a slug, or None."""

    async def update(
        self,
        content_uuid: str,
        *,
        based_on: int,
        name: str,
        body: Mapping[str, JsonValue],
        user_uuid: str | None,
    ) -> StoredContent | None:
        """Add a version, and return it; None when the newest one is not `based_on`, or there is no such content."""

    async def delete(self, content_uuid: str, *, based_on: int | None = None) -> bool:
        """Delete content with its versions; False when it is not there, or its newest version is not `based_on`."""

    async def listed(self, project_uuid: str, kind: ContentKind, *, count: int, skip: int) -> Sequence[StoredContent]:
        """Return newest versions, in the order of names, then of slugs."""

    async def count(self, project_uuid: str, kind: ContentKind) -> int:
        """Return how many contents of a kind a project has."""

    async def versions(self, content_uuid: str, *, count: int) -> Sequence[ContentVersion]:
        """Return the history of content, newest first; none when it is not there."""

    async def replace_files(self, project_uuid: str, files: Sequence[FileContent]) -> FilesLoaded:
        """Make the content of a project that comes from files be that of these files, in one step.

        A file that has not changed since it was loaded changes nothing, even if its content was changed otherwise. One
        that has becomes a new version. Content whose file is gone is deleted; content that no file made stays.

        Args:
            project_uuid: The project.
            files: All of them; kinds and slugs do not repeat.

        Raises:
            NotFoundError: There is no such project.
        """
