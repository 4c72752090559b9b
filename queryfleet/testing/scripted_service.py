"""An in-process stand-in for the service's HTTP side, whose queries advance only when told to.

It holds one result per query in memory and speaks the HTTP contract as far as the client and the command line
use it. `ScriptedService.answer` is a plain function from request to response: wire it to a transport, or let
`serve` put it behind a real socket. All methods may be called from any thread.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from queryfleet import errors
from queryfleet.errors import JsonValue, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Answer", "Asked", "ScriptedQuery", "ScriptedService", "error_answer", "serve"]

JsonObject: TypeAlias = "dict[str, JsonValue]"
_DEFAULT_PAGE_SIZE: Final = 500
_EXECUTES: Final = frozenset(
    {
        *("sql", "metric-query", "chart", "dashboard-chart", "sql-chart", "dashboard-sql-chart"),
        *("underlying-data", "calculate-total"),
    }
)
_ENDED: Final = frozenset({"ready", "error", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, as the service saw it."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class ScriptedQuery:
    """A query and how far it is. Change it through `ScriptedService.change`."""

    query_uuid: str
    status: str = "pending"
    phase: str = "queued"
    queue_position: int | None = None
    attempt: int = 1
    stored_rows: int = 0
    columns: JsonObject = field(default_factory=dict)  # `{reference: {"reference", "type"}}`
    rows: list[JsonObject] = field(default_factory=list)  # the whole result, raw values
    error: ServiceError | None = None  # why it failed; set together with the status
    limit: int | None = None  # as asked for


class ScriptedService:
    """Answers requests from what a test has set.

    Attributes:
        token: The only valid one.
        max_page_size: A larger page is refused.
        asked: Every request so far, oldest first.
        queries: By uuid.
        on_submit: Called with a new query before it is answered; a place to fill it.
        on_poll: Steps taken one by one, each before the answer to one poll; then nothing changes by itself.
        on_request: Called with every request; may return an answer to give instead, or raise.
        holds: Whether `waitMs` is honoured; off, every poll is answered at once.
        warnings: Sent with every submit answer.
        documents: Results of routes that are not about queries, by method and the path's end: `GET explores`.
    """

    def __init__(self, *, token: str = "token-of-the-test") -> None:  # noqa: S107 - opens nothing real
        self.token = token
        self.max_page_size = 5000
        self.asked: list[Asked] = []
        self.queries: dict[str, ScriptedQuery] = {}
        self.on_submit: Callable[[ScriptedQuery], None] | None = None
        self.on_poll: list[Callable[[ScriptedQuery], None]] = []
        self.on_request: Callable[[Asked], Answer | None] | None = None
        self.holds = False
        self.warnings: list[str] = []
        self.documents: dict[str, JsonValue] = {}
        self._by_key: dict[str, str] = {}
        self._changed = threading.Condition(threading.RLock())

    @contextmanager
    def change(self) -> Iterator[None]:
        """Change queries in this block; whoever waits for them looks again afterwards."""
        with self._changed:
            yield
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], *, timeout_seconds: float = 20.0) -> None:
        """Wait until `condition` holds; it is looked at after every request and change.

        Raises:
            TimeoutError: It did not come to hold in time.
        """
        with self._changed:
            if not self._changed.wait_for(condition, timeout_seconds):
                raise TimeoutError("The expected did not happen.")

    def answer(self, asked: Asked) -> Answer:
        """Answer one request."""
        with self.change():
            self.asked.append(asked)
        try:
            special = self.on_request(asked) if self.on_request is not None else None
            return special or Answer(status=200, body=_json({"status": "ok", "results": self._results(asked)}))
        except ServiceError as error:
            return error_answer(error)

    def _results(self, asked: Asked) -> JsonValue:
        if asked.path == "/api/v1/health":
            query: JsonValue = {"maxPageSize": self.max_page_size, "defaultPageSize": _DEFAULT_PAGE_SIZE}
            return {"healthy": True, "version": "0.0.0", "query": query}
        if asked.headers.get("authorization") != f"ApiKey {self.token}":
            raise errors.AuthorizationError("The token is not valid.")
        if asked.path.startswith("/api/v1/projects/"):
            return self._document(asked)
        name = asked.path.rpartition("/query/")[2]
        if name.rpartition("/")[2] in _EXECUTES:
            return self._submit(asked)
        if name.endswith("/cancel"):
            return self._cancel(self._query(name.removesuffix("/cancel")))
        return self._poll(self._query(name), asked)

    def _document(self, asked: Asked) -> JsonValue:
        name = f"{asked.method} {asked.path.split('/', 5)[5]}"
        if name not in self.documents:
            raise errors.NotFoundError(f"There is no {name}.")
        return self.documents[name]

    def _query(self, query_uuid: str) -> ScriptedQuery:
        if query_uuid not in self.queries:
            raise errors.NotFoundError(f"There is no query {query_uuid}.")
        return self.queries[query_uuid]

    def _submit(self, asked: Asked) -> JsonValue:
        with self.change():
            key = asked.headers.get("idempotency-key", "")
            query_uuid = self._by_key.get(key)
            if query_uuid is None:
                query_uuid = str(uuid4())
                limit = asked.body.get("limit")
                query = ScriptedQuery(query_uuid=query_uuid, limit=limit if isinstance(limit, int) else None)
                self.queries[query_uuid] = query
                self._by_key[key] = query_uuid
                if self.on_submit is not None:
                    self.on_submit(query)
        query = self.queries[query_uuid]
        accepted: JsonObject = {
            "queryUuid": query_uuid,
            "cacheMetadata": {"cacheHit": False},
            "parameterReferences": [],
            "usedParametersValues": {},
            "resolvedTimezone": None,
            "status": query.status,
            "warnings": [{"message": text} for text in self.warnings],
        }
        self._hold(query, asked)
        return accepted | (self._state(query, asked) if "waitMs" in asked.params else {})

    def _cancel(self, query: ScriptedQuery) -> JsonValue:
        with self.change():
            if query.status not in _ENDED:
                query.status = "cancelled"
        return None

    def _poll(self, query: ScriptedQuery, asked: Asked) -> JsonValue:
        if int(asked.params.get("pageSize", "1")) > self.max_page_size:
            raise errors.PaginationError(f"pageSize must be at most {self.max_page_size}.")
        with self.change():
            if self.on_poll:
                self.on_poll.pop(0)(query)
        self._hold(query, asked)
        with self._changed:
            return self._state(query, asked)

    def _hold(self, query: ScriptedQuery, asked: Asked) -> None:
        wait_ms = int(asked.params.get("waitMs", "0"))
        if self.holds and wait_ms:
            page, size = _page_of(asked)
            with self._changed:
                self._changed.wait_for(
                    lambda: query.status in _ENDED or ("page" in asked.params and page * size <= query.stored_rows),
                    wait_ms / 1000,
                )

    def _state(self, query: ScriptedQuery, asked: Asked) -> JsonObject:
        state: JsonObject = {"queryUuid": query.query_uuid, "status": query.status}
        page, size = _page_of(asked)
        match query.status:
            case "ready":
                return state | self._ready_page(query, page, size)
            case "error":
                failure = query.error or ServiceError("It failed.")
                about: JsonObject = {"errorName": failure.wire_name, "errorData": failure.details}
                return state | about | {"error": failure.message, "erroredAt": "2026-01-02T03:04:05.678Z"}
            case "cancelled":
                return state | {"cancelledAt": "2026-01-02T03:04:05.678Z"}
        state |= {"phase": query.phase, "attempt": query.attempt, "timings": {"queueMs": 1.5}}
        state |= {"progress": {"rows": query.stored_rows, "bytes": query.stored_rows * 100, "chunks": 1}}
        if query.queue_position is not None:
            state["queuePosition"] = query.queue_position
        if "page" in asked.params and page * size <= query.stored_rows:
            state |= self._page(query, page, size)
        return state

    def _ready_page(self, query: ScriptedQuery, page: int, size: int) -> JsonObject:
        total = len(query.rows)
        page_count = -(-total // size)
        if total and page > page_count:
            raise errors.PaginationError(f"page must be at most {page_count}.")
        counts: JsonObject = {"totalResults": total, "totalPageCount": page_count}
        if page < page_count:
            counts["nextPage"] = page + 1
        return self._page(query, page, size) | counts

    def _page(self, query: ScriptedQuery, page: int, size: int) -> JsonObject:
        rows: list[JsonValue] = [_wire_row(row) for row in query.rows[(page - 1) * size : page * size]]
        return {"columns": query.columns, "rows": rows, "page": page, "pageSize": size, "rowCount": len(rows)}


def error_answer(error: ServiceError, headers: Mapping[str, str] | None = None) -> Answer:
    """Return the envelope of an error."""
    body: JsonObject = {
        "statusCode": error.status,
        "name": error.wire_name,
        "message": error.message,
        "data": error.details,
    }
    return Answer(status=error.status, body=_json({"status": "error", "error": body}), headers=headers or {})


@contextmanager
def serve(service: ScriptedService) -> Iterator[str]:
    """Put `service` behind a free port of this machine; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            target = urlsplit(self.path)
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = service.answer(
                Asked(
                    method=self.command,
                    path=target.path,
                    params=dict(parse_qsl(target.query)),
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=json.loads(text) if text else {},
                )
            )
            try:
                self._send(answer)
            except ConnectionError:
                self.close_connection = True  # the client went away while its request was held

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = _handle  # noqa: N815 - names given by the standard library

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _page_of(asked: Asked) -> tuple[int, int]:
    return int(asked.params.get("page", "1")), int(asked.params.get("pageSize", str(_DEFAULT_PAGE_SIZE)))


def _wire_row(row: JsonObject) -> JsonObject:
    return {
        name: {"value": {"raw": value, "formatted": "∅" if value is None else f"{value}"}}
        for name, value in row.items()
    }


def _json(value: JsonValue) -> bytes:
    return json.dumps(value).encode()
