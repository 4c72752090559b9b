"""Logging in ahead: the session of an actor's next query is connected while nobody waits for it.

A login takes longer than a small statement. So when a query has ended, the keeper connects a fresh session to the
same warehouse and holds it for a while. A session still serves one statement and is closed after it, so nothing passes
from one query to another; what is saved is the waiting.

    take ──▶ the held session, if it leads to the very same place, or a new one
    prepare ──▶ pause ──▶ connect ──▶ hold ──taken──▶ the query's
                             └─failed────┴──not taken in time──▶ closed

A keeper holds at most one session. It can be taken at any moment, and whoever takes it connects it and submits to it as
to any other: a session waits for a connect under way in another thread, and replaces a connection lost meanwhile.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from queryfleet.errors import ServiceError
from queryfleet.project import DuckDBConfig, PostgresConfig, SnowflakeConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from queryfleet.warehouse.base import Warehouse, WarehouseSession
    from queryfleet.warehouse_config import WarehouseConfig

__all__ = ["SessionKeeper", "hold_seconds_of"]

_POSTGRES_SECONDS = 60.0
_SNOWFLAKE_SECONDS = 60.0  # a session that waits computes nothing and costs nothing
_DUCKDB_SECONDS = 10.0  # an open file keeps writers of other processes out
_PAUSE_SECONDS = 0.05  # before logging in: first the answer to the query that has ended gets the processor

log = structlog.get_logger()


def hold_seconds_of(config: WarehouseConfig, wanted: float | None) -> float:
    """Return how long a session may be held for a query that may come; 0: not at all.

    Args:
        config: Of the warehouse.
        wanted: What the operator says; None: what suits the type.
    """
    match config:
        case DuckDBConfig(read_only=False):
            return 0.0  # it would keep every other process out, our own included
        case DuckDBConfig():
            return _DUCKDB_SECONDS if wanted is None else wanted
        case PostgresConfig():
            return _POSTGRES_SECONDS if wanted is None else wanted
        case SnowflakeConfig():
            return _SNOWFLAKE_SECONDS if wanted is None else wanted
        case _:
            return 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class _Held:
    config: WarehouseConfig  # resolved, secrets included: another secret is another place
    session: WarehouseSession
    over: threading.Event = field(default_factory=threading.Event)  # taken, or to be closed


class SessionKeeper:
    """Gives the sessions of one query actor. Safe to use from several threads.

    Args:
        warehouse_of: Makes the warehouse of a resolved configuration; may raise `ServiceError`.
        hold_seconds: How long to hold a session of this warehouse; 0 or less: do not log in ahead.
        pause_seconds: Between `prepare` and logging in.
    """

    def __init__(
        self,
        *,
        warehouse_of: Callable[[WarehouseConfig], Warehouse],
        hold_seconds: Callable[[WarehouseConfig], float],
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        self._pause_seconds = pause_seconds
        self._warehouse_of = warehouse_of
        self._hold_seconds = hold_seconds
        self._lock = threading.Lock()  # guards all below
        self._held: _Held | None = None
        self._latest: tuple[WarehouseConfig, Warehouse] | None = None  # whose session was taken last
        self._closed = False

    def take(self, config: WarehouseConfig) -> WarehouseSession:
        """Return a session nobody has used, connected, connecting or not; the caller closes it.

        A held session that leads elsewhere is closed first: two of one DuckDB file in a process must agree on
        its settings.
        """
        with self._lock:
            held, self._held = self._held, None
            latest = self._latest
        if held is not None:
            held.over.set()
            if held.config == config:
                return held.session
            held.session.close()
        warehouse = latest[1] if latest is not None and latest[0] == config else self._warehouse_of(config)
        with self._lock:
            self._latest = (config, warehouse)
        return warehouse.open()

    def prepare(self) -> None:
        """Begin to connect a session for a query like the latest one. Returns at once; failing is no error."""
        with self._lock:
            if self._closed or self._held is not None or self._latest is None:
                return
            config, warehouse = self._latest
            seconds = self._hold_seconds(config)
            if seconds <= 0:
                return
            held = self._held = _Held(config=config, session=warehouse.open())
        threading.Thread(target=self._hold, args=(held, seconds), name="session-ahead", daemon=True).start()

    def close(self) -> None:
        """Close what is held and hold nothing from now on. Idempotent."""
        with self._lock:
            self._closed = True
            held, self._held = self._held, None
        if held is not None:
            held.over.set()
            held.session.close()

    def _hold(self, held: _Held, seconds: float) -> None:
        if held.over.wait(self._pause_seconds):
            return
        try:
            held.session.connect()
        except Exception as error:  # noqa: BLE001 - the query that needs it tries itself, and says what is wrong
            if not held.over.is_set():
                log.info("session.not_prepared", reason=_reason(error))
        else:
            held.over.wait(seconds)
        with self._lock:
            mine = self._held is held
            if mine:
                self._held = None
        if mine:
            held.session.close()


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, ServiceError) else type(error).__name__
