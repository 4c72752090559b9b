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
    "tests.fixtures.warehouses",
    "tests.fixtures.executions",
    "tests.fixtures.http_app",  # uses fixtures of the others, so it comes after them
    "tests.fixtures.ray_cluster",  # likewise
    "tests.fixtures.chaos",  # likewise
]


# A loaded machine is no reason to fail: how long one example takes is not what is tested.
settings.register_profile("queryfleet", deadline=None)
settings.load_profile("queryfleet")


@pytest.fixture(scope="session", autouse=True)
def _clean_environment():
    """No setting of the developer's own shell reaches a test."""
    kept = {"QUERYFLEET_TEST_POSTGRES_DSN"}
    for name in list(os.environ):
        if name.startswith("QUERYFLEET_") and name not in kept:
            del os.environ[name]


@pytest.fixture
def anyio_backend():
    """Asynchronous tests run on asyncio, like the service."""
    return "asyncio"
