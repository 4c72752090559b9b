"""A Databricks workspace as far as a client can tell: the REST interface of its SQL warehouses, on DuckDB.

Statements are DuckDB's. What is Databricks': logging in by token or as a service principal, statements with an id
that run by themselves, manifests, links to pieces that expire, Arrow streams behind them, cancelling by id, errors
with a name, a state and a place, tags.
"""

from __future__ import annotations

import base64
import itertools
import json
import uuid
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs

import duckdb
import pyarrow as pa
import sqlglot

from tests.servers.duckdb_service import DuckDBService, JsonHandler
from tests.servers.stored_statement import StoredStatement

if TYPE_CHECKING:
    from collections.abc import Mapping

WAREHOUSE, TOKEN = "1234567890abcdef", "dapi-stub-token"
CLIENT, CLIENT_SECRET = "11111111-2222-3333-4444-555555555555", "stub-client-secret"
CATALOG, SCHEMA = "main", "shop"
_TYPES = {
    "boolean": ("BOOLEAN", "BOOLEAN"),
    "tinyint": ("BYTE", "TINYINT"),
    "smallint": ("SHORT", "SMALLINT"),
    "integer": ("INT", "INT"),
    "bigint": ("LONG", "BIGINT"),
    "float": ("FLOAT", "FLOAT"),
    "double": ("DOUBLE", "DOUBLE"),
    "varchar": ("STRING", "STRING"),
    "blob": ("BINARY", "BINARY"),
    "date": ("DATE", "DATE"),
    "timestamp with time zone": ("TIMESTAMP", "TIMESTAMP"),
    "timestamp": (None, "TIMESTAMP_NTZ"),
    "json": (None, "VARIANT"),
    "interval": ("INTERVAL", "INTERVAL DAY TO SECOND"),
    '"null"': ("NULL", "VOID"),
}
_NESTED = {"list": "ARRAY", "struct": "STRUCT", "map": "MAP"}


class Handler(JsonHandler):
    """Answers requests of one connection."""

    stub: ClassVar[DatabricksStub]

    def post(self) -> None:
        """Log in, submit, cancel."""
        body = self.body()
        if self.path == "/oidc/v1/token":
            self._token(parse_qs(body.decode()))
        elif not self._allowed():
            pass
        elif self.path == "/api/2.0/sql/statements":
            self._submit(json.loads(body))
        elif self.path.endswith("/cancel"):
            statement = self.stub.executions.get(self.path.split("/")[-2])
            if statement is not None:
                statement.stop("CANCELED")
            self.answer(200, {})
        else:
            self.refuse(404, "ENDPOINT_NOT_FOUND", f"No API found for 'POST {self.path}'")

    def get(self) -> None:
        """Tell of the warehouse, a statement, a piece, or hand a piece out."""
        names = self.path.split("/")
        if self.path.startswith("/storage/"):
            self._download(names[2], int(names[3]), names[4])
        elif not self._allowed():
            pass
        elif names[-2] == "warehouses":
            if names[-1] == WAREHOUSE:
                self.answer(200, {"id": WAREHOUSE, "name": "Shop", "state": "STOPPED"})
            else:
                self.refuse(404, "RESOURCE_DOES_NOT_EXIST", f"SQL warehouse {names[-1]} does not exist.")
        elif (statement := self.stub.executions.get(names[5])) is None:
            self.refuse(404, "NOT_FOUND", f"The statement {names[5]} was not found.")
        elif len(names) > 6:
            self.answer(200, {"external_links": [self._link(statement, int(names[8]))]})
        else:
            self.answer(200, self._state(statement))

    def _token(self, form: Mapping[str, list[str]]) -> None:
        given = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if given != f"{CLIENT}:{CLIENT_SECRET}" or form["grant_type"] != ["client_credentials"]:
            self.answer(401, {"error": "invalid_client", "error_description": "Client authentication failed"})
            return
        self.stub.logins += 1
        self.answer(200, {"access_token": f"{TOKEN}-{self.stub.logins}", "token_type": "Bearer", "expires_in": 3600})

    def _allowed(self) -> bool:
        good = {f"Bearer {TOKEN}", f"Bearer {TOKEN}-{self.stub.logins}"}
        if self.headers.get("Authorization") in good:
            return True
        if self.headers.get("Authorization", "").startswith(f"Bearer {TOKEN}-"):
            self.refuse(401, "UNAUTHENTICATED", "Token is expired.")
        else:
            self.refuse(403, "PERMISSION_DENIED", "Invalid access token.")
        return False

    def _submit(self, body: dict) -> None:
        self.stub.bodies.append(body)
        if self.stub.busy > 0:
            self.stub.busy -= 1
            self.refuse(429, "RESOURCE_EXHAUSTED", "Too many requests.")
            return
        statement = self.stub.start(body)
        self.answer(200, {"statement_id": statement.id, "status": {"state": "PENDING"}})

    def _state(self, statement: StoredStatement) -> dict:
        answer: dict = {"statement_id": statement.id}
        if not statement.over.is_set():
            return answer | {"status": {"state": "RUNNING"}}
        if statement.stopped is not None and statement.error is not None:
            return answer | {"status": {"state": statement.stopped}}
        if statement.error is not None:
            return answer | {"status": {"state": "FAILED", **self.stub.described(statement)}}
        columns = self.stub.columns(statement)
        ends = itertools.accumulate(piece.row_count for piece in statement.pieces)
        chunks = [
            {
                "chunk_index": number,
                "row_offset": end - piece.row_count,
                "row_count": piece.row_count,
                "byte_count": piece.row_count * 120,
            }
            for number, (piece, end) in enumerate(zip(statement.pieces, ends, strict=True))
        ]
        total = statement.row_count if statement.changed is None else 1
        if statement.changed is not None:
            chunks = [{"chunk_index": 0, "row_offset": 0, "row_count": 1, "byte_count": 8}]
        manifest = {
            "format": "ARROW_STREAM",
            "schema": {"column_count": len(columns), "columns": columns},
            "total_chunk_count": len(chunks),
            "chunks": chunks,
            "total_row_count": total,
            "total_byte_count": total * 120,
            "truncated": self.stub.truncated,
        }
        answer |= {"status": {"state": "SUCCEEDED"}, "manifest": manifest}
        if chunks:
            answer["result"] = {"external_links": [self._link(statement, 0)]}
        return answer

    def _link(self, statement: StoredStatement, index: int) -> dict:
        link = f"{self.stub.url}/storage/{statement.id}/{index}/{next(self.stub.links)}"
        found = {"chunk_index": index, "external_link": link, "http_headers": {"X-Stub-Key": "key"}}
        if index + 1 < len(statement.pieces):
            found["next_chunk_index"] = index + 1
        return found

    def _download(self, reference: str, index: int, link: str) -> None:
        if self.headers.get("Authorization") is not None or self.headers.get("X-Stub-Key") != "key":
            self.answer(400, {})  # cloud storage refuses a token of Databricks'
            return
        if self.stub.broken == reference:
            self.hang_up()
            return
        if self.stub.expired > 0:
            self.stub.expired -= 1
            self.answer(403, {})
            return
        self.stub.downloads.append((reference, index, link))
        statement = self.stub.executions[reference]
        if statement.changed is not None:
            counts = pa.array([statement.changed], pa.int64())
            batch = pa.RecordBatch.from_arrays([counts, counts], names=["num_affected_rows", "num_inserted_rows"])
        else:
            batch = spark_batch(statement.pieces[index].make())
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        data = sink.getvalue().to_pybytes()
        self.send(200, data[: self.stub.cut_at], kind="application/vnd.apache.arrow.stream")

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answer with an error."""
        self.answer(status, {"error_code": code, "message": message})


def spark_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Bring DuckDB's Arrow to Spark's: instants name a zone, intervals are durations, nothing is a dictionary."""
    arrays = []
    for array in batch.columns:
        kind = array.type
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            arrays.append(array.cast(pa.timestamp("us", "Etc/UTC")))
        elif pa.types.is_interval(kind):
            days = [None if each is None else f"{each.days} 00:00:00" for each in array.to_pylist()]
            arrays.append(pa.array(days, pa.string()))
        else:
            arrays.append(array.storage if isinstance(array, pa.ExtensionArray) else array)
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


class DatabricksStub(DuckDBService):
    """A workspace; runs while the context lasts."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.links = itertools.count()
        self.reset()

    def reset(self) -> None:
        """Forget all statements and faults."""
        self.executions.clear()
        self.broken: str | None = None
        self.bodies: list[dict] = []  # of submissions
        self.downloads: list[tuple[str, int, str]] = []
        self.logins = 0  # of the service principal; each ends the one before
        self.busy = 0  # submissions that are refused for now
        self.expired = 0  # downloads that are refused
        self.truncated = False
        self.cut_at: int | None = None  # bytes after which a piece ends

    def start(self, body: dict) -> StoredStatement:
        """Begin a statement."""
        sql = body["statement"]
        if sql == "select current_version().dbsql_version":
            sql = "select '2026.40' as dbsql_version"
        if "`" in sql:  # written for Databricks
            (sql,) = sqlglot.transpile(sql, read="databricks", write="duckdb")
        place = (body.get("catalog", CATALOG), body.get("schema", SCHEMA))
        if place != (CATALOG, SCHEMA):
            sql = f'select * from "{place[0]}"."{place[1]}"."no place"'
        found = StoredStatement(
            str(uuid.uuid4()), sql, self, row_limit=body.get("row_limit"), comment=json.dumps(body.get("query_tags"))
        )
        self.executions[found.id] = found
        return found

    def columns(self, statement: StoredStatement) -> list[dict]:
        """Describe the columns as a manifest does."""
        if statement.changed is not None:
            names, types = ["num_affected_rows", "num_inserted_rows"], ["bigint", "bigint"]
        else:
            names, types = statement.names, statement.types
        return [
            {"name": name, "position": number, **_described(kind)}
            for number, (name, kind) in enumerate(zip(names, types, strict=True))
        ]

    def described(self, statement: StoredStatement) -> dict:
        """Describe why a statement failed."""
        error = statement.error
        found, place = self.placed(statement.sql, error)
        missing = isinstance(error, duckdb.CatalogException)
        name, state = ("TABLE_OR_VIEW_NOT_FOUND", "42P01") if missing else ("PARSE_SYNTAX_ERROR", "42601")
        if '"no place"' in statement.sql:
            name, state, place = "SCHEMA_NOT_FOUND", "42704", None
        at = "" if place is None else f"; line {place[0]} pos {place[1] - 1}"
        message = f"[{name}] {found.message} SQLSTATE: {state}{at}"
        return {"error": {"error_code": "BAD_REQUEST", "message": message}, "sql_state": state}


def _described(kind: object) -> dict:
    text = str(kind).lower()
    nested = _NESTED.get(getattr(kind, "id", ""))
    if nested is not None:
        return {"type_name": nested, "type_text": f"{nested}<…>"}
    if text.startswith("decimal"):
        return {"type_name": "DECIMAL", "type_text": text.upper()}
    name, sql = _TYPES.get(text, ("STRING", "STRING"))
    return {"type_text": sql} if name is None else {"type_name": name, "type_text": sql}
