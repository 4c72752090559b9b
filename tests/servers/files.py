"""A server of one file whose connections break in the middle, for what no object store does on demand."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class BreakingFile:
    """Bytes that are given from wherever they are asked for, at most `piece` of them before the connection breaks.

    Attributes:
        data: The file.
        piece: Bytes of one answer; None: all.
        ranges: First byte of every request so far.
        knows_ranges: Else every answer begins with the first byte, with status 200.
        refusal: Status to answer with, in place of bytes.
    """

    def __init__(self, data: bytes, *, piece: int | None = None) -> None:
        self.data = data
        self.piece = piece
        self.ranges: list[int] = []
        self.knows_ranges = True
        self.refusal: tuple[int, bytes] | None = None

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Yield its address."""
        file = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = re.match(r"bytes=(\d+)-", self.headers["Range"])
                begin = int(found[1]) if found else 0
                file.ranges.append(begin)
                whole = (206, file.data[begin:]) if file.knows_ranges else (200, file.data)
                status, body = file.refusal or whole
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if file.refusal else body[: file.piece])
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/file?signature=secret"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
