"""The client, with its requests carried by Ray instead of HTTP."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from queryfleet.client.blocking.client import Client
from queryfleet.client.carried import CarryingTransport
from queryfleet.ray.query import RayQuery
from queryfleet.ray.rows import RayRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from queryfleet.client.blocking.query import Query
    from queryfleet.client.retry import RetryPolicy
    from queryfleet.ray.door import Door, ServeHandle

__all__ = ["RayClient"]

P = ParamSpec("P")


def _like(
    method: Callable[Concatenate[Client, P], Query],
) -> Callable[[Callable[..., object]], Callable[Concatenate[RayClient, P], RayQuery]]:
    """Stand for a method of `Client`, with its arguments and its description, that gives a query of Ray."""

    @wraps(method)
    def call(self: RayClient, /, *args: P.args, **kwargs: P.kwargs) -> RayQuery:
        return self.in_ray(method(self, *args, **kwargs))

    return lambda _: call


class RayClient(Client):
    """`Client`, through Ray; made by `connect`. Its queries also have `refs` and `to_dataset`."""

    def __init__(
        self, door: Door, *, token: str, project: str | None, retry: RetryPolicy | None, timeout_seconds: float
    ) -> None:
        super().__init__(
            f"http://{door.application}.ray.internal",  # a name for messages and links; nothing looks it up
            token=token,
            project=project,
            retry=retry,
            timeout_seconds=timeout_seconds,
            transport=CarryingTransport(door.carry),
        )
        self._door = door

    @property
    def handle(self) -> ServeHandle:
        """The Serve handle by which requests go."""
        return self._door.handle

    def in_ray(self, query: Query) -> RayQuery:
        """Return a query of this client as one of Ray; asks nobody."""
        rows = RayRows(
            self._door,
            self._wire.session.headers["Authorization"],
            send=self._wire.send,
            project_uuid=query.project_uuid,
            query_uuid=query.query_uuid,
        )
        return RayQuery(query, rows)

    @_like(Client.sql)
    def sql(self) -> None:
        """See `Client.sql`."""

    @_like(Client.query)
    def query(self) -> None:
        """See `Client.query`."""

    @_like(Client.chart)
    def chart(self) -> None:
        """See `Client.chart`."""

    @_like(Client.sql_chart)
    def sql_chart(self) -> None:
        """See `Client.sql_chart`."""

    @_like(Client.dashboard_chart)
    def dashboard_chart(self) -> None:
        """See `Client.dashboard_chart`."""

    @_like(Client.underlying_data)
    def underlying_data(self) -> None:
        """See `Client.underlying_data`."""

    @_like(Client.total)
    def total(self) -> None:
        """See `Client.total`."""

    @_like(Client.attach)
    def attach(self) -> None:
        """See `Client.attach`."""
