"""A large result in a data scientist's hands: the client against the stock client's pages, and against bare reading.

The result is stored once. Everything that reads it is a process of its own, after a small warm-up. Bare reading takes
the very chunks from the S3 server, one library call a chunk, without checksums, and lets PyArrow or Polars guess the
types; the client also asks for links, checks every chunk, and restores the types of the warehouse.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.connection import Connection
from bench.figures import median
from bench.report import Finding, Report, seconds, times
from cluster.local.sample import PROJECT_UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.stand import RunningService, Stand

__all__ = ["run"]

T = TypeVar("T")

RUNS = 5
STOCK_ROWS = 50_000
_ROW_BYTES = 250
_AT_ONCE = 4  # chunks; what the client does when it is not told
_TIMEOUT_SECONDS = 600.0
_SQL = """
select i as sale_id, i * 7919 % 1000003 as customer_id, (i % 12 + 1)::smallint as quantity,
       (i * 12345.67 % 100000)::decimal(12, 2) as amount, i * 0.137::double as weight,
       timestamp '2024-01-01' + to_seconds(i * 31) as sold_at, date '2024-01-01' + (i % 700)::integer as due_on,
       ['placed', 'shipped', 'completed', 'returned'][i % 4 + 1] as status,
       ['Oslo', 'Zürich', '東京', 'São Paulo', 'Kraków'][i % 5 + 1] as city,
       case when i % 5 = 0 then 'leave it with the neighbour, "please"' end as note, i % 11 = 0 as is_gift
from range({rows}) as t(i)
"""


def run(stand: Stand) -> Report:
    """Store a result and read it. Takes about a minute for 250 MB."""
    rows = (10 if stand.quick else stand.megabytes) * 1_000_000 // _ROW_BYTES
    runs = 1 if stand.quick else RUNS
    with stand.service() as service:
        query_uuid = service.run(_SQL.format(rows=rows))
        with Connection(service.shop) as connection:
            stored = connection.ready(query_uuid)["progress"]["bytes"]
        found = _measured(service, query_uuid, runs=runs)
    setting = (
        f"{rows:,} rows of 11 columns, {stored / 1e6:.0f} MB of stored lines; medians of {runs} alternating runs in "
        f"one process. The stock client reads the first {found['stock_rows']:,.0f} rows once, in pages of the largest "
        f"size, and is scaled to all rows."
    )
    return Report(findings=_reading(found, rows), setting=setting)


def _reading(found: dict[str, float], rows: int) -> tuple[Finding, ...]:
    ours, stock = found["client"], found["stock"] * rows / found["stock_rows"]
    bare = found["pyarrow"]
    return (
        Finding(
            what="`to_arrow()`",
            ours=seconds(ours),
            other=f"`lightdash`, pages to pandas: {seconds(stock)}",
            ratio=f"{times(stock / ours)} faster",
            target=">= 10x",
            met=stock / ours >= 10,
        ),
        Finding(
            what="`to_arrow()`",
            ours=seconds(ours),
            other=f"PyArrow, chunks from the store: {seconds(bare)}",
            ratio=f"{times(ours / bare)} its time",
            target="<= 1.5x",
            met=ours / bare <= 1.5,
        ),
        Finding(
            what="`to_arrow()`",
            ours=seconds(ours),
            other=f"Polars, chunks from the store: {seconds(found['polars'])}",
            ratio=f"{times(ours / found['polars'])} its time",
        ),
        Finding(
            what="`to_arrow()`, CPU time of the process",
            ours=seconds(found["client_cpu"]),
            other=f"PyArrow: {seconds(found['pyarrow_cpu'])}",
            ratio=f"{times(found['client_cpu'] / found['pyarrow_cpu'])}",
        ),
    )


def _measured(service: RunningService, query_uuid: str, *, runs: int) -> dict[str, float]:
    asked = {
        "url": service.process.url,
        "token": service.process.token,
        "query_uuid": query_uuid,
        "runs": runs,
        "bucket": service.bucket_access(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.client"],
        input=json.dumps(asked),
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _program(asked: dict[str, Any]) -> dict[str, float]:
    """Measure, in a process of its own."""
    from queryfleet.client import Client

    client = Client(asked["url"], token=asked["token"], project=PROJECT_UUID, progress=False)
    result = client.attach(asked["query_uuid"]).result()
    chunks = _chunk_keys(asked)
    readers: dict[str, Callable[[], int]] = {
        "client": lambda: result.to_arrow().num_rows,
        "pyarrow": lambda: _by_pyarrow(asked["bucket"], chunks),
        "polars": lambda: _by_polars(asked["bucket"], chunks),
    }
    taken: dict[str, list[float]] = {name: [] for name in readers}
    spent: dict[str, list[float]] = {name: [] for name in readers}
    for number in range(-1, asked["runs"]):
        for name, read in readers.items():
            began, cpu = time.perf_counter(), time.process_time()
            if read() != len(result):
                raise RuntimeError(f"{name} read other than {len(result)} rows")
            if number >= 0:
                taken[name].append(time.perf_counter() - began)
                spent[name].append(time.process_time() - cpu)
    stock, stock_rows = _stock(asked, len(result))
    found = {name: median(each) for name, each in taken.items()}
    found |= {f"{name}_cpu": median(each) for name, each in spent.items()}
    return found | {"stock": stock, "stock_rows": stock_rows}


def _stock(asked: dict[str, Any], rows: int) -> tuple[float, int]:
    """Return seconds and rows of the stock client's way to a pandas frame, a page after the other."""
    import lightdash
    import pandas as pd
    from lightdash.query import _QueryExecutor

    client = lightdash.Client(asked["url"], asked["token"], PROJECT_UUID)
    size = client.get_query_limits()["maxPageSize"]
    executor = _QueryExecutor(client)
    executor.get_page(asked["query_uuid"], 1, size)
    pages = max(1, min(rows, STOCK_ROWS) // size)
    began, records = time.perf_counter(), []
    for number in range(1, pages + 1):
        page = executor.get_page(asked["query_uuid"], number, size)["rows"]
        # As its results make them of the answer; see lightdash.query.
        records += [{name: cell["value"]["raw"] for name, cell in row.items()} for row in page]
    count = len(pd.DataFrame(records))
    return time.perf_counter() - began, count


def _chunk_keys(asked: dict[str, Any]) -> list[str]:
    files = _file_system(asked["bucket"])
    found = files.find(f"{asked['bucket']['bucket']}")
    return sorted(path for path in found if asked["query_uuid"] in path and path.endswith(".jsonl"))


def _file_system(bucket: dict[str, str]) -> Any:
    import s3fs

    return s3fs.S3FileSystem(
        use_listings_cache=False,
        key=bucket["accessKeyId"],
        secret=bucket["secretAccessKey"],
        client_kwargs={"endpoint_url": bucket["endpoint"], "region_name": "us-east-1"},
    )


def _by_pyarrow(bucket: dict[str, str], chunks: Sequence[str]) -> int:
    import pyarrow as pa
    from pyarrow import json as arrow_json

    tables = _each(bucket, chunks, lambda lines: arrow_json.read_json(pa.BufferReader(lines)))
    return int(pa.concat_tables(tables, promote_options="permissive").num_rows)


def _by_polars(bucket: dict[str, str], chunks: Sequence[str]) -> int:
    import polars as pl

    return pl.concat(_each(bucket, chunks, pl.read_ndjson), how="vertical_relaxed").height


def _each(bucket: dict[str, str], chunks: Sequence[str], parse: Callable[[bytes], T]) -> list[T]:
    """Read and parse all chunks, as many at a time as the client does."""
    files = _file_system(bucket)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(lambda key: parse(files.cat_file(key)), chunks))


if __name__ == "__main__":
    print(json.dumps(_program(json.load(sys.stdin))))
