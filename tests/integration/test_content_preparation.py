"""Content of a project's folder is in the database before a service starts."""

from __future__ import annotations

import psycopg
import pytest
from pydantic import SecretStr

from cluster.preparation import prepare_database
from queryfleet.project import load_project
from queryfleet.settings import Settings
from tests.fixtures.models import PROJECT as PROJECT_FILE

pytestmark = pytest.mark.integration

CHART = "name: Revenue\ntableName: orders\nmetricQuery: {metrics: [orders_revenue]}\n"


def test_prepare_database_loads_charts_and_leaves_out_those_that_are_wrong(tmp_path, database_url):
    """What is wrong is returned with its place; a second start changes nothing."""
    (tmp_path / "project.yml").write_text(PROJECT_FILE)
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "revenue.yml").write_text(CHART)
    (tmp_path / "charts" / "wrong.yml").write_text(CHART + "nmae: x\n")
    settings = Settings(database_url=SecretStr(database_url), store_url=f"file://{tmp_path}/results")
    project = load_project(tmp_path)
    for _ in range(2):
        problems = prepare_database(settings, [project], token=None)
        assert [each for each in problems if "charts/" in each] == [
            "Test: error: charts/wrong.yml, line 4: `nmae` is not a known key; did you mean `name`?",
            "Test: warning: charts/revenue.yml, line 2: there is no explore `orders`; there are none",
        ]
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select kind, slug, version from content").fetchall()
    assert rows == [("chart", "revenue", 1)]
