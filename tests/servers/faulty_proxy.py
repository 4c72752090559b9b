"""A TCP proxy that breaks connections on purpose, at a chosen byte."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class FaultyProxy:
    """Forwards to a server until told otherwise. An async context manager.

    `cut_request_after`, `cut_answer_after`: bytes of one connection after which it is closed.
    `stall_request_after`: bytes after which nothing is forwarded any more; `stalled` is set then.
    `faults_left`: connections that still suffer this; then all is well again.
    """

    def __init__(self, endpoint_url: str) -> None:
        target = urlsplit(endpoint_url)
        self._target = (target.hostname, target.port)
        self.cut_request_after: int | None = None
        self.cut_answer_after: int | None = None
        self.stall_request_after: int | None = None
        self.faults_left = 1_000_000
        self.faults_done = 0
        self.stalled = asyncio.Event()
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
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._target)
        faulty = self.faults_left > 0
        request_limit = self.cut_request_after if faulty else None
        answer_limit = self.cut_answer_after if faulty else None
        both = [
            asyncio.create_task(self._pump(reader, upstream_writer, request_limit, stalls=faulty)),
            asyncio.create_task(self._pump(upstream_reader, writer, answer_limit, stalls=False)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # asyncio logs an error for a handler that ends cancelled
        finally:
            for pump in both:
                pump.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for end in (writer, upstream_writer):
                end.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, limit: int | None, *, stalls: bool
    ) -> None:
        passed = 0
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                passed += len(data)
                if limit is not None and passed > limit:
                    self._count_fault()
                    return
                if stalls and self.stall_request_after is not None and passed > self.stall_request_after:
                    self._count_fault()
                    self.stalled.set()
                    while await source.read(65536):
                        pass  # the client still sends; the end of its connection ends this one
                    return
                sink.write(data)
                await sink.drain()

    def _count_fault(self) -> None:
        self.faults_left -= 1
        self.faults_done += 1
