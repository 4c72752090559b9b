"""Rows as Arrow or Parquet on a stream, batch by batch as they are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.cli.output import OutputFormat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from queryfleet.client import Query

__all__ = ["write_batches"]


def write_batches(query: Query, format_: OutputFormat, stream: BinaryIO) -> Iterator[int]:
    """Write every row, and yield how many each step has written; what breaks off lacks the proper end of its format.

    Args:
        query: It may still run.
        format_: Arrow, an IPC stream, or Parquet, with a row group for each chunk.
        stream: Need not be able to seek.

    Raises:
        BrokenPipeError: Nobody reads any more.
        ServiceError: As `Query.batches`.
    """
    import pyarrow as pa

    schema = query.schema()
    sink = pa.PythonFile(stream, mode="w")
    if format_ is OutputFormat.ARROW:
        writer = pa.ipc.new_stream(sink, schema)
    else:
        from pyarrow import parquet

        writer = parquet.ParquetWriter(sink, schema)
    for batch in query.batches():
        writer.write_batch(batch)
        stream.flush()
        yield batch.num_rows
    # Not in a `finally`: the end of the format says that nothing is missing.
    writer.close()
    stream.flush()
