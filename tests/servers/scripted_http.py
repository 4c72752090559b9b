"""An HTTP server that gives prepared answers, for what no real service does on demand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Return a whole HTTP answer; underscores in header names become hyphens."""
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def s3_error(status: int, code: str, message: str = "scripted") -> bytes:
    """Return an answer as S3 refuses."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return answer(status, text.encode(), Content_Type="application/xml")


class ScriptedHttp:
    """Gives `answers` one after the other, the last one for ever. An empty one: never answers."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers
        self.requests: list[bytes] = []  # the heads, as received
        self.endpoint_url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.endpoint_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"\r\nexpect: 100-continue\r\n" in head.lower():
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
                self.requests.append(head)
                chosen = self._answers[min(len(self.requests), len(self._answers)) - 1]
                if not chosen:
                    await asyncio.Event().wait()
                writer.write(chosen)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # also the last: asyncio logs an error for a handler that ends cancelled
        finally:
            writer.transport.abort()
