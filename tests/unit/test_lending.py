"""Which idle actor gets a query."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.lending import IdleActor, preferred

NOW = 1000.0


def actor(name: str, project: str | None, rest: float) -> IdleActor:
    """Return an actor that has rested for so many seconds since a query of the project."""
    return IdleActor(name=name, project_uuid=project, idle_since=NOW - rest)


@pytest.mark.parametrize(
    ("idle", "expected"),
    [
        ([], None),
        ([actor("old", "p", 5), actor("young", "p", 20)], "old"),
        ([actor("new", None, 5), actor("ready", "p", 5)], "ready"),
        ([actor("just done", "p", 0.01), actor("new", None, 5)], "new"),
        ([actor("just done", "p", 0.01), actor("long done", "q", 90)], "long done"),
        ([actor("other", "q", 5), actor("just done", "p", 0.01)], "just done"),
        ([actor("other", "q", 5), actor("rested longer", "q", 9)], "rested longer"),
    ],
)
def test_preferred_of_idle_actors_is_the_one_most_likely_logged_in(idle: list[IdleActor], expected: str | None) -> None:
    """A session that is likely there is used, and another project's is thrown away last of all."""
    assert preferred(idle, "p", at=NOW) == expected


ACTORS = st.lists(
    st.builds(
        actor,
        st.uuids().map(str),
        st.sampled_from([None, "p", "q"]),
        st.floats(min_value=0, max_value=200),
    ),
    max_size=8,
)


@given(ACTORS)
def test_preferred_of_any_idle_actors_is_one_of_them(idle: list[IdleActor]) -> None:
    """No query waits while an actor is idle, whatever that actor did before."""
    assert (preferred(idle, "p", at=NOW) in {one.name for one in idle}) == bool(idle)
