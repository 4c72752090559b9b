"""From a resolved configuration to the warehouse, for those that are services of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.engine_config import (
    AthenaConfig,
    BigQueryConfig,
    ClickHouseConfig,
    DatabricksConfig,
    RedshiftConfig,
    SQLAlchemyConfig,
    TrinoConfig,
)

if TYPE_CHECKING:
    from queryfleet.engine_config import EngineConfig
    from queryfleet.warehouse.base import Warehouse

__all__ = ["engine_warehouse_of"]


def engine_warehouse_of(config: EngineConfig) -> Warehouse:  # noqa: PLR0911 - one line for each
    """Return the warehouse of a resolved configuration.

    Raises:
        ConfigurationError: Its driver is not installed, or cannot do what is configured.
    """
    match config:
        case SQLAlchemyConfig():
            from queryfleet.warehouse.sqlalchemy import SQLAlchemyWarehouse

            return SQLAlchemyWarehouse(url=config.url, statement_timeout_seconds=config.statement_timeout_seconds)
        case ClickHouseConfig():
            return _clickhouse(config)
        case TrinoConfig():
            return _trino(config)
        case BigQueryConfig():
            return _bigquery(config)
        case RedshiftConfig():
            return _redshift(config)
        case DatabricksConfig():
            return _databricks(config)
        case AthenaConfig():
            return _athena(config)


def _clickhouse(config: ClickHouseConfig) -> Warehouse:
    from queryfleet.warehouse.clickhouse import ClickHouseWarehouse

    return ClickHouseWarehouse(
        host=config.host,
        port=_number(config.port),
        user=config.user,
        password=config.password,
        database=config.database,
        secure=config.secure,
        statement_timeout_seconds=config.statement_timeout_seconds,
    )


def _trino(config: TrinoConfig) -> Warehouse:
    from queryfleet.warehouse.trino import TrinoWarehouse

    return TrinoWarehouse(
        host=config.host,
        port=_number(config.port),
        user=config.user,
        password=config.password,
        token=config.token,
        catalog=config.catalog,
        schema=config.schema,
        http_scheme=config.http_scheme or "https",
        statement_timeout_seconds=config.statement_timeout_seconds,
    )


def _bigquery(config: BigQueryConfig) -> Warehouse:
    from queryfleet.warehouse.bigquery import BigQueryWarehouse

    return BigQueryWarehouse(
        project=config.project,
        location=config.location,
        dataset=config.dataset,
        credentials_path=config.credentials_path,
        maximum_bytes_billed=config.maximum_bytes_billed,
        api_endpoint=config.api_endpoint,
        storage_endpoint=config.storage_endpoint,
        statement_timeout_seconds=config.statement_timeout_seconds,
    )


def _redshift(config: RedshiftConfig) -> Warehouse:
    from queryfleet.warehouse.redshift import RedshiftWarehouse

    return RedshiftWarehouse(
        host=config.host,
        port=_number(config.port),
        user=config.user,
        password=config.password,
        database=config.database,
        schema=config.schema,
        sslmode=config.sslmode,
        statement_timeout_seconds=config.statement_timeout_seconds,
    )


def _databricks(config: DatabricksConfig) -> Warehouse:
    from queryfleet.warehouse.databricks import DatabricksWarehouse
    from queryfleet.warehouse.databricks_api import DatabricksLogin

    return DatabricksWarehouse(
        login=DatabricksLogin(
            url=config.url, token=config.token, client_id=config.client_id, client_secret=config.client_secret
        ),
        http_path=config.http_path,
        catalog=config.catalog,
        schema=config.schema,
        statement_timeout_seconds=config.statement_timeout_seconds,
    )


def _athena(config: AthenaConfig) -> Warehouse:
    from queryfleet.warehouse.athena import AthenaWarehouse
    from queryfleet.warehouse.athena_service import AthenaLogin

    return AthenaWarehouse(
        login=AthenaLogin(
            region=config.region,
            access_key_id=config.access_key_id,
            secret_access_key=config.secret_access_key,
            session_token=config.session_token,
            profile=config.profile,
            endpoint_url=config.endpoint_url,
            s3_endpoint_url=config.s3_endpoint_url,
        ),
        database=config.database,
        catalog=config.catalog,
        workgroup=config.workgroup,
        output_location=config.output_location,
        statement_timeout_seconds=config.statement_timeout_seconds,
    )


def _number(port: int | str | None) -> int | None:
    return None if port is None else int(port)
