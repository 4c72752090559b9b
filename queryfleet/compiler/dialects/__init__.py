"""One module per warehouse; `dialect_of` finds the dialect of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from queryfleet.compiler.dialects.base import Dialect, PatternKind
from queryfleet.compiler.dialects.bigquery import BigQueryDialect
from queryfleet.compiler.dialects.clickhouse import ClickHouseDialect
from queryfleet.compiler.dialects.databricks import DatabricksDialect
from queryfleet.compiler.dialects.duckdb import DuckDBDialect
from queryfleet.compiler.dialects.postgres import PostgresDialect
from queryfleet.compiler.dialects.redshift import RedshiftDialect
from queryfleet.compiler.dialects.snowflake import SnowflakeDialect
from queryfleet.compiler.dialects.trino import AthenaDialect, TrinoDialect
from queryfleet.errors import NotSupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DIALECTS", "Dialect", "PatternKind", "dialect_of"]

# By type of the warehouse.
DIALECTS: Final[Mapping[str, Dialect]] = {
    each.name: each
    for each in (
        AthenaDialect(),
        BigQueryDialect(),
        ClickHouseDialect(),
        DatabricksDialect(),
        DuckDBDialect(),
        PostgresDialect(),
        RedshiftDialect(),
        SnowflakeDialect(),
        TrinoDialect(),
    )
}


def dialect_of(warehouse_type: str) -> Dialect:
    """Return the dialect of a type of warehouse.

    Args:
        warehouse_type: As in a project's settings: `postgres`, `duckdb`, …

    Raises:
        NotSupportedError: Models cannot be compiled for it; the message lists those for which they can.
    """
    found = DIALECTS.get(warehouse_type)
    if found is None:
        raise NotSupportedError(
            f"models cannot be compiled for a warehouse of type `{warehouse_type}`; "
            f"they can for: {', '.join(sorted(DIALECTS))}"
        )
    return found
