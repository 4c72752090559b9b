"""What the stubs of warehouse services have in common: an HTTP server of their own, and DuckDB to answer."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import duckdb

from queryfleet.warehouse.duckdb_errors import query_error, without_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from queryfleet.errors import WarehouseQueryError


class JsonHandler(BaseHTTPRequestHandler):
    """Answers requests of one connection, in JSON."""

    protocol_version = "HTTP/1.1"
    stub: ClassVar[Any]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.get()

    def do_POST(self) -> None:
        self.post()

    def do_DELETE(self) -> None:
        self.delete()

    def do_HEAD(self) -> None:
        self.head()

    def get(self) -> None:
        """Answer a GET."""
        self.answer(405, {})

    post = delete = head = get

    def body(self) -> bytes:
        """Return what was sent."""
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, body: object) -> None:
        """Send an answer as JSON."""
        self.send(status, json.dumps(body).encode())

    def send(
        self, status: int, data: bytes, *, kind: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send an answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(data)

    def hang_up(self) -> None:
        """Close the connection without an answer."""
        self.connection.close()
        self.close_connection = True


class DuckDBService:
    """A service; runs while the context lasts."""

    def __init__(self, handler: type[JsonHandler]) -> None:
        self.database = duckdb.connect(config={"threads": "1"})
        self.database.execute("set timezone = 'UTC'")
        self.database.execute("create table target (a integer)")
        self.executions: dict[str, Any] = {}  # statements, each with `id`, `sql`, `over` and `stop(reason)`
        self.broken: str | None = None  # the statement whose rows break the connection
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (handler,), {"stub": self}))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def placed(self, sql: str, error: Exception) -> tuple[WarehouseQueryError, tuple[int, int] | None]:
        """Return an error of DuckDB, and its line and column, both from 1, where it has a place.

        Some errors have one only when they are asked for again.
        """
        text = str(error)
        if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
            try:
                self.database.cursor().execute(f"explain {sql}")
            except duckdb.Error as located:
                text = without_prefix(str(located), prefix="explain ")
        found = query_error(text, sql=sql)
        line, position = found.details.get("lineNumber"), found.details.get("position")
        if not isinstance(line, int) or not isinstance(position, int):
            return found, None
        return found, (line, position - (sql.rfind("\n", 0, position - 1) + 1))

    def running(self) -> Iterator[Any]:
        """Yield the statements that have not ended."""
        return (each for each in list(self.executions.values()) if not each.over.is_set())

    def rows(self, sql: str) -> list[tuple]:
        """Run a statement as the administrator."""
        return self.database.cursor().execute(sql).fetchall()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for execution in self.running():
            execution.stop("stopped")
        self._server.shutdown()
        self._server.server_close()
        self.database.close()
