"""Athena and S3 as far as their client can tell, with DuckDB to answer.

Statements are DuckDB's. What is Athena's: its JSON protocol, workgroups and databases, statements that run by
themselves, tokens by which one runs only once, result files in S3, read in ranges, its own pages, errors with a name
and a place. Who asks is known by the key's id; signatures are not checked.
"""

from __future__ import annotations

import bisect
import json
import uuid
from typing import TYPE_CHECKING, ClassVar

import duckdb

from tests.servers.athena_values import column_info, header, lines, texts
from tests.servers.duckdb_service import DuckDBService, JsonHandler
from tests.servers.stored_statement import StoredStatement

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_ID, KEY = "AKIASTUB", "stub-secret-key"
WORKGROUP, CATALOG, DATABASE = "analysts", "AwsDataCatalog", "shop"
OUTPUT = "s3://results/athena/"
_ENDLESS = 2**40
_MANY_PIECES = 1_000


class ResultFile:
    """What a result file holds, made when it is read."""

    def __init__(self, statement: StoredStatement) -> None:
        self._statement = statement
        self._header = header(statement.names)
        self._ends = [len(self._header)]  # of the header, and of the pieces made so far
        self._known = len(statement.pieces) < _MANY_PIECES
        self._last: tuple[int, bytes] = (-1, b"")

    @property
    def size(self) -> int:
        """In bytes; of a result that nobody reads to its end, any."""
        if not self._known:
            return _ENDLESS
        self._reach(_ENDLESS)
        return self._ends[-1]

    def read(self, start: int, end: int) -> bytes:
        """Return a range."""
        self._reach(end)
        found, at = b"", bisect.bisect_right(self._ends, start)
        while at < len(self._ends) and (self._ends[at - 1] if at else 0) < end:
            found += self._part(at)
            at += 1
        first = bisect.bisect_right(self._ends, start)
        begin = self._ends[first - 1] if first else 0
        return found[start - begin : end - begin]

    def _reach(self, end: int) -> None:
        while self._ends[-1] < end and len(self._ends) <= len(self._statement.pieces):
            self._ends.append(self._ends[-1] + len(self._part(len(self._ends))))

    def _part(self, number: int) -> bytes:
        if number == 0:
            return self._header
        if self._last[0] != number:
            self._last = (number, lines(self._statement.pieces[number - 1].make()))
        return self._last[1]


class Handler(JsonHandler):
    """Answers requests of one connection."""

    stub: ClassVar[AthenaStub]

    def post(self) -> None:
        """Do what the target says."""
        body = json.loads(self.body())
        if f"Credential={KEY_ID}/" not in self.headers.get("Authorization", ""):
            self._refuse("UnrecognizedClientException", "The security token included in the request is invalid.")
            return
        target = self.headers["X-Amz-Target"].removeprefix("AmazonAthena.")
        self.stub.requests.append((target, body))
        getattr(self, f"_{target}")(body)

    def get(self) -> None:
        """Hand out a range of a result file."""
        statement = self._stored()
        if statement is None:
            return
        if self.stub.broken == statement.id:
            self.hang_up()
            return
        file = self.stub.files.setdefault(statement.id, ResultFile(statement))
        start, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        size = file.size
        data = file.read(int(start), min(int(last) + 1, size))
        where = {"Content-Range": f"bytes {start}-{int(start) + len(data) - 1}/{size}", "ETag": '"stub"'}
        self.stub.ranges.append((int(start), len(data)))
        if self.stub.cuts > 0:
            self.stub.cuts -= 1
            self._cut(data, where)
            return
        self.send(206, data, kind="application/octet-stream", headers=where)

    def head(self) -> None:
        """Tell whether a result file is there."""
        if self._stored() is not None:
            self.send(200, b"")

    def _stored(self) -> StoredStatement | None:
        reference = self.path.partition("?")[0].rpartition("/")[2].removesuffix(".csv")
        statement = self.stub.executions.get(reference)
        if statement is None or not self.path.startswith("/results/athena/") or not self.path.endswith(".csv"):
            self.send(404, b"" if self.command == "HEAD" else b"<Error><Code>NoSuchKey</Code></Error>")
            return None
        return statement

    def _cut(self, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.hang_up()

    def _GetWorkGroup(self, body: dict) -> None:  # noqa: N802 - Athena's name
        if body["WorkGroup"] != WORKGROUP:
            self._refuse("InvalidRequestException", "WorkGroup is not found.", athena="INVALID_INPUT")
            return
        settings = {"ResultConfiguration": {"OutputLocation": OUTPUT}}
        self.answer(200, {"WorkGroup": {"Name": WORKGROUP, "State": self.stub.state, "Configuration": settings}})

    def _GetDatabase(self, body: dict) -> None:  # noqa: N802
        if (body["CatalogName"], body["DatabaseName"]) != (CATALOG, DATABASE):
            self._refuse("MetadataException", f"Database {body['DatabaseName']} not found.")
            return
        self.answer(200, {"Database": {"Name": DATABASE}})

    def _StartQueryExecution(self, body: dict) -> None:  # noqa: N802
        try:
            self.stub.database.extract_statements(body["QueryString"])
        except duckdb.Error as error:
            found, place = self.stub.placed(body["QueryString"], error)
            at = "" if place is None else f"line {place[0]}:{place[1]}: "
            self._refuse("InvalidRequestException", at + found.message, athena="MALFORMED_QUERY")
            return
        statement = self.stub.start(body)
        if self.stub.lost > 0:
            self.stub.lost -= 1
            self.hang_up()
        else:
            self.answer(200, {"QueryExecutionId": statement.id})

    def _StopQueryExecution(self, body: dict) -> None:  # noqa: N802
        statement = self._found(body)
        if statement is not None:
            statement.stop("CANCELLED")
            self.answer(200, {})

    def _GetQueryExecution(self, body: dict) -> None:  # noqa: N802
        statement = self._found(body)
        if statement is None:
            return
        kind, detail, file = self.stub.kind(statement)
        execution = {
            "QueryExecutionId": statement.id,
            "Query": statement.sql,
            "StatementType": kind,
            "SubstatementType": detail,
            "ResultConfiguration": {"OutputLocation": file} if file else {},
            "WorkGroup": WORKGROUP,
            "EngineVersion": {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"},
            "Status": self.stub.status(statement),
        }
        self.answer(200, {"QueryExecution": execution})

    def _GetQueryResults(self, body: dict) -> None:  # noqa: N802
        statement = self._found(body)
        if statement is None:
            return
        if statement.changed is not None:
            counted = [{"Name": "rows", "Type": "bigint"}]
            self.answer(200, {"UpdateCount": statement.changed, **_result_set([], counted)})
            return
        info = column_info(statement.names, statement.types)
        rows: list[list[str | None]] = []
        if self.stub.kind(statement)[0] == "DML":
            rows.append(list(statement.names))
        if body["MaxResults"] > 1:
            for piece in statement.pieces:
                rows += map(list, zip(*(array.to_pylist() for array in texts(piece.make())), strict=True))
        start = int(body.get("NextToken") or 0)
        page = rows[start : start + body["MaxResults"]]
        answer = {"UpdateCount": 0, **_result_set(page, info)}
        if start + len(page) < len(rows):
            answer["NextToken"] = str(start + len(page))
        self.answer(200, answer)

    def _found(self, body: dict) -> StoredStatement | None:
        reference = body["QueryExecutionId"]
        statement = self.stub.executions.get(reference)
        if statement is None:
            message = f"QueryExecution {reference} was not found"
            self._refuse("InvalidRequestException", message, athena="QUERY_EXECUTION_NOT_FOUND")
        return statement

    def _refuse(self, kind: str, message: str, *, athena: str | None = None) -> None:
        more = {} if athena is None else {"AthenaErrorCode": athena, "ErrorCode": athena}
        self.answer(400, {"__type": kind, "Message": message, **more})


def _result_set(rows: list[list[str | None]], info: list[dict]) -> dict:
    data = [{"Data": [{} if value is None else {"VarCharValue": value} for value in row]} for row in rows]
    return {"ResultSet": {"Rows": data, "ResultSetMetadata": {"ColumnInfo": info}}}


class AthenaStub(DuckDBService):
    """Athena and S3; run while the context lasts."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.reset()

    def reset(self) -> None:
        """Forget all statements and faults."""
        self.executions.clear()
        self.files: dict[str, ResultFile] = {}
        self.tokens: dict[str, StoredStatement] = {}
        self.requests: list[tuple[str, dict]] = []
        self.ranges: list[tuple[int, int]] = []  # start and length of those handed out
        self.broken: str | None = None
        self.state = "ENABLED"  # of the workgroup
        self.lost = 0  # answers to submissions that do not arrive
        self.cuts = 0  # ranges that break off in the middle
        self.managed = False  # Athena keeps results itself

    def start(self, body: dict) -> StoredStatement:
        """Begin a statement, once for each token."""
        token = body["ClientRequestToken"]
        if token not in self.tokens:
            comment, _, sql = body["QueryString"].partition("\n")
            found = StoredStatement(str(uuid.uuid4()), sql, self, comment=comment)
            self.executions[found.id] = self.tokens[token] = found
        return self.tokens[token]

    def kind(self, statement: StoredStatement) -> tuple[str, str, str | None]:
        """Return type, subtype, and where the result is."""
        if statement.changed is not None:
            return "DML", "INSERT", f"{OUTPUT}{statement.id}"
        if statement.sql.lower().startswith(("show", "describe")):
            return "UTILITY", "SHOW_TABLES", None if self.managed else f"{OUTPUT}{statement.id}.txt"
        return "DML", "SELECT", None if self.managed else f"{OUTPUT}{statement.id}.csv"

    def status(self, statement: StoredStatement) -> dict:
        """Return how far a statement is."""
        if not statement.over.is_set():
            return {"State": "RUNNING"}
        if statement.error is None:
            return {"State": "SUCCEEDED"}
        if statement.stopped is not None:
            return {"State": "CANCELLED", "StateChangeReason": "Query cancelled by user"}
        found, place = self.placed(statement.sql, statement.error)
        missing = isinstance(statement.error, duckdb.CatalogException)
        at = "" if place is None else f"line {place[0] + 1}:{place[1]}: "  # there is a comment above
        reason = f"{'TABLE_NOT_FOUND' if missing else 'SYNTAX_ERROR'}: {at}{found.message}"
        error = {"ErrorCategory": 2, "ErrorType": 1301 if missing else 1006, "Retryable": False, "ErrorMessage": reason}
        return {"State": "FAILED", "StateChangeReason": reason, "AthenaError": error}
