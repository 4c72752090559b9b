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


def _by_ray(method: Callable[Concatenate[Client, P], Query]) -> Callable[Concatenate[RayClient, P], RayQuery]:
    """Return a method of the client that gives queries of Ray."""

    @wraps(method)
    def call(self: RayClient, /, *args: P.args, **kwargs: P.kwargs) -> RayQuery:
        return self.in_ray(method(self, *args, **kwargs))

    return call


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

    sql = _by_ray(Client.sql)
    query = _by_ray(Client.query)
    chart = _by_ray(Client.chart)
    sql_chart = _by_ray(Client.sql_chart)
    dashboard_chart = _by_ray(Client.dashboard_chart)
    underlying_data = _by_ray(Client.underlying_data)
    total = _by_ray(Client.total)
    attach = _by_ray(Client.attach)
