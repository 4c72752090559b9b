"""Saved content on PostgreSQL."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.types.json import Json

from queryfleet.content.record import (
    ContentKind,
    ContentVersion,
    FilesLoaded,
    StoredContent,
    file_content_uuid,
    slug_taken,
)
from queryfleet.errors import NotFoundError
from queryfleet.status.postgres_connections import PostgresConnections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from queryfleet.content.record import FileContent, NewContent
    from queryfleet.errors import JsonValue
    from queryfleet.status.rows import Row

__all__ = ["PostgresContentStore"]


class PostgresContentStore(PostgresConnections):
    """Content on one database; raises `StatusStoreError` when it is away, from every method.

    Args:
        database_url: `postgresql://…`; its password appears in no error and no log.
        connections_max: Most connections open at once.
        timeout_seconds: Longest wait for a free connection.
    """

    def __init__(self, database_url: str, *, connections_max: int = 2, timeout_seconds: float = 5.0) -> None:
        super().__init__(database_url, connections_max=connections_max, timeout_seconds=timeout_seconds)
        text = (Path(__file__).parent / "content.sql").read_text(encoding="utf-8")
        blocks = (block.split("\n", 1) for block in text.split("-- name: ")[1:])
        self._statements = {name.strip(): statement.strip().encode() for name, statement in blocks}

    async def create(self, new: NewContent) -> StoredContent:
        """See `ContentStore.create`."""
        import psycopg

        try:
            row = await self._row("create", **_created(new, file_digest=None))
        except psycopg.errors.ForeignKeyViolation:
            raise NotFoundError("There is no such project.", projectUuid=new.project_uuid) from None
        if row is None:
            raise slug_taken(new.kind, new.slug)
        return _content(row)

    async def load(self, content_uuid: str, *, version_uuid: str | None = None) -> StoredContent | None:
        """See `ContentStore.load`."""
        row = await self._row("load", content_uuid=content_uuid, version_uuid=version_uuid)
        return _content(row) if row else None

    async def find(self, project_uuid: str, kind: ContentKind, slug: str) -> StoredContent | None:
        """See `ContentStore.find`."""
        row = await self._row("find", project_uuid=project_uuid, kind=kind.value, slug=slug)
        return _content(row) if row else None

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
        row = await self._row(
            "update",
            content_uuid=content_uuid,
            based_on=based_on,
            name=name,
            body=Json(dict(body)),
            user_uuid=user_uuid,
            version_uuid=str(uuid.uuid4()),
            file_digest=None,
        )
        return _content(row) if row else None

    async def delete(self, content_uuid: str, *, based_on: int | None = None) -> bool:
        """See `ContentStore.delete`."""
        return bool(await self._row("delete", content_uuid=content_uuid, based_on=based_on))

    async def listed(self, project_uuid: str, kind: ContentKind, *, count: int, skip: int) -> Sequence[StoredContent]:
        """See `ContentStore.listed`."""
        rows = await self._rows("list", project_uuid=project_uuid, kind=kind.value, count=count, skip=skip)
        return [_content(row) for row in rows]

    async def count(self, project_uuid: str, kind: ContentKind) -> int:
        """See `ContentStore.count`."""
        (row,) = await self._rows("count", project_uuid=project_uuid, kind=kind.value)
        return int(row["n"])

    async def versions(self, content_uuid: str, *, count: int) -> Sequence[ContentVersion]:
        """See `ContentStore.versions`."""
        return [ContentVersion(**row) for row in await self._rows("versions", content_uuid=content_uuid, count=count)]

    async def replace_files(self, project_uuid: str, files: Sequence[FileContent]) -> FilesLoaded:
        """See `ContentStore.replace_files`."""
        async with self._connection() as connection, connection.transaction():
            cursor = await connection.execute(self._statements["lock_project"], {"project_uuid": project_uuid})
            if await cursor.fetchone() is None:
                raise NotFoundError("There is no such project.", projectUuid=project_uuid)
            cursor = await connection.execute(self._statements["known"], {"project_uuid": project_uuid})
            known = {(row["kind"], row["slug"]): row for row in await cursor.fetchall()}
            done = [await self._take(connection, project_uuid, file, known) for file in files]
            named = {(file.kind.value, file.slug) for file in files}
            gone = [row for key, row in known.items() if row["file_digest"] is not None and key not in named]
            for row in gone:
                values = {"content_uuid": row["content_uuid"], "based_on": None}
                await connection.execute(self._statements["delete"], values)
        return FilesLoaded(
            created=done.count("created"),
            updated=done.count("updated"),
            deleted=len(gone),
            unchanged=done.count("unchanged"),
        )

    async def _take(
        self,
        connection: psycopg.AsyncConnection[Row],
        project_uuid: str,
        file: FileContent,
        known: Mapping[tuple[str, str], Row],
    ) -> str:
        """Store what one file says, and return what that was."""
        row = known.get((file.kind.value, file.slug))
        if row is not None and row["file_digest"] == file.digest:
            return "unchanged"
        values: Row = {
            "content_uuid": row["content_uuid"] if row else file_content_uuid(project_uuid, file.kind, file.slug),
            "version_uuid": str(uuid.uuid4()),
            "name": file.name,
            "body": Json(dict(file.body)),
            "user_uuid": None,
            "file_digest": file.digest,
        }
        if row is not None:
            await connection.execute(self._statements["update"], values | {"based_on": row["version"]})
            return "updated"
        values |= {"project_uuid": project_uuid, "kind": file.kind.value, "slug": file.slug}
        await connection.execute(self._statements["create"], values)
        return "created"


def _created(new: NewContent, *, file_digest: str | None) -> Row:
    return {
        "content_uuid": new.content_uuid,
        "project_uuid": new.project_uuid,
        "kind": new.kind.value,
        "slug": new.slug,
        "name": new.name,
        "body": Json(dict(new.body)),
        "user_uuid": new.user_uuid,
        "version_uuid": str(uuid.uuid4()),
        "file_digest": file_digest,
    }


def _content(row: Row) -> StoredContent:
    values = dict(row)
    is_from_file = values.pop("file_digest") is not None
    values["kind"] = ContentKind(values["kind"])
    return StoredContent(**values, is_from_file=is_from_file)
