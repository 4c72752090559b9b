"""Names of actors tell their generation."""

import pytest

from actors.names import (
    generation_of_query_actor,
    generation_of_status_actor,
    query_actor_name,
    status_actor_name,
)


@pytest.mark.parametrize("generation", [1, 42, 9999, 123_456])
def test_names_of_generation_lead_back_to_it(generation):
    """Whatever was named can be read, and only as what it is."""
    status, query = status_actor_name(generation), query_actor_name(generation)
    assert (generation_of_status_actor(status), generation_of_query_actor(query)) == (generation, generation)
    assert generation_of_status_actor(query) is None
    assert generation_of_query_actor(status) is None


def test_query_actor_name_is_new_each_time():
    """Two actors never share a name."""
    assert query_actor_name(1) != query_actor_name(1)


@pytest.mark.parametrize("name", ["", "status", "status-", "status-x", "query-1", "query-1-xyz", "other-0001"])
def test_foreign_name_has_no_generation(name):
    """An actor of somebody else is nobody's."""
    assert generation_of_status_actor(name) is None
    assert generation_of_query_actor(name) is None
