"""Parts in order to the bytes of one file, of any format, with a few parts in memory."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Protocol

from queryfleet.export.options import ExportFormat
from queryfleet.export.parts import stream_head, stream_tail
from queryfleet.export.typed import typed_schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    import pyarrow as pa

    from queryfleet.export.plan import ExportPlan

__all__ = ["FileBuilder", "file_builder", "file_pieces"]

_ROW_GROUP_ROWS = 131_072  # a row group ends with the first part that reaches this many rows
_ROW_GROUP_BYTES = 64 * 1024 * 1024  # or this many bytes of Arrow


class FileBuilder(Protocol):
    """Turns parts into a file. Used by one thread at a time."""

    def add(self, part: bytes) -> bytes:
        """Take the next part; return the bytes of the file that are there now."""
        ...

    def add_total(self, part: bytes) -> bytes:
        """Take the row of totals, after all parts; return as `add` does."""
        ...

    def end(self) -> Iterator[bytes]:
        """Yield the rest of the file. Nothing may be added any more."""
        ...

    def close(self) -> None:
        """Free what the builder holds, whether or not the file came to its end. Idempotent."""
        ...


def file_builder(plan: ExportPlan) -> FileBuilder:
    """Return what builds the plan's file."""
    match plan.options.format:
        case ExportFormat.XLSX:
            from queryfleet.export.xlsx import XlsxBuilder

            return XlsxBuilder(plan)
        case ExportFormat.PARQUET:
            return _ParquetBuilder(plan)
        case ExportFormat.ARROW:
            return _ArrowBuilder(plan)
        case _:
            return _JoinBuilder(plan)


async def file_pieces(
    plan: ExportPlan, parts: AsyncIterator[bytes], *, total: Callable[[], Awaitable[bytes]] | None = None
) -> AsyncIterator[bytes]:
    """Yield the file in pieces, in threads where it takes time.

    Args:
        plan: Of the file.
        parts: In the order of the rows.
        total: Gives the part of the row of totals, when all others are there; None: the file has no such row.
    """
    builder = await asyncio.to_thread(file_builder, plan)
    try:
        async for part in parts:
            piece = await asyncio.to_thread(builder.add, part)
            if piece:
                yield piece
        if total is not None:
            last_row = await total()
            piece = await asyncio.to_thread(builder.add_total, last_row) if last_row else b""
            if piece:
                yield piece
        rest = builder.end()
        while (last := await asyncio.to_thread(lambda: next(rest, None))) is not None:
            yield last
    finally:
        builder.close()


class _JoinBuilder:
    """Head, parts, tail."""

    def __init__(self, plan: ExportPlan) -> None:
        self._pending = stream_head(plan)
        self._tail = stream_tail(plan)

    def add(self, part: bytes) -> bytes:
        head, self._pending = self._pending, b""
        return head + part if head else part

    def add_total(self, part: bytes) -> bytes:
        return self.add(part)

    def end(self) -> Iterator[bytes]:
        rest = self._pending + self._tail
        if rest:
            yield rest

    def close(self) -> None:
        """Nothing is held."""


class _Outlet(io.RawIOBase):
    """A file that is only ever appended to, and drained meanwhile."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # any buffer, as its base
        piece = bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def drain(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class _ArrowBuilder:
    """One record batch for each part, then the file's own index."""

    def __init__(self, plan: ExportPlan) -> None:
        import pyarrow as pa

        self._outlet = _Outlet()
        self._writer = pa.ipc.new_file(pa.PythonFile(self._outlet, mode="w"), typed_schema(plan))

    def add(self, part: bytes) -> bytes:
        for batch in _batches(part):
            self._writer.write_batch(batch)
        return self._outlet.drain()

    def add_total(self, part: bytes) -> bytes:
        raise NotImplementedError(part[:0])

    def end(self) -> Iterator[bytes]:
        self._writer.close()
        yield self._outlet.drain()

    def close(self) -> None:
        self._writer.close()


class _ParquetBuilder:
    """Row groups of whole parts, so that their edges depend on the stored result alone."""

    def __init__(self, plan: ExportPlan) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._outlet = _Outlet()
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._schema = typed_schema(plan)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._outlet, mode="w"), self._schema, compression="zstd", version="2.6"
        )

    def add(self, part: bytes) -> bytes:
        for batch in _batches(part):
            self._batches.append(batch)
            self._rows += batch.num_rows
            self._bytes += batch.nbytes
        if self._rows >= _ROW_GROUP_ROWS or self._bytes >= _ROW_GROUP_BYTES:
            self._write_group()
        return self._outlet.drain()

    def add_total(self, part: bytes) -> bytes:
        raise NotImplementedError(part[:0])

    def end(self) -> Iterator[bytes]:
        if self._rows:
            self._write_group()
        self._writer.close()
        yield self._outlet.drain()

    def close(self) -> None:
        self._writer.close()

    def _write_group(self) -> None:
        import pyarrow as pa

        group = pa.Table.from_batches(self._batches, self._schema)
        self._writer.write_table(group, row_group_size=self._rows)
        self._batches, self._rows, self._bytes = [], 0, 0


def _batches(part: bytes) -> list[pa.RecordBatch]:
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(part)) as reader:
        return list(reader)
