"""dbt's manifest: relation names, types from the catalog, and what was left out."""

from __future__ import annotations

import json

import pytest

from queryfleet.errors import ConfigurationError
from queryfleet.model import ColumnType


def node(name, **more):
    """Make a node of a manifest the way dbt writes it."""
    return {
        "resource_type": "model",
        "name": name,
        "alias": name,
        "relation_name": f'"db"."shop"."{name}"',
        "description": "",
        "original_file_path": f"models/{name}.sql",
        "patch_path": "shop://models/schema.yml",
        "config": {"enabled": True, "materialized": "table", "meta": {}, "tags": []},
        "meta": {},
        "tags": [],
        "columns": {"ID": {"name": "ID", "description": "", "data_type": None, "meta": {}, "config": {}}},
        "version": None,
    } | more


def manifest(*nodes):
    """Make a manifest."""
    return json.dumps({"nodes": {f"model.shop.{index}.{each['name']}": each for index, each in enumerate(nodes)}})


@pytest.fixture
def of_dbt(catalog_of):
    """Make a catalog of a manifest, other files beside it."""

    def make(*nodes, **files):
        catalog = json.dumps({"nodes": {"model.shop.0.orders": {"columns": {"id": {"type": "NUMBER(38,0)"}}}}})
        others = {name.replace("__", "/").replace("_yml", ".yml"): text for name, text in files.items()}
        return catalog_of({"target/manifest.json": manifest(*nodes), "target/catalog.json": catalog, **others})

    return make


def test_manifest_models_stand_on_their_relations_with_the_warehouse_types(of_dbt):
    """FROM is the relation dbt made; types are the warehouse's, whatever the case of the names."""
    orders = node(
        "orders", meta={"label": "All orders"}, config={"meta": {"metrics": {"n": {"type": "count", "sql": "1"}}}}
    )
    catalog = of_dbt(orders)
    assert catalog.problems == ()
    explore = catalog.explore("orders")
    assert explore.label == "All orders"
    assert explore.tables["orders"].sql_from.parts[0].text == '"db"."shop"."orders"'
    assert explore.dimension("orders_ID").type is ColumnType.NUMBER
    assert explore.metric("orders_n")


def test_manifest_reports_what_it_skipped_and_why(of_dbt):
    """Every model that is not there is named with the reason."""
    catalog = of_dbt(
        node("orders"),
        node("orders"),
        node("off", config={"enabled": False}),
        node("part", config={"materialized": "ephemeral"}),
        node("bare", columns={}),
        node("old", version=1, latest_version=2),
        {"resource_type": "test", "name": "t"},
    )
    assert list(catalog.explores) == ["orders"]
    reasons = {each.name: each.reason for each in catalog.skipped}
    assert list(reasons) == ["orders", "off", "part", "bare", "old"]
    assert "another package" in reasons["orders"]
    assert "ephemeral" in reasons["part"]
    assert "no columns" in reasons["bare"]
    assert "version 1 is not the latest" in reasons["old"]


def test_manifest_is_read_in_place_of_the_files_it_was_made_of(of_dbt):
    """A `schema.yml` is not read a second time; standalone models stand beside dbt's."""
    catalog = of_dbt(
        node("orders"),
        models__schema_yml="models: [{name: orders, columns: [{name: other, data_type: int}]}]\n",
        models__own_yml="type: model\nname: own\nsql_from: t\n",
    )
    assert list(catalog.explores) == ["orders", "own"]
    assert list(catalog.explore("orders").fields) == ["orders_ID"]


def test_manifest_model_that_is_wrong_names_the_file_to_open(of_dbt):
    """A person edits `schema.yml`, not the manifest."""
    catalog = of_dbt(node("orders", meta={"sql_filtr": "x"}), node("fine"))
    assert [each.place for each in catalog.errors] == ["models/schema.yml (model orders)"]
    assert "did you mean `sql_filter`" in catalog.broken["orders"]
    assert list(catalog.explores) == ["fine"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nodes": []}', "{" * 100_000])
def test_manifest_that_is_none_is_refused(catalog_of, text):
    """A broken manifest is an error of the project, with what to do."""
    with pytest.raises(ConfigurationError, match="un `dbt parse` again"):
        catalog_of({"target/manifest.json": text})
