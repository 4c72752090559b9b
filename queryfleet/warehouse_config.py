"""How to reach a warehouse: one frozen class for each type, keys in the driver's own words.

A configuration has two forms of the same class. As stored, its text may hold references, `${NAME}`, and what
is secret consists of nothing else. `resolved` puts the environment's values in their place; that form is for
the driver, is never stored, and is not shown by `repr`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from queryfleet.engine_config import (
    AthenaConfig,
    BigQueryConfig,
    ClickHouseConfig,
    DatabricksConfig,
    EngineConfig,
    RedshiftConfig,
    SQLAlchemyConfig,
    TrinoConfig,
)
from queryfleet.environment_reference import is_malformed
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
    "KEEPING_TYPES",
    "TOKEN_KINDS",
    "AthenaConfig",
    "BigQueryConfig",
    "ClickHouseConfig",
    "DatabricksConfig",
    "DuckDBConfig",
    "PostgresConfig",
    "RedshiftConfig",
    "SQLAlchemyConfig",
    "SnowflakeConfig",
    "TrinoConfig",
    "WarehouseConfig",
    "parse_warehouse",
]

KEEPING_TYPES = frozenset({"snowflake"})  # keep results, which can be read again by the id of their statement
TOKEN_KINDS = ("programmatic_access_token", "oauth")


@dataclass(frozen=True, slots=True, kw_only=True)
class DuckDBConfig:
    """A DuckDB database file."""

    type: ClassVar[str] = "duckdb"
    path: str  # absolute, or `:memory:`, or beginning with a reference to an absolute path
    read_only: bool = True  # False: the file is opened for writing, by one process at a time
    allow_external_access: bool = False  # True: statements may read files and attach other databases

    def resolved(self, environ: Mapping[str, str]) -> DuckDBConfig:
        """Return it with the environment's values.

        Raises:
            ConfigurationError: A variable is missing, or the path is not absolute with it.
        """
        config = with_values(self, environ)
        if config.path != ":memory:":
            check_absolute(config.path, "path")
        return config

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `parse_warehouse` reads it back."""
        return json_form(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresConfig:
    """A PostgreSQL server: either `url`, or the pieces."""

    type: ClassVar[str] = "postgres"
    host: str | None = None
    port: int | str | None = None  # text only as a reference, a number once resolved; None: the driver's choice
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    schema: str | None = None  # looked into first for names without one
    sslmode: str | None = None  # one of libpq's words
    url: str | None = field(default=None, repr=False)  # postgresql://…; excludes all pieces but `schema`

    def resolved(self, environ: Mapping[str, str]) -> PostgresConfig:
        """Return it with the environment's values: `port` as a number, those in `url` percent-encoded.

        Raises:
            ConfigurationError: A variable is missing, or does not hold a port or TLS mode where one must be.
        """
        config = replace(with_values(replace(self, url=None), environ), url=resolved_url(self.url, environ))
        checked_word(config.sslmode, "sslmode", SSL_MODES)
        return replace(config, port=port_number(config.port))

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `parse_warehouse` reads it back."""
        return json_form(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeConfig:
    """A Snowflake account, with one way to prove who asks: password, private key or token."""

    type: ClassVar[str] = "snowflake"
    account: str
    user: str
    password: str | None = field(default=None, repr=False)
    private_key_path: str | None = None  # PEM file; absolute, or beginning with a reference
    private_key: str | None = field(default=None, repr=False)  # PEM text
    private_key_passphrase: str | None = field(default=None, repr=False)  # of an encrypted key
    token: str | None = field(default=None, repr=False)
    authenticator: str | None = None  # the kind of `token`, one of TOKEN_KINDS; None: the first
    role: str | None = None
    warehouse: str | None = None
    database: str | None = None
    schema: str | None = None
    host: str | None = None  # these three override what follows from the account
    port: int | str | None = None  # text only as a reference, a number once resolved
    protocol: str | None = None  # `https` or `http`
    statement_timeout_seconds: int | None = None  # Snowflake stops a statement after this; None: its own limit

    def resolved(self, environ: Mapping[str, str]) -> SnowflakeConfig:
        """Return it with the environment's values; `port` is a number then.

        Raises:
            ConfigurationError: A variable is missing, or does not hold a port or protocol where one must be.
        """
        config = with_values(self, environ)
        checked_word(config.protocol, "protocol", PROTOCOLS)
        return replace(config, port=port_number(config.port))

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `parse_warehouse` reads it back."""
        return json_form(self)


WarehouseConfig: TypeAlias = DuckDBConfig | PostgresConfig | SnowflakeConfig | EngineConfig

_ENGINES: dict[str, type[EngineConfig]] = {
    kind.type: kind
    for kind in (
        SQLAlchemyConfig,
        ClickHouseConfig,
        TrinoConfig,
        BigQueryConfig,
        RedshiftConfig,
        DatabricksConfig,
        AthenaConfig,
    )
}
_TYPES: dict[str, type[WarehouseConfig]] = {
    **{kind.type: kind for kind in (DuckDBConfig, PostgresConfig, SnowflakeConfig)},
    **_ENGINES,
}
_PIECES = ("host", "port", "user", "password", "database", "sslmode")
_PROOFS = ("password", "private_key_path", "private_key", "token")


def parse_warehouse(section: Section, *, folder: Path | None) -> WarehouseConfig:
    """Return the configuration a mapping describes, references unresolved.

    Args:
        section: The mapping: from a project file, or from `to_json`.
        folder: What relative paths are relative to; None: leave them.

    Raises:
        ConfigurationError: A key is unknown, missing or contradicts another, a value has the wrong type, or a
            secret is given literally.
    """
    kind = section.one_of("type", _TYPES)
    if kind is None:
        raise section.error(None, f"lacks `type`: add a line such as `type: duckdb`; known: {', '.join(_TYPES)}")
    section.refuse_unknown(["type", *(each.name for each in fields(_TYPES[kind]))])
    for key, value in section.values.items():
        if isinstance(value, str) and is_malformed(value):
            raise section.error(
                key,
                "has a `${` that is no reference: write ${NAME}, a name of letters, digits and underscores",
            )
    match kind:
        case "duckdb":
            return _parse_duckdb(section, folder)
        case "postgres":
            return _parse_postgres(section)
        case "snowflake":
            return _parse_snowflake(section, folder)
        case _:
            return _ENGINES[kind].from_section(section, folder=folder)


def _parse_duckdb(section: Section, folder: Path | None) -> DuckDBConfig:
    return DuckDBConfig(
        path=located(section.required_text("path", "warehouse.duckdb"), folder),
        read_only=section.flag("read_only", default=True),
        allow_external_access=section.flag("allow_external_access", default=False),
    )


def _parse_postgres(section: Section) -> PostgresConfig:
    url = section.text("url")
    if url is not None:
        both = [key for key in _PIECES if section.values.get(key) is not None]
        if both:
            raise section.error(both[0], "cannot stand beside `url`: keep either the URL or its pieces")
        fault = url_fault(url)
        if fault is not None:
            raise section.error("url", fault)
        return PostgresConfig(url=url, schema=section.text("schema"))
    return PostgresConfig(
        host=section.required_text("host", "db.example.com"),
        port=port_or_reference(section),
        user=section.required_text("user", "reader"),
        password=secret(section, "password"),
        database=section.required_text("database", "analytics"),
        schema=section.text("schema"),
        sslmode=word_or_reference(section, "sslmode", SSL_MODES),
    )


def _parse_snowflake(section: Section, folder: Path | None) -> SnowflakeConfig:
    proofs = [key for key in _PROOFS if section.values.get(key) is not None]
    if len(proofs) > 1:
        raise section.error(proofs[1], f"cannot stand beside `{proofs[0]}`: keep one way to log in")
    if not proofs:
        raise section.error(None, f"lacks a way to log in: add one of {', '.join(f'`{key}`' for key in _PROOFS)}")
    for key, owner in (("private_key_passphrase", "private_key"), ("authenticator", "token")):
        if section.values.get(key) is not None and not proofs[0].startswith(owner):
            raise section.error(key, f"belongs to `{owner}`, which is not given: remove one or add the other")
    key_path = section.text("private_key_path")
    return SnowflakeConfig(
        account=section.required_text("account", "myorg-myaccount"),
        user=section.required_text("user", "READER"),
        password=secret(section, "password"),
        private_key_path=located(key_path, folder) if key_path is not None else None,
        private_key=secret(section, "private_key"),
        private_key_passphrase=secret(section, "private_key_passphrase"),
        token=secret(section, "token"),
        authenticator=section.one_of("authenticator", TOKEN_KINDS),
        role=section.text("role"),
        warehouse=section.text("warehouse"),
        database=section.text("database"),
        schema=section.text("schema"),
        host=section.text("host"),
        port=port_or_reference(section),
        protocol=word_or_reference(section, "protocol", PROTOCOLS),
        statement_timeout_seconds=statement_timeout(section),
    )
