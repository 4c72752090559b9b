"""Snowflake's Python driver, both of its generations behind a few functions.

The fifth generation is a rewrite. What differs and matters here: names of some connection parameters, how a chunk
becomes Arrow, and results in JSON, which only the fifth turns into Arrow by itself.

All of this blocks, and raises the driver's own errors.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queryfleet.errors import ConfigurationError, WarehouseConnectionError, WarehouseQueryError
from queryfleet.warehouse.stored_result import row_count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor
    from snowflake.connector.result_batch import ResultBatch

    from queryfleet.warehouse.stored_result import Rows

__all__ = [
    "Chunk",
    "Login",
    "QueryState",
    "ResultColumn",
    "StoredResult",
    "abort",
    "connect",
    "query_state",
    "stored_result",
    "submit",
]

_LOGIN_SECONDS = 10
_REQUEST_SECONDS = 60  # for anything but a login, tries included
_FIFTH = 5
_UNREADABLE = 252_005  # the driver's number for a value that it cannot convert
_SESSION_PARAMETERS: Mapping[str, str | bool] = {
    "TIMEZONE": "UTC",
    "GEOGRAPHY_OUTPUT_FORMAT": "WKT",
    "GEOMETRY_OUTPUT_FORMAT": "WKT",
    "CLIENT_TELEMETRY_ENABLED": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Where Snowflake is, and who asks: exactly one of password, private key and token proves it."""

    account: str
    user: str
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)  # PEM text
    private_key_path: str | None = None  # PEM file
    private_key_passphrase: str | None = field(default=None, repr=False)  # of an encrypted key
    token: str | None = field(default=None, repr=False)
    token_kind: str = "programmatic_access_token"  # or `oauth`  # noqa: S105 - no password
    role: str | None = None  # the user's default where these are None
    warehouse: str | None = None
    database: str | None = None
    schema: str | None = None
    host: str | None = None  # these three override what follows from the account
    port: int | None = None
    protocol: str | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message may contain."""
        return tuple(s for s in (self.password, self.private_key, self.private_key_passphrase, self.token) if s)

    def __str__(self) -> str:
        return self.account if self.host is None else f"{self.account} ({self.host})"

    def proof(self) -> dict[str, object]:
        """Return the driver's parameters that prove who asks.

        Raises:
            ConfigurationError: The private key cannot be read; never quotes it.
        """
        if self.password is not None:
            return {"password": self.password}
        if self.token is not None:
            return {"token": self.token, "authenticator": self.token_kind.upper()}
        return {"authenticator": "SNOWFLAKE_JWT", "private_key": self._der_key()}

    def _der_key(self) -> bytes:
        """Return the key in the one form that both generations take."""
        from cryptography.hazmat.primitives import serialization

        where = "private_key" if self.private_key_path is None else "private_key_path"
        try:
            text = (self.private_key or "").encode() if self.private_key_path is None else self._key_file()
            passphrase = self.private_key_passphrase.encode() if self.private_key_passphrase else None
            key = serialization.load_pem_private_key(text, password=passphrase)
        except (OSError, TypeError, ValueError) as error:
            reason = (
                f"{error.strerror}."
                if isinstance(error, OSError)
                else "it is no PEM key, or the passphrase is wrong. Where it is encrypted, `private_key_passphrase` "
                "must be its passphrase."
            )
            raise ConfigurationError(
                f"`warehouse.{where}` cannot be read: {reason}",
                field=f"warehouse.{where}",
            ) from None
        return key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def _key_file(self) -> bytes:
        return Path(self.private_key_path or "").read_bytes()


class QueryState(Enum):
    """How far a statement is."""

    RUNNING = auto()  # queued, waiting for a warehouse, computing
    DONE = auto()  # its result is stored
    FAILED = auto()  # also when somebody cancelled it
    UNKNOWN = auto()  # Snowflake has no such statement


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultColumn:
    """One column as Snowflake describes it."""

    name: str
    type: str  # Snowflake's word: FIXED, TEXT, TIMESTAMP_NTZ, VARIANT, …
    precision: int | None
    scale: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One piece of a stored result. Can be pickled and read in any process; its link expires after hours."""

    batch: ResultBatch
    row_count: int
    byte_count: int  # of its rows in memory, as the server says; 0 when it came with the result

    def read(self) -> Rows:
        """Download it, unless it came with the result; rows where the driver cannot make Arrow of it.

        Raises:
            WarehouseQueryError: It holds a value that the driver cannot deliver as it is.
        """
        try:
            return self._read()
        except Exception as error:
            if isinstance(error, OverflowError) or getattr(error, "errno", None) == _UNREADABLE:
                raise WarehouseQueryError(
                    "A column holds a moment with nanoseconds far from today, which Snowflake's driver cannot deliver "
                    "as it is. Select the column as text: to_varchar(column)."
                ) from error
            raise

    def _read(self) -> Rows:
        batch: Any = self.batch  # the parameters of one generation are errors to the other
        if _generation() >= _FIFTH:
            table = batch.to_arrow(number_to_decimal=True)
            return table if table is not None else []
        if type(batch).__name__ != "JSONResultBatch":
            return batch.to_arrow()
        rows = list(batch.create_iter())
        for row in rows:
            if isinstance(row, Exception):  # that is how the driver says that it cannot read a value
                raise row
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """A result in Snowflake, with links to its pieces."""

    columns: tuple[ResultColumn, ...]
    chunks: tuple[Chunk, ...]  # in the order of the rows


def connect(login: Login) -> SnowflakeConnection:
    """Log in, to a session in UTC that is kept alive until it is closed."""
    import snowflake.connector

    # Else the driver asks the cloud's metadata service where it is, and waits for that up to two seconds.
    os.environ.setdefault("SNOWFLAKE_DISABLE_PLATFORM_DETECTION", "true")
    names = ("role", "warehouse", "database", "schema", "host", "port", "protocol")
    given = {name: value for name in names if (value := getattr(login, name)) is not None}
    return snowflake.connector.connect(
        account=login.account,
        user=login.user,
        **login.proof(),
        **given,
        **_generation_parameters(),
        application="queryfleet",
        arrow_number_to_decimal=True,
        client_session_keep_alive=True,
        login_timeout=_LOGIN_SECONDS,
        session_parameters=dict(_SESSION_PARAMETERS),
        validate_default_parameters=True,
    )


def _generation() -> int:
    import snowflake.connector

    return int(str(snowflake.connector.__version__).split(".", maxsplit=1)[0])


def _generation_parameters() -> dict[str, object]:
    if _generation() >= _FIFTH:
        return {
            "request_timeout": _REQUEST_SECONDS,
            "client_store_temporary_credential": False,
            # Closing logs out, which ends what runs in the session; nothing but our own `close` may do that.
            "enable_server_session_keep_alive_auto_detection": False,
            "auto_cleanup": False,
        }
    return {"network_timeout": _REQUEST_SECONDS}


def submit(connection: SnowflakeConnection, sql: str, parameters: Mapping[str, str | int]) -> str:
    """Hand a statement over and return its query id, without waiting for it.

    Args:
        connection: Logged in.
        sql: One statement.
        parameters: Snowflake's parameters for this statement alone, such as `QUERY_TAG`.
    """
    cursor = connection.cursor()
    cursor.execute_async(sql, _statement_params=dict(parameters))
    return str(cursor.sfqid)


def query_state(connection: SnowflakeConnection, query_id: str) -> QueryState:
    """Ask how far a statement is: one request."""
    status = connection.get_query_status(query_id)
    if status.name == "NO_DATA":
        return QueryState.UNKNOWN
    if status.name == "SUCCESS":
        return QueryState.DONE
    return QueryState.RUNNING if connection.is_still_running(status) else QueryState.FAILED


def stored_result(connection: SnowflakeConnection, query_id: str) -> StoredResult:
    """Ask for the result of a statement that has ended, with fresh links; raises what it failed with.

    Nothing is executed, whoever ran the statement, and whenever within the day for which results are kept.
    """
    from snowflake.connector import constants

    names: Mapping[int, str] = vars(constants)["FIELD_ID_TO_NAME"]
    cursor: SnowflakeCursor = connection.cursor()
    try:
        cursor.query_result(query_id)
    except TypeError as error:  # how the fourth generation takes a refusal that has no details
        raise WarehouseConnectionError("The session with Snowflake has ended.", transient=True) from error
    columns = tuple(
        ResultColumn(name=name, type=names[code], precision=precision, scale=scale)
        for name, code, _, _, precision, scale, _ in cursor.description or ()
    )
    batches: Sequence[ResultBatch] = cursor.get_result_batches() or ()
    return StoredResult(columns=columns, chunks=tuple(chunk for batch in batches if (chunk := _chunk(batch)).row_count))


def _chunk(batch: ResultBatch) -> Chunk:
    if batch.uncompressed_size is not None:
        return Chunk(batch=batch, row_count=batch.rowcount, byte_count=batch.uncompressed_size)
    # It came with the result. Of one that says how many rows were changed, the driver miscounts its own rows.
    chunk = Chunk(batch=batch, row_count=0, byte_count=0)
    return replace(chunk, row_count=row_count(chunk.read()))


def abort(connection: SnowflakeConnection, query_id: str) -> bool:
    """Stop a statement of any session; False when it was not running."""
    return bool(connection.cursor().abort_query(query_id))
