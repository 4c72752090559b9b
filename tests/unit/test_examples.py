"""The example projects: what a newcomer copies is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from queryfleet.semantic.catalog import load_catalog

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "explores"), [("shop", ["customers", "orders", "products"]), ("shop-dbt", ["customers", "orders"])]
)
def test_example_has_no_problem(name, explores):
    """Every model compiles, without a warning."""
    catalog = load_catalog(EXAMPLES / name)
    assert (list(catalog.explores), catalog.problems, catalog.skipped) == (explores, (), ())


def test_example_from_dbt_says_what_its_schema_file_says():
    """The stored manifest was made of the file beside it: types come from the catalog, the rest from there."""
    orders = load_catalog(EXAMPLES / "shop-dbt").explore("orders")
    assert {"orders_order_id", "orders_ordered_at_week", "customers_country", "orders_revenue_per_order"} <= set(
        orders.fields
    )
    assert orders.dimension("orders_ordered_at").type == "timestamp"
    written = (EXAMPLES / "shop-dbt" / "models" / "schema.yml").read_text(encoding="utf-8")
    for field_id in ("orders_revenue", "orders_order_count", "orders_revenue_per_order"):
        assert orders.metric(field_id).name in written
