"""One statement in the Snowflake stub: translated, run on DuckDB, cut into chunks."""

from __future__ import annotations

import base64
import re
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import duckdb

from tests.servers.snowflake_sql import translated
from tests.servers.snowflake_values import ChunkFormat, column_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

INLINE_ROWS, CHUNK_ROWS = 1_000, 10_000
INSERT, SELECT = 0x3100, 0x1000
PLACE = re.compile(r"\n\nLINE (\d+): (.*)\n( *)\^", re.DOTALL)
DATABASE = duckdb.connect(config={"threads": 2, "memory_limit": "1GB"})
DATABASE.execute("set timezone = 'UTC'")
DATABASE.execute("create table target (a integer)")


class Query:
    """Runs from the moment it is made."""

    def __init__(self, sql: str, *, settings: dict[str, Any], user: str | None) -> None:
        self.query_id = str(uuid.uuid4())
        self.sql = sql
        self.settings = settings
        self.user = user
        self.done = threading.Event()
        self.error: dict[str, Any] | None = None
        self.began_at = time.time()
        self.downloads: list[int] = []  # chunks, in the order they were asked for
        self.results = 0  # times the result was asked for
        self._cancelled = self._timed_out = False
        self._cursor = DATABASE.cursor()
        self._pieces: list[
            pa.RecordBatch | tuple[int, int]
        ] = []  # the first one inline; a pair: rows to make when asked
        self._format: ChunkFormat | None = None
        self._total = 0
        self._kind = SELECT
        self._timeout = float(settings.get("STATEMENT_TIMEOUT_IN_SECONDS") or 0)
        threading.Thread(target=self._run, daemon=True).start()

    # What the server asks --------------------------------------------------------------------------------------

    def shown(self) -> dict[str, Any]:
        """Return what a test may look at."""
        return {
            "id": self.query_id,
            "sql": self.sql,
            "tag": self.settings.get("QUERY_TAG"),
            "settings": self.settings,
            "status": self._status,
            "downloads": self.downloads,
            "results": self.results,
        }

    @property
    def _status(self) -> str:
        if not self.done.is_set():
            return "RUNNING"
        return "FAILED_WITH_ERROR" if self.error is not None else "SUCCESS"

    def status(self) -> dict[str, Any]:
        """Return what the monitoring route says."""
        failed = self.error or {}
        return {
            "id": self.query_id, "status": self._status, "state": self._status, "errorCode": failed.get("code"),
            "errorMessage": failed.get("message"), "sqlText": self.sql, "startTime": int(self.began_at * 1000),
        }  # fmt: skip

    def in_progress(self, code: str) -> dict[str, Any]:
        """Return what is said while it runs."""
        data = {
            "queryId": self.query_id,
            "getResultUrl": f"/queries/{self.query_id}/result",
            "queryAbortsAfterSecs": 300,
        }
        message = "Query execution in progress."
        return {"success": True, "code": code, "message": message, "data": data | {"progressDesc": None}}

    def answer(self, *, link: Callable[[Query, int], str]) -> dict[str, Any]:
        """Return the result, or why there is none."""
        if self.error is not None:
            return {"success": False, "code": self.error["code"], "message": self.error["message"],
                    "data": self.error["data"]}  # fmt: skip
        assert self._format is not None
        self.results += 1
        rest = self._pieces[1:]
        first = self._format.encoded(self._pieces[0])
        data = {
            "rowtype": [column.rowtype() for column in self._format.columns], "total": self._total,
            "returned": self._total, "queryId": self.query_id, "statementTypeId": self._kind, "version": 1,
            "queryResultFormat": self._format.name, "parameters": [], "finalDatabaseName": None,
            "finalSchemaName": None, "finalWarehouseName": None, "finalRoleName": None, "numberOfBinds": 0,
            "arrayBindSupported": False, "databaseProvider": None, "sqlState": "00000",
        }  # fmt: skip
        if self._format.name == "arrow":
            data["rowsetBase64"] = base64.b64encode(first).decode()
        else:
            data["rowset"] = self._format.rows(self._pieces[0])
        if rest:
            data["chunkHeaders"] = {"x-stub-chunk": "yes"}
            data["chunks"] = [
                {"url": link(self, number), "rowCount": _rows_of(piece), "uncompressedSize": 100 * _rows_of(piece),
                 "compressedSize": 50 * _rows_of(piece)}
                for number, piece in enumerate(rest, 1)
            ]  # fmt: skip
        return {"success": True, "code": None, "message": None, "data": data}

    def chunk(self, number: int) -> bytes:
        """Return the bytes of one chunk."""
        assert self._format is not None
        self.downloads.append(number)
        piece = self._pieces[number]
        if isinstance(piece, tuple):
            lazy = self._translation.slice(*piece)
            piece = next(_batches(DATABASE.cursor().sql(lazy), CHUNK_ROWS, CHUNK_ROWS))
        return self._format.encoded(piece)

    def cancel(self) -> bool:
        """Stop; False when it had ended."""
        if self.done.is_set():
            return False
        self._cancelled = True
        for _ in range(500):
            if self.done.is_set():
                break
            self._cursor.interrupt()
            self.done.wait(0.01)
        return self.error is not None and self.error["code"] == "000604"

    # The run ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        watch = threading.Timer(self._timeout, self._time_out) if self._timeout else None
        if watch is not None:
            watch.daemon = True
            watch.start()
        try:
            self._execute()
        except (duckdb.Error, OSError, ValueError) as error:
            self.error = self._failure(error)
        if self._cancelled and self.error is None:
            self.error = self._failure(duckdb.InterruptException("INTERRUPT"))
        if watch is not None:
            watch.cancel()
        self.done.set()

    def _time_out(self) -> None:
        self._timed_out = True
        self.cancel()

    def _execute(self) -> None:
        self._translation = translated(self.sql)
        limit = int(self.settings.get("ROWS_PER_RESULTSET") or 0)
        sql = self._translation.slice(0, INLINE_ROWS) if self._translation.lazy else self._translation.sql
        if self._translation.changes:
            (count,) = self._cursor.execute(sql).fetchall()[0]
            sql, self._kind = f'select {count} as "number of rows inserted"', INSERT
        relation = self._cursor.sql(sql)
        if relation is None:
            raise duckdb.ParserException("unsupported statement")
        if limit and not self._translation.lazy:
            relation = relation.limit(limit)
        columns = [
            column_of(name, str(kind), self._translation.types.get(name))
            for name, kind in zip(relation.columns, relation.types, strict=True)
        ]
        wanted = self.settings.get("PYTHON_CONNECTOR_QUERY_RESULT_FORMAT") or "ARROW"
        self._format = ChunkFormat(columns, str(wanted).lower())
        self._pieces = list(_batches(relation, INLINE_ROWS, CHUNK_ROWS))
        self._total = sum(piece.num_rows for piece in self._pieces)
        if self._translation.lazy:
            end = min(limit or self._translation.lazy, self._translation.lazy)
            self._pieces[0] = self._pieces[0].slice(0, end)
            edges = range(INLINE_ROWS, end, CHUNK_ROWS)
            self._pieces += [(first, min(first + CHUNK_ROWS, end)) for first in edges]
            self._total = end

    def _failure(self, error: Exception) -> dict[str, Any]:
        if self._timed_out:
            reason = f"timeout of {self._timeout:.0f} second(s)"
            return self._refusal("000630", "57014", f"Statement reached its statement or warehouse {reason}.")
        if self._cancelled:
            return self._refusal("000604", "57014", "SQL execution canceled")
        text = self._placed(str(error))
        place = PLACE.search(text)
        name = re.search(r'column "([^"]+)" (?:was )?not found', text)
        where = f"line {place[1]} at position {len(place[3]) - len(f'LINE {place[1]}: ')}" if place is not None else ""
        if place is not None and name is not None:
            said = f"SQL compilation error: error {where}\ninvalid identifier '\"{name[1]}\"'"
            return self._refusal("000904", "42000", said)
        if isinstance(error, duckdb.CatalogException):
            return self._refusal("002003", "02000", "SQL compilation error:\nObject does not exist or not authorized.")
        if isinstance(error, duckdb.ParserException) and place is not None:
            return self._refusal("001003", "42000", f"SQL compilation error:\nsyntax error {where} unexpected.")
        return self._refusal("100038", "22018", text.split("\n")[0])

    def _refusal(self, code: str, state: str, message: str) -> dict[str, Any]:
        data = {"queryId": self.query_id, "errorCode": code, "sqlState": state, "internalError": False}
        return {"code": code, "message": message, "data": data}

    def _placed(self, text: str) -> str:
        """Return an error with its place, which DuckDB says of a statement but not of a relation."""
        if "\nLINE " in text or not hasattr(self, "_translation"):
            return text
        try:
            self._cursor.execute(f"explain\n{self._translation.sql}")
        except duckdb.Error as error:
            return re.sub(r"\nLINE (\d+)", lambda line: f"\nLINE {int(line[1]) - 1}", str(error))
        return text


def _rows_of(piece: pa.RecordBatch | tuple[int, int]) -> int:
    return piece[1] - piece[0] if isinstance(piece, tuple) else piece.num_rows


def _batches(relation: duckdb.DuckDBPyRelation, first_rows: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield a result as a first batch of at most `first_rows`, which may be empty, and others of `rows`."""
    import pyarrow as pa

    reader = relation.to_arrow_reader(rows)
    size, held, kept = first_rows, [], 0
    for batch in reader:
        left = batch
        while left.num_rows:
            taken = left.slice(0, size - kept)
            left = left.slice(taken.num_rows)
            held.append(taken)
            kept += taken.num_rows
            if kept == size:
                yield pa.concat_batches(held)
                held, kept, size = [], 0, rows
    if held or size == first_rows:
        yield pa.concat_batches(held) if held else pa.RecordBatch.from_pylist([], schema=reader.schema)
