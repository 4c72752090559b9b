"""Filters of a dashboard in the question of a tile: which reach it, and that none is weakened on the way."""

from __future__ import annotations

import pytest

from queryfleet.compiler.dashboard_filters import with_dashboard_filters
from queryfleet.compiler.metric_query import filter_json
from queryfleet.compiler.request import parse_metric_query
from queryfleet.errors import InvalidRequestError


def _rule(field_id: str, *values: object, **more: object) -> dict[str, object]:
    return {"target": {"fieldId": field_id}, "operator": "equals", "values": list(values), **more}


OWN, OTHER = _rule("orders_region", "north"), _rule("orders_id", 1)
GIVEN = _rule("orders_region", "south", includeNull=True, caseSensitive=False)


@pytest.mark.parametrize(
    ("own", "given", "expected"),
    [
        (None, [GIVEN], {"and": [GIVEN]}),
        ({"and": []}, [GIVEN], {"and": [GIVEN]}),
        ({"and": [OTHER, OWN]}, [GIVEN], {"and": [OTHER, GIVEN]}),
        ({"and": [OTHER]}, [GIVEN], {"and": [OTHER, GIVEN]}),
        ({"and": [{"or": [OWN, OTHER]}]}, [GIVEN], {"and": [{"or": [OWN, OTHER]}, GIVEN]}),
        # The dashboard's rule is no alternative to others.
        ({"or": [OWN, OTHER, OTHER]}, [GIVEN], {"and": [{"or": [OTHER, OTHER]}, GIVEN]}),
        ({"or": [OWN, OTHER]}, [GIVEN], {"and": [OTHER, GIVEN]}),
        ({"or": [OTHER, OTHER]}, [GIVEN], {"and": [{"or": [OTHER, OTHER]}, GIVEN]}),
        ({"and": [OWN]}, [GIVEN, OWN], {"and": [GIVEN, OWN]}),
        ({"and": [_rule("orders_day_month", "2025-01-01")]}, [_rule("orders_day_year", "2025-01-01")],
         {"and": [_rule("orders_day_year", "2025-01-01")]}),
        ({"and": [OWN]}, [GIVEN | {"disabled": True}], {"and": [OWN]}),
        ({"and": [OWN]}, [_rule("orders_region")], {"and": [OWN]}),
        ({"and": [OWN]}, [_rule("orders_secret", "x")], {"and": [OWN]}),
        ({"and": [OWN]}, [_rule("orders_revenue", 1)], {"and": [OWN]}),
        ({"and": [OWN]}, [_rule("nothing", "x")], {"and": [OWN]}),
    ],
)  # fmt: skip
def test_rule_takes_the_place_of_those_on_its_field_and_every_row_must_pass_it(bakery, own, given, expected) -> None:
    """Rules that reach the question replace its own at the top; the others change nothing."""
    from queryfleet.semantic.access import permitted_explore

    explore = permitted_explore(bakery.explore("orders"), {})
    query = parse_metric_query({"exploreName": "orders", "metrics": ["orders_revenue"],
                                "filters": {"dimensions": own} if own else None})  # fmt: skip
    found = with_dashboard_filters(query, {"dimensions": given}, explore)
    assert filter_json(found.query.dimension_filters) == expected
    assert found.applied["dimensions"] == [rule for rule in given if rule in expected["and"]]


def test_tile_has_its_own_target_or_none(bakery) -> None:
    """`tileTargets` names another field for a tile, or leaves it out."""
    explore = bakery.explore("orders")
    query = parse_metric_query({"exploreName": "orders", "metrics": ["orders_revenue"]})
    rule = OWN | {"tileTargets": {"a": {"fieldId": "customers_name", "tableName": "customers"}, "b": False}}
    fields = {
        tile: [each["target"]["fieldId"] for each in applied["dimensions"]]
        for tile in ("a", "b", "c", None)
        for applied in [with_dashboard_filters(query, {"dimensions": [rule]}, explore, tile_uuid=tile).applied]
    }
    assert fields == {"a": ["customers_name"], "b": [], "c": ["orders_region"], None: ["orders_region"]}


def test_rules_on_metrics_and_calculations_go_to_their_own_lists(bakery) -> None:
    """A calculation is known by the question, a metric by the explore."""
    explore = bakery.explore("orders")
    calculation = {"name": "twice", "displayName": "Twice", "sql": "${orders.revenue} * 2"}
    query = parse_metric_query(
        {"exploreName": "orders", "metrics": ["orders_revenue"], "tableCalculations": [calculation]}
    )
    sent = {"metrics": [_rule("orders_revenue", 1)], "tableCalculations": [_rule("twice", 2), _rule("thrice", 3)]}
    found = with_dashboard_filters(query, sent, explore)
    assert filter_json(found.query.metric_filters) == {"and": [_rule("orders_revenue", 1)]}
    assert filter_json(found.query.calculation_filters) == {"and": [_rule("twice", 2)]}


def test_list_of_the_wrong_shape_is_refused_with_its_path(bakery) -> None:
    """Status 422, with the path."""
    query = parse_metric_query({"exploreName": "orders", "metrics": ["orders_revenue"]})
    with pytest.raises(InvalidRequestError, match=r"dashboardFilters\.metrics"):
        with_dashboard_filters(query, {"metrics": {"and": []}}, bakery.explore("orders"))
