"""The service that a command asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queryfleet.client import Client, RetryPolicy
    from queryfleet.client.connection import Connection

__all__ = ["Service"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Makes the clients of one command. Commands show progress and cancel by themselves."""

    place: Connection

    def client(self, *, retry: RetryPolicy | None = None, timeout_seconds: float = 30.0) -> Client:
        """Return a new client; the caller closes it."""
        from queryfleet.client import Client

        return Client(
            self.place.url,
            token=self.place.token,
            project=self.place.project,
            retry=retry,
            timeout_seconds=timeout_seconds,
            progress=False,
            cancel_on_interrupt=False,
        )
