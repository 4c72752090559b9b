"""A project's limits."""

from __future__ import annotations

import pytest

from queryfleet.errors import ConfigurationError
from queryfleet.limits import LIMIT_KEYS, ProjectLimits, limit_fault
from queryfleet.project import load_project
from queryfleet.settings import load_settings

HEAD = "name: p\nproject_uuid: 5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c11\nwarehouse: {type: duckdb, path: x.duckdb}\n"


def test_limits_without_any_are_the_services_defaults():
    """A project that says nothing has what the settings say."""
    limits = ProjectLimits.of({}, load_settings(queue_max=7, total_seconds_max=0))
    assert (limits.queue, limits.total_seconds, limits.weight, limits.cache) == (7, None, 1.0, True)


def test_limits_of_a_project_win():
    """What the project says replaces the default, and only that."""
    limits = ProjectLimits.of({"limits": {"queue": 3, "on_limit": "error"}}, load_settings(queue_max=7))
    assert (limits.queue, limits.on_limit, limits.queue_seconds) == (3, "error", 3600.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("queue", 0), ("queue", 1.5), ("rows", True), ("weight", 0), ("weight", "1"), ("on_limit", "stop"),
     ("cache", "yes"), ("total_seconds", -1), ("colour", 1)],
)  # fmt: skip
def test_limit_fault_of_a_wrong_value_says_what_it_must_be(name, value):
    """A wrong limit is refused, with the right form."""
    fault = limit_fault(name, value)
    assert fault is not None
    with pytest.raises(ConfigurationError) as caught:
        ProjectLimits.of({"limits": {name: value}}, load_settings())
    assert f"limits.{name}" in caught.value.message


def test_limits_in_a_project_file_are_read_and_checked(tmp_path):
    """The file's limits reach the stored form; a misspelt one is named with its line and the nearest right name."""
    (tmp_path / "project.yml").write_text(HEAD + "limits:\n  running: 2\n  cache: false\n")
    project = load_project(tmp_path)
    assert {"running": 2, "cache": False} == project.to_json()["limits"]
    (tmp_path / "project.yml").write_text(HEAD + "limits:\n  runing: 2\n")
    with pytest.raises(ConfigurationError, match=r"project\.yml.*5.*`running`"):
        load_project(tmp_path)


def test_connection_of_one_warehouse_is_one_name():
    """Two projects with the same warehouse share its limit; another warehouse has another name."""
    first = ProjectLimits.of({"warehouse": {"type": "duckdb", "path": "/a"}}, load_settings())
    same = ProjectLimits.of({"warehouse": {"path": "/a", "type": "duckdb"}}, load_settings())
    other = ProjectLimits.of({"warehouse": {"type": "duckdb", "path": "/b"}}, load_settings())
    assert first.connection == same.connection != other.connection


def test_every_limit_key_is_understood():
    """The list of limits and their checks agree."""
    good = {"on_limit": "error", "cache": True, "weight": 0.5}
    assert [limit_fault(name, good.get(name, 5)) for name in LIMIT_KEYS] == [None] * len(LIMIT_KEYS)
