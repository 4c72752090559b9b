"""Warehouse configurations: what is accepted, what is refused, and that no secret is stored or shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from queryfleet.errors import ConfigurationError
from queryfleet.section import Section
from queryfleet.warehouse_config import (
    AthenaConfig,
    BigQueryConfig,
    ClickHouseConfig,
    DatabricksConfig,
    DuckDBConfig,
    PostgresConfig,
    RedshiftConfig,
    SnowflakeConfig,
    SQLAlchemyConfig,
    TrinoConfig,
    WarehouseConfig,
    parse_warehouse,
)
from queryfleet.yaml_document import YamlDocument

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue

FOLDER = Path("/projects/shop")
POSTGRES: dict[str, JsonValue] = {"type": "postgres", "host": "db", "user": "u", "database": "shop"}
TRINO: dict[str, JsonValue] = {"type": "trino", "host": "t", "user": "u"}
REDSHIFT: dict[str, JsonValue] = {"type": "redshift", "host": "db", "user": "u", "database": "shop"}
CLICKHOUSE: dict[str, JsonValue] = {"type": "clickhouse", "host": "c"}
DATABRICKS: dict[str, JsonValue] = {"type": "databricks", "host": "h", "http_path": "/sql/1.0/warehouses/a"}
ATHENA: dict[str, JsonValue] = {"type": "athena", "region": "r"}
SNOWFLAKE: dict[str, JsonValue] = {"type": "snowflake", "account": "org-acc", "user": "u"}


def parse(values: dict[str, JsonValue], folder: Path | None = FOLDER) -> WarehouseConfig:
    """Parse a mapping as it would stand under `warehouse`."""
    document = YamlDocument(source="project.yml", value={"warehouse": values})
    return parse_warehouse(Section(document=document, values=values, path=("warehouse",)), folder=folder)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"type": "duckdb", "path": "shop.duckdb"}, DuckDBConfig(path="/projects/shop/shop.duckdb")),
        ({"type": "duckdb", "path": "/data/x.duckdb"}, DuckDBConfig(path="/data/x.duckdb")),
        ({"type": "duckdb", "path": ":memory:"}, DuckDBConfig(path=":memory:")),
        ({"type": "duckdb", "path": "${DATA}/x.duckdb"}, DuckDBConfig(path="${DATA}/x.duckdb")),
        ({"type": "duckdb", "path": "d/${N}.duckdb"}, DuckDBConfig(path="/projects/shop/d/${N}.duckdb")),
        (
            {"type": "duckdb", "path": "/x", "read_only": False, "allow_external_access": True},
            DuckDBConfig(path="/x", read_only=False, allow_external_access=True),
        ),
        ({"type": "sqlalchemy", "url": "${URL}"}, SQLAlchemyConfig(url="${URL}")),
        (
            {"type": "sqlalchemy", "url": "mysql+pymysql://u:${P}@db/shop", "statement_timeout_seconds": 60},
            SQLAlchemyConfig(url="mysql+pymysql://u:${P}@db/shop", statement_timeout_seconds=60),
        ),
        (
            {"type": "sqlalchemy", "url": "sqlite:////data/shop.sqlite"},
            SQLAlchemyConfig(url="sqlite:////data/shop.sqlite"),
        ),
        (
            {"type": "clickhouse", "host": "ch", "user": "u", "password": "${P}", "secure": True, "port": 9440},
            ClickHouseConfig(host="ch", user="u", password="${P}", secure=True, port=9440),
        ),
        (
            {"type": "trino", "host": "t", "user": "u", "token": "${T}", "catalog": "c", "http_scheme": "http"},
            TrinoConfig(host="t", user="u", token="${T}", catalog="c", http_scheme="http"),
        ),
        (
            {"type": "bigquery", "project": "p", "credentials_path": "key.json", "maximum_bytes_billed": 10**12},
            BigQueryConfig(project="p", credentials_path="/projects/shop/key.json", maximum_bytes_billed=10**12),
        ),
        (
            {**DATABRICKS, "token": "${T}", "catalog": "c", "schema": "s"},
            DatabricksConfig(host="h", http_path="/sql/1.0/warehouses/a", token="${T}", catalog="c", schema="s"),
        ),
        (
            {**DATABRICKS, "client_id": "me", "client_secret": "${S}"},
            DatabricksConfig(host="h", http_path="/sql/1.0/warehouses/a", client_id="me", client_secret="${S}"),
        ),
        (ATHENA, AthenaConfig(region="r")),
        (
            {**ATHENA, "profile": "p", "workgroup": "w", "output_location": "s3://b/p/", "database": "d"},
            AthenaConfig(region="r", profile="p", workgroup="w", output_location="s3://b/p/", database="d"),
        ),
        (
            {**ATHENA, "access_key_id": "k", "secret_access_key": "${S}", "session_token": "${T}"},
            AthenaConfig(region="r", access_key_id="k", secret_access_key="${S}", session_token="${T}"),
        ),
        (REDSHIFT, RedshiftConfig(host="db", user="u", database="shop")),
        (
            {**REDSHIFT, "port": 5440, "password": "${P}", "sslmode": "require"},
            RedshiftConfig(host="db", user="u", database="shop", port=5440, password="${P}", sslmode="require"),
        ),
        (POSTGRES, PostgresConfig(host="db", user="u", database="shop")),
        (
            {**POSTGRES, "port": 5433, "password": "${P}", "schema": "s", "sslmode": "verify-full"},
            PostgresConfig(
                host="db",
                user="u",
                database="shop",
                port=5433,
                password="${P}",
                schema="s",
                sslmode="verify-full",
            ),
        ),
        (
            {**POSTGRES, "port": "${PORT}"},
            PostgresConfig(host="db", user="u", database="shop", port="${PORT}"),
        ),
        ({"type": "postgres", "url": "${URL}", "schema": "s"}, PostgresConfig(url="${URL}", schema="s")),
        ({**SNOWFLAKE, "password": "${P}"}, SnowflakeConfig(account="org-acc", user="u", password="${P}")),
        ({**SNOWFLAKE, "token": "${T}"}, SnowflakeConfig(account="org-acc", user="u", token="${T}")),
        (
            {**SNOWFLAKE, "token": "${T}", "authenticator": "oauth", "statement_timeout_seconds": 60},
            SnowflakeConfig(
                account="org-acc", user="u", token="${T}", authenticator="oauth", statement_timeout_seconds=60
            ),
        ),
        (
            {**SNOWFLAKE, "private_key": "${K}", "private_key_passphrase": "${P}"},
            SnowflakeConfig(account="org-acc", user="u", private_key="${K}", private_key_passphrase="${P}"),
        ),
        (
            {
                **SNOWFLAKE,
                "private_key_path": "key.p8",
                "host": "h",
                "port": 80,
                "protocol": "http",
                "role": "R",
            },
            SnowflakeConfig(
                account="org-acc",
                user="u",
                private_key_path="/projects/shop/key.p8",
                host="h",
                port=80,
                protocol="http",
                role="R",
            ),
        ),
    ],
)
def test_parse_warehouse_right_mapping_is_understood(values: dict[str, JsonValue], expected: WarehouseConfig) -> None:
    """Each type takes its own keys, and the stored form gives an equal configuration back."""
    config = parse(values)
    assert config == expected
    assert parse(config.to_json(), None) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "`warehouse` lacks `type`"),
        ({"type": "duckdbb"}, "`warehouse.type` has a value that is not known; did you mean `duckdb`?"),
        (
            {"type": "oracle"},
            "choose one of: athena, bigquery, clickhouse, databricks, duckdb, postgres, redshift, snowflake, .*trino",
        ),
        ({"type": 5}, "`warehouse.type` must be text, found a number"),
        ({"type": "duckdb"}, "`warehouse` lacks `path`"),
        ({"type": "duckdb", "path": ["x"]}, "`warehouse.path` must be text, found a list"),
        ({"type": "duckdb", "path": " "}, "`warehouse.path` is empty"),
        (
            {"type": "duckdb", "path": "x", "readonly": True},
            "`warehouse.readonly` .* did you mean `read_only`",
        ),
        (
            {"type": "duckdb", "path": "x", "read_only": "yes"},
            "must be true or false without quotes, found text",
        ),
        ({"type": "duckdb", "path": "x", "host": "h"}, "`warehouse.host` is not a known key"),
        ({"type": "duckdb", "path": "${DATA/x"}, "a `\\${` that is no reference"),
        ({"type": "postgres", "host": "db", "user": "u"}, "lacks `database`"),
        ({**POSTGRES, "port": 0}, "`warehouse.port` must be a whole number from 1 to 65535"),
        ({**POSTGRES, "port": "5432"}, "`warehouse.port` must be a whole number from 1 to 65535, found text"),
        ({**POSTGRES, "port": True}, "`warehouse.port` must be a whole number"),
        ({**POSTGRES, "sslmode": "required"}, "did you mean `require`"),
        ({**POSTGRES, "url": "${URL}"}, "`warehouse.host` cannot stand beside `url`"),
        ({"type": "sqlalchemy"}, "lacks `url`"),
        ({"type": "sqlalchemy", "url": "db/shop"}, r"`warehouse\.url` must begin with dialect\+driver://"),
        ({"type": "clickhouse", "host": "ch", "statement_timeout_seconds": 0}, "whole number from 1 to 604800"),
        ({"type": "clickhouse", "user": "u"}, "lacks `host`"),
        ({**TRINO, "password": "${P}", "token": "${T}"}, "`warehouse.token` cannot stand beside `password`"),
        ({**TRINO, "http_scheme": "ftp"}, "choose one of: http, https"),
        (DATABRICKS, "lacks a way to log in"),
        ({**DATABRICKS, "client_id": "me"}, "`warehouse.client_id` needs `client_secret`"),
        ({**DATABRICKS, "token": "${T}", "client_id": "me"}, "`warehouse.client_id` cannot stand beside `token`"),
        ({"type": "databricks", "host": "h", "token": "${T}"}, "lacks `http_path`"),
        ({"type": "athena"}, "lacks `region`"),
        ({**ATHENA, "access_key_id": "k"}, "`warehouse.access_key_id` needs `secret_access_key`"),
        ({**ATHENA, "session_token": "${T}"}, "`warehouse.session_token` needs `access_key_id`"),
        (
            {**ATHENA, "access_key_id": "k", "secret_access_key": "${S}", "profile": "p"},
            "`warehouse.profile` cannot stand beside `access_key_id`",
        ),
        ({**ATHENA, "output_location": "/tmp/x"}, "must be a place in S3"),
        (SNOWFLAKE, "lacks a way to log in"),
        (
            {**SNOWFLAKE, "password": "${P}", "token": "${T}"},
            "`warehouse.token` cannot stand beside `password`",
        ),
        ({**SNOWFLAKE, "token": "${T}", "protocol": "ftp"}, "choose one of: http, https"),
        ({**SNOWFLAKE, "token": "${T}", "authenticator": "jwt"}, "choose one of: oauth, programmatic_access_token"),
        ({**SNOWFLAKE, "password": "${T}", "authenticator": "oauth"}, "`warehouse.authenticator` belongs to `token`"),
        (
            {**SNOWFLAKE, "password": "${T}", "private_key_passphrase": "${P}"},
            "`warehouse.private_key_passphrase` belongs to `private_key`",
        ),
        ({**SNOWFLAKE, "token": "${T}", "statement_timeout_seconds": 0}, "statement_timeout_seconds"),
    ],
)
def test_parse_warehouse_wrong_mapping_is_refused(values: dict[str, JsonValue], message: str) -> None:
    """What is wrong is named by its key, with what to write instead."""
    with pytest.raises(ConfigurationError, match=message):
        parse(values)


@pytest.mark.parametrize("secret", ["hunter2", "hunter2${P}", "", 123456, ["hunter2"], True])
@pytest.mark.parametrize(
    ("base", "key"),
    [
        (POSTGRES, "password"),
        (SNOWFLAKE, "password"),
        (SNOWFLAKE, "token"),
        (SNOWFLAKE, "private_key"),
        (TRINO, "token"),
        (CLICKHOUSE, "password"),
        (DATABRICKS, "token"),
        ({**DATABRICKS, "client_id": "me"}, "client_secret"),
        ({**ATHENA, "access_key_id": "k"}, "secret_access_key"),
    ],
)
def test_parse_warehouse_literal_secret_is_refused(base: dict[str, JsonValue], key: str, secret: JsonValue) -> None:
    """A secret in the file is refused whatever its type; the message does not repeat it."""
    with pytest.raises(
        ConfigurationError, match=rf"`warehouse\.{key}` must not stand in the file.*\$\{{NAME\}}"
    ) as caught:
        parse({**base, key: secret})
    assert "hunter2" not in caught.value.message
    assert "123456" not in caught.value.message


def test_parse_warehouse_url_with_a_password_is_refused() -> None:
    """A URL must not hold a password."""
    with pytest.raises(ConfigurationError, match=r"`warehouse\.url` must not contain the password") as caught:
        parse({"type": "postgres", "url": "postgresql://u:hunter2@db/x"})
    assert "hunter2" not in caught.value.message


def test_resolved_puts_the_environment_in() -> None:
    """References in any text are replaced; ports become numbers; what was stored stays as it was."""
    stored = parse({**POSTGRES, "host": "${H}.internal", "port": "${PORT}", "password": "${P}", "sslmode": "${M}"})
    environ = {"H": "db1", "PORT": "6000", "P": "hunter2", "M": "require"}
    assert stored.resolved(environ) == PostgresConfig(
        host="db1.internal", user="u", database="shop", port=6000, password="hunter2", sslmode="require"
    )
    assert stored.to_json()["password"] == "${P}"


def test_resolved_url_encodes_the_password() -> None:
    """A password of any characters can be put into a URL."""
    stored = parse({"type": "postgres", "url": "postgresql://u:${P}@db/x"})
    assert stored.resolved({"P": "a/b@c:d"}) == PostgresConfig(url="postgresql://u:a%2Fb%40c%3Ad@db/x")


def test_resolved_path_takes_an_absolute_folder() -> None:
    """A path that begins with a variable needs an absolute one in it."""
    stored = parse({"type": "duckdb", "path": "${DATA}/x.duckdb"})
    assert stored.resolved({"DATA": "/data"}) == DuckDBConfig(path="/data/x.duckdb")
    with pytest.raises(ConfigurationError, match="must hold an absolute path"):
        stored.resolved({"DATA": "data"})


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "\u0661", "99999999999999999999"])
def test_resolved_wrong_port_is_refused(port: str) -> None:
    """A variable for the port must hold one."""
    stored = parse({**POSTGRES, "port": "${PORT}"})
    with pytest.raises(ConfigurationError, match=r"`warehouse\.port` must be a whole number"):
        stored.resolved({"PORT": port})


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({**POSTGRES, "sslmode": "${X}"}, "sslmode"),
        ({**SNOWFLAKE, "token": "${T}", "protocol": "${X}"}, "protocol"),
    ],
)
def test_resolved_wrong_word_is_refused(values: dict[str, JsonValue], key: str) -> None:
    """A variable for a word of a closed set must hold one of them."""
    with pytest.raises(ConfigurationError, match=rf"`warehouse\.{key}` must be one of"):
        parse(values).resolved({"X": "sometimes", "T": "t"})


def test_resolved_missing_variable_is_named() -> None:
    """A missing variable is named with the key that refers to it."""
    with pytest.raises(ConfigurationError, match=r"variable SF_TOKEN, which `warehouse\.token` refers to"):
        parse({**SNOWFLAKE, "token": "${SF_TOKEN}"}).resolved({})


@pytest.mark.parametrize(
    "values",
    [
        {**POSTGRES, "password": "${P}"},
        {"type": "postgres", "url": "postgresql://u:${P}@db/x"},
        {"type": "sqlalchemy", "url": "mysql+pymysql://u:${P}@db/x"},
        {**TRINO, "password": "${P}"},
        {**CLICKHOUSE, "password": "${P}"},
        {**REDSHIFT, "password": "${P}"},
        {**SNOWFLAKE, "password": "${P}"},
        {**SNOWFLAKE, "token": "${P}"},
        {**DATABRICKS, "token": "${P}"},
        {**DATABRICKS, "client_id": "me", "client_secret": "${P}"},
        {**ATHENA, "access_key_id": "k", "secret_access_key": "${P}"},
        {**ATHENA, "access_key_id": "k", "secret_access_key": "${P}", "session_token": "${P}"},
    ],
)
def test_resolved_form_is_neither_shown_nor_stored(values: dict[str, JsonValue]) -> None:
    """With the secret put in, `repr` does not show it and `to_json` refuses."""
    resolved = parse(values).resolved({"P": "hunter2"})
    assert "hunter2" not in repr(resolved)
    with pytest.raises(ConfigurationError, match="must not be stored") as caught:
        resolved.to_json()
    assert "hunter2" not in caught.value.message


def test_duckdb_config_relative_path_is_refused_when_used() -> None:
    """A path that nothing made absolute is not looked up in whatever folder a worker happens to run in."""
    with pytest.raises(ConfigurationError, match="is not absolute"):
        replace(DuckDBConfig(path="/x"), path="x").resolved({})


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("dbc-1.cloud.databricks.com", "https://dbc-1.cloud.databricks.com"),
        ("https://adb-1.2.azuredatabricks.net/?o=12", "https://adb-1.2.azuredatabricks.net"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_databricks_config_url_is_the_address_alone(host: str, url: str) -> None:
    """A host as the connection details show it, or the address of a browser, are the same workspace."""
    assert url == DatabricksConfig(host=host, http_path="/sql/1.0/warehouses/a", token="t").url
