"""What the two clients share: who they talk to, and how an answer or a failure is read."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import queryfleet
from queryfleet.client.calls import checked_url, is_loopback
from queryfleet.client.envelope import results_of
from queryfleet.client.retry import RetryPolicy
from queryfleet.errors import ConfigurationError, JsonValue, ServiceError, ServiceUnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

    from queryfleet.client.calls import Call

__all__ = ["Retries", "Session"]

_CONNECT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Where the service is and how patient a client is."""

    url: str
    token: str = field(repr=False)
    retry: RetryPolicy
    timeout_seconds: float  # for an answer, on top of the time the service was asked to wait

    @classmethod
    def of(cls, url: str, *, token: str, retry: RetryPolicy | None, timeout_seconds: float) -> Session:
        """Check and keep what a client was given.

        Raises:
            ConfigurationError: The address is not one, or the token cannot stand in a header.
        """
        import httpx2

        if not token or not token.isascii() or not token.isprintable():
            raise ConfigurationError("The token is empty or holds characters that no token has.")
        address = checked_url(url)
        try:
            httpx2.URL(address)
        except httpx2.InvalidURL as error:
            raise ConfigurationError(f"{url!r} is not the address of a service: {error}.") from error
        return cls(url=address, token=token, retry=retry or RetryPolicy(), timeout_seconds=timeout_seconds)

    @property
    def headers(self) -> Mapping[str, str]:
        """Sent with every request."""
        return {
            "Authorization": f"ApiKey {self.token}",
            "Accept": "application/json",
            "User-Agent": f"queryfleet/{queryfleet.__version__}",
        }

    @property
    def trusts_environment(self) -> bool:
        """Whether proxy variables apply."""
        return not is_loopback(self.url)

    def request(self, call: Call, build: httpx2.Client | httpx2.AsyncClient) -> httpx2.Request:
        """Return `call` as a request; the read timeout covers the wait it asks for."""
        import httpx2

        timeout = httpx2.Timeout(
            self.timeout_seconds, connect=_CONNECT_SECONDS, read=call.wait_seconds + self.timeout_seconds
        )
        return build.build_request(
            call.method,
            self.url + call.path,
            params=dict(call.params),
            json=call.body,
            headers=dict(call.headers),
            timeout=timeout,
        )

    def results(self, response: httpx2.Response) -> JsonValue:
        """Return an answer's `results`.

        Raises:
            ServiceError: Whatever the service or something before it answered instead.
        """
        content_type = response.headers.get("content-type", "")
        return results_of(response.status_code, content_type, response.content, url=self.url)

    def unreachable(self, error: httpx2.HTTPError, *, at: str | None = None) -> ServiceUnreachableError:
        """Return what to tell a person about a request that brought no answer; `at` when it went somewhere else."""
        import httpx2

        if isinstance(error, httpx2.ConnectTimeout | httpx2.ConnectError):
            reason = "cannot be reached"
        elif isinstance(error, httpx2.TimeoutException):
            reason = f"did not answer within {self.timeout_seconds:g} seconds"
        else:
            reason = "broke off the connection"
        cause = str(error) or type(error).__name__
        if at is not None and at != self.url:
            text = (
                f"The object store at {at} {reason} ({cause}). If clients cannot reach it, set"
                " QUERYFLEET_STORE_LINKS_URL of the service."
            )
            return ServiceUnreachableError(text, url=at)
        text = f"The service at {self.url} {reason} ({cause}). Check that it runs and that the address is right."
        return ServiceUnreachableError(text, url=self.url)


class Retries:
    """Counts the failures of one call and says how long to pause after each.

    Args:
        policy: How long to repeat.
        is_first_contact: The service has not answered this client before.
    """

    def __init__(self, policy: RetryPolicy, *, is_first_contact: bool) -> None:
        self._policy = policy
        self._is_first_contact = is_first_contact
        self._failures = 0
        self._first_at: float | None = None

    def pause(self, error: ServiceError, response: httpx2.Response | None) -> float:
        """Return the seconds to wait before trying again.

        Raises:
            ServiceError: `error`, when trying again is of no use or out of time.
        """
        now = time.monotonic()
        self._first_at = now if self._first_at is None else self._first_at
        self._failures += 1
        self._is_first_contact = self._is_first_contact and response is None
        pause = self._policy.pause_seconds(
            failures=self._failures,
            elapsed_seconds=now - self._first_at,
            jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
            is_first_contact=self._is_first_contact,
            status=None if response is None else response.status_code,
            retry_after=None if response is None else response.headers.get("retry-after"),
        )
        if pause is None:
            raise error
        return pause
