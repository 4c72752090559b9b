"""From a project's stored definition to a warehouse; secrets are taken from this process's environment, here only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from actors.engine_warehouses import engine_warehouse_of
from queryfleet.project import DuckDBConfig, PostgresConfig, Project, SnowflakeConfig
from queryfleet.warehouse_config import TOKEN_KINDS

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue
    from queryfleet.warehouse.base import Warehouse
    from queryfleet.warehouse_config import WarehouseConfig

__all__ = ["open_warehouse", "resolved_config", "stop_statement", "warehouse_of"]


def open_warehouse(definition: dict[str, JsonValue]) -> Warehouse:
    """Return the warehouse of a stored project; raises like the two steps it consists of."""
    return warehouse_of(resolved_config(definition))


def stop_statement(definition: dict[str, JsonValue], query_id: str) -> bool:
    """Stop a statement by the warehouse's own id, from outside its session.

    Returns:
        False when nothing was stopped: it has ended, or statements of this warehouse end with their session.

    Raises:
        ServiceError: The warehouse cannot be reached.
    """
    from queryfleet.warehouse.base import StoppableWarehouse

    warehouse = open_warehouse(definition)
    return isinstance(warehouse, StoppableWarehouse) and warehouse.stop(query_id)


def resolved_config(definition: dict[str, JsonValue]) -> WarehouseConfig:
    """Return where a stored project's warehouse is, secrets put in: never to be stored or shown.

    Raises:
        ConfigurationError: A variable that the definition refers to is missing, or something in it is wrong.
    """
    return Project.from_json(definition).warehouse.resolved(os.environ)


def warehouse_of(config: WarehouseConfig) -> Warehouse:
    """Return the warehouse of a resolved configuration.

    Raises:
        ConfigurationError: Its driver is not installed, or cannot do what is configured.
    """
    if isinstance(config, DuckDBConfig):
        from queryfleet.warehouse.duckdb import DuckDBWarehouse

        return DuckDBWarehouse(
            path=config.path, read_only=config.read_only, allow_external_access=config.allow_external_access
        )
    if isinstance(config, PostgresConfig):
        from queryfleet.warehouse.postgres import PostgresWarehouse

        return PostgresWarehouse.from_parts(
            host=config.host,
            port=int(config.port) if config.port is not None else None,
            user=config.user,
            password=config.password,
            database=config.database,
            schema=config.schema,
            sslmode=config.sslmode,
            url=config.url,
        )
    if isinstance(config, SnowflakeConfig):
        return _snowflake(config)
    return engine_warehouse_of(config)


def _snowflake(config: SnowflakeConfig) -> Warehouse:
    from queryfleet.warehouse.snowflake import SnowflakeWarehouse
    from queryfleet.warehouse.snowflake_connector import Login

    login = Login(
        account=config.account,
        user=config.user,
        password=config.password,
        private_key=config.private_key,
        private_key_path=config.private_key_path,
        private_key_passphrase=config.private_key_passphrase,
        token=config.token,
        token_kind=config.authenticator or TOKEN_KINDS[0],
        role=config.role,
        warehouse=config.warehouse,
        database=config.database,
        schema=config.schema,
        host=config.host,
        port=int(config.port) if config.port is not None else None,
        protocol=config.protocol,
    )
    return SnowflakeWarehouse(login=login, statement_timeout_seconds=config.statement_timeout_seconds)
