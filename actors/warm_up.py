"""What a first query would otherwise wait for: imports, driver libraries, parsers, caches. Done once per process.

The way of a query is walked with harmless statements, since importing alone leaves most of it cold: the first statement
of a process would take some 200 ms longer than its second. Nothing here can fail: what cannot be warmed stays cold.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from queryfleet.status.store import StatusStore
    from queryfleet.warehouse.base import Warehouse

__all__ = ["warm_up_status_store", "warm_up_work"]

_PROJECT: dict[str, Any] = {
    "project_uuid": "00000000-0000-4000-8000-000000000000",
    "name": "Warm-up",
    "folder": "/",
    "timezone": "Europe/Berlin",
    "warehouse": {"type": "duckdb", "path": ":memory:"},
}
_SQL = "select 1 as n, 'x' as t, 0.5 as x, current_timestamp as at order by 1"

log = structlog.get_logger()


def warm_up_work(database_url: str) -> None:
    """Run a statement in DuckDB and one in PostgreSQL, and encode, cut and describe their rows. Blocks, 0.5 to 2 s.

    Args:
        database_url: The service's own database, a PostgreSQL like the warehouses: one session reads a constant.
    """
    from actors import execution  # noqa: F401 - imported to be warm
    from actors.warehouses import open_warehouse
    from queryfleet.warehouse.postgres import PostgresWarehouse

    def postgres() -> Warehouse:
        return PostgresWarehouse(conninfo=database_url)

    def duckdb() -> Warehouse:
        return open_warehouse(_PROJECT)

    for opened in (duckdb, postgres):
        try:
            _walk(opened())
        except Exception as error:  # noqa: BLE001 - it is only slower then
            log.warning("warm_up.incomplete", reason=type(error).__name__)


def _walk(warehouse: Warehouse) -> None:
    import json

    from queryfleet.columns import columns_of
    from queryfleet.model import QueryTag
    from queryfleet.results.chunking import ChunkBuilder, ChunkLimits
    from queryfleet.results.encoder import Encoder
    from queryfleet.results.manifest import manifest_document
    from queryfleet.results.page import schema_to_bytes
    from queryfleet.warehouse.base import Statement

    tag = QueryTag(query_uuid=str(uuid.uuid4()), project_uuid="", user_uuid="", context="warm-up")
    limits = ChunkLimits(
        chunk_bytes=1 << 20, chunk_bytes_first=1 << 20, chunk_age_seconds=1.0, chunk_age_seconds_max=1.0, block_rows=100
    )
    builder = ChunkBuilder(tag.query_uuid, 1, limits)
    with warehouse.open() as session:
        session.submit(Statement(sql=_SQL, tag=tag, row_limit=10))
        schema = session.schema()
        encoder = Encoder(schema)
        for batch in session.batches(max_rows=100):
            builder.append(encoder.encode(batch))
    schema_to_bytes(schema)
    last = builder.seal()
    refs = [last.ref] if last is not None else []
    json.dumps(manifest_document(query_uuid=tag.query_uuid, attempt=1, columns=columns_of(schema), chunks=refs))


async def warm_up_status_store(statuses: StatusStore) -> None:
    """Run the statements of a query's life for one that does not exist: none of them changes anything."""
    nobody = str(uuid.uuid4())
    with contextlib.suppress(Exception):
        await statuses.renew(nobody, 0, lease_seconds=1.0)
        await statuses.record_executing(nobody, 0, None)
        await statuses.record_fetching(nobody, 0, columns=[], arrow_schema=b"")
        await statuses.load(nobody)
        await statuses.finish(nobody, 0, chunks=[], row_count=0, byte_count=0, chunk_count=0, ttl_seconds=1.0)
