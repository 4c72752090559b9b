"""BigQuery's REST interface as far as a client can tell, with DuckDB to answer.

Statements are DuckDB's. What is BigQuery's: logging in with a service account, jobs with ids of the client's own,
waiting, pages of rows as JSON, cancelling, errors with a reason and a place, a limit on the running time, labels.

BigQuery has rows once a job is done. Here a job of very many rows counts as done while it still computes, so that
results that take minutes to read need no minutes to make.
"""

from __future__ import annotations

import json
import threading
import time
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import duckdb

from queryfleet.warehouse.duckdb_errors import query_error
from tests.servers.bigquery_values import fields_of, rows_of
from tests.servers.duckdb_service import DuckDBService, JsonHandler

PROJECT, ACCOUNT, TOKEN = "shop-project", "reader@shop-project.iam.gserviceaccount.com", "stub-token"
PIECE_ROWS = 2_000
ENOUGH_ROWS = 40_000  # that are made before a job counts as done
AHEAD_ROWS = 60_000  # that are made ahead of who reads


class Job:
    """One statement and the rows it has made."""

    def __init__(self, reference: str, configuration: dict, database: duckdb.DuckDBPyConnection) -> None:
        self.id, self.configuration = reference, configuration
        self.sql: str = configuration["query"]["query"]
        self.cursor = database.cursor()
        self.relation = self._bound()
        self.fields = None if self.relation is None else fields_of(self.relation)
        self.rows: list[str] = []  # as JSON
        self.changed: int | None = None
        self.error: dict | None = None
        self.over, self.enough = threading.Event(), threading.Event()
        self.read_to = 0
        self._stopped: str | None = None
        threading.Thread(target=self._run, daemon=True).start()
        if "jobTimeoutMs" in configuration:
            timer = threading.Timer(int(configuration["jobTimeoutMs"]) / 1000, self.stop, ["timeout"])
            timer.daemon = True
            timer.start()

    def _bound(self) -> duckdb.DuckDBPyRelation | None:
        if self.sql.lower().startswith(("insert", "delete", "update")):
            return None
        return self.cursor.sql(self.sql)

    def stop(self, reason: str) -> None:
        """End the job, for the reason BigQuery would give."""
        if not self.over.is_set():
            self._stopped = reason
            while not self.over.wait(0.01):
                self.cursor.interrupt()

    def _run(self) -> None:
        try:
            if self.relation is None:
                self.changed = int(self.cursor.execute(self.sql).fetchone()[0])
                return
            for batch in self.relation.to_arrow_reader(PIECE_ROWS):
                self.rows += rows_of(batch)
                if len(self.rows) >= ENOUGH_ROWS:
                    self.enough.set()
                while len(self.rows) > self.read_to + AHEAD_ROWS and self._stopped is None:
                    self.over.wait(0.005)
                if self._stopped is not None:
                    raise InterruptedError  # noqa: TRY301 - handled like DuckDB's own
        except Exception as error:  # noqa: BLE001 - whatever DuckDB says is the client's to hear
            words = {"timeout": "Job execution was cancelled: Job timed out", "stopped": "Job execution was cancelled"}
            text = words.get(self._stopped or "", query_error(str(error), sql=self.sql).message)
            self.error = {"reason": self._stopped or "invalidQuery", "message": text}
        finally:
            self.over.set()
            self.enough.set()

    def page(self, start: int, count: int) -> list[str]:
        """Return the rows from `start` on, at most `count`."""
        limit = time.monotonic() + 30
        while len(self.rows) < start + count and not self.over.is_set() and time.monotonic() < limit:
            self.read_to = start
            self.over.wait(0.005)
        self.read_to = start + count
        return self.rows[start : start + count]


class Handler(JsonHandler):
    """Answers requests of one connection."""

    stub: ClassVar[BigQueryStub]

    def post(self) -> None:
        body = self.body()
        path = urlsplit(self.path).path
        if path == "/token":
            self._token(parse_qs(body.decode())["assertion"][0])
            return
        if not self._allowed():
            return
        if path.endswith("/cancel"):
            job = self.stub.executions.get(path.split("/")[-2])
            if job is None:
                self._refuse(404, "notFound", "Not found: Job")
                return
            threading.Thread(target=job.stop, args=["stopped"], daemon=True).start()
            self.answer(200, {"kind": "bigquery#jobCancelResponse", "job": self._resource(job)})
            return
        self._insert(json.loads(body))

    def get(self) -> None:
        parts = urlsplit(self.path)
        if not self._allowed():
            return
        names = parts.path.split("/")
        if names[-1] == "serviceAccount":
            self.answer(200, {"kind": "bigquery#getServiceAccountResponse", "email": ACCOUNT})
            return
        job = self.stub.executions.get(names[-1])
        if job is None:
            self._refuse(404, "notFound", f"Not found: Job {names[-1]}")
        elif names[-2] == "jobs":
            self.answer(200, self._resource(job))
        else:
            self._results(job, {key: value[0] for key, value in parse_qs(parts.query).items()})

    def _token(self, assertion: str) -> None:
        from google.auth import jwt

        if jwt.decode(assertion, verify=False).get("iss") != ACCOUNT:
            self.answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
            return
        self.answer(200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    def _allowed(self) -> bool:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401, "authError", "Request had invalid authentication credentials.")
            return False
        if f"/projects/{PROJECT}/" not in self.path:
            self._refuse(403, "accessDenied", "Access Denied: Project: User does not have bigquery.jobs.create")
            return False
        return True

    def _insert(self, body: dict) -> None:
        reference = body["jobReference"]["jobId"]
        try:
            self.stub.executions[reference] = Job(reference, body["configuration"], self.stub.database)
        except duckdb.Error as error:
            sql = body["configuration"]["query"]["query"]
            found, at = self.stub.placed(sql, error)
            place = "" if at is None else f" at [{at[0]}:{at[1]}]"
            self._refuse(400, "invalidQuery", found.message + place)
            return
        self.answer(200, self._resource(self.stub.executions[reference]))

    def _resource(self, job: Job) -> dict:
        table = {"destinationTable": {"projectId": PROJECT, "datasetId": "_results", "tableId": job.id}}
        status: dict = {"state": "DONE" if job.enough.is_set() else "RUNNING"}
        if job.error is not None:
            status |= {"errorResult": job.error, "errors": [job.error]}
        return {
            "kind": "bigquery#job",
            "id": f"{PROJECT}:US.{job.id}",
            "jobReference": {"projectId": PROJECT, "jobId": job.id, "location": "US"},
            "configuration": {
                "jobType": "QUERY",
                **job.configuration,
                "query": {**job.configuration["query"], **table},
            },
            "status": status,
            "statistics": {"query": {"statementType": "SELECT" if job.relation is not None else "INSERT"}},
        }

    def _results(self, job: Job, given: dict[str, str]) -> None:
        if self.stub.broken == job.id and int(given.get("maxResults", 1)):
            self.hang_up()
            return
        job.enough.wait(min(int(given.get("timeoutMs", 10_000)) / 1000, 0.5))
        done = job.enough.is_set()
        answer: dict = {
            "kind": "bigquery#getQueryResultsResponse",
            "jobReference": {"projectId": PROJECT, "jobId": job.id, "location": "US"},
            "jobComplete": done,
        }
        if job.error is not None and not job.rows:
            self._refuse(400, job.error["reason"], job.error["message"])
            return
        if done and job.fields is not None:
            start = int(given.get("pageToken") or given.get("startIndex") or 0)
            rows = job.page(start, int(given.get("maxResults", 10_000)))
            if job.error is not None and not rows:
                self._refuse(400, job.error["reason"], job.error["message"])
                return
            end = start + len(rows)
            answer |= {"schema": {"fields": job.fields}, "rows": [], "totalRows": str(len(job.rows))}
            if not job.over.is_set() or end < len(job.rows) or job.error is not None:
                answer["pageToken"] = str(end)
            text = json.dumps(answer).replace('"rows": []', f'"rows": [{",".join(rows)}]', 1)
            self.send(200, text.encode())
            return
        if job.changed is not None:
            answer["numDmlAffectedRows"] = str(job.changed)
        self.answer(200, answer)

    def _refuse(self, status: int, reason: str, message: str) -> None:
        error = {"message": message, "domain": "global", "reason": reason}
        self.answer(status, {"error": {"code": status, "message": message, "errors": [error]}})


class BigQueryStub(DuckDBService):
    """The service; runs while the context lasts."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        super().__init__(Handler)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._private_text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def key_file(self, *, account: str = ACCOUNT) -> str:
        """Return the text of a service account's key file."""
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key": self._private_text,
                "client_email": account,
                "token_uri": f"{self.url}/token",
            }
        )
