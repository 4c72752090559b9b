"""ClickHouse's own engine behind as much of its HTTP interface as the client uses.

    python -m tests.servers.clickhouse PORT

The engine is the one of the `chdb` package: every statement, type, setting, error and `KILL QUERY` is real. What
is ours is the interface around it: logins, parameters of a request, how a broken result ends.
"""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD, LOCKED_USER = "reader", "s3cret", "locked"
_FORMAT = re.compile(r"\s+FORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_TRANSPORT = {
    "query", "database", "query_id", "wait_end_of_query", "send_progress_in_http_headers", "user", "password",
    "client_protocol_version", "http_headers_progress_interval_ms", "enable_http_compression", "session_id", "role",
}  # fmt: skip


class Engine:
    """One engine for all requests; each request has a handle, so settings stay its own."""

    def __init__(self) -> None:
        import chdb

        self._chdb = chdb
        self._root = chdb.connect(":memory:")
        self._root.query("create table default.target (a Int32) engine = Memory")
        self._root.query("create database shop")
        self._connecting = threading.Lock()

    def handle(self):
        with self._connecting:
            return self._chdb.connect(":memory:")

    def stored(self) -> int:
        """Count the rows of the one table that tests write to."""
        return int(self._root.query("select count() from default.target", "TSV").bytes())


class Handler(BaseHTTPRequestHandler):
    """Answers one client's requests, one after another."""

    protocol_version = "HTTP/1.1"
    engine: Engine
    streams: ClassVar[dict[str, socket.socket]] = {}  # query id → where its result goes

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/ping":
            self._answer(200, b"Ok.\n")
            return
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _serve(self, body: bytes) -> None:
        parameters = {key: value[-1] for key, value in parse_qs(urlsplit(self.path).query).items()}
        user = self._user()
        if user is None:
            self._refuse(403, "Code: 516. DB::Exception: reader: Authentication failed: password is incorrect, or"
                              " there is no user with such name. (AUTHENTICATION_FAILED)")  # fmt: skip
            return
        sql = (parameters.get("query", "") + body.decode()).strip()
        if sql.startswith("cut "):  # not ClickHouse's: for tests of a broken connection
            self.streams[sql.split()[1]].shutdown(socket.SHUT_RDWR)
            self._answer(200, b"")
            return
        handle = self.engine.handle()
        try:
            self._prepare(handle, parameters, user)
            self._run(handle, sql, parameters)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception as error:  # noqa: BLE001 - whatever the engine says is the client's to hear
            text = str(error)
            self._refuse(404 if "Code: 60." in text else 500, text[text.find("Code: ") :] if "Code: " in text else text)
        finally:
            handle.close()

    def _user(self) -> str | None:
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        name, _, password = base64.b64decode(given).decode().partition(":") if given else ("", "", "")
        return name if name in {USER, LOCKED_USER} and password == PASSWORD else None

    def _prepare(self, handle, parameters: dict[str, str], user: str) -> None:
        database = parameters.get("database")
        if database:
            handle.query(f"use `{database}`")
        settings = {key: value for key, value in parameters.items() if key not in _TRANSPORT}
        if user == LOCKED_USER:
            handle.query("set readonly = 1")
        readonly = settings.pop("readonly", None)
        for key, value in settings.items():
            handle.query(f"set {key} = '{value}'")
        if readonly is not None:
            handle.query(f"set readonly = {int(readonly)}")

    def _run(self, handle, sql: str, parameters: dict[str, str]) -> None:
        kind = "TSV"
        match = _FORMAT.search(sql)
        if match is not None:
            sql, kind = sql[: match.start()], match[1]
        if sql.lower().startswith("kill query"):
            # The engine names its statements itself; ours are known by the comment in front.
            sql = re.sub(r"startsWith\(query_id, '([^']*)'\)", r"query like '/* id:\1%'", sql)
            sql = re.sub(r"query_id = '([^']*)'", r"query like '/* id:\1 */%'", sql)
        query_id = parameters.get("query_id", "")
        if query_id:
            sql = f"/* id:{query_id} */ {sql}"
        if kind == "ArrowStream":
            self.streams[query_id] = self.connection
            self._stream(handle, sql)
            return
        before = self.engine.stored()
        data = handle.query(sql, kind).bytes()
        summary = json.dumps({"written_rows": str(self.engine.stored() - before)})
        named = {"X-ClickHouse-Format": kind} if data else {}  # a statement without a result has none
        self._answer(200, data, {"X-ClickHouse-Summary": summary, **named})

    def _stream(self, handle, sql: str) -> None:
        import pyarrow as pa

        try:
            result = handle.send_query(sql, "ArrowStream")
            pieces = iter(result)
            first = next(pieces, None)
        except Exception as error:
            if "Streaming query is not supported" not in str(error):
                raise
            result, pieces, first = None, iter(()), handle.query(sql, "ArrowStream")
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("X-ClickHouse-Format", "ArrowStream")
        self.end_headers()
        writer = None
        try:
            piece = first if first is not None else handle.query(f"select * from ({sql}) limit 0", "ArrowStream")
            sink = io.BytesIO()
            while piece is not None:
                reader = pa.ipc.open_stream(piece.bytes())
                writer = writer or pa.ipc.new_stream(sink, reader.schema)
                for batch in reader:
                    if batch.num_rows:
                        writer.write_batch(batch)
                    self._chunk(sink)
                piece = next(pieces, None)
            if writer is not None:
                writer.close()
            self._chunk(sink)
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # noqa: BLE001 - likewise
            # As the server does: its words in the body, which then ends without its last chunk.
            text = str(error)
            words = f"__exception__\r\n{text[text.find('Code: ') :]}\r\n__exception__\r\n".encode()
            self.wfile.write(f"{len(words):x}\r\n".encode() + words + b"\r\n")
            self.close_connection = True
        finally:
            if result is not None:
                with suppress(Exception):
                    result.close()

    def _chunk(self, sink: io.BytesIO) -> None:
        data = sink.getvalue()
        sink.seek(0)
        sink.truncate()
        for start in range(0, len(data), 1 << 20):
            piece = data[start : start + (1 << 20)]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    def _refuse(self, status: int, text: str) -> None:
        code = re.search(r"Code: (\d+)", text)
        self._answer(status, text.encode(), {"X-ClickHouse-Exception-Code": code[1] if code else "0"})

    def _answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    """Serve until the process is ended."""
    Handler.engine = Engine()
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
