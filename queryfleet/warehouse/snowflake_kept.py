"""Results that Snowflake keeps, read again by the id of their statement: for a day, by the user who ran it."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from queryfleet.errors import ResultsExpiredError, WarehouseConnectionError
from queryfleet.warehouse.background import BackgroundCalls
from queryfleet.warehouse.snowflake_connector import connect, stored_result
from queryfleet.warehouse.snowflake_errors import connection_error, query_error
from queryfleet.warehouse.snowflake_types import ResultPlan
from queryfleet.warehouse.stored_result import partitions_of

if TYPE_CHECKING:
    import pyarrow as pa
    from snowflake.connector import SnowflakeConnection

    from queryfleet.warehouse.snowflake_connector import Login
    from queryfleet.warehouse.stored_result import StoredPartition

__all__ = ["SnowflakeKeptRows"]

_CLOSE_SECONDS = 2.0  # that logging out may take before it is left to itself


class SnowflakeKeptRows:
    """Reads results on one login; see `KeptRows`.

    Args:
        login: Where, and who asks.
    """

    def __init__(self, login: Login) -> None:
        self._login = login
        self._lock = threading.Lock()  # held while logging in
        self._connection: SnowflakeConnection | None = None

    def pieces(self, query_id: str, schema: pa.Schema) -> tuple[StoredPartition, ...]:
        """Return the pieces of a result; see `KeptRows`."""
        from snowflake.connector.errors import Error

        target, secrets = str(self._login), self._login.secrets
        try:
            connection = self._connected()
        except (Error, OSError) as error:
            raise connection_error(error, target=target, secrets=secrets) from error
        try:
            result = stored_result(connection, query_id)
        except (Error, OSError) as error:
            failure = query_error(error, sql="", target=target, secrets=secrets, query_id=query_id)
            if isinstance(failure, WarehouseConnectionError):
                raise failure from error
            # Whatever a statement that has succeeded is refused with: it is not there any more, or not for this user.
            raise ResultsExpiredError(
                "Snowflake keeps the rows of this query no more, or not for the user it is asked as; run it again.",
                cause=failure.message,
                warehouseQueryId=query_id,
            ) from error
        return partitions_of(result, ResultPlan(schema), first_row=0, end_row=None)

    def _connected(self) -> SnowflakeConnection:
        with self._lock:
            if self._connection is None:
                self._connection = connect(self._login)
            return self._connection

    def close(self) -> None:
        """Log out; a server that is away is not waited for."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                BackgroundCalls("snowflake-close").start(connection.close).result(timeout=_CLOSE_SECONDS)
