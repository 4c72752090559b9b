"""A Trino coordinator as far as a client can tell: its REST interface, with DuckDB to answer.

Statements are DuckDB's. What is Trino's: ids, pages fetched one after another, value and type spellings, errors
with name and place, cancelling by `DELETE`, a limit on the running time, client tags.
"""

from __future__ import annotations

import base64
import itertools
import json
import queue
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote

import duckdb

from queryfleet.warehouse.duckdb_errors import query_error, without_prefix
from tests.servers.trino_values import columns_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

USER, PASSWORD = "reader", "s3cret"
PAGE_ROWS = 4_000
WAIT_SECONDS = 0.2  # that an answer is held back for rows


class Execution:
    """One statement and the pages it has made, a few ahead of who fetches them."""

    def __init__(self, number: int, sql: str, headers: dict[str, str], database: duckdb.DuckDBPyConnection) -> None:
        self.id = f"20260101_000000_{number:05d}_stub"
        self.sql, self.headers = sql, headers
        self.columns: list[dict[str, object]] | None = None
        self.error: dict[str, object] | None = None
        self.pages: queue.Queue[list[list[object]] | None] = queue.Queue(2)
        self.over = threading.Event()
        self.last: tuple[int, list[list[object]]] = (-1, [])  # the page handed out, for who asks again
        self._cursor = database.cursor()
        self._stopped: str | None = None
        threading.Thread(target=self._run, daemon=True).start()
        limit = self._limit_seconds()
        if limit is not None:
            timer = threading.Timer(limit, self.stop, ["EXCEEDED_TIME_LIMIT"])
            timer.daemon = True
            timer.start()

    def _limit_seconds(self) -> float | None:
        for pair in self.headers.get("x-trino-session", "").split(","):
            name, _, value = pair.partition("=")
            if name == "query_max_execution_time":
                return float(unquote(value).removesuffix("ms")) / 1000
        return None

    def stop(self, reason: str) -> None:
        """End the statement, for the reason Trino would give."""
        if not self.over.is_set():
            self._stopped = reason
            while not self.over.wait(0.01):
                self._cursor.interrupt()
                with suppress(queue.Empty):
                    self.pages.get_nowait()

    def _run(self) -> None:
        try:
            relation = self._cursor.sql(self.sql)
            if relation is None:  # a statement without a result
                relation = self._cursor.sql("select true as result")
            self.columns = columns_of(relation)
            for batch in relation.to_arrow_reader(PAGE_ROWS):
                self._put(rows_of(batch, self.columns))
        except Exception as error:  # noqa: BLE001 - whatever DuckDB says is the client's to hear
            self.error = self._described(error)
        finally:
            self.over.set()
            with suppress(duckdb.Error):
                self._cursor.close()

    def _put(self, page: list[list[object]]) -> None:
        while True:
            if self._stopped is not None:
                raise InterruptedError
            with suppress(queue.Full):
                self.pages.put(page, timeout=0.05)
                return

    def _described(self, error: Exception) -> dict[str, object]:
        if self._stopped is not None:
            kind = "INSUFFICIENT_RESOURCES" if self._stopped == "EXCEEDED_TIME_LIMIT" else "USER_ERROR"
            return {"message": f"Query was stopped: {self._stopped}", "errorCode": 1, "errorName": self._stopped,
                    "errorType": kind}  # fmt: skip
        found = query_error(self._located(error), sql=self.sql)
        name = "TABLE_NOT_FOUND" if isinstance(error, duckdb.CatalogException) else "SYNTAX_ERROR"
        described = {"message": found.message, "errorCode": 46, "errorName": name, "errorType": "USER_ERROR"}
        line, position = found.details.get("lineNumber"), found.details.get("position")
        if isinstance(line, int) and isinstance(position, int):
            column = position - (self.sql.rfind("\n", 0, position - 1) + 1)
            described["errorLocation"] = {"lineNumber": line, "columnNumber": column}
            described["message"] = f"line {line}:{column}: {found.message}"
        return described

    def _located(self, error: Exception) -> str:
        """Ask again for an error that DuckDB reports without its place."""
        if not isinstance(error, duckdb.CatalogException | duckdb.BinderException):
            return str(error)
        try:
            self._cursor.execute(f"explain {self.sql}")
        except duckdb.Error as located:
            return without_prefix(str(located), prefix="explain ")
        return str(error)

    def page(self, token: int) -> tuple[list[list[object]], bool]:
        """Return a page's rows, perhaps none yet, and whether more may follow."""
        if token == self.last[0]:
            return self.last[1], True
        rows: list[list[object]] = []
        limit = time.monotonic() + WAIT_SECONDS
        while not rows and time.monotonic() < limit:
            with suppress(queue.Empty):
                rows = self.pages.get(timeout=0.01) or []
            if self.over.is_set() and not rows and self.pages.empty():
                return [], False
        self.last = (token, rows)
        return rows, True


class Handler(BaseHTTPRequestHandler):
    """Answers requests of one connection."""

    protocol_version = "HTTP/1.1"
    stub: ClassVar[TrinoStub]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path == "/v1/info":
            self._answer(200, {"starting": False, "nodeVersion": {"version": "999"}})
            return
        if not self._allowed():
            return
        _, _, _, _, query_id, token = self.path.split("/")
        self._next(self.stub.executions[query_id], int(token))

    def do_POST(self) -> None:
        sql = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if not self._allowed():
            return
        if sql == "select version()":
            sql = "select '999' as version"
        execution = self.stub.start(sql, {key.lower(): value for key, value in self.headers.items()})
        self._answer(200, self._state(execution, 0, [], done=False))

    def do_DELETE(self) -> None:
        if not self._allowed():
            return
        execution = self.stub.executions.get(self.path.rpartition("/")[2])
        if execution is not None:
            execution.stop("USER_CANCELED")
        self.send_response(204)
        self.end_headers()

    def _allowed(self) -> bool:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") == expected:
            return True
        self._answer(401, {})
        return False

    def _next(self, execution: Execution, token: int) -> None:
        if self.stub.broken == execution.id:
            self.stub.broken = None
            self.stub.refusing = True
        if self.stub.refusing:
            self.connection.close()
            self.close_connection = True
            return
        rows, more = execution.page(token)
        if execution.error is not None and not rows:
            state = self._state(execution, token, [], done=True)
            self._answer(200, {**state, "error": execution.error})
            return
        self._answer(200, self._state(execution, token, rows, done=not more))

    def _state(self, execution: Execution, token: int, rows: list[list[object]], *, done: bool) -> dict[str, object]:
        base = f"http://127.0.0.1:{self.stub.port}"
        state: dict[str, object] = {
            "id": execution.id,
            "infoUri": f"{base}/ui/query.html?{execution.id}",
            "stats": {"state": "FINISHED" if done else "RUNNING"},
        }
        if execution.columns is not None:
            state["columns"] = execution.columns
        if rows:
            state["data"] = rows
        if not done:
            state["nextUri"] = f"{base}/v1/statement/executing/{execution.id}/{token + 1}"
        return state

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class TrinoStub:
    """A coordinator; runs while the context lasts."""

    def __init__(self) -> None:
        self._database = duckdb.connect(config={"threads": "1"})
        self._database.execute("set timezone = 'UTC'")
        self._database.execute("create table target (a integer)")
        self.executions: dict[str, Execution] = {}
        self._numbers = itertools.count()
        self.broken: str | None = None  # the statement whose next page breaks the connection
        self.refusing = False  # from then on nothing is answered
        handler = type("BoundHandler", (Handler,), {"stub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def start(self, sql: str, headers: dict[str, str]) -> Execution:
        """Begin a statement."""
        execution = Execution(next(self._numbers), sql, headers, self._database)
        self.executions[execution.id] = execution
        return execution

    def running(self) -> Iterator[Execution]:
        """Yield the statements that have not ended."""
        return (each for each in list(self.executions.values()) if not each.over.is_set())

    def rows(self, sql: str) -> list[tuple]:
        """Run a statement as the administrator."""
        return self._database.cursor().execute(sql).fetchall()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for execution in self.running():
            execution.stop("SERVER_SHUTTING_DOWN")
        self._server.shutdown()
        self._server.server_close()
        self._database.close()
