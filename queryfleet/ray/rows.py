"""The rows of a query as objects of Ray: references to tables, or a dataset."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from queryfleet.errors import ConfigurationError, NotSupportedError, ParameterError
from queryfleet.ray.reading import GROUP_BYTES, ChunkGroup, grouped, read_group, read_index

if TYPE_CHECKING:
    from collections.abc import Callable

    from ray import ObjectRef
    from ray.data import Dataset

    from queryfleet.client.calls import Call
    from queryfleet.errors import JsonValue
    from queryfleet.ray.door import Door

__all__ = ["RayRows", "is_ray_client"]

_READ_RETRIES = 3  # of a group whose worker or node is lost


class RayRows:
    """Reads one result by tasks on the cluster.

    Args:
        door: To the service.
        authorization: The header with the caller's token; it does not leave this process but to a replica.
        send: Sends a call of the client and returns its `results`.
        project_uuid: The query's project.
        query_uuid: Which may still run.
    """

    def __init__(
        self, door: Door, authorization: str, *, send: Callable[[Call], JsonValue], project_uuid: str, query_uuid: str
    ) -> None:
        self._door = door
        self._authorization = authorization
        self._send = send
        self._project_uuid = project_uuid
        self._query_uuid = query_uuid

    def refs(self, *, group_bytes: int = GROUP_BYTES) -> list[ObjectRef]:
        """Wait for the end of the query and have its rows read; see `RayQuery.refs`."""
        import ray

        if group_bytes < 1:
            raise ParameterError(f"group_bytes is {group_bytes}; it must be at least 1.")
        whole = self._whole()
        task = ray.remote(read_group).options(
            num_cpus=1, max_retries=_READ_RETRIES, scheduling_strategy="SPREAD", name="queryfleet_read"
        )
        return [task.remote(replace(whole, chunks=each)) for each in grouped(whole.chunks, group_bytes=group_bytes)]

    def to_dataset(self) -> Dataset:
        """Wait for the end of the query and return its rows as a `ray.data.Dataset`; see `RayQuery.to_dataset`."""
        if is_ray_client():
            raise NotSupportedError(
                "Ray Data does not work over ray://. Run this in a Ray job (`ray job submit`) or in a task "
                "(`ray.remote`), where queryfleet.ray.connect works the same way; or take refs() or to_arrow() here."
            )
        try:
            import ray.data
        except ImportError as error:
            raise ConfigurationError(
                f"Ray Data cannot be used here ({error}): pip install 'queryfleet[ray]', on every node too."
            ) from error
        from queryfleet.ray.datasource import ResultDatasource

        return ray.data.read_datasource(ResultDatasource(self._whole()))

    def _whole(self) -> ChunkGroup:
        index = read_index(self._send, self._project_uuid, self._query_uuid)
        return ChunkGroup(
            application=self._door.application,
            grant=self._door.grant(self._authorization, self._project_uuid, self._query_uuid),
            arrow_schema=index.arrow_schema,
            chunks=index.chunks,
        )


def is_ray_client() -> bool:
    """Tell whether this process is connected by `ray://`, so that its Ray calls are carried out elsewhere."""
    from ray.util.client import ray as client

    return bool(client.is_connected())
