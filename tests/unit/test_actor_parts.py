"""What actors are put together from: warehouses by project, stores by settings."""

from __future__ import annotations

import pickle

import pytest
from pydantic import SecretStr

from actors.messages import Assignment
from actors.services import database_url, open_result_store, warm_up_store
from actors.warehouses import open_warehouse
from queryfleet.errors import ConfigurationError, StorageError
from queryfleet.results.store_local import LocalStore
from queryfleet.results.store_memory import MemoryStore
from queryfleet.settings import Settings
from queryfleet.warehouse.duckdb import DuckDBWarehouse
from queryfleet.warehouse.postgres import PostgresWarehouse


def definition(**warehouse):
    """Return a stored project with this warehouse."""
    return {
        "project_uuid": "5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c11",
        "name": "Shop",
        "folder": "/srv/shop",
        "warehouse": warehouse,
    }


def test_open_warehouse_of_each_type_gives_its_class(monkeypatch):
    """The project's type decides, and secrets come from this process's environment."""
    monkeypatch.setenv("SHOP_PASSWORD", "geheim")
    assert isinstance(open_warehouse(definition(type="duckdb", path="/srv/shop.duckdb")), DuckDBWarehouse)
    stored = definition(type="postgres", host="db", user="u", password="${SHOP_PASSWORD}", database="shop")
    warehouse = open_warehouse(stored)
    assert isinstance(warehouse, PostgresWarehouse)
    assert "geheim" not in repr(warehouse)


def test_open_warehouse_without_its_secret_names_the_variable(monkeypatch):
    """A worker that lacks a variable says which one."""
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)
    stored = definition(type="postgres", host="db", user="u", password="${SHOP_PASSWORD}", database="shop")
    with pytest.raises(ConfigurationError, match="SHOP_PASSWORD"):
        open_warehouse(stored)


def test_open_warehouse_of_snowflake_has_the_login(monkeypatch):
    """Every key of the project reaches the login; nothing of the secret is shown."""
    monkeypatch.setenv("TOKEN", "geheim")
    keys = {"role": "R", "warehouse": "W", "database": "D", "schema": "S", "port": 1, "host": "h", "protocol": "http"}
    stored = definition(
        type="snowflake", account="a", user="u", token="${TOKEN}", authenticator="oauth",
        statement_timeout_seconds=7, **keys,
    )  # fmt: skip
    warehouse = open_warehouse(stored)
    driver = warehouse._driver
    assert (driver.login.token, driver.login.token_kind, driver.statement_timeout_seconds) == ("geheim", "oauth", 7)
    assert {name: getattr(driver.login, name) for name in keys} == keys
    assert "geheim" not in f"{warehouse!r}{driver.login!r}{driver.login}"


@pytest.mark.parametrize("open_part", [database_url, open_result_store])
def test_part_that_is_not_set_names_its_variable(open_part):
    """A service without database or store says which setting is missing."""
    with pytest.raises(ConfigurationError, match=r"QUERYFLEET_(DATABASE|STORE)_URL is not set"):
        open_part(Settings())


def test_parts_come_from_the_settings(tmp_path):
    """The URL, password included, is for the driver; the store is that of the settings' URL."""
    settings = Settings(database_url=SecretStr("postgresql://u:geheim@db/x"), store_url=f"file://{tmp_path}/results")
    assert database_url(settings) == "postgresql://u:geheim@db/x"
    assert isinstance(open_result_store(settings), LocalStore)


@pytest.mark.anyio
async def test_warm_up_of_a_store_that_is_away_is_no_error():
    """A service starts while its store is away; the first query will say so."""

    class Away(MemoryStore):
        async def get(self, key):
            raise StorageError("The store is away.")

    await warm_up_store(Away())
    await warm_up_store(MemoryStore())


def test_assignment_travels_and_tells_the_warehouse_who_asks():
    """What crosses to an actor arrives whole, and its tag has everything an administrator looks for."""
    assignment = Assignment(
        query_uuid="q",
        attempt=2,
        project_uuid="p",
        user_uuid="u",
        context="cli",
        sql="select 1",
        row_limit=None,
        project=definition(type="duckdb", path=":memory:"),
    )
    assert assignment == pickle.loads(pickle.dumps(assignment))
    tag = assignment.tag
    assert (tag.query_uuid, tag.project_uuid, tag.user_uuid, tag.context, tag.attempt) == ("q", "p", "u", "cli", 2)
