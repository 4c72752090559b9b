"""Fixtures that every test may use."""

import os

import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.fixtures.models",
    "tests.fixtures.postgres",
    "tests.fixtures.query_service",
    "tests.fixtures.s3_servers",
    "tests.fixtures.service",
    "tests.fixtures.statuses",
    "tests.fixtures.contents",  # uses those of statuses
    "tests.fixtures.warehouses",
    "tests.fixtures.mariadb",
    "tests.fixtures.sqlite",
    "tests.fixtures.clickhouse",
    "tests.fixtures.trino",
    "tests.fixtures.redshift",
    "tests.fixtures.bigquery",
    "tests.fixtures.databricks",
    "tests.fixtures.athena",
    "tests.fixtures.live_warehouses",
    "tests.fixtures.snowflake",
    "tests.fixtures.bakery",
    "tests.fixtures.explores",
    "tests.fixtures.loaded_engines",
    "tests.fixtures.sql_engines",
    "tests.fixtures.executions",
    "tests.fixtures.http_app",  # uses fixtures of the others, so it comes after them
    "tests.fixtures.exports",  # likewise
    "tests.fixtures.market",  # likewise
    "tests.fixtures.rides",  # likewise
    "tests.fixtures.ray_cluster",  # likewise
    "tests.fixtures.chaos",  # likewise
]


# A loaded machine is no reason to fail: how long one example takes is not what is tested.
settings.register_profile("queryfleet", deadline=None)
settings.load_profile("queryfleet")


@pytest.fixture(scope="session", autouse=True)
def _clean_environment():
    """No setting of the developer's own shell reaches a test."""
    kept = {"QUERYFLEET_TEST_POSTGRES_DSN", "QUERYFLEET_TEST_MARIADB"}
    for name in list(os.environ):
        if name.startswith("QUERYFLEET_") and name not in kept and not name.startswith("QUERYFLEET_LIVE_"):
            del os.environ[name]


@pytest.fixture
def anyio_backend():
    """Asynchronous tests run on asyncio, like the service."""
    return "asyncio"


def pytest_collection_modifyitems(config, items):
    """Leave out what asks a real account, unless it is asked for by name: `pytest -m live`."""
    if "live" not in config.option.markexpr:
        kept = [item for item in items if "live" not in item.keywords]
        config.hook.pytest_deselected(items=[item for item in items if "live" in item.keywords])
        items[:] = kept
