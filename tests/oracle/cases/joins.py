"""Joins of every kind, and aggregates that joins must not inflate."""

from __future__ import annotations

from dataclasses import replace

from tests.oracle.cases.case import Case
from tests.oracle.description import Joined, Measure
from tests.oracle.market import (
    CUSTOMERS,
    ITEMS,
    MARKET,
    TO_CUSTOMERS,
    TO_ITEMS,
    dimension_filter,
    rule,
)


def _shapes():
    def of(name, dimensions, metrics, *rules, explore=MARKET, **more):
        query = {"dimensions": dimensions, "metrics": metrics, "filters": dimension_filter(*rules)}
        return Case(name=name, query=query | more, explore=explore)

    orders = ["orders_order_count", "orders_revenue", "orders_average", "orders_middle", "orders_buyers", "orders_paid"]
    items = ["items_piece_count", "items_item_count", "items_price"]
    yield of("one table", ["orders_status"], orders)
    yield of("no dimensions", [], orders)
    yield of("no dimensions and no rows", [], orders, rule("orders_id", "lessThan", 0))
    yield of("dimensions and no rows", ["orders_status"], orders, rule("orders_id", "lessThan", 0))
    yield of("dimensions alone are distinct", ["orders_status", "orders_gift"], [])
    yield of("many to one", ["customers_city"], orders)
    yield of("many to one with the one side counted", ["orders_status"], ["customers_customer_count", *orders])
    yield of("one side counted by its own dimension", ["customers_city"], ["customers_customer_count"])
    yield of("one to many with both counted", ["orders_status"], [*orders, *items])
    yield of("one to many without dimensions", [], [*orders, *items])
    yield of("one to many filtered", ["orders_status"], orders, rule("items_pieces", "greaterThan", 2))
    yield of("one to many filtered without dimensions", [], orders, rule("items_pieces", "greaterThan", 2))
    yield of("one to many by a dimension of the many side", ["items_line"], [*orders, *items])
    yield of("two one to many joins", ["orders_status"], [*orders, *items, "refunds_refunded"])
    yield of("two one to many joins without dimensions", [], ["orders_revenue", "items_price", "refunds_refunded"])
    yield of("fan out and back", ["products_category"], [*orders, *items, "products_cost"])
    yield of("fan out with two dimensions that hold nulls", ["customers_city", "products_category"], [*orders, *items])
    yield of("every table at once", ["customers_city"], [*orders, *items, "products_cost", "refunds_refunded",
                                                       "customers_customer_count"])  # fmt: skip
    yield of("an expression over an inflated table", ["products_category"], ["orders_per_order", "items_price"])
    yield of("an expression alone over an inflated table", ["items_line"], ["orders_per_order"])
    yield of("post-calculations over an inflated table", ["items_line"], ["orders_share", "orders_so_far"])
    yield of("a percentile over an inflated table", ["items_line"], ["orders_p90", "orders_middle"])
    yield of("a metric with its own filter over an inflated table", ["items_line"], ["orders_paid", "orders_lately"])
    yield of("sums for each key", ["products_category"], ["items_postage", "items_mean_postage", "items_price"])
    yield of("sums for each key without dimensions", [], ["items_postage", "items_mean_postage"])
    yield of("sums for each key beside another table", ["orders_status"], ["items_postage", "orders_revenue"])
    yield of(
        "a metric filter over an inflated table", ["items_line"], ["items_price"],
        filters={"metrics": {"and": [rule("orders_revenue", "greaterThan", 20)]}},
    )  # fmt: skip
    yield of("an interval over an inflated table", ["orders_placed_at_month"], [*orders, *items])
    yield of(
        "a metric that needs no dedupe over an inflated table", ["items_line"], ["orders_buyers", "orders_largest"]
    )


def _stars():
    star = Measure(type="count", sql="*", argument=lambda env, table: None if env.rows[table] is None else 1)
    base = replace(MARKET.base, measures={**MARKET.base.measures, "all": star})
    explore = replace(MARKET, base=base)
    for name, dimensions, metrics in (
        ("one table", ["orders_status"], ["orders_all"]),
        ("an inflated table", ["items_line"], ["orders_all"]),
        ("an inflated table beside another", ["orders_status"], ["orders_all", "items_price"]),
    ):
        query = {"dimensions": dimensions, "metrics": metrics}
        yield Case(name=f"count of everything over {name}", query=query, explore=explore)


def _types():
    for type_ in ("left", "inner", "right", "full"):
        joins = (replace(TO_CUSTOMERS, type=type_), replace(TO_ITEMS, type=type_), *MARKET.joins[2:])
        explore = replace(MARKET, joins=joins)
        for name, dimensions in (("a dimension", ["customers_city"]), ("none", []), ("derived", ["orders_state"])):
            query = {
                "dimensions": dimensions,
                "metrics": ["orders_order_count", "orders_revenue", "customers_customer_count"],
            }
            yield Case(name=f"{type_} join by {name}", query=query, explore=explore)
            more = {"metrics": ["orders_order_count", "orders_revenue", "items_price", "items_item_count"]}
            yield Case(name=f"{type_} join that fans out by {name}", query=query | more, explore=explore)


def _needed():
    inner = replace(MARKET, joins=(replace(TO_CUSTOMERS, type="inner"), *MARKET.joins[1:]))
    query = {"dimensions": ["orders_status"], "metrics": ["orders_order_count"]}
    yield Case(name="a join that nobody needs is not made", query=query, explore=inner)
    always = replace(inner, joins=(replace(inner.joins[0], always=True), *inner.joins[1:]))
    yield Case(name="a join for always is made", query=query, explore=always)
    yield Case(
        name="a filter needs its join",
        query=query | {"filters": dimension_filter(rule("customers_region", "equals", "north"))},
        explore=inner,
    )
    yield Case(
        name="a join needs the join before it",
        query={"dimensions": ["products_category"], "metrics": ["orders_order_count"]},
    )
    buyers = Joined(
        source=CUSTOMERS,
        alias="buyers",
        sql_on='"orders".id = ${buyers.id}',
        matches=lambda env: env.rows["buyers"] is not None and env.cell("orders", "id") == env.cell("buyers", "id"),
        relationship="one-to-one",
        needs=("orders",),
    )
    yield Case(
        name="one model twice",
        query={"dimensions": ["customers_city", "buyers_city"], "metrics": ["buyers_customer_count", "orders_revenue"]},
        explore=replace(MARKET, joins=(*MARKET.joins, buyers)),
    )


def _unknown():
    query = {"dimensions": ["orders_status"], "metrics": ["orders_order_count", "items_price"]}
    silent = replace(MARKET, joins=(TO_CUSTOMERS, replace(TO_ITEMS, relationship=None), *MARKET.joins[2:]))
    yield Case(name="without a relationship rows count as they come", query=query, explore=silent)
    keyless = replace(MARKET, base=replace(MARKET.base, primary_key=()))
    yield Case(name="without a key rows count as they come", query=query, explore=keyless)
    both = {"dimensions": ["orders_status"], "metrics": ["orders_buyers", "items_price"]}
    loose = replace(ITEMS, primary_key=())
    many = replace(MARKET, joins=(TO_CUSTOMERS, replace(TO_ITEMS, source=loose), *MARKET.joins[2:]))
    yield Case(name="a key is not needed where nothing is inflated", query=both, explore=many)


def join_cases():
    """Return every case of this module."""
    return [case for part in (_shapes, _stars, _types, _needed, _unknown) for case in part()]
