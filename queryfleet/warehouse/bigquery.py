"""BigQuery: a statement is a job with an id of our own; its result stays in BigQuery for a day.

So a job is cancelled by its id from anywhere, and a session that is lost can be replaced by one that reads on. A
small result is read page by page over REST, as the client makes Arrow of it; a larger one through the Storage Read API.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from queryfleet.errors import ConfigurationError, WarehouseQueryError
from queryfleet.warehouse.background import BackgroundCalls
from queryfleet.warehouse.bigquery_errors import explained
from queryfleet.warehouse.bigquery_storage import stored_rows
from queryfleet.warehouse.bigquery_types import TEXT_CAST, delivered, delivered_schema
from queryfleet.warehouse.columnar import changes, row_batch
from queryfleet.warehouse.driver_session import ResumableSession
from queryfleet.warehouse.installed import require_package
from queryfleet.warehouse.statement import strip_terminator
from queryfleet.warehouse.tagging import tag_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from google.cloud.bigquery import Client, QueryJob
    from google.cloud.bigquery.table import RowIterator, TableReference

    from queryfleet.errors import WarehouseError
    from queryfleet.warehouse.base import Statement
    from queryfleet.warehouse.bigquery_storage import StoredRows
    from queryfleet.warehouse.driver_session import DriverSession

__all__ = ["BigQueryWarehouse"]

_PAGE_ROWS = 10_000  # which the client holds as objects; BigQuery ends a page after 10 MB in any case
_REST_ROWS = 10_000  # that are read over REST at most: one page, without asking for more than is there already
_ANSWER_SECONDS = 60.0
_RETRY_SECONDS = 30.0  # that reading goes on over a connection that breaks


class BigQueryWarehouse:
    """One BigQuery project."""

    def __init__(
        self,
        *,
        project: str,
        location: str | None = None,
        dataset: str | None = None,
        credentials_path: str | None = None,
        maximum_bytes_billed: int | None = None,
        api_endpoint: str | None = None,
        storage_endpoint: str | None = None,
        statement_timeout_seconds: float | None = None,
    ) -> None:
        """Remember where the project is; nothing is opened yet.

        Args:
            project: That runs and pays for the jobs.
            location: Where they run, such as `EU`; None: where their data are.
            dataset: For table names without one.
            credentials_path: A service account's key file; None: Google's application default credentials.
            maximum_bytes_billed: BigQuery refuses a statement that would read more; None: its own limit.
            api_endpoint: Another address than Google's public one.
            storage_endpoint: Another address of the Storage Read API, which is not used with another `api_endpoint`
                alone.
            statement_timeout_seconds: BigQuery stops a job after this long; None: its own limit.

        Raises:
            ConfigurationError: The driver is not installed.
        """
        require_package("google.cloud.bigquery", kind="bigquery")
        self._driver = _Driver(
            project=project,
            location=location,
            dataset=dataset,
            credentials_path=credentials_path,
            maximum_bytes_billed=maximum_bytes_billed,
            api_endpoint=api_endpoint,
            storage_endpoint=storage_endpoint,
            timeout_seconds=statement_timeout_seconds,
        )

    def __repr__(self) -> str:
        return f"BigQueryWarehouse({self._driver.place})"

    def open(self) -> DriverSession:
        """Return a session; its job has the query's tag as labels, and the query's uuid in its id."""
        return ResumableSession(self._driver)

    def stop(self, query_id: str) -> bool:
        """Cancel a job by its id; raises like `connect`. False when there is none that runs."""
        from google.api_core.exceptions import NotFound

        try:
            client = self._driver.client()
            try:
                if client.get_job(query_id, timeout=_ANSWER_SECONDS).state == "DONE":
                    return False
                client.cancel_job(query_id, timeout=_ANSWER_SECONDS)
            finally:
                client.close()
        except NotFound:
            return False
        except self._driver.errors() as error:
            raise self._driver.explained(error, statement=None, query_id=query_id) from error
        return True

    def ping(self) -> str:
        """Run a trivial statement and return `BigQuery` and its interface's version; raises like `submit`."""
        try:
            client = self._driver.client()
            try:
                list(client.query("select 1", timeout=_ANSWER_SECONDS).result(timeout=_ANSWER_SECONDS))
            finally:
                client.close()
        except self._driver.errors() as error:
            raise self._driver.explained(error, statement=None, query_id=None) from error
        return "BigQuery 2"


class _Driver:
    """How to reach one project."""

    dialect = "bigquery"
    text_cast = TEXT_CAST

    def __init__(
        self,
        *,
        project: str,
        location: str | None,
        dataset: str | None,
        credentials_path: str | None,
        maximum_bytes_billed: int | None,
        api_endpoint: str | None,
        storage_endpoint: str | None,
        timeout_seconds: float | None,
    ) -> None:
        self._project, self._location, self._dataset = project, location, dataset
        self._credentials_path, self._api_endpoint = credentials_path, api_endpoint
        self._storage_endpoint = storage_endpoint
        self.maximum_bytes_billed, self.timeout_seconds = maximum_bytes_billed, timeout_seconds
        self.place = f"{project}{f' ({location})' if location else ''}"

    def client(self) -> Client:
        """Return a client; it logs in with its first request."""
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud import bigquery
        from google.oauth2 import service_account

        credentials = None
        if self._credentials_path is not None:
            try:
                credentials = service_account.Credentials.from_service_account_file(
                    self._credentials_path, scopes=["https://www.googleapis.com/auth/bigquery"]
                )
            except (OSError, ValueError):
                raise ConfigurationError(
                    f"`credentials_path` names no service account's key file: {self._credentials_path}.",
                    field="warehouse.credentials_path",
                ) from None
        config = bigquery.QueryJobConfig(use_legacy_sql=False)
        if self._dataset is not None:
            config.default_dataset = bigquery.DatasetReference(self._project, self._dataset)
        try:
            return bigquery.Client(
                project=self._project,
                location=self._location,
                credentials=credentials,
                default_query_job_config=config,
                client_options={"api_endpoint": self._api_endpoint} if self._api_endpoint else None,
            )
        except DefaultCredentialsError as error:
            raise ConfigurationError(
                f"There are no credentials for BigQuery: set `credentials_path`, or give the processes that run "
                f"queries Google's application default credentials. {error}",
                field="warehouse.credentials_path",
            ) from None

    def errors(self) -> tuple[type[Exception], ...]:
        """Return what the client raises."""
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError

        return GoogleAPIError, GoogleAuthError, OSError

    def connect(self) -> _Link:
        """Ask for nothing that costs anything, which logs in."""
        client = self.client()
        try:
            client.get_service_account_email(timeout=_ANSWER_SECONDS)
        except BaseException:
            client.close()
            raise
        return _Link(self, client)

    def stored_rows(self, client: Client, table: TableReference, *, first_row: int) -> StoredRows | None:
        """Prepare to read a result through the Storage Read API; None where that is not possible."""
        if self._api_endpoint is not None and self._storage_endpoint is None:
            return None
        return stored_rows(
            client._credentials,  # noqa: SLF001 - the client shows them nowhere
            table,
            project=self._project,
            endpoint=self._storage_endpoint,
            first_row=first_row,
        )

    def explained(self, error: Exception, *, statement: Statement | None, query_id: str | None) -> WarehouseError:
        """Make our error of one of the client."""
        return explained(error, place=self.place, sql=None if statement is None else statement.sql, query_id=query_id)


class _Link:
    """A client, used for one job."""

    def __init__(self, driver: _Driver, client: Client) -> None:
        self._driver, self._client = driver, client
        self._calls = BackgroundCalls("bigquery")
        self._left = False  # to somebody else, with the job
        self._statement: Statement | None = None
        self._job_id = ""
        self._job: QueryJob | None = None
        self._first_row = 0
        self._rows: RowIterator | None = None
        self._stored: StoredRows | None = None
        self._counted: list[tuple[int]] = []  # of a statement without columns
        self._schema: pa.Schema | None = None

    def introduce(self, statement: Statement) -> None:
        """Choose the job's id, by which it can be cancelled before BigQuery has answered."""
        self._job_id = f"queryfleet_{statement.tag.query_uuid}_{statement.tag.attempt}_{secrets.token_hex(4)}"

    def submit(self, statement: Statement) -> str:
        """Create the job and return its id, with its location."""
        from google.cloud import bigquery

        self._statement = statement
        config = bigquery.QueryJobConfig(labels=tag_labels(statement.tag))
        if self._driver.maximum_bytes_billed is not None:
            config.maximum_bytes_billed = self._driver.maximum_bytes_billed
        if self._driver.timeout_seconds is not None:
            config.job_timeout_ms = round(self._driver.timeout_seconds * 1000)
        self._job = self._client.query(
            strip_terminator(statement.sql, dialect="bigquery"),
            job_id=self._job_id,
            job_config=config,
            retry=None,  # a job is created once: its id is taken then
            job_retry=None,
            timeout=_ANSWER_SECONDS,
        )
        return self._job_id

    def attach(self, statement: Statement, query_id: str, *, first_row: int) -> bool:
        """Take over a job that did not fail."""
        from google.api_core.exceptions import NotFound

        try:
            job = self._client.get_job(query_id, timeout=_ANSWER_SECONDS)
        except NotFound:
            return False
        if job.job_type != "query" or job.error_result is not None:
            return False
        self._statement, self._job_id, self._first_row = statement, query_id, first_row
        self._job = job
        return True

    def schema(self) -> pa.Schema:
        """Wait until the job is done: BigQuery has no rows before."""
        from google.cloud.bigquery.retry import DEFAULT_RETRY

        if self._job is None or self._statement is None:
            raise WarehouseQueryError("No statement was submitted to this session.")
        job, limit = self._job, self._statement.row_limit
        rows = self._calls.run(
            lambda: job.result(
                retry=DEFAULT_RETRY.with_timeout(_RETRY_SECONDS),
                page_size=_PAGE_ROWS,
                start_index=self._first_row or None,
                max_results=None if limit is None else max(limit - self._first_row, 1),
                job_retry=None,
            )
        )
        if not rows.schema:
            _, self._schema, self._counted = changes(
                -1 if rows.num_dml_affected_rows is None else rows.num_dml_affected_rows
            )
            return self._schema
        self._schema = delivered_schema(rows.schema)
        self._rows = rows
        wanted = (rows.total_rows or 0) - self._first_row
        table = job.destination
        if table is not None and min(wanted, wanted if limit is None else limit - self._first_row) > _REST_ROWS:
            self._stored = self._calls.run(
                lambda: self._driver.stored_rows(self._client, table, first_row=self._first_row)
            )
        return self._schema

    def pieces(self) -> Iterator[pa.RecordBatch]:
        """Yield each page as a batch."""
        if self._counted and self._schema is not None:
            columns, schema, rows = changes(self._counted[0][0])
            yield row_batch(rows, columns, schema, text_cast=TEXT_CAST)
        if self._rows is None or self._schema is None:
            return
        if self._stored is not None:
            batches = self._stored.batches(row_count=self._rows.total_rows)
        else:
            batches = self._rows.to_arrow_iterable()
        for batch in batches:
            if batch.num_rows:
                yield delivered(batch, self._schema)

    def stop(self) -> bool:
        """Cancel the job by its id, and the reading of its result. False: BigQuery has no such job, perhaps not yet."""
        from google.api_core.exceptions import NotFound

        if self._left:
            return True
        if self._stored is not None:
            self._stored.close()
        if not self._job_id:
            return False
        try:
            self._client.cancel_job(self._job_id, timeout=_ANSWER_SECONDS)
        except NotFound:
            return False
        return True

    def leave(self) -> None:
        """Let whoever waits for the job go; the job runs on."""
        self._left = True
        self._calls.stop()

    def close(self) -> None:
        """Close the client's connections; the job's result stays in BigQuery."""
        if self._stored is not None:
            self._stored.close()
        self._client.close()
