"""What time it is for questions that count from now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from queryfleet.compiler.moments import rounded

if TYPE_CHECKING:
    from queryfleet.settings import Settings

__all__ = ["question_time"]


def question_time(settings: Settings) -> datetime:
    """Return the moment that relative dates count from, in UTC: the last whole step of time, or the fixed test clock.

    Questions that are equal have equal SQL for as long as a step, and with that one result.
    """
    if settings.test_now is not None:
        return datetime.fromisoformat(settings.test_now).astimezone(UTC)
    return rounded(datetime.now(UTC), settings.clock_step_seconds)
