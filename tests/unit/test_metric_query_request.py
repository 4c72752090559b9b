"""Questions as clients send them: what is read, and where an error points."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queryfleet.compiler.filters import FilterGroup
from queryfleet.compiler.metric_query import filter_json
from queryfleet.compiler.request import parse_date_zoom, parse_filter_group, parse_metric_query
from queryfleet.errors import InvalidRequestError, ParameterError
from queryfleet.semantic.filter_rule import FilterOperator, FilterRule, UnitOfTime

RULE = {"target": {"fieldId": "a_b"}, "operator": "equals", "values": ["x"]}


def test_smallest_question_has_the_defaults() -> None:
    """Only the explore must be named; the rest is empty, the limit 500."""
    query = parse_metric_query({"exploreName": "a", "unknown": 1})
    assert query.to_json() == {
        "exploreName": "a", "dimensions": [], "metrics": [], "filters": {}, "sorts": [], "limit": 500,
        "tableCalculations": [],
    }  # fmt: skip


def test_question_is_repeated_as_it_was_sent() -> None:
    """What was sent comes back, groups and rules with their ids included."""
    sent = {
        "exploreName": "a",
        "dimensions": ["a_b"],
        "metrics": ["a_n"],
        "filters": {
            "dimensions": {"id": "g", "and": [RULE | {"id": "r"}, {"or": [RULE | {"disabled": True}, {"and": []}]}]},
            "metrics": {"and": [RULE | {"includeNull": True, "caseSensitive": False, "required": True}]},
            "tableCalculations": {
                "and": [RULE | {"operator": "inThePast", "settings": {"unitOfTime": "weeks", "completed": True}}]
            },
        },
        "sorts": [
            {"fieldId": "a_b", "descending": True, "nullsFirst": False},
            {"fieldId": "a_n", "descending": False, "pivotValues": [{"reference": "a_b", "value": 1}]},
        ],
        "limit": None,
        "tableCalculations": [{"name": "c", "displayName": "C", "sql": "1", "format": {"type": "percent"}}],
        "additionalMetrics": [{"table": "a", "name": "m", "type": "sum", "sql": "${x}", "formatOptions": {}}],
        "customDimensions": [{"id": "d", "name": "D", "type": "sql", "table": "a", "sql": "1"}],
        "metricOverrides": {"a_n": {"formatOptions": {"type": "percent"}}},
        "dimensionOverrides": {"a_b": {"format": "id"}},
        "timezone": "Europe/Oslo",
        "pivotDimensions": ["a_b"],
    }
    assert parse_metric_query(sent).to_json() == sent


def test_rule_is_read_with_its_settings() -> None:
    """Every member of a rule has its place."""
    group = parse_filter_group(
        {
            "target": {"fieldId": "a_b"}, "operator": "inThePast", "values": [3], "id": "r", "disabled": False,
            "settings": {"unitOfTime": "months", "completed": True, "other": 1}, "includeNull": True, "required": False,
        }
    )  # fmt: skip
    assert group == FilterGroup(
        members=(
            FilterRule(
                field_id="a_b", operator=FilterOperator.IN_THE_PAST, values=(3,), unit_of_time=UnitOfTime.MONTHS,
                is_completed=True, includes_null=True, is_required=False, id="r",
            ),
        )
    )  # fmt: skip
    assert parse_filter_group({"id": "empty"}) == FilterGroup(id="empty")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"exploreName": None}, "query.exploreName"),
        ({"dimensions": "a_b"}, "query.dimensions"),
        ({"metrics": [1]}, "query.metrics.0"),
        ({"limit": "many"}, "query.limit"),
        ({"limit": "5"}, "query.limit"),
        ({"limit": True}, "query.limit"),
        ({"sorts": [{"descending": True}]}, "query.sorts.0.fieldId"),
        ({"sorts": [{"fieldId": "a", "descending": "yes"}]}, "query.sorts.0.descending"),
        ({"tableCalculations": [{"name": ""}]}, "query.tableCalculations.0.name"),
        ({"tableCalculations": [{"name": "a", "type": "money", "sql": "1"}]}, "query.tableCalculations.0.type"),
        ({"customDimensions": [{"id": "a", "type": "cube"}]}, "query.customDimensions.0.type"),
        ({"additionalMetrics": [{"table": "a", "name": "b", "type": "sum", "percentile": 101}]},
         "query.additionalMetrics.0.percentile"),
        ({"filters": {"dimensions": [RULE]}}, "filters.dimensions"),
        ({"filters": {"dimensions": {"and": RULE}}}, "filters.dimensions.and"),
        ({"filters": {"dimensions": {"and": [], "or": []}}}, "filters.dimensions"),
        ({"filters": {"dimensions": {"and": [{"nor": []}]}}}, "filters.dimensions.and[0]"),
        ({"filters": {"dimensions": {"and": [RULE, RULE | {"target": "a_b"}]}}},
         "filters.dimensions.and[1].target.fieldId"),
        ({"filters": {"dimensions": RULE | {"operator": 1}}}, "filters.dimensions.operator"),
        ({"filters": {"dimensions": RULE | {"values": "x"}}}, "filters.dimensions.values"),
        ({"filters": {"dimensions": RULE | {"values": [{}]}}}, "filters.dimensions.values[0]"),
        ({"filters": {"dimensions": RULE | {"settings": 1}}}, "filters.dimensions.settings"),
        ({"filters": {"dimensions": RULE | {"disabled": 1}}}, "filters.dimensions.disabled"),
        ({"filters": {"dimensions": RULE | {"id": 1}}}, "filters.dimensions.id"),
    ],
)  # fmt: skip
def test_question_of_the_wrong_shape_is_refused_with_its_path(changes, path) -> None:
    """Status 422, and details map the path to what is wrong."""
    with pytest.raises(InvalidRequestError) as raised:
        parse_metric_query({"exploreName": "a"} | changes)
    assert path in raised.value.details
    assert path in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"filters": {"dimension": RULE}}, "`dimensions`?"),
        ({"filters": {"dimensions": RULE | {"operator": "equal"}}}, "did you mean `equals`?"),
        ({"filters": {"dimensions": RULE | {"settings": {"unitOfTime": "month"}}}}, "`months`?"),
        ({"filters": {"dimensions": {"and": [RULE] * 1001}}}, "more than 1000"),
        ({"filters": {"dimensions": RULE | {"values": [1] * 10_001}}}, "more than 10000"),
        ({"tableCalculations": [{"name": "a", "template": {"type": "running_total", "fieldId": "x",
          "windowFunction": "sum"}}]}, "has no use for"),
        ({"tableCalculations": [{"name": "a", "template": {"type": "window_function", "windowFunction": "sum",
          "fieldId": "x", "frame": {"frameType": "rows", "end": {"type": "preceding"}}}}]}, "lacks an `offset`"),
        ({"tableCalculations": [{"name": "a", "template": {"type": "window_function", "windowFunction": "sum",
          "fieldId": "x", "frame": {"frameType": "rows", "end": {"type": "here"}}}}]}, "`here`"),
        ({"customDimensions": [{"id": "a", "type": "sql"}]}, "needs `sql` and `table`"),
    ],
)  # fmt: skip
def test_value_that_means_nothing_is_refused_with_the_nearest_right_one(changes, words) -> None:
    """Status 400, with advice where there is some."""
    with pytest.raises(ParameterError, match=re.escape(words)):
        parse_metric_query({"exploreName": "a"} | changes)


def test_groups_nested_without_end_are_refused() -> None:
    """Depth is bounded, so no request can exhaust the stack."""
    node: dict[str, object] = RULE
    for _ in range(60):
        node = {"and": [node]}
    with pytest.raises(ParameterError, match="nested deeper"):
        parse_filter_group(node)


def test_date_zoom_is_read() -> None:
    """Both members are optional; other types are refused."""
    assert parse_date_zoom({}).granularity is None
    zoom = parse_date_zoom({"granularity": "MONTH", "xAxisFieldId": "a_b"})
    assert (zoom.granularity, zoom.field_id) == ("MONTH", "a_b")
    with pytest.raises(InvalidRequestError):
        parse_date_zoom({"granularity": 1})


@given(
    node=st.recursive(
        st.fixed_dictionaries(
            {"target": st.fixed_dictionaries({"fieldId": st.text(max_size=5)}), "operator": st.just("equals"),
             "values": st.lists(st.none() | st.booleans() | st.integers() | st.text(max_size=5), max_size=3)}
        ),
        lambda inner: st.sampled_from(["and", "or"]).flatmap(
            lambda kind: st.fixed_dictionaries({kind: st.lists(inner, max_size=3)})
        ),
        max_leaves=10,
    )
)  # fmt: skip
@settings(max_examples=50, derandomize=True)
def test_any_filter_survives_the_way_there_and_back(node) -> None:
    """Reading a filter and writing it gives what was sent; a rule alone becomes a group of one."""
    written = filter_json(parse_filter_group(node))
    assert written == (node if "target" not in node else {"and": [node]})
