"""BigQuery's Storage Read API as far as a client can tell: the results of a stub's jobs as Arrow over gRPC."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
from google.cloud.bigquery_storage_v1 import types

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    import pyarrow as pa

    from tests.servers.bigquery import BigQueryStub

BATCH_ROWS = 4_000
_SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"


class StorageStub:
    """The service; runs while the context lasts."""

    def __init__(self, jobs: BigQueryStub) -> None:
        self._jobs = jobs
        self.refusing = False  # reading sessions
        self.cuts = 0  # streams that break off after a batch
        self.short = False  # streams end after a batch, as if that were all
        self.offsets: list[int] = []  # of the streams that were opened
        self._server = grpc.server(ThreadPoolExecutor(4))
        self.url = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        create = grpc.unary_unary_rpc_method_handler(
            self._create, types.CreateReadSessionRequest.deserialize, types.ReadSession.serialize
        )
        read = grpc.unary_stream_rpc_method_handler(
            self._read, types.ReadRowsRequest.deserialize, types.ReadRowsResponse.serialize
        )
        handlers = {"CreateReadSession": create, "ReadRows": read}
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, handlers)])

    def _batches(self, job_id: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        cursor = self._jobs.database.cursor()
        reader = cursor.sql(self._jobs.executions[job_id].sql).to_arrow_reader(BATCH_ROWS)
        return reader.schema, iter(reader)

    def _create(self, request: types.CreateReadSessionRequest, context: grpc.ServicerContext) -> types.ReadSession:
        if self.refusing:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "bigquery.readsessions.create denied")
        assert request.max_stream_count == 1
        job_id = request.read_session.table.rpartition("/")[2]
        schema, _ = self._batches(job_id)
        return types.ReadSession(
            name="session",
            streams=[types.ReadStream(name=job_id)],
            arrow_schema=types.ArrowSchema(serialized_schema=schema.serialize().to_pybytes()),
        )

    def _read(self, request: types.ReadRowsRequest, context: grpc.ServicerContext) -> Iterator[types.ReadRowsResponse]:
        self.offsets.append(request.offset)
        skip, (_, batches) = request.offset, self._batches(request.read_stream)
        for batch in batches:
            passed = min(skip, batch.num_rows)
            skip -= passed
            if batch.num_rows == passed:
                continue
            rows = batch.slice(passed)
            yield types.ReadRowsResponse(
                arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=rows.serialize().to_pybytes()),
                row_count=rows.num_rows,
            )
            if self.short:
                return
            if self.cuts > 0:
                self.cuts -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "the stream broke off")

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait()
