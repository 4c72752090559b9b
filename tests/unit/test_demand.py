"""How large a pool should be."""

from hypothesis import given
from hypothesis import strategies as st

from actors.demand import Demand, default_pool_size


def test_wanted_nothing_noted_is_smallest():
    """Without queries the pool is as small as it may be."""
    assert Demand().wanted(smallest=2, largest=9, at=0.0) == 2


def test_wanted_peak_holds_then_passes():
    """A peak counts for the time remembered, up to the largest size, and then no more."""
    demand = Demand(remember_seconds=10)
    demand.note(20, at=0.0)
    demand.note(3, at=1.0)
    assert demand.wanted(smallest=2, largest=9, at=10.0) == 9
    assert demand.wanted(smallest=2, largest=9, at=10.5) == 3
    assert demand.wanted(smallest=2, largest=9, at=11.5) == 2


def test_wanted_largest_below_smallest_is_smallest():
    """A pool that may not grow keeps its size whatever is asked of it."""
    demand = Demand()
    demand.note(50, at=0.0)
    assert demand.wanted(smallest=4, largest=0, at=0.0) == 4


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 40)), max_size=30), st.floats(0, 60))
def test_wanted_is_highest_of_the_time_remembered(steps, wait):
    """Whatever came in which order, the answer is the highest number noted within the time, inside the bounds."""
    demand, now, noted = Demand(remember_seconds=20), 0.0, []
    for pause, queries in steps:
        now += pause
        demand.note(queries, at=now)
        noted.append((now, queries))
    at = now + wait
    highest = max((queries for when, queries in noted if when >= at - 20), default=0)
    assert demand.wanted(smallest=3, largest=30, at=at) == max(3, min(30, highest))


def test_default_pool_size_memory_short_is_by_memory():
    """Two actors for each core, fewer when memory is short, one at least."""
    assert default_pool_size(8, 2**36) == 16
    assert default_pool_size(8, 3 * 512 * 1024**2) == 3
    assert default_pool_size(0, 2**36) == 1
