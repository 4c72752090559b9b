"""Databricks: a SQL warehouse, by the SQL Statement Execution interface.

A statement is posted and has an id at once; it runs by itself, and its result stays for hours, in pieces that are
fetched from cloud storage as Arrow. So it is cancelled by its id from anywhere, and a session that is lost is replaced
by one that reads on. Links to pieces live for minutes: each is asked for just before its piece is fetched.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from queryfleet.errors import ConfigurationError
from queryfleet.warehouse.databricks_api import DatabricksApi, DatabricksFailure
from queryfleet.warehouse.databricks_errors import explained
from queryfleet.warehouse.databricks_result import STATEMENTS, failure, state_of, stored_statement, with_links
from queryfleet.warehouse.databricks_types import TEXT_CAST, DatabricksPlan
from queryfleet.warehouse.driver_session import ResumableSession
from queryfleet.warehouse.polled_link import PolledLink
from queryfleet.warehouse.statement import strip_terminator
from queryfleet.warehouse.stored_result import ResultReader, partitions_of
from queryfleet.warehouse.tagging import tag_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from queryfleet.errors import JsonValue, WarehouseError
    from queryfleet.warehouse.base import Statement
    from queryfleet.warehouse.databricks_api import DatabricksLogin
    from queryfleet.warehouse.databricks_result import StoredStatement
    from queryfleet.warehouse.stored_result import StoredPartition

__all__ = ["DatabricksSession", "DatabricksWarehouse"]

_HTTP_PATH = re.compile(r"/?sql/1\.0/(?:warehouses|endpoints)/([A-Za-z0-9_-]+)/?")
_RUNNING = frozenset({"PENDING", "RUNNING"})
_DONE, _CLOSED = "SUCCEEDED", "CLOSED"
_GONE = frozenset({"DELETED", "DELETING"})
_NOT_FOUND = frozenset({400, 404})  # 400 for what is no id at all
_LINK_SECONDS = 12 * 3600.0  # a result is kept so long; the links to its pieces are asked for one by one


class DatabricksWarehouse:
    """One SQL warehouse of a Databricks workspace."""

    def __init__(
        self,
        *,
        login: DatabricksLogin,
        http_path: str,
        catalog: str | None = None,
        schema: str | None = None,
        statement_timeout_seconds: float | None = None,
    ) -> None:
        """Remember where the warehouse is; nothing is opened yet.

        Args:
            login: Where the workspace is, and who asks.
            http_path: Of the SQL warehouse, as its connection details show it: `/sql/1.0/warehouses/…`.
            catalog: For names without one.
            schema: For names without one.
            statement_timeout_seconds: We stop a statement after this long; None: only Databricks' own limit.

        Raises:
            ConfigurationError: `http_path` is no SQL warehouse's.
        """
        found = _HTTP_PATH.fullmatch(http_path)
        if found is None:
            raise ConfigurationError(
                f"`http_path` must be a SQL warehouse's, such as /sql/1.0/warehouses/1234567890abcdef, not "
                f"{http_path}: copy it from its connection details. Clusters for all purposes cannot be used.",
                field="warehouse.http_path",
            )
        self._driver = _Driver(login, found[1], catalog, schema, statement_timeout_seconds)

    def __repr__(self) -> str:
        return f"DatabricksWarehouse({self._driver.place})"

    def open(self) -> DatabricksSession:
        """Return a session; the query history shows its statement with the query's tag."""
        return DatabricksSession(self._driver)

    def stop(self, query_id: str) -> bool:
        """Cancel a statement by its id; raises like `connect`. False when there is none that runs."""
        api = DatabricksApi(self._driver.login)
        try:
            state = state_of(api.get(f"{STATEMENTS}/{query_id}"))
            if state not in _RUNNING:
                return False
            api.post(f"{STATEMENTS}/{query_id}/cancel", once=False)
        except DatabricksFailure as error:
            if error.status in _NOT_FOUND:
                return False
            raise self._driver.explained(error, statement=None, query_id=query_id) from error
        except self._driver.errors() as error:
            raise self._driver.explained(error, statement=None, query_id=query_id) from error
        finally:
            api.close()
        return True

    def ping(self) -> str:
        """Run a trivial statement and return `Databricks` and the warehouse's version; raises like `submit`.

        Cost: starts the SQL warehouse where it is stopped, which takes seconds to minutes.
        """
        try:
            link = self._driver.connect()
            try:
                version = link.first_value("select current_version().dbsql_version")
            finally:
                link.stop()
                link.close()
        except self._driver.errors() as error:
            raise self._driver.explained(error, statement=None, query_id=None) from error
        return f"Databricks {version or '?'}"


class DatabricksSession(ResumableSession):
    """One statement: submitted here, or by an earlier session."""

    def partitions(self, *, first_row: int, end_row: int | None = None) -> Sequence[StoredPartition]:
        """Return the pieces that hold these rows; see `PartitionedSession`."""
        self.schema()
        with self._inside() as link:
            return link.partitions(first_row, end_row) if isinstance(link, _Link) else ()


class _Driver:
    """How to reach one SQL warehouse; see `Driver`."""

    dialect = "databricks"
    text_cast = TEXT_CAST

    def __init__(
        self,
        login: DatabricksLogin,
        warehouse_id: str,
        catalog: str | None,
        schema: str | None,
        timeout_seconds: float | None,
    ) -> None:
        self.login, self.warehouse_id = login, warehouse_id
        self.catalog, self.schema, self.timeout_seconds = catalog, schema, timeout_seconds
        self.place = f"{login.url}/sql/1.0/warehouses/{warehouse_id}"

    def errors(self) -> tuple[type[Exception], ...]:
        import httpx2

        return DatabricksFailure, httpx2.HTTPError, OSError

    def connect(self) -> _Link:
        """Look the SQL warehouse up, which neither starts it nor costs anything."""
        api = DatabricksApi(self.login)
        try:
            state = api.get(f"/api/2.0/sql/warehouses/{self.warehouse_id}").get("state")
        except BaseException:
            api.close()
            raise
        if state in _GONE:
            api.close()
            raise DatabricksFailure("the SQL warehouse was deleted", status=404)
        return _Link(self, api)

    def explained(self, error: Exception, *, statement: Statement | None, query_id: str | None) -> WarehouseError:
        return explained(
            error,
            place=self.place,
            sql=None if statement is None else statement.sql,
            secrets=self.login.secrets,
            query_id=query_id,
        )


class _Link(PolledLink):
    """The requests of one statement."""

    def __init__(self, driver: _Driver, api: DatabricksApi) -> None:
        super().__init__("Databricks", timeout_seconds=driver.timeout_seconds)
        self._driver, self._api = driver, api
        self._row_limit: int | None = None
        self._last: Mapping[str, JsonValue] | None = None  # what was said of the statement when it was done
        self._reader: ResultReader[StoredStatement, DatabricksPlan] | None = None
        self._plan: DatabricksPlan | None = None

    def _start(self, statement: Statement) -> str:
        tags = [{"key": key, "value": value} for key, value in tag_labels(statement.tag).items()]
        body: dict[str, JsonValue] = {
            "warehouse_id": self._driver.warehouse_id,
            "statement": strip_terminator(statement.sql, dialect=self._driver.dialect),
            "disposition": "EXTERNAL_LINKS",
            "format": "ARROW_STREAM",
            "wait_timeout": "0s",
            "query_tags": cast("list[JsonValue]", tags),
        }
        if self._driver.catalog is not None:
            body["catalog"] = self._driver.catalog
        if self._driver.schema is not None:
            body["schema"] = self._driver.schema
        if statement.row_limit is not None:
            body["row_limit"] = max(1, statement.row_limit)
        self._row_limit = statement.row_limit
        return str(self._api.post(STATEMENTS, body, once=True)["statement_id"])

    def attach(self, statement: Statement, query_id: str, *, first_row: int) -> bool:
        self._row_limit = statement.row_limit
        return super().attach(statement, query_id, first_row=first_row)

    def _is_done(self, query_id: str) -> bool:
        answer = self._api.get(f"{STATEMENTS}/{query_id}")
        state = state_of(answer)
        if state in _RUNNING:
            return False
        if state != _DONE:
            raise failure(answer)
        self._last = answer
        return True

    def _is_good(self, query_id: str) -> bool:
        try:
            state = state_of(self._api.get(f"{STATEMENTS}/{query_id}"))
        except DatabricksFailure as error:
            if error.status in _NOT_FOUND:
                return False
            raise
        return state in _RUNNING or state == _DONE

    def _abort(self, query_id: str) -> None:
        self._api.post(f"{STATEMENTS}/{query_id}/cancel", once=False)

    def _result(self, query_id: str, first_row: int) -> pa.Schema:
        self._reader = ResultReader(
            lambda: self._stored(query_id),
            lambda result, _: DatabricksPlan.of(result.columns),
            self._calls,
            first_row=first_row,
            link_seconds=_LINK_SECONDS,
            needs_rows=False,
        )
        self._plan = self._reader.plan()
        return self._plan.schema

    def _pieces(self) -> Iterator[pa.RecordBatch]:
        assert self._reader is not None  # noqa: S101 - `_result` made both
        assert self._plan is not None  # noqa: S101
        return self._reader.pieces(self._plan)

    def partitions(self, first_row: int, end_row: int | None) -> tuple[StoredPartition, ...]:
        """Ask for the result once more and return its pieces, with fresh links to those that are wanted."""
        assert self._plan is not None  # noqa: S101 - `schema` made it
        plan, query_id = self._plan, self._id()
        stored = self._calls.run(lambda: self._stored(query_id))
        wanted = partitions_of(stored, plan, first_row=first_row, end_row=end_row)
        return self._calls.run(lambda: with_links(wanted))

    def _stored(self, query_id: str) -> StoredStatement:
        answer, self._last = self._last, None
        if answer is None:
            answer = self._api.get(f"{STATEMENTS}/{query_id}")
        return stored_statement(answer, self._api, query_id, row_limit=self._row_limit)

    def _disconnect(self) -> None:
        self._api.close()
