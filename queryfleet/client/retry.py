"""When a failed request is worth repeating, as pure functions over one policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["CANCEL_RETRY", "RetryPolicy"]

_REPEATABLE_STATUSES = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long and how often a request that is safe to repeat is repeated."""

    total_seconds: float = 30.0  # from the first failure on; 0 = never repeat
    first_contact_seconds: float = 2.0  # the same, while nothing has ever answered: the address may be wrong
    first_pause_seconds: float = 0.2  # doubles with every repetition
    largest_pause_seconds: float = 5.0

    def pause_seconds(
        self,
        *,
        failures: int,
        elapsed_seconds: float,
        jitter: float,
        is_first_contact: bool,
        status: int | None,
        retry_after: str | None,
    ) -> float | None:
        """Return how long to wait before the next try, or None to give up.

        Args:
            failures: How often it has failed, at least 1.
            elapsed_seconds: Since the first failure.
            jitter: Between 0 and 1; spreads clients that failed together over half the pause.
            is_first_contact: Nothing has answered at this address yet, neither well nor badly.
            status: HTTP status of the answer; None when there was none.
            retry_after: Header of that name. A pause that does not fit into what is left of `total_seconds`
                means to give up now, not to come back early.
        """
        if status is not None and status not in _REPEATABLE_STATUSES:
            return None
        pause = min(self.first_pause_seconds * 2 ** min(failures - 1, 30), self.largest_pause_seconds)
        pause *= 0.5 + jitter / 2
        if retry_after is not None:
            pause = max(pause, _seconds(retry_after))
        limit = min(self.total_seconds, self.first_contact_seconds) if is_first_contact else self.total_seconds
        return pause if elapsed_seconds + pause <= limit and limit > 0 else None


CANCEL_RETRY: Final = RetryPolicy(total_seconds=5.0)  # for whoever has given up and will not wait for long


def _seconds(retry_after: str) -> float:
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
