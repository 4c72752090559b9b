"""What a client knows of its service besides queries: who it talks to, projects, explores, the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from queryfleet.client.answers import parse_health
from queryfleet.client.calls import health_call
from queryfleet.client.connection import find_connection
from queryfleet.client.history import (
    history_call,
    is_uuid,
    only_project,
    parse_history,
    parse_projects,
    project_named,
    projects_call,
)
from queryfleet.client.model_calls import (
    explore_call,
    explores_call,
    parse_explores,
    push_call,
    revoke_call,
    token_call,
    tokens_call,
)
from queryfleet.client.saved import content_call, parse_uuid
from queryfleet.client.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from types import TracebackType

    import httpx2

    from queryfleet.client.answers import Health
    from queryfleet.client.history import HistoryEntry, ProjectSummary
    from queryfleet.client.model_calls import ExploreSummary, NewToken
    from queryfleet.client.retry import RetryPolicy
    from queryfleet.client.saved import ChartKind
    from queryfleet.errors import JsonValue

__all__ = ["AsyncServiceClient"]

_HISTORY_PAGE = 1000


class AsyncServiceClient:
    """Everything of `AsyncClient` that starts no query; its arguments are described there."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        project: str | None = None,
        profile: str | None = None,
        retry: RetryPolicy | None = None,
        timeout_seconds: float = 30.0,
        progress: bool | None = None,
        cancel_on_interrupt: bool = True,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        from queryfleet.client.concurrent.wire import AsyncWire

        place = find_connection(url=url, token=token, project=project, profile=profile)
        session = Session.of(place.url, token=place.token, retry=retry, timeout_seconds=timeout_seconds)
        self._wire = AsyncWire(session, transport)
        self._project = place.project
        self._known_projects: dict[str | None, str] = {}  # uuid by what was asked for
        self._progress = progress
        self._cancels = cancel_on_interrupt

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._wire.session.url}>"

    async def close(self) -> None:
        """Close the connections. Queries go on; `AsyncQuery.cancel` ends them."""
        await self._wire.close()

    async def history(
        self,
        *,
        limit: int = 100,
        status: str | Iterable[str] | None = None,
        user_uuid: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        project: str | None = None,
    ) -> tuple[HistoryEntry, ...]:
        """Return who asked what, newest first.

        Args:
            limit: Most entries.
            status: Only queries in this state, or one of these.
            user_uuid: Whose; None: one's own, and for an admin of the project everybody's.
            since: Asked then or later.
            until: Asked before then.
            project: Another project than the client's.

        Raises:
            ForbiddenError: Only an admin sees queries of others.
            ParameterError: There is no such status.
            ServiceError: Refused by the service otherwise, or no answer.
        """
        project_uuid = await self._project_uuid(project)
        found: dict[str, HistoryEntry] = {}  # what is asked meanwhile moves entries on to the next page
        page, has_more = 1, limit > 0
        while has_more and len(found) < limit:
            call = history_call(
                project_uuid,
                page=page,
                page_size=min(limit, _HISTORY_PAGE),
                status=status,
                user_uuid=user_uuid,
                since=since,
                until=until,
            )
            entries, has_more = parse_history(await self._wire.send(call))
            found |= {entry.query_uuid: entry for entry in entries if entry.query_uuid not in found}
            page += 1
        return tuple(found.values())[:limit]

    async def projects(self) -> tuple[ProjectSummary, ...]:
        """Return the projects that this user may ask, by name.

        Raises:
            ServiceUnreachableError: No answer, also after repeating.
        """
        return parse_projects(await self._wire.send(projects_call()))

    async def explores(self, *, project: str | None = None) -> tuple[ExploreSummary, ...]:
        """Return the explores of a project that this user may ask, by name.

        Raises:
            NotFoundError: There is no such project for this user.
            ServiceUnreachableError: No answer, also after repeating.
        """
        return parse_explores(await self._wire.send(explores_call(await self._project_uuid(project))))

    async def explore(self, name: str, *, project: str | None = None) -> JsonValue:
        """Return one explore as the service describes it: `tables`, each with `dimensions` and `metrics`.

        Raises:
            NotFoundError: There is no such explore.
            ForbiddenError: It is not open to this user.
            ServiceUnreachableError: No answer, also after repeating.
        """
        return await self._wire.send(explore_call(await self._project_uuid(project), name))

    async def push_models(self, files: Mapping[str, str], *, project: str | None = None) -> JsonValue:
        """Replace the models of a project, or leave all of them when something is wrong. Needs the role admin.

        Args:
            files: Text by path, as `queryfleet.semantic.project_files.collect_files` gives it.
            project: Another project than the client's.

        Returns:
            `version`, `explores`, and `problems` that are no errors.

        Raises:
            CompileError: Something is wrong; `details["problems"]` lists it.
            ServiceError: Refused by the service; the class says why.
        """
        return await self._wire.send(push_call(await self._project_uuid(project), files))

    async def create_token(self, token: NewToken, *, project: str | None = None) -> JsonValue:
        """Make a token of a new user of a project. Needs the role admin.

        Returns:
            `token`, which is shown this once, `tokenUuid`, `userUuid` and `expiresAt`.

        Raises:
            ServiceError: Refused by the service; the class says why.
        """
        return await self._wire.send(token_call(await self._project_uuid(project), token))

    async def tokens(self, *, project: str | None = None) -> JsonValue:
        """Return who has a role in a project, oldest first, expired tokens too. Needs the role admin.

        Returns:
            A list of `tokenUuid`, `userUuid`, `name`, `email`, `role`, `attributes`, `createdAt`, `expiresAt`.

        Raises:
            ServiceError: Refused by the service; the class says why.
        """
        return await self._wire.send(tokens_call(await self._project_uuid(project)))

    async def revoke_token(self, token_uuid: str, *, project: str | None = None) -> None:
        """Take a token's role in a project away, within five seconds; its queries go on. Needs the role admin.

        Raises:
            ConflictError: It is the token of this client.
            NotFoundError: No such token has a role in the project.
            ServiceError: Refused by the service otherwise, or no answer.
        """
        await self._wire.send(revoke_call(await self._project_uuid(project), token_uuid))

    async def health(self) -> Health:
        """Return the service's version and limits.

        Raises:
            ServiceUnreachableError: No answer, also after repeating.
        """
        return parse_health(await self._wire.send(health_call()))

    async def _project_uuid(self, project: str | None) -> str:
        wanted = project or self._project
        if wanted is not None and is_uuid(wanted):
            return wanted
        if wanted not in self._known_projects:
            known, address = await self.projects(), self._wire.session.url
            self._known_projects[wanted] = (
                only_project(known, address) if wanted is None else project_named(known, wanted, address)
            )
        return self._known_projects[wanted]

    async def _content_uuid(self, project_uuid: str, kind: ChartKind, name: str) -> str:
        if is_uuid(name):
            return name
        return parse_uuid(await self._wire.send(content_call(project_uuid, kind, name)))
