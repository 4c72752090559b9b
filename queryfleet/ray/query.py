"""Queries and results that can also be had as objects of Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.client.blocking.query import Query
from queryfleet.client.blocking.result import Result
from queryfleet.ray.reading import GROUP_BYTES

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.data import Dataset

    from queryfleet.ray.rows import RayRows

__all__ = ["RayQuery", "RayResult"]


class _InRay:
    """What a query and its result have in common here."""

    _rows: RayRows

    def refs(self, *, group_bytes: int = GROUP_BYTES) -> list[ObjectRef]:
        """Wait for the end of the query and have its rows read by Ray tasks, spread over the nodes.

        Args:
            group_bytes: Stored bytes that one task reads, at least one chunk.

        Returns:
            A reference to a `pyarrow.Table` for each group of adjacent chunks, in the order of the rows; one at least,
            with the columns also when there are no rows. `ray.get` of one that failed raises the error itself. A group
            whose worker or node is lost is read again, three times at most. Bytes and rows are checked.

        Raises:
            ParameterError: `group_bytes` is less than 1.
            QueryCancelledError: The query was cancelled.
            ServiceError: The query failed, or the service refuses; the class says why.
        """
        return self._rows.refs(group_bytes=group_bytes)

    def to_dataset(self) -> Dataset:
        """Wait for the end of the query and return its rows as a dataset of Ray Data, in a job, task or driver.

        Its read tasks read the stored chunks on all nodes at the same time; nothing is read before it is used, which
        should be within an hour. Its rows are ordered only if `DataContext` asks for that, as with every dataset.

        Raises:
            NotSupportedError: This process is connected by `ray://`, where Ray Data does not work.
            ConfigurationError: Ray Data is not installed.
            QueryCancelledError: The query was cancelled.
            ServiceError: The query failed, or the service refuses; the class says why.
        """
        return self._rows.to_dataset()


class RayResult(_InRay, Result):
    """The rows of a query that is ready; see `Result`."""

    def __init__(self, found: Result, rows: RayRows) -> None:
        vars(self).update(vars(found))
        self._rows = rows


class RayQuery(_InRay, Query):
    """One query; see `Query`."""

    def __init__(self, started: Query, rows: RayRows) -> None:
        vars(self).update(vars(started))
        self._rows = rows

    def result(self, timeout: float | None = None, *, at_once: int = 4) -> RayResult:
        """Wait until it is ready and return its rows; see `Query.result`."""
        return RayResult(super().result(timeout, at_once=at_once), self._rows)
