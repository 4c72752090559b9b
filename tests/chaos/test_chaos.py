"""Parts of a real service are killed under load, and nobody who asked can tell from the answers."""

from __future__ import annotations

import random

import pytest

from tests.chaos.run import Run

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

SEED = 20260
TIMES = {
    "nothing": 1,
    "query actor": 4,
    "status actor": 3,
    "serve replica": 2,
    "serve controller": 1,
    "haproxy": 2,
    "proxy actor": 1,
    "worker node": 2,
    "database": 2,
    "result store": 2,
    "warehouse": 2,
    "head": 1,
}


def test_kill_every_part_under_load_leaves_every_answer_right(chaos_stack):
    """No acknowledged query is lost, none is wrong, and each ends soon after the part is back."""
    run = Run(chaos_stack, seed=SEED)
    assert set(TIMES) == set(run.kinds)
    schedule = [kind for kind, times in TIMES.items() for _ in range(times)]
    random.Random(SEED).shuffle(schedule)
    outcome = run.carry_out(schedule)
    print(outcome.text)
    assert outcome.journal.violations == [], outcome.text
    assert any(story.attempt > 1 for story in outcome.stories), "the kills met queries"
