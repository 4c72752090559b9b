"""How to reach a warehouse: one frozen class for each type, keys in the driver's own words.

A configuration has two forms of the same class. As stored, its text may hold references, `${NAME}`, and what
is secret consists of nothing else. `resolved` puts the environment's values in their place; that form is for
the driver, is never stored, and is not shown by `repr`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeAlias, TypeVar

from queryfleet.environment_reference import has_reference, is_malformed, is_only_references, substituted
from queryfleet.errors import ConfigurationError, JsonValue
from queryfleet.postgres_url import URL_SECRET_ADVICE, resolved_url, url_fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.section import Section

__all__ = ["DuckDBConfig", "PostgresConfig", "SnowflakeConfig", "WarehouseConfig", "parse_warehouse"]

PORT_MAX = 65_535
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
PROTOCOLS = ("http", "https")


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
        config = _substituted(self, environ)
        if config.path != ":memory:" and not Path(config.path).is_absolute():
            raise ConfigurationError(
                "`warehouse.path` is not absolute: where it begins with a reference to the environment, "
                "the variable must hold an absolute path",
                field="warehouse.path",
            )
        return config

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `parse_warehouse` reads it back."""
        return _to_json(self)


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
        config = replace(_substituted(replace(self, url=None), environ), url=resolved_url(self.url, environ))
        if config.sslmode is not None and config.sslmode not in SSL_MODES:
            raise ConfigurationError(
                f"`warehouse.sslmode` must be one of {', '.join(SSL_MODES)}", field="warehouse.sslmode"
            )
        return replace(config, port=_port(config.port))

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `parse_warehouse` reads it back."""
        return _to_json(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeConfig:
    """A Snowflake account, with one way to prove who asks: password, key file or token."""

    type: ClassVar[str] = "snowflake"
    account: str
    user: str
    password: str | None = field(default=None, repr=False)
    private_key_path: str | None = None  # PEM file; absolute, or beginning with a reference
    token: str | None = field(default=None, repr=False)
    role: str | None = None
    warehouse: str | None = None
    database: str | None = None
    schema: str | None = None
    host: str | None = None  # these three override what follows from the account
    port: int | str | None = None  # text only as a reference, a number once resolved
    protocol: str | None = None  # `https` or `http`

    def resolved(self, environ: Mapping[str, str]) -> SnowflakeConfig:
        """Return it with the environment's values; `port` is a number then.

        Raises:
            ConfigurationError: A variable is missing, or does not hold a port or protocol where one must be.
        """
        config = _substituted(self, environ)
        if config.protocol is not None and config.protocol not in PROTOCOLS:
            raise ConfigurationError(
                f"`warehouse.protocol` must be one of {', '.join(PROTOCOLS)}", field="warehouse.protocol"
            )
        return replace(config, port=_port(config.port))

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `parse_warehouse` reads it back."""
        return _to_json(self)


WarehouseConfig: TypeAlias = DuckDBConfig | PostgresConfig | SnowflakeConfig
_Config = TypeVar("_Config", DuckDBConfig, PostgresConfig, SnowflakeConfig)

_TYPES: dict[str, type[DuckDBConfig | PostgresConfig | SnowflakeConfig]] = {
    kind.type: kind for kind in (DuckDBConfig, PostgresConfig, SnowflakeConfig)
}
_SECRETS = ("password", "token")
_PIECES = ("host", "port", "user", "password", "database", "sslmode")
_PROOFS = ("password", "private_key_path", "token")


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
        case _:
            return _parse_snowflake(section, folder)


def _parse_duckdb(section: Section, folder: Path | None) -> DuckDBConfig:
    return DuckDBConfig(
        path=_located(section.required_text("path", "warehouse.duckdb"), folder),
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
        port=_port_or_reference(section),
        user=section.required_text("user", "reader"),
        password=_secret(section, "password"),
        database=section.required_text("database", "analytics"),
        schema=section.text("schema"),
        sslmode=_word_or_reference(section, "sslmode", SSL_MODES),
    )


def _parse_snowflake(section: Section, folder: Path | None) -> SnowflakeConfig:
    proofs = [key for key in _PROOFS if section.values.get(key) is not None]
    if len(proofs) > 1:
        raise section.error(proofs[1], f"cannot stand beside `{proofs[0]}`: keep one way to log in")
    if not proofs:
        raise section.error(None, "lacks a way to log in: add `password`, `private_key_path` or `token`")
    key_path = section.text("private_key_path")
    return SnowflakeConfig(
        account=section.required_text("account", "myorg-myaccount"),
        user=section.required_text("user", "READER"),
        password=_secret(section, "password"),
        private_key_path=_located(key_path, folder) if key_path is not None else None,
        token=_secret(section, "token"),
        role=section.text("role"),
        warehouse=section.text("warehouse"),
        database=section.text("database"),
        schema=section.text("schema"),
        host=section.text("host"),
        port=_port_or_reference(section),
        protocol=_word_or_reference(section, "protocol", PROTOCOLS),
    )


def _secret(section: Section, key: str) -> str | None:
    """Return a secret's reference. Anything else, of whatever type, is taken for the secret itself."""
    value = section.values.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not is_only_references(value):
        raise section.error(key, f"must not stand in the file: {URL_SECRET_ADVICE}")
    return value


def _port_or_reference(section: Section) -> int | str | None:
    value = section.values.get("port")
    if isinstance(value, str) and is_only_references(value):
        return value
    return section.whole("port", low=1, high=PORT_MAX)


def _word_or_reference(section: Section, key: str, allowed: tuple[str, ...]) -> str | None:
    value = section.values.get(key)
    if isinstance(value, str) and has_reference(value):
        return value
    return section.one_of(key, allowed)


def _located(path: str, folder: Path | None) -> str:
    """Return the path made absolute, unless it begins with a reference: then the variable has to be."""
    if folder is None or path == ":memory:" or path.startswith("${"):
        return path
    return str(folder / Path(path).expanduser())


def _port(value: int | str | None) -> int | None:
    if value is None or isinstance(value, int):
        return value
    digits = value if value.isascii() and value.isdecimal() and len(value) <= len(str(PORT_MAX)) else "0"
    if not 1 <= int(digits) <= PORT_MAX:
        raise ConfigurationError(
            f"`warehouse.port` must be a whole number from 1 to {PORT_MAX}: correct the environment variable",
            field="warehouse.port",
        )
    return int(digits)


def _substituted(config: _Config, environ: Mapping[str, str]) -> _Config:
    for each in fields(config):
        value = getattr(config, each.name)
        if isinstance(value, str):
            text = substituted(value, environ, field=f"warehouse.{each.name}")
            config = replace(config, **{each.name: text})  # type: ignore[arg-type]  # a field of text
    return config


def _to_json(config: WarehouseConfig) -> dict[str, JsonValue]:
    """Return type and given keys.

    Raises:
        ConfigurationError: A secret is not a reference: this is the resolved form, which must not be stored.
    """
    values: dict[str, JsonValue] = {"type": config.type}
    for each in fields(config):
        value = getattr(config, each.name)
        if value is None:
            continue
        literal = each.name in _SECRETS and not is_only_references(str(value))
        if literal or (each.name == "url" and url_fault(str(value)) is not None):
            raise ConfigurationError(
                f"a warehouse configuration with the value of `{each.name}` put in must not be stored: "
                f"store the unresolved one",
                field=f"warehouse.{each.name}",
            )
        values[each.name] = value
    return values
