"""How patiently an attempt logs in."""

from __future__ import annotations

import itertools

from actors.login import login_pauses


def test_first_attempt_gives_up_after_three_logins():
    """A mistyped host is told within two seconds."""
    pauses = list(login_pauses(1, connect_seconds=30.0))
    assert len(pauses) == 2
    assert sum(pauses) < 2.0


def test_later_attempt_goes_on_for_most_of_its_time_and_leaves_some_for_the_last_login():
    """A warehouse that was there before is waited for."""
    now = itertools.count()
    pauses = list(login_pauses(2, connect_seconds=30.0, clock=lambda: float(next(now))))
    assert 20 <= len(pauses) <= 25
    assert set(pauses) == {1.0}
