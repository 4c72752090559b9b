"""How soon the first page can be read when a warehouse yields its first rows at once and the others slowly.

The clock starts when the first batch of rows is in the query actor (`fetching_at` of the status database) and
ends when an HTTP client has page 1. It is compared with waiting for the end, as where a result is one object
that is visible once it is complete. The warehouse is PostgreSQL, with a pause after each further row.

PostgreSQL's driver hands rows over in pieces of about 1 MiB. Rows of 2 kB fill the first piece at once. Rows of
100 bytes do not: their first piece is complete when 10,000 rows were made, and nothing can be shown before.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.connection import Connection
from bench.figures import median
from bench.report import Finding, Report, milliseconds, seconds, times

if TYPE_CHECKING:
    from datetime import datetime

    from bench.stand import RunningService, Stand

__all__ = ["run"]

PAGE_ROWS = 500
AT_ONCE_ROWS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """Seconds of one query."""

    page_after_batch: float  # from the first batch to page 1
    page_after_post: float  # from the request to page 1
    end_after_batch: float  # from the first batch to the query's end


def _sql(row_bytes: int, rows: int, pause_seconds: float) -> str:
    return (
        f"select n, repeat('x', {row_bytes}) as filler, "
        f"case when n > {AT_ONCE_ROWS} then pg_sleep({pause_seconds})::text end as pause "
        f"from generate_series(1, {rows}) as s(n)"
    )


def run(stand: Stand) -> Report:
    """Ask for slow results and time their first page. Takes about a minute."""
    runs, slow_rows = (5, 400) if stand.quick else (7, 1000)
    wide, narrow = [], []
    with stand.service() as service:
        _once(service, _sql(2000, AT_ONCE_ROWS + 1, 0.001))
        for _ in range(runs):
            wide.append(_once(service, _sql(2000, AT_ONCE_ROWS + slow_rows, 0.005)))
            narrow.append(_once(service, _sql(100, 12_000, 0.0001)))
    page = median([taken.page_after_batch for taken in wide])
    end = median([taken.end_after_batch for taken in wide])
    narrow_page = median([taken.page_after_batch for taken in narrow])
    setting = (
        f"PostgreSQL gives {AT_ONCE_ROWS} rows at once and then one each 5 ms (2 kB rows) or 0.1 ms and more (100-byte "
        f"rows); page of {PAGE_ROWS} rows; medians of {runs} queries each, alternating."
    )
    findings = (
        Finding(
            what="first page after the first batch, 2 kB rows",
            ours=milliseconds(page),
            other=f"end of the query: {seconds(end)}",
            ratio=f"{times(end / page)} sooner",
            target="< 1 s",
            met=page < 1,
        ),
        Finding(
            what="first page after the first batch, 100-byte rows",
            ours=milliseconds(narrow_page),
            target="< 1 s",
            met=narrow_page < 1,
        ),
        Finding(
            what="first page after the request, 2 kB rows", ours=seconds(median([t.page_after_post for t in wide]))
        ),
        Finding(
            what="first page after the request, 100-byte rows (driver fills 1 MiB first)",
            ours=seconds(median([t.page_after_post for t in narrow])),
        ),
    )
    return Report(findings=findings, setting=setting)


def _once(service: RunningService, sql: str) -> _Taken:
    with Connection(service.ledger) as connection:
        began = time.time()
        query_uuid: str = connection.execute(sql).results["queryUuid"]
        results: dict[str, object] = {}
        while "rows" not in results:
            results = connection.poll(query_uuid, page=1, pageSize=PAGE_ROWS, waitMs=30_000).results
        readable = time.time()
        connection.ready(query_uuid)
    fetching_at, ended_at = asyncio.run(_marks(service.database_url, query_uuid))
    # The database's clock is this machine's own.
    return _Taken(
        page_after_batch=readable - fetching_at.timestamp(),
        page_after_post=readable - began,
        end_after_batch=(ended_at - fetching_at).total_seconds(),
    )


async def _marks(database_url: str, query_uuid: str) -> tuple[datetime, datetime]:
    from queryfleet.status.postgres import PostgresStatusStore

    statuses = PostgresStatusStore(database_url, connections_max=1)
    await statuses.open()
    try:
        record = await statuses.load(query_uuid)
    finally:
        await statuses.close()
    assert record is not None
    fetching_at, ended_at = record.timings.fetching_at, record.timings.ended_at
    assert fetching_at is not None
    assert ended_at is not None
    return fetching_at, ended_at
