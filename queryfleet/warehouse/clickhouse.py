"""ClickHouse over HTTP, as a stream of Arrow.

A statement is described first and then wrapped in a select that asks for what Arrow cannot carry in another
form. It runs under a query id of our own, which says whose query it is and by which it is stopped from another
request. An error after the first rows comes inside the stream: a stream without its proper end is one.
"""

from __future__ import annotations

import json
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, cast

from queryfleet.errors import WarehouseConnectionError, WarehouseQueryError
from queryfleet.warehouse.clickhouse_errors import error_in, explained
from queryfleet.warehouse.clickhouse_types import plan_columns, quoted, wrapped
from queryfleet.warehouse.driver_session import DriverSession
from queryfleet.warehouse.installed import require_package
from queryfleet.warehouse.statement import is_plain_query, leading_word, strip_terminator
from queryfleet.warehouse.tagging import tag_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

    from queryfleet.errors import WarehouseError
    from queryfleet.warehouse.base import Statement
    from queryfleet.warehouse.clickhouse_types import ColumnPlan

__all__ = ["ClickHouseWarehouse"]

_CONNECT_SECONDS = 10
_SILENCE_SECONDS = 24 * 3600  # between two pieces: the query's own limits are shorter, and end it by `cancel`
_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # of an Arrow stream
_TAIL_BYTES = 16 * 1024  # that are kept of a stream: an error is at its end
_DESCRIBE = "describe table (\n"
_READ_ONLY = "2"  # may still change how it is read: settings of the statement's own
_LOCKED = "1"  # a login that may not even do that
_ANSWERING = frozenset({"SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK"})  # no queries, and give rows


class ClickHouseWarehouse:
    """One ClickHouse server or cluster, by its HTTP interface."""

    def __init__(
        self,
        *,
        host: str,
        port: int | None = None,
        user: str | None = None,
        password: str | None = None,
        database: str | None = None,
        secure: bool = False,
        statement_timeout_seconds: float | None = None,
    ) -> None:
        """Remember where the server is; nothing is opened yet.

        Args:
            host: Name or address.
            port: Of the HTTP interface; None: 8443 with `secure`, 8123 without.
            user: None: `default`.
            password: None: none.
            database: For names without one; None: the user's own.
            secure: Use TLS.
            statement_timeout_seconds: The server stops a statement after this long (`max_execution_time`);
                None: the user's own limit.

        Raises:
            ConfigurationError: The driver is not installed.
        """
        require_package("clickhouse_connect", kind="clickhouse")
        self._driver = _Driver(
            host=host,
            port=port,
            user=user,
            password=password,
            database=database,
            secure=secure,
            timeout_seconds=statement_timeout_seconds,
        )

    def __repr__(self) -> str:
        return f"ClickHouseWarehouse({self._driver.place})"

    def open(self) -> DriverSession:
        """Return a session; its query ids begin with `queryfleet-<query_uuid>`, and `log_comment` has the tag."""
        return DriverSession(self._driver)

    def stop(self, query_id: str) -> bool:
        """Kill a statement by its id; raises like `connect`."""
        return self._driver.stop(query_id)

    def ping(self) -> str:
        """Log in and return `ClickHouse` and the server's version; raises like `connect`."""
        with self._driver.visiting() as client:
            return f"ClickHouse {client.server_version}"


class _Driver:
    """How to reach one server."""

    dialect = "clickhouse"
    text_cast = "toString(`{}`)"

    def __init__(
        self,
        *,
        host: str,
        port: int | None,
        user: str | None,
        password: str | None,
        database: str | None,
        secure: bool,
        timeout_seconds: float | None,
    ) -> None:
        self._host, self._port, self._secure = host, port or (8443 if secure else 8123), secure
        self._user, self._password, self._database = user, password, database
        self.timeout_seconds = timeout_seconds
        self.place = f"{host}:{self._port}/{database or ''}"

    def client(self) -> Client:
        """Return a client that has logged in; raises its errors."""
        import clickhouse_connect

        return clickhouse_connect.get_client(
            host=self._host,
            port=self._port,
            username=self._user,
            password=self._password or "",
            database=self._database or "__default__",
            interface="https" if self._secure else "http",
            query_limit=0,
            connect_timeout=_CONNECT_SECONDS,
            send_receive_timeout=_SILENCE_SECONDS,
            client_name="queryfleet",
            autogenerate_session_id=False,  # a session would let only one request in at a time
            compress=False,  # Arrow compresses its own parts
            dedicated_pool=True,
            show_clickhouse_errors=True,
        )

    def errors(self) -> tuple[type[Exception], ...]:
        """Return what the client raises."""
        from clickhouse_connect.driver.exceptions import ClickHouseError
        from urllib3.exceptions import HTTPError

        return ClickHouseError, HTTPError, OSError

    def connect(self) -> _Link:
        """Log in."""
        return _Link(self, self.client())

    @contextmanager
    def visiting(self) -> Iterator[Client]:
        """Log in for a moment, with our errors."""
        try:
            client = self.client()
            try:
                yield client
            finally:
                client.close()
        except self.errors() as error:
            raise self.explained(error, statement=None, query_id=None) from error

    def stop(self, query_id: str) -> bool:
        """Kill a statement by its id."""
        with self.visiting() as client:
            return kill(client, f"query_id = {_literal(query_id)}")

    def explained(self, error: Exception, *, statement: Statement | None, query_id: str | None) -> WarehouseError:
        """Make our error of one of the client."""
        return self.explained_at(error, sql=None if statement is None else statement.sql, offset=0, query_id=query_id)

    def explained_at(self, error: Exception, *, sql: str | None, offset: int, query_id: str | None) -> WarehouseError:
        """Make our error of one of the client, raised for a text in which `sql` stands after `offset` characters."""
        return explained(
            str(error) if "Code: " in str(error) else str(_root(error)),
            place=self.place,
            sql=sql,
            offset=offset,
            secrets=[self._password] if self._password else [],
            query_id=query_id,
        )


class _Body(Protocol):
    """What is used of the client's answer."""

    def read1(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class _Stream:
    """The bytes of an answer as a file; keeps the last ones, where an error would be."""

    def __init__(self, body: _Body) -> None:
        self._body = body
        self.tail = b""
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, `size` unless the answer ends; what came before a break is in `tail`."""
        pieces, left = [], size
        while left:
            piece = self._body.read1(left)
            if not piece:
                break
            self.tail = (self.tail + piece)[-_TAIL_BYTES:] if len(piece) < _TAIL_BYTES else piece[-_TAIL_BYTES:]
            pieces.append(piece)
            left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Close the answer's connection, however much of it is unread."""
        if not self.closed:
            self.closed = True
            self._body.close()


class _Link:
    """A client, used for one statement."""

    def __init__(self, driver: _Driver, client: Client) -> None:
        self._driver, self._client = driver, client
        readonly = client.server_settings.get("readonly")
        self._locked = readonly is not None and str(readonly.value) == _LOCKED
        self._statement: Statement | None = None
        self._sql = ""
        self._query_id = ""
        self._columns: list[ColumnPlan] | None = None  # None: the statement runs as it is
        self._stream: _Stream | None = None
        self._reader: pa.RecordBatchReader | None = None
        self._first: list[pa.RecordBatch] = []
        self._schema: pa.Schema | None = None

    def introduce(self, statement: Statement) -> None:
        """Stop what an earlier attempt may have left; a first one has nothing to say before its statement."""
        if statement.tag.attempt > 1:
            kill(self._client, f"startsWith(query_id, {_literal(_id_prefix(statement))})")

    def submit(self, statement: Statement) -> str:
        """Have the statement described, and return the id it will run under."""
        self._statement = statement
        self._sql = strip_terminator(statement.sql, dialect="clickhouse")
        self._query_id = f"{_id_prefix(statement)}{statement.tag.attempt}-{secrets.token_hex(4)}"
        if is_plain_query(self._sql, dialect="clickhouse"):
            with self._explaining(len(_DESCRIBE)):
                answer = self._client.raw_query(
                    f"{_DESCRIBE}{self._sql}\n)", settings=self._settings("-describe"), fmt="JSONCompactStrings"
                )
            self._columns = plan_columns([(row[0], row[1]) for row in json.loads(answer)["data"]])
        return self._query_id

    def _settings(self, suffix: str = "") -> dict[str, str]:
        settings = {"query_id": f"{self._query_id}{suffix}"}
        if self._locked or self._statement is None:
            return settings
        settings["log_comment"] = tag_json(self._statement.tag)
        settings["output_format_arrow_string_as_string"] = "1"
        settings["output_format_arrow_low_cardinality_as_dictionary"] = "0"
        if self._driver.timeout_seconds is not None:
            settings["max_execution_time"] = f"{self._driver.timeout_seconds:g}"
        if not self._statement.allow_writes:
            settings["readonly"] = _READ_ONLY
        return settings

    def schema(self) -> pa.Schema:
        """Run the statement and wait for its first rows."""
        import pyarrow as pa
        from urllib3.exceptions import HTTPError

        if self._statement is None:
            raise WarehouseQueryError("No statement was submitted to this session.")
        sql, offset = self._sql, 0
        if self._columns is not None:
            sql, offset = wrapped(sql, self._columns, row_limit=self._statement.row_limit)
        elif self._statement.allow_writes and leading_word(sql, dialect="clickhouse") not in _ANSWERING:
            return self._changed()
        with self._explaining(offset):
            body = self._client.raw_stream(sql, settings=self._settings(), fmt="ArrowStream")
        self._stream = _Stream(cast("_Body", body))
        try:
            self._reader = pa.ipc.open_stream(self._stream)
        except (pa.ArrowException, OSError, HTTPError) as error:
            raise self._broken(error) from error
        given = self._reader.schema
        if self._columns is None:
            self._schema = given.remove_metadata()
        else:
            pairs = zip(self._columns, given, strict=True)
            self._schema = pa.schema([column.field(field.type) for column, field in pairs])
        self._first = [piece] if (piece := self._next_piece()) is not None else []
        return self._schema

    def _changed(self) -> pa.Schema:
        """Run a statement that changes something; its result is the number of rows written."""
        import pyarrow as pa

        summary = self._client.command(self._sql, settings=self._settings())
        written = getattr(summary, "written_rows", 0)
        schema = pa.schema([pa.field("Count", pa.int64())])
        self._first = [pa.RecordBatch.from_arrays([pa.array([int(written)], pa.int64())], schema=schema)]
        self._schema = schema
        return schema

    def pieces(self) -> Iterator[pa.RecordBatch]:
        """Yield ClickHouse's blocks, 65 thousand rows mostly."""
        piece = self._first.pop() if self._first else None
        while piece is not None:
            yield piece
            piece = self._next_piece()

    def _next_piece(self) -> pa.RecordBatch | None:
        import pyarrow as pa
        from urllib3.exceptions import HTTPError

        if self._reader is None or self._stream is None:
            return None
        try:
            batch = self._reader.read_next_batch()
        except StopIteration:
            if not self._stream.tail.endswith(_END):
                raise self._broken(None) from None
            return None
        except (pa.ArrowException, OSError, HTTPError) as error:
            raise self._broken(error) from error
        return self._delivered(batch)

    def _delivered(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa

        arrays = []
        for field, array in zip(self._schema or batch.schema, batch.columns, strict=True):
            try:
                array.validate(full=True)  # ClickHouse's text is bytes, which need not be UTF-8
            except pa.ArrowInvalid as error:
                raise WarehouseQueryError(
                    f'Column "{field.name}" holds text that is not UTF-8. '
                    f"Select it as hexadecimal digits: hex({quoted(field.name)}).",
                    column=field.name,
                ) from error
            arrays.append(array if array.type == field.type else array.cast(field.type))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _broken(self, error: Exception | None) -> WarehouseError:
        """Explain a stream that ended before its end: the server's last words may be in it."""
        said = None
        if self._stream is not None:
            with suppress(Exception):  # Arrow stopped at the first words
                self._stream.read(_TAIL_BYTES)
            said = error_in(self._stream.tail)
        if said is None:
            return WarehouseConnectionError(
                f"ClickHouse at {self._driver.place} ended the result before its end. "
                f"Check `host`, `port` and what lies between.",
                transient=True,
                cause=str(error or "no end of stream"),
            )
        return explained(said, place=self._driver.place, sql=self._sql, offset=0, secrets=[], query_id=self._query_id)

    @contextmanager
    def _explaining(self, offset: int) -> Iterator[None]:
        """Turn the client's errors into ours, of a text in which the statement stands after `offset` characters."""
        try:
            yield
        except self._driver.errors() as error:
            raise self._driver.explained_at(error, sql=self._sql, offset=offset, query_id=self._query_id) from error

    def stop(self) -> bool:
        """Kill the statement by its id. False: the server does not have it, perhaps not yet."""
        return bool(self._query_id) and kill(self._client, f"query_id = {_literal(self._query_id)}")

    def close(self) -> None:
        """Close the answer's connection and all others."""
        stream, self._stream, self._reader = self._stream, None, None
        try:
            if stream is not None:
                stream.close()
        finally:
            self._client.close()


def kill(client: Client, condition: str) -> bool:
    """Stop what the condition finds among the running statements of our user; tell whether there was any."""
    return bool(client.raw_query(f"kill query where {condition} async", fmt="TabSeparated").strip())


def _root(error: BaseException) -> BaseException:
    """Return what is at the bottom of an error of the client."""
    while True:
        reason = getattr(error, "reason", None)
        below = reason if isinstance(reason, BaseException) else error.__cause__
        if below is None:
            return error
        error = below


def _id_prefix(statement: Statement) -> str:
    return f"queryfleet-{statement.tag.query_uuid}-"


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
