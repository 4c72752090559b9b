"""When a request is repeated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.client.retry import RetryPolicy


def _pause(policy=None, *, failures=1, elapsed=0.0, jitter=1.0, is_first_contact=False, status=None, retry_after=None):
    return (policy or RetryPolicy()).pause_seconds(
        failures=failures,
        elapsed_seconds=elapsed,
        jitter=jitter,
        is_first_contact=is_first_contact,
        status=status,
        retry_after=retry_after,
    )


@pytest.mark.parametrize("status", [None, 429, 502, 503, 504])
def test_pause_after_passing_failure_is_short(status):
    """No answer, a busy service and a gateway's failure are worth another try."""
    assert _pause(status=status) == 0.2


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500, 501])
def test_pause_after_lasting_failure_is_none(status):
    """What would fail again in the same way is not repeated."""
    assert _pause(status=status) is None


def test_pause_with_retry_after_waits_at_least_so_long():
    """A service that says when to come back is not asked earlier."""
    assert _pause(status=429, retry_after="7") == 7.0


def test_pause_with_retry_after_as_date_waits_until_then():
    """The header's other spelling, a date, is understood."""
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    pause = _pause(status=503, retry_after=moment)
    assert pause is not None
    assert 15 < pause <= 20


def test_pause_with_unreadable_retry_after_is_the_usual_one():
    """A header that means nothing changes nothing."""
    assert _pause(status=503, retry_after="soon") == 0.2


def test_pause_with_retry_after_beyond_the_total_gives_up():
    """Coming back too early is of no use, and later is too late."""
    assert _pause(status=429, retry_after="31") is None


def test_pause_of_a_policy_without_time_is_none():
    """Zero seconds in total means one try."""
    assert _pause(RetryPolicy(total_seconds=0)) is None


def test_pause_before_first_contact_is_soon_over():
    """A wrong address is reported within seconds; a service that was there is waited for."""
    assert _pause(elapsed=5, is_first_contact=True) is None
    assert _pause(elapsed=5, is_first_contact=False) is not None


@given(
    failures=st.integers(1, 10_000),
    elapsed=st.floats(0, 100),
    jitter=st.floats(0, 1),
    retry_after=st.none() | st.integers(0, 100).map(str),
)
def test_pause_any_failure_stays_within_the_total(failures, elapsed, jitter, retry_after):
    """The time spent on one call has a limit, whatever happens."""
    policy = RetryPolicy(total_seconds=30)
    pause = _pause(policy, failures=failures, elapsed=elapsed, jitter=jitter, status=503, retry_after=retry_after)
    assert pause is None or (pause >= 0 and elapsed + pause <= 30)
