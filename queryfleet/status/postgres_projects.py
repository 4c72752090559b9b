"""Projects with their models, and tokens, on PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from psycopg.types.json import Jsonb

from queryfleet.status.postgres_connections import PostgresConnections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from queryfleet.errors import JsonValue
    from queryfleet.status.record import KnownToken, ProjectName, ProjectToken, StoredProject
    from queryfleet.status.rows import Row

__all__ = ["PostgresProjects"]


class PostgresProjects(PostgresConnections):
    """Everything of the status store that is not about queries."""

    async def put_project(
        self, project_uuid: str, name: str, definition: dict[str, JsonValue], models: bytes | None = None
    ) -> int:
        """Store a project, or its newer definition, and return its version; see `StatusStore.put_project`."""
        (row,) = await self._rows(
            "put_project", project_uuid=project_uuid, name=name, definition=Jsonb(definition), models=models
        )
        return int(row["version"])

    async def load_project(self, project_uuid: str) -> dict[str, JsonValue] | None:
        """Return a project's definition, or None."""
        row = await self._row("load_project", project_uuid=project_uuid)
        return dict(row["definition"]) if row else None

    async def project_version(self, project_uuid: str) -> int | None:
        """Return a project's version, or None. Cost: one primary-key read."""
        row = await self._row("project_version", project_uuid=project_uuid)
        return int(row["version"]) if row else None

    async def load_stored_project(self, project_uuid: str) -> StoredProject | None:
        """Return a project with its models, or None."""
        return cast("StoredProject | None", await self._row("load_stored_project", project_uuid=project_uuid))

    async def projects(self) -> list[ProjectName]:
        """Return `project_uuid` and `name` of every project, oldest first."""
        return cast("list[ProjectName]", await self._rows("projects"))

    async def put_token(
        self,
        *,
        token_uuid: str,
        token_hash: bytes,
        user_uuid: str,
        name: str,
        roles: dict[str, str],
        attributes: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
        email: str | None = None,
        expires_at: datetime | None = None,
    ) -> str:
        """Store a token by its hash, and return its uuid; see `StatusStore.put_token`."""
        values: Row = {"token_uuid": token_uuid, "token_hash": token_hash, "user_uuid": user_uuid, "name": name}
        values |= {"email": email, "expires_at": expires_at}
        async with self._connection() as connection, connection.transaction():
            cursor = await connection.execute(self._statements["put_token"], values)
            row = await cursor.fetchone()
            stored = str(row["token_uuid"]) if row else token_uuid
            for project_uuid, role in roles.items():
                given = (attributes or {}).get(project_uuid, {})
                role_values = {"token_uuid": stored, "project_uuid": project_uuid, "role": role}
                listed = Jsonb({attribute: list(texts) for attribute, texts in given.items()})
                await connection.execute(self._statements["put_role"], role_values | {"attributes": listed})
        return stored

    async def project_tokens(self, project_uuid: str) -> list[ProjectToken]:
        """Return the tokens with a role in a project, oldest first; see `StatusStore.project_tokens`."""
        return cast("list[ProjectToken]", await self._rows("project_tokens", project_uuid=project_uuid))

    async def remove_token(self, token_uuid: str, project_uuid: str) -> bool:
        """Take a token's role in a project away; see `StatusStore.remove_token`."""
        return await self._row("remove_token", token_uuid=token_uuid, project_uuid=project_uuid) is not None

    async def load_token(self, token_hash: bytes) -> KnownToken | None:
        """Return who a valid token is, or None; see `StatusStore.load_token`."""
        return cast("KnownToken | None", await self._row("load_token", token_hash=token_hash))
