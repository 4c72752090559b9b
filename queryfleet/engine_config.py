"""How to reach the warehouses that are services of their own, one frozen class for each type.

See `queryfleet.warehouse_config`, which knows all types, for the two forms of a configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, TypeAlias
from urllib.parse import urlsplit

from queryfleet.postgres_url import resolved_url, url_fault
from queryfleet.warehouse_keys import (
    PROTOCOLS,
    SSL_MODES,
    check_absolute,
    checked_word,
    json_form,
    located,
    port_number,
    port_or_reference,
    secret,
    statement_timeout,
    with_values,
    word_or_reference,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from queryfleet.errors import JsonValue
    from queryfleet.section import Section

__all__ = [
    "AthenaConfig",
    "BigQueryConfig",
    "ClickHouseConfig",
    "DatabricksConfig",
    "EngineConfig",
    "RedshiftConfig",
    "SQLAlchemyConfig",
    "TrinoConfig",
]

_BYTES_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLAlchemyConfig:
    """Any database with a SQLAlchemy dialect."""

    type: ClassVar[str] = "sqlalchemy"
    url: str = field(repr=False)  # dialect+driver://…
    statement_timeout_seconds: int | None = None  # of MySQL, MariaDB and PostgreSQL only

    @classmethod
    def from_section(cls, section: Section, *, folder: Path | None) -> SQLAlchemyConfig:  # noqa: ARG003
        """Read the mapping; see `parse_warehouse`."""
        url = section.required_text("url", "${DATABASE_URL}")
        fault = url_fault(url, any_dialect=True)
        if fault is not None:
            raise section.error("url", fault)
        return cls(url=url, statement_timeout_seconds=statement_timeout(section))

    def resolved(self, environ: Mapping[str, str]) -> SQLAlchemyConfig:
        """Return it with the environment's values, percent-encoded.

        Raises:
            ConfigurationError: A variable is missing.
        """
        return replace(self, url=resolved_url(self.url, environ) or "")

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `parse_warehouse` reads it back."""
        return json_form(self, any_dialect=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickHouseConfig:
    """A ClickHouse server, by its HTTP interface."""

    type: ClassVar[str] = "clickhouse"
    host: str
    port: int | str | None = None  # text only as a reference, a number once resolved; None: 8443 or 8123
    user: str | None = None  # None: `default`
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    secure: bool = False  # True: TLS
    statement_timeout_seconds: int | None = None

    @classmethod
    def from_section(cls, section: Section, *, folder: Path | None) -> ClickHouseConfig:  # noqa: ARG003
        """Read the mapping; see `parse_warehouse`."""
        return cls(
            host=section.required_text("host", "clickhouse.example.com"),
            port=port_or_reference(section),
            user=section.text("user"),
            password=secret(section, "password"),
            database=section.text("database"),
            secure=section.flag("secure", default=False),
            statement_timeout_seconds=statement_timeout(section),
        )

    def resolved(self, environ: Mapping[str, str]) -> ClickHouseConfig:
        """Return it with the environment's values; `port` is a number then.

        Raises:
            ConfigurationError: A variable is missing, or does not hold a port where one must be.
        """
        config = with_values(self, environ)
        return replace(config, port=port_number(config.port))

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `parse_warehouse` reads it back."""
        return json_form(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrinoConfig:
    """A Trino cluster, with at most one way to prove who asks: password or token."""

    type: ClassVar[str] = "trino"
    host: str
    user: str
    port: int | str | None = None  # text only as a reference, a number once resolved; None: 443 or 8080
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)  # a JSON web token
    catalog: str | None = None
    schema: str | None = None
    http_scheme: str | None = None  # None: https
    statement_timeout_seconds: int | None = None

    @classmethod
    def from_section(cls, section: Section, *, folder: Path | None) -> TrinoConfig:  # noqa: ARG003
        """Read the mapping; see `parse_warehouse`."""
        if section.values.get("password") is not None and section.values.get("token") is not None:
            raise section.error("token", "cannot stand beside `password`: keep one way to log in")
        return cls(
            host=section.required_text("host", "trino.example.com"),
            user=section.required_text("user", "reader"),
            port=port_or_reference(section),
            password=secret(section, "password"),
            token=secret(section, "token"),
            catalog=section.text("catalog"),
            schema=section.text("schema"),
            http_scheme=word_or_reference(section, "http_scheme", PROTOCOLS),
            statement_timeout_seconds=statement_timeout(section),
        )

    def resolved(self, environ: Mapping[str, str]) -> TrinoConfig:
        """Return it with the environment's values; `port` is a number then.

        Raises:
            ConfigurationError: A variable is missing, or does not hold a port or scheme where one must be.
        """
        config = with_values(self, environ)
        checked_word(config.http_scheme, "http_scheme", PROTOCOLS)
        return replace(config, port=port_number(config.port))

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `parse_warehouse` reads it back."""
        return json_form(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class BigQueryConfig:
    """A BigQuery project."""

    type: ClassVar[str] = "bigquery"
    project: str
    location: str | None = None  # None: where the data are
    dataset: str | None = None
    credentials_path: str | None = None  # absolute, or beginning with a reference; None: Google's default credentials
    maximum_bytes_billed: int | None = None
    api_endpoint: str | None = None
    storage_endpoint: str | None = None  # of the Storage Read API, which needs its own beside another `api_endpoint`
    statement_timeout_seconds: int | None = None

    @classmethod
    def from_section(cls, section: Section, *, folder: Path | None) -> BigQueryConfig:
        """Read the mapping; see `parse_warehouse`."""
        path = section.text("credentials_path")
        return cls(
            project=section.required_text("project", "my-project"),
            location=section.text("location"),
            dataset=section.text("dataset"),
            credentials_path=None if path is None else located(path, folder),
            maximum_bytes_billed=section.whole("maximum_bytes_billed", low=1, high=_BYTES_MAX),
            api_endpoint=section.text("api_endpoint"),
            storage_endpoint=section.text("storage_endpoint"),
            statement_timeout_seconds=statement_timeout(section),
        )

    def resolved(self, environ: Mapping[str, str]) -> BigQueryConfig:
        """Return it with the environment's values.

        Raises:
            ConfigurationError: A variable is missing, or the path is not absolute with it.
        """
        config = with_values(self, environ)
        if config.credentials_path is not None:
            check_absolute(config.credentials_path, "credentials_path")
        return config

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `parse_warehouse` reads it back."""
        return json_form(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedshiftConfig:
    """A Redshift cluster or workgroup."""

    type: ClassVar[str] = "redshift"
    host: str
    user: str
    database: str
    port: int | str | None = None  # text only as a reference, a number once resolved; None: 5439
    password: str | None = field(default=None, repr=False)
    schema: str | None = None  # looked into first for names without one
    sslmode: str | None = None  # one of libpq's words
    statement_timeout_seconds: int | None = None

    @classmethod
    def from_section(cls, section: Section, *, folder: Path | None) -> RedshiftConfig:  # noqa: ARG003
        """Read the mapping; see `parse_warehouse`."""
        return cls(
            host=section.required_text("host", "shop.abc123.eu-west-1.redshift.amazonaws.com"),
            user=section.required_text("user", "reader"),
            database=section.required_text("database", "analytics"),
            port=port_or_reference(section),
            password=secret(section, "password"),
            schema=section.text("schema"),
            sslmode=word_or_reference(section, "sslmode", SSL_MODES),
            statement_timeout_seconds=statement_timeout(section),
        )

    def resolved(self, environ: Mapping[str, str]) -> RedshiftConfig:
        """Return it with the environment's values; `port` is a number then.

        Raises:
            ConfigurationError: A variable is missing, or does not hold a port or TLS mode where one must be.
        """
        config = with_values(self, environ)
        checked_word(config.sslmode, "sslmode", SSL_MODES)
        return replace(config, port=port_number(config.port))

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `parse_warehouse` reads it back."""
        return json_form(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabricksConfig:
    """A SQL warehouse of Databricks. Who asks: a token's owner, or a service principal by id and secret."""

    type: ClassVar[str] = "databricks"
    host: str  # of the workspace; with `http://` in front where it is not HTTPS
    http_path: str  # of the SQL warehouse
    token: str | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    catalog: str | None = None
    schema: str | None = None
    statement_timeout_seconds: int | None = None

    @classmethod
    def from_section(cls, section: Section, *, folder: Path | None) -> DatabricksConfig:  # noqa: ARG003
        """Read the mapping; see `parse_warehouse`."""
        given = [key for key in ("token", "client_id", "client_secret") if section.values.get(key) is not None]
        if given[:1] == ["token"] and len(given) > 1:
            raise section.error(given[1], "cannot stand beside `token`: keep one way to log in")
        if not given:
            raise section.error(None, "lacks a way to log in: add `token`, or `client_id` and `client_secret`")
        if given in (["client_id"], ["client_secret"]):
            other = "client_secret" if given == ["client_id"] else "client_id"
            raise section.error(given[0], f"needs `{other}` beside it")
        return cls(
            host=section.required_text("host", "dbc-a1b2c3d4-e5f6.cloud.databricks.com"),
            http_path=section.required_text("http_path", "/sql/1.0/warehouses/1234567890abcdef"),
            token=secret(section, "token"),
            client_id=section.text("client_id"),
            client_secret=secret(section, "client_secret"),
            catalog=section.text("catalog"),
            schema=section.text("schema"),
            statement_timeout_seconds=statement_timeout(section),
        )

    @property
    def url(self) -> str:
        """The workspace's address without a path, which one copied from a browser has."""
        parts = urlsplit(self.host if "://" in self.host else f"https://{self.host}")
        return f"{parts.scheme}://{parts.netloc}"

    def resolved(self, environ: Mapping[str, str]) -> DatabricksConfig:
        """Return it with the environment's values.

        Raises:
            ConfigurationError: A variable is missing.
        """
        return with_values(self, environ)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `parse_warehouse` reads it back."""
        return json_form(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AthenaConfig:
    """Athena in one region. Who asks: a key, a profile, or what AWS' client finds where queries run."""

    type: ClassVar[str] = "athena"
    region: str
    database: str | None = None
    catalog: str | None = None  # None: `AwsDataCatalog`
    workgroup: str | None = None  # None: `primary`
    output_location: str | None = None  # s3://…; None: the workgroup's
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    endpoint_url: str | None = None  # None: the region's
    s3_endpoint_url: str | None = None  # likewise
    statement_timeout_seconds: int | None = None

    @classmethod
    def from_section(cls, section: Section, *, folder: Path | None) -> AthenaConfig:  # noqa: ARG003
        """Read the mapping; see `parse_warehouse`."""
        values = section.values
        for key, other in (
            ("access_key_id", "secret_access_key"),
            ("secret_access_key", "access_key_id"),
            ("session_token", "access_key_id"),
        ):
            if values.get(key) is not None and values.get(other) is None:
                raise section.error(key, f"needs `{other}` beside it")
        if values.get("profile") is not None and values.get("access_key_id") is not None:
            raise section.error("profile", "cannot stand beside `access_key_id`: keep one way to log in")
        location = section.text("output_location")
        if location is not None and not location.startswith(("s3://", "${")):
            raise section.error("output_location", "must be a place in S3, such as s3://my-bucket/athena/")
        return cls(
            region=section.required_text("region", "eu-west-1"),
            database=section.text("database"),
            catalog=section.text("catalog"),
            workgroup=section.text("workgroup"),
            output_location=location,
            access_key_id=section.text("access_key_id"),
            secret_access_key=secret(section, "secret_access_key"),
            session_token=secret(section, "session_token"),
            profile=section.text("profile"),
            endpoint_url=section.text("endpoint_url"),
            s3_endpoint_url=section.text("s3_endpoint_url"),
            statement_timeout_seconds=statement_timeout(section),
        )

    def resolved(self, environ: Mapping[str, str]) -> AthenaConfig:
        """Return it with the environment's values.

        Raises:
            ConfigurationError: A variable is missing.
        """
        return with_values(self, environ)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `parse_warehouse` reads it back."""
        return json_form(self)


EngineConfig: TypeAlias = (
    SQLAlchemyConfig
    | ClickHouseConfig
    | TrinoConfig
    | BigQueryConfig
    | RedshiftConfig
    | DatabricksConfig
    | AthenaConfig
)
