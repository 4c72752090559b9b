"""BigQuery's Storage Read API: a stored result as Arrow over one gRPC stream, from any row on.

One stream, because only within a stream rows keep the order that the statement gave them. Nothing is made from JSON, as
pages are. It is used where it is there and allowed, for results of more than a page.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog

from queryfleet.errors import WarehouseConnectionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from google.auth.credentials import Credentials
    from google.cloud.bigquery.table import TableReference
    from google.cloud.bigquery_storage import BigQueryReadClient
    from google.cloud.bigquery_storage_v1.reader import ReadRowsStream

__all__ = ["StoredRows", "stored_rows"]

_ANSWER_SECONDS = 60.0

log = structlog.get_logger()


class StoredRows:
    """The rows of one result, read once."""

    def __init__(self, client: BigQueryReadClient, *, stream: str | None, schema: pa.Schema, first_row: int) -> None:
        self._client, self._stream, self._schema, self._first_row = client, stream, schema, first_row
        self._lock = threading.Lock()  # guards the two below
        self._reader: ReadRowsStream | None = None
        self._closed = False

    def batches(self, *, row_count: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows in BigQuery's own batches; the client itself goes on where a stream breaks off.

        Args:
            row_count: Of the whole result.

        Raises:
            WarehouseConnectionError: The stream ended before the last row.
        """
        import pyarrow as pa

        row = self._first_row
        if self._stream is not None:
            for answer in self._opened(self._stream):
                batch = pa.ipc.read_record_batch(
                    pa.py_buffer(answer.arrow_record_batch.serialized_record_batch), self._schema
                )
                row += batch.num_rows
                if batch.num_rows:
                    yield batch
        if row < row_count:
            raise WarehouseConnectionError(
                f"BigQuery delivered {row} rows of a result that has {row_count}.", transient=True
            )

    def _opened(self, stream: str) -> ReadRowsStream:
        reader = self._client.read_rows(stream, offset=self._first_row)
        with self._lock:
            self._reader, closed = reader, self._closed
        if closed:
            reader.cancel()
        return reader

    def close(self) -> None:
        """End the stream, whoever reads it. Callable from any thread; idempotent."""
        with self._lock:
            self._closed, reader = True, self._reader
        if reader is not None:
            reader.cancel()
        self._client.transport.close()


def stored_rows(
    credentials: Credentials | None, table: TableReference, *, project: str, endpoint: str | None, first_row: int
) -> StoredRows | None:
    """Prepare to read a result; None where the interface is not installed, not allowed, or cannot read it.

    Args:
        credentials: Of the client that ran the statement.
        table: Where the result is.
        project: That reads.
        endpoint: Another address than Google's public one; one that begins with `http://` is without TLS and login.
        first_row: Where to begin, from 0.
    """
    if find_spec("google.cloud.bigquery_storage") is None:
        return None
    import pyarrow as pa
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud.bigquery_storage import types

    client = _client(credentials, endpoint)
    wanted = types.ReadSession(table=table.path.removeprefix("/"), data_format=types.DataFormat.ARROW)
    wanted.read_options.arrow_serialization_options.buffer_compression = (
        types.ArrowSerializationOptions.CompressionCodec.LZ4_FRAME
    )
    try:
        session = client.create_read_session(
            parent=f"projects/{project}", read_session=wanted, max_stream_count=1, timeout=_ANSWER_SECONDS
        )
    except GoogleAPICallError as error:
        client.transport.close()
        log.info("bigquery.storage_not_used", reason=error.message)
        return None
    return StoredRows(
        client,
        stream=session.streams[0].name if session.streams else None,
        schema=pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema)),
        first_row=first_row,
    )


def _client(credentials: Credentials | None, endpoint: str | None) -> BigQueryReadClient:
    from google.cloud.bigquery_storage import BigQueryReadClient

    if endpoint is not None and endpoint.startswith("http://"):
        import grpc
        from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

        channel = grpc.insecure_channel(endpoint.removeprefix("http://"))
        return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))
    return BigQueryReadClient(
        credentials=credentials, client_options={"api_endpoint": endpoint} if endpoint is not None else None
    )
