"""A Trino coordinator as far as a client can tell: its REST interface, with DuckDB to answer.

Statements are DuckDB's. What is Trino's: ids, pages fetched one after another, value and type spellings, errors
with name and place, cancelling by `DELETE`, a limit on the running time, client tags.
"""

from __future__ import annotations

import base64
import itertools
import queue
import threading
import time
from contextlib import suppress
from typing import ClassVar
from urllib.parse import unquote

import duckdb

from tests.servers.duckdb_service import DuckDBService, JsonHandler
from tests.servers.trino_values import columns_of, rows_of

USER, PASSWORD = "reader", "s3cret"
PAGE_ROWS = 4_000
WAIT_SECONDS = 0.2  # that an answer is held back for rows


class Execution:
    """One statement and the pages it has made, a few ahead of who fetches them."""

    def __init__(self, number: int, sql: str, headers: dict[str, str], stub: TrinoStub) -> None:
        self.id = f"20260101_000000_{number:05d}_stub"
        self.sql, self.headers = sql, headers
        self.columns: list[dict[str, object]] | None = None
        self.error: dict[str, object] | None = None
        self.pages: queue.Queue[list[list[object]] | None] = queue.Queue(2)
        self.over = threading.Event()
        self.last: tuple[int, list[list[object]]] = (-1, [])  # the page handed out, for who asks again
        self._stub, self._cursor = stub, stub.database.cursor()
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
        found, place = self._stub.placed(self.sql, error)
        name = "TABLE_NOT_FOUND" if isinstance(error, duckdb.CatalogException) else "SYNTAX_ERROR"
        described = {"message": found.message, "errorCode": 46, "errorName": name, "errorType": "USER_ERROR"}
        if place is not None:
            line, column = place
            described["errorLocation"] = {"lineNumber": line, "columnNumber": column}
            described["message"] = f"line {line}:{column}: {found.message}"
        return described

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


class Handler(JsonHandler):
    """Answers requests of one connection."""

    stub: ClassVar[TrinoStub]

    def get(self) -> None:
        if self.path == "/v1/info":
            self.answer(200, {"starting": False, "nodeVersion": {"version": "999"}})
            return
        if not self._allowed():
            return
        _, _, _, _, query_id, token = self.path.split("/")
        self._next(self.stub.executions[query_id], int(token))

    def post(self) -> None:
        sql = self.body().decode()
        if not self._allowed():
            return
        if sql == "select version()":
            sql = "select '999' as version"
        execution = self.stub.start(sql, {key.lower(): value for key, value in self.headers.items()})
        self.answer(200, self._state(execution, 0, [], done=False))

    def delete(self) -> None:
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
        self.answer(401, {})
        return False

    def _next(self, execution: Execution, token: int) -> None:
        if self.stub.broken == execution.id:
            self.stub.broken = None
            self.stub.refusing = True
        if self.stub.refusing:
            self.hang_up()
            return
        rows, more = execution.page(token)
        if execution.error is not None and not rows:
            state = self._state(execution, token, [], done=True)
            self.answer(200, {**state, "error": execution.error})
            return
        self.answer(200, self._state(execution, token, rows, done=not more))

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


class TrinoStub(DuckDBService):
    """A coordinator; runs while the context lasts."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self._numbers = itertools.count()
        self.refusing = False  # from then on nothing is answered

    def start(self, sql: str, headers: dict[str, str]) -> Execution:
        """Begin a statement."""
        execution = Execution(next(self._numbers), sql, headers, self)
        self.executions[execution.id] = execution
        return execution
