"""A server that speaks Snowflake's wire protocol to Snowflake's own drivers, and runs the SQL on DuckDB.

It is a process of its own: `python -m tests.servers.snowflake_stub` prints its port. Beside Snowflake's routes it has
`/stub/state`, which shows sessions and queries, and `/stub/faults`, which makes it misbehave; see `Faults`.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field, fields, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.snowflake_login import check_login
from tests.servers.snowflake_query import DATABASE, Query
from tests.servers.worker_links import WorkerLinks

if TYPE_CHECKING:
    from collections.abc import Callable

SESSION_GONE, SESSION_EXPIRED, IN_PROGRESS, IN_PROGRESS_ASYNC = "390111", "390112", "333333", "333334"
LONG_POLL_SECONDS = 2.0
QUERY_PATH = re.compile(r"/+queries/+([0-9a-f-]{36})/(result|abort-request)$")
STATUS_PATH = re.compile(r"/+monitoring/+queries/+([0-9a-f-]{36})$")
CHUNK_PATH = re.compile(r"/chunks/([0-9a-f-]{36})/(\d+)$")


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How the server misbehaves; counts go down with each use, 0 is none."""

    expired_links: bool = False  # links given out until now answer 403
    chunk_errors: int = 0  # chunks answered with 503
    chunk_cuts: int = 0  # chunks whose connection is dropped in the middle
    chunk_delay_seconds: float = 0.0  # before each chunk
    login_delay_seconds: float = 0.0  # before each login is answered
    server_errors: int = 0  # queries and status requests answered with 503
    dropped: int = 0  # queries and status requests whose connection is closed without an answer
    expired_sessions: int = 0  # requests answered as if the session's token had expired
    away: bool = False  # no connection gets any answer
    link_bytes_per_second: float = 0.0  # of chunks, to each process that reads them; 0: as fast as it goes


@dataclass(kw_only=True)
class Session:
    """What a login made."""

    token: str
    master_token: str
    login: dict[str, Any]  # as it was sent, with secrets
    role: str | None = None
    database: str | None = None


@dataclass(kw_only=True)
class State:
    """Everything the server knows."""

    faults: Faults = field(default_factory=Faults)
    links: int = 0  # of which generation links are, to make them expire
    sessions: dict[str, Session] = field(default_factory=dict)  # by token
    queries: dict[str, Query] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)  # query of each request id
    forgotten: set[str] = field(default_factory=set)  # queries whose result is kept no more
    seen: list[str] = field(default_factory=list)  # requests, as `POST /path`
    links_of: WorkerLinks = field(default_factory=WorkerLinks)
    readers: list[tuple[int, int]] = field(default_factory=list)  # chunk and process, while links are slow
    json_results: bool = False  # answer in JSON, whatever the session asked for
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, name: str) -> bool:
        """Use up one of a fault; False when none is left."""
        with self.lock:
            left = getattr(self.faults, name)
            if left:
                self.faults = replace(self.faults, **{name: left - 1})
            return bool(left)

    def shown(self) -> dict[str, Any]:
        """Return what a test may look at."""
        return {
            "sessions": [{"login": session.login, "role": session.role} for session in self.sessions.values()],
            "queries": [query.shown() for query in self.queries.values()],
            "seen": self.seen,
            "readers": self.readers,
        }


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: State

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer."""
        self._serve()

    def do_POST(self) -> None:
        """Answer."""
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        url = urlsplit(self.path)
        if url.path.startswith("/stub/"):
            return self._answer(self._control(url.path, json.loads(body or b"{}")))
        with self.state.lock:
            self.state.seen.append(f"{self.command} {url.path}")
        if self.state.faults.away:
            return self._drop()
        if chunk := CHUNK_PATH.match(url.path):
            return self._chunk(chunk[1], int(chunk[2]), url.query)
        parameters = {name: values[0] for name, values in parse_qs(url.query).items()}
        return self._route(url.path, parameters, json.loads(body) if body.startswith(b"{") else {})

    def _route(self, path: str, parameters: dict[str, str], body: dict[str, Any]) -> None:
        if path == "/session/v1/login-request":
            time.sleep(self.state.faults.login_delay_seconds)
            return self._answer(self._login(parameters, body["data"]))
        if path == "/session/token-request":
            return self._answer(self._renew(body))
        if path == "/session/heartbeat" and self._token() not in self.state.sessions:
            return self._refuse(SESSION_GONE, "Session no longer exists. New login required to access the service.")
        if path.startswith("/telemetry") or path == "/session/heartbeat":
            return self._answer({"success": True, "data": {}, "code": None, "message": None})
        if path == "/session":
            self.state.sessions.pop(self._token(), None)
            return self._answer({"success": True, "data": None, "code": None, "message": None})
        if self.state.take("server_errors"):
            return self._send(503, b"busy", "text/plain")
        if self.state.take("dropped"):
            return self._drop()
        session = self.state.sessions.get(self._token())
        if session is None:
            return self._refuse(SESSION_GONE, "Session no longer exists. New login required to access the service.")
        if self.state.take("expired_sessions"):
            return self._refuse(SESSION_EXPIRED, "Your session has expired. Please login again.")
        return self._answer(self._ask(path, parameters, body, session))

    def _ask(self, path: str, parameters: dict[str, str], body: dict[str, Any], session: Session) -> dict[str, Any]:
        if path == "/queries/v1/query-request":
            return self._submit(parameters, body, session)
        if path == "/queries/v1/abort-request":
            found = self.state.queries.get(self.state.requests.get(body.get("requestId", ""), ""))
            return self._abort(found)
        if match := QUERY_PATH.match(path):
            query = self.state.queries.get(match[1])
            return self._abort(query) if match[2] == "abort-request" else self._result(query, session)
        if match := STATUS_PATH.match(path):
            query = self.state.queries.get(match[1])
            return {"success": True, "code": None, "message": None,
                    "data": {"queries": [query.status()] if query is not None else []}}  # fmt: skip
        return {"success": False, "code": "390000", "message": f"The stub has no {path}.", "data": None}

    # Sessions --------------------------------------------------------------------------------------------------

    def _login(self, parameters: dict[str, str], data: dict[str, Any]) -> dict[str, Any]:
        refusal = check_login(data, parameters)
        if refusal is not None:
            return {"success": False, "code": refusal[0], "message": refusal[1], "data": {"nextAction": None}}
        session = Session(
            token=f"token-{uuid.uuid4()}", master_token=f"master-{uuid.uuid4()}", login=data | {"query": parameters},
            role=parameters.get("roleName"), database=parameters.get("databaseName"),
        )  # fmt: skip
        self.state.sessions[session.token] = session
        given = data.get("SESSION_PARAMETERS") or {}
        known = {"TIMEZONE": "America/Los_Angeles", "CLIENT_PREFETCH_THREADS": 4} | given
        return {
            "success": True, "code": None, "message": None,
            "data": {
                "token": session.token, "masterToken": session.master_token, "validityInSeconds": 3600,
                "masterValidityInSeconds": 14400, "displayUserName": data.get("LOGIN_NAME"), "serverVersion": "9.9.9",
                "sessionId": len(self.state.seen), "healthCheckInterval": 45, "idToken": None, "firstLogin": False,
                "parameters": [{"name": name, "value": value} for name, value in known.items()],
                "sessionInfo": {
                    "databaseName": session.database, "schemaName": parameters.get("schemaName"),
                    "warehouseName": parameters.get("warehouse"), "roleName": session.role,
                },
            },
        }  # fmt: skip

    def _renew(self, body: dict[str, Any]) -> dict[str, Any]:
        for session in list(self.state.sessions.values()):
            if body.get("oldSessionToken") == session.token:
                del self.state.sessions[session.token]
                session.token = f"token-{uuid.uuid4()}"
                self.state.sessions[session.token] = session
                tokens = {"sessionToken": session.token, "masterToken": session.master_token}
                validity = {"validityInSecondsST": 3600, "validityInSecondsMT": 14400, "sessionId": 1}
                return {"success": True, "code": None, "message": None, "data": tokens | validity}
        return {"success": False, "code": SESSION_GONE, "message": "Session no longer exists.", "data": None}

    def _token(self) -> str:
        match = re.search(r'Token="([^"]+)"', self.headers.get("Authorization", ""))
        return match[1] if match else ""

    # Queries ---------------------------------------------------------------------------------------------------

    def _submit(self, parameters: dict[str, str], body: dict[str, Any], session: Session) -> dict[str, Any]:
        request_id = parameters["requestId"]
        with self.state.lock:
            query = self.state.queries.get(self.state.requests.get(request_id, ""))
            if query is None:
                settings = (session.login.get("SESSION_PARAMETERS") or {}) | (body.get("parameters") or {})
                if self.state.json_results:
                    settings["PYTHON_CONNECTOR_QUERY_RESULT_FORMAT"] = "JSON"
                query = Query(body["sqlText"], settings=settings, user=session.login.get("LOGIN_NAME"))
                self.state.queries[query.query_id] = query
                self.state.requests[request_id] = query.query_id
        if body.get("asyncExec"):
            return query.in_progress(IN_PROGRESS_ASYNC)
        return self._result(query, session)

    def _result(self, query: Query | None, session: Session) -> dict[str, Any]:
        if query is None or query.user != session.login.get("LOGIN_NAME"):
            return {"success": False, "code": "000709", "message": "Statement not found", "data": {"sqlState": "02000"}}
        if query.query_id in self.state.forgotten:
            said = f"Result for query {query.query_id} has expired"
            return {"success": False, "code": "000710", "message": said, "data": {"sqlState": "02000"}}
        if not query.done.wait(LONG_POLL_SECONDS):
            return query.in_progress(IN_PROGRESS)
        return query.answer(link=self._link)

    def _abort(self, query: Query | None) -> dict[str, Any]:
        if query is None or not query.cancel():
            return {
                "success": False,
                "code": "000605",
                "message": "Identified SQL statement is not currently executing.",
            }
        return {"success": True, "code": None, "message": None, "data": None}

    def _link(self, query: Query, number: int) -> str:
        return f"http://{self.headers['Host']}/chunks/{query.query_id}/{number}?generation={self.state.links}"

    def _chunk(self, query_id: str, number: int, asked: str) -> None:
        state = self.state
        generation = int(asked.removeprefix("generation="))
        if generation < state.links:
            return self._send(
                403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", "xml"
            )
        time.sleep(state.faults.chunk_delay_seconds)
        if state.take("chunk_errors"):
            return self._send(503, b"slow down", "text/plain")
        data = state.queries[query_id].chunk(number)
        if state.take("chunk_cuts"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            return self._drop()
        if state.faults.link_bytes_per_second:
            return self._send_slowly(number, data)
        return self._send(200, data, "application/octet-stream")

    def _send_slowly(self, number: int, data: bytes) -> None:
        process = self.state.links_of.process_at(self.client_address[1])
        self.state.readers.append((number, process))
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        rate = self.state.faults.link_bytes_per_second
        try:
            self.state.links_of.send(process, data, self.wfile.write, bytes_per_second=rate)
        except ConnectionError:
            self.close_connection = True

    # Answers ---------------------------------------------------------------------------------------------------

    def _control(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/stub/faults":
            with self.state.lock:
                self.state.links += bool(body.pop("expired_links", False))
                self.state.json_results = body.pop("json_results", self.state.json_results)
                known = {each.name for each in fields(Faults)}
                assert known.issuperset(body), f"unknown faults {body}"
                self.state.faults = replace(self.state.faults, **body)
        elif path == "/stub/forget-results":
            self.state.forgotten.update(self.state.queries)
        elif path == "/stub/end-sessions":
            self.state.sessions.clear()
        elif path == "/stub/reset":
            for query in list(self.state.queries.values()):
                query.cancel()
            DATABASE.cursor().execute("delete from target")
            kept = self.state.sessions if body.get("keep_sessions") else {}
            self.state.__init__(links=self.state.links, sessions=kept)
        elif path == "/stub/target":
            return {"rows": DATABASE.cursor().execute("select count(*) from target").fetchone()[0]}
        return self.state.shown()

    def _refuse(self, code: str, message: str) -> None:
        self._answer({"success": False, "code": code, "message": message, "data": None})

    def _answer(self, value: dict[str, Any]) -> None:
        self._send(200, json.dumps(value).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True  # the driver was told to stop meanwhile

    def _drop(self) -> None:
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client may go at any time."""


def serve(report: Callable[[int], None]) -> None:
    """Serve until the process ends; `report` gets the port."""
    handler = type("StubHandler", (Handler,), {"state": State()})
    server = _Server(("127.0.0.1", 0), handler)
    report(server.server_address[1])
    server.serve_forever()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    serve(lambda port: print(port, flush=True))
