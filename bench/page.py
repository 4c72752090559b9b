"""Any page of a stored result, against a scan of the result.

A result of some 250 MB is made by the service and lies in its S3 server. Ours are measured twice: the whole
way over HTTP, and the library alone (range reads, checksums, JSON and display texts). The other side is
bench/node/page_scan.mjs on the same bytes as one object in the same S3 server. The rows of both must be equal.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING, Any

from bench.connection import Connection
from bench.figures import median
from bench.node_side import NodeSide
from bench.report import Finding, Report, milliseconds, times

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import pyarrow as pa

    from bench.stand import RunningService, Stand
    from queryfleet.model import ChunkRef
    from queryfleet.results.store import ObjectInfo, ObjectStore

__all__ = ["run"]

PAGE_ROWS = 500
ODD_PAGE_ROWS = 470  # its pages begin and end inside blocks
WHOLE_KEY = "bench/whole.jsonl"
REPEATS = 20  # of ours in each round; one scan takes longer than all of them
SQL = """
select o.order_id, o.ordered_at, c.name as customer, c.city, p.name as product, p.category, o.status, o.quantity,
       o.amount, o.discount, o.is_gift, o.note
from orders o join customers c using (customer_id) join products p using (product_id)
order by o.order_id
"""
COLUMNS = 12


class CountingStore:
    """Another store, whose range reads are counted."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.bytes_read = 0
        self.reads = 0

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def retry_count(self) -> int:
        return self._store.retry_count

    async def put(self, key: str, data: bytes | bytearray | memoryview) -> None:
        await self._store.put(key, data)

    async def get(self, key: str) -> bytes:
        data = await self._store.get(key)
        self.bytes_read += len(data)
        self.reads += 1
        return data

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        data = await self._store.get_range(key, start, end)
        self.bytes_read += len(data)
        self.reads += 1
        return data

    async def delete(self, keys: Sequence[str]) -> None:
        await self._store.delete(keys)

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        return self._store.list(prefix)

    async def close(self) -> None:
        await self._store.close()


class Library:
    """Reads pages of one stored result without the service."""

    def __init__(self, service: RunningService, query_uuid: str) -> None:
        os.environ.setdefault("POLARS_MAX_THREADS", "1")  # as in the service's replicas
        self._service = service
        self._query_uuid = query_uuid
        self.store: CountingStore
        self.chunks: tuple[ChunkRef, ...] = ()
        self._schema: pa.Schema

    async def open(self) -> None:
        from queryfleet.results.page import schema_from_bytes
        from queryfleet.results.store import open_store
        from queryfleet.status.postgres import PostgresStatusStore

        statuses = PostgresStatusStore(self._service.database_url, connections_max=2)
        await statuses.open()
        record = await statuses.load(self._query_uuid)
        assert record is not None
        self.chunks = await statuses.chunks(
            self._query_uuid, record.result_attempt, first_row=0, end_row=record.row_count
        )
        await statuses.close()
        self._schema = schema_from_bytes(record.arrow_schema or b"")
        self.store = CountingStore(open_store(self._service.store_url, self._service.store_options))

    async def put_whole(self) -> int:
        """Store all chunks as one object and return its length."""
        whole = b"".join([await self.store.get(chunk.key) for chunk in self.chunks])
        await self.store.put(WHOLE_KEY, whole)
        return len(whole)

    async def page(self, first: int, count: int) -> tuple[float, float, bytes, float]:
        """Return seconds of reading, seconds in all, the rows as JSON, and bytes read / the page's own bytes."""
        from queryfleet.results.page import render_rows
        from queryfleet.results.reader import read_lines

        before = self.store.bytes_read
        began = time.perf_counter()
        lines = await read_lines(self.store, self.chunks, first, count)
        read = time.perf_counter()
        rows = render_rows(lines, self._schema)
        ended = time.perf_counter()
        return read - began, ended - began, rows, (self.store.bytes_read - before) / len(lines)


def run(stand: Stand) -> Report:
    """Compare pages at the beginning, in the middle and at the end. Takes about a minute."""
    rows, rounds = (100_000, 5) if stand.quick else (1_000_000, 5)
    with stand.service() as service, asyncio.Runner() as runner:
        query_uuid = service.run(SQL, limit=rows)
        library = Library(service, query_uuid)
        runner.run(library.open())
        size = runner.run(library.put_whole())
        prefix = service.store_url.removeprefix("s3://").partition("/")[2]
        setup = {**service.bucket_access(), "key": f"{prefix}/{WHOLE_KEY}"}
        with Connection(service.shop) as connection, NodeSide("page_scan.mjs", setup) as node:
            sides = _Sides(runner, library, connection, node, query_uuid)
            pages = {"first": 1, "middle": rows // PAGE_ROWS // 2, "last": rows // PAGE_ROWS}
            for number in pages.values():
                sides.check(number)
            for _ in range(rounds):
                for name, number in pages.items():
                    sides.measure(name, number)
            odd = [sides.read_share(number) for number in (1, 2, rows // ODD_PAGE_ROWS)]
        runner.run(library.store.close())
    setting = (
        f"{rows:,} rows of {COLUMNS} columns, {size / 1e6:.0f} MB in {len(library.chunks)} chunks; "
        f"pages of {PAGE_ROWS} rows; medians of {rounds} scans and {rounds * REPEATS} pages, alternating."
    )
    return Report(findings=tuple(sides.findings(pages, size, max(odd))), setting=setting)


class _Sides:
    """The four ways to one page, and what they took."""

    def __init__(
        self, runner: asyncio.Runner, library: Library, connection: Connection, node: NodeSide, query_uuid: str
    ) -> None:
        self._runner, self._library, self._node = runner, library, node
        self._connection, self._query_uuid = connection, query_uuid
        self._found: dict[tuple[str, str], list[float]] = {}
        self._shares: list[float] = []

    def _http(self, number: int) -> tuple[float, bytes]:
        answer = self._connection.poll(self._query_uuid, page=number, pageSize=PAGE_ROWS)
        return answer.seconds, answer.body

    def _scan(self, how: str, number: int) -> tuple[float, str]:
        answer = self._node.ask({"how": how, "first": (number - 1) * PAGE_ROWS, "count": PAGE_ROWS})
        return answer["milliseconds"] / 1000, answer["body"]

    def check(self, number: int) -> None:
        """Refuse to measure ways that do not lead to the same rows; also the warm-up of each."""
        _, _, rows, _ = self._runner.run(self._library.page((number - 1) * PAGE_ROWS, PAGE_ROWS))
        expected = _raw(json.loads(rows))
        others = [json.loads(self._http(number)[1])["results"]["rows"]]
        others += [json.loads(self._scan(how, number)[1]) for how in ("readline", "bytes")]
        if len(expected) != PAGE_ROWS or any(_raw(other) != expected for other in others):
            raise RuntimeError(f"the rows of page {number} are not the same on all sides")

    def measure(self, name: str, number: int) -> None:
        """Take one round of one page."""
        for how in ("readline", "bytes"):
            self._note(name, how, self._scan(how, number)[0])
        for _ in range(REPEATS):
            self._note(name, "http", self._http(number)[0])
            read, taken, _, share = self._runner.run(self._library.page((number - 1) * PAGE_ROWS, PAGE_ROWS))
            self._note(name, "read", read)
            self._note(name, "library", taken)
            self._shares.append(share)

    def read_share(self, number: int) -> float:
        """Return how much more than its own bytes a page that fits no block reads."""
        return self._runner.run(self._library.page((number - 1) * ODD_PAGE_ROWS, ODD_PAGE_ROWS))[3]

    def _note(self, name: str, side: str, taken: float) -> None:
        self._found.setdefault((name, side), []).append(taken)

    def findings(self, pages: dict[str, int], size: int, odd_share: float) -> list[Finding]:
        """Sum up."""
        found = {key: median(values) for key, values in self._found.items()}
        lines = []
        for side, title in (("http", "over HTTP"), ("library", "library alone")):
            for name, number in pages.items():
                ratio = found[name, "readline"] / found[name, side]
                lines.append(
                    Finding(
                        what=f"{name} page ({number:,}), {title}",
                        ours=milliseconds(found[name, side]),
                        other=f"Node scan by lines: {milliseconds(found[name, 'readline'])}",
                        ratio=f"{times(ratio)} faster",
                        target=">= 100x",
                        met=ratio >= 100,
                    )
                )
        for side, title, scan, how in (
            ("read", "its lines alone, read and checked", "readline", "lines"),
            ("http", "over HTTP", "bytes", "raw bytes"),
        ):
            mine, other = found["last", side], found["last", scan]
            lines.append(
                Finding(
                    what=f"last page, {title}",
                    ours=milliseconds(mine),
                    other=f"Node scan by {how}: {milliseconds(other)}",
                    ratio=f"{times(other / mine)} faster",
                )
            )
        growth = found["last", "http"] / found["first", "http"]
        lines.append(
            Finding(what="last page against first, over HTTP", ours=times(growth), target="<= 1.5x", met=growth <= 1.5)
        )
        share = max(self._shares)
        read = f"Node reads all {size / 1e6:.0f} MB"
        lines.append(
            Finding(what="bytes read / page's own", ours=times(share), other=read, target="< 2x", met=share < 2)
        )
        lines.append(
            Finding(
                what=f"the same, pages of {ODD_PAGE_ROWS} rows", ours=times(odd_share), target="< 2x", met=odd_share < 2
            )
        )
        return lines


def _raw(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: cell["value"]["raw"] for name, cell in row.items()} for row in rows]
