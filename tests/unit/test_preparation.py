"""What is checked before a service starts."""

from __future__ import annotations

import pytest

from cluster.preparation import check_store, unreadable_projects
from queryfleet.errors import ConfigurationError
from queryfleet.project import Project
from queryfleet.settings import Settings


@pytest.mark.parametrize("url", ["None", "gopher://bucket", "file://relative/folder"])
def test_store_url_that_names_no_store_is_refused_with_its_variable(url):
    """Whoever starts a service with it is told which variable to change, before anything runs."""
    with pytest.raises(ConfigurationError, match=r"^QUERYFLEET_STORE_URL: ") as caught:
        check_store(Settings(store_url=url))
    assert caught.value.details["variable"] == "QUERYFLEET_STORE_URL"


@pytest.mark.parametrize("url", [None, "file:///var/results", "none"])
def test_store_url_that_is_absent_or_right_is_accepted(url):
    """Without one, a store is started; with a right one nothing is connected to."""
    check_store(Settings(store_url=url))


def test_projects_that_nobody_can_ask_without_a_store_are_named():
    """Whoever starts the service without a store is told of projects whose warehouse keeps no results."""
    kinds = {"Shop": {"type": "duckdb", "path": "/shop.duckdb"}, "Zoo": {"type": "snowflake", "account": "a",
             "user": "u", "password": "${ZOO}"}}  # fmt: skip
    projects = [
        Project.from_json({"project_uuid": "5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c11", "name": name, "folder": "/nowhere",
                           "warehouse": warehouse})
        for name, warehouse in kinds.items()
    ]  # fmt: skip
    (line,) = unreadable_projects(Settings(store_url="none"), projects)
    assert line.startswith("Shop: all queries are refused")
    assert unreadable_projects(Settings(), projects) == []
