"""When a session is over: the same for every driver."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from queryfleet.errors import QueryCancelledError, WarehouseConnectionError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["SessionLifetime"]


class SessionLifetime(ABC):
    """A session that ends by `close` or `cancel`, called from any thread; as a context manager it is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the flags, and all else that `cancel` and `close` look at
        self._cancelled = False
        self._closed = False
        self._finished = False  # everything was delivered: nothing is left to cancel

    @abstractmethod
    def close(self) -> None:
        """Give everything back. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse_if_cancelled(self) -> None:
        if self._cancelled:
            raise QueryCancelledError("The query was cancelled.")

    def _refuse_if_over(self) -> None:
        self._refuse_if_cancelled()
        if self._closed:
            raise WarehouseConnectionError("The session is closed.")
