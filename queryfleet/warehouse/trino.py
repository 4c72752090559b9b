"""Trino: a statement is posted, its pages are fetched one after another, each turned into Arrow at once.

The requests are those of the `trino` client, below its cursors: so the query id is known as soon as Trino has
given it, and values are read by columns. A statement is stopped by `DELETE` of its id, from anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.errors import WarehouseConnectionError, WarehouseQueryError
from queryfleet.warehouse.driver_session import DriverSession
from queryfleet.warehouse.installed import require_package
from queryfleet.warehouse.shaping import unique_names
from queryfleet.warehouse.statement import strip_terminator
from queryfleet.warehouse.tagging import tag_json
from queryfleet.warehouse.trino_errors import explained
from queryfleet.warehouse.trino_types import TEXT_CAST, trino_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from trino.auth import Authentication
    from trino.client import TrinoRequest, TrinoStatus

    from queryfleet.errors import WarehouseError
    from queryfleet.warehouse.base import Statement
    from queryfleet.warehouse.trino_types import TrinoColumn

__all__ = ["TrinoWarehouse"]

_CONNECT_SECONDS, _ANSWER_SECONDS = 10.0, 60.0  # Trino answers within a second, with or without rows
_ATTEMPTS = 3  # of a request that may be repeated
_GONE = 204


class TrinoWarehouse:
    """One Trino cluster."""

    def __init__(
        self,
        *,
        host: str,
        port: int | None = None,
        user: str,
        password: str | None = None,
        token: str | None = None,
        catalog: str | None = None,
        schema: str | None = None,
        http_scheme: str = "https",
        statement_timeout_seconds: float | None = None,
    ) -> None:
        """Remember where the coordinator is; nothing is opened yet.

        Args:
            host: Of the coordinator.
            port: None: 443 for https, 8080 for http.
            user: Who runs the statements.
            password: Of the user, for clusters that ask for one; excludes `token`.
            token: A JSON web token.
            catalog: For names without one.
            schema: For names without one.
            http_scheme: `https` or `http`.
            statement_timeout_seconds: Trino stops a statement after this long (`query_max_execution_time`);
                None: the cluster's own limit.

        Raises:
            ConfigurationError: The driver is not installed.
        """
        require_package("trino", kind="trino")
        self._driver = _Driver(
            host=host,
            port=port or (443 if http_scheme == "https" else 8080),
            user=user,
            password=password,
            token=token,
            catalog=catalog,
            schema=schema,
            http_scheme=http_scheme,
            timeout_seconds=statement_timeout_seconds,
        )

    def __repr__(self) -> str:
        return f"TrinoWarehouse({self._driver.place})"

    def open(self) -> DriverSession:
        """Return a session; Trino shows its query with source `queryfleet` and the query's uuid as client tag."""
        return DriverSession(self._driver)

    def stop(self, query_id: str) -> bool:
        """Cancel a statement by its id; raises like `connect`. Trino says of any id that it has cancelled it."""
        try:
            return self._driver.cancel(query_id)
        except self._driver.errors() as error:
            raise self._driver.explained(error, statement=None, query_id=query_id) from error

    def ping(self) -> str:
        """Run a trivial statement and return `Trino` and the server's version; raises like `submit`."""
        try:
            request = self._driver.request({})
            status = request.process(request.post("select version()"))
            rows = list(status.rows)
            while status.next_uri:
                status = request.process(request.get(status.next_uri))
                rows += status.rows
        except self._driver.errors() as error:
            raise self._driver.explained(error, statement=None, query_id=None) from error
        return f"Trino {rows[0][0] if rows else '?'}"


class _Driver:
    """How to reach one cluster."""

    dialect = "trino"
    text_cast = TEXT_CAST

    def __init__(
        self,
        *,
        host: str,
        port: int,
        user: str,
        password: str | None,
        token: str | None,
        catalog: str | None,
        schema: str | None,
        http_scheme: str,
        timeout_seconds: float | None,
    ) -> None:
        self._host, self._port, self._scheme = host, port, http_scheme
        self._user, self._password, self._token = user, password, token
        self._catalog, self._schema, self._timeout_seconds = catalog, schema, timeout_seconds
        self.place = f"{host}:{port}/{catalog or ''}"

    def request(self, headers: dict[str, str], *, tags: Sequence[str] = (), attempts: int = _ATTEMPTS) -> TrinoRequest:
        """Return the client's requests, made with our session."""
        from trino.client import ClientSession, TrinoRequest

        properties = {}
        if self._timeout_seconds is not None:
            properties["query_max_execution_time"] = f"{round(self._timeout_seconds * 1000)}ms"
        session = ClientSession(
            user=self._user,
            catalog=self._catalog,
            schema=self._schema,
            source="queryfleet",
            properties=properties,
            headers=headers,
            client_tags=list(tags),
            timezone="UTC",
            encoding=[],  # pages in the answers themselves
        )
        return TrinoRequest(
            host=self._host,
            port=self._port,
            client_session=session,
            http_scheme=self._scheme,
            auth=self._authentication(),
            max_attempts=attempts,
            request_timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
        )

    def _authentication(self) -> Authentication | None:
        from trino.auth import BasicAuthentication, JWTAuthentication

        if self._token is not None:
            return JWTAuthentication(self._token)
        return BasicAuthentication(self._user, self._password) if self._password is not None else None

    def errors(self) -> tuple[type[Exception], ...]:
        """Return what the client raises."""
        from trino.exceptions import Error, HttpError

        return Error, HttpError, OSError

    def connect(self) -> _Link:
        """Ask the coordinator whether it is there. Who we are is asked with the statement."""
        request = self.request({})
        answer = request.get(request.get_url("/v1/info"))
        if not answer.ok:
            request.raise_response_error(answer)
        if answer.json().get("starting"):
            raise WarehouseConnectionError(f"Trino at {self.place} is starting. Wait a moment.", transient=True)
        return _Link(self)

    def cancel(self, query_id: str) -> bool:
        """Cancel a statement by its id."""
        request = self.request({})
        return bool(request.delete(request.get_url(f"/v1/query/{query_id}")).status_code == _GONE)

    def explained(self, error: Exception, *, statement: Statement | None, query_id: str | None) -> WarehouseError:
        """Make our error of one of the client."""
        return explained(
            error,
            place=self.place,
            sql=None if statement is None else statement.sql,
            secrets=[secret for secret in (self._password, self._token) if secret],
            query_id=query_id,
        )


class _Link:
    """The requests of one statement."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver
        self._request: TrinoRequest | None = None
        self._status: TrinoStatus | None = None  # the latest answer
        self._query_id = ""
        self._columns: list[TrinoColumn] = []
        self._schema: pa.Schema | None = None

    def introduce(self, statement: Statement) -> None:
        """Prepare the requests: every one says who asks."""
        self._request = self._driver.request(
            {"X-Trino-Client-Info": tag_json(statement.tag)},
            tags=["queryfleet", statement.tag.query_uuid],
            attempts=1 if statement.allow_writes else _ATTEMPTS,  # a change must not be sent twice
        )

    def submit(self, statement: Statement) -> str:
        """Post the statement and return the id Trino gave it."""
        request = self._requests()
        sql = strip_terminator(statement.sql, dialect="trino")
        self._status = request.process(request.post(sql))
        request.max_attempts = _ATTEMPTS  # fetching a page again is harmless
        self._query_id = self._status.id
        return self._query_id

    def _requests(self) -> TrinoRequest:
        if self._request is None:
            raise WarehouseQueryError("No statement was submitted to this session.")
        return self._request

    def schema(self) -> pa.Schema:
        """Wait for the first rows, or the end: Trino may know the columns long before."""
        import pyarrow as pa

        while self._status is not None and not self._status.rows and self._status.next_uri:
            self._advance()
        described = (self._status.columns if self._status is not None else None) or []
        names = unique_names([str(each["name"]) for each in described])
        self._columns = [trino_column({**each, "name": name}) for each, name in zip(described, names, strict=True)]
        self._schema = pa.schema([column.column.field for column in self._columns])
        return self._schema

    def _advance(self) -> None:
        request = self._requests()
        if self._status is not None and self._status.next_uri:
            self._status = request.process(request.get(self._status.next_uri))

    def pieces(self) -> Iterator[pa.RecordBatch]:
        """Yield each page as a batch."""
        import pyarrow as pa

        while self._status is not None:
            rows = self._status.rows
            if rows and self._columns:
                turned = zip(*rows, strict=True)
                arrays = [column.array(values) for column, values in zip(self._columns, turned, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=self._schema)
            if not self._status.next_uri:
                return
            self._advance()

    def stop(self) -> bool:
        """Cancel the statement by its id. False: there is none yet."""
        return bool(self._query_id) and self._driver.cancel(self._query_id)

    def close(self) -> None:
        """Forget the statement; nothing is held open between two requests."""
        self._request = self._status = None
