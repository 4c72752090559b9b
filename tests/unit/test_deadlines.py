"""How long each part of an attempt may take."""

from __future__ import annotations

import pytest

from actors.deadlines import Deadlines
from queryfleet.limits import ProjectLimits
from queryfleet.settings import load_settings


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def deadlines(clock, **limits):
    return Deadlines(ProjectLimits.of({"limits": limits}, load_settings(idle_seconds_max=0)), clock=clock)


@pytest.mark.parametrize("phase", ["connect", "execute", "idle"])
def test_overdue_in_a_phase_names_its_limit(phase):
    """A phase that takes longer than its limit ends the attempt, and the error says which limit it was."""
    clock = Clock()
    watched = deadlines(clock, **{f"{phase}_seconds": 5})
    watched.enter(phase)
    clock.now = 5.0
    assert watched.overdue() is None
    clock.now = 5.1
    error = watched.overdue()
    assert error.details == {"limit": f"{phase}_seconds", "seconds": 5}


def test_overdue_starts_anew_with_each_phase():
    """Time spent in one phase, or on storing, does not count for the next."""
    clock = Clock()
    watched = deadlines(clock, execute_seconds=5, idle_seconds=5)
    for phase in ("execute", "idle", None, "idle"):
        watched.enter(phase)
        clock.now += 4.0
        assert watched.overdue() is None


def test_overdue_total_counts_from_the_start_whatever_the_phase():
    """An attempt as a whole has a limit too."""
    clock = Clock()
    watched = deadlines(clock, total_seconds=5)
    watched.enter(None)
    clock.now = 5.1
    assert watched.overdue().details["limit"] == "total_seconds"


def test_overdue_without_limits_is_never():
    """No limit means no limit."""
    clock = Clock()
    watched = deadlines(clock)
    watched.enter("idle")
    clock.now = 1e9
    assert watched.overdue() is None


def test_pause_seconds_is_a_fraction_of_the_shortest_limit():
    """Short limits are looked at often, long ones rarely."""
    assert deadlines(Clock(), total_seconds=1).pause_seconds() == pytest.approx(0.1)
    assert deadlines(Clock(), total_seconds=0.001).pause_seconds() == pytest.approx(0.02)
    assert deadlines(Clock()).pause_seconds() == pytest.approx(1.0)
