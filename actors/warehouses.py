"""From a project's stored definition to a warehouse; secrets are taken from this process's environment, here only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from queryfleet.errors import NotSupportedError
from queryfleet.project import DuckDBConfig, PostgresConfig, Project

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue
    from queryfleet.warehouse.base import Warehouse
    from queryfleet.warehouse_config import WarehouseConfig

__all__ = ["open_warehouse", "resolved_config", "warehouse_of"]


def open_warehouse(definition: dict[str, JsonValue]) -> Warehouse:
    """Return the warehouse of a stored project; raises like the two steps it consists of."""
    return warehouse_of(resolved_config(definition))


def resolved_config(definition: dict[str, JsonValue]) -> WarehouseConfig:
    """Return where a stored project's warehouse is, secrets put in: never to be stored or shown.

    Raises:
        ConfigurationError: A variable that the definition refers to is missing, or something in it is wrong.
    """
    return Project.from_json(definition).warehouse.resolved(os.environ)


def warehouse_of(config: WarehouseConfig) -> Warehouse:
    """Return the warehouse of a resolved configuration.

    Raises:
        NotSupportedError: There is no driver for this type yet.
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
    raise NotSupportedError(f"Warehouses of type {config.type} are not available yet.", type=config.type)
