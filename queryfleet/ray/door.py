"""Calls to the service's replicas by their Serve handle."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import httpx2

from queryfleet.errors import ConfigurationError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from queryfleet.client.carried import CarriedAnswer, CarriedRequest

__all__ = ["Door", "ServeHandle", "open_door"]

T = TypeVar("T")

_ANSWER_SECONDS = 60.0


class ServeHandle(Protocol):
    """A `ray.serve.handle.DeploymentHandle` of the service's application; Ray ships no types to name it by."""

    @property
    def deployment_id(self) -> object:
        """Which deployment it leads to."""
        ...


class Door:
    """What can be asked of the replicas; may be used from several threads.

    Args:
        handle: Of the service's Serve application.
        application: Its name.
    """

    def __init__(self, handle: ServeHandle, application: str) -> None:
        self.handle = handle
        self.application = application

    def about(self) -> dict[str, str]:
        """Return the versions of the service.

        Raises:
            ConfigurationError: What answers is not the service, or one that does not know this door.
        """
        from ray.exceptions import RayError, RayTaskError
        from ray.serve.exceptions import RayServeException

        try:
            found: dict[str, str] = self._call("about", seconds=_ANSWER_SECONDS)
        except (RayTaskError, RayServeException, AttributeError) as error:
            raise ConfigurationError(
                f"The Serve application {self.application!r} does not answer as the query service does; "
                "name another with application=, or bring the service up to date."
            ) from error
        except (RayError, TimeoutError) as error:
            raise ConfigurationError(
                f"The Serve application {self.application!r} does not answer ({type(error).__name__}); "
                "see `serve status` on the cluster."
            ) from error
        return found

    def carry(self, request: CarriedRequest) -> CarriedAnswer:
        """Bring one request to a replica and return its answer.

        Raises:
            httpx2.ReadTimeout: No answer came in the time that the request has.
            httpx2.ReadError: The replica, or the way to it, was lost.
        """
        with _as_transport_errors():
            answer: CarriedAnswer = self._call("carry", request, seconds=request.wait_seconds)
            return answer

    async def carry_async(self, request: CarriedRequest) -> CarriedAnswer:
        """As `carry`, on the running loop."""
        with _as_transport_errors():
            async with asyncio.timeout(request.wait_seconds):
                answer: CarriedAnswer = await self._remote("carry", request)
                return answer

    def grant(self, authorization: str, project_uuid: str, query_uuid: str) -> str:
        """Return leave to read the chunks of one result without the token; raises what the service does."""
        with _unwrapped():
            grant: str = self._call("grant", authorization, project_uuid, query_uuid, seconds=_ANSWER_SECONDS)
            return grant

    def granted_chunk(self, grant: str, index: int) -> bytes:
        """Return the stored lines of one chunk that the grant opens; raises what the service does."""
        with _unwrapped():
            lines: bytes = self._call("granted_chunk", grant, index, seconds=_ANSWER_SECONDS)
            return lines

    def _remote(self, method: str, *arguments: object) -> Any:
        return getattr(self.handle, method).remote(*arguments)

    def _call(self, method: str, *arguments: object, seconds: float | None) -> Any:
        def call() -> Any:
            response = self._remote(method, *arguments)
            try:
                return response.result(timeout_s=seconds)
            except TimeoutError:
                response.cancel()
                raise

        return _outside_loop(call)


def open_door(application: str) -> Door:
    """Return the door to the service of the cluster this process is connected to.

    Raises:
        ConfigurationError: There is no such application.
    """
    from ray import serve
    from ray.serve.exceptions import RayServeException

    try:
        handle = _outside_loop(lambda: serve.get_app_handle(application))
    except RayServeException as error:
        raise ConfigurationError(
            f"No Serve application {application!r} runs on this cluster. Start the service there (`queryfleet up` with "
            "RAY_ADDRESS, or `serve deploy`), or name it with application=."
        ) from error
    return Door(handle, application)


def _outside_loop(work: Callable[[], T]) -> T:
    """Do what may not be done in a thread with a running event loop, such as a notebook's, in another one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again where it was asked for
            failed.append(error)

    thread = threading.Thread(target=run, name="queryfleet-ray", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


@contextmanager
def _as_transport_errors() -> Iterator[None]:
    """Let failures of the way, which a client repeats, out as those of an HTTP connection."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    try:
        yield
    except TimeoutError as error:
        raise httpx2.ReadTimeout("no answer through Ray") from error
    except (RayError, RayServeException, ConnectionError) as error:
        # Only its kind: Ray's texts quote tracebacks.
        raise httpx2.ReadError(f"Ray: {type(error).__name__}") from error


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Let an error of the service out as it was there."""
    from ray.exceptions import RayTaskError

    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, ServiceError):
            raise error.cause from None
        raise
