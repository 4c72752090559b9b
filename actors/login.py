"""How patiently an attempt logs in at its warehouse."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["login_pauses"]

_FIRST_ATTEMPT = (0.3, 1.0)
_LATER_SECONDS = 1.0
_SHARE = 0.8  # of the time for logging in; the rest is for the last login


def login_pauses(
    attempt: int, *, connect_seconds: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[float]:
    """Yield the seconds to wait after each login that failed for a passing reason; when there are no more, give up.

    A first attempt tries three times: a mistyped host must not be waited for. A later one goes on for most of the
    time it has, because its warehouse has been there before and is probably restarting.

    Args:
        attempt: From 1.
        connect_seconds: The longest that logging in may take.
        clock: Monotonic seconds.
    """
    if attempt == 1:
        yield from _FIRST_ATTEMPT
        return
    deadline = clock() + _SHARE * connect_seconds
    while clock() < deadline:
        yield _LATER_SECONDS
