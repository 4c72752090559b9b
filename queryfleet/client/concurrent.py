"""The client for asyncio code; the twin of `queryfleet.client.blocking`, method by method."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self

import httpx2

from queryfleet.client.answers import parse_health, parse_snapshot
from queryfleet.client.calls import cancel_call, health_call, poll_call, submit_sql_call
from queryfleet.client.concurrent_result import AsyncResult, AsyncWire
from queryfleet.client.model_calls import (
    explore_call,
    explores_call,
    parse_explores,
    push_call,
    submit_question_call,
    token_call,
)
from queryfleet.client.paging import PageReader, idle_seconds
from queryfleet.client.session import Retries, Session
from queryfleet.errors import PaginationError, ServiceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from types import TracebackType

    from queryfleet.client.answers import Health, QuerySnapshot, ResultPage
    from queryfleet.client.calls import Call
    from queryfleet.client.model_calls import ExploreSummary, NewToken
    from queryfleet.client.question import Question
    from queryfleet.client.retry import RetryPolicy
    from queryfleet.errors import JsonValue

__all__ = ["AsyncClient"]


class AsyncClient:
    """Talks to one service. An async context manager; belongs to the event loop it is first used on.

    Every request is safe to repeat and is repeated for a bounded time when the service is busy or cannot be
    reached.

    Args:
        url: The service's address, such as `http://127.0.0.1:8000`.
        token: A personal token of the service.
        retry: How long to repeat; the default is 30 seconds.
        timeout_seconds: For one answer, on top of the `wait_seconds` of a call. Connecting has 5 seconds.
        transport: Replaces the network, for tests.

    Raises:
        ConfigurationError: The address or the token cannot be one.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str,
        retry: RetryPolicy | None = None,
        timeout_seconds: float = 30.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._session = Session.of(url, token=token, retry=retry, timeout_seconds=timeout_seconds)
        self._is_known = False  # has it ever answered?
        self._http = httpx2.AsyncClient(
            headers=dict(self._session.headers),
            trust_env=self._session.trusts_environment,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. Queries go on; `cancel` ends them."""
        await self._http.aclose()

    async def submit_sql(
        self,
        project_uuid: str,
        sql: str,
        *,
        limit: int | None = None,
        idempotency_key: str | None = None,
        wait_seconds: float = 0,
        context: str = "api",
    ) -> QuerySnapshot:
        """Start a query.

        Args:
            project_uuid: Whose warehouse to ask.
            sql: One statement.
            limit: Most rows of the result; None for all.
            idempotency_key: The same key with the same statement finds the query it started before; made up
                when None.
            wait_seconds: How long the service may hold the answer until the query has ended, 0 to 60.
            context: Where the question comes from; appears in the warehouse's query history.

        Returns:
            The accepted query; already with its first page when it ended within `wait_seconds`.

        Raises:
            ServiceUnreachableError: No answer, also after repeating.
            ServiceError: Refused by the service; the class says why.
        """
        call = submit_sql_call(
            project_uuid,
            sql,
            limit=limit,
            idempotency_key=idempotency_key,
            wait_seconds=wait_seconds,
            context=context,
        )
        return parse_snapshot(await self._send(call))

    async def query(
        self,
        project_uuid: str,
        question: Question,
        *,
        idempotency_key: str | None = None,
        wait_seconds: float = 0,
        context: str = "api",
    ) -> QuerySnapshot:
        """Ask the models of a project.

        Args:
            project_uuid: Whose models.
            question: Explore, fields, filters, order and limit.
            idempotency_key: The same key with the same question finds the query it started before; made up when
                None.
            wait_seconds: How long the service may hold the answer until the query has ended, 0 to 60.
            context: Where the question comes from; appears in the warehouse's query history.

        Returns:
            The accepted query, with its `fields`; already with its first page when it ended within `wait_seconds`.

        Raises:
            NotFoundError: There is no such explore.
            FieldReferenceError: The explore has no such field; the message has the nearest name.
            ForbiddenError: The explore or a field is not open to this user.
            ServiceUnreachableError: No answer, also after repeating.
            ServiceError: Refused by the service; the class says why.
        """
        call = submit_question_call(
            project_uuid, question, idempotency_key=idempotency_key, wait_seconds=wait_seconds, context=context
        )
        return parse_snapshot(await self._send(call))

    async def explores(self, project_uuid: str) -> tuple[ExploreSummary, ...]:
        """Return the explores of a project that this user may ask, by name.

        Raises:
            NotFoundError: There is no such project for this user.
            ServiceUnreachableError: No answer, also after repeating.
        """
        return parse_explores(await self._send(explores_call(project_uuid)))

    async def explore(self, project_uuid: str, name: str) -> JsonValue:
        """Return one explore as the service describes it: `tables`, each with `dimensions` and `metrics`.

        Raises:
            NotFoundError: There is no such explore.
            ForbiddenError: It is not open to this user.
            ServiceUnreachableError: No answer, also after repeating.
        """
        return await self._send(explore_call(project_uuid, name))

    async def push_models(self, project_uuid: str, files: Mapping[str, str]) -> JsonValue:
        """Replace the models of a project, or leave all of them when something is wrong. Needs the role admin.

        Args:
            project_uuid: The project.
            files: Text by path, as `queryfleet.semantic.project_files.collect_files` gives it.

        Returns:
            `version`, `explores`, and `problems` that are no errors.

        Raises:
            CompileError: Something is wrong; `details["problems"]` lists it.
            ServiceError: Refused by the service; the class says why.
        """
        return await self._send(push_call(project_uuid, files))

    async def create_token(self, project_uuid: str, token: NewToken) -> JsonValue:
        """Make a token of a new user of a project. Needs the role admin.

        Returns:
            `token`, which is shown this once, `tokenUuid`, `userUuid` and `expiresAt`.

        Raises:
            ServiceError: Refused by the service; the class says why.
        """
        return await self._send(token_call(project_uuid, token))

    async def poll(
        self,
        project_uuid: str,
        query_uuid: str,
        *,
        page: int | None = None,
        page_size: int | None = None,
        wait_seconds: float = 0,
    ) -> QuerySnapshot:
        """Ask how a query is, and for one page of its rows.

        Args:
            project_uuid: Its project.
            query_uuid: From the submit answer.
            page: Counted from 1; None means the first, once the query is ready.
            page_size: Rows per page; None for the service's default, at most the `max_page_size` of `health`.
            wait_seconds: How long the service may hold the answer, 0 to 60: until the query has ended or,
                with `page`, until that page is stored.

        Raises:
            NotFoundError: There is no such query of this user.
            PaginationError: The result has no such page, or the page size is not allowed.
            ServiceUnreachableError: No answer, also after repeating.
            ServiceError: Anything else the service refuses. A query that failed is not an error here: see
                `QuerySnapshot.raise_if_failed`.
        """
        call = poll_call(project_uuid, query_uuid, page=page, page_size=page_size, wait_seconds=wait_seconds)
        return parse_snapshot(await self._send(call), query_uuid=query_uuid, page_size=page_size)

    async def cancel(self, project_uuid: str, query_uuid: str) -> None:
        """Cancel a query, in the warehouse too. Changes nothing when it has ended.

        Raises:
            NotFoundError: There is no such query of this user.
            ServiceUnreachableError: No answer, also after repeating.
        """
        await self._send(cancel_call(project_uuid, query_uuid))

    async def health(self) -> Health:
        """Return the service's version and limits.

        Raises:
            ServiceUnreachableError: No answer, also after repeating.
        """
        return parse_health(await self._send(health_call()))

    async def wait(
        self,
        project_uuid: str,
        query_uuid: str,
        *,
        page_size: int | None = None,
        wait_seconds: float = 20.0,
        on_wait: Callable[[QuerySnapshot], None] | None = None,
    ) -> QuerySnapshot:
        """Wait, as long as it takes, until a query has ended.

        Args:
            project_uuid: Its project.
            query_uuid: From the submit answer.
            page_size: Rows of the first page, which comes with a ready query.
            wait_seconds: How long one request may be held, 0 to 60.
            on_wait: Called with every answer that is not the last; may raise to stop waiting.

        Raises:
            ServiceError: As `poll`.
        """
        empty_polls = 0
        while True:
            started = time.monotonic()
            snapshot = await self.poll(project_uuid, query_uuid, page_size=page_size, wait_seconds=wait_seconds)
            if snapshot.is_ended:
                return snapshot
            empty_polls += 1
            if on_wait is not None:
                on_wait(snapshot)
            held = time.monotonic() - started
            await asyncio.sleep(idle_seconds(empty_polls=empty_polls, held_seconds=held, wait_seconds=wait_seconds))

    async def pages(
        self,
        project_uuid: str,
        query_uuid: str,
        *,
        page_size: int,
        wait_seconds: float = 20.0,
        on_wait: Callable[[QuerySnapshot], None] | None = None,
    ) -> AsyncIterator[ResultPage]:
        """Yield every page of a result in order, each as soon as it is stored, also while the query runs.

        Args:
            project_uuid: Its project.
            query_uuid: From the submit answer.
            page_size: Rows per page, at most the `max_page_size` of `health`.
            wait_seconds: How long one request may be held, 0 to 60.
            on_wait: Called with every answer that brought no page; may raise to stop.

        Yields:
            At least one page: an empty result is one page with columns and no rows.

        Raises:
            QueryCancelledError: The query was cancelled.
            ConflictError: The query was begun again after some pages had been yielded.
            ServiceError: The query failed, or as `poll`.
        """
        reader = PageReader(page_size)
        empty_polls = 0
        while not reader.is_done:
            started = time.monotonic()
            try:
                snapshot = await self.poll(
                    project_uuid, query_uuid, page=reader.page, page_size=page_size, wait_seconds=wait_seconds
                )
            except PaginationError as error:
                reader.accept_beyond_end(error)
                continue
            page = reader.accept(snapshot)
            if page is not None:
                empty_polls = 0
                yield page
            elif not reader.is_done:
                empty_polls += 1
                if on_wait is not None:
                    on_wait(snapshot)
                held = time.monotonic() - started
                await asyncio.sleep(idle_seconds(empty_polls=empty_polls, held_seconds=held, wait_seconds=wait_seconds))

    def result(self, project_uuid: str, query_uuid: str, *, at_once: int = 4) -> AsyncResult:
        """Return what reads the whole result of a query as Arrow; asks the service nothing yet.

        Args:
            project_uuid: Its project.
            query_uuid: From the submit answer; the query may still run.
            at_once: Chunks read at the same time, 1 to 32.
        """
        return AsyncResult(AsyncWire(send=self._send, fetch=self._fetch), project_uuid, query_uuid, at_once=at_once)

    async def _send(self, call: Call) -> JsonValue:
        return self._session.results(await self._answer(call))

    async def _fetch(self, call: Call) -> bytes:
        return (await self._answer(call)).content

    async def _answer(self, call: Call) -> httpx2.Response:
        """Return an answer that is no error."""
        retries = Retries(self._session.retry, is_first_contact=not self._is_known)
        while True:
            response: httpx2.Response | None = None
            try:
                response = await self._http.send(self._session.request(call, self._http))
                self._is_known = True
                if response.status_code == 200:  # noqa: PLR2004 - the HTTP status
                    return response
                self._session.results(response)
                raise ServiceError(f"The service answered {response.status_code} without a reason.")  # noqa: TRY301
            except httpx2.RequestError as error:
                failure: ServiceError = self._session.unreachable(error)
                failure.__cause__ = error
            except ServiceError as error:
                failure = error
            await asyncio.sleep(retries.pause(failure, response))
