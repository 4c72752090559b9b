"""Athena: a statement runs by itself under an id, and its result is a file in S3.

So a statement is cancelled by its id from anywhere, and a session that is lost is replaced by one that reads on, for
as long as the file is there. The file is read from S3 in ranges and not through Athena, which gives a thousand rows
a request; nor is it unloaded as Parquet, which keeps neither the order of the rows nor the text of the statement.
Where there is no such file, as for SHOW, or where Athena keeps results itself, its own pages are read.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, cast

from queryfleet.errors import WarehouseConnectionError
from queryfleet.warehouse.answers import entries, part
from queryfleet.warehouse.athena_csv import result_rows
from queryfleet.warehouse.athena_errors import AthenaFailure, error_code, explained
from queryfleet.warehouse.athena_service import AthenaClients
from queryfleet.warehouse.athena_types import TEXT_CAST, delivered, delivered_schema
from queryfleet.warehouse.columnar import changes, row_batch
from queryfleet.warehouse.driver_session import ResumableSession
from queryfleet.warehouse.installed import require_package
from queryfleet.warehouse.polled_link import PolledLink
from queryfleet.warehouse.statement import strip_terminator
from queryfleet.warehouse.tagging import tag_comment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from queryfleet.errors import JsonValue, WarehouseError
    from queryfleet.warehouse.athena_service import AthenaLogin, AthenaService
    from queryfleet.warehouse.base import Statement
    from queryfleet.warehouse.driver_session import DriverSession

__all__ = ["AthenaWarehouse"]

_CATALOG, _WORKGROUP = "AwsDataCatalog", "primary"
_RUNNING = frozenset({"QUEUED", "RUNNING"})
_COUNTED = frozenset({"CREATE_TABLE_AS_SELECT", "DELETE", "INSERT", "MERGE", "UPDATE"})  # no rows, but their number
_UNKNOWN = frozenset({"INVALID_INPUT", "InvalidRequestException", "QUERY_EXECUTION_NOT_FOUND"})
_PAGE_ROWS = 1_000
_LINES_BEFORE = 1  # a comment, which says who asks
_CHECK_SECONDS = 60.0  # that a process takes a workgroup and a database for good; Athena allows few such questions

_good_until: dict[tuple[AthenaLogin, str, str, str | None], float] = {}  # monotonic seconds


class AthenaWarehouse:
    """One database in one region, as one workgroup runs it."""

    def __init__(
        self,
        *,
        login: AthenaLogin,
        database: str | None = None,
        catalog: str | None = None,
        workgroup: str | None = None,
        output_location: str | None = None,
        statement_timeout_seconds: float | None = None,
    ) -> None:
        """Remember where Athena is; nothing is opened yet.

        Args:
            login: Where, and who asks.
            database: For names without one.
            catalog: For names without one; None: `AwsDataCatalog`.
            workgroup: Which runs and pays; None: `primary`.
            output_location: `s3://bucket/prefix/` of the results; None: the workgroup's.
            statement_timeout_seconds: We stop a statement after this long; None: only Athena's own limit.

        Raises:
            ConfigurationError: The driver is not installed.
        """
        require_package("botocore", kind="athena")
        self._driver = _Driver(
            login,
            database=database,
            catalog=catalog or _CATALOG,
            workgroup=workgroup or _WORKGROUP,
            output_location=output_location,
            timeout_seconds=statement_timeout_seconds,
        )

    def __repr__(self) -> str:
        return f"AthenaWarehouse({self._driver.place})"

    def open(self) -> DriverSession:
        """Return a session; its statement begins with a comment that has the query's tag."""
        return ResumableSession(self._driver)

    def stop(self, query_id: str) -> bool:
        """Cancel a statement by its id; raises like `connect`. False when there is none that runs."""
        try:
            service = self._driver.clients.connect()
            try:
                if _state_of(service.execution(query_id)) not in _RUNNING:
                    return False
                service.stop(query_id)
            finally:
                service.close()
        except self._driver.errors() as error:
            if error_code(error) in _UNKNOWN:
                return False
            raise self._driver.explained(error, statement=None, query_id=query_id) from error
        return True

    def ping(self) -> str:
        """Run a statement that reads nothing, read its result, return `Athena` and the engine's version.

        Raises like `submit`. Cost: one or two seconds; what reads no data is free.
        """
        try:
            link = self._driver.connect()
            try:
                link.first_value("select 1")
                return f"Athena {link.engine_version()}"
            finally:
                link.stop()
                link.close()
        except self._driver.errors() as error:
            raise self._driver.explained(error, statement=None, query_id=None) from error


class _Driver:
    """How to reach one workgroup; see `Driver`."""

    dialect = "athena"
    text_cast = TEXT_CAST

    def __init__(
        self,
        login: AthenaLogin,
        *,
        database: str | None,
        catalog: str,
        workgroup: str,
        output_location: str | None,
        timeout_seconds: float | None,
    ) -> None:
        self.clients, self._login = AthenaClients(login), login
        self.database, self.catalog, self.workgroup = database, catalog, workgroup
        self.output_location, self.timeout_seconds = output_location, timeout_seconds
        self.place = f"{login.region}/{workgroup}/{database or ''}"

    def errors(self) -> tuple[type[Exception], ...]:
        from botocore.exceptions import BotoCoreError, ClientError

        return AthenaFailure, BotoCoreError, ClientError, OSError

    def connect(self) -> _Link:
        """Look up workgroup and database, unless this process has just done so. That costs nothing."""
        service = self.clients.connect()
        try:
            self._check(service)
        except BaseException:
            service.close()
            raise
        return _Link(self, service)

    def _check(self, service: AthenaService) -> None:
        key = (self._login, self.workgroup, self.catalog, self.database)
        if time.monotonic() < _good_until.get(key, 0.0):
            return
        if service.workgroup(self.workgroup).get("State") == "DISABLED":
            raise WarehouseConnectionError(
                f"Athena's workgroup {self.workgroup} is disabled. Check `workgroup` of the project's warehouse.",
                transient=False,
            )
        if self.database is not None:
            service.check_database(self.catalog, self.database)
        _good_until[key] = time.monotonic() + _CHECK_SECONDS

    def explained(self, error: Exception, *, statement: Statement | None, query_id: str | None) -> WarehouseError:
        return explained(
            error,
            place=self.place,
            sql=None if statement is None else statement.sql,
            lines_before=_LINES_BEFORE,
            secrets=self._login.secrets,
            query_id=query_id,
        )


class _Link(PolledLink):
    """The requests of one statement."""

    def __init__(self, driver: _Driver, service: AthenaService) -> None:
        super().__init__("Athena", timeout_seconds=driver.timeout_seconds)
        self._driver, self._service = driver, service
        self._execution: Mapping[str, JsonValue] = {}  # as Athena said last
        self._first_of_result = 0
        self._counted: list[tuple[int]] | None = None  # of a statement without rows
        self._delivered: pa.Schema | None = None

    def _start(self, statement: Statement) -> str:
        driver = self._driver
        sql = strip_terminator(statement.sql, dialect=driver.dialect)
        context: dict[str, JsonValue] = {"Catalog": driver.catalog}
        if driver.database is not None:
            context["Database"] = driver.database
        request: dict[str, JsonValue] = {
            # Some statements of Athena's take no other form of comment.
            "QueryString": f"-- {tag_comment(statement.tag)}\n{sql}",
            # A request that is sent again with the same token starts nothing again.
            "ClientRequestToken": f"queryfleet-{statement.tag.query_uuid}-{secrets.token_hex(16)}",
            "QueryExecutionContext": context,
            "WorkGroup": driver.workgroup,
        }
        if driver.output_location is not None:
            request["ResultConfiguration"] = {"OutputLocation": driver.output_location}
        return self._service.start(request)

    def _is_done(self, query_id: str) -> bool:
        self._execution = self._service.execution(query_id)
        state = _state_of(self._execution)
        if state in _RUNNING:
            return False
        if state != "SUCCEEDED":
            raise _failure(self._execution)
        return True

    def _is_good(self, query_id: str) -> bool:
        try:
            execution = self._service.execution(query_id)
        except self._driver.errors() as error:
            if error_code(error) in _UNKNOWN:
                return False
            raise
        state = _state_of(execution)
        file = _result_file(execution)
        return state in _RUNNING or (state == "SUCCEEDED" and (file is None or self._service.exists(file)))

    def _abort(self, query_id: str) -> None:
        self._service.stop(query_id)

    def _result(self, query_id: str, first_row: int) -> pa.Schema:
        page = next(iter(self._service.results(query_id, max_rows=1)))
        columns = entries(part(part(page, "ResultSet"), "ResultSetMetadata"), "ColumnInfo")
        self._first_of_result = first_row
        if self._execution.get("SubstatementType") in _COUNTED or not columns:
            count = page.get("UpdateCount")
            _, self._delivered, counted = changes(count if isinstance(count, int) and columns else -1)
            self._counted = counted[first_row:]
        else:
            self._delivered = delivered_schema(columns)
        return self._delivered

    def _pieces(self) -> Iterator[pa.RecordBatch]:
        schema = self._delivered
        assert schema is not None  # noqa: S101 - `_result` made it
        if self._counted is not None:
            if self._counted:
                columns, schema, rows = changes(self._counted[0][0])
                yield row_batch(rows, columns, schema, text_cast=TEXT_CAST)
            return
        file = _result_file(self._execution)
        if file is None:
            yield from self._pages(schema)
            return
        tables = result_rows(
            lambda start, end: self._service.read(file, start, end),
            self._calls,
            columns=len(schema),
            first_row=self._first_of_result,
        )
        for table in tables:
            yield delivered(table, schema)

    def _pages(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the result as Athena's own pages have it: of a query the first row is a header."""
        import pyarrow as pa

        kinds = {self._execution.get("StatementType"), self._execution.get("SubstatementType")}
        skip = self._first_of_result + (1 if kinds & {"DML", "SHOW_FUNCTIONS"} else 0)
        pages = iter(self._service.results(self._id(), max_rows=_PAGE_ROWS))
        while (page := self._calls.run(lambda: next(pages, None))) is not None:
            rows = [_values(row, len(schema)) for row in entries(part(page, "ResultSet"), "Rows")]
            passed = min(skip, len(rows))
            skip -= passed
            if len(rows) > passed:
                turned = [pa.array(values, pa.string()) for values in zip(*rows[passed:], strict=True)]
                texts = pa.Table.from_arrays(turned, names=[str(number) for number in range(len(schema))])
                yield delivered(texts, schema)

    def engine_version(self) -> str:
        """Return the version of the engine that ran the statement, such as `3`."""
        version = str(part(self._execution, "EngineVersion").get("EffectiveEngineVersion") or "")
        return version.rpartition(" ")[2] or "?"

    def _disconnect(self) -> None:
        self._service.close()


def _result_file(execution: Mapping[str, JsonValue]) -> str | None:
    """Return where the rows are as CSV, None where they are not."""
    location = str(part(execution, "ResultConfiguration").get("OutputLocation") or "")
    return location if location.endswith(".csv") and execution.get("SubstatementType") not in _COUNTED else None


def _failure(execution: Mapping[str, JsonValue]) -> AthenaFailure:
    status = part(execution, "Status")
    error = part(status, "AthenaError")
    reason = str(status.get("StateChangeReason") or error.get("ErrorMessage") or "")
    if _state_of(execution) == "CANCELLED":
        return AthenaFailure(reason or "The statement was cancelled in Athena.")
    category, kind = error.get("ErrorCategory"), error.get("ErrorType")
    return AthenaFailure(
        reason or "The statement failed; Athena does not say why.",
        category=category if isinstance(category, int) else 0,
        kind=kind if isinstance(kind, int) else None,
        retryable=error.get("Retryable") is True,
    )


def _values(row: Mapping[str, JsonValue], count: int) -> list[str | None]:
    """Return the values of a row; where Athena puts all of them into one, they are separated by tabs."""
    values = [cast("str | None", value.get("VarCharValue")) for value in entries(row, "Data")]
    if len(values) == 1 < count and values[0] is not None:
        values = list(values[0].split("\t", count - 1))
    return [*values, *[None] * (count - len(values))]


def _state_of(execution: Mapping[str, JsonValue]) -> str:
    return str(part(execution, "Status").get("State"))
